"""What endpoints read of a request: its body, whose bytes are in `request.state.body`, and the sandbox behind it."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from lidarprep.api import TaskType
from lidarprep.sandbox._http import RequestError, read_fields, read_json
from lidarprep.sandbox._lifecycle import Lifecycle
from lidarprep.sandbox._store import SandboxStore


def json_body(request: Request, *, if_empty: Any = ...) -> Any:
    """Return the JSON value of the body; `if_empty` for an empty body, where one is allowed."""
    text: bytes = request.state.body
    return if_empty if not text.strip() and if_empty is not ... else read_json(text)


def object_body(request: Request) -> dict[str, Any]:
    """Return the JSON object of the body; an empty body is an empty object, as Scale's own client sends it."""
    content = json_body(request, if_empty={})
    if not isinstance(content, dict):
        raise RequestError("The body is not a JSON object.")
    return content


def body_fields(request: Request, task_type: TaskType | None = None) -> dict[str, Any]:
    """Return the fields of a JSON object or an HTML form."""
    model = None if task_type is None else task_type.parameters
    return read_fields(request.state.body, request.headers.get("content-type", ""), model)


def text_field(fields: dict[str, Any], name: str) -> str:
    """Return a field that must be a text, not empty."""
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise RequestError(f"{name} must be a string that is not empty.")
    return value


def flag_field(fields: dict[str, Any], name: str) -> bool:
    """Return a field that is true or false; false if missing or null."""
    value = fields.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise RequestError(f"{name} must be true or false.")
    return value


def task_id_of(request: Request) -> str:
    """Return the task id in the path."""
    return str(request.path_params["task_id"])


def lifecycle_of(request: Request) -> Lifecycle:
    """Return the sandbox's lifecycle of tasks."""
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle


def store_of(request: Request) -> SandboxStore:
    """Return the sandbox's store."""
    return lifecycle_of(request).store


def origin_of(request: Request) -> str:
    """Return the sandbox's address, as the caller named it: "http://127.0.0.1:8080"."""
    return str(request.base_url).rstrip("/")
