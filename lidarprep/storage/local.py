"""A local folder as store."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from lidarprep.errors import RecipeError, StorageError
from lidarprep.storage.durable import TEMPORARY, FolderSyncs, new_file, write_new
from lidarprep.storage.store import (
    RUN_FOLDER,
    StoredObject,
    describe,
    describe_file,
    is_of_the_disk,
    read_file,
    under_base,
)


class LocalFolder:
    """A store in a folder.

    Its URLs are relative to the folder, so that the folder may be moved or copied to where Scale can fetch it, and the
    attachments don't tell where they were made; unless `url_base` gives them a prefix.

    Args:
        path: The folder; made when the first object is stored.
        url_base: Prefix of the URLs.
        presign_hours: Only S3 can sign; anything but None is refused.
        staged: What is stored is kept in a folder of its own, below RUN_FOLDER, until it is committed.

    Raises:
        RecipeError: Signed URLs are asked for.
    """

    stages = True

    def __init__(
        self,
        path: str | Path,
        *,
        url_base: str | None = None,
        presign_hours: float | None = None,
        staged: bool = False,
    ) -> None:
        if presign_hours is not None:
            raise RecipeError(f"URLs of a local folder ({path}) cannot be signed", fix="Store at s3://bucket/prefix.")
        self.path = Path(path)
        self.url_base = url_base
        self._staging = self.run_folder / "staged" if staged else None
        self._missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        self._syncs = FolderSyncs()

    @property
    def run_folder(self) -> Path:
        """The folder for what belongs to a run that is not finished; it need not be there."""
        return self.path / RUN_FOLDER

    def check(self, needed_bytes: int | None = None) -> None:
        """Sees that the folder is one, or can be made, and has room.

        Raises:
            StorageError: It is a file, or not writable; or its disk has not so many bytes left.
        """
        nearest = self.path
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            raise StorageError(f"{nearest} is not a folder", fix="Choose another destination.")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise StorageError(
                f"{nearest} is not writable", fix="Choose another destination, or change its permissions."
            )
        free = shutil.disk_usage(nearest).free
        if needed_bytes is not None and free < needed_bytes:
            raise StorageError(
                f"{nearest} has {free / 1e9:.2f} GB left, and about {needed_bytes / 1e9:.2f} GB are to be stored there",
                fix="Make room there, or choose another destination.",
            )

    def probe(self) -> None:
        """Does nothing: `check` has seen what there is to be seen, and the lock was written."""

    def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        """Writes the bytes to a temporary name in the same folder, then renames it to `key`."""
        target = self._target(key)
        with self._reported(key):
            self._syncs.make_folder(target.parent)
            self._rename(write_new(target.parent, data), target)
        return describe(key, self.url(key), data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Links a file that is written already to `key`, which no file system does where there is one."""
        target = self._target(key)
        with self._reported(key):
            self._syncs.make_folder(target.parent)
            temporary = write_new(target.parent, data)
            try:
                os.link(temporary, target)
            except FileExistsError:
                return target.read_bytes() == data
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                    raise
                # A file system without links: the name is taken first, empty for a moment.
                try:
                    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    return target.read_bytes() == data
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
            self._syncs.sync(target.parent)
        return True

    @contextlib.contextmanager
    def spool(self, key: str) -> Iterator[BinaryIO]:
        """A file with a temporary name in the folder that `key` will lie in, so that it need not be copied there."""
        folder = self._target(key).parent
        with self._reported(key):
            self._syncs.make_folder(folder)
            handle, temporary = new_file(folder)
        os.close(handle)
        try:
            with temporary.open("r+b") as file:
                yield file
        except OSError as error:
            if not is_of_the_disk(error):
                raise
            raise self._unwritten(key, error) from error
        finally:
            temporary.unlink(missing_ok=True)

    def put_file(self, key: str, file: BinaryIO, content_type: str) -> StoredObject:
        """Renames the file to `key`."""
        with self._reported(key):
            stored = describe_file(key, self.url(key), file)
            file.flush()
            os.fsync(file.fileno())
            self._rename(Path(file.name), self._target(key))
        return stored

    def get(self, key: str) -> bytes:
        """The bytes under `key`."""
        return read_file(self._place(key))

    def measure(self, key: str) -> StoredObject | None:
        """Size and SHA-256 of the file, read in pieces; None if there is none."""
        path = self._target(key)
        try:
            with path.open("rb") as file:
                return describe_file(key, self.url(key), file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error

    def sizes(self, keys: Collection[str]) -> dict[str, int]:
        """The files' sizes; a staged store's own files only."""
        found = {}
        for key in keys:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found[key] = self._target(key).lstat().st_size
        return found

    def existing(self, keys: Collection[str]) -> set[str]:
        """Which of the keys have a file under them."""
        return {key for key in keys if os.path.lexists(self.path / key)}

    def list(self, prefix: str = "") -> Iterator[str]:
        """The keys below the folder, temporary names left out."""
        # Only the folder that the prefix ends in needs to be looked into.
        top = self.path / prefix.rpartition("/")[0]
        for folder, folders, files in os.walk(top):
            folders.sort()
            if Path(folder) == self.path and not prefix.startswith(RUN_FOLDER):
                folders[:] = [name for name in folders if name != RUN_FOLDER]
            for name in sorted(files):
                key = (Path(folder) / name).relative_to(self.path).as_posix()
                if key.startswith(prefix) and not name.startswith(TEMPORARY):
                    yield key

    def discard(self, keys: Collection[str]) -> None:
        """Deletes the files, and the folders below this one that are empty then."""
        for key in keys:
            target = self._place(key)
            try:
                target.unlink(missing_ok=True)
            except NotADirectoryError:
                continue
            except OSError as error:
                raise StorageError(f"{target} cannot be deleted: {error.strerror or error}") from error
            with contextlib.suppress(OSError):  # not empty, or not there: then it stays
                while target.parent != self.path:
                    target = target.parent
                    target.rmdir()

    def sweep(self) -> None:
        """Deletes the temporary files of a run that was killed: below RUN_FOLDER no other process writes any."""
        for left in self.run_folder.rglob(f"{TEMPORARY}*"):
            with self._reported(left.relative_to(self.path).as_posix()):
                left.unlink(missing_ok=True)

    def staged(self) -> LocalFolder:
        """A store for the same folder that stages what it is given in a folder within, until it is committed."""
        return LocalFolder(self.path, url_base=self.url_base, staged=True)

    def commit(self, keys: Collection[str]) -> None:
        """Renames each staged file to its place, once it is seen that each can go there.

        A manifest that is to be replaced goes first: it must never stand beside what it does not speak of. The new one
        comes last, when all other names are durable.
        """
        if self._staging is None or not keys:
            return
        staged, (*others, last) = self.sizes(keys), keys
        targets = {key: self._place(key) for key in keys}
        with self._reported(last):
            for key, target in targets.items():
                if target.is_dir():
                    raise StorageError(f"{target} is a folder, where a file is to go", fix="Remove it.")
                if key not in staged and not target.is_file():
                    raise StorageError(f"{self._target(key)} is gone", fix="Run the same command again.")
                self._syncs.make_folder(target.parent)
            if last in staged:
                targets[last].unlink(missing_ok=True)
                self._syncs.sync(targets[last].parent)
        for key in others:
            if key in staged:
                with self._reported(key):
                    self._target(key).replace(targets[key])
        with self._reported(last):
            self._syncs.sync(*(targets[key].parent for key in others))
            if last in staged:
                # Where that fails it stays staged, for the commit that is done again.
                self._target(last).replace(targets[last])
                self._syncs.sync(targets[last].parent)
        shutil.rmtree(self._staging, ignore_errors=True)
        self._remove_run_folder()

    def roll_back(self, keys: Collection[str]) -> None:
        """Deletes what is staged, and the folders that were made for it."""
        if self._staging is None:
            return
        shutil.rmtree(self._staging, ignore_errors=True)
        self._remove_run_folder()
        with contextlib.suppress(OSError):  # not empty: others have put something there meanwhile
            for folder in self._missing:
                folder.rmdir()

    def stop(self) -> None:
        """Does nothing: nothing is tried again here."""

    def hurried(self) -> contextlib.AbstractContextManager[None]:
        """Does nothing: nothing is tried again here."""
        return contextlib.nullcontext()

    def url(self, key: str) -> str:
        """`key` under the prefix, or relative to the folder."""
        return under_base(self.url_base, key) if self.url_base else under_base("", key).lstrip("/")

    def location(self, key: str) -> str:
        """The file's own URL, file://…"""
        return (self.path / key).resolve().as_uri()

    def fetch_url(self, key: str) -> str:
        """The same as `url`."""
        return self.url(key)

    def path_of(self, key: str) -> Path:
        """The file that is under `key`; a staged store's: where it is staged.

        Raises:
            StorageError: That is outside the folder.
        """
        return self._target(key)

    def _remove_run_folder(self) -> None:
        with contextlib.suppress(OSError):  # not empty: a journal or a lock is there
            self.run_folder.rmdir()

    def _place(self, key: str) -> Path:
        """Where `key` stands, or is to stand.

        Raises:
            StorageError: That is outside the folder, by its name or by a link on the way there.
        """
        return _within(self.path, key)

    def _target(self, key: str) -> Path:
        """Where `key` is written: its place, or where it is staged."""
        return self._place(key) if self._staging is None else _within(self._staging, key)

    def _rename(self, temporary: Path, target: Path) -> None:
        try:
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._syncs.sync(target.parent)

    @contextlib.contextmanager
    def _reported(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unwritten(key, error) from error

    def _unwritten(self, key: str, error: OSError) -> StorageError:
        return StorageError(
            f"{self.path / key} cannot be written: {error.strerror or error}", fix=_FIXES.get(error.errno or 0)
        )


def _within(folder: Path, key: str) -> Path:
    """The file that a key names below a folder.

    Raises:
        StorageError: It is outside the folder, by its name or by a link on the way there.
    """
    if not key or "\0" in key or {"", ".", ".."} & set(key.split("/")):
        raise StorageError(f"{key!r} is no name of something in {folder}")
    target = folder / key
    if target.parent != folder and not target.parent.resolve().is_relative_to(folder.resolve()):
        raise StorageError(
            f"{target.parent} is a link that leads out of {folder}", fix="Remove it, or choose another destination."
        )
    return target


_FIXES = {
    errno.ENOSPC: "Make room there, or choose another destination.",
    errno.EDQUOT: "The disk quota is used up: make room, or choose another destination.",
    errno.EROFS: "The file system is read-only: choose another destination.",
    errno.EACCES: "Choose another destination, or change its permissions.",
    errno.EPERM: "Choose another destination, or change its permissions.",
    errno.EFBIG: "The file system, or a limit (ulimit -f), takes no file so large: choose another destination.",
    errno.EIO: "The disk failed: choose another destination.",
}
