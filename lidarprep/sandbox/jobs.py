"""What the sandbox is still to do for its tasks; kept in the database, so that a restart loses nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from lidarprep.sandbox.database import Database
from lidarprep.sandbox.records import Job, JobKind

WANTED = "kind IN (SELECT value FROM json_each(?)) AND number NOT IN (SELECT value FROM json_each(?))"


class JobList:
    """Jobs with the time at which each is due.

    Args:
        database: Where they are.
        now: The time, with time zone.
    """

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now
        self._changed = threading.Condition()
        self._changes = 0

    def add(self, kind: JobKind, task_id: str, *, in_s: float = 0.0) -> None:
        """Notes something to be done for a task, in so many seconds."""
        self._database.run(
            "INSERT INTO jobs (kind, task_id, due_at) VALUES (?, ?, ?)",
            (kind, task_id, self._now().timestamp() + in_s),
        )
        self.wake()

    def due(self, kinds: Sequence[JobKind], *, besides: Collection[int] = (), limit: int = 50) -> list[Job]:
        """What is to be done by now, the longest due first. It stays until `done`, so that a crash repeats it.

        Args:
            kinds: The kinds of jobs.
            besides: Numbers of jobs that are under way already.
            limit: How many at most.
        """
        rows = self._database.rows(
            f"SELECT number, kind, task_id, tries FROM jobs"  # noqa: S608 — a constant
            f" WHERE due_at <= ? AND {WANTED} ORDER BY due_at, number LIMIT ?",
            (self._now().timestamp(), json.dumps(kinds), json.dumps(list(besides)), limit),
        )
        return [Job(*row) for row in rows]

    def next_in_s(self, kinds: Sequence[JobKind], *, besides: Collection[int] = ()) -> float | None:
        """Seconds until the next job of these kinds is due; None if there is none."""
        (due_at,) = self._database.row(
            f"SELECT min(due_at) FROM jobs WHERE {WANTED}",  # noqa: S608 — a constant
            (json.dumps(kinds), json.dumps(list(besides))),
        )
        return None if due_at is None else max(0.0, float(due_at) - self._now().timestamp())

    def done(self, job: Job) -> None:
        """Takes a job off the list."""
        self._database.run("DELETE FROM jobs WHERE number = ?", (job.number,))

    def again(self, job: Job, *, in_s: float) -> None:
        """Puts a job off, and counts the try."""
        self._database.run(
            "UPDATE jobs SET due_at = ?, tries = tries + 1 WHERE number = ?",
            (self._now().timestamp() + in_s, job.number),
        )

    def counts(self) -> dict[str, int]:
        """How many jobs of each kind are waiting."""
        return dict(self._database.rows("SELECT kind, count(*) FROM jobs GROUP BY kind ORDER BY kind"))

    @property
    def changes(self) -> int:
        """How often something was added; to be read before looking for jobs, and given to `wait`."""
        return self._changes

    def wait(self, seen: int, timeout_s: float) -> None:
        """Waits until something is added after `changes` was `seen`, or for the time that is given."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes != seen, timeout_s)

    def wake(self) -> None:
        """Ends every `wait`."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()
