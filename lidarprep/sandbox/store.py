"""Where the sandbox keeps its tasks: an SQLite file, or memory."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from os import PathLike, fspath
from types import TracebackType
from typing import Any, NamedTuple, Self

from lidarprep.errors import StorageError

IN_MEMORY = ":memory:"

# How long the service remembers the answer to an Idempotency-Key.
ANSWERS_ARE_KEPT_FOR = timedelta(hours=24)

SCHEMA_VERSION = 1
SCHEMA = """
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
"""

Document = dict[str, Any]


class UnknownTaskError(Exception):
    """There is no task with that id."""


class NotPendingError(Exception):
    """The task is done with, so it can't be canceled."""


class UniqueIdTakenError(Exception):
    """Another task has that unique_id.

    Args:
        unique_id: The id.
        task_id: The task that has it.
    """

    def __init__(self, unique_id: str, task_id: str) -> None:
        super().__init__(f'The unique_id ("{unique_id}") is already used for a different task ({task_id}).')


class IdempotencyKeyTakenError(Exception):
    """The Idempotency-Key was used for a request with other parameters, or of another caller."""


class SavedAnswer(NamedTuple):
    """An answer as it is kept for an Idempotency-Key: status and JSON body."""

    status: int
    body: Document


class Page(NamedTuple):
    """A page of tasks, newest first.

    Args:
        tasks: The tasks.
        total: How many there are on all pages.
        after: What to give as `after` for the next page; None on the last.
    """

    tasks: list[Document]
    total: int
    after: int | None


class SandboxStore:
    """The sandbox's tasks. Safe to use from several threads.

    Args:
        path: An SQLite file, made if it isn't there; ":memory:" for none.
        now: The time, with time zone.

    Raises:
        StorageError: The file can't be opened, or is something else.
    """

    def __init__(
        self, path: str | PathLike[str] = IN_MEMORY, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.path = fspath(path)
        self._now = now
        # One connection for all threads, as each connection to ":memory:" would be a database of its own.
        self._lock = threading.RLock()
        self._database = _opened(self.path)

    def create(self, fields: Mapping[str, Any]) -> Document:
        """Adds a task; it gets its id, its times and the status "pending".

        Args:
            fields: The rest of the task, as it is answered.

        Raises:
            UniqueIdTakenError: Another task has its unique_id.
        """
        with self._transaction():
            unique_id = fields.get("unique_id")
            if unique_id is not None:
                taken = self._database.execute("SELECT task_id FROM tasks WHERE unique_id = ?", (unique_id,)).fetchone()
                if taken:
                    raise UniqueIdTakenError(unique_id, taken[0])
            now = self._now()
            # As the service's ids: seconds of the epoch and something random, 24 hex digits together.
            task_id = f"{int(now.timestamp()):08x}{secrets.token_hex(8)}"
            task = {"task_id": task_id, **_times(now, "created_at", "updated_at"), **fields, "status": "pending"}
            self._database.execute(
                "INSERT INTO tasks (task_id, unique_id, document) VALUES (?, ?, ?)",
                (task_id, unique_id, json.dumps(task)),
            )
            return task

    def get(self, task_id: str) -> Document:
        """The task.

        Raises:
            UnknownTaskError: There is none with that id.
        """
        with self._lock:
            row = self._database.execute("SELECT document FROM tasks WHERE task_id = ?", (task_id,)).fetchone()
        if row is None:
            raise UnknownTaskError
        task: Document = json.loads(row[0])
        return task

    def cancel(self, task_id: str, *, clear_unique_id: bool = False) -> Document:
        """Cancels a pending task; one that is canceled already stays so.

        Raises:
            UnknownTaskError: There is none with that id.
            NotPendingError: It is completed, or ended in an error.
        """
        with self._transaction():
            task = self.get(task_id)
            if task["status"] not in ("pending", "canceled"):
                raise NotPendingError
            if clear_unique_id:
                task.pop("unique_id", None)
            return self._update(task, status="canceled")

    def complete(self, task_id: str, response: Mapping[str, Any]) -> Document:
        """Completes a task with a response, as labellers would.

        Raises:
            UnknownTaskError: There is none with that id.
        """
        with self._transaction():
            task = self.get(task_id)
            return self._update(
                task, status="completed", response=dict(response), **_times(self._now(), "completed_at")
            )

    def page(self, *, limit: int, after: int | None = None) -> Page:
        """Tasks in the order of creation, newest first.

        Args:
            limit: How many at most.
            after: Where the page before ended.
        """
        with self._lock:
            (total,) = self._database.execute("SELECT count(*) FROM tasks").fetchone()
            rows = self._database.execute(
                "SELECT number, document FROM tasks WHERE ? IS NULL OR number < ? ORDER BY number DESC LIMIT ?",
                (after, after, limit + 1),
            ).fetchall()
        shown = rows[:limit]
        return Page([json.loads(document) for _, document in shown], total, shown[-1][0] if len(rows) > limit else None)

    def answer_once(self, idempotency_key: str, request_digest: str, answer: Callable[[], SavedAnswer]) -> SavedAnswer:
        """The answer to a request that may come several times: made the first time, remembered for 24 hours.

        Both happen in one transaction, so of requests that come at once just one is carried out.

        Args:
            idempotency_key: The caller's name for the request.
            request_digest: Stands for everything in the request that has to be the same.
            answer: Carries the request out.

        Raises:
            IdempotencyKeyTakenError: The key was used for another request.
        """
        with self._transaction():
            now = self._now()
            self._database.execute(
                "DELETE FROM answers WHERE saved_at <= ?", ((now - ANSWERS_ARE_KEPT_FOR).isoformat(),)
            )
            saved = self._database.execute(
                "SELECT request_digest, status, body FROM answers WHERE idempotency_key = ?", (idempotency_key,)
            ).fetchone()
            if saved is not None:
                if saved[0] != request_digest:
                    raise IdempotencyKeyTakenError
                return SavedAnswer(saved[1], json.loads(saved[2]))
            made = answer()
            self._database.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?)",
                (idempotency_key, request_digest, made.status, json.dumps(made.body), now.isoformat()),
            )
            return made

    def close(self) -> None:
        """Closes the database; tasks in memory are gone."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _update(self, task: Document, **changes: Any) -> Document:
        task = {**task, **changes, **_times(self._now(), "updated_at")}
        self._database.execute(
            "UPDATE tasks SET unique_id = ?, document = ? WHERE task_id = ?",
            (task.get("unique_id"), json.dumps(task), task["task_id"]),
        )
        return task

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing. Within another transaction it is a part of that one."""
        with self._lock:
            if self._database.in_transaction:
                yield
                return
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")


def _opened(path: str) -> sqlite3.Connection:
    """The database, with its tables."""
    fix = "Name a new file, in a folder that exists."
    try:
        database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    except sqlite3.Error as cause:
        raise StorageError(f"the sandbox's database {path} can't be opened: {cause}", fix=fix) from None
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            database.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT")
            version = SCHEMA_VERSION
    except sqlite3.Error as cause:
        database.close()
        raise StorageError(f"{path} is no database of the sandbox: {cause}", fix=fix) from None
    if version != SCHEMA_VERSION:
        database.close()
        found = f"the sandbox's database {path} has version {version}; this lidarprep knows {SCHEMA_VERSION}"
        raise StorageError(found, fix=fix)
    return database


def _times(moment: datetime, *names: str) -> dict[str, str]:
    """The moment under each name, as the service writes it: UTC, to the millisecond."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return dict.fromkeys(names, text)
