"""One callback: what Scale posts when a task is done, and again when its result is corrected."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn, Self

# Ids are 24 hex digits. What is taken here is wider, and still safe in a file's name, an environment and a log line.
TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class NotACallbackError(ValueError):
    """A body that is no callback; the message says why."""


@dataclass(frozen=True)
class Callback:
    """A callback as it came.

    A task's result may be sent again: the very same, when Scale did not see the answer, or another one, when it was
    corrected or audited. What is the same in all of the body, the task's times included, is kept once; what differs is
    a new version.

    Args:
        task_id: The task that it is about.
        response: The task's result; None where the body has none, or one that is no object.
        task: The whole task; empty where the body has none.
        received_at: When it came first, with time zone.
        version: Which of the task's results it is, from 1, in the order they came.
        body: The bytes as they came.
    """

    task_id: str
    response: Mapping[str, Any] | None = field(repr=False)
    task: Mapping[str, Any] = field(repr=False)
    received_at: datetime
    version: int = 1
    body: bytes = field(default=b"", repr=False)

    @classmethod
    def from_body(cls, body: bytes, received_at: datetime, version: int = 1) -> Self:
        """The callback in a request's body.

        Raises:
            NotACallbackError: It is no JSON object, or names no task.
        """
        content = _json(body)
        if not isinstance(content, dict):
            raise NotACallbackError("The body is not a JSON object.")
        task_id = content.get("task_id")
        if not isinstance(task_id, str) or not TASK_ID.fullmatch(task_id):
            raise NotACallbackError("The body has no task_id, or one that can't be a task's.")
        response, task = content.get("response"), content.get("task")
        return cls(
            task_id,
            response if isinstance(response, dict) else None,
            task if isinstance(task, dict) else {},
            received_at,
            version,
            body,
        )

    @property
    def content(self) -> dict[str, Any]:
        """All of the body."""
        content: dict[str, Any] = _json(self.body)
        return content

    @property
    def as_of(self) -> datetime | None:
        """When the task came to be as it is told here: its own `updated_at`, else `completed_at`; None if unknown.

        A delivery that failed is repeated for a day, so an older result may come after the one that corrected it.
        """
        for name in ("updated_at", "completed_at"):
            if isinstance(text := self.task.get(name), str):
                try:
                    moment = datetime.fromisoformat(text)
                except ValueError:
                    continue
                return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return None

    @property
    def digest(self) -> str:
        """SHA-256 of the content, 64 hex digits: the order of keys and white space don't count."""
        content = json.dumps(self.content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()


def _json(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_no_json)
    except (ValueError, RecursionError):
        raise NotACallbackError("The body is not JSON.") from None


def _no_json(constant: str) -> NoReturn:
    raise ValueError(constant)  # NaN and Infinity: Python reads them, JSON has them not
