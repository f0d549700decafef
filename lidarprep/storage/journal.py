"""The journal of a run that is not finished: what it is, and each frame that is done, on the disk before it counts.

A run that was stopped leaves it behind, and the next one does only what is missing. In a local folder it is one file,
RUN_FOLDER/journal.jsonl, that is only ever appended to; for a store without files see `object_journal`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, cast

from lidarprep.errors import StorageError
from lidarprep.storage.durable import FolderSyncs
from lidarprep.storage.journal_records import Journaled, Record, as_line, sound_records
from lidarprep.storage.object_journal import ObjectJournal
from lidarprep.storage.store import ConditionalStore, Store

__all__ = ["FileJournal", "Journal", "Journaled", "Record", "journal_of", "run_folder_of"]


class Journal(Protocol):
    """The journal at one destination. Only the process that holds the destination's lock may write it."""

    def read(self) -> Journaled | None:
        """What stands there; None where no run has begun.

        Raises:
            StorageError: It cannot be read.
        """

    def begin(self, header: Record) -> None:
        """A new journal in place of what stands there; durable when this returns.

        Raises:
            StorageError: It cannot be written.
        """

    durable: int
    """How many of the records that were appended are durable for certain: the first ones."""

    def append(self, record: Record) -> None:
        """One record more, to a journal that was begun or read; durable once `flush` has returned, if not before.

        Raises:
            StorageError: It, or one before it, cannot be written.
        """

    def flush(self) -> None:
        """Waits until every record is durable.

        Raises:
            StorageError: One cannot be written.
        """

    def remove(self) -> None:
        """Deletes the journal.

        Raises:
            StorageError: It cannot be deleted.
        """


def journal_of(store: Store) -> Journal:
    """The journal of the place that a store is of."""
    folder = run_folder_of(store)
    # What has no folder is a store of objects.
    return ObjectJournal(cast(ConditionalStore, store)) if folder is None else FileJournal(folder / "journal.jsonl")


def run_folder_of(store: Store) -> Path | None:
    """The folder for what belongs to an unfinished run; None where the store has no folders of this machine."""
    folder: Path | None = getattr(store, "run_folder", None)
    return folder


class FileJournal:
    """A journal in a file.

    Args:
        path: The file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.durable = 0
        self._sound_bytes = 0

    def read(self) -> Journaled | None:
        """The records up to the first that is not whole; what stands behind it is written over by the next."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{self.path} cannot be read: {error.strerror or error}") from error
        records, self._sound_bytes = sound_records(data)
        return Journaled(records[0], tuple(records[1:])) if records else None

    def begin(self, header: Record) -> None:
        """Syncs the file and the folders that are new."""
        with self._reported("written"):
            syncs = FolderSyncs()
            syncs.make_folder(self.path.parent)
            self._sound_bytes = 0
            self._write(as_line(header), os.O_CREAT)
            syncs.sync(self.path.parent)

    def append(self, record: Record) -> None:
        """Syncs the file: the record is durable when this returns."""
        with self._reported("written"):
            self._write(as_line(record))
        self.durable += 1

    def flush(self) -> None:
        """Does nothing: every record is synced already."""

    def remove(self) -> None:
        """Deletes the file."""
        with self._reported("deleted"):
            self.path.unlink(missing_ok=True)

    def _write(self, line: bytes, flags: int = 0) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o666)
        try:
            # Whatever a write that failed, or was cut, has left behind the last whole record goes.
            os.ftruncate(handle, self._sound_bytes)
            os.lseek(handle, self._sound_bytes, os.SEEK_SET)
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        self._sound_bytes += len(line)

    @contextlib.contextmanager
    def _reported(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(f"{self.path} cannot be {what}: {error.strerror or error}") from error
