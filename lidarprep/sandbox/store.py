"""Where the sandbox keeps its tasks, and the rules that hold however they are changed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from os import PathLike
from types import TracebackType
from typing import Any, Self, cast

from lidarprep.api import MAX_TAGS
from lidarprep.sandbox.database import IN_MEMORY, Database
from lidarprep.sandbox.jobs import JobList
from lidarprep.sandbox.records import (
    Document,
    IdempotencyKeyTakenError,
    Page,
    SavedAnswer,
    TaskFilter,
    TooManyTagsError,
    UniqueIdTakenError,
    UnknownTaskError,
    WrongStatusError,
    time_text,
)

# How long the service remembers the answer to an Idempotency-Key.
ANSWERS_ARE_KEPT_FOR = timedelta(hours=24)

EVERY_TASK = TaskFilter()


class SandboxStore:
    """The sandbox's tasks. Safe to use from several threads, and from several processes on one file.

    Args:
        path: An SQLite file, made if it isn't there; ":memory:" for none.
        now: The time, with time zone.

    Raises:
        StorageError: The file can't be opened, or is something else.
    """

    def __init__(
        self, path: str | PathLike[str] = IN_MEMORY, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.now = now
        self._database = Database(path)
        self.jobs = JobList(self._database, now)
        self.path = self._database.path

    def transaction(self) -> AbstractContextManager[None]:
        """All changes in the `with` statement, or none of them."""
        return self._database.transaction()

    def create(self, fields: Mapping[str, Any], *, origin: str | None = None) -> Document:
        """Adds a task; it gets its id, its times and the status "pending".

        Args:
            fields: The rest of the task, as it is answered.
            origin: Address of the sandbox that it was sent to, for links in its response.

        Raises:
            UniqueIdTakenError: Another task has its unique_id.
        """
        with self.transaction():
            now = self.now()
            # As the service's ids: seconds of the epoch and something random, 24 hex digits together.
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
        """The task.

        Raises:
            UnknownTaskError: There is none with that id.
        """
        row = self._database.row("SELECT document FROM tasks WHERE task_id = ?", (task_id,))
        if row is None:
            raise UnknownTaskError
        task: Document = json.loads(row[0])
        return task

    def origin(self, task_id: str) -> str | None:
        """Address of the sandbox that the task was sent to, if it was sent at all."""
        row = self._database.row("SELECT origin FROM tasks WHERE task_id = ?", (task_id,))
        return None if row is None else cast("str | None", row[0])

    def cancel(self, task_id: str, *, clear_unique_id: bool = False) -> Document:
        """Cancels a pending task; one that is canceled already stays so.

        Raises:
            UnknownTaskError: There is none with that id.
            WrongStatusError: It is completed, or ended in an error.
        """
        with self.transaction():
            task = self._require(task_id, "pending", "canceled")
            if clear_unique_id:
                task.pop("unique_id", None)
            return self._update(task, status="canceled")

    def complete(self, task_id: str, response: Mapping[str, Any]) -> Document:
        """Completes a pending task with a response, as labellers would.

        Raises:
            UnknownTaskError: There is none with that id.
            WrongStatusError: It is not pending.
        """
        with self.transaction():
            task = self._require(task_id, "pending")
            return self._update(
                task, status="completed", response=dict(response), completed_at=time_text(self.now()), work_started=True
            )

    def fail(self, task_id: str, message: str) -> Document:
        """Ends a pending task in an error, and frees its unique_id if it was made so.

        Raises:
            UnknownTaskError: There is none with that id.
            WrongStatusError: It is not pending.
        """
        with self.transaction():
            task = self._require(task_id, "pending")
            if task.get("clear_unique_id_on_error"):
                task.pop("unique_id", None)
            return self._update(task, status="error", response={"error": message})

    def change(self, task_id: str, **fields: Any) -> Document:
        """Sets fields of a task, whatever its status; None takes one away.

        Raises:
            UnknownTaskError: There is none with that id.
        """
        with self.transaction():
            return self._update(self.get(task_id), **fields)

    def set_unique_id(self, task_id: str, unique_id: str | None) -> Document:
        """Gives a task another unique_id, or none.

        Raises:
            UnknownTaskError: There is none with that id.
            UniqueIdTakenError: Another task has it.
        """
        with self.transaction():
            task = self.get(task_id)
            self._require_free(unique_id, task_id)
            return self._update(task, unique_id=unique_id)

    def change_tags(self, task_id: str, change: Callable[[list[str]], Iterable[str]]) -> Document:
        """Gives a task the tags that `change` makes of those that it has; each is kept once.

        Raises:
            UnknownTaskError: There is none with that id.
            TooManyTagsError: They are more than a task may have.
        """
        with self.transaction():
            task = self.get(task_id)
            tags = list(dict.fromkeys(change(list(task.get("tags") or []))))
            if len(tags) > MAX_TAGS:
                raise TooManyTagsError(len(tags))
            return self._update(task, tags=tags)

    def page(self, wanted: TaskFilter = EVERY_TASK, *, limit: int, after: str | None = None, offset: int = 0) -> Page:
        """Tasks in the order of creation, newest first.

        Args:
            wanted: Which tasks.
            limit: How many at most.
            after: The last task of the page before: tasks that are made meanwhile don't shift the pages.
            offset: How many to leave out at the beginning.

        Raises:
            UnknownTaskError: There is no task `after`.
        """
        condition, values = wanted.where()  # made of fixed words; all that a caller says is among the values
        with self.transaction():
            (total,) = self._database.row(f"SELECT count(*) FROM tasks WHERE {condition}", values)  # noqa: S608
            if after is not None:
                place = self._database.row("SELECT created_at, number FROM tasks WHERE task_id = ?", (after,))
                if place is None:
                    raise UnknownTaskError
                condition, values = f"{condition} AND (created_at, number) < (?, ?)", [*values, *place]
            rows = self._database.rows(
                f"SELECT document FROM tasks WHERE {condition}"  # noqa: S608
                " ORDER BY created_at DESC, number DESC LIMIT ? OFFSET ?",
                (*values, limit + 1, offset),
            )
        return Page([json.loads(document) for (document,) in rows[:limit]], total, len(rows) > limit)

    def counts(self) -> dict[str, int]:
        """How many tasks there are of each status."""
        return dict(self._database.rows("SELECT status, count(*) FROM tasks GROUP BY status ORDER BY status"))

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
        with self.transaction():
            now = self.now()
            self._database.run("DELETE FROM answers WHERE saved_at <= ?", ((now - ANSWERS_ARE_KEPT_FOR).isoformat(),))
            saved = self._database.row(
                "SELECT request_digest, status, body FROM answers WHERE idempotency_key = ?", (idempotency_key,)
            )
            if saved is not None:
                if saved[0] != request_digest:
                    raise IdempotencyKeyTakenError
                return SavedAnswer(saved[1], json.loads(saved[2]))
            made = answer()
            self._database.run(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?)",
                (idempotency_key, request_digest, made.status, json.dumps(made.body), now.isoformat()),
            )
            return made

    def keep_file(self, content: bytes) -> str:
        """Keeps what a response links to, under a name that can't be guessed."""
        name = secrets.token_urlsafe(24)
        self._database.run("INSERT INTO files VALUES (?, ?)", (name, content))
        return name

    def file(self, name: str) -> bytes | None:
        """What was kept under that name."""
        row = self._database.row("SELECT content FROM files WHERE name = ?", (name,))
        return None if row is None else cast(bytes, row[0])

    def close(self) -> None:
        """Closes the database; tasks in memory are gone."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _require(self, task_id: str, *statuses: str) -> Document:
        task = self.get(task_id)
        if task["status"] not in statuses:
            raise WrongStatusError(task["status"])
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
