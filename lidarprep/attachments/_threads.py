"""Threads that encode one frame: as many as are worth it, and as have a core free."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

# Below this many points a thread, dispatch costs more than it saves.
POINTS_A_THREAD = 20_000

_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_writing = 0
_lock = threading.Lock()


@cache
def thread_pool() -> ThreadPoolExecutor:
    """Return the pool of threads that help encode; kernels release the GIL."""
    return ThreadPoolExecutor(_CORES, thread_name_prefix="lidarprep-encode")


def _after_fork() -> None:
    """Reset the state in a child process, which does not inherit the threads."""
    global _writing, _lock
    _writing, _lock = 0, threading.Lock()
    thread_pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def writing_threads(points: int, wanted: int | None) -> Iterator[int]:
    """Yield the number of threads to write that many points with; concurrent writers share the cores.

    Args:
        points: Number of points.
        wanted: The number of threads to use; None to choose it.
    """
    global _writing
    with _lock:
        _writing += 1
        free = max(1, _CORES // _writing)
    try:
        yield max(1, min(free, points // POINTS_A_THREAD) if wanted is None else min(wanted, max(1, points)))
    finally:
        with _lock:
            _writing -= 1
