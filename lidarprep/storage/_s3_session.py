"""A client of S3, with the credentials that the AWS tools would use, or a role that these may assume."""

from __future__ import annotations

import os
import threading
from typing import Any

from botocore.config import Config

from lidarprep.remote.aws import AwsSession, environment, shared_aws_session
from lidarprep.storage.options import StorageOptions

# Frames are stored from many threads, and large objects in parts side by side; boto's own limit of 10 would queue them.
_CONNECTIONS = 50

# Seconds without a byte: long for a network that works, short where a connection is dead.
_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 30


class Session:
    """Gives a client of S3; one whose assumed role is about to expire is replaced.

    Args:
        options: How the store is reached.

    Raises:
        BotoCoreError, ValueError: There is no such profile, or the endpoint is not a URL.
    """

    def __init__(self, options: StorageOptions) -> None:
        self._options = options
        self.aws: AwsSession = shared_aws_session(options)
        self._lock = threading.Lock()
        self._session: Any = None
        self._client: Any = None

    @property
    def client(self) -> Any:
        """A boto3 client of S3; it may be used by several threads."""
        with self._lock:
            session = self.aws.session()
            if self._session is not session:
                self._session, self._client = session, self._connect(session)
            return self._client

    def _connect(self, session: Any) -> Any:
        options = self._options
        required = "when_required" if options.checksums == "when_required" else "when_supported"
        config = Config(
            max_pool_connections=_CONNECTIONS,
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_READ_TIMEOUT_S,
            # A passing fault is tried again at once by boto, and for minutes by our budget.
            retries={"mode": "standard", "total_max_attempts": 3},
            signature_version="s3v4",
            s3={"addressing_style": "path"} if options.path_style else None,
            request_checksum_calculation=required,
            response_checksum_validation=required,
        )
        client = session.client("s3", endpoint_url=options.endpoint_url, config=config)
        client.meta.events.register("before-sign.s3.GetObject", _pay_by_url)
        return client


def _pay_by_url(request: Any, **_: Any) -> None:
    """Let a signed URL say by itself that the requester pays: boto would have who fetches it send a header.

    See https://docs.aws.amazon.com/AmazonS3/latest/userguide/ObjectsinRequesterPaysBuckets.html.
    """
    payer = "x-amz-request-payer"
    if request.context.get("is_presign_request") and payer in request.headers:
        request.params = {**request.params, payer: request.headers[payer]}
        del request.headers[payer]


# Sessions of this process by their options: opening a client takes a tenth of a second. A forked process has
# connections of its own.
_sessions: dict[tuple[int, StorageOptions, int], Session] = {}

_sessions_lock = threading.Lock()


def shared_session(options: StorageOptions) -> Session:
    """Return this process's session for these options."""
    key = (os.getpid(), options, environment())
    with _sessions_lock:
        if key not in _sessions:
            _sessions[key] = Session(options)
        return _sessions[key]
