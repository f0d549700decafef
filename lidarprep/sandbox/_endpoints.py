"""The endpoints of tasks.

Each endpoint is a function of the request that runs in a thread; `request.state.body` holds the body. Exceptions become
answers by the handlers of `create_app`.
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

from lidarprep.api import TASK_TYPES, TaskType, checked_metadata
from lidarprep.errors import ParameterError
from lidarprep.sandbox._common import IdempotencyKeyTakenError, SandboxError, UnknownTaskError
from lidarprep.sandbox._http import (
    BAD_PAGE,
    RequestError,
    read_boolean,
    read_filter,
    read_page,
    token_after,
)
from lidarprep.sandbox._request import (
    body_fields,
    flag_field,
    json_body,
    lifecycle_of,
    object_body,
    origin_of,
    store_of,
    task_id_of,
    text_field,
)
from lidarprep.sandbox._store import Document, SavedAnswer

log = logging.getLogger(__name__)

# Fields of a task in a list with limited_response=true.
LIMITED = ("task_id", "status", "metadata", "project", "otherVersion")

# Held while looking at the requests that are being carried out.
_UNDER_WAY = threading.Lock()


def create_task(request: Request) -> JSONResponse:
    """POST /v1/task/{task_type}: create a task, once for each Idempotency-Key."""
    task_type = lifecycle_of(request).task_type(request.path_params["task_type"])
    body = body_fields(request, task_type)
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
        return _answer(store_of(request).answer_once(key, digest, lambda: _create(request, task_type, body)))
    finally:
        del under_way[key]


def _create(request: Request, task_type: TaskType, body: Mapping[str, Any]) -> SavedAnswer:
    is_test = not request.user.username.startswith("live")
    try:
        lifecycle = lifecycle_of(request)
        parameters = lifecycle.read(task_type, body)
        if task_type.name in TASK_TYPES and (unknown := list(parameters.extra_params or ())):
            # A client may know more parameters. Logged, as it may be a slip.
            log.warning("%s: unknown parameters are taken as they are: %s", task_type.name, unknown)
        return SavedAnswer(200, lifecycle.create(parameters, is_test=is_test, origin=origin_of(request)))
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
    return store_of(request).get(task_id_of(request))


def list_tasks(request: Request) -> Document:
    """GET /v1/tasks."""
    query = request.query_params
    wanted, (limit, after, offset) = read_filter(query), read_page(query)
    try:
        page = store_of(request).page(wanted, limit=limit, after=after, offset=offset)
    except UnknownTaskError:
        raise RequestError(BAD_PAGE) from None
    limited = read_boolean(query, "limited_response")
    docs = [{name: task.get(name) for name in LIMITED} for task in page.tasks] if limited else page.tasks
    content: Document = {
        "docs": docs,
        "total": page.total,
        "limit": limit,
        "offset": offset,
        "has_more": page.has_more,
    }
    if page.has_more:
        content["next_token"] = token_after(page.tasks[-1])
    return content


def cancel_task(request: Request) -> Document:
    """POST /v1/task/{task_id}/cancel.

    A task that has ended is refused with 400, as in the newer text; the older one says 500.
    """
    clear = read_boolean(request.query_params, "clear_unique_id")
    return store_of(request).cancel(task_id_of(request), clear_unique_id=clear)


def set_metadata(request: Request) -> Document:
    """POST /v1/task/{task_id}/setMetadata: replace the task's metadata."""
    metadata = body_fields(request) if request.state.body.strip() else {}  # Scale's own client sends no body for {}
    checked_metadata(metadata)
    return store_of(request).change(task_id_of(request), metadata=metadata)


def set_unique_id(request: Request) -> Document:
    """POST /v1/task/{task_id}/unique_id."""
    fields = body_fields(request)
    unique_id, clear = text_field(fields, "unique_id"), fields.get("clear_unique_id_on_error")
    flag_field(fields, "clear_unique_id_on_error")
    store, task_id = store_of(request), task_id_of(request)
    with store.transaction():
        task = store.set_unique_id(task_id, unique_id)
        return task if clear is None else store.change(task_id, clear_unique_id_on_error=clear)


def clear_unique_id(request: Request) -> Document:
    """DELETE /v1/task/{task_id}/unique_id."""
    return store_of(request).set_unique_id(task_id_of(request), None)


def add_tags(request: Request) -> Document:
    """PUT /v1/task/{task_id}/tags: add tags; those that the task has stay."""
    tags = _tags(json_body(request))
    return store_of(request).change_tags(task_id_of(request), lambda old: [*old, *tags])


def set_tags(request: Request) -> Document:
    """POST /v1/task/{task_id}/tags: replace the tags."""
    tags = _tags(json_body(request, if_empty=[]))  # Scale's own client sends no body for an empty list
    return store_of(request).change_tags(task_id_of(request), lambda old: tags)


def delete_tags(request: Request) -> Document:
    """DELETE /v1/task/{task_id}/tags: remove tags.

    The reference's example has no body; then no tag is named, and none is removed.
    """
    tags = _tags(json_body(request, if_empty=[]))
    return store_of(request).change_tags(task_id_of(request), lambda old: [tag for tag in old if tag not in tags])


def set_dependents(request: Request) -> Document:
    """POST /v1/task/{task_id}/dependents/options."""
    fields = body_fields(request)
    options = fields["dependents"] if set(fields) == {"dependents"} else fields
    return lifecycle_of(request).set_dependents(task_id_of(request), options)


def force_dependents(request: Request) -> Document:
    """POST /v1/task/{task_id}/dependents/force_creation."""
    return lifecycle_of(request).force_dependents(task_id_of(request))


def audit_task(request: Request) -> Document:
    """POST /v1/task/{task_id}/audit, with {"accepted": true, "comments": "…"}."""
    fields = object_body(request)
    accepted, comments = fields.get("accepted"), fields.get("comments")
    if not isinstance(accepted, bool):
        raise RequestError("accepted must be true or false.")
    if comments is not None and not isinstance(comments, str):
        raise RequestError("comments must be a string.")
    result = "accepted" if accepted else "rejected"
    return lifecycle_of(request).audit(task_id_of(request), result, comments)


TASK = "/v1/task/{task_id}"

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
    ("POST", f"{TASK}/audit", audit_task),
    ("POST", f"{TASK}/dependents/options", set_dependents),
    ("POST", f"{TASK}/dependents/force_creation", force_dependents),
)


def _tags(value: Any) -> Iterable[str]:
    if not isinstance(value, list) or not all(isinstance(tag, str) and tag for tag in value):
        raise RequestError("tags must be a list of strings, none of them empty or null.")
    return value
