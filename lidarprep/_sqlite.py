"""Open an SQLite file that several threads and processes share."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Self

from lidarprep.errors import StorageError

IN_MEMORY = ":memory:"

OWNER_ONLY = 0o600

# Transactions are short. A process that holds the file for longer has a problem.
LONGEST_WAIT_FOR_LOCK_S = 30.0


class Database:
    """One connection for all threads, since each connection to ":memory:" is a database of its own.

    The file can be read by its owner alone: what it keeps has presigned URLs.

    Args:
        path: SQLite file, created if missing; ":memory:" for none.
        what: Noun for messages: "store of callbacks".
        schema: Statements that create the tables in an empty file.
        version: Version of the schema, kept as `user_version`.
        application_id: Mark that tells the file from databases of other programs; 0 for no mark.
        durable: A commit is on disk when it returns, power cut or not. Otherwise a power cut may lose the last
            commits, and readers do not wait for writers.

    Raises:
        StorageError: The file can't be opened, or holds something else. Every method raises it where SQLite fails.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        what: str,
        schema: Sequence[str],
        *,
        version: int,
        application_id: int = 0,
        durable: bool = False,
    ) -> None:
        self.path = fspath(path)
        self.what = what
        self._lock = threading.RLock()
        try:
            if self.path != IN_MEMORY:
                with suppress(OSError):  # connecting says what is wrong with the path
                    os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY))
            self._connection = sqlite3.connect(
                self.path, check_same_thread=False, isolation_level=None, timeout=LONGEST_WAIT_FOR_LOCK_S
            )
            try:
                # FULL syncs the files. EXTRA also syncs the folder that the journal is removed from: without that, a
                # power cut could bring the journal back and undo the commit.
                self._connection.execute(f"PRAGMA synchronous = {'EXTRA' if durable else 'NORMAL'}")
                self._create(schema, version, application_id)
                if self.path != IN_MEMORY:
                    self._keep_private()  # before there are further files, whose mode SQLite takes from this one
                if not durable:
                    self._connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.Error:
                self._connection.close()
                raise
        except sqlite3.Error as cause:
            raise StorageError(
                f"{self.path} can't be opened as a {what}: {cause}",
                fix=f"Name the file of a {what}, or a new file in a folder that exists.",
            ) from None

    def _keep_private(self) -> None:
        """Take a file of an earlier version from the others that could read it; a file of somebody else stays."""
        file = Path(self.path)
        found = file.stat()
        if found.st_uid == os.geteuid() and found.st_mode & 0o077:
            file.chmod(OWNER_ONLY)

    def _create(self, schema: Sequence[str], version: int, application_id: int) -> None:
        """Create the tables in an empty file; refuse a file that holds something else."""

        def number(query: str) -> int:
            return int(self._connection.execute(query).fetchone()[0])

        with self._atomic():  # of two processes that find it empty, one creates the tables
            found, mark = number("PRAGMA user_version"), number("PRAGMA application_id")
            if (found, mark, number("SELECT count(*) FROM sqlite_schema")) == (0, 0, 0):
                for statement in schema:
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA application_id = {application_id}")
                self._connection.execute(f"PRAGMA user_version = {version}")
            elif found == 0 or mark != application_id:
                raise sqlite3.DatabaseError("it is a database of something else")
            elif found != version:
                raise sqlite3.DatabaseError(f"it has version {found}; this lidarprep reads version {version}")

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a SELECT."""
        with self._reporting("read"):
            return self._connection.execute(statement, values).fetchall()

    def row(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """Return the first row of a SELECT, or None."""
        with self._reporting("read"):
            return self._connection.execute(statement, values).fetchone()

    def run(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Run a statement that changes something."""
        with self._reporting("written"):
            self._connection.execute(statement, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all changes of the `with` statement, or none.

        Within another transaction of the same thread it is a part of that one, and can fail by itself.
        """
        with self._reporting("written"), self._atomic():
            yield

    @contextmanager
    def _atomic(self) -> Iterator[None]:
        undo: Sequence[str]
        if self._connection.in_transaction:
            begin, end, undo = "SAVEPOINT part", "RELEASE part", ("ROLLBACK TO part", "RELEASE part")
        else:
            begin, end, undo = "BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",)
        self._connection.execute(begin)
        try:
            yield
            self._connection.execute(end)
        except BaseException:
            # A failed COMMIT leaves the transaction open, and later changes would silently be a part of it. When the
            # disk is full, SQLite has already rolled back.
            for statement in undo:
                if self._connection.in_transaction:
                    self._connection.execute(statement)
            raise

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _reporting(self, doing: str) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except sqlite3.Error as cause:
            raise StorageError(f"the {self.what} {self.path} can't be {doing}: {cause}") from None


class SqliteStore:
    """Base of the stores: closes the database at the end of a `with` statement."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.path = database.path

    def close(self) -> None:
        """Close the file; what is in memory is lost."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
