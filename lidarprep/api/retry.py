"""When a request is tried again, and how long to wait before it is: the same for any client."""

from __future__ import annotations

import logging
import random
from functools import partial
from typing import Any, TypedDict

from tenacity import RetryCallState, retry_if_result, wait_exponential, wait_random
from tenacity.retry import retry_base
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from lidarprep.api.exchange import Failure

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 20.0
# Jitter keeps many clients that failed together from coming back together.
JITTER_S = 0.5
# A server on this machine that refuses a connection is not there, however long one waits; unless it is just starting.
REFUSED_HERE_RETRIES = 3
# A server may ask for a longer wait than a person would sit through.
LONGEST_RETRY_AFTER_S = 120.0

log = logging.getLogger(__name__)


class RetryPolicy(TypedDict):
    """Arguments of tenacity's `Retrying` and `AsyncRetrying`."""

    stop: stop_base
    wait: wait_base
    retry: retry_base
    before_sleep: Any
    retry_error_callback: Any


def retry_policy(retries: int) -> RetryPolicy:
    """Tries again what failed for reasons that pass, `retries` times at most, then gives back the last Failure.

    Args:
        retries: How often to try again after the first time.
    """
    return RetryPolicy(
        stop=_Stop(retries),
        wait=_Wait(),
        retry=retry_if_result(lambda outcome: isinstance(outcome, Failure) and outcome.retry),
        before_sleep=partial(_log_retry, retries),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )


class _Stop(stop_base):
    """After so many retries, or fewer where the failure says so."""

    def __init__(self, retries: int) -> None:
        self._retries = retries

    def __call__(self, retry_state: RetryCallState) -> bool:
        return retry_state.attempt_number > _retries(self._retries, _failure(retry_state))


def _retries(usual: int, failure: Failure) -> int:
    return usual if failure.most_retries is None else min(usual, failure.most_retries)


class _Wait(wait_base):
    """As long as the server asked for, or else ever longer; and a little more, by chance."""

    _growing = wait_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S) + wait_random(0, JITTER_S)

    def __call__(self, retry_state: RetryCallState) -> float:
        growing = self._growing(retry_state)
        asked = _failure(retry_state).after_s
        if asked is None:
            return growing
        # Calls that were sent away together are told the same time to come back: each further time they come back more
        # apart from one another.
        apart = random.uniform(0, JITTER_S * retry_state.attempt_number)  # noqa: S311 — no secret
        return max(min(asked, LONGEST_RETRY_AFTER_S), 0.0) + apart


def _log_retry(retries: int, state: RetryCallState) -> None:
    wait_s = state.next_action.sleep if state.next_action else 0.0
    failure = _failure(state)
    most = _retries(retries, failure)
    log.warning("%s; trying again in %.1f s (%d of %d)", failure.error.message, wait_s, state.attempt_number, most)


def _failure(state: RetryCallState) -> Failure:
    outcome = state.outcome.result() if state.outcome else None
    assert isinstance(outcome, Failure), "only failures are tried again"  # noqa: S101
    return outcome
