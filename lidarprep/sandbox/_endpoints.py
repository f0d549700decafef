"""The endpoints: those of the Scale API, and the sandbox's own for what labellers, customers and accidents do.

Each is a function of the request that runs in a thread; `request.state.body` holds the body. Exceptions become answers
by the handlers of `create_app`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lidarprep.api import TASK_TYPES, TaskType, checked_metadata, read_parameters
from lidarprep.errors import ParameterError
from lidarprep.sandbox._faults import Faults, FaultSource
from lidarprep.sandbox._http import (
    BAD_PAGE,
    RequestError,
    read_boolean,
    read_fields,
    read_filter,
    read_json,
    read_page,
    token_after,
)
from lidarprep.sandbox._lifecycle import STRICTNESS, Lifecycle
from lidarprep.sandbox._store import (
    Document,
    IdempotencyKeyTakenError,
    SandboxError,
    SandboxStore,
    SavedAnswer,
    UnknownTaskError,
)

log = logging.getLogger(__name__)

# By path and by name: a categorization is created at /task/categorize, which its name doesn't tell.
TYPES_BY_PATH: Mapping[str, TaskType] = {
    **TASK_TYPES,
    **{task_type.path.removeprefix("/task/"): task_type for task_type in TASK_TYPES.values()},
}
DEFAULT_ERROR = "The sandbox was told to let the task end in an error."

# Held while looking at the requests that are being carried out.
_UNDER_WAY = threading.Lock()


def create_task(request: Request) -> JSONResponse:
    """POST /v1/task/{task_type}: create a task, once for each Idempotency-Key."""
    task_type = TYPES_BY_PATH.get(request.path_params["task_type"])
    if task_type is None:
        raise SandboxError(f"There is no task type {request.path_params['task_type']!r}.", 404)
    body = _fields(request, task_type)
    key = request.headers.get("idempotency-key")
    if not key:
        return _answer(_create(request, task_type, body))
    under_way: dict[str, str] = request.app.state.under_way
    digest = _digest(request.user.username, task_type.name, body)
    with _UNDER_WAY:
        running = under_way.get(key)
        if running is None:
            under_way[key] = digest
    if running == digest:
        raise SandboxError(f'A request with the Idempotency-Key ("{key}") is being carried out; try again.', 429)
    if running is not None:
        raise IdempotencyKeyTakenError(key)
    try:
        return _answer(_store(request).answer_once(key, digest, lambda: _create(request, task_type, body)))
    finally:
        del under_way[key]


def _create(request: Request, task_type: TaskType, body: Mapping[str, Any]) -> SavedAnswer:
    is_test = not request.user.username.startswith("live")
    try:
        parameters = read_parameters(task_type.name, body, STRICTNESS)
        if unknown := [name for name in parameters.extra_params or () if name != "dependents"]:
            # A client may know more parameters. Logged, as it may be a slip.
            log.warning("%s: unknown parameters are taken as they are: %s", task_type.name, unknown)
        origin = str(request.base_url).rstrip("/")
        return SavedAnswer(200, _lifecycle(request).create(parameters, is_test=is_test, origin=origin))
    except (ParameterError, SandboxError) as error:
        return refusal(error)


def refusal(error: ParameterError | SandboxError) -> SavedAnswer:
    """Return the answer to a request that is refused."""
    status, message = (400, error.message) if isinstance(error, ParameterError) else (error.status_code, str(error))
    return SavedAnswer(status, {"status_code": status, "error": message})


def _answer(saved: SavedAnswer) -> JSONResponse:
    return JSONResponse(saved.body, saved.status)


def _digest(caller: str, task_type: str, body: Mapping[str, Any]) -> str:
    """Return a digest of caller and parameters; the key can't be read from it."""
    return hmac.new(caller.encode(), json.dumps([task_type, body], sort_keys=True).encode(), hashlib.sha256).hexdigest()


def get_task(request: Request) -> Document:
    """GET /v1/task/{task_id}."""
    return _store(request).get(_task_id(request))


