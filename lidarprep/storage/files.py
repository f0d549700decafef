"""Files that are whole or not there: written to a temporary name in their folder, synced, renamed.

A file's bytes are on the disk once it is synced (`fsync`); its name is once its folder is. A rename replaces a file in
one step.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
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
