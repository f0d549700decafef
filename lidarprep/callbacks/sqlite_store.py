"""Callbacks in an SQLite file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from os import PathLike, fspath
from typing import Any

from lidarprep.callbacks.callback import Callback
from lidarprep.callbacks.store import CallbackStore, Kept
from lidarprep.errors import StorageError

SCHEMA_VERSION = 1
APPLICATION_ID = 0x6C706362  # "lpcb": tells the file from other databases
SCHEMA = """
CREATE TABLE callbacks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which they came
    task_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest TEXT NOT NULL,                      -- SHA-256 of the content
    received_at TEXT NOT NULL,
    handled_at TEXT,
    body BLOB NOT NULL,                        -- as it came
    UNIQUE (task_id, version),
    UNIQUE (task_id, digest)
);
CREATE INDEX unhandled ON callbacks (number) WHERE handled_at IS NULL;
"""

# Another process may be writing: a callback is short, so a longer wait means that something is wrong.
LONGEST_WAIT_FOR_LOCK_S = 20.0

COLUMNS = "task_id, version, received_at, body"


class SqliteStore(CallbackStore):
    """Callbacks in an SQLite file; see CallbackStore.

    Args:
        path: The file, made if it isn't there.

    Raises:
        StorageError: The file can't be opened, or is something else.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = fspath(path)
        self._lock = threading.Lock()
        self._database = _opened(self.path)

    def add(self, callback: Callback) -> Kept:
        """See CallbackStore."""
        digest = callback.digest
        with self._transaction("a callback can't be stored") as database:
            row = database.execute(
                f"SELECT {COLUMNS} FROM callbacks WHERE task_id = ? AND digest = ?",  # noqa: S608 — a constant
                (callback.task_id, digest),
            ).fetchone()
            if row is not None:
                return Kept(_callback(row), is_new=False)
            (last,) = database.execute(
                "SELECT coalesce(max(version), 0) FROM callbacks WHERE task_id = ?", (callback.task_id,)
            ).fetchone()
            received_at = callback.received_at.astimezone(UTC).isoformat()
            row = (callback.task_id, last + 1, received_at, callback.body)
            database.execute(
                f"INSERT INTO callbacks ({COLUMNS}, digest) VALUES (?, ?, ?, ?, ?)",  # noqa: S608 — a constant
                (*row, digest),
            )
            kept = Kept(_callback(row), is_new=True)
        return kept  # behind the `with` statement: the commit is what makes it safe

    def versions(self, task_id: str) -> list[Callback]:
        """See CallbackStore."""
        return [_callback(row) for row in self._rows("WHERE task_id = ? ORDER BY version", task_id)]

    def unhandled(self) -> Iterator[tuple[str, int]]:
        """See CallbackStore."""
        rows = self._rows("WHERE handled_at IS NULL ORDER BY number", columns="task_id, version")
        return iter([(task_id, version) for task_id, version in rows])

    def mark_handled(self, task_id: str, version: int) -> None:
        """See CallbackStore."""
        with self._transaction("a callback can't be marked as handled") as database:
            database.execute(
                "UPDATE callbacks SET handled_at = ? WHERE task_id = ? AND version = ?",
                (datetime.now(UTC).isoformat(), task_id, version),
            )

    def __iter__(self) -> Iterator[Callback]:
        # One at a time, so that a slow reader holds neither the bodies in memory nor the database.
        number = 0
        while rows := self._rows("WHERE number > ? ORDER BY number LIMIT 1", number, columns=f"number, {COLUMNS}"):
            number = rows[0][0]
            yield _callback(rows[0][1:])

    def close(self) -> None:
        """See CallbackStore."""
        with self._lock:
            self._database.close()

    def _rows(self, which: str, *values: Any, columns: str = COLUMNS) -> list[Any]:
        try:
            with self._lock:
                query = f"SELECT {columns} FROM callbacks {which}"  # noqa: S608 — all of them constants of this file
                return self._database.execute(query, values).fetchall()
        except sqlite3.Error as cause:
            raise StorageError(f"{self.path}: callbacks can't be read: {cause}") from None

    @contextmanager
    def _transaction(self, failed: str) -> Iterator[sqlite3.Connection]:
        """All or nothing, and on disk at its end."""
        with self._lock:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                try:
                    yield self._database
                    self._database.execute("COMMIT")
                except BaseException:
                    if self._database.in_transaction:
                        self._database.execute("ROLLBACK")
                    raise
            except sqlite3.Error as cause:
                raise StorageError(f"{self.path}: {failed}: {cause}", fix="Is the disk full?") from None


def _callback(row: Any) -> Callback:
    _, version, received_at, body = row
    return Callback.from_body(bytes(body), datetime.fromisoformat(received_at), version)


def _opened(path: str) -> sqlite3.Connection:
    """The database, with its table."""
    fix = "Name a store of callbacks, or a new file in a folder that exists."
    try:
        database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=LONGEST_WAIT_FOR_LOCK_S)
    except sqlite3.Error as cause:
        raise StorageError(f"the store of callbacks {path} can't be opened: {cause}", fix=fix) from None
    try:
        # A commit is on disk when it returns: FULL syncs the files, EXTRA also the folder that the journal is taken
        # out of, without which a power cut could bring the journal back and undo the commit.
        database.execute("PRAGMA synchronous = EXTRA")
        database.execute("BEGIN IMMEDIATE")  # of two processes that find it empty, one makes the table
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if (version, application, tables) == (0, 0, 0):
            for statement in SCHEMA.split(";\n"):
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            version, application = SCHEMA_VERSION, APPLICATION_ID
        database.execute("COMMIT")
    except sqlite3.Error as cause:
        database.close()
        raise StorageError(f"{path} is no store of callbacks: {cause}", fix=fix) from None
    if (version, application) != (SCHEMA_VERSION, APPLICATION_ID):
        database.close()
        found = "is a database of something else" if application != APPLICATION_ID else f"has version {version}"
        raise StorageError(f"{path} {found}; callbacks are kept in version {SCHEMA_VERSION}", fix=fix)
    return database
