"""A program that submits tasks, each with a unique_id of its own: to be killed, and run again.

    python submitting_child.py URL CLIENT COUNT SEED [STOP_AFTER]

CLIENT is "sync" or "async". It prints "ready" before the first request, and the ids of all tasks by unique_id, as JSON,
after the last. With STOP_AFTER it prints "stopped" after so many tasks, and waits to be killed amid other requests.
"""

import asyncio
import itertools
import json
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from lidarprep.api import AsyncScaleClient, AsyncTask, ScaleClient, Task


def parameters(number: int) -> dict[str, object]:
    return {
        "project": f"project-{number}",
        "attachments": [f"https://example.com/{number}.sfs"],
        "scene_format": "sensor_fusion",
        "unique_id": f"drive-{number}",
        "metadata": {"number": number},
    }


def submit(url: str, numbers: list[int], stop_after: int) -> list[Task]:
    made = itertools.count(1)

    def create(number: int) -> Task:
        task = client.create_task("multistage", parameters(number))
        if (count := next(made)) >= stop_after:
            if count == stop_after:
                print("stopped", flush=True)
            threading.Event().wait()
        return task

    with ScaleClient("test_key", url, retries=12, sleep=lambda _: None) as client, ThreadPoolExecutor(4) as pool:
        return list(pool.map(create, numbers))


async def submit_async(url: str, numbers: list[int], stop_after: int) -> list[AsyncTask]:
    made = itertools.count(1)

    async def sleep(_: float) -> None:
        await asyncio.sleep(0)

    async def create(number: int) -> AsyncTask:
        task = await client.create_task("multistage", parameters(number))
        if (count := next(made)) >= stop_after:
            if count == stop_after:
                print("stopped", flush=True)
            await asyncio.Event().wait()
        return task

    async with AsyncScaleClient("test_key", url, retries=12, sleep=sleep, max_connections=4) as client:
        return await asyncio.gather(*map(create, numbers))


def main(url: str, client: str, count: int, seed: int, stop_after: int) -> None:
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)  # so that every run is killed at other tasks
    print("ready", flush=True)
    tasks: list[Task] | list[AsyncTask]
    if client == "sync":
        tasks = submit(url, numbers, stop_after)
    else:
        tasks = asyncio.run(submit_async(url, numbers, stop_after))
    print(json.dumps({task.unique_id: task.id for task in tasks}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int([*sys.argv, sys.maxsize][5]))
