"""How long requests to a store are tried again: the same for reading and for writing, for boto and for obstore.

What fails in passing is tried again for minutes, around the client's own few retries: a laptop's Wi-Fi comes back, a
store that is overloaded recovers. The budget counts from the beginning of the first attempt to that of the last; what
succeeds may take as long as it takes.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from lidarprep.remote.threads import in_view_of_signals, is_given_up

Value = TypeVar("Value")

log = logging.getLogger(__name__)

# A server on this machine that refuses connections is not running: it is not waited for.
_LOOPBACK_BUDGET_S = 5.0

# From so many seconds of failure on, a person is told.
_SAY_AFTER_S = 3.0

# From so many seconds without an answer on, too.
_SAY_SILENCE_AFTER_S = 10.0

# A wait for the next attempt ends so many seconds after nobody waits for it any more.
_LOOK_EVERY_S = 0.2


class RetryBudget:
    """How long requests to one store are tried.

    Args:
        minutes: From the beginning of a request's first attempt to that of its last.
        endpoint: The store's address, which a message to a person names.
        is_passing: Tells whether an error may be gone the next time.
        is_refused: Tells whether an error is a connection that was refused.
        reason: Says what an error is, for a person.
        is_native: Whether no signal interrupts a request, since it is not Python that waits for the answer.
    """

    def __init__(
        self,
        minutes: float,
        endpoint: str,
        *,
        is_passing: Callable[[BaseException], bool],
        is_refused: Callable[[BaseException], bool],
        reason: Callable[[BaseException], str],
        is_native: bool = False,
    ) -> None:
        self._seconds = minutes * 60
        self._endpoint = endpoint
        self._is_passing = is_passing
        self._is_refused = is_refused
        self._reason = reason
        self._is_native = is_native
        self._closed = threading.Event()
        self._said_until = float("-inf")

    def close(self) -> None:
        """Try nothing again from now on; a wait for the next attempt ends."""
        self._closed.set()

    def call(self, function: Callable[[], Value], *, at_most_s: float | None = None, is_long: bool = False) -> Value:
        """Call a function until it succeeds, fails for good, or the budget is used up; raise its last error.

        Args:
            function: Makes the request.
            at_most_s: How long it is tried, if that is less than the budget.
            is_long: Whether an attempt may be longer than the budget, such as an upload in parts. Then the budget
                counts from the end of the first attempt.
        """
        budget = min(self._seconds, at_most_s or self._seconds)
        began = None if is_long else time.monotonic()

        def is_used_up(state: RetryCallState) -> bool:
            nonlocal began
            now = time.monotonic()
            began = now if began is None else began
            error = state.outcome.exception() if state.outcome is not None else None
            most = budget
            if error is not None and self._is_refused(error) and _is_loopback(self._endpoint):
                most = min(budget, _LOOPBACK_BUDGET_S)
            left = began + most - now
            if self._is_stopped() or state.upcoming_sleep > left:
                return True
            if now - began > _SAY_AFTER_S and most > _LOOPBACK_BUDGET_S:
                self._say(f"fails ({self._reason(error) if error is not None else 'no answer'})", left)
            return False

        def is_silent() -> None:
            if began is not None and (left := began + budget - time.monotonic()) > 0:
                self._say("gives no answer yet", left)

        retrying = Retrying(
            retry=retry_if_exception(self._is_passing),
            wait=wait_random_exponential(multiplier=0.2, min=0.05, max=20),
            stop=is_used_up,
            sleep=self._sleep,
            reraise=True,
        )

        def attempt() -> Value:
            return in_view_of_signals(function, _SAY_SILENCE_AFTER_S, is_silent) if self._is_native else function()

        return retrying(attempt)

    def _is_stopped(self) -> bool:
        return self._closed.is_set() or is_given_up()

    def _sleep(self, seconds: float) -> None:
        while seconds > 0 and not self._is_stopped():
            self._closed.wait(min(seconds, _LOOK_EVERY_S))
            seconds -= _LOOK_EVERY_S

    def _say(self, what: str, left: float) -> None:
        """Warn, unless a warning holds still: it holds for the time that it tells."""
        now = time.monotonic()
        if now >= self._said_until:
            self._said_until = now + left
            log.warning("%s %s; trying for %.3g minutes more (--give-up-after)", self._endpoint, what, left / 60)


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
