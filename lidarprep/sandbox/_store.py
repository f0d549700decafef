"""The sandbox's tasks, jobs and files in SQLite, and the rules that hold however a task is changed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from os import PathLike
from typing import Any, NamedTuple, cast

from lidarprep._sqlite import IN_MEMORY, Database, SqliteStore
from lidarprep.api import MAX_TAGS
from lidarprep.sandbox._common import (
    IdempotencyKeyTakenError,
    SandboxError,
    UniqueIdTakenError,
    UnknownTaskError,
    WrongStatusError,
    time_text,
)
from lidarprep.sandbox._jobs import JobList
from lidarprep.sandbox._projects import SCHEMA as PROJECTS
from lidarprep.sandbox._projects import ProjectList
from lidarprep.sandbox._uploads import SCHEMA as UPLOADS
from lidarprep.sandbox._uploads import UploadList

Document = dict[str, Any]

# How long the service remembers the answer to an Idempotency-Key.
ANSWERS_ARE_KEPT_FOR = timedelta(hours=24)

STATUSES = ("pending", "completed", "canceled", "error")
AUDIT_RESULTS = ("accepted", "fixed", "commented", "rejected")
PENDING_REVIEW = "pending"  # completed, and not audited yet

# Columns that lists are filtered and ordered by. SQLite reads them from the document, so that there is one truth.
LISTED = ("status", "type", "project", "batch", "created_at", "updated_at", "completed_at")

# Filters that are no columns. Of several audits, the last one is the task's review.
CONDITIONS = {
    "tags": "EXISTS (SELECT 1 FROM json_each(document, '$.tags') WHERE value IN ({}))",
    "review": "CASE status WHEN 'completed' THEN"
    f" coalesce(json_extract(document, '$.audits[#-1].audit_result'), '{PENDING_REVIEW}') END IN ({{}})",
}

SCHEMA_VERSION = 3
SCHEMA = (
    """
    CREATE TABLE tasks (
        number INTEGER PRIMARY KEY AUTOINCREMENT,   -- order of creation; times may be equal
        task_id TEXT NOT NULL UNIQUE,
        unique_id TEXT UNIQUE,
        document TEXT NOT NULL                      -- the task as it is answered, JSON
    )
    """,
    *(
        f"ALTER TABLE tasks ADD COLUMN {name} TEXT GENERATED ALWAYS AS (json_extract(document, '$.{name}')) VIRTUAL"
        for name in LISTED
    ),
    "ALTER TABLE tasks ADD COLUMN origin TEXT",  # address of the sandbox that it was sent to
    "CREATE INDEX tasks_by_age ON tasks (created_at, number)",
    "CREATE INDEX tasks_by_status ON tasks (status, created_at, number)",
    """
    CREATE TABLE answers (
        idempotency_key TEXT PRIMARY KEY,
        request_digest TEXT NOT NULL,               -- of the caller and the parameters; never the API key itself
        status INTEGER NOT NULL,
        body TEXT NOT NULL,
        saved_at TEXT NOT NULL
    )
    """,
    "CREATE INDEX answers_by_age ON answers (saved_at)",
    """
    CREATE TABLE jobs (                             -- work that is still to be done, also after a restart
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        task_id TEXT NOT NULL,
        due_at REAL NOT NULL,                       -- seconds since the Unix epoch
        tries INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX jobs_by_time ON jobs (due_at)",
    "CREATE TABLE files (name TEXT PRIMARY KEY, content BLOB NOT NULL)",  # files that responses link to
    *PROJECTS,
    *UPLOADS,
)


class SavedAnswer(NamedTuple):
    """An answer as it is kept for an Idempotency-Key: status and JSON body."""

    status: int
    body: Document


class Page(NamedTuple):
    """A page of tasks, newest first; `total` counts the tasks of all pages."""

    tasks: list[Document]
    total: int
    has_more: bool


@dataclass(frozen=True)
class TaskFilter:
    """Filter of a list of tasks; an empty sequence or None does not narrow it.

    Args:
        between: First and last moment by column, as the service writes them, so that they compare as text.
        among: Accepted values by column, or by one of `CONDITIONS`.
    """

    between: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    among: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def where(self) -> tuple[str, list[str]]:
        """Return the condition of a SELECT, and the values of its placeholders."""
        conditions, values = ["1"], []
        for column, moments in self.between.items():
            for sign, moment in zip((">=", "<="), moments, strict=True):
                if moment is not None:
                    conditions.append(f"{column} {sign} ?")
                    values.append(moment)
        for name, wanted in self.among.items():
            if wanted:
                conditions.append(CONDITIONS.get(name, name + " IN ({})").format(", ".join("?" * len(wanted))))
                values += wanted
        return " AND ".join(conditions), values


