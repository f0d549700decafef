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
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    SSLError,
)
from botocore.parsers import ResponseParserError

Value = TypeVar("Value")

log = logging.getLogger(__name__)

_LONGEST_WAIT_S = 20.0

# What tidying up is tried for: somebody waits for the end, and the next run does what was not done.
TIDY_S = 5.0

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


@dataclass
class _Trial:
    """A request, or several on one errand, that are tried until they succeed.

    Args:
        failing_since: When the first of them failed, in seconds of the monotonic clock.
    """

    failing_since: float | None = None


_trial = ContextVar[_Trial | None]("_trial", default=None)


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
        minutes: From its first failure to its last attempt; what goes well may take as long as it takes.
    """

    def __init__(self, minutes: float) -> None:
        self._seconds = minutes * 60
        self._ended = threading.Event()

    def end(self) -> None:
        """From now on nothing is tried again; who waits to do so stops waiting."""
        self._ended.set()

    @property
    def has_ended(self) -> bool:
        """Whether nothing is tried again."""
        return self._ended.is_set()

    @property
    def seconds(self) -> float:
        """Seconds that a request of this context is tried for."""
        return min(self._seconds, _at_most.get())

    @contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """Less patience within the `with` statement: to be used where somebody waits for an answer.

        What is asked for there is an errand of its own, however long another was in vain before.
        """
        before, trial = _at_most.set(min(seconds, _at_most.get())), _trial.set(None)
        try:
            yield
        finally:
            _trial.reset(trial)
            _at_most.reset(before)

    def progressed(self) -> None:
        """What has failed before within this errand has succeeded by a part: its patience begins anew."""
        trial = _trial.get()
        if trial is not None:
            trial.failing_since = None

    def watch(self, client: Any) -> None:
        """Makes the client try each request so long; boto itself is to try it once."""
        client.meta.events.register("needs-retry.s3", self._delay, unique_id="lidarprep-needs-retry")

    def call(self, function: Callable[[], Value]) -> Value:
        """Calls the function until it succeeds, fails for good, or patience ends.

        Calls within it, and boto's own requests, have no more patience than is left of this one's.

        Raises:
            BotoCoreError, ClientError, DamagedError, ResponseParserError: The last error of it.
        """
        trial = _trial.get() or _Trial()
        before = _trial.set(trial)
        attempt = 0
        try:
            while True:
                attempt += 1
                try:
                    return function()
                except (BotoCoreError, ClientError, DamagedError, ResponseParserError) as error:
                    if not is_passing(error) or not self._waits(attempt, trial):
                        raise
                    log.info("attempt %d failed: %s", attempt, error)
        finally:
            _trial.reset(before)

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
        if caught_exception is not None:
            passing = is_passing(caught_exception)
        else:
            answer, parsed = response if response is not None else (None, {})
            code = parsed.get("Error", {}).get("Code")
            passing = _is_passing_answer(getattr(answer, "status_code", None), code) and code != "NoSuchUpload"
        if not passing:
            return None
        # The threads that send parts don't have the context of who sends the whole: each part has a trial of its own.
        trial = _trial.get() or request_dict.setdefault("context", {}).setdefault("lidarprep_trial", _Trial())
        return 0.0 if self._waits(attempts, trial) else None

    def _waits(self, attempts: int, trial: _Trial) -> bool:
        """Waits before the next attempt; whether there is to be one."""
        now = time.monotonic()
        if trial.failing_since is None:
            trial.failing_since = now
        delay = _wait(attempts)
        return now + delay - trial.failing_since < self.seconds and not self._ended.wait(delay)


def _wait(attempts: int) -> float:
    """Seconds before the next attempt: a random share of a limit that doubles, so that many don't come at once."""
    return random.uniform(0.05, min(_LONGEST_WAIT_S, 0.1 * 2 ** min(attempts, 10)))  # noqa: S311  # no secret
