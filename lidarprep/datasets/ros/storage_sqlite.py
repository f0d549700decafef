"""The SQLite files of ROS 2 bags (.db3): a table of topics, and one with a row a message.

Schema versions 1 to 4 of rosbag2_storage_sqlite3 all have the columns that are read here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.parse import quote
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.ros.storage import Front, Rows, Storage, Topic
from lidarprep.errors import FormatError

_MAGIC = b"SQLite format 3\0"

_FIX = "A recorder that crashed leaves such a file: `ros2 bag reindex` mends it."


class SqliteStorage(Storage):
    """One .db3 file. A message's place is its row's id.

    Raises:
        FormatError: It is cut, damaged, or no such database.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # One connection for each thread that reads at this moment; a thread takes one, and hands it back.
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        finalize(self, _close_all, self._idle)
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise FormatError(path, place="byte 0", found="other bytes", expected="the magic of SQLite 3")
        with self._connection() as connection:
            topics = connection.execute("SELECT id, name, type, serialization_format FROM topics").fetchall()
            rows = connection.execute("SELECT topic_id, timestamp, id FROM messages").fetchall()
            columns = np.array(rows, dtype=np.int64).reshape(-1, 3)
        self._rows: dict[str, list[NDArray[np.int64]]] = {}
        self.topics = {}
        for key, name, kind, form in topics:
            if not (isinstance(name, str) and isinstance(kind, str)):
                raise FormatError(
                    path, place="table topics", found=f"the name {name!r} and the type {kind!r}", fix=_FIX
                )
            self._rows.setdefault(name, []).append(columns[columns[:, 0] == key])
            count = sum(map(len, self._rows[name]))
            self.topics[name] = Topic(name, kind, count, "cdr" if form == "cdr" else None)

    def rows(self, topic: str) -> Rows:
        """Times and places of a topic's messages, in the order of the file."""
        parts = self._rows.get(topic, [])
        return Rows.joined(
            [part[:, 1] for part in parts], [np.zeros(len(part)) for part in parts], [part[:, 2] for part in parts]
        )

    def read(self, chunk: int, offset: int) -> bytes:
        """The message of that row."""
        with self._connection() as connection:
            return self._row(connection, offset)

    def fronts(self, places: Sequence[Front]) -> Iterator[bytes]:
        """The first bytes of messages; SQLite reads no more of a large one than that."""
        with self._connection() as connection:
            for _, row, limit in places:
                yield self._row(connection, row, limit)

    def _row(self, connection: sqlite3.Connection, row: int, limit: int | None = None) -> bytes:
        # Reading a value as a stream is several times as fast as a query that gives it whole.
        with connection.blobopen("messages", "data", row, readonly=True) as blob:
            return blob.read() if limit is None else blob.read(limit)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            try:
                connection = self._idle.get_nowait()
            except Empty:
                # Not written to by anyone: no locks, and no journal beside a file that may lie on a read-only disk.
                address = f"file:{quote(str(self.path.absolute()))}?mode=ro&immutable=1"
                connection = sqlite3.connect(address, uri=True, check_same_thread=False)
                connection.execute(f"PRAGMA mmap_size = {1 << 40}")
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
