"""Work that the sandbox is still to do for its tasks; kept in the database, so that a restart loses nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Literal, NamedTuple

from lidarprep._sqlite import Database

JobKind = Literal["check", "complete", "callback"]

# A task is completed once its attachments are checked, however long that takes, and its batch is finalized.
WAITING = """
    number NOT IN (SELECT value FROM json_each(?)) AND NOT (
        kind = 'complete'
        AND (
            EXISTS (SELECT 1 FROM jobs AS other WHERE other.task_id = jobs.task_id AND other.kind = 'check')
            OR EXISTS (
                SELECT 1 FROM tasks JOIN named ON named.kind = 'batch' AND named.name = tasks.batch
                WHERE tasks.task_id = jobs.task_id AND named.status = 'staging'
            )
        )
    )
"""


class Job(NamedTuple):
    """Work for a task, to be done later or again; `number` is its key in the store."""

    number: int
    kind: JobKind
    task_id: str
    tries: int


class JobList:
    """Jobs with their due times; `now` returns the time, with time zone."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now
        self._changed = threading.Condition()
        self._changes = 0

    def add(self, kind: JobKind, task_id: str, *, in_s: float = 0.0) -> None:
        """Add a job that is due in so many seconds."""
        self._database.run(
            "INSERT INTO jobs (kind, task_id, due_at) VALUES (?, ?, ?)",
            (kind, task_id, self._now().timestamp() + in_s),
        )
        self.wake()

    def upcoming(self, *, besides: Collection[int] = (), limit: int = 50) -> list[tuple[float, Job]]:
        """Return the next jobs besides some, and the seconds until they are due, the longest due first.

        They stay until `done`, so that a crash repeats them.
        """
        now = self._now().timestamp()
        rows = self._database.rows(
            f"SELECT due_at, number, kind, task_id, tries FROM jobs WHERE {WAITING} ORDER BY due_at, number LIMIT ?",  # noqa: S608
            (json.dumps(list(besides)), limit),
        )
        return [(due_at - now, Job(*job)) for due_at, *job in rows]

    def done(self, job: Job) -> None:
        """Remove a job."""
        self._database.run("DELETE FROM jobs WHERE number = ?", (job.number,))

    def again(self, job: Job, *, in_s: float) -> None:
        """Postpone a job, and count the try."""
        self._database.run(
            "UPDATE jobs SET due_at = ?, tries = tries + 1 WHERE number = ?",
            (self._now().timestamp() + in_s, job.number),
        )

    def counts(self) -> dict[str, int]:
        """Return the number of jobs of each kind."""
        return dict(self._database.rows("SELECT kind, count(*) FROM jobs GROUP BY kind ORDER BY kind"))

    @property
    def changes(self) -> int:
        """Number of changes so far: read it before looking for jobs, and give it to `wait`."""
        return self._changes

    def wait(self, seen: int, timeout_s: float) -> None:
        """Wait for a change after `changes` was `seen`, or for the timeout."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes != seen, timeout_s)

    def wake(self) -> None:
        """End every `wait`."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()
