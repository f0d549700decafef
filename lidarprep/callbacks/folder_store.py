"""Callbacks as JSON files in a folder, for people and scripts that would rather read files.

TASK_ID.1.json      the first result of a task, the bytes as they came; the file's time is when it came
TASK_ID.2.json      the next one that differs
TASK_ID.1.handled   the mark of the first: delete it, and it is handled again at the next start
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path

from lidarprep.callbacks.callback import TASK_ID, Callback, NotACallbackError
from lidarprep.callbacks.store import CallbackStore, Kept
from lidarprep.errors import FormatError, StorageError

FILE_NAME = re.compile(rf"({TASK_ID.pattern})\.([1-9][0-9]{{0,8}})\.json")
LOCK_NAME = ".lock"

# Another process may be writing: a callback is short, so a longer wait means that something is wrong.
LONGEST_WAIT_FOR_LOCK_S = 20.0


class FolderStore(CallbackStore):
    """Callbacks as JSON files in a folder; see CallbackStore.

    Args:
        path: The folder, made if it isn't there.

    Raises:
        StorageError: It can't be made, or not be written to.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        with self._telling("can't be used for callbacks"):
            made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            for folder in made:
                _sync_folder(folder.parent)
            (self.path / LOCK_NAME).touch()

    def add(self, callback: Callback) -> Kept:
        """See CallbackStore."""
        digest = callback.digest
        with self._telling("a callback can't be stored"), self._only_one():
            known = self.versions(callback.task_id)
            for one in known:
                if one.digest == digest:
                    # A run that broke off between renaming and syncing may have left it so.
                    _sync_folder(self.path)
                    return Kept(one, is_new=False)
            version = known[-1].version + 1 if known else 1
            file = self.path / f"{callback.task_id}.{version}.json"
            self._write(file, callback.body, callback.received_at)
            return Kept(_read(file, callback.task_id, version), is_new=True)

    def versions(self, task_id: str) -> list[Callback]:
        """See CallbackStore."""
        with self._telling("callbacks can't be read"):
            with os.scandir(self.path) as entries:  # names alone: the folder may be large
                names = [entry.name for entry in entries if entry.name.startswith(f"{task_id}.")]
            named = map(FILE_NAME.fullmatch, names)
            numbers = sorted(int(match[2]) for match in named if match and match[1] == task_id)
            return [_read(self.path / f"{task_id}.{number}.json", task_id, number) for number in numbers]

    def unhandled(self) -> Iterator[tuple[str, int]]:
        """See CallbackStore."""
        return iter([(task_id, n) for _, task_id, n, handled in self._listing() if not handled])

    def mark_handled(self, task_id: str, version: int) -> None:
        """See CallbackStore."""
        with self._telling("a callback can't be marked as handled"):
            (self.path / f"{task_id}.{version}.handled").touch()
            _sync_folder(self.path)

    def __iter__(self) -> Iterator[Callback]:
        for _, task_id, version, _ in self._listing():
            with self._telling("callbacks can't be read"):
                callback = _read(self.path / f"{task_id}.{version}.json", task_id, version)
            yield callback

    def close(self) -> None:
        """See CallbackStore; nothing is held open."""

    def _listing(self) -> list[tuple[int, str, int, bool]]:
        """Time, task id, version and mark of each, in the order they came."""
        with self._telling("callbacks can't be read"), os.scandir(self.path) as entries:
            found = {entry.name: entry.stat().st_mtime_ns for entry in entries if not entry.name.startswith(".")}
        named = [(FILE_NAME.fullmatch(name), time_ns) for name, time_ns in found.items()]
        return sorted(
            (time_ns, match[1], int(match[2]), f"{match[1]}.{match[2]}.handled" in found)
            for match, time_ns in named
            if match
        )

    def _write(self, file: Path, body: bytes, received_at: datetime) -> None:
        """All of a file or nothing of it, on disk at the end."""
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=self.path)
        try:
            with open(descriptor, "wb") as target:  # noqa: PTH123 — a descriptor
                target.write(body)
                target.flush()
                time_ns = _nanoseconds(received_at)
                os.utime(target.fileno(), ns=(time_ns, time_ns))
                os.fsync(target.fileno())
            Path(temporary).rename(file)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(self.path)

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        """Keeps out other threads, and other processes."""
        deadline = time.monotonic() + LONGEST_WAIT_FOR_LOCK_S
        with self._lock, (self.path / LOCK_NAME).open("ab") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise TimeoutError(errno.ETIMEDOUT, "another process holds its lock") from None
                    time.sleep(0.005)
            yield

    @contextmanager
    def _telling(self, failed: str) -> Iterator[None]:
        try:
            yield
        except OSError as cause:
            raise StorageError(f"{self.path}: {failed}: {cause.strerror or cause}") from None


def _read(file: Path, task_id: str, version: int) -> Callback:
    body = file.read_bytes()
    received_at = datetime.fromtimestamp(file.stat().st_mtime_ns / 1e9, UTC)
    try:
        callback = Callback.from_body(body, received_at, version)
    except NotACallbackError as error:
        raise FormatError(file, found=str(error), expected="a callback as Scale posts it") from None
    if callback.task_id != task_id:
        raise FormatError(file, found=f"the task_id {callback.task_id}", expected=f"{task_id}, as the file is named")
    return callback


def _nanoseconds(moment: datetime) -> int:
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1_000_000_000 + moment.microsecond * 1000


def _sync_folder(folder: Path) -> None:
    """Brings a folder's names to the disk; a file's own fsync does not."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
