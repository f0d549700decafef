"""`lidarprep callbacks serve` as a process of its own: killed at any moment, and running commands."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from lidarprep.callbacks import Callback, CallbackHandler, Command, CommandFailedError, open_callback_store
from tests.callbacks.conftest import AUTH_KEY, TASK_ID, posted

AUTH = {"scale-callback-auth": AUTH_KEY}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


class Serving:
    """A server that runs, and its log: a file, which can be read at any moment, whether the server lives or not."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log
        self.until_logged("http://")
        self.url = re.findall(r"http://\S+", self.log)[0]

    @property
    def log(self) -> str:
        return self._log.read_text()

    def post(self, content: bytes) -> httpx.Response:
        return httpx.post(self.url, content=content, headers=AUTH, trust_env=False, verify=False, timeout=30)

    def until_logged(self, words: str) -> None:
        until(lambda: words in self.log or self.process.poll() is not None)
        assert words in self.log, self.log

    def end(self, with_signal: int) -> str:
        """Ends it, and gives all that it logged."""
        self.process.send_signal(with_signal)
        self.process.wait(60)
        return self.log


@contextmanager
def serving(place: Path, *words: str) -> Iterator[Serving]:
    command = [sys.executable, "-m", "lidarprep", "callbacks", "serve", "--store", str(place), "--port", "0", *words]
    environment = os.environ | {"SCALE_CALLBACK_AUTH": AUTH_KEY}
    log = place.with_suffix(".log")
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr, env=environment) as process:
        try:
            yield Serving(process, log)
        finally:
            process.kill()


def test_what_was_answered_200_survives_a_kill_in_that_very_moment(place: Path) -> None:
    with serving(place) as server:
        assert server.post(posted()).status_code == 200
        server.end(signal.SIGKILL)
    with open_callback_store(place) as store:
        assert [one.body for one in store] == [posted()]


def test_killed_under_load_it_has_all_that_it_answered_and_takes_the_rest_later(place: Path) -> None:
    answered: set[str] = set()

    def send(server: Serving, first: int) -> None:
        with contextlib.suppress(httpx.HTTPError):
            for number in range(first, 400, 4):
                if server.post(posted(f"task{number}")).status_code == 200:
                    answered.add(f"task{number}")

    with serving(place) as server:
        threads = [threading.Thread(target=send, args=(server, first)) for first in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(answered) >= 20)
        server.process.kill()
        for thread in threads:
            thread.join()
    with open_callback_store(place) as store:
        kept = {one.task_id for one in store}
    assert answered <= kept
    with serving(place) as server:
        for number in range(30):  # Scale sends again what was not answered
            assert server.post(posted(f"task{number}")).status_code == 200
    with open_callback_store(place) as store:
        assert {f"task{number}" for number in range(30)} | kept == {one.task_id for one in store}
        assert all(one.version == 1 for one in store)


def test_a_command_gets_the_json_and_the_task_id_and_never_the_key(tmp_path: Path) -> None:
    place = tmp_path / "callbacks.db"
    script = tmp_path / "take in"
    script.write_text(
        f'#!/bin/sh\ncat > "{tmp_path}/$TASK_ID.$CALLBACK_VERSION"; env > {tmp_path}/env; echo taken in\n'
    )
    script.chmod(0o755)
    with serving(place, "--exec", f"'{script}'") as server:
        server.post(posted())
        server.until_logged(f"task {TASK_ID}, result 1: handled")
        log = server.end(signal.SIGTERM)
    assert (tmp_path / f"{TASK_ID}.1").read_bytes() == posted()
    assert AUTH_KEY not in (tmp_path / "env").read_text()
    assert AUTH_KEY not in log
    assert "taken in" in log
    with open_callback_store(place) as store:
        assert store.unhandled() == []


def test_a_command_that_fails_runs_again_at_the_next_start(tmp_path: Path) -> None:
    place = tmp_path / "callbacks.db"
    script = f"test -e {tmp_path}/ready"
    with serving(place, "--exec", script) as server:
        assert server.post(posted()).status_code == 200
        server.until_logged("test ended with 1; it is tried again in 10 s")
        server.end(signal.SIGINT)
    (tmp_path / "ready").touch()
    with serving(place, "--exec", script) as server:
        server.until_logged("1 callbacks are left")
        server.until_logged("handled")
        log = server.end(signal.SIGINT)
    assert server.process.returncode == 0
    assert "Traceback" not in log


