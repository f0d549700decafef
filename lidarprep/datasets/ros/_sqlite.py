"""The SQLite files of ROS 2 bags (.db3): a table of topics, and one with a row a message.

Schema versions 1 to 4 of rosbag2_storage_sqlite3 all have the columns that are read here. A recorder that was killed
may leave messages in a write-ahead log (.db3-wal): they are read, too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from urllib.parse import quote
from weakref import finalize

import numpy as np

from lidarprep.datasets.filenames import on_disk
from lidarprep.datasets.ros._storage import Prefix, Storage, Topic, add_topic
from lidarprep.errors import FormatError
from lidarprep.remote import AnyPath

_MAGIC = b"SQLite format 3\0"

_FIX = "A recorder that crashed leaves such a file: `ros2 bag reindex` repairs it."


class SqliteStorage(Storage):
    """One .db3 file. A message's offset is its row's id; there are no chunks."""

    def __init__(self, path: AnyPath) -> None:
        super().__init__(path)
        # A thread takes a connection for a read, and returns it: as many are open as threads ever read at once.
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        finalize(self, _close_all, self._idle)
        log = path.with_name(f"{path.name}-wal")
        self._has_log = log.exists() and log.stat().st_size > 0
        self._on_disk = on_disk(path)
        if self._has_log:
            on_disk(log)  # beside it
        if self._on_disk is not path:
            self.notes.append(f"{path.name} is read from a temporary copy on this machine: SQLite reads no other")
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise FormatError(path, place="byte 0", found="other bytes", expected="the magic of SQLite 3")
        with self._connection() as connection:
            topics = connection.execute("SELECT id, name, type, serialization_format FROM topics").fetchall()
            rows = connection.execute("SELECT topic_id, timestamp, 0, id FROM messages").fetchall()
            columns = np.array(rows, dtype=np.int64).reshape(-1, 4)
        for key, name, kind, form in topics:
            if not (isinstance(name, str) and isinstance(kind, str)):
                found = f"the name {name!r} and the type {kind!r}"
                raise FormatError(path, place="table topics", found=found, fix=_FIX)
            mine = columns[columns[:, 0] == key, 1:]
            self.parts.setdefault(name, []).append(mine)
            add_topic(self.topics, Topic(name, kind, len(mine), "cdr" if form == "cdr" else None))

    def read(self, chunk: int, offset: int) -> bytes:
        """Return the message of that row."""
        with self._connection() as connection:
            return self._row(connection, offset)

    def prefixes(self, places: Sequence[Prefix]) -> Iterator[bytes]:
        """Yield the first bytes of messages; SQLite reads no more of a large one."""
        with self._connection() as connection:
            for _, row, limit in places:
                yield self._row(connection, row, limit)

    def _row(self, connection: sqlite3.Connection, row: int, limit: int | None = None) -> bytes:
        # Reading a value as a stream is several times as fast as a query for the whole value.
        with connection.blobopen("messages", "data", row, readonly=True) as blob:
            return blob.read() if limit is None else blob.read(limit)

    def _connect(self) -> sqlite3.Connection:
        if self._has_log:
            try:
                return self._open("mode=ro")
            except sqlite3.OperationalError as error:
                self._has_log = False
                self.notes.append(f"{self.path.name}: messages in its write-ahead log (-wal) are not read ({error})")
        # Immutable: no locks, and no file beside one that may be on a read-only disk.
        return self._open("mode=ro&immutable=1")

    def _open(self, mode: str) -> sqlite3.Connection:
        address = f"file:{quote(str(self._on_disk.absolute()))}?{mode}"
        connection = sqlite3.connect(address, uri=True, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA mmap_size = {1 << 40}")
            connection.execute("SELECT 1 FROM sqlite_master").fetchall()  # opens the log
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            try:
                connection = self._idle.get_nowait()
            except Empty:
                connection = self._connect()
            try:
                yield connection
            finally:
                self._idle.put(connection)
        except (sqlite3.Error, OverflowError, ValueError, TypeError, MemoryError) as error:
            raise FormatError(
                self.path, found=f"no database of a ROS 2 bag that can be read ({error})", fix=_FIX
            ) from error


def _close_all(idle: SimpleQueue[sqlite3.Connection]) -> None:
    while not idle.empty():
        idle.get_nowait().close()
