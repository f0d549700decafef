"""A local folder as store.

Objects are written to a temporary name, synced and renamed, so that one is whole or not there. Their names become
durable when the manifest is written: until then nothing says that they are there. Results of finished frames are not
synced: one that a power cut damages is processed again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from lidarprep.errors import ManifestConflictError, RecipeError, StorageError
from lidarprep.storage.files import (
    TEMPORARY,
    Reflinks,
    move,
    move_file,
    remove_quietly,
    sync_folder,
    temporary_file,
    temporary_name,
    write_new,
    writing,
)
from lidarprep.storage.keys import is_key
from lidarprep.storage.options import OBJECT_OPTIONS, StorageOptions
from lidarprep.storage.store import CACHE_PREFIX, OBJECT_FOLDERS, FetchUrl, ObjectInfo


class FolderStore:
    """A store in a folder.

    Its URLs are relative to the folder, so that the folder may be moved or copied to where Scale can fetch it; unless
    the options give them a prefix.

    Args:
        path: The folder; made when the first object is stored.
        options: Prefix of the URLs, and whether images may become hard links.

    Raises:
        RecipeError: The options ask for what only S3 can do.
    """

    def __init__(self, path: str | Path, options: StorageOptions) -> None:
        self.path = Path(path)
        self.options = options
        if options.presign_hours is not None:
            raise RecipeError(
                f"URLs of a local folder ({path}) cannot be signed", fix="Store in a bucket, as at s3://bucket/prefix."
            )
        unheeded = [name for name in OBJECT_OPTIONS if getattr(options, name)]
        if unheeded:
            raise RecipeError(
                f"{', '.join(unheeded)}: that is for buckets, and {path} is a local folder",
                fix="Leave that out, or store in a bucket, as at s3://bucket/prefix.",
            )
        self._reflinks = Reflinks(hard_links=options.link_images)
        self._made: set[Path] = set()
        self._making = threading.Lock()

    def check(self) -> int | None:
        """Check that the folder is one, or can be made, and may be read and written; return the free space."""
        with writing(self.path), contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            self.path.lstat()
        nearest = self.path
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
        for name in (*OBJECT_FOLDERS, CACHE_PREFIX.rstrip("/")):
            below = self.path / name
            if os.path.lexists(below):
                self._require_folder(below)
        return _free_bytes(nearest)

    def put(
        self,
        key: str,
        data: bytes,
        content_type: str,
        *,
        sha256: str,
        encoding: str | None = None,
        source: Path | None = None,
    ) -> None:
        """Write the bytes, or share the blocks of their file."""
        target = self._target(key)
        try:
            self._put(target, data, source, durable=not key.startswith(CACHE_PREFIX))
        except StorageError as error:
            # Another run, which has ended, has deleted its last cache entry, and the folder with it.
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            self._made.discard(target.parent)
            self._put(self._target(key), data, source, durable=not key.startswith(CACHE_PREFIX))

    @contextlib.contextmanager
    def temporary_file(self) -> Iterator[BinaryIO]:
        """Open a file with a temporary name in the folder; a folder that was made for it and stays empty goes, too."""
        was_there = os.path.lexists(self.path)
        try:
            with temporary_file(self._target("scene")) as file:
                yield file
        finally:
            if not was_there:
                with contextlib.suppress(OSError):  # not empty
                    self.path.rmdir()

    def put_file(self, key: str, file: BinaryIO, content_type: str, *, sha256: str) -> None:
        """Sync the file, and move it to its key."""
        target = self._target(key)
        with writing(target):
            move_file(file, target)

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Read the file, or a part of it."""
        path = self._path(key)
        with writing(path, "read"), contextlib.suppress(FileNotFoundError, NotADirectoryError), path.open("rb") as file:
            file.seek(start)
            return file.read(-1 if stop is None else stop - start)
        return None

    def sizes(self, prefix: str) -> dict[str, ObjectInfo]:
        """List the files; those with temporary names are left out."""
        found = {}
        for entry, key in self._entries(prefix):
            if not entry.name.startswith(TEMPORARY) and key.startswith(prefix):
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    # A hard link has the modification time of its source; it was made when the inode changed.
                    stored = status.st_ctime if status.st_nlink > 1 else status.st_mtime
                    found[key] = ObjectInfo(status.st_size, stored)
        return found

    def delete(self, keys: Collection[str]) -> None:
        """Delete the files, and the folders below this one that are empty then."""
        for key in keys:
            path = self._path(key)
            with writing(path, "deleted"), contextlib.suppress(NotADirectoryError):
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty, or not there
                while path.parent != self.path:
                    path = path.parent
                    path.rmdir()

    def delete_unfinished(self, before: float) -> None:
        """Delete temporary files that were last written before a time."""
        for prefix in (*(f"{name}/" for name in OBJECT_FOLDERS), CACHE_PREFIX, ""):
            for entry, _ in self._entries(prefix):
                if entry.name.startswith(TEMPORARY):
                    with writing(Path(entry.path), "deleted"), contextlib.suppress(FileNotFoundError):
                        if entry.stat(follow_symlinks=False).st_mtime < before:
                            Path(entry.path).unlink()

    def read_current(self, key: str) -> tuple[bytes, str] | None:
        """Read the file; its version is the SHA-256 of its bytes."""
        data = self.get(key)
        return None if data is None else (data, hashlib.sha256(data).hexdigest())

    def replace(self, key: str, data: bytes, *, if_version: str | None) -> None:
        """Make all names durable, then put the file in place, and make that durable.

        A file that is replaced is locked (flock) while its version is compared and the new one renamed over it.
        Where the file system has no such locks, or no hard links, the last one wins.
        """
        target = self._target(key)
        with writing(target):
            self._sync_names()
            temporary = temporary_name(target)
            write_new(temporary, data, durable=True)
            try:
                if if_version is None:
                    self._create(temporary, target)
                else:
                    self._swap(temporary, target, if_version)
            finally:
                remove_quietly(temporary)
            sync_folder(self.path)

    def url(self, key: str) -> str:
        """Return the key under the prefix, or relative to the folder."""
        return f"{self.options.url_base.rstrip('/')}/{quote(key)}" if self.options.url_base else quote(key)

    def location(self, key: str) -> str:
        """Return the file's own URL, file://…"""
        return (self.path / key).resolve().as_uri()

    def fetch_url(self, key: str) -> FetchUrl:
        """Return the same as `url`: nothing is signed."""
        return FetchUrl(self.url(key), None)

    def close(self) -> None:
        """Do nothing: no operation is tried again here."""

    def _create(self, temporary: Path, target: Path) -> None:
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise ManifestConflictError(target) from None
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            if target.exists():
                raise ManifestConflictError(target) from None
            temporary.rename(target)

    def _swap(self, temporary: Path, target: Path, if_version: str) -> None:
        try:
            current = target.open("rb")
        except FileNotFoundError:
            raise ManifestConflictError(target) from None
        with current:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(current.fileno(), fcntl.LOCK_EX)
            # Who waited for the lock may hold that of a manifest which has been replaced meanwhile.
            try:
                is_current = os.path.samestat(os.fstat(current.fileno()), target.stat())
            except FileNotFoundError:
                is_current = False
            if not is_current or hashlib.sha256(current.read()).hexdigest() != if_version:
                raise ManifestConflictError(target)
            temporary.rename(target)

    def _entries(self, prefix: str) -> Iterator[tuple[os.DirEntry[str], str]]:
        """Yield the files below the folder that a prefix ends in, with their keys; of the root, its own files only."""
        start = prefix.rpartition("/")[0]
        self._require_inside(self.path / start)
        folders = [start]
        while folders:
            inner = folders.pop()
            folder = self.path / inner
            with writing(folder, "read"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
                for entry in list(os.scandir(folder)):
                    key = f"{inner}/{entry.name}" if inner else entry.name
                    if not entry.is_dir(follow_symlinks=False):
                        yield entry, key
                    elif start:
                        folders.append(key)

    def _put(self, target: Path, data: bytes, source: Path | None, *, durable: bool) -> None:
        with writing(target):
            temporary = temporary_name(target)
            if source is None or not self._reflinks.link(source, temporary, data):
                write_new(temporary, data, durable=durable)
            move(temporary, target)

    def _path(self, key: str) -> Path:
        if not is_key(key):
            raise StorageError(f"{key!r} is not a name of something in {self.path}")
        path = self.path / key
        if path.parent not in self._made:
            self._require_inside(path.parent)
        return path

    def _target(self, key: str) -> Path:
        """Return the file that a key names; its folder is made, and lies inside this one.

        Raises:
            StorageError: The folder cannot be made, or is a link that leads out.
        """
        path = self._path(key)
        if path.parent not in self._made:
            with self._making, writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._require_folder(path.parent)
                self._made.add(path.parent)
        return path

    def _require_folder(self, below: Path) -> None:
        """Check that a folder below this one is a folder, and that no link leads out of this one."""
        self._require_inside(below)
        if not os.path.isdir(below):  # noqa: PTH112  # Path.is_dir raises what it does not know
            raise StorageError(
                f"{below} is not a folder, and files are to be stored in it",
                fix="Remove it, or choose another destination.",
            )

    def _require_inside(self, below: Path) -> None:
        try:
            inside = below.resolve().is_relative_to(self.path.resolve())
        except (OSError, RuntimeError):  # a link to itself
            inside = False
        if not inside:
            raise StorageError(
                f"{below} is a link that leads out of {self.path}", fix="Remove it, or choose another destination."
            )

    def _sync_names(self) -> None:
        """Make the names of all objects durable, whichever run stored them, and of the folders that lead here."""
        for inner, folders, _ in os.walk(self.path):
            if Path(inner) == self.path:
                folders[:] = [name for name in folders if name in OBJECT_FOLDERS]
            sync_folder(Path(inner))
        for folder in (self.path, *self.path.resolve().parents)[1:3]:
            with contextlib.suppress(PermissionError):
                sync_folder(folder)


def _free_bytes(folder: Path) -> int | None:
    """Return the free space of a folder's disk; None where that is unknown."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    if not usage.total:  # as some network file systems have it
        return None
    # What is kept back for root can be used by root.
    return usage.free if os.geteuid() else usage.total - usage.used
