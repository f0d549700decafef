"""The journal of a run that is not finished: what it is, and each frame that is done, on the disk before it counts.

A run that was stopped leaves it behind, and the next one does only what is missing. In a local folder it is one file,
RUN_FOLDER/journal.jsonl, that is only ever appended to; in a store without files, an object a record. Every record is
JSON behind the SHA-256 of its text: one that was cut short, or whose bits have turned, is as if it was never written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lidarprep.errors import StorageError
from lidarprep.storage.durable import FolderSyncs
from lidarprep.storage.store import RUN_FOLDER, Store

Record = Mapping[str, Any]

# Objects that are read and written side by side: each takes a round trip, and little else.
_SIDE_BY_SIDE = 8
_DIGEST_LENGTH = 64


@dataclass(frozen=True)
class Journaled:
    """What a journal holds.

    Args:
        header: What run it is.
        records: What is done, in the order in which it was recorded.
    """

    header: Record
    records: tuple[Record, ...] = ()


class Journal(Protocol):
    """The journal at one destination. Only who holds the destination's lock may write it."""

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
    return ObjectJournal(store) if folder is None else FileJournal(folder / "journal.jsonl")


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
        self._sound_bytes = 0

    def read(self) -> Journaled | None:
        """The records up to the first that is not whole; what stands behind it is written over by the next."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{self.path} cannot be read: {error.strerror or error}") from error
        records = []
        self._sound_bytes = 0
        for line in data.splitlines(keepends=True):
            record = _from_line(line)
            if record is None:
                break
            self._sound_bytes += len(line)
            records.append(record)
        return Journaled(records[0], tuple(records[1:])) if records else None

    def begin(self, header: Record) -> None:
        """Syncs the file and the folders that are new."""
        with self._reported("written"):
            syncs = FolderSyncs()
            syncs.make_folder(self.path.parent)
            self._sound_bytes = 0
            self._write(_as_line(header), os.O_CREAT)
            syncs.sync(self.path.parent)

    def append(self, record: Record) -> None:
        """Syncs the file: the record is durable when this returns."""
        with self._reported("written"):
            self._write(_as_line(record))

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


class ObjectJournal:
    """A journal of objects, which are stored side by side.

    Args:
        store: Where they are stored.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._records = 0
        self._pool: ThreadPoolExecutor | None = None
        self._under_way: list[Future[None]] = []

    def read(self) -> Journaled | None:
        """All objects; one that is gone, or not whole, is left out."""
        keys = list(self._store.list(_PREFIX))
        if _HEADER not in keys:
            return None
        numbers = [int(stem) for key in keys if (stem := key.removeprefix(_PREFIX).removesuffix(".json")).isdecimal()]
        self._records = max(numbers, default=-1) + 1
        with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="lidarprep-journal") as pool:
            header, *records = pool.map(self._read, [_HEADER, *(_key(number) for number in sorted(numbers))])
        return None if header is None else Journaled(header, tuple(record for record in records if record is not None))

    def begin(self, header: Record) -> None:
        """The records of an earlier journal go first: they must not stand below another's header."""
        self.remove()
        self._put(_HEADER, header)

    def append(self, record: Record) -> None:
        """Puts the object while the run goes on; an earlier one that failed is reported."""
        self._raise_failed()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="lidarprep-journal")
        self._under_way.append(self._pool.submit(self._put, _key(self._records), record))
        self._records += 1

    def flush(self) -> None:
        """Waits for the objects that are under way."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        self._raise_failed()

    def remove(self) -> None:
        """Deletes the objects, the header last: as long as it stands, the journal is one."""
        with contextlib.suppress(StorageError):  # whatever became of it, it goes
            self.flush()
        keys = list(self._store.list(_PREFIX))
        self._store.discard([key for key in keys if key != _HEADER])
        self._store.discard([key for key in keys if key == _HEADER])
        self._records = 0

    def _raise_failed(self) -> None:
        done = [future for future in self._under_way if future.done()]
        self._under_way = [future for future in self._under_way if not future.done()]
        for future in done:
            future.result()

    def _put(self, key: str, record: Record) -> None:
        self._store.put(key, _as_line(record), "application/json")

    def _read(self, key: str) -> Record | None:
        try:
            return _from_line(self._store.get(key))
        except StorageError:
            if self._store.existing([key]):
                raise
            return None


_PREFIX = f"{RUN_FOLDER}/journal/"
_HEADER = f"{_PREFIX}header.json"


def _key(number: int) -> str:
    return f"{_PREFIX}{number:08d}.json"


def _as_line(record: Record) -> bytes:
    text = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
    return hashlib.sha256(text).hexdigest().encode() + b" " + text + b"\n"


def _from_line(line: bytes) -> Record | None:
    digest, text = line[:_DIGEST_LENGTH], line[_DIGEST_LENGTH + 1 : -1]
    if line != b"%b %b\n" % (digest, text) or hashlib.sha256(text).hexdigest().encode() != digest:
        return None
    record: Record = json.loads(text)
    return record
