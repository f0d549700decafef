"""One command of lidarprep in a process of its own, which is killed or misled at a chosen point of what it does.

Children are forked by a server that has imported everything and compiled the kernels (`warm.py`): one costs about a
tenth of a second. What a child does is counted from 1, and written to a log, a line each: `operation NAME KEY` for a
call of its store, `event NAME PATH` for a change of the file system below its destination, `frame ID` for a frame that
is prepared.
"""

from __future__ import annotations

import errno
import functools
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

OPERATIONS = (
    "check",
    "put",
    "put_file",
    "get",
    "sizes",
    "delete",
    "delete_unfinished",
    "read_current",
    "replace",
)
EVENTS = {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link", "os.truncate"}


@dataclass(frozen=True)
class Fate:
    """What becomes of a child; nothing special, if nothing is said.

    Args:
        kill_before: The operation of its store before which it kills itself.
        kill_after: The operation after which it does.
        kill_at_event: The change of the file system before which it does.
        refuse_from: The change from which on all are refused, as by a full disk.
        fill: The change before which it fills the disk, and the file that it fills it by.
        most_file_bytes: How large its files may be (ulimit -f).
        meet: A folder, and how many children meet there: each waits for the others once it has read the manifest.
    """

    kill_before: int = 0
    kill_after: int = 0
    kill_at_event: int = 0
    refuse_from: int = 0
    fill: tuple[int, Path] | None = None
    most_file_bytes: int = 0
    meet: tuple[Path, int] | None = None


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Args:
        code: Its exit code; -9 where it was killed.
        stderr: What it told a person.
        seconds: How long it took.
        log: What it did.
    """

    code: int
    stderr: str
    seconds: float
    log: tuple[str, ...]

    def frames(self) -> list[str]:
        """Ids of the frames that it prepared."""
        return [line.split()[1] for line in self.log if line.startswith("frame ")]

    def count(self, kind: str) -> int:
        """How many operations or events there were."""
        return sum(line.startswith(f"{kind} ") for line in self.log)


@dataclass
class Child:
    """A child that is under way."""

    process: BaseProcess
    files: Path
    started: float = field(default_factory=time.monotonic)

    def kill(self) -> None:
        self.process.kill()

    def end(self, within: float = 120.0) -> Ended:
        """Wait for its end; one that hangs is killed, and fails the test."""
        self.process.join(within)
        seconds = time.monotonic() - self.started
        hangs = self.process.exitcode is None
        self.process.kill()
        self.process.join()
        stderr = (self.files / "stderr").read_text() if (self.files / "stderr").exists() else ""
        assert not hangs, f"still running after {within:g} s; it had said:\n{stderr}"
        log = (self.files / "log").read_text().splitlines() if (self.files / "log").exists() else []
        code = self.process.exitcode
        assert code is not None
        self.process.close()
        return Ended(code, stderr, seconds, tuple(log))


def start(files: Path, words: list[str], out: str, fate: Fate) -> Child:
    """Start a child; `files` is a new folder for its log and its stderr."""
    files.mkdir()
    process = multiprocessing.get_context("forkserver").Process(target=_live, args=(files, words, out, fate))
    process.start()
    return Child(process, files)


def _live(files: Path, words: list[str], out: str, fate: Fate) -> None:
    """Run a command of lidarprep, in the child."""
    from lidarprep.cli import main

    os.dup2(os.open(files / "stderr", os.O_WRONLY | os.O_CREAT), 2)
    assert "tests.trials.warm" in sys.modules, "the server could not import it, and each child compiles again"
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    os.environ["NO_COLOR"] = "1"
    _Watch(os.open(files / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), out, fate).begin()
    if fate.most_file_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fate.most_file_bytes, fate.most_file_bytes))
    main(words)


class _Watch:
    """Counts what this process does, and acts at a count."""

    def __init__(self, log: int, out: str, fate: Fate) -> None:
        self.log = log
        self.out = out if "://" not in out else "\0"  # no path begins so
        self.fate = fate
        self.lock = threading.RLock()
        self.operations = self.events = 0
        self.busy = threading.local()

    def begin(self) -> None:
        from lidarprep.prepare.process_frame import FrameProcessor
        from lidarprep.storage.folder import FolderStore
        from lidarprep.storage.s3 import S3Store

        for store in (FolderStore, S3Store):
            for name in OPERATIONS:
                setattr(store, name, self.counted(name, getattr(store, name)))
        prepare = FrameProcessor.prepare

        def noted(processor: Any, task: Any) -> Any:
            self.note("frame", task.frame.id)
            return prepare(processor, task)

        FrameProcessor.prepare = noted  # type: ignore[method-assign]
        fsync = os.fsync

        def synced(handle: int) -> None:
            self.event("os.fsync", (str(Path(f"/proc/self/fd/{handle}").readlink()),))
            fsync(handle)

        os.fsync = synced  # type: ignore[assignment]
        sys.addaudithook(self.event)

    def note(self, *words: str) -> None:
        os.write(self.log, (" ".join(words) + "\n").encode())

    def counted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def operation(store: Any, *arguments: Any, **options: Any) -> Any:
            with self.lock:
                self.operations += 1
                number = self.operations
                self.note("operation", name, str(arguments[0])[:200] if arguments and name.startswith("put") else "")
                if number == self.fate.kill_before:
                    os.kill(os.getpid(), signal.SIGKILL)
            found = method(store, *arguments, **options)
            if number == self.fate.kill_after:
                os.kill(os.getpid(), signal.SIGKILL)
            if name == "read_current" and self.fate.meet is not None:
                wait_for_others(*self.fate.meet)
            return found

        return operation

    def event(self, name: str, arguments: Any) -> None:
        """Be called before each event; most are of no interest."""
        if (name not in EVENTS and name not in ("open", "os.fsync")) or getattr(self.busy, "is_set", False):
            return
        if not arguments or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path = os.fsdecode(arguments[0])
        if name == "open":
            flags = arguments[2] or 0
            if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        if path.startswith(self.out):
            self.busy.is_set = True  # what is opened below is of no interest
            try:
                self.change(name, path)
            finally:
                self.busy.is_set = False

    def change(self, name: str, path: str) -> None:
        with self.lock:
            self.events += 1
            if not self.fate.most_file_bytes:
                self.note("event", name, path)
            if self.events == self.fate.kill_at_event:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.fate.fill is not None and self.events == self.fate.fill[0]:
                fill(self.fate.fill[1])
            if 0 < self.fate.refuse_from <= self.events:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill(path: Path) -> None:
    """Fill a disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    for size in (1 << 16, 1):
        try:
            while os.write(handle, bytes(size)):
                pass
        except OSError:
            continue
    os.close(handle)


def wait_for_others(folder: Path, count: int) -> None:
    """Wait until so many children have come here."""
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < count:
        assert time.monotonic() < deadline, "the others have not come"
        time.sleep(0.005)
