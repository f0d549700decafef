"""One run a destination: a lock that a dead run does not keep.

In a local folder it is a file lock (`flock`) on RUN_FOLDER/lock, which the kernel lets go of when a process ends,
however it ends. In a store without files it is an object; see `object_lock`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, cast

from lidarprep.errors import StorageError
from lidarprep.storage.holder import Holder
from lidarprep.storage.journal import run_folder_of
from lidarprep.storage.object_lock import ObjectLock, held_by_another
from lidarprep.storage.store import ConditionalStore, Store

# How often another may put a new file in the place of the one that was just opened, before that is no chance.
_ATTEMPTS = 1000

# What file systems say that know no locks, or whose server keeps none.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


class Lock(Protocol):
    """A lock that is held."""

    def check(self) -> None:
        """Sees that it is still held.

        Raises:
            StorageError: It is not: another run has taken it over, or somebody has removed it.
        """


@contextlib.contextmanager
def locked(store: Store) -> Iterator[Lock]:
    """The lock of the place that a store is of, for as long as the `with` statement lasts.

    Raises:
        StorageError: Another run holds it; or it cannot be made.
    """
    folder = run_folder_of(store)
    # What has no folder is a store of objects.
    lock = ObjectLock(cast(ConditionalStore, store)) if folder is None else _FileLock(folder, store)
    owner = os.getpid()
    lock.acquire()
    try:
        yield lock
    finally:
        if os.getpid() == owner:  # not a child of a fork, which holds nothing
            lock.release()


# A child of a fork would hold the lock for as long as it lives, however its parent ends.
_open_handles: set[int] = set()


def _let_go_in_child() -> None:
    while _open_handles:
        os.close(_open_handles.pop())


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
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, Holder.this().written(), 0)
        except BaseException as failure:
            self.release()
            match failure:
                case BlockingIOError():
                    raise held_by_another(self._store, self._holder()) from None
                case OSError():
                    raise self._unwritten(failure) from failure
            raise

    def check(self) -> None:
        """Nobody can take a file's lock over; but who removes the file lets another run make a new one."""
        try:
            stands = self._stands(self._handle)
        except OSError as error:
            raise self._unwritten(error) from error
        if not stands:
            raise StorageError(
                f"{self._path} was removed while a run held it",
                fix="See that no other run is at work there, then run the same command again.",
            )

    def release(self) -> None:
        """The name goes while it is still locked: who has opened the file meanwhile sees that it is no longer there."""
        if self._handle < 0:
            return
        with contextlib.suppress(OSError):
            if self._stands(self._handle):
                self._path.unlink()
        with contextlib.suppress(OSError):  # not empty: something is kept there
            self._path.parent.rmdir()
            for folder in self._made:
                folder.rmdir()
        self._close(self._handle)
        self._handle = -1

    def _open_and_lock(self) -> int:
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):  # the folder went when another run ended
                self._make_folders()
                handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                _open_handles.add(handle)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if self._stands(handle):
                        return handle
                except BaseException:
                    self._close(handle)
                    raise
                self._close(handle)  # of a file that is gone by now
        raise OSError(errno.EBUSY, "other runs, or the file system, take it away each time; choose another destination")

    def _stands(self, handle: int) -> bool:
        """Whether the lock's name is that of the file that was opened."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(handle))
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _close(self, handle: int) -> None:
        _open_handles.discard(handle)
        os.close(handle)

    def _make_folders(self) -> None:
        above = self._path.parent.parent
        missing = [folder for folder in (above, *above.parents) if not folder.exists()]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            # Also what mkdir says of a folder that another has just made, and removed.
            if not stat.S_ISDIR(self._path.parent.stat().st_mode):
                raise
        self._made = self._made or missing

    def _unwritten(self, error: OSError) -> StorageError:
        what, fix = "written", None
        if error.errno in _NO_LOCKS:
            what, fix = "locked", "Its file system knows no locks: choose another destination."
        return StorageError(f"{self._path} cannot be {what}: {error.strerror or error}", fix=fix)

    def _holder(self) -> Holder | None:
        try:
            return Holder.read(self._path.read_bytes())
        except OSError:
            return None
