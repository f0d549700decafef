"""The retry budget: what S3, or the way there, fails at is tried again for minutes, around boto's own few retries.

A laptop's Wi-Fi comes back, a store that is overloaded recovers. The budget counts from the first failure of a request
to its last attempt; what succeeds may take as long as it takes.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    EndpointConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential
from tenacity.nap import sleep_using_event
from urllib3.exceptions import HTTPError

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

    @property
    def is_closed(self) -> bool:
        """Whether nothing is tried again."""
        return self._closed.is_set()

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
