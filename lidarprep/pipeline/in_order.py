"""Work that is done concurrently, and comes back in its order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

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
    pool: Executor, work: Callable[[Job], Result], jobs: Iterable[Job], *, in_flight: int
) -> Generator[Result, None, None]:
    """The results in the order of the jobs, with no more than `in_flight` of them taken up at once."""
    waiting: deque[Future[Result]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(work, job))
            if len(waiting) >= in_flight:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # After a failure nothing of this run may still be writing when it is cleaned up.
        for future in waiting:
            future.cancel()
        for future in waiting:
            if not future.cancelled():
                future.exception()
