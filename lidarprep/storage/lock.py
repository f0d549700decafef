"""One run a destination: a lock that a dead run does not keep.

In a local folder it is a file lock (`flock`) on RUN_FOLDER/lock, which the kernel lets go of when a process ends,
however it ends. In a store without files it is an object that only one can make; it says until when it holds, and its
holder renews it. One whose holder has stopped renewing it, or was a process of this machine that is no more, is taken
over.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from lidarprep.errors import StorageError
from lidarprep.storage.journal import run_folder_of
from lidarprep.storage.store import RUN_FOLDER, Store

LOCK_KEY = f"{RUN_FOLDER}/lock"

# Seconds between two renewals of a lock object, and seconds that each holds it for.
BEAT_SECONDS = 20.0
HOLD_SECONDS = 60.0
# Seconds after which who has taken over a dead run's lock looks whether it is his: two may have tried at once.
SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Args:
        id: Random: nobody else has it.
        host: Name of the machine.
        pid: Its process.
        since: When it took the lock, seconds since the Unix epoch.
        until: When an object's lock ends unless it is renewed, likewise.
    """

    id: str
    host: str
    pid: int
    since: float
    until: float = 0.0

    @classmethod
    def this(cls) -> Holder:
        """This process, from now on."""
        return cls(secrets.token_hex(16), socket.gethostname(), os.getpid(), time.time())

    @classmethod
    def read(cls, data: bytes) -> Holder | None:
        """From what a lock holds; None if that is nothing that a run has written."""
        try:
            fields = json.loads(data)
            return cls(
                str(fields["id"]),
                str(fields["host"]),
                int(fields["pid"]),
                float(fields["since"]),
                float(fields["until"]),
            )
        except (ValueError, TypeError, KeyError, OverflowError):
            return None

    def written(self) -> bytes:
        """As a lock holds it."""
        return json.dumps(asdict(self)).encode()

    @property
    def is_dead(self) -> bool:
        """Whether it is known to be no more: a process of this machine that has ended."""
        if self.host != socket.gethostname() or self.pid == os.getpid():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False
        return False

    def __str__(self) -> str:
        try:
            since = f" since {datetime.fromtimestamp(self.since, UTC):%Y-%m-%d %H:%M:%S} UTC"
        except (ValueError, OverflowError, OSError):
            since = ""
        return f"process {self.pid} on {self.host}{since}"


class Lock(Protocol):
    """A lock that is held."""

    def check(self) -> None:
        """Sees that it is still held.

        Raises:
            StorageError: Another run has taken it over.
        """


@contextlib.contextmanager
def locked(store: Store) -> Iterator[Lock]:
    """The lock of the place that a store is of, for as long as the `with` statement lasts.

    Raises:
        StorageError: Another run holds it; or it cannot be made.
    """
    folder = run_folder_of(store)
    lock = _ObjectLock(store) if folder is None else _FileLock(folder, store)
    lock.acquire()
    try:
        yield lock
    finally:
        lock.release()


def _held(store: Store, holder: Holder | None) -> StorageError:
    who = "another process" if holder is None else str(holder)
    return StorageError(
        f"another run is storing at {store.location('').rstrip('/')}: {who}",
        fix="Wait for its end, or choose another destination.",
    )


# A child of a fork would hold the lock for as long as it lives, however its parent ends.
_held_handles: set[int] = set()


def _let_go_in_child() -> None:
    while _held_handles:
        os.close(_held_handles.pop())


os.register_at_fork(after_in_child=_let_go_in_child)


class _FileLock:
    def __init__(self, folder: Path, store: Store) -> None:
        self._path = folder / "lock"
        self._store = store
        self._handle = -1
        self._made: list[Path] = []

    def acquire(self) -> None:
        try:
            self._handle = self._open_and_lock()
            _held_handles.add(self._handle)
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, Holder.this().written(), 0)
        except BlockingIOError:
            raise _held(self._store, self._holder()) from None
        except OSError as error:
            self.release()
            raise StorageError(f"{self._path} cannot be written: {error.strerror or error}") from error

    def check(self) -> None:
        """Nobody can take a file's lock over."""

    def release(self) -> None:
        """The name goes while it is still locked: who has opened the file meanwhile sees that it is no longer there."""
        if self._handle < 0:
            return
        with contextlib.suppress(OSError):
            self._path.unlink()
        with contextlib.suppress(OSError):  # not empty: something is kept there
            self._path.parent.rmdir()
            for folder in self._made:
                folder.rmdir()
        _held_handles.discard(self._handle)
        os.close(self._handle)
        self._handle = -1

    def _open_and_lock(self) -> int:
        while True:
            with contextlib.suppress(FileNotFoundError):  # the folder went when another run ended
                self._make_folders()
                handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    status = self._path.stat()
                    if (status.st_ino, status.st_dev) == (os.fstat(handle).st_ino, os.fstat(handle).st_dev):
                        return handle
                except FileNotFoundError:
                    pass
                except BaseException:
                    os.close(handle)
                    raise
                os.close(handle)  # of a file that is gone by now

    def _make_folders(self) -> None:
        above = self._path.parent.parent
        missing = [folder for folder in (above, *above.parents) if not folder.exists()]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._made = self._made or missing

    def _holder(self) -> Holder | None:
        try:
            return Holder.read(self._path.read_bytes())
        except OSError:
            return None


class _ObjectLock:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._holder = Holder.this()
        self._ended = threading.Event()
        self._lost: Holder | None = None
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        if not self._put_if_absent():
            held_by = self._read()
            if held_by is not None and not self._is_over(held_by):
                raise _held(self._store, held_by)
            self._store.discard([LOCK_KEY])
            taken = self._put_if_absent()
            self._ended.wait(SETTLE_SECONDS)
            now_by = self._read()
            if not taken or now_by is None or now_by.id != self._holder.id:
                raise _held(self._store, now_by)
        # A daemon: a process that ends must not wait for it.
        self._thread = threading.Thread(target=self._renew, name="lidarprep-lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        if self._lost is not None:
            raise _held(self._store, self._lost)

    def release(self) -> None:
        """Leaves a lock alone that another run has taken over."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(StorageError), self._store.hurried():  # it ends by itself
            held_by = self._read()
            if held_by is not None and held_by.id == self._holder.id:
                self._store.discard([LOCK_KEY])

    def _put_if_absent(self) -> bool:
        return self._store.put_if_absent(LOCK_KEY, self._renewed_holder().written())

    def _renewed_holder(self) -> Holder:
        holder = self._holder
        self._holder = Holder(holder.id, holder.host, holder.pid, holder.since, time.time() + HOLD_SECONDS)
        return self._holder

    def _is_over(self, holder: Holder) -> bool:
        """Whether a lock's holder is dead, or has let its time run out and does not renew it.

        Clocks may differ, or jump: one whose time has run out by this clock alone is watched for longer than a beat.
        """
        if holder.is_dead:
            return True
        if holder.until > time.time():
            return False
        self._ended.wait(BEAT_SECONDS * 1.25)
        return self._read() in (holder, None)

    def _read(self) -> Holder | None:
        try:
            return Holder.read(self._store.get(LOCK_KEY))
        except StorageError:
            if self._store.existing([LOCK_KEY]):
                raise
            return None

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                with self._store.hurried():  # the next beat tries again
                    held_by = self._read()
                    if held_by is not None and held_by.id != self._holder.id:
                        self._lost = held_by
                        return
                    self._store.put(LOCK_KEY, self._renewed_holder().written(), "application/json")
            except StorageError:
                continue  # the run itself will meet what is wrong with the store
