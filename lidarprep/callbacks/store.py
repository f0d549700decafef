"""Where callbacks are kept: an SQLite file, or a folder of JSON files. Both are safe when `add` returns.

Several threads and several processes may use one store at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from lidarprep.callbacks.callback import Callback

DATABASE_SUFFIXES = (".db", ".sqlite", ".sqlite3")


class Kept(NamedTuple):
    """What became of a callback that was added.

    Args:
        callback: As it is in the store.
        is_new: It was not there before.
    """

    callback: Callback
    is_new: bool


class CallbackStore(ABC):
    """Callbacks, each with a mark that tells whether it was handled.

    Iterating yields all of them in the order they came; of a task there may be several versions.
    """

    @abstractmethod
    def add(self, callback: Callback) -> Kept:
        """Keeps a callback, unless the same content is there already. On disk once this returns, power cut or not.

        Args:
            callback: Its version is not looked at: the store numbers them.

        Raises:
            StorageError: It could not be written.
        """

    @abstractmethod
    def versions(self, task_id: str) -> list[Callback]:
        """All results of a task, in the order they came; none if there is none.

        Raises:
            StorageError: The store can't be read.
        """

    @abstractmethod
    def unhandled(self) -> Iterator[tuple[str, int]]:
        """Task id and version of what has no mark, in the order they came.

        Raises:
            StorageError: The store can't be read.
        """

    @abstractmethod
    def mark_handled(self, task_id: str, version: int) -> None:
        """Marks a callback as handled.

        Raises:
            StorageError: The mark could not be written.
        """

    @abstractmethod
    def __iter__(self) -> Iterator[Callback]: ...

    @abstractmethod
    def close(self) -> None:
        """Lets go of the files."""

    def get(self, task_id: str, version: int | None = None) -> Callback | None:
        """A task's result: the newest by the task's own times, or that version of it; None if it is not there.

        Where the task's times don't tell, it is the last that came.

        Raises:
            StorageError: The store can't be read.
        """
        found = [one for one in self.versions(task_id) if version in (None, one.version)]
        told = [(one.as_of, one.version, one) for one in found if one.as_of is not None]
        if found and len(told) == len(found):
            return max(told, key=lambda one: one[:2])[2]
        return found[-1] if found else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_callback_store(path: str | PathLike[str]) -> CallbackStore:
    """The store at a path, made if it isn't there.

    Args:
        path: A file, or a new path that ends in .db, .sqlite or .sqlite3: an SQLite database. Anything else: a folder.

    Raises:
        StorageError: It can't be opened, or is something else.
    """
    place = Path(path)
    if place.is_file() or (not place.is_dir() and place.suffix in DATABASE_SUFFIXES):
        from lidarprep.callbacks.sqlite_store import SqliteStore

        return SqliteStore(place)
    from lidarprep.callbacks.folder_store import FolderStore

    return FolderStore(place)