EVERY_TASK = TaskFilter()


class SandboxStore(SqliteStore):
    """The sandbox's tasks. Several threads and processes may share a file.

    What a caller may not do raises a SandboxError: UnknownTaskError for an id that no task has, WrongStatusError if the
    task's status does not allow the change, UniqueIdTakenError if another task has the unique_id. Methods raise
    StorageError if the file can't be read or written.

    Args:
        path: SQLite file, created if missing; ":memory:" for none.
        now: Returns the time, with time zone.

    Raises:
        StorageError: The file can't be opened, or holds something else.
    """

    def __init__(
        self, path: str | PathLike[str] = IN_MEMORY, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        super().__init__(Database(path, "sandbox database", SCHEMA, version=SCHEMA_VERSION))
        self.now = now
        self.jobs = JobList(self._database, now)
        self.projects = ProjectList(self._database, now)
        self.uploads = UploadList(self._database, now)

    def close(self) -> None:
        """Close the file; what is in memory is lost, and so are files in a temporary folder."""
        super().close()
        self.uploads.close()

    def transaction(self) -> AbstractContextManager[None]:
        """Keep all changes of the `with` statement, or none of them."""
        return self._database.transaction()

    def create(self, fields: Mapping[str, Any], *, origin: str | None = None) -> Document:
        """Add a task; it gets its id, its times and the status "pending".

        Args:
            fields: The rest of the task, as it is answered.
            origin: Address of the sandbox that it was sent to, for links in its response.
        """
        with self.transaction():
            now = self.now()
            # As the service's ids: seconds of the epoch and a random number, 24 hex digits together.
            task_id = f"{int(now.timestamp()):08x}{secrets.token_hex(8)}"
            unique_id = fields.get("unique_id")
            self._require_free(unique_id, task_id)
            times = dict.fromkeys(("created_at", "updated_at"), time_text(now))
            task = {"task_id": task_id, **times, **fields, "status": "pending"}
            self._database.run(
                "INSERT INTO tasks (task_id, unique_id, document, origin) VALUES (?, ?, ?, ?)",
                (task_id, unique_id, json.dumps(task), origin),
            )
            return task

    def get(self, task_id: str) -> Document:
        """Return a task."""
        row = self._database.row("SELECT document FROM tasks WHERE task_id = ?", (task_id,))
        if row is None:
            raise UnknownTaskError(task_id)
        task: Document = json.loads(row[0])
        return task

    def origin(self, task_id: str) -> str | None:
        """Return the address of the sandbox that the task was sent to; None if unknown."""
        row = self._database.row("SELECT origin FROM tasks WHERE task_id = ?", (task_id,))
        return None if row is None else cast("str | None", row[0])

    def cancel(self, task_id: str, *, clear_unique_id: bool = False) -> Document:
        """Cancel a pending task; a canceled one stays canceled."""
        with self.transaction():
            task = self.get(task_id)
            if task["status"] not in ("pending", "canceled"):
                raise WrongStatusError(f"The task {task_id} is not pending, so it can't be canceled.")
            if clear_unique_id:
                task.pop("unique_id", None)
            return self._update(task, status="canceled")

    def complete(self, task_id: str, response: Mapping[str, Any]) -> Document:
        """Complete a pending task with a response, as labellers would."""
        with self.transaction():
            task = self.require(task_id, "pending")
            return self._update(
                task, status="completed", response=dict(response), completed_at=time_text(self.now()), work_started=True
            )

    def fail(self, task_id: str, response: Mapping[str, Any]) -> Document:
        """End a pending task in an error with a response, and free its unique_id if the task asks for that."""
        with self.transaction():
            task = self.require(task_id, "pending")
            if task.get("clear_unique_id_on_error"):
                task.pop("unique_id", None)
            return self._update(task, status="error", response=dict(response))

    def change(self, task_id: str, **fields: Any) -> Document:
        """Set fields of a task, whatever its status; None removes one."""
        with self.transaction():
            return self._update(self.get(task_id), **fields)

    def set_unique_id(self, task_id: str, unique_id: str | None) -> Document:
        """Give a task another unique_id, or none."""
        with self.transaction():
            task = self.get(task_id)
            self._require_free(unique_id, task_id)
            return self._update(task, unique_id=unique_id)

    def change_tags(self, task_id: str, change: Callable[[list[str]], Iterable[str]]) -> Document:
        """Replace a task's tags by what `change` makes of them; each tag is kept once."""
        with self.transaction():
            task = self.get(task_id)
            tags = list(dict.fromkeys(change(list(task.get("tags") or []))))
            if len(tags) > MAX_TAGS:
                raise SandboxError(f"The task would have {len(tags)} tags; at most {MAX_TAGS} are allowed.")
            return self._update(task, tags=tags)

    def page(self, wanted: TaskFilter = EVERY_TASK, *, limit: int, after: str | None = None, offset: int = 0) -> Page:
        """Return tasks in order of creation, newest first.

        Args:
            wanted: Filter.
            limit: Largest number of tasks.
            after: Id of the last task of the page before: tasks that are created meanwhile do not shift the pages.
            offset: Number of tasks to skip at the beginning.
        """
        condition, values = wanted.where()  # made of fixed words; what a caller says is among the values
        with self.transaction():
            (total,) = self._database.row(f"SELECT count(*) FROM tasks WHERE {condition}", values)  # noqa: S608
            if after is not None:
                position = self._database.row("SELECT created_at, number FROM tasks WHERE task_id = ?", (after,))
                if position is None:
                    raise UnknownTaskError(after)
                condition, values = f"{condition} AND (created_at, number) < (?, ?)", [*values, *position]
            rows = self._database.rows(
                f"SELECT document FROM tasks WHERE {condition}"  # noqa: S608
                " ORDER BY created_at DESC, number DESC LIMIT ? OFFSET ?",
                (*values, limit + 1, offset),
            )
        return Page([json.loads(document) for (document,) in rows[:limit]], total, len(rows) > limit)

    def counts(self) -> dict[str, int]:
        """Return the number of tasks of each status."""
        return dict(self._database.rows("SELECT status, count(*) FROM tasks GROUP BY status ORDER BY status"))

    def answer_once(self, idempotency_key: str, request_digest: str, answer: Callable[[], SavedAnswer]) -> SavedAnswer:
        """Answer a request that may come several times: carry it out once, remember the answer for 24 hours.

        Both happen in one transaction, so of requests that come at once just one is carried out.

        Args:
            idempotency_key: The caller's name for the request.
            request_digest: Digest of everything in the request that has to be the same.
            answer: Carries the request out.
        """
        with self.transaction():
            now = self.now()
            self._database.run("DELETE FROM answers WHERE saved_at <= ?", ((now - ANSWERS_ARE_KEPT_FOR).isoformat(),))
            saved = self._database.row(
                "SELECT request_digest, status, body FROM answers WHERE idempotency_key = ?", (idempotency_key,)
            )
            if saved is not None:
                if saved[0] != request_digest:
                    raise IdempotencyKeyTakenError(idempotency_key)
                return SavedAnswer(saved[1], json.loads(saved[2]))
            made = answer()
            self._database.run(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?)",
                (idempotency_key, request_digest, made.status, json.dumps(made.body), now.isoformat()),
            )
            return made

    def keep_file(self, content: bytes) -> str:
        """Keep a file that a response links to; return its name, which can't be guessed."""
        name = secrets.token_urlsafe(24)
        self._database.run("INSERT INTO files VALUES (?, ?)", (name, content))
        return name

    def file(self, name: str) -> bytes | None:
        """Return the content of a kept file; None if there is none."""
        row = self._database.row("SELECT content FROM files WHERE name = ?", (name,))
        return None if row is None else cast(bytes, row[0])

    def require(self, task_id: str, status: str) -> Document:
        """Return a task of that status."""
        task = self.get(task_id)
        if task["status"] != status:
            raise WrongStatusError(f"The task {task_id} is {task['status']}, which doesn't allow that.")
        return task

    def _require_free(self, unique_id: str | None, task_id: str) -> None:
        if unique_id is None:
            return
        row = self._database.row("SELECT task_id FROM tasks WHERE unique_id = ?", (unique_id,))
        if row is not None and row[0] != task_id:
            raise UniqueIdTakenError(unique_id, row[0])

    def _update(self, task: Document, **changes: Any) -> Document:
        task = {**task, **changes, "updated_at": time_text(self.now())}
        task = {name: value for name, value in task.items() if name not in changes or value is not None}
        self._database.run(
            "UPDATE tasks SET unique_id = ?, document = ? WHERE task_id = ?",
            (task.get("unique_id"), json.dumps(task), task["task_id"]),
        )
        return task
