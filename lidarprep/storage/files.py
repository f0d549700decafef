"""Files that are whole or not there: written to a temporary name in their folder, synced, renamed.

A file's bytes are on the disk once it is synced (`fsync`); its name is once its folder is. A rename replaces a file in
one step. Copies take no space where two files can share blocks (reflinks: btrfs, XFS, ZFS, bcachefs and some network
file systems) until either is written to; hard links, one file with two names, are made only on request.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lidarprep.errors import StorageError

# How temporary names begin.
TEMPORARY = ".writing-"

_FIXES = {
    errno.ENOSPC: "Make room there, or choose another destination.",
    errno.EDQUOT: "The disk quota is used up: make room, or choose another destination.",
    errno.EROFS: "The file system is read-only: choose another destination.",
    errno.EACCES: "Choose another destination, or change its permissions.",
    errno.EPERM: "Choose another destination, or change its permissions.",
    errno.EFBIG: "The file system, or a limit (ulimit -f), takes no file so large: choose another destination.",
    errno.EIO: "The disk failed: choose another destination.",
    errno.ENAMETOOLONG: "Choose a destination with a shorter path.",
    errno.EEXIST: "A file is where a folder is needed: remove it, or choose another destination.",
    errno.ENOTDIR: "A file is where a folder is needed: remove it, or choose another destination.",
    errno.ESTALE: "The network disk is gone: run the same command again when it is back.",
    errno.ENOTCONN: "The network disk is gone: run the same command again when it is back.",
}


@contextlib.contextmanager
def writing(path: Path, what: str = "written") -> Iterator[None]:
    """Turn an OSError within the `with` statement into a StorageError that names the file."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} cannot be {what}: {error.strerror or error}", fix=_FIXES.get(error.errno or 0)
        ) from error


@contextlib.contextmanager
def of_the_disk(path: Path | str, fix: str | None = None) -> Iterator[None]:
    """Turn errors of a full or failing disk into StorageErrors, and no others: a file is filled from anywhere."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS):
            raise
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}", fix=fix or _FIXES[error.errno]
        ) from error


@contextlib.contextmanager
def temporary_file_of_the_system() -> Iterator[BinaryIO]:
    """Open a file with a name in the system's folder for temporary ones; it is gone afterwards."""
    fix = "Make room there, or name another folder by the environment variable TMPDIR."
    with of_the_disk(tempfile.gettempdir(), fix), tempfile.NamedTemporaryFile(prefix="lidarprep-") as file:
        yield file  # type: ignore[misc]  # a file but for its class


def temporary_name(target: Path) -> Path:
    """Return a new temporary name in the folder of a file."""
    return target.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")


def write_new(path: Path, data: bytes, *, durable: bool) -> None:
    """Write a new file; leave none if that fails.

    Raises:
        OSError: It cannot be written.
    """
    # Not `tempfile`, which would make it readable by its owner only: a web server is to read it.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(handle, rest) :]
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)
    except BaseException:
        remove_quietly(path)
        raise


def move(temporary: Path, target: Path) -> None:
    """Rename a temporary file to its place; leave none if that fails."""
    try:
        temporary.rename(target)
        # Where both are hard links to one file already, renaming does nothing.
        temporary.unlink(missing_ok=True)
    except BaseException:
        remove_quietly(temporary)
        raise


@contextlib.contextmanager
def temporary_file(target: Path) -> Iterator[BinaryIO]:
    """Open a temporary file (mode "w+b") beside a place; it is gone at the end unless it was moved.

    Raises:
        StorageError: It cannot be made; or its disk fails, or is full, within the `with` statement.
    """
    path = temporary_name(target)
    with writing(target):
        file = path.open("x+b")
    try:
        with of_the_disk(target), file:
            yield file
    finally:
        remove_quietly(path)


def move_file(file: BinaryIO, target: Path) -> None:
    """Sync a file from `temporary_file`, and rename it to its place.

    Raises:
        OSError: That failed.
    """
    file.flush()
    os.fsync(file.fileno())
    Path(file.name).rename(target)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    Raises:
        OSError: The disk failed.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network and FUSE file systems cannot sync a folder, and say so.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(handle)


def remove_quietly(path: Path) -> None:
    """Remove a temporary file after a failure, which must not be hidden by another one here."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


log = logging.getLogger(__name__)

# ioctl_ficlone(2); Python knows it from 3.12 on. Elsewhere than on Linux it is unknown, and refused as such.
_FICLONE = getattr(fcntl, "FICLONE", 0x40049409)

# These errors say that two places share no blocks at all, rather than that one file cannot be shared.
_NEVER = (errno.EXDEV, errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS)


class Reflinks:
    """Makes space-free copies.

    Args:
        hard_links: Whether hard links are wanted.
    """

    def __init__(self, *, hard_links: bool) -> None:
        self._hard_links = hard_links
        self._devices_apart: set[int] = set()

    def link(self, source: Path, new: Path, data: bytes) -> bool:
        """Make `new` a durable copy of a file that takes no space.

        Returns:
            Whether that could be done, and the file still has the bytes `data` that were read of it.
        """
        is_made = (self._hard_links and self._hard_link(source, new)) or self._clone(source, new)
        if is_made and new.read_bytes() != data:
            new.unlink()
            return False
        return is_made

    def _hard_link(self, source: Path, new: Path) -> bool:
        try:
            os.link(os.path.realpath(source), new)
        except FileNotFoundError:  # the source was deleted meanwhile
            return False
        except OSError as error:
            self._hard_links = False
            log.warning("images are copied, since no hard links can be made: %s", error.strerror or error)
            return False
        return True

    def _clone(self, source: Path, new: Path) -> bool:
        device = None
        try:
            device = source.stat().st_dev
            if device in self._devices_apart:
                return False
            with source.open("rb") as original, new.open("xb") as copy:
                fcntl.ioctl(copy.fileno(), _FICLONE, original.fileno())
                os.fsync(copy.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            if error.errno in _NEVER and device is not None:
                self._devices_apart.add(device)
            return False
        return True
