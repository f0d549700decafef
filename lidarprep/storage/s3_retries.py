"""Trying again what S3, or the way there, has failed at.

boto's adaptive mode slows down where the store asks for that; what fails is tried on here, for minutes: a laptop's
Wi-Fi comes back, a store that is overloaded recovers. That happens in two places:
inside boto for each request, so that of an upload in parts one part is sent again and not all; and around it for what
boto notices only after a request has succeeded, such as an answer that was cut.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from botocore.exceptions import (
    ClientError,
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from tenacity import RetryCallState, Retrying, retry_if_exception

Value = TypeVar("Value")

log = logging.getLogger(__name__)

_LONGEST_WAIT_S = 20.0

# Codes that speak of a passing state, or of bytes that were damaged on their way.
_PASSING_CODES = frozenset(
    {
        "BadDigest",
        "ConditionalRequestConflict",
        "IncompleteBody",
        "InternalError",
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
    ResponseParserError,
)


# Less patience than a store has; of a context, and so of the requests that it lets others ask for.
_at_most = ContextVar("_at_most", default=math.inf)


class DamagedError(Exception):
    """What was fetched is not what was stored, by the checksum that was stored with it."""


def is_passing(error: BaseException) -> bool:
    """Whether an error may be gone the next time."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return _is_passing_answer(status, error.response.get("Error", {}).get("Code"))
    if isinstance(error, SSLError) and "certificate" in str(error).lower():
        return False
    return isinstance(error, (*_PASSING_ERRORS, DamagedError))


def _is_passing_answer(status: int | None, code: str | None) -> bool:
    # NoSuchUpload: the answer to the last request of an upload in parts was lost, and that was sent again.
    return code in _PASSING_CODES or code == "NoSuchUpload" or status in _PASSING_STATUSES


class Patience:
    """How long one request is tried.

    Args:
        minutes: From its first attempt to its last.
    """

    def __init__(self, minutes: float) -> None:
        self._seconds = minutes * 60
        self._ended = threading.Event()

    def end(self) -> None:
        """From now on nothing is tried again; who waits to do so stops waiting."""
        self._ended.set()

    @property
    def seconds(self) -> float:
        """Seconds that a request of this context is tried for."""
        return min(self._seconds, _at_most.get())

    @contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """Less patience within the `with` statement: to be used where somebody waits for an answer."""
        before = _at_most.set(min(seconds, _at_most.get()))
        try:
            yield
        finally:
            _at_most.reset(before)

    def watch(self, client: Any) -> None:
        """Makes the client try each request so long; boto itself is to try it once."""
        client.meta.events.register("needs-retry.s3", self._delay, unique_id="lidarprep-needs-retry")

    def call(self, function: Callable[[], Value]) -> Value:
        """Calls the function until it succeeds, fails for good, or patience ends.

        Raises:
            BotoCoreError, ClientError, DamagedError: The last error of it.
        """
        retrying = Retrying(
            retry=retry_if_exception(is_passing),
            wait=lambda state: _wait(state.attempt_number),
            stop=self._ends,
            sleep=self._sleep,
            before_sleep=_log_failure,
            reraise=True,
        )
        return retrying(function)

    def _sleep(self, seconds: float) -> None:
        self._ended.wait(seconds)

    def _ends(self, state: RetryCallState) -> bool:
        return self._ended.is_set() or (state.seconds_since_start or 0.0) >= self.seconds

    def _delay(
        self,
        response: tuple[Any, dict[str, Any]] | None,
        attempts: int,
        caught_exception: Exception | None,
        request_dict: dict[str, Any],
        **_: Any,
    ) -> float | None:
        """Answers boto's question whether a request is to be sent again: after how many seconds; None for no.

        The waiting is done here, since here it can be ended.
        """
        now = time.monotonic()
        begun = request_dict.setdefault("context", {}).setdefault("lidarprep_begun", now)
        if caught_exception is not None:
            passing = is_passing(caught_exception)
        else:
            answer, parsed = response if response is not None else (None, {})
            code = parsed.get("Error", {}).get("Code")
            passing = _is_passing_answer(getattr(answer, "status_code", None), code) and code != "NoSuchUpload"
        if not passing:
            return None
        delay = _wait(attempts)
        if now + delay - begun >= self.seconds or self._ended.wait(delay):
            return None
        return 0.0


def _wait(attempts: int) -> float:
    """Seconds before the next attempt: a random share of a limit that doubles, so that many don't come at once."""
    return random.uniform(0.05, min(_LONGEST_WAIT_S, 0.1 * 2 ** min(attempts, 10)))  # noqa: S311  # no secret


def _log_failure(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    log.info("attempt %d failed: %s", state.attempt_number, error)