def list_tasks(request: Request) -> Document:
    """GET /v1/tasks."""
    query = request.query_params
    wanted, (limit, after, offset) = read_filter(query), read_page(query)
    try:
        page = _store(request).page(wanted, limit=limit, after=after, offset=offset or 0)
    except UnknownTaskError:
        raise RequestError(BAD_PAGE) from None
    content: Document = {"docs": page.tasks, "total": page.total, "limit": limit}
    if offset is not None:
        content["offset"] = offset
    content["has_more"] = page.has_more
    if page.has_more:
        content["next_token"] = token_after(page.tasks[-1])
    return content


def cancel_task(request: Request) -> Document:
    """POST /v1/task/{task_id}/cancel.

    A task that has ended is refused with 400, as in the newer text; the older one says 500.
    """
    clear = read_boolean(request.query_params, "clear_unique_id")
    return _store(request).cancel(_task_id(request), clear_unique_id=clear)


def set_metadata(request: Request) -> Document:
    """POST /v1/task/{task_id}/setMetadata: replace the task's metadata."""
    metadata = _fields(request)
    checked_metadata(metadata)
    return _store(request).change(_task_id(request), metadata=metadata)


def set_unique_id(request: Request) -> Document:
    """POST /v1/task/{task_id}/unique_id."""
    fields = _fields(request)
    unique_id, clear = fields.get("unique_id"), fields.get("clear_unique_id_on_error")
    if not isinstance(unique_id, str) or not unique_id:
        raise RequestError("unique_id must be a string that is not empty.")
    if clear is not None and not isinstance(clear, bool):
        raise RequestError("clear_unique_id_on_error must be true or false.")
    store, task_id = _store(request), _task_id(request)
    with store.transaction():
        task = store.set_unique_id(task_id, unique_id)
        return task if clear is None else store.change(task_id, clear_unique_id_on_error=clear)


def clear_unique_id(request: Request) -> Document:
    """DELETE /v1/task/{task_id}/unique_id."""
    return _store(request).set_unique_id(_task_id(request), None)


def add_tags(request: Request) -> Document:
    """PUT /v1/task/{task_id}/tags: add tags; those that the task has stay."""
    tags = _tags(_json(request))
    return _store(request).change_tags(_task_id(request), lambda old: [*old, *tags])


def set_tags(request: Request) -> Document:
    """POST /v1/task/{task_id}/tags: replace the tags."""
    tags = _tags(_json(request))
    return _store(request).change_tags(_task_id(request), lambda old: tags)


def delete_tags(request: Request) -> Document:
    """DELETE /v1/task/{task_id}/tags: remove tags.

    The reference's example has no body; then no tag is named, and none is removed.
    """
    tags = _tags(_json(request, if_empty=[]))
    return _store(request).change_tags(_task_id(request), lambda old: [tag for tag in old if tag not in tags])


def set_dependents(request: Request) -> Document:
    """POST /v1/task/{task_id}/dependents/options."""
    fields = _fields(request)
    options = fields["dependents"] if set(fields) == {"dependents"} else fields
    return _lifecycle(request).set_dependents(_task_id(request), options)


def force_dependents(request: Request) -> Document:
    """POST /v1/task/{task_id}/dependents/force_creation."""
    return _lifecycle(request).force_dependents(_task_id(request))


def show_status(request: Request) -> Document:
    """GET /sandbox/status: the number of tasks and of jobs, and the faults."""
    store = _store(request)
    return {"tasks": store.counts(), "jobs": store.jobs.counts(), "faults": _faults(request).describe()}


def complete_task(request: Request) -> Document:
    """POST /sandbox/tasks/{task_id}/complete, with {"response": {…}} or nothing."""
    response = _options(request).get("response")
    if response is not None and not isinstance(response, dict):
        raise RequestError("response must be an object.")
    return _lifecycle(request).complete(_task_id(request), response)


