"""Work that is done concurrently, is told of as soon as it is done, and comes back in its order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import TypeVar

from lidarprep.errors import StorageError

Job = TypeVar("Job")
Result = TypeVar("Result")


@contextmanager
def threads(executor: Executor | None, workers: int) -> Iterator[Executor]:
    """The caller's executor, left open; or a pool of our own, closed at the end."""
    if executor is not None:
        yield executor
        return
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="lidarprep") as pool:
        yield pool


def in_order(
    pool: Executor,
    work: Callable[[Job], Result],
    jobs: Iterable[Job],
    *,
    in_flight: int,
    on_done: Callable[[Result], None] | None = None,
    on_stop: Callable[[], None] | None = None,
) -> Generator[Result, None, None]:
    """The results in the order of the jobs, with no more than `in_flight` of them taken up at once.

    Args:
        pool: Where the work is done.
        work: What is done with each job.
        jobs: The jobs; each is taken when its turn comes.
        in_flight: How many may be under way, or done and not yet given.
        on_done: Told of each result as soon as it is there, whatever is before it, in the thread that takes the
            results; also of what was under way when that thread takes no more.
        on_stop: Called before the end of what is under way is waited for, where that is since the process is to end or
            nothing can be stored.
    """
    waiting: deque[Future[Result]] = deque()
    untold: set[Future[Result]] = set()

    def tell() -> None:
        for future in [future for future in untold if future.done()]:
            untold.remove(future)
            if on_done is not None and not future.cancelled() and future.exception() is None:
                on_done(future.result())

    def first() -> Result:
        while untold and not waiting[0].done():
            wait(untold, return_when=FIRST_COMPLETED)
            tell()
        tell()
        return waiting.popleft().result()

    try:
        for job in jobs:
            waiting.append(pool.submit(work, job))
            del job  # with the points that it may hold
            if on_done is not None:
                untold.add(waiting[-1])
            if len(waiting) >= in_flight:
                yield first()
        while waiting:
            yield first()
    except (KeyboardInterrupt, SystemExit, StorageError):
        if on_stop is not None:
            on_stop()
        raise
    finally:
        # After a failure nothing of this run may still be writing when it is cleaned up.
        for future in waiting:
            future.cancel()
        wait([future for future in waiting if not future.cancelled()])
        with suppress(StorageError):  # what cannot be recorded any more must not hide why this ends
            tell()
