"""500 creates: `asyncio.gather` on AsyncScaleClient against 16 threads on ScaleClient, a sandbox in its own process.

    python -m benchmarks.api [--creates 500] [--rounds 3]

The ratio is of one run: rounds of both take turns, and the best of each counts.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from lidarprep.api import AsyncScaleClient, ScaleClient

THREADS = 16
TASK: dict[str, Any] = {
    "project": "street",
    "attachments": [f"s3://bucket/scene/{frame:06}.json" for frame in range(50)],
    "attachment_type": "json",
    "labels": ["car", "pedestrian", "cyclist"],
}


@contextmanager
def sandbox() -> Iterator[str]:
    """Serve a sandbox in a process of its own; yield its address."""
    words = [sys.executable, "-m", "lidarprep", "sandbox", "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = process.stderr.readline().partition("API: ")[2].split()[0]
        try:
            yield url
        finally:
            process.terminate()


def by_gather(url: str, creates: int) -> None:
    """Begin all creates at once on one asynchronous client."""

    async def run() -> None:
        async with AsyncScaleClient("test_benchmark", url) as client:
            made = await asyncio.gather(*(client.create_lidar_annotation(**TASK) for _ in range(creates)))
        assert len({task.id for task in made}) == creates

    asyncio.run(run())


def by_threads(url: str, creates: int) -> None:
    """Share the creates out to threads on one blocking client."""
    with ScaleClient("test_benchmark", url) as client, ThreadPoolExecutor(THREADS) as pool:
        made = pool.map(lambda _: client.create_lidar_annotation(**TASK), range(creates))
        assert len({task.id for task in made}) == creates


def seconds(function: Callable[[str, int], None], url: str, creates: int) -> float:
    """Return the time that it takes."""
    begun = time.perf_counter()
    function(url, creates)
    return time.perf_counter() - begun


def main() -> None:
    """Measure, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--creates", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    times: dict[str, list[float]] = {"gather": [], f"{THREADS} threads": []}
    with sandbox() as url:
        by_threads(url, THREADS)  # connections, imports
        for _ in range(options.rounds):
            for (name, found), function in zip(times.items(), (by_gather, by_threads), strict=True):
                found.append(seconds(function, url, options.creates))
                print(f"{name}: {found[-1]:.2f} s, {options.creates / found[-1]:.0f} creates a second", flush=True)
    gather, threads = (min(found) for found in times.values())
    print(f"gather takes {gather / threads:.2f} times as long as {THREADS} threads")


if __name__ == "__main__":
    main()
