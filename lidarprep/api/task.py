"""A task, as the API answers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self


@dataclass(frozen=True)
class Task:
    """A task as it was when the API answered.

    Fields that the answer lacked are None or empty; what is not a field here is in `raw`.

    Args:
        id: The API's `task_id`.
        type: Name of its task type.
        status: "pending", "completed", "canceled", "error", … New statuses may come: don't take the list as closed.
        created_at: When it was made, with time zone.
        updated_at: When it last changed.
        completed_at: When it was completed.
        is_test: Made with a test key, so never labelled by people.
        unique_id: Your own id for it.
        project: Project that it belongs to.
        batch: Batch that it belongs to.
        instruction: What it asks for.
        callback_url: Where its result is posted.
        tags: Labels to find it by.
        metadata: Your own key/value pairs.
        params: The parameters of its type.
        response: The result once it is completed, or the reason once it is in error.
        raw: The whole answer.
    """

    id: str
    type: str | None = None
    status: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    completed_at: datetime | None = None
    is_test: bool | None = None
    unique_id: str | None = None
    project: str | None = None
    batch: str | None = None
    instruction: str | None = field(default=None, repr=False)
    callback_url: str | None = field(default=None, repr=False)
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    response: Mapping[str, Any] | None = field(default=None, repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_api(cls, answer: Mapping[str, Any]) -> Self | None:
        """The task in an answer; None if it holds none, that is, no `task_id`."""
        task_id = answer.get("task_id")
        if not isinstance(task_id, str) or not task_id:
            return None
        is_test = answer.get("is_test")
        tags = answer.get("tags")
        return cls(
            id=task_id,
            type=_text(answer.get("type")),
            status=_text(answer.get("status")),
            created_at=_moment(answer.get("created_at")),
            updated_at=_moment(answer.get("updated_at")),
            completed_at=_moment(answer.get("completed_at")),
            is_test=is_test if isinstance(is_test, bool) else None,
            unique_id=_text(answer.get("unique_id")),
            project=_text(answer.get("project")),
            batch=_text(answer.get("batch")),
            instruction=_text(answer.get("instruction")),
            callback_url=_text(answer.get("callback_url")),
            tags=tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
            metadata=_object(answer.get("metadata")) or {},
            params=_object(answer.get("params")) or {},
            response=_object(answer.get("response")),
            raw=answer,
        )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _object(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
