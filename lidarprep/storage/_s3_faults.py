"""Faults of S3 and of the way there: what they mean to a person, and how long they are tried again.

What fails is tried again for minutes, around boto's own few retries: a laptop's Wi-Fi comes back, a store that is
overloaded recovers. The budget counts from the first failure of a request to its last attempt; what succeeds may take
as long as it takes.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import botocore.exceptions
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    EndpointConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoAuthTokenError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential
from tenacity.nap import sleep_using_event
from urllib3.exceptions import HTTPError

from lidarprep.errors import StorageError

Value = TypeVar("Value")

log = logging.getLogger(__name__)

# Errors of boto, of its answers' bodies, and of what it uploads in parts.
BOTO_ERRORS = (BotoCoreError, ClientError, ResponseParserError, S3UploadFailedError, HTTPError)

# A server on this machine that refuses connections is not running: it is not waited for.
_LOOPBACK_BUDGET_S = 5.0

# From so many seconds of failure on, a person is told.
_SAY_AFTER_S = 3.0

# Codes of a passing state, or of bytes that were damaged on their way.
_PASSING_CODES = frozenset(
    {
        "BadDigest",
        "ConditionalRequestConflict",
        "IncompleteBody",
        "InternalError",
        "NoSuchUpload",  # the answer to the last request of an upload in parts was lost, and that was sent again
        "OperationAborted",
        "PriorRequestNotComplete",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "TooManyRequestsException",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    }
)
_PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_PASSING_ERRORS = (
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseParserError,
    HTTPError,
)


def cause(error: BaseException) -> BaseException:
    """Return the error that an upload in parts failed with; any other error as it is."""
    inner = error.__cause__ or error.__context__
    return inner if isinstance(error, S3UploadFailedError) and isinstance(inner, BOTO_ERRORS) else error


def is_passing(error: BaseException) -> bool:
    """Tell whether an error may be gone the next time."""
    error = cause(error)
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return error.response.get("Error", {}).get("Code") in _PASSING_CODES or status in _PASSING_STATUSES
    if isinstance(error, SSLError) and "certificate" in str(error).lower():
        return False
    return isinstance(error, _PASSING_ERRORS)


class RetryBudget:
    """How long requests to one store are tried.

    Args:
        minutes: From a request's first failure to its last attempt.
        endpoint: The store's address, which a message to a person names.
    """

    def __init__(self, minutes: float, endpoint: str) -> None:
        self._seconds = minutes * 60
        self._endpoint = endpoint
        self._closed = threading.Event()
        self._has_said = False

    def close(self) -> None:
        """Try nothing again from now on; a wait for the next attempt ends."""
        self._closed.set()

    def call(self, function: Callable[[], Value], *, at_most_s: float | None = None) -> Value:
        """Call a function until it succeeds, fails for good, or the budget is used up; raise its last error."""
        first_failure: list[float] = []

        def is_used_up(state: RetryCallState) -> bool:
            now = time.monotonic()
            first_failure.extend([now] if not first_failure else [])
            error = state.outcome.exception() if state.outcome is not None else None
            budget = min(self._seconds, at_most_s or self._seconds)
            if isinstance(error, EndpointConnectionError) and _is_loopback(self._endpoint):
                budget = min(budget, _LOOPBACK_BUDGET_S)
            failing = now - first_failure[0]
            self._say_once(error, failing, budget)
            return self._closed.is_set() or failing + state.upcoming_sleep > budget

        retrying = Retrying(
            retry=retry_if_exception(is_passing),
            wait=wait_random_exponential(multiplier=0.2, min=0.05, max=20),
            stop=is_used_up,
            sleep=sleep_using_event(self._closed),
            reraise=True,
        )
        return retrying(function)

    def _say_once(self, error: BaseException | None, failing: float, budget: float) -> None:
        if not self._has_said and failing > _SAY_AFTER_S and budget > _LOOPBACK_BUDGET_S:
            self._has_said = True
            log.warning(
                "%s fails (%s); trying for %.3g minutes more (--give-up-after)",
                self._endpoint,
                cause(error) if error is not None else "no answer",
                (budget - failing) / 60,
            )


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# `aws login` is younger than the oldest boto that may be installed.
_LOGIN_ERROR = getattr(botocore.exceptions, "LoginError", SSOError)

_LOG_IN = "Log in again (aws sso login, or new AWS_* variables); then the same command goes on where this one stopped."
_NO_BUCKET = "There is no such bucket: make it, or check its name, --region and --endpoint-url."
_DENIED = ("403", "AccessDenied", "AllAccessDisabled")
_KMS = "The key of --kms-key cannot be used: check its name, its region and that the credentials may use it."

_FIXES = {
    "404": _NO_BUCKET,
    "NoSuchKey": "Nothing is stored under that name: check it.",
    "NoSuchBucket": _NO_BUCKET,
    "InvalidAccessKeyId": "The store does not know the credentials: check them and --profile.",
    "SignatureDoesNotMatch": "The secret key is not that of the access key: check the credentials.",
    "ExpiredToken": f"The credentials have run out. {_LOG_IN}",
    "ExpiredTokenException": f"The credentials have run out. {_LOG_IN}",
    "TokenRefreshRequired": f"The credentials have run out. {_LOG_IN}",
    "RequestExpired": f"The credentials have run out. {_LOG_IN}",
    "InvalidToken": f"The session token is not valid. {_LOG_IN}",
    "RequestTimeTooSkewed": "This machine's clock is wrong by more than 15 minutes: set it.",
    "AccessControlListNotSupported": "The bucket takes no ACLs: go without --acl, and let its policy say who may read.",
    "InvalidStorageClass": "The store has no such class: check --storage-class.",
    "KMS.NotFoundException": _KMS,
    "KMS.DisabledException": _KMS,
    "KMS.KMSInvalidStateException": _KMS,
    "KMS.AccessDeniedException": _KMS,
    "NotImplemented": "The store does not know an option that was used: try --checksums when_required --path-style.",
    "301": "The bucket is in another region: name it with --region.",
    "PermanentRedirect": "The bucket is in another region: name it with --region.",
    "400": "Check --region, --endpoint-url and the credentials.",
}
_CHECKSUMS = "The store does not know the checksums that are sent: go on with --checksums when_required."
_GO_ON = "Check the network and the store's health, then run the same command again."
_CREDENTIALS = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in and name a profile with --profile."


# A header that older stores refuse.
_CHECKSUM_HEADER = re.compile(r"x-amz-(sdk-)?checksum", re.IGNORECASE)

# The permission that each operation needs: what one asks an administrator for.
_PERMISSIONS = {
    "ListObjectsV2": "s3:ListBucket on the bucket",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads on the bucket",
    # Without the second, S3 denies that an object is missing.
    "GetObject": "s3:GetObject, and s3:ListBucket on the bucket",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
}


@contextmanager
def reported(place: str, what: str) -> Iterator[None]:
    """Turn an error of boto into one StorageError; one that was tried again says for how long.

    Args:
        place: s3://bucket, or s3://bucket/key.
        what: What could not be done with it: "be listed".
    """
    began = time.monotonic()
    try:
        yield
    except (*BOTO_ERRORS, RuntimeError) as error:
        reason, fix = _explain(cause(error))
        if reason is None:
            raise
        tried = f" (tried for {_duration(time.monotonic() - began)})" if is_passing(error) else ""
        raise StorageError(f"{place} cannot {what}: {reason}{tried}", fix=fix) from error


def code_of(error: BaseException) -> str:
    """Return what the store calls an error; "" for one that is not the store's."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def is_missing(error: ClientError) -> bool:
    """Tell whether an error says that there is no such object; the answer to a HEAD has a status only."""
    return code_of(error) in ("404", "NoSuchKey", "NotFound")


