"""Files that survive a power cut: written to a temporary name in their folder, synced, renamed, the folder synced.

A file's bytes are on the disk once the file is synced (`fsync`); its name is once its folder is. A rename replaces a
file in one step, so what stands under a name is whole, whenever the power goes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TypeVar

Made = TypeVar("Made")

# How temporary names begin; what a process that was killed leaves under them is nobody's.
TEMPORARY = ".writing-"

_PIECE = 1 << 20


def new_file(folder: Path) -> tuple[int, Path]:
    """A new file under a temporary name, open for reading and writing, with the mode that the umask leaves.

    `tempfile` would make it readable by its owner only, and a web server is to read it.

    Raises:
        OSError: It cannot be made.
    """
    return _under_new_name(folder, lambda path: os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))


def new_link(file: str, folder: Path) -> Path:
    """A second, temporary name for a file, which must not be a symbolic link.

    Raises:
        OSError: It cannot have one.
    """
    return _under_new_name(folder, lambda path: os.link(file, path))[1]


def _under_new_name(folder: Path, make: Callable[[Path], Made]) -> tuple[Made, Path]:
    while True:
        path = folder / f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            return make(path), path
        except FileExistsError:  # a name drawn twice
            continue


def write_new(folder: Path, data: bytes) -> Path:
    """Writes a new file under a temporary name and syncs it; leaves none where that fails.

    Raises:
        OSError: It cannot be written.
    """
    handle, path = new_file(folder)
    try:
        try:
            _write(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)
    except BaseException:
        remove_half_written(path)
        raise
    return path


def copy_new(file: Path, folder: Path) -> Path:
    """Copies a file to a new one under a temporary name, as `write_new` writes one.

    Raises:
        OSError: It cannot be read, or written.
    """
    handle, path = new_file(folder)
    try:
        try:
            with file.open("rb", buffering=0) as source:
                while piece := source.read(_PIECE):
                    _write(handle, piece)
            os.fsync(handle)
        finally:
            os.close(handle)
    except BaseException:
        remove_half_written(path)
        raise
    return path


def remove_half_written(path: Path) -> None:
    """Removes a temporary file after a failure, which must not be hidden by another one here."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _write(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


class FolderSyncs:
    """Makes the names in folders durable; threads share the work.

    A sync covers every name that was there when it began. Who comes while one is under way waits for its end; the first
    of those who wait does the next, and it counts for all of them: many files that are stored side by side cost few.
    """

    def __init__(self) -> None:
        self._folders: dict[Path, _Turns] = {}
        self._making = Lock()

    def sync(self, *folders: Path) -> None:
        """Makes the names that are in the folders now durable, each folder once.

        Raises:
            OSError: The disk failed.
        """
        for folder in dict.fromkeys(folders):
            turns = self._folders.setdefault(folder, _Turns())
            begun_before = turns.begun
            with turns.lock:
                if turns.done > begun_before:
                    continue
                turns.begun += 1
                _sync_folder(folder)
                turns.done = turns.begun

    def make_folder(self, folder: Path) -> None:
        """Makes a folder and those above it that are missing, their names durable.

        Who finds one that another thread is making waits until its name is durable, too.

        Raises:
            OSError: It cannot be made.
        """
        with self._making:
            new = []
            nearest = folder
            while not nearest.is_dir() and nearest != nearest.parent:
                new.append(nearest)
                nearest = nearest.parent
            if new:
                folder.mkdir(parents=True, exist_ok=True)
                self.sync(*(one.parent for one in new))


class _Turns:
    """The syncs of one folder: the number of the last that began, and of the last that is done."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.begun = 0
        self.done = 0


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network and FUSE file systems cannot sync a folder; they know no better than to say so.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(handle)
