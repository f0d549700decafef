"""What a team relies on, at the size it relies on it: over real HTTP, against a sandbox that behaves badly."""

import asyncio
import base64
import contextlib
import json
import logging
import os
import pickle
import signal
import socket
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.api import AsyncScaleClient, ScaleClient
from lidarprep.errors import ApiError, RateLimitError, ServerError, TransportError
from lidarprep.sandbox import FAULT_KINDS, Faults, running_sandbox
from tests.api import submitting_child
from tests.scenes import write_toolkit_scene

RETRIES = 14  # a fault each time has a chance of 0.3 ** 15: none in all the runs that there will be


def parameters(number: int) -> dict[str, Any]:
    """Of a submission that is like no other. Every second one has a unique_id."""
    named = {"unique_id": f"drive-{number}"} if number % 2 else {}
    return {
        "project": f"project-{number}",
        "attachments": [f"https://example.com/{number}.sfs"],
        "scene_format": "sensor_fusion",
        "metadata": {"number": number},
        "tags": [f"tag-{number}"],
        **named,
    }


def stored(database: Path) -> list[dict[str, Any]]:
    """All tasks in a sandbox's file, read without the sandbox's own code."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return [json.loads(document) for (document,) in connection.execute("SELECT document FROM tasks")]


def by_threads(url: str, count: int) -> list[str]:
    with ScaleClient("test_key", url, retries=RETRIES, sleep=lambda _: None) as client, ThreadPoolExecutor(8) as pool:
        tasks = pool.map(lambda number: client.create_task("multistage", parameters(number)), range(count))
        return [task.id for task in tasks]


async def no_sleep(_: float) -> None:
    await asyncio.sleep(0)


def by_asyncio(url: str, count: int) -> list[str]:
    async def run() -> list[str]:
        async with AsyncScaleClient("test_key", url, retries=RETRIES, max_connections=16, sleep=no_sleep) as client:
            submissions = (client.create_task("multistage", parameters(number)) for number in range(count))
            return [task.id for task in await asyncio.gather(*submissions)]

    return asyncio.run(run())


@pytest.mark.parametrize("submit", [by_threads, by_asyncio])
@pytest.mark.parametrize("count", [80, pytest.param(500, marks=pytest.mark.trial)])
def test_submissions_over_a_bad_line_are_as_many_tasks_that_their_callers_know(
    submit: Callable[[str, int], list[str]], count: int, tmp_path: Path
) -> None:
    database = tmp_path / "tasks.sqlite"
    faults = Faults(rate=0.3, seed=5, latency_s=0.002, retry_after_s=1)
    with running_sandbox(database=database, faults=faults) as sandbox:
        ids = submit(sandbox.url, count)
        made = sandbox.faults.describe()["made"]
    assert {kind for kind, times in made.items() if times >= count / 80} == set(FAULT_KINDS)
    tasks = {task["task_id"]: task for task in stored(database)}
    assert len(tasks) == len(stored(database)) == count
    assert set(ids) == set(tasks)
    for number, task_id in enumerate(ids):
        task, sent = tasks[task_id], parameters(number)
        assert (task["project"], task["metadata"], task["tags"]) == (sent["project"], sent["metadata"], sent["tags"])
        assert task["params"]["attachments"] == sent["attachments"]
        assert task.get("unique_id") == sent.get("unique_id")


@pytest.mark.parametrize(
    ("client", "count", "kills"),
    [
        ("sync", 40, (2, 15)),
        ("async", 40, (8,)),
        pytest.param("sync", 100, range(12), marks=pytest.mark.trial),
        pytest.param("async", 100, range(12), marks=pytest.mark.trial),
    ],
)
def test_a_program_that_is_killed_and_run_again_makes_no_task_twice(
    client: str, count: int, kills: Sequence[int], tmp_path: Path
) -> None:
    database = tmp_path / "tasks.sqlite"
    faults = Faults(rate=0.3, seed=7, latency_s=0.002, retry_after_s=0)

    def started(url: str, *words: int) -> subprocess.Popen[str]:
        command = [sys.executable, str(submitting_child.__file__), url, client, str(count), *map(str, words)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        return child

    with running_sandbox(database=database, faults=faults) as sandbox:
        for seed, tasks_made in enumerate(kills):
            with started(sandbox.url, seed, *([tasks_made] if tasks_made else [])) as child:
                said = child.stdout.readline() if child.stdout and tasks_made else "stopped\n"
                child.kill()
            assert said == "stopped\n"
            assert child.returncode < 0  # it was stopped amid its work: it had not ended by itself
        with started(sandbox.url, len(kills)) as child:
            ids = json.loads(child.communicate()[0])
        assert child.returncode == 0
    tasks = stored(database)
    assert len(tasks) == count
    assert {task["unique_id"]: task["task_id"] for task in tasks} == ids
    for task in tasks:
        assert task["project"] == submitting_child.parameters(task["metadata"]["number"])["project"]
        assert task["unique_id"] == f"drive-{task['metadata']['number']}"


def test_every_429_is_waited_out_as_long_as_it_asks() -> None:
    waits: list[float] = []
    schedule = ("rate-limit", "rate-limit", "rate-limit", None) * 5
    faults = Faults(schedule=schedule, retry_after_s=30)
    with running_sandbox(faults=faults) as sandbox:
        with ScaleClient("test_key", sandbox.url, sleep=waits.append) as client:
            made = [client.create_task("multistage", parameters(number)).id for number in range(5)]
        assert sandbox.store.page(limit=1).total == len(set(made)) == 5
    assert len(waits) == 15
    assert all(30 <= wait <= 32 for wait in waits)


@pytest.mark.parametrize("calls", [40, pytest.param(200, marks=pytest.mark.trial)])
def test_many_calls_at_once_hold_though_many_are_sent_away_at_first(calls: int) -> None:
    waits = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    async def run(url: str) -> list[str]:
        async with AsyncScaleClient("test_key", url, retries=RETRIES, sleep=sleep) as client:
            made = await asyncio.gather(*(client.create_task("multistage", parameters(n)) for n in range(calls)))
            known = await asyncio.gather(*(client.get_task(task.id) for task in made))
            assert [task.metadata for task in known] == [{"number": number} for number in range(calls)]
            return [task.id for task in made]

    faults = Faults(rate=0.3, kinds=("rate-limit",), seed=3, retry_after_s=9)
    with running_sandbox(faults=faults) as sandbox:
        made = asyncio.run(run(sandbox.url))
        assert sandbox.store.page(limit=1).total == len(set(made)) == calls
        assert len(waits) == sandbox.faults.describe()["made"]["rate-limit"] > calls / 4
    assert all(wait >= 9 for wait in waits)


KEY = "live_s3cr3t0123456789abcdef"
FORMS = (KEY, KEY.removeprefix("live_"), base64.b64encode(f"{KEY}:".encode()).decode().rstrip("="))

# Everything that is logged, and each local variable of a traceback that ends the program, goes to stderr.
TALKATIVE = """
import logging, sys, traceback
logging.basicConfig(level=logging.DEBUG)
def tell(*error):
    sys.stderr.writelines(traceback.TracebackException(*error, capture_locals=True).format())
