"""Work that is done concurrently, is told of as soon as it is done, and comes back in its order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Protocol, TypeVar

from lidarprep.errors import StorageError
from lidarprep.pipeline.in_flight import Flight, InFlight


class Result(Protocol):
    """What becomes of a job."""

    @property
    def in_memory(self) -> int:
        """About what was held in memory while it was worked on, in bytes; 0 where that is not known."""


Job = TypeVar("Job")
Done = TypeVar("Done", bound=Result)


def in_order(
    submit: Callable[[Job, Flight], Future[Done]],
    jobs: Iterable[Job],
    in_flight: InFlight,
    *,
    held: bool = False,
    on_done: Callable[[Done], None] | None = None,
    on_stop: Callable[[], None] | None = None,
) -> Generator[Done, None, None]:
    """The results in the order of the jobs.

    One that takes long keeps none of the others from being done, only from being given. Once one has failed no more
    are taken up. The first that has failed is raised in its turn, but a StorageError, which all would meet, at once.

    Args:
        submit: Has a job done; may measure its flight, and put it by, where that can be said before its end.
        jobs: The jobs; each is taken when it is taken up.
        in_flight: Says when another may be taken up.
        held: Whether a result holds in memory what was worked on, until it was given and the next is asked for.
        on_done: Told of each result as soon as it is there, whatever is before it, in the thread that takes the
            results; also of what was under way when that thread takes no more.
        on_stop: Called before the end of what is under way is waited for, where that is since the process is to end or
            nothing can be stored.
    """
    left = iter(jobs)
    waiting: deque[tuple[Future[Done], Flight]] = deque()
    untold: set[Future[Done]] = set()
    takes_more = True

    def take_up() -> None:
        nonlocal takes_more
        while takes_more and in_flight.has_room:
            for job in left:
                flight = in_flight.begin()
                try:
                    future = submit(job, flight)
                except BaseException:
                    flight.end()
                    raise
                waiting.append((future, flight))
                untold.add(future)
                future.add_done_callback(_ended(flight, held=held))
                break
            else:
                takes_more = False

    def tell() -> None:
        nonlocal takes_more
        for future in [future for future in untold if future.done()]:
            untold.remove(future)
            failure = None if future.cancelled() else future.exception()
            if isinstance(failure, StorageError):
                raise failure
            takes_more = takes_more and failure is None
            if on_done is not None and _has_result(future):
                on_done(future.result())

    try:
        while True:
            in_flight.look()
            tell()
            take_up()
            if waiting and waiting[0][0].done():
                tell()  # of the first, where that was done a moment ago
                first, flight = waiting.popleft()
                yield first.result()
                del first  # with what it may hold
                flight.end()
            elif waiting:
                in_flight.wait()
            elif not takes_more:
                return
    except (KeyboardInterrupt, SystemExit, StorageError):
        if on_stop is not None:
            on_stop()
        raise
    finally:
        # After a failure nothing of this run may still be writing when it is cleaned up.
        for future, _ in waiting:
            future.cancel()
        wait([future for future, _ in waiting if not future.cancelled()])
        for future in filter(_has_result, untold):
            with suppress(StorageError):  # what cannot be recorded any more must not hide why this ends
                if on_done is not None:
                    on_done(future.result())


def _ended(flight: Flight, *, held: bool) -> Callable[[Future[Done]], None]:
    def ended(future: Future[Done]) -> None:
        if _has_result(future):
            flight.measure(future.result().in_memory)
            if held:
                return
        flight.end()

    return ended


def _has_result(future: Future[Done]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
