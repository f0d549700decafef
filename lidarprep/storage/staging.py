"""Where a run keeps what it has stored, out of sight, until all of it goes to its place."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from lidarprep.errors import StorageError
from lidarprep.storage.durable import TEMPORARY, FolderSyncs, copy_new
from lidarprep.storage.folder import within, writing
from lidarprep.storage.store import RUN_FOLDER


class Staging:
    """The staged files of one folder, below its RUN_FOLDER.

    Args:
        folder: The folder that they are to stand in.
        syncs: Makes names durable.
    """

    def __init__(self, folder: Path, syncs: FolderSyncs) -> None:
        self.folder = folder
        self.path = folder / RUN_FOLDER / "staged"
        self._syncs = syncs

    def file(self, key: str) -> Path:
        """Where `key` is staged.

        Raises:
            StorageError: That is outside.
        """
        return within(self.path, key)

    def commit(self, keys: Collection[str], staged: Collection[str]) -> None:
        """Renames each staged file to its place, once it is seen that each can go there.

        A manifest that is to be replaced goes first: it must never stand beside what it does not speak of. The new one
        comes last, when all other names are durable.

        Args:
            keys: What is to stand, the manifest last.
            staged: Which of them are staged; others stand already, from a commit that was interrupted.

        Raises:
            StorageError: Something is gone, or in the way; nothing was moved then. Or the disk failed, and the commit
                may be done again.
        """
        *others, last = keys
        places = {key: within(self.folder, key) for key in keys}
        self._see_that_all_can_go(places, staged)
        with writing(places[last]):
            if last in staged:
                places[last].unlink(missing_ok=True)
                self._syncs.sync(places[last].parent)
        self._move(others, places, staged)
        self._move([last], places, staged)
        self.remove()

    def remove(self) -> None:
        """Deletes what is staged, as far as that can be done."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty: a journal or a lock is there
            self.path.parent.rmdir()

    def _see_that_all_can_go(self, places: Mapping[str, Path], staged: Collection[str]) -> None:
        for key, place in places.items():
            with writing(place):
                if place.is_dir():
                    raise StorageError(f"{place} is a folder, where a file is to go", fix="Remove it.")
                if key not in staged and not place.is_file():
                    raise StorageError(f"{self.file(key)} is gone", fix="Run the same command again.")
        for place in places.values():
            with writing(place):
                self._syncs.make_folder(place.parent)

    def _move(self, keys: Iterable[str], places: Mapping[str, Path], staged: Collection[str]) -> None:
        """Moves those that are staged to their places; all the names are durable then.

        A file whose move fails stays staged, for the commit that is done again.
        """
        for key in keys:
            if key in staged:
                with writing(places[key]):
                    self._rename(self.file(key), places[key])
        for folder in dict.fromkeys(places[key].parent for key in keys):
            with writing(folder):
                self._syncs.sync(folder)

    def _rename(self, file: Path, place: Path) -> None:
        try:
            # Where both are names of one file, which a link to a picture may be, this does nothing, and that is right.
            file.replace(place)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # A folder within that is a disk of its own. What a commit that was interrupted has left there goes.
            for left in place.parent.glob(f"{TEMPORARY}*"):
                left.unlink(missing_ok=True)
            copy_new(file, place.parent).replace(place)