def _explain(error: BaseException) -> tuple[str | None, str | None]:
    """Return what is wrong, and what to do; (None, None) for an error that is not of the store or the way there."""
    match error:
        case ClientError():
            return _explain_answer(error)
        case NoCredentialsError():
            return "there are no AWS credentials", _CREDENTIALS
        case PartialCredentialsError():
            return str(error), _CREDENTIALS
        case ProfileNotFound():
            return str(error), "Name another with --profile."
        case CredentialRetrievalError() | SSOError() | TokenRetrievalError() | NoAuthTokenError():
            return str(error), _LOG_IN
        case ResponseParserError():
            return (
                "its answer is not that of a store",
                "Check --endpoint-url; on a network that asks for a login first, log in there.",
            )
        case ParamValidationError() | NoRegionError():
            return str(error), "Check the bucket's name, --region and the options that it is stored with."
        case RuntimeError():
            # botocore has no class of its own for credentials that tell themselves that they have expired.
            expired = "expired" in str(error)
            return ("the credentials have expired", _LOG_IN) if expired else (None, None)
    return str(error), _LOG_IN if isinstance(error, _LOGIN_ERROR) else "Check --endpoint-url and the network."


def _explain_answer(error: ClientError) -> tuple[str, str]:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = code_of(error)
    found = f"{code} {error.response.get('Error', {}).get('Message', '')}".strip()
    if error.operation_name == "AssumeRole":
        return found, "The role cannot be assumed: check --role-arn, its trust policy and the credentials."
    if is_passing(error):
        return found, _GO_ON
    if _CHECKSUM_HEADER.search(found):
        return found, _CHECKSUMS
    if code in _DENIED or (status == 403 and code not in _FIXES):
        permission = _PERMISSIONS.get(error.operation_name)
        needs = f" ({permission})" if permission else ""
        return found, f"The credentials may not do that{needs}: check them, the bucket's policy and --profile."
    return found, _FIXES.get(code) or _FIXES.get(str(status)) or "Check the options that it is stored with."


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.1f} seconds"
