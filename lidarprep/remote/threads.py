"""Threads that read from stores: where their user fails or is stopped, they try no request again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

Value = TypeVar("Value")

_of_thread = threading.local()


def is_given_up() -> bool:
    """Tell whether nobody waits any more for what this thread does."""
    return any(event.is_set() for event in _events())


def pool_of_readers(count: int | None, name: str, given_up: threading.Event) -> ThreadPoolExecutor:
    """Return a thread pool whose requests are tried again until an event is set, here or where the caller was made."""
    return ThreadPoolExecutor(count, name, _heed, ((*_events(), given_up),))


@contextmanager
def reading_threads(
    count: int | None = None, name: str = "lidarprep-read", given_up: threading.Event | None = None
) -> Iterator[ThreadPoolExecutor]:
    """Open a thread pool that reads from stores, as the `with` statement of `ThreadPoolExecutor` does.

    After a failure what is queued is cancelled, and no request is tried again. A stop (Ctrl-C) waits for nothing.

    Args:
        count: Threads.
        name: Their names' beginning.
        given_up: Set after a failure, or before by who knows of it first.
    """
    given_up = given_up or threading.Event()
    pool = pool_of_readers(count, name, given_up)
    try:
        yield pool
    except BaseException as failure:
        given_up.set()
        pool.shutdown(wait=isinstance(failure, Exception), cancel_futures=True)
        raise
    pool.shutdown()


def in_view_of_signals(request: Callable[[], Value], every_s: float, still_waits: Callable[[], None]) -> Value:
    """Make a request that no signal interrupts, and wait for it so that one does.

    Python handles signals in the main thread, and there only between two steps of its own. So the main thread has
    another one make the request; in other threads it is made as it is.

    Args:
        request: Makes it.
        every_s: After so many seconds the main thread tells that it waits.
        still_waits: Told so.
    """
    if threading.current_thread() is not threading.main_thread():
        return request()
    answer: Future[Value] = Future()

    def make() -> None:
        try:
            answer.set_result(request())
        except BaseException as error:  # noqa: BLE001  # it is raised by who waits
            answer.set_exception(error)

    # Not of a pool: the end of the process waits for no answer.
    threading.Thread(target=make, name="lidarprep-request", daemon=True).start()
    while not wait([answer], every_s).done:
        still_waits()
    return answer.result()


def _events() -> tuple[threading.Event, ...]:
    events: tuple[threading.Event, ...] = getattr(_of_thread, "events", ())
    return events


def _heed(events: tuple[threading.Event, ...]) -> None:
    _of_thread.events = events
