"""Copies of files that take no room: they share the original's blocks, or are the original by another name.

btrfs, XFS, ZFS, bcachefs and some network file systems share blocks of two files until either is written to. To the
user they are two files, so that is done wherever it can be. A hard link is one file with two names, which changes under
both; so it is only made where it is asked for.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from lidarprep.storage.durable import new_file, new_link
from lidarprep.storage.store import StoredObject

log = logging.getLogger(__name__)

# ioctl_ficlone(2); Python knows it from 3.12 on. Elsewhere than on Linux it is unknown, and refused as such.
_FICLONE = getattr(fcntl, "FICLONE", 0x40049409)

# What says that two places share no blocks at all, rather than that one file cannot be shared.
_NEVER = (errno.EXDEV, errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS)


@runtime_checkable
class TakesFiles(Protocol):
    """A store that can take a file from where it lies, without writing all of its bytes."""

    def put_copy(self, key: str, source: BinaryIO, content_type: str) -> StoredObject:
        """Stores a copy of a file, open for reading, under `key`; as `put` does else.

        Raises:
            OSError: The file cannot be read.
            StorageError: It cannot be stored; nothing half-written is left.
        """

    def needs_room_for(self, path: Path) -> bool:
        """Whether a copy of the file takes room. Only who holds the lock may ask."""


class Copies:
    """Makes such copies.

    Args:
        link: Whether hard links are asked for.
    """

    def __init__(self, *, link: bool = False) -> None:
        self._link = link
        self._said = False
        # Devices that files lie on: those that share no blocks with us, and whether copies from there take no room.
        self._apart: set[int] = set()
        self._free: dict[int, bool] = {}

    def make(self, source: BinaryIO, folder: Path) -> Path | None:
        """A durable copy under a temporary name in a folder; None where it would take as much room as any other.

        Args:
            source: The file, open for reading.
            folder: The folder.
        """
        copy = None
        if self._link:
            try:
                copy = self._linked(source, folder)
            except OSError as error:
                self._say_once(error)
        if copy is None:
            copy = self._clone(source, folder)
        return copy

    def take_no_room(self, path: Path, folder: Path) -> bool:
        """Whether copies of files that lie where this one does take no room in a folder; one is tried."""
        try:
            device = path.stat().st_dev
            if device not in self._free:
                with path.open("rb", buffering=0) as source:
                    copy = self._try(source, folder)
                if copy is not None:
                    copy.unlink()
                self._free[device] = copy is not None
        except OSError:
            return False
        return self._free[device]

    def _try(self, source: BinaryIO, folder: Path) -> Path | None:
        """As `make`, without a word."""
        if self._link:
            with contextlib.suppress(OSError):
                return self._linked(source, folder)
        return self._clone(source, folder)

    def _linked(self, source: BinaryIO, folder: Path) -> Path | None:
        """A second name for the file itself, also where it was opened by a link to it.

        Raises:
            OSError: It cannot have one there.
        """
        link = new_link(os.path.realpath(source.name), folder)
        try:
            if os.path.samestat(link.lstat(), os.fstat(source.fileno())):
                os.fsync(source.fileno())
                return link
        except OSError:
            pass
        link.unlink(missing_ok=True)  # another file has got its name since it was opened
        return None

    def _clone(self, source: BinaryIO, folder: Path) -> Path | None:
        """A file of its own that shares the blocks of this one."""
        device = os.fstat(source.fileno()).st_dev
        if device in self._apart:
            return None
        try:
            handle, copy = new_file(folder)
        except OSError:
            return None  # who writes the bytes meets the same, and says so
        try:
            fcntl.ioctl(handle, _FICLONE, source.fileno())
            os.fsync(handle)
        except BaseException as error:
            with contextlib.suppress(OSError):
                copy.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            if error.errno in _NEVER:
                self._apart.add(device)
            return None
        finally:
            os.close(handle)
        return copy

    def _say_once(self, error: OSError) -> None:
        if not self._said:
            self._said = True
            log.warning("pictures are copied, since no hard links can be made: %s", error.strerror or error)
