"""A program that submits tasks, each with a unique_id of its own: to be killed, and run again.

    python submitting_child.py URL COUNT SEED

It prints "ready" before the first request, and the ids of all tasks by unique_id, as JSON, after the last.
"""

import json
import random
import sys
from concurrent.futures import ThreadPoolExecutor

from lidarprep.api import ScaleClient


def parameters(number: int) -> dict[str, object]:
    return {
        "project": f"project-{number}",
        "attachments": [f"https://example.com/{number}.sfs"],
        "scene_format": "sensor_fusion",
        "unique_id": f"drive-{number}",
        "metadata": {"number": number},
    }


def main(url: str, count: int, seed: int) -> None:
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)  # so that every run is killed at other tasks
    with ScaleClient("test_key", url, retries=12, sleep=lambda _: None) as client, ThreadPoolExecutor(4) as pool:
        print("ready", flush=True)
        tasks = pool.map(lambda number: client.create_task("multistage", parameters(number)), numbers)
        print(json.dumps({task.unique_id: task.id for task in tasks}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
