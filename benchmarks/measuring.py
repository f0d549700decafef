"""How things are timed: in turns with what they are compared with, and the best of many."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

# A run of the faster side repeats until it has had this share of the slower side's time, up to so many runs a turn.
SHARE_OF_A_TURN = 0.5
MOST_RUNS_A_TURN = 20
COPY_BYTES = 1 << 28


def best_times(ours: Callable[[], Any], theirs: Callable[[], Any], seconds: float) -> tuple[float, float]:
    """(ours, theirs): the best of many runs in turns, so that both see the same machine; both are warmed up first."""
    one, other = _Side(ours), _Side(theirs)
    one.run(), other.run()
    end = time.perf_counter() + seconds
    while not (time.perf_counter() > end and one.runs > 3 and other.runs > 3):
        slower = max(one.best, other.best)
        one.turn(slower), other.turn(slower)
    return one.best, other.best


class _Side:
    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.best = float("inf")
        self.runs = 0
        work()  # compiles, loads libraries, fills caches

    def run(self) -> None:
        start = time.perf_counter()
        self.work()
        self.best = min(self.best, time.perf_counter() - start)
        self.runs += 1

    def turn(self, slower: float) -> None:
        for _ in range(max(1, min(MOST_RUNS_A_TURN, int(SHARE_OF_A_TURN * slower / self.best)))):
            self.run()


def memcpy_bandwidth() -> float:
    """Bytes a second that one thread copies between arrays far larger than any cache."""
    source, target = np.ones(COPY_BYTES, dtype=np.uint8), np.zeros(COPY_BYTES, dtype=np.uint8)
    times = []
    for _ in range(12):
        start = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - start)
    return COPY_BYTES / min(times)


def peak_memory(work: Callable[[], Any]) -> int:
    """The most bytes that `work` had allocated at once, NumPy's arrays included."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