def fail_task(request: Request) -> Document:
    """POST /sandbox/tasks/{task_id}/error, with {"error": "…"} or nothing."""
    message = _options(request).get("error", DEFAULT_ERROR)
    if not isinstance(message, str):
        raise RequestError("error must be a string.")
    return _lifecycle(request).fail(_task_id(request), message)


def audit_task(request: Request) -> Document:
    """POST /sandbox/tasks/{task_id}/audit, with {"audit_result": "accepted"}."""
    return _lifecycle(request).audit(_task_id(request), _options(request).get("audit_result"))


def show_faults(request: Request) -> Document:
    """GET /sandbox/faults."""
    return _faults(request).describe()


def set_faults(request: Request) -> Document:
    """PUT /sandbox/faults, with the fields of `Faults`."""
    content = _json(request)
    try:
        _faults(request).set(Faults.read(content))
    except ValueError as error:
        raise RequestError(f"{error}.") from None
    return _faults(request).describe()


def clear_faults(request: Request) -> Document:
    """DELETE /sandbox/faults."""
    _faults(request).clear()
    return _faults(request).describe()


def get_file(request: Request) -> Response:
    """GET /sandbox/files/{name}: a file that a response links to. It needs no key."""
    content = _store(request).file(request.path_params["name"])
    if content is None:
        raise SandboxError("There is no such file.", 404)
    return Response(content, media_type="application/json")


TASK = "/v1/task/{task_id}"
CONTROL = "/sandbox/tasks/{task_id}"

ROUTES: tuple[tuple[str, str, Callable[[Request], Document | Response]], ...] = (
    ("GET", "/v1/tasks", list_tasks),
    ("POST", "/v1/task/{task_type}", create_task),
    ("GET", TASK, get_task),
    ("POST", f"{TASK}/cancel", cancel_task),
    ("POST", f"{TASK}/setMetadata", set_metadata),
    ("POST", f"{TASK}/unique_id", set_unique_id),
    ("DELETE", f"{TASK}/unique_id", clear_unique_id),
    # The reference's headlines say POST for all three; its examples, and the official client, tell them apart.
    ("PUT", f"{TASK}/tags", add_tags),
    ("POST", f"{TASK}/tags", set_tags),
    ("DELETE", f"{TASK}/tags", delete_tags),
    ("POST", f"{TASK}/dependents/options", set_dependents),
    ("POST", f"{TASK}/dependents/force_creation", force_dependents),
    ("GET", "/sandbox/status", show_status),
    ("POST", f"{CONTROL}/complete", complete_task),
    ("POST", f"{CONTROL}/error", fail_task),
    ("POST", f"{CONTROL}/audit", audit_task),
    ("GET", "/sandbox/faults", show_faults),
    ("PUT", "/sandbox/faults", set_faults),
    ("DELETE", "/sandbox/faults", clear_faults),
    ("GET", "/sandbox/files/{name}", get_file),
)


def _json(request: Request, *, if_empty: Any = ...) -> Any:
    """Return the JSON value of the body; `if_empty` for an empty body, where one is allowed."""
    text: bytes = request.state.body
    return if_empty if not text.strip() and if_empty is not ... else read_json(text)


def _fields(request: Request, task_type: TaskType | None = None) -> dict[str, Any]:
    model = None if task_type is None else task_type.parameters
    return read_fields(request.state.body, request.headers.get("content-type", ""), model)


def _options(request: Request) -> dict[str, Any]:
    options = _json(request, if_empty={})
    if not isinstance(options, dict):
        raise RequestError("The body is not a JSON object.")
    return options


def _tags(value: Any) -> Iterable[str]:
    if not isinstance(value, list) or not all(isinstance(tag, str) and tag for tag in value):
        raise RequestError("tags must be a list of strings, none of them empty or null.")
    return value


def _task_id(request: Request) -> str:
    return str(request.path_params["task_id"])


def _lifecycle(request: Request) -> Lifecycle:
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle


def _store(request: Request) -> SandboxStore:
    return _lifecycle(request).store


def _faults(request: Request) -> FaultSource:
    faults: FaultSource = request.app.state.faults
    return faults
