"""What a store must know of a folder: whether it can be stored in, which file a key names, what its errors mean."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from lidarprep.errors import StorageError
from lidarprep.storage.durable import TEMPORARY


class NoRoomError(StorageError):
    """A disk has less room left than is needed."""


def check_folder(path: Path, needed_bytes: int | None = None) -> None:
    """Sees that a folder is one, or can be made, and has room.

    Raises:
        StorageError: It is a file, leads nowhere, or may not be read and written.
        NoRoomError: Its disk has not so many bytes left.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # looked into below
    except OSError as error:  # such as a name that is too long, or a network disk that is gone
        raise unwritten(path, error) from error
    nearest = path
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not os.path.isdir(nearest):  # noqa: PTH112  # Path.is_dir raises what it does not know
        what = "a link that leads to no folder" if nearest.is_symlink() else "not a folder"
        raise StorageError(f"{nearest} is {what}", fix="Choose another destination.")
    for mode, may_not_be in ((os.W_OK | os.X_OK, "writable"), (os.R_OK, "readable")):
        if not os.access(nearest, mode):
            raise StorageError(
                f"{nearest} is not {may_not_be}", fix="Choose another destination, or change its permissions."
            )
    free = None if needed_bytes is None else _free_bytes(nearest)
    if needed_bytes is not None and free is not None and free < needed_bytes:
        raise NoRoomError(
            f"{nearest} has {_amount(free)} left, and about {_amount(needed_bytes)} are to be stored there",
            fix=f"Make room for {_amount(needed_bytes - free)} more, or choose another destination.",
        )


def _amount(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.2f} MB"


def _free_bytes(folder: Path) -> int | None:
    """The room that is left on a folder's disk; None where that cannot be told."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    if not usage.total:  # as some network file systems have it
        return None
    # What is kept back for root can be used by root.
    return usage.free if os.geteuid() else usage.total - usage.used


def within(folder: Path, key: str) -> Path:
    """The file that a key names below a folder.

    Raises:
        StorageError: It is outside the folder, by its name or by a link on the way there.
    """
    if not key or "\0" in key or {"", ".", ".."} & set(key.split("/")):
        raise StorageError(f"{key!r} is no name of something in {folder}")
    target = folder / key
    if target.parent != folder:
        require_inside(folder, target.parent)
    return target


def require_inside(folder: Path, below: Path) -> None:
    """Sees that no link leads from a folder below another to the outside.

    Raises:
        StorageError: One does, or goes round in circles.
    """
    try:
        inside = below.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link to itself
        inside = False
    if not inside:
        raise StorageError(
            f"{below} is a link that leads out of {folder}", fix="Remove it, or choose another destination."
        )


def require_folders(folder: Path, names: Collection[str]) -> None:
    """Sees that folders below one can be made where they are not there.

    Raises:
        StorageError: A file is in the place of one, or a link that leads out.
    """
    found = {below for name in names for below in (folder / name, *(folder / name).parents) if folder in below.parents}
    for below in sorted(filter(os.path.lexists, found)):
        require_inside(folder, below)
        if not os.path.isdir(below):  # noqa: PTH112  # Path.is_dir raises what it does not know
            raise StorageError(
                f"{below} is not a folder, and files are to be stored in it",
                fix="Remove it, or choose another destination.",
            )


def refuse_links(*folders: Path) -> None:
    """Sees that no folder that is a run's own is a link: what it leads to would be cleared.

    Raises:
        StorageError: One is.
    """
    for folder in folders:
        if os.path.islink(folder):  # noqa: PTH114  # Path.is_symlink raises what it does not know
            raise StorageError(f"{folder} is a link, where a folder of a run is to be", fix="Remove it.")


def keys_below(folder: Path, prefix: str, *, hidden: Collection[str]) -> Iterator[str]:
    """The keys below a folder that begin with a prefix, in order, temporary names left out.

    Args:
        folder: The folder.
        prefix: What they begin with.
        hidden: Folders directly in it that are left out.
    """
    # Only the folder that the prefix ends in needs to be looked into.
    for inner, folders, files in os.walk(folder / prefix.rpartition("/")[0]):
        folders.sort()
        if Path(inner) == folder:
            folders[:] = [name for name in folders if name not in hidden]
        for name in sorted(files):
            key = (Path(inner) / name).relative_to(folder).as_posix()
            if key.startswith(prefix) and not name.startswith(TEMPORARY):
                yield key


def size_of(file: Path) -> int | None:
    """The size of a file; None if there is none.

    Raises:
        StorageError: That cannot be told.
    """
    try:
        return file.lstat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror or error}") from error


def delete(folder: Path, file: Path) -> None:
    """Deletes a file if it is there, and the folders above it that are empty then, up to a folder.

    Raises:
        StorageError: It cannot be deleted.
    """
    try:
        file.unlink(missing_ok=True)
    except NotADirectoryError:
        return
    except OSError as error:
        raise unwritten(file, error, "deleted") from error
    with contextlib.suppress(OSError):  # not empty, or not there: then it stays
        while file.parent != folder:
            file = file.parent
            file.rmdir()


def unwritten(path: Path, error: OSError, what: str = "written") -> StorageError:
    """What is to be said of a file that cannot be written, or deleted."""
    return StorageError(f"{path} cannot be {what}: {error.strerror or error}", fix=_FIXES.get(error.errno or 0))


@contextlib.contextmanager
def writing(path: Path, what: str = "written") -> Iterator[None]:
    """Turns what goes wrong within the `with` statement into a StorageError that names a file."""
    try:
        yield
    except OSError as error:
        raise unwritten(path, error, what) from error


_FIXES = {
    errno.ENOSPC: "Make room there, or choose another destination.",
    errno.EDQUOT: "The disk quota is used up: make room, or choose another destination.",
    errno.EROFS: "The file system is read-only: choose another destination.",
    errno.EACCES: "Choose another destination, or change its permissions.",
    errno.EPERM: "Choose another destination, or change its permissions.",
    errno.EFBIG: "The file system, or a limit (ulimit -f), takes no file so large: choose another destination.",
    errno.EIO: "The disk failed: choose another destination.",
    errno.ENAMETOOLONG: "Choose a destination with a shorter path.",
    errno.EEXIST: "A file stands where a folder is needed: remove it, or choose another destination.",
    errno.ENOTDIR: "A file stands where a folder is needed: remove it, or choose another destination.",
    errno.ESTALE: "The network disk is gone: run the same command again when it is back.",
    errno.ENOTCONN: "The network disk is gone: run the same command again when it is back.",
}
