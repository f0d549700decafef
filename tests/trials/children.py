"""Runs of lidarprep as a user starts them, in processes that can be killed, stopped or misled at a chosen moment.

A child loads `hooks/sitecustomize.py`, which counts what the child does to its destination and acts at a count.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]
HOOKS = Path(__file__).parent / "hooks"
RUN_FOLDER = ".lidarprep-run"
ACCOUNT = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Args:
        code: Its exit code; -9 where it was killed.
        stderr: What it told a person.
        seconds: How long it took.
        log: What it did: lines of "event path", as the hooks have counted them.
    """

    code: int
    stderr: str
    seconds: float
    log: tuple[str, ...]

    def points_read(self) -> set[str]:
        """Names of the point files that it opened, without their suffix."""
        paths = [Path(line.partition(" ")[2]) for line in self.log if line.startswith("open ")]
        return {path.stem for path in paths if path.parent.name == "pointcloud"}

    def events(self) -> list[str]:
        """What was counted: everything that changes the destination."""
        return [line for line in self.log if not line.startswith(("open ", "journal "))]


@dataclass
class Child:
    """A run that is under way."""

    process: subprocess.Popen[str]
    log: Path
    started: float

    def end(self, within: float = 120.0) -> Ended:
        """Waits for its end; one that hangs is killed, and fails the test."""
        try:
            _, stderr = self.process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, stderr = self.process.communicate()
            raise AssertionError(f"still running after {within:g} s; it had said:\n{stderr}") from None
        log = tuple(self.log.read_text().splitlines()) if self.log.exists() else ()
        return Ended(self.process.returncode, stderr, time.monotonic() - self.started, log)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)

    def wait_until_stopped(self) -> None:
        """Waits until it has stopped itself, as STOP_AT makes it."""
        state = os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert state is not None
        assert state.si_code == os.CLD_STOPPED, "it ended before it came to where it was to stop"

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@dataclass(frozen=True)
class Runner:
    """Starts runs of one recording.

    Args:
        recording: A toolkit folder.
        scratch: Where logs go.
        options: Given to every run.
    """

    recording: Path
    scratch: Path
    options: tuple[str, ...] = ()

    def start(self, out: str | Path, *options: str, hooks: Mapping[str, Any] | None = None, limit: str = "") -> Child:
        """Starts `lidarprep prepare`.

        Args:
            out: The destination.
            options: More options.
            hooks: What the child is to do, by the names that hooks/sitecustomize.py knows.
            limit: Shell commands that run before it, such as `ulimit -f 100`.
        """
        log = self.scratch / f"{time.monotonic_ns()}.log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= ACCOUNT | {"PYTHONPATH": os.pathsep.join((str(HOOKS), str(ROOT)))}
        environment |= {"TRIAL_LOG": str(log), "TRIAL_OUT": str(out), "NO_COLOR": "1"}
        environment |= {f"TRIAL_{name}": str(value) for name, value in (hooks or {}).items()}
        command = [sys.executable, "-m", "lidarprep", "prepare", str(self.recording), "--out", str(out)]
        command += [*self.options, *options]
        if limit:
            command = ["sh", "-c", f'{limit} && exec "$@"', "sh", *command]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        return Child(process, log, time.monotonic())

    def run(self, out: str | Path, *options: str, hooks: Mapping[str, Any] | None = None, limit: str = "") -> Ended:
        """Runs `lidarprep prepare` to its end."""
        return self.start(out, *options, hooks=hooks, limit=limit).end()


def files_in(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a finished run, by its path; what only a run needs counts as well."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def staged_in(folder: Path) -> dict[str, tuple[int, int]]:
    """(inode, modification time) of every file that an unfinished run has staged or put in place."""
    staging = folder / RUN_FOLDER / "staged"
    found: dict[str, tuple[int, int]] = {}
    for path in folder.rglob("*"):
        inner = path.relative_to(staging if staging in path.parents else folder)
        if path.is_file() and not path.name.startswith(".writing-") and path.suffix in (".json", ".pb", ".jpg"):
            found[inner.as_posix()] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def journaled_frames(folder: Path) -> set[str]:
    """Ids of the frames that a local journal holds as finished: lines that are whole, below its header."""
    journal = folder / RUN_FOLDER / "journal.jsonl"
    try:
        data = journal.read_bytes()
    except FileNotFoundError:
        return set()
    return {frame for line in data.split(b"\n")[:-1] for frame in frames_named(line)}


def frames_named(record: bytes) -> list[str]:
    """Ids of the frames that a journal's record says are done: none for other records, and for a torn one."""
    try:
        value = json.loads(record.partition(b" ")[2])
    except ValueError:
        return []
    done = value["frames"] if "scene" in value else [value]  # several may have come to a scene of all
    return [one["frame"] for one in done if "record" in one or "skipped" in one]


def assert_one_clear_error(ended: Ended) -> None:
    """Exit code 1, one message that begins with what is wrong, and no traceback."""
    assert ended.code == 1, (ended.code, ended.stderr)
    assert "Traceback" not in ended.stderr, ended.stderr
    assert sum(line.startswith("error: ") for line in ended.stderr.splitlines()) == 1, ended.stderr


def assert_nothing_looks_finished(folder: Path) -> None:
    """No manifest, and nothing that could be taken for an attachment, stands outside of the run's own folder."""
    seen = [path for path in folder.rglob("*") if path.is_file() and RUN_FOLDER not in path.parts]
    assert not seen, seen


@contextmanager
def s3_server() -> Iterator[str]:
    """The URL of moto's server in another process, which nothing that a test does to its clients can harm."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        command, env=os.environ | ACCOUNT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            assert process.poll() is None, "moto's server ended at once"
            try:
                with urlopen(f"{url}/moto-api/data.json") as response:
                    response.read()
                break
            except URLError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait()
