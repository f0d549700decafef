"""Faults of S3 as boto reports them: which pass, and what they mean to a person."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

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
from urllib3.exceptions import HTTPError

from lidarprep.errors import StorageError
from lidarprep.remote.faults import LOG_IN, NO_CREDENTIALS, PASSING_CODES, PASSING_STATUSES, duration, explain_answer
from lidarprep.remote.retries import RetryBudget

# Errors of boto, of its answers' bodies, and of what it uploads in parts.
BOTO_ERRORS = (BotoCoreError, ClientError, ResponseParserError, S3UploadFailedError, HTTPError)

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
        return error.response.get("Error", {}).get("Code") in PASSING_CODES or status in PASSING_STATUSES
    if isinstance(error, SSLError) and "certificate" in str(error).lower():
        return False
    return isinstance(error, _PASSING_ERRORS)


def retry_budget(minutes: float, endpoint: str) -> RetryBudget:
    """Return how long requests of boto to an endpoint are tried."""
    return RetryBudget(
        minutes,
        endpoint,
        is_passing=is_passing,
        is_refused=lambda error: isinstance(error, EndpointConnectionError),
        reason=lambda error: str(cause(error)),
    )


# `aws login` is younger than the oldest boto that may be installed.
_LOGIN_ERROR = getattr(botocore.exceptions, "LoginError", SSOError)


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
        tried = f" (tried for {duration(time.monotonic() - began)})" if is_passing(error) else ""
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
            return "there are no AWS credentials", NO_CREDENTIALS
        case PartialCredentialsError():
            return str(error), NO_CREDENTIALS
        case ProfileNotFound():
            return str(error), "Name another with --profile."
        case CredentialRetrievalError() | SSOError() | TokenRetrievalError() | NoAuthTokenError():
            return str(error), LOG_IN
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
            return ("the credentials have expired", LOG_IN) if expired else (None, None)
    return str(error), LOG_IN if isinstance(error, _LOGIN_ERROR) else "Check --endpoint-url and the network."


def _explain_answer(error: ClientError) -> tuple[str, str]:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    message = error.response.get("Error", {}).get("Message", "")
    return explain_answer(code_of(error), status, message, error.operation_name)
