"""A local folder as store."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from lidarprep.errors import RecipeError, StorageError
from lidarprep.storage.copies import Copies
from lidarprep.storage.durable import TEMPORARY, FolderSyncs, new_file, remove_half_written, write_new
from lidarprep.storage.folder import (
    check_folder,
    delete,
    keys_below,
    refuse_links,
    require_folders,
    size_of,
    unwritten,
    within,
    writing,
)
from lidarprep.storage.staging import Staging
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
        link_images: Whether files that are taken from where they lie may become hard links to what lies there.
        staged: What is stored is kept in a folder of its own, below RUN_FOLDER, until it is committed.

    Raises:
        RecipeError: Signed URLs are asked for.
    """

    keeps_spools = True

    def __init__(
        self,
        path: str | Path,
        *,
        url_base: str | None = None,
        presign_hours: float | None = None,
        link_images: bool = False,
        staged: bool = False,
    ) -> None:
        if presign_hours is not None:
            raise RecipeError(f"URLs of a local folder ({path}) cannot be signed", fix="Store at s3://bucket/prefix.")
        self.path = Path(path)
        self.url_base = url_base
        self.link_images = link_images
        self._missing = [folder for folder in (self.path, *self.path.parents) if not os.path.lexists(folder)]
        self._syncs = FolderSyncs()
        self._copies = Copies(link=link_images)
        self._staging = Staging(self.path, self._syncs) if staged else None

    @property
    def stages(self) -> bool:
        """Whether what this store is given is kept aside."""
        return self._staging is not None

    @property
    def run_folder(self) -> Path:
        """The folder for what belongs to a run that is not finished; it need not be there."""
        return self.path / RUN_FOLDER

    def check(self, needed_bytes: int | None = None) -> None:
        """Sees that the folder is one, or can be made, and has room.

        Raises:
            StorageError: It is a file, or may not be read and written; or its disk has not so many bytes left.
        """
        check_folder(self.path, needed_bytes)
        refuse_links(self.run_folder, self.run_folder / "staged")

    def probe(self) -> None:
        """Makes the names of the folders durable that were made for the lock: what comes is to be found in them.

        Else it does nothing: `check` has seen what there is to be seen, and the lock was written.
        """
        with writing(self.path):
            self._syncs.sync(self.path, *(folder.parent for folder in self._missing))

    def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        """Writes the bytes to a temporary name in the same folder, then renames it to `key`."""
        target = self._target(key)
        with writing(self.path / key):
            self._syncs.make_folder(target.parent)
            self._rename(write_new(target.parent, data), target)
        return describe(key, self.url(key), data)

    def put_copy(self, key: str, source: BinaryIO, content_type: str) -> StoredObject:
        """Stores a copy that takes no room where one can be made, and is asked for if it is a link; else the bytes.

        What is recorded is read from the copy: if the file changes meanwhile, it is still true.
        """
        target = self._target(key)
        with writing(self.path / key):
            self._syncs.make_folder(target.parent)
        copy = self._copies.make(source, target.parent)
        stored = None if copy is None else self._described_copy(key, copy)
        if copy is None or stored is None:
            source.seek(0)
            return self.put(key, source.read(), content_type)
        with writing(self.path / key):
            self._rename(copy, target)
            # Where both are names of one file already, renaming does nothing.
            copy.unlink(missing_ok=True)
        return stored

    def needs_room_for(self, path: Path) -> bool:
        """Whether no copy of the file, or of one that lies where it does, can share its bytes."""
        return not self._copies.take_no_room(path, self.run_folder)

    @contextlib.contextmanager
    def spool(self, key: str) -> Iterator[BinaryIO]:
        """A file with a temporary name in the folder that `key` will lie in, so that it need not be copied there.

        A staged store's has the name that it is staged under, and stays: what it holds is for the journal to say.
        """
        target = self._target(key)
        with writing(self.path / key):
            self._syncs.make_folder(target.parent)
            if self._staging is None:
                handle, path = new_file(target.parent)
            else:
                path, flags = target, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                handle = os.open(path, flags, 0o666)
                self._syncs.sync(target.parent)
        os.close(handle)
        try:
            with path.open("r+b") as file:
                yield file
        except OSError as error:
            if not is_of_the_disk(error):
                raise
            raise unwritten(self.path / key, error) from error
        finally:
            if path != target:
                remove_half_written(path)

    def put_file(self, key: str, file: BinaryIO, content_type: str) -> StoredObject:
        """Renames the file to `key`."""
        with writing(self.path / key):
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
        folders: dict[str, Path] = {}  # each is seen once to lie inside, however many files are asked for
        found = {}
        for key in keys:
            folder, _, name = key.rpartition("/")
            if folder not in folders or name in ("", ".", ".."):
                folders[folder] = self._target(key).parent
            size = size_of(folders[folder] / name)
            if size is not None:
                found[key] = size
        return found

    def existing(self, keys: Collection[str]) -> set[str]:
        """Which of the keys have a file under them.

        Raises:
            StorageError: A folder that one of them is to lie in can be none: a file or a link is in its place.
        """
        require_folders(self.path, {key.rpartition("/")[0] for key in keys})
        return {key for key in keys if os.path.lexists(self.path / key)}

    def list(self, prefix: str = "") -> Iterator[str]:
        """The keys below the folder, temporary names left out."""
        hidden = () if prefix.startswith(RUN_FOLDER) else (RUN_FOLDER,)
        return keys_below(self.path, prefix, hidden=hidden)

    def discard(self, keys: Collection[str]) -> None:
        """Deletes the files, and the folders below this one that are empty then."""
        for key in keys:
            delete(self.path, self._place(key))

    def sweep(self, keys: Collection[str] = ()) -> None:
        """Deletes the temporary files of a run that was killed: below RUN_FOLDER no other process writes any."""
        with writing(self.run_folder, "cleared"):
            for left in self.run_folder.rglob(f"{TEMPORARY}*"):
                left.unlink(missing_ok=True)

    def staged(self, aside: bool = False) -> LocalFolder:
        """A store for the same folder that keeps what it is given aside in a folder within, asked for or not."""
        return LocalFolder(self.path, url_base=self.url_base, link_images=self.link_images, staged=True)

    def in_the_way(self, keys: Sequence[str]) -> set[str]:
        """Under which of the keys something stands: all that is new is aside."""
        return self.existing(keys)

    def commit(self, keys: Sequence[str]) -> None:
        """Renames each staged file to its place, once it is seen that each can go there."""
        if self._staging is not None and keys:
            self._staging.commit(keys, self.sizes(keys))

    def roll_back(self, keys: Collection[str]) -> None:
        """Deletes what is staged, and the folders that were made for it."""
        if self._staging is None:
            return
        self._staging.remove()
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

    def fetch_urls_expire_at(self) -> None:
        """Never: nothing is signed."""

    def _place(self, key: str) -> Path:
        """Where `key` stands, or is to stand.

        Raises:
            StorageError: That is outside the folder, by its name or by a link on the way there.
        """
        return within(self.path, key)

    def _target(self, key: str) -> Path:
        """Where `key` is written: its place, or where it is staged."""
        return self._place(key) if self._staging is None else self._staging.file(key)

    def _rename(self, temporary: Path, target: Path) -> None:
        try:
            temporary.replace(target)
        except BaseException:
            remove_half_written(temporary)
            raise
        self._syncs.sync(target.parent)

    def _described_copy(self, key: str, copy: Path) -> StoredObject | None:
        """What is to be recorded of a copy; None, and none is left, where the bytes that it shares cannot be read."""
        try:
            with copy.open("rb", buffering=0) as file:
                return describe_file(key, self.url(key), file)
        except BaseException as error:
            remove_half_written(copy)
            if not isinstance(error, OSError):
                raise
            return None