sys.excepthook = tell
traceback.print_exc = lambda: tell(*sys.exc_info())
from lidarprep.cli import main
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What prepare stored of a small recording."""
    folder = tmp_path_factory.mktemp("prepared")
    lp.prepare(lp.open_scene(write_toolkit_scene(folder / "recording")), lp.Recipe(), str(folder / "out"))
    return folder / "out" / "manifest.json"


def submitting(manifest: Path, url: str, *, key: str = KEY) -> subprocess.Popen[str]:
    """`lidarprep --debug submit`, as talkative as can be."""
    task = ("--type", "lidarannotation", "--param", 'labels=["car"]', "--unique-id", "auto", "--live")
    return subprocess.Popen(
        [sys.executable, "-c", TALKATIVE, "--debug", "submit", str(manifest), *task],
        env={**os.environ, "SCALE_API_KEY": key, "SCALE_API_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def assert_no_key_in(printed: str) -> None:
    for form in FORMS:
        assert form not in printed


@pytest.mark.parametrize("key", [KEY, f"{KEY}:"])
def test_a_refused_submission_shows_the_key_nowhere_at_debug_level(manifest: Path, key: str) -> None:
    with running_sandbox(api_keys={"another"}) as sandbox:
        printed = submitting(manifest, sandbox.url, key=key).communicate()[0]
    assert ("UnauthorizedError" if key == KEY else "MissingKeyError") in printed
    assert "self = ScaleClient(" in printed  # local variables are shown, indeed
    assert "DEBUG" in printed or key != KEY
    assert_no_key_in(printed)


def test_a_submission_that_is_stopped_shows_the_key_nowhere_at_debug_level(manifest: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        child = submitting(manifest, f"http://127.0.0.1:{silent.getsockname()[1]}/v1")
        connection, _ = silent.accept()
        with connection:
            assert base64.b64encode(f"{KEY}:".encode()) in connection.recv(65536)  # it is sent, and it waits
            child.send_signal(signal.SIGINT)
            printed = child.communicate()[0]
    assert "send_request_headers.started" in printed
    assert_no_key_in(printed)
    assert child.returncode != 0


def test_no_log_or_error_of_a_bad_day_shows_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    errors: list[BaseException] = []

    def call(client: ScaleClient, number: int) -> None:
        try:
            client.create_task("multistage", parameters(number))
        except ApiError as error:
            errors.append(error)

    with running_sandbox(faults=Faults(rate=0.9, seed=1, latency_s=0, retry_after_s=1)) as sandbox:
        with ScaleClient(KEY, sandbox.url, retries=2, sleep=lambda _: None) as client, ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: call(client, number), range(60)))
            assert_no_key_in(f"{client!r} {vars(client)!r}")
        assert all(sandbox.faults.describe()["made"].values())
    assert {type(error) for error in errors} >= {RateLimitError, ServerError, TransportError}
    for error in errors:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert_no_key_in(f"{error} {error!r} {vars(error)!r} {''.join(told.format())}")
        assert not any(form.encode() in pickle.dumps(error) for form in FORMS)
    assert {"httpcore.http11", "lidarprep.api._transport"} <= {record.name for record in caplog.records}
    assert_no_key_in(caplog.text)
    assert_no_key_in(" ".join(repr(vars(record)) for record in caplog.records))