def callback() -> Callback:
    return Callback.from_body(posted(), datetime.now(UTC))


def test_a_command_that_takes_too_long_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    for timeout_s in (0.2, 2, 20):  # as long as the machine needs to start the child
        command = Command(
            ["sh", "-c", f"sleep 60 & echo $! > {pid}.new && mv {pid}.new {pid}; wait"], timeout_s=timeout_s
        )
        with pytest.raises(CommandFailedError, match=f"sh was stopped after {timeout_s} s"):
            command(callback())
        if pid.exists():
            break
    child = int(pid.read_text())
    until(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2])


def test_a_command_that_cannot_be_run_or_does_not_read_is_told() -> None:
    with pytest.raises(CommandFailedError, match=r"/nowhere/at-all can.t be run: .*No such file"):
        Command(["/nowhere/at-all"], timeout_s=5)(callback())
    Command(["true"], timeout_s=5)(Callback.from_body(posted(padding="x" * 200_000), datetime.now(UTC)))


def test_a_command_is_stopped_when_the_server_ends() -> None:
    command = Command(["sleep", "60"], timeout_s=60)

    def stop_what_runs() -> None:
        until(lambda: len(command._running) == 1)
        command.stop()

    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(stop_what_runs)
        with pytest.raises(CommandFailedError, match="sleep ended with -9"):
            command(callback())
        stopped.result()
    with pytest.raises(CommandFailedError, match="the server ends"):
        command(callback())


def test_reading_a_store_loads_neither_server_nor_framework() -> None:
    script = (
        "import sys, lidarprep.callbacks as c; c.open_callback_store;"
        "print([m for m in ('starlette', 'uvicorn', 'pydantic', 'httpx') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
    with pytest.raises(AttributeError, match="start"):
        importlib.import_module("lidarprep.callbacks").start  # noqa: B018


def test_the_key_is_no_flag() -> None:
    # A flag's value would stand in the list of processes, for every user of the machine to read.
    shown = subprocess.run(
        [sys.executable, "-m", "lidarprep", "callbacks", "serve", "--help"], capture_output=True, text=True
    )
    assert "SCALE_CALLBACK_AUTH" in shown.stdout
    assert "--auth" not in shown.stdout


def test_the_store_can_be_listed_while_it_is_served(place: Path) -> None:
    with serving(place) as server:
        server.post(posted())
        server.post(posted(category="blue"))
        words = [sys.executable, "-m", "lidarprep", "callbacks", "list", "--store", str(place)]
        lines = subprocess.run([*words, "--json"], capture_output=True, text=True, check=True).stdout.splitlines()
        table = subprocess.run(words, capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in lines] == [json.loads(posted()), json.loads(posted(category="blue"))]
    assert table.stderr == ""
    assert table.stdout.count(TASK_ID) == 2
    assert "categorization" in table.stdout


def test_what_failed_is_handled_again_after_waits_that_double(tmp_path: Path) -> None:
    with open_callback_store(tmp_path / "callbacks.db") as store:
        kept = store.add(callback()).callback
        calls: list[float] = []
        done = threading.Event()

        def third_time(_: Callback) -> None:
            calls.append(time.monotonic())
            if len(calls) < 3:
                raise OSError("not yet")
            done.set()

        handler = CallbackHandler(store, third_time, first_wait_s=0.05)
        handler.handle(kept.task_id, kept.version)
        assert done.wait(60)
        handler.close()
        assert store.unhandled() == []
    assert calls[1] - calls[0] >= 0.05
    assert calls[2] - calls[1] >= 0.1


def test_a_handler_that_closes_waits_for_no_further_try(tmp_path: Path) -> None:
    with open_callback_store(tmp_path / "callbacks.db") as store:
        kept = store.add(callback()).callback
        failed = threading.Event()

        def fail(_: Callback) -> None:
            failed.set()
            raise OSError("never")

        handler = CallbackHandler(store, fail, first_wait_s=3600)
        handler.handle(kept.task_id, kept.version)
        assert failed.wait(60)
        handler.close()
        assert store.unhandled() == [(kept.task_id, kept.version)]
