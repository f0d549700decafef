"""A client of S3, with the credentials that the AWS tools would use, or a role that these may assume."""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import NoCredentialsError

from lidarprep.storage.options import StorageOptions

# Frames are stored from many threads, and large objects in parts side by side; boto's own limit of 10 would queue them.
_CONNECTIONS = 50

# Seconds without a byte: long for a network that works, short where a connection is dead.
_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 30

# An assumed role is assumed again when its credentials have less than this left.
_RENEW_BEFORE_S = 600

_LONGEST_S = 7 * 24 * 3600


class Session:
    """Gives a client of S3; one whose assumed role is about to expire is replaced.

    Args:
        options: How the store is reached.

    Raises:
        BotoCoreError, ValueError: There is no such profile, or the endpoint is not a URL.
    """

    def __init__(self, options: StorageOptions) -> None:
        self._options = options
        self._own = boto3.session.Session(profile_name=options.profile, region_name=options.region)
        self._lock = threading.Lock()
        self._role_expires_at: float | None = None
        self._client: Any = None

    @property
    def client(self) -> Any:
        """A boto3 client of S3; it may be used by several threads."""
        with self._lock:
            expires = self._role_expires_at
            if self._client is None or (expires is not None and expires - time.time() < _RENEW_BEFORE_S):
                self._client = self._connect()
            return self._client

    def expires_at(self) -> float | None:
        """Return when the credentials expire, seconds since the Unix epoch; None where they last or don't tell.

        What they have signed expires with them, whatever time it was signed for.
        """
        if self._options.role_arn is not None:
            _ = self.client
            return self._role_expires_at
        credentials = self._own.get_credentials()
        refresh_needed = getattr(credentials, "refresh_needed", None)  # credentials that expire have it
        if refresh_needed is None:
            return None
        credentials.get_frozen_credentials()  # fetches new ones, if these are about to expire
        seconds = bisect_left(range(_LONGEST_S), True, key=refresh_needed)
        return None if seconds == _LONGEST_S else time.time() + seconds

    def _connect(self) -> Any:
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
        session = self._own if options.role_arn is None else self._assumed(options.role_arn)
        client = session.client("s3", endpoint_url=options.endpoint_url, config=config)
        client.meta.events.register("before-sign.s3.GetObject", _pay_by_url)
        return client

    def _assumed(self, role_arn: str) -> Any:
        if self._own.get_credentials() is None:
            raise NoCredentialsError
        region = self._own.region_name or "us-east-1"
        sts = self._own.client("sts", region_name=region, config=Config(retries={"total_max_attempts": 2}))
        answer = sts.assume_role(RoleArn=role_arn, RoleSessionName="lidarprep")["Credentials"]
        self._role_expires_at = answer["Expiration"].timestamp()
        return boto3.session.Session(
            aws_access_key_id=answer["AccessKeyId"],
            aws_secret_access_key=answer["SecretAccessKey"],
            aws_session_token=answer["SessionToken"],
            region_name=self._own.region_name,
        )


def _pay_by_url(request: Any, **_: Any) -> None:
    """Let a signed URL say by itself that the requester pays: boto would have who fetches it send a header.

    See https://docs.aws.amazon.com/AmazonS3/latest/userguide/ObjectsinRequesterPaysBuckets.html.
    """
    payer = "x-amz-request-payer"
    if request.context.get("is_presign_request") and payer in request.headers:
        request.params = {**request.params, payer: request.headers[payer]}
        del request.headers[payer]


# Sessions of this process by their options: opening a client takes a tenth of a second, and a device's code (MFA) is
# asked for once. A forked process has connections of its own.
_sessions: dict[tuple[int, StorageOptions, tuple[str | None, ...]], Session] = {}

_sessions_lock = threading.Lock()

_ENVIRONMENT = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE")


def shared_session(options: StorageOptions) -> Session:
    """Return this process's session for these options."""
    key = (os.getpid(), options, tuple(map(os.environ.get, _ENVIRONMENT)))
    with _sessions_lock:
        if key not in _sessions:
            _sessions[key] = Session(options)
        return _sessions[key]
