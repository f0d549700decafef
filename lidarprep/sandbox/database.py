"""The sandbox's SQLite database: its tables, transactions, and the way from older files."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike, fspath
from typing import Any

from lidarprep.errors import StorageError

IN_MEMORY = ":memory:"

# Seconds to wait while another process, such as `lidarprep sandbox complete --db`, writes to the same file.
LONGEST_WAIT_S = 30.0

# What lists can be narrowed to and ordered by; SQLite reads it from the document, so that there is one truth.
LISTED = ("status", "type", "project", "batch", "created_at", "updated_at", "completed_at")

# The statements that lead from each version to the next; the first makes version 1 of an empty file.
VERSIONS: Sequence[str] = (
    """
    CREATE TABLE tasks (
        number INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of creation; times may be equal
        task_id TEXT NOT NULL UNIQUE,
        unique_id TEXT UNIQUE,
        document TEXT NOT NULL                     -- the task as it is answered, JSON
    );
    CREATE TABLE answers (
        idempotency_key TEXT PRIMARY KEY,
        request_digest TEXT NOT NULL,              -- of the caller and the parameters; never the key itself
        status INTEGER NOT NULL,
        body TEXT NOT NULL,
        saved_at TEXT NOT NULL
    );
    """,
    "\n".join(
        [
            *(
                f"ALTER TABLE tasks ADD COLUMN {name} TEXT"
                f" GENERATED ALWAYS AS (json_extract(document, '$.{name}')) VIRTUAL;"
                for name in LISTED
            ),
            """
            ALTER TABLE tasks ADD COLUMN origin TEXT;   -- address of the sandbox that it was sent to
            CREATE INDEX tasks_by_age ON tasks (created_at, number);
            CREATE INDEX tasks_by_status ON tasks (status, created_at, number);
            CREATE INDEX answers_by_age ON answers (saved_at);
            CREATE TABLE jobs (                         -- what is still to be done, also after a restart
                number INTEGER PRIMARY KEY AUTOINCREMENT,
                kind TEXT NOT NULL,
                task_id TEXT NOT NULL,
                due_at REAL NOT NULL,                   -- seconds since the Unix epoch
                tries INTEGER NOT NULL DEFAULT 0
            );
            CREATE INDEX jobs_by_time ON jobs (due_at);
            CREATE TABLE files (                        -- what responses link to
                name TEXT PRIMARY KEY,
                content BLOB NOT NULL
            );
            """,
        ]
    ),
)


class Database:
    """One connection for all threads, as each connection to ":memory:" would be a database of its own.

    Args:
        path: An SQLite file, made if it isn't there; ":memory:" for none.

    Raises:
        StorageError: The file can't be opened, or is something else.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = fspath(path)
        self._lock = threading.RLock()
        self._connection = _opened(self.path)

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows that a SELECT gives."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def row(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """The first row that a SELECT gives, or None."""
        with self._lock:
            return self._connection.execute(statement, values).fetchone()

    def run(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Runs a statement that changes something."""
        with self._lock:
            self._connection.execute(statement, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Within another one of the same thread it is a part of that, and can fail by itself."""
        with self._lock:
            undo: Sequence[str]
            if self._connection.in_transaction:
                begin, end, undo = "SAVEPOINT part", "RELEASE part", ("ROLLBACK TO part", "RELEASE part")
            else:
                begin, end, undo = "BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",)
            self._connection.execute(begin)
            with _undone_on_error(self._connection, end, undo):
                yield

    def close(self) -> None:
        """Closes the connection; what is in memory is gone."""
        with self._lock:
            self._connection.close()


@contextmanager
def _undone_on_error(
    connection: sqlite3.Connection, end: str = "COMMIT", undo: Sequence[str] = ("ROLLBACK",)
) -> Iterator[None]:
    """Ends what is begun, or takes it back."""
    try:
        yield
        connection.execute(end)
    except BaseException:
        # A failed COMMIT leaves the transaction open, and all that comes after would silently be a part of it. Of a
        # full disk SQLite has taken it back already.
        for statement in undo:
            if connection.in_transaction:
                connection.execute(statement)
        raise


def _opened(path: str) -> sqlite3.Connection:
    """The database, with its tables."""
    fix = "Name the file of a sandbox, or a new one in a folder that exists."
    try:
        connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=LONGEST_WAIT_S)
    except sqlite3.Error as cause:
        raise StorageError(f"the sandbox's database {path} can't be opened: {cause}", fix=fix) from None
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if version == 0 and tables:
            raise sqlite3.DatabaseError("it has tables of something else")
        if version <= len(VERSIONS):
            # Readers don't wait for writers then, and a commit needn't wait for the disk.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            _bring_up_to_date(connection)
    except sqlite3.Error as cause:
        connection.close()
        raise StorageError(f"{path} is no database of the sandbox: {cause}", fix=fix) from None
    if version > len(VERSIONS):
        connection.close()
        found = f"the sandbox's database {path} has version {version}; this lidarprep knows {len(VERSIONS)}"
        raise StorageError(found, fix="Use a newer lidarprep, or name a new file.")
    return connection


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    # The version is read again inside the transaction: two processes may open a new file at once.
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    with _undone_on_error(connection):
        for number, statements in enumerate(VERSIONS[version:], start=version + 1):
            for statement in _split(statements):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")


def _split(statements: str) -> Iterator[str]:
    """Single statements: sqlite3's own executescript would commit what is under way."""
    statement = ""
    for line in statements.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
