"""Credentials, region and endpoint of S3, as the AWS tools would find them; or of a role that these may assume."""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import NoCredentialsError

from lidarprep.remote.options import AccessOptions

# An assumed role is assumed again when its credentials have less than this left.
RENEW_BEFORE_S = 600

_LONGEST_S = 7 * 24 * 3600


class AwsSession:
    """A session of boto3 for a profile, a region and a role.

    Args:
        options: How S3 is reached.

    Raises:
        BotoCoreError: There is no such profile.
    """

    def __init__(self, options: AccessOptions) -> None:
        self._role_arn = options.role_arn
        self._own = boto3.session.Session(profile_name=options.profile, region_name=options.region)
        self._lock = threading.Lock()
        self._assumed: Any = None
        self._role_expires_at: float | None = None

    def session(self) -> Any:
        """Return boto's session to go on with: the role's, if there is one, assumed again before it expires."""
        if self._role_arn is None:
            return self._own
        with self._lock:
            expires = self._role_expires_at
            if expires is None or expires - time.time() < RENEW_BEFORE_S:
                self._assumed = self._assume(self._role_arn)
            return self._assumed

    def has_credentials(self) -> bool:
        """Tell whether there are any."""
        return self._own.get_credentials() is not None

    def expires_at(self) -> float | None:
        """Return when the credentials expire, seconds since the Unix epoch; None where they last or don't tell.

        What they have signed expires with them, whatever time it was signed for.
        """
        if self._role_arn is not None:
            self.session()
            return self._role_expires_at
        credentials = self._own.get_credentials()
        refresh_needed = getattr(credentials, "refresh_needed", None)  # credentials that expire have it
        if refresh_needed is None:
            return None
        credentials.get_frozen_credentials()  # fetches new ones, if these are about to expire
        seconds = bisect_left(range(_LONGEST_S), True, key=refresh_needed)
        return None if seconds == _LONGEST_S else time.time() + seconds

    def _assume(self, role_arn: str) -> Any:
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


class Credentials:
    """Gives obstore the credentials that hold now, as its stores call for them.

    Args:
        session: Where they are from.

    Attributes:
        current: Those that were given last.
        failure: Why there were none at the last call; obstore tells of it as a text only.

    Raises:
        BotoCoreError, ClientError: There are none, or none any more.
    """

    def __init__(self, session: AwsSession) -> None:
        self._session = session
        self.failure: Exception | None = None
        self.current = self._found()

    def __call__(self) -> dict[str, Any]:
        """Return the credentials; those that expire are said to do so when they do, and are asked for before."""
        try:
            self.current = self._found()
        except Exception as failure:
            self.failure = failure
            raise
        self.failure = None
        return self.current

    def _found(self) -> dict[str, Any]:
        found = self._session.session().get_credentials()
        if found is None:
            raise NoCredentialsError
        frozen, expires = found.get_frozen_credentials(), self._session.expires_at()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": None if expires is None else datetime.fromtimestamp(expires, UTC),
        }


# Sessions of this process by their options: opening one takes time, and a device's code (MFA) is asked for once. A
# forked process has sessions of its own.
_sessions: dict[tuple[Any, ...], AwsSession] = {}
_sessions_lock = threading.Lock()


def environment() -> int:
    """Return a digest of the variables of the AWS tools: other variables, other credentials."""
    return hash(frozenset((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))


def shared_aws_session(options: AccessOptions, *, again: bool = False) -> AwsSession:
    """Return this process's session for a profile, region and role.

    Args:
        options: How S3 is reached.
        again: Look for credentials again: those that were found are not good any more.
    """
    key = (os.getpid(), options.profile, options.region, options.role_arn, environment())
    with _sessions_lock:
        if again or key not in _sessions:
            _sessions[key] = AwsSession(options)
        return _sessions[key]


def pages_of(options: AccessOptions, bucket: str, prefix: str, more: dict[str, str]) -> Iterator[dict[str, Any]]:
    """List a bucket by boto; yield its answers.

    Raises:
        BotoCoreError, ClientError: It cannot be listed.
    """
    session = shared_aws_session(options)
    config = Config(
        signature_version=None if session.has_credentials() else UNSIGNED,
        s3={"addressing_style": "path"} if options.path_style else None,
    )
    client = session.session().client("s3", endpoint_url=options.endpoint_url, config=config)
    payer = {"RequestPayer": "requester"} if options.requester_pays else {}
    yield from client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **more, **payer)
