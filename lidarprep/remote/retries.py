"""How long requests to a store are tried again: the same for reading and for writing, for boto and for obstore.

What fails in passing is tried again for minutes, around the client's own few retries: a laptop's Wi-Fi comes back, a
store that is overloaded recovers. The budget counts from the first failure of a request to its last attempt; what
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
from tenacity.nap import sleep_using_event

Value = TypeVar("Value")

log = logging.getLogger(__name__)

# A server on this machine that refuses connections is not running: it is not waited for.
_LOOPBACK_BUDGET_S = 5.0

# From so many seconds of failure on, a person is told.
_SAY_AFTER_S = 3.0


class RetryBudget:
    """How long requests to one store are tried.

    Args:
        minutes: From a request's first failure to its last attempt.
        endpoint: The store's address, which a message to a person names.
        is_passing: Tells whether an error may be gone the next time.
        is_refused: Tells whether an error is a connection that was refused.
        reason: Says what an error is, for a person.
    """

    def __init__(
        self,
        minutes: float,
        endpoint: str,
        *,
        is_passing: Callable[[BaseException], bool],
        is_refused: Callable[[BaseException], bool],
        reason: Callable[[BaseException], str],
    ) -> None:
        self._seconds = minutes * 60
        self._endpoint = endpoint
        self._is_passing = is_passing
        self._is_refused = is_refused
        self._reason = reason
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
            if error is not None and self._is_refused(error) and _is_loopback(self._endpoint):
                budget = min(budget, _LOOPBACK_BUDGET_S)
            failing = now - first_failure[0]
            self._say_once(error, failing, budget)
            return self._closed.is_set() or failing + state.upcoming_sleep > budget

        retrying = Retrying(
            retry=retry_if_exception(self._is_passing),
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
                self._reason(error) if error is not None else "no answer",
                (budget - failing) / 60,
            )


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
