"""A local folder as store."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from lidarprep.errors import RecipeError, StorageError
from lidarprep.storage.store import StoredObject, describe, describe_file, is_of_the_disk, read_file, under_base


class LocalFolder:
    """A store in a folder.

    Its URLs are relative to the folder, so that the folder may be moved or copied to where Scale can fetch it, and the
    attachments don't tell where they were made; unless `url_base` gives them a prefix.

    Args:
        path: The folder; made when the first object is stored.
        url_base: Prefix of the URLs.
        presign_hours: Only S3 can sign; anything but None is refused.
        run: What is stored is staged for this run: kept in a folder of its own until it is committed.

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
        run: str | None = None,
    ) -> None:
        if presign_hours is not None:
            raise RecipeError(f"URLs of a local folder ({path}) cannot be signed", fix="Store at s3://bucket/prefix.")
        self.path = Path(path)
        self.url_base = url_base
        self._staging = None if run is None else self.path / f".lidarprep-{run}"
        self._missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]

    def check(self) -> None:
        """Sees that the folder is one, or can be made.

        Raises:
            StorageError: It is a file, or not writable.
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

    def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        """Writes the bytes to a temporary name in the same folder, then renames it to `key`."""
        with self.spool(key) as file:
            try:
                file.write(data)
                self._put_in_place(key, file)
            except OSError as error:
                raise self._unwritten(key, error) from error
        return describe(key, self.url(key), data)

    @contextlib.contextmanager
    def spool(self, key: str) -> Iterator[BinaryIO]:
        """A file with a temporary name in the folder that `key` will lie in, so that it need not be copied there."""
        folder = self._target(key).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=".writing-", dir=folder)
        except OSError as error:
            raise self._unwritten(key, error) from error
        os.close(handle)
        try:
            with Path(temporary).open("w+b") as file:
                yield file
        except OSError as error:
            if not is_of_the_disk(error):
                raise
            raise self._unwritten(key, error) from error
        finally:
            Path(temporary).unlink(missing_ok=True)

    def put_file(self, key: str, file: BinaryIO, content_type: str) -> StoredObject:
        """Renames the file to `key`."""
        try:
            stored = describe_file(key, self.url(key), file)
            self._put_in_place(key, file)
        except OSError as error:
            raise self._unwritten(key, error) from error
        return stored

    def get(self, key: str) -> bytes:
        """The bytes under `key`."""
        return read_file(self.path / key)

    def existing(self, keys: Collection[str]) -> set[str]:
        """Which of the keys have a file under them."""
        return {key for key in keys if os.path.lexists(self.path / key)}

    def discard(self, keys: Collection[str]) -> None:
        """Deletes the files, and the folders below this one that are empty then."""
        for key in keys:
            target = self.path / key
            try:
                target.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(f"{target} cannot be deleted: {error.strerror or error}") from error
            with contextlib.suppress(OSError):  # not empty, or not there: then it stays
                while target.parent != self.path:
                    target = target.parent
                    target.rmdir()

    def staged(self, run: str) -> LocalFolder:
        """A store for the same folder that stages what it is given in a folder within, until it is committed."""
        return LocalFolder(self.path, url_base=self.url_base, run=run)

    def commit(self, keys: Collection[str]) -> None:
        """Renames each staged file to its place, once it is seen that each can go there.

        A manifest that is to be replaced goes first: it must never stand beside what it does not speak of.
        """
        if self._staging is None or not keys:
            return
        targets = {key: self.path / key for key in keys}
        try:
            for target in targets.values():
                if target.is_dir():
                    raise StorageError(f"{target} is a folder, where a file is to go", fix="Remove it.")
                target.parent.mkdir(parents=True, exist_ok=True)
            list(targets.values())[-1].unlink(missing_ok=True)
            for key, target in targets.items():
                (self._staging / key).replace(target)
        except OSError as error:
            raise StorageError(f"{target} cannot be written: {error.strerror or error}") from error
        shutil.rmtree(self._staging, ignore_errors=True)

    def roll_back(self, keys: Collection[str]) -> None:
        """Deletes what is staged, and the folders that were made for it."""
        if self._staging is None:
            return
        shutil.rmtree(self._staging, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty: others have put something there meanwhile
            for folder in self._missing:
                folder.rmdir()

    def _target(self, key: str) -> Path:
        return (self._staging or self.path) / key

    def _put_in_place(self, key: str, file: BinaryIO) -> None:
        file.flush()
        # mkstemp makes files that only their owner reads; what is stored is meant to be read.
        Path(file.name).chmod(0o666 & ~_UMASK)
        Path(file.name).replace(self._target(key))

    def _unwritten(self, key: str, error: OSError) -> StorageError:
        return StorageError(f"{self.path / key} cannot be written: {error.strerror or error}")

    def url(self, key: str) -> str:
        """`key` under the prefix, or relative to the folder."""
        return under_base(self.url_base, key) if self.url_base else under_base("", key).lstrip("/")

    def location(self, key: str) -> str:
        """The file's own URL, file://…"""
        return (self.path / key).resolve().as_uri()

    def fetch_url(self, key: str) -> str:
        """The same as `url`."""
        return self.url(key)


def _read_umask() -> int:
    # The only way to read it is to set it; done once, when the module is loaded, before there are threads.
    umask = os.umask(0)
    os.umask(umask)
    return umask


_UMASK = _read_umask()
