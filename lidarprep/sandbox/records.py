"""What the sandbox's store hands out, and how it says no."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

Document = dict[str, Any]

JobKind = Literal["check", "complete", "callback"]


class UnknownTaskError(Exception):
    """There is no task with that id."""


class WrongStatusError(Exception):
    """The task's status doesn't allow what was asked for.

    Args:
        status: The status that it has.
    """

    def __init__(self, status: str) -> None:
        super().__init__(f"the task is {status}")
        self.status = status


class UniqueIdTakenError(Exception):
    """Another task has that unique_id.

    Args:
        unique_id: The id.
        task_id: The task that has it.
    """

    def __init__(self, unique_id: str, task_id: str) -> None:
        super().__init__(f'The unique_id ("{unique_id}") is already used for a different task ({task_id}).')


class TooManyTagsError(Exception):
    """The task would have more tags than are allowed.

    Args:
        count: How many it would have.
    """

    def __init__(self, count: int) -> None:
        super().__init__(f"the task would have {count} tags")
        self.count = count


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
        has_more: Whether there are more behind these.
    """

    tasks: list[Document]
    total: int
    has_more: bool


class Job(NamedTuple):
    """Something to be done for a task, later or again.

    Args:
        number: Its number in the store.
        kind: What to do.
        task_id: For which task.
        tries: How often it was tried.
    """

    number: int
    kind: JobKind
    task_id: str
    tries: int


@dataclass(frozen=True)
class TaskFilter:
    """Which tasks to list; an empty tuple or None doesn't narrow them.

    Times are as the service writes them, so that they compare as text, and both ends belong to the range.
    """

    created: tuple[str | None, str | None] = (None, None)
    completed: tuple[str | None, str | None] = (None, None)
    updated: tuple[str | None, str | None] = (None, None)
    statuses: Sequence[str] = ()
    types: Sequence[str] = ()
    projects: Sequence[str] = ()
    batches: Sequence[str] = ()
    unique_ids: Sequence[str] = ()
    tags: Sequence[str] = ()
    review_statuses: Sequence[str] = ()

    def where(self) -> tuple[str, list[str]]:
        """The condition of a SELECT, and the values for its placeholders."""
        conditions, values = ["1"], []
        for column, (first, last) in (
            ("created_at", self.created),
            ("completed_at", self.completed),
            ("updated_at", self.updated),
        ):
            for sign, moment in ((">=", first), ("<=", last)):
                if moment is not None:
                    conditions.append(f"{column} {sign} ?")
                    values.append(moment)
        for condition, wanted in (
            ("status IN ({})", self.statuses),
            ("type IN ({})", self.types),
            ("project IN ({})", self.projects),
            ("batch IN ({})", self.batches),
            ("unique_id IN ({})", self.unique_ids),
            ("EXISTS (SELECT 1 FROM json_each(document, '$.tags') WHERE value IN ({}))", self.tags),
            (
                "EXISTS (SELECT 1 FROM json_each(document, '$.audits')"
                " WHERE json_extract(value, '$.audit_result') IN ({}))",
                self.review_statuses,
            ),
        ):
            if wanted:
                conditions.append(condition.format(", ".join("?" * len(wanted))))
                values += wanted
        return " AND ".join(conditions), values


def time_text(moment: datetime) -> str:
    """A moment as the service writes it: UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
