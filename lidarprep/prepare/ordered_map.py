"""Frames side by side: a bounded, ordered, concurrent map, and the memory budget that bounds it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, wait
from functools import partial
from threading import Condition
from typing import TypeVar

from lidarprep.errors import StorageError

Task = TypeVar("Task")
Result = TypeVar("Result")

# What all frames in flight may hold, about. They are estimated at their largest, which they are not all at once.
MOST_BYTES = 200_000_000


class MemoryBudget:
    """Admission control: limits concurrent frames by count and estimated memory.

    A frame is admitted while fewer than `workers` are being prepared, and one as large as the largest so far still
    fits beside what the others hold. As long as no size is known, one is admitted at a time. One is in any case,
    however large it is.

    Args:
        workers: How many frames may be prepared at once.
        in_flight: How many may be held at once, with those that are being stored.
        expected: What a frame is likely to hold, bytes; None where that is unknown.
        most_bytes: What all may hold.
    """

    def __init__(
        self, workers: int, in_flight: int, *, expected: int | None = None, most_bytes: int = MOST_BYTES
    ) -> None:
        self._workers = workers
        self._in_flight = in_flight
        self._most_bytes = most_bytes
        self._largest = expected
        self._held: dict[Admission, int] = {}
        self._preparing = 0
        self._changes = 0
        self._changed = Condition()

    def admit(self) -> Admission | None:
        """Admit a frame; None while there is no room for another."""
        with self._changed:
            fits = self._largest is not None and sum(self._held.values()) + self._largest <= self._most_bytes
            has_room = fits and self._preparing < self._workers and len(self._held) < self._in_flight
            if self._held and not has_room:
                return None
            admission = Admission(self)
            self._held[admission] = self._largest or 0
            self._preparing += 1
            return admission

    def wait_for_change(self, seen: int) -> None:
        """Wait until something has changed since the count of changes was `seen`."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes > seen)

    @property
    def changes(self) -> int:
        """How often something has changed."""
        return self._changes

    def update(self, admission: Admission, *, preparing: int = 0, held: int | None = None, measured: int = 0) -> None:
        """Count a frame that is no longer prepared, holds another amount, or none (held is None)."""
        with self._changed:
            self._preparing += preparing
            if measured:
                self._largest = max(measured, self._largest or 0)
            if held is None:
                self._held.pop(admission, None)
            elif admission in self._held:
                self._held[admission] = held
            self._changes += 1
            self._changed.notify_all()


class Admission:
    """One frame in flight, from its admission until nothing of it is held."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._is_prepared = False

    def encoded(self, measured: int, held: int) -> None:
        """The frame is prepared, which took `measured` bytes; `held` bytes of it are still held."""
        self._budget.update(self, preparing=0 if self._is_prepared else -1, held=held, measured=measured)
        self._is_prepared = True

    def release(self) -> None:
        """Nothing of the frame is held any more."""
        self._budget.update(self, preparing=0 if self._is_prepared else -1)
        self._is_prepared = True


def ordered_map(
    submit: Callable[[Task, Admission], Future[Result]],
    tasks: Iterable[Task],
    budget: MemoryBudget,
    *,
    hold: Callable[[Result], int] | None = None,
    on_error: Callable[[], None] = lambda: None,
) -> Generator[Result, None, None]:
    """Yield the results in the order of the tasks.

    A task that takes long keeps no other from being done. Once one has failed no more are begun. The first that failed
    is raised in its turn, but a StorageError, which all would meet, at once. When the generator is closed, what has
    not begun is cancelled, and nothing is waited for but after an error.

    Args:
        submit: Begins a task.
        tasks: Taken one by one as they are admitted.
        budget: Admits tasks.
        hold: What a result holds in memory until the next one is asked for; None for nothing.
        on_error: Called after an error, before what is under way is waited for.
    """
    left = iter(tasks)
    begun: deque[tuple[Future[Result], Admission]] = deque()
    failures: list[BaseException] = []
    takes_more = True

    def finish(future: Future[Result], admission: Admission) -> None:
        if not future.cancelled() and (failure := future.exception()) is not None:
            failures.append(failure)
        _release(future, admission, hold)

    def begin() -> None:
        nonlocal takes_more
        while takes_more and (admission := budget.admit()) is not None:
            for task in left:
                future = submit(task, admission)
                begun.append((future, admission))
                future.add_done_callback(partial(finish, admission=admission))
                break
            else:
                admission.release()
                takes_more = False

    try:
        while True:
            seen = budget.changes
            takes_more = takes_more and not failures
            for failure in failures:
                if isinstance(failure, StorageError):
                    raise failure
            begin()
            if begun and begun[0][0].done():
                first, admission = begun.popleft()
                yield first.result()
                del first  # with what it holds
                admission.release()
            elif begun:
                budget.wait_for_change(seen)
            elif not takes_more:
                return
    except Exception:
        # Nothing of this run is written after its error is raised; who stops it by Ctrl-C does not wait.
        on_error()
        for future, _ in begun:
            future.cancel()
        wait([future for future, _ in begun if not future.cancelled()])
        raise
    finally:
        for future, _ in begun:
            future.cancel()


def _release(done: Future[Result], admission: Admission, hold: Callable[[Result], int] | None) -> None:
    has_result = not done.cancelled() and done.exception() is None
    if hold is not None and has_result:
        size = hold(done.result())
        admission.encoded(size, size)
    else:
        admission.release()
