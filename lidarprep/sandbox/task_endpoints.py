"""The endpoints of tasks that are there: retrieve, list, cancel, metadata, unique_id, tags, dependents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from lidarprep.api import checked_metadata
from lidarprep.errors import ParameterError
from lidarprep.sandbox.lifecycle import DependentsError, Lifecycle
from lidarprep.sandbox.queries import (
    QueryError,
    read_boolean,
    read_filter,
    read_limit,
    read_offset,
    read_token,
    token_after,
)
from lidarprep.sandbox.records import UnknownTaskError, WrongStatusError
from lidarprep.sandbox.store import SandboxStore
from lidarprep.sandbox.web import answer_with, read_fields, read_value


async def get_task(request: Request) -> JSONResponse:
    """GET /v1/task/{task_id}."""
    return await answer_with(request, _store(request).get, request.path_params["task_id"])


async def list_tasks(request: Request) -> JSONResponse:
    """GET /v1/tasks."""
    query = request.query_params
    try:
        wanted, limit, after, offset = read_filter(query), read_limit(query), read_token(query), read_offset(query)
        page = await run_in_threadpool(_store(request).page, wanted, limit=limit, after=after, offset=offset or 0)
    except QueryError as error:
        raise HTTPException(400, str(error)) from None
    except UnknownTaskError:
        raise HTTPException(400, "next_token is none of ours.") from None
    content: dict[str, Any] = {"docs": page.tasks, "total": page.total, "limit": limit}
    if offset is not None:
        content["offset"] = offset
    content["has_more"] = page.has_more
    if page.has_more:
        content["next_token"] = token_after(page.tasks[-1]["task_id"], page.tasks[-1]["created_at"])
    return JSONResponse(content)


async def cancel_task(request: Request) -> JSONResponse:
    """POST /v1/task/{task_id}/cancel.

    A task that is done with is refused with 400, as the newer text says; the older one says 500.
    """
    task_id = request.path_params["task_id"]
    try:
        clear = read_boolean(request.query_params, "clear_unique_id")
        return await answer_with(request, _store(request).cancel, task_id, clear_unique_id=clear)
    except QueryError as error:
        raise HTTPException(400, str(error)) from None
    except WrongStatusError:
        raise HTTPException(400, f"The task {task_id} is not pending, so it can't be canceled.") from None


async def set_metadata(request: Request) -> JSONResponse:
    """POST /v1/task/{task_id}/setMetadata: the body takes the place of the task's metadata."""
    metadata = await read_fields(request)
    try:
        checked_metadata(metadata)
    except ParameterError as error:
        raise HTTPException(400, error.message) from None
    return await answer_with(request, _store(request).change, request.path_params["task_id"], metadata=metadata)


async def set_unique_id(request: Request) -> JSONResponse:
    """POST /v1/task/{task_id}/unique_id."""
    fields = await read_fields(request)
    unique_id, clear = fields.get("unique_id"), fields.get("clear_unique_id_on_error")
    if not isinstance(unique_id, str) or not unique_id:
        raise HTTPException(400, "unique_id must be a string that is not empty.")
    if clear is not None and not isinstance(clear, bool):
        raise HTTPException(400, "clear_unique_id_on_error must be true or false.")
    store, task_id = _store(request), request.path_params["task_id"]

    def change() -> dict[str, Any]:
        with store.transaction():
            task = store.set_unique_id(task_id, unique_id)
            return task if clear is None else store.change(task_id, clear_unique_id_on_error=clear)

    return await answer_with(request, change)


async def clear_unique_id(request: Request) -> JSONResponse:
    """DELETE /v1/task/{task_id}/unique_id."""
    return await answer_with(request, _store(request).set_unique_id, request.path_params["task_id"], None)


async def add_tags(request: Request) -> JSONResponse:
    """PUT /v1/task/{task_id}/tags: tags that the task has already are left as they are."""
    tags = _tags(await read_value(request))
    return await _change_tags(request, lambda old: [*old, *tags])


async def set_tags(request: Request) -> JSONResponse:
    """POST /v1/task/{task_id}/tags."""
    tags = _tags(await read_value(request))
    return await _change_tags(request, lambda old: tags)


async def delete_tags(request: Request) -> JSONResponse:
    """DELETE /v1/task/{task_id}/tags.

    The reference's example has no body; then no tag is named, and none is taken away.
    """
    tags = _tags(await read_value(request, if_empty=[]))
    return await _change_tags(request, lambda old: [tag for tag in old if tag not in tags])


async def set_dependents(request: Request) -> JSONResponse:
    """POST /v1/task/{task_id}/dependents/options."""
    fields = await read_fields(request)
    options = fields["dependents"] if set(fields) == {"dependents"} else fields
    task_id = request.path_params["task_id"]
    try:
        return await answer_with(request, _lifecycle(request).set_dependents, task_id, options)
    except WrongStatusError:
        problem = f"The task {task_id} is completed, so the options of its dependent tasks can't be changed."
        raise HTTPException(400, problem) from None


async def force_dependents(request: Request) -> JSONResponse:
    """POST /v1/task/{task_id}/dependents/force_creation."""
    task_id = request.path_params["task_id"]
    try:
        return await answer_with(request, _lifecycle(request).force_dependents, task_id)
    except WrongStatusError as error:
        raise HTTPException(400, f"The task {task_id} is {error.status}; it must be completed.") from None
    except DependentsError as error:
        raise HTTPException(400, f"The task {task_id} makes no dependent tasks: {error}.") from None


async def _change_tags(request: Request, change: Any) -> JSONResponse:
    return await answer_with(request, _store(request).change_tags, request.path_params["task_id"], change)


def _tags(value: Any) -> Iterable[str]:
    if not isinstance(value, list) or not all(isinstance(tag, str) and tag for tag in value):
        raise HTTPException(400, "tags must be a list of strings, none of them empty or null.")
    return value


def _store(request: Request) -> SandboxStore:
    return _lifecycle(request).store


def _lifecycle(request: Request) -> Lifecycle:
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle
