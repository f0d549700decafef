"""Errors of the sandbox, which are refused requests, and times as the Scale API writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def time_text(moment: datetime) -> str:
    """Return a moment as the service writes it: UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class SandboxError(Exception):
    """A request that the sandbox refuses; the message is the answer's.

    Args:
        message: What is wrong.
        status_code: HTTP status of the answer.
    """

    def __init__(self, message: str, status_code: int = 400) -> None:
        super().__init__(message)
        self.status_code = status_code


class UnknownTaskError(SandboxError):
    """No task has that id."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"There is no task {task_id!r}.", 404)


class WrongStatusError(SandboxError):
    """The task's status does not allow the request."""


class UniqueIdTakenError(SandboxError):
    """Another task has that unique_id."""

    def __init__(self, unique_id: str, task_id: str) -> None:
        super().__init__(f'The unique_id ("{unique_id}") is already used for a different task ({task_id}).', 409)


class IdempotencyKeyTakenError(SandboxError):
    """The Idempotency-Key was used for a request with other parameters, or of another caller."""

    def __init__(self, key: str) -> None:
        super().__init__(f'The Idempotency-Key ("{key}") was already used with other parameters.', 409)


class UnknownNameError(SandboxError):
    """No project, batch or file has that name."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"There is no {kind} {name!r}.", 404)
