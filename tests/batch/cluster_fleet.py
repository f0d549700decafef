"""A fleet on a cluster of machines: a store, the sandbox, a scheduler, workers, and the command that prepares it.

    python -m tests.batch.cluster_fleet ENDPOINT

prints what the bucket holds as JSON, read by boto3 alone: it runs on the machine of the command.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.batch.machines import ROOT, Machine, Network, free_port, python, wait_until

BUCKET = "fleet"
STORE, API, SCHEDULER, COMMAND = "store", "api", "scheduler", "command"

# A scheduler that nothing reaches is noticed sooner than after 30 s, and so is a worker.
DASK = {
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "8s",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "40s",
}


@dataclass
class Fleet:
    """A running cluster, and a batch file for it.

    Args:
        network: Its machines.
        endpoint: Of the store.
        batch_file: Scenes, each with a task.
        workers: The workers.
        scheduler: The scheduler.
        tasks: The sandbox's database.
    """

    network: Network
    endpoint: str
    batch_file: Path
    workers: list[Machine]
    scheduler: Machine
    scheduler_url: str
    tasks: Path
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start `lidarprep batch` on the machine of the command."""
        command = ["-m", "lidarprep", "batch", *words, "--cluster", self.scheduler_url, "--submit", "--json"]
        return self._popen(python(*command))

    def stored(self) -> dict[str, Any]:
        """What the bucket holds: ledger, manifests by scene, and all keys."""
        out, err = self._popen(python("-m", "tests.batch.cluster_fleet", self.endpoint)).communicate(timeout=300)
        assert out, err
        found: dict[str, Any] = json.loads(out)
        return found

    def task_ids(self) -> list[str]:
        with sqlite3.connect(f"file:{self.tasks}?mode=ro", uri=True) as database:
            return [row[0] for row in database.execute("SELECT task_id FROM tasks ORDER BY number")]

    def _popen(self, command: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.network.inside(COMMAND, command),
            env=os.environ | {"PYTHONPATH": str(ROOT)} | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@contextmanager
def running_fleet(scratch: Path, recordings: list[Path], *, workers: int, isolated: bool) -> Iterator[Fleet]:
    """Give a cluster with a store and a sandbox, each on a machine of its own."""
    names = [f"worker{n}" for n in range(workers)]
    network = Network(scratch, [STORE, API, SCHEDULER, COMMAND, *names], isolated=isolated)
    store_port, api_port, port = (8000, 8001, 8786) if isolated else (free_port(), free_port(), free_port())
    endpoint = f"http://{network.address(STORE)}:{store_port}"
    api = f"http://{network.address(API)}:{api_port}/v1"
    scheduler_url = f"tcp://{network.address(SCHEDULER)}:{port}"
    keys = {"SCALE_API_KEY": "test_key_of_nobody"}
    database = scratch / "tasks.sqlite"
    serve = f"from lidarprep.sandbox import serve; serve({api_port}, {str(database)!r}, host={network.address(API)!r})"
    moto = ["-m", "moto.server", "-H", network.address(STORE), "-p", str(store_port)]
    dask = ["-m", "dask", "scheduler", "--host", network.address(SCHEDULER), "--port", str(port), "--no-dashboard"]
    with ExitStack() as stack:
        stack.enter_context(network.up())
        stack.enter_context(Machine(network, STORE, python(*moto)).running())
        stack.enter_context(Machine(network, API, python("-c", serve)).running())
        scheduler = stack.enter_context(Machine(network, SCHEDULER, python(*dask), DASK).running())
        machines = [
            stack.enter_context(
                Machine(network, name, python(*_worker(scheduler_url, network.address(name))), DASK | keys).running()
            )
            for name in names
        ]
        batch_file = scratch / "batch.yaml"
        batch_file.write_text(json.dumps(_batch(recordings, endpoint, api)))
        fleet = Fleet(network, endpoint, batch_file, machines, scheduler, scheduler_url, database, DASK | keys)
        wait_until(database.exists, "the sandbox")
        fleet.stored()  # makes the bucket, once the store answers
        yield fleet


def _worker(scheduler_url: str, address: str) -> list[str]:
    words = ["-m", "dask", "worker", scheduler_url, "--host", address, "--nthreads", "1", "--no-nanny"]
    return [*words, "--no-dashboard", "--death-timeout", "60", "--local-directory", "/tmp"]


def _batch(recordings: list[Path], endpoint: str, api: str) -> dict[str, Any]:
    params = {"project": "fleet", "callback_url": "https://example.com/done", "labels": ["car"]}
    return {
        "out": f"s3://{BUCKET}/run/{{name}}",
        "recipe": {"checks": "quick"},
        "storage": {"endpoint_url": endpoint, "path_style": True},
        "task": {"type": "lidarsegmentation", "params": params, "api_url": api},
        "scenes": [str(path) for path in recordings],
    }


def disturb(
    fleet: Fleet, command: subprocess.Popen[str], draw: random.Random, *, kills: int, cuts: int, of: int
) -> None:
    """Kill workers at random moments, cut one off, and restart the scheduler, while the command prepares `of` scenes.

    Moments are drawn by how many tasks there are, and a part of a second: so they are spread over the run, however fast
    the machine is.
    """
    marks = sorted(draw.uniform(0, 0.95 * of) for _ in range(kills + cuts + 1))
    events = ["kill"] * kills + ["cut"] * cuts + ["restart"]
    draw.shuffle(events)
    for mark, event in zip(marks, events, strict=True):
        wait_until(
            lambda mark=mark: len(fleet.task_ids()) >= mark or command.poll() is not None,  # type: ignore[misc]
            f"task {mark:.0f}",
            900,
        )
        if command.poll() is not None:
            break
        time.sleep(draw.uniform(0, 0.6))
        machine = draw.choice(fleet.workers)
        if event == "kill":
            machine.kill()
        elif event == "restart":
            fleet.scheduler.kill()
        else:
            fleet.network.cut(machine)
            time.sleep(25)  # longer than TCP waits
            fleet.network.join(machine)


def main() -> None:
    """Print what the bucket holds; make it if there is none."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import EndpointConnectionError

    client: Any = boto3.client("s3", endpoint_url=sys.argv[1], config=Config(retries={"max_attempts": 10}))
    for _ in range(600):
        try:
            if BUCKET not in {one["Name"] for one in client.list_buckets()["Buckets"]}:
                client.create_bucket(Bucket=BUCKET)
            break
        except EndpointConnectionError:
            time.sleep(0.1)

    def text(key: str) -> str:
        return str(client.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode())

    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    manifests = {key.split("/")[1]: json.loads(text(key)) for key in keys if key.endswith("/manifest.json")}
    ledger = [json.loads(line) for key in keys if key.endswith("batch.jsonl") for line in text(key).splitlines()]
    json.dump({"ledger": ledger, "manifests": manifests, "keys": keys}, sys.stdout)


if __name__ == "__main__":
    main()
