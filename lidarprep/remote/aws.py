"""Credentials, region and endpoint of S3, as the AWS tools would find them; or of a role that these may assume."""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from datetime import UTC, datetime
from typing import Any

import boto3
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

    def credential(self) -> dict[str, Any]:
        """Return the credentials that hold now, in obstore's form.

        Those that are renewed are said to last so long that obstore asks again in time.
        """
        frozen = self.session().get_credentials().get_frozen_credentials()
        expires = self.expires_at()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": None if expires is None else datetime.fromtimestamp(expires, UTC),
        }

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


# Sessions of this process by their options: opening one takes time, and a device's code (MFA) is asked for once. A
# forked process has sessions of its own.
_sessions: dict[tuple[Any, ...], AwsSession] = {}
_sessions_lock = threading.Lock()

ENVIRONMENT = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE")


def shared_aws_session(options: AccessOptions, *, again: bool = False) -> AwsSession:
    """Return this process's session for a profile, region and role.

    Args:
        options: How S3 is reached.
        again: Look for credentials again: those that were found are not good any more.
    """
    known_by = (options.profile, options.region, options.role_arn, *map(os.environ.get, ENVIRONMENT))
    key = (os.getpid(), *known_by)
    with _sessions_lock:
        if again or key not in _sessions:
            _sessions[key] = AwsSession(options)
        return _sessions[key]
