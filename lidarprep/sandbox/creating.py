"""POST /v1/task/{type}: tasks are made, each once however often it is asked for."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from lidarprep.api import TASK_TYPES, TaskType, read_parameters
from lidarprep.errors import ParameterError
from lidarprep.sandbox.lifecycle import STRICTNESS, Lifecycle
from lidarprep.sandbox.records import IdempotencyKeyTakenError, SavedAnswer, UniqueIdTakenError
from lidarprep.sandbox.web import error_answer, read_fields

log = logging.getLogger(__name__)

# By path, and by name: a categorization is made at /task/categorize, which its name doesn't tell.
TYPES_BY_PATH: Mapping[str, TaskType] = {
    **TASK_TYPES,
    **{task_type.path.removeprefix("/task/"): task_type for task_type in TASK_TYPES.values()},
}


async def create_task(request: Request) -> JSONResponse:
    """POST /v1/task/{task_type}."""
    task_type = TYPES_BY_PATH.get(request.path_params["task_type"])
    if task_type is None:
        raise HTTPException(404, f"There is no task type {request.path_params['task_type']!r}.")
    body = await read_fields(request, task_type.parameters)
    key = request.headers.get("idempotency-key")
    if not key:
        status, content = await run_in_threadpool(_create, request, task_type, body)
        return JSONResponse(content, status)
    # Requests under way, by key. The event loop is one thread: between looking and noting, nothing else happens.
    under_way: dict[str, str] = request.app.state.under_way
    digest = _digest(request.user.username, task_type.name, body)
    if under_way.get(key) == digest:
        raise HTTPException(429, f'A request with the Idempotency-Key ("{key}") is being carried out; try again.')
    if key in under_way:
        raise HTTPException(409, _used_otherwise(key))
    under_way[key] = digest
    try:
        status, content = await run_in_threadpool(_create_once, request, task_type, body, key, digest)
    finally:
        del under_way[key]
    return JSONResponse(content, status)


def _create_once(request: Request, task_type: TaskType, body: Mapping[str, Any], key: str, digest: str) -> SavedAnswer:
    lifecycle: Lifecycle = request.app.state.lifecycle
    try:
        return lifecycle.store.answer_once(key, digest, lambda: _create(request, task_type, body))
    except IdempotencyKeyTakenError:
        return error_answer(409, _used_otherwise(key))


def _create(request: Request, task_type: TaskType, body: Mapping[str, Any]) -> SavedAnswer:
    lifecycle: Lifecycle = request.app.state.lifecycle
    is_test = not request.user.username.startswith("live")
    try:
        parameters = read_parameters(task_type.name, body, STRICTNESS)
        if parameters.extra_params:
            # Taken, as a client may send on purpose what is not known here; told, as it may be a slip.
            unknown = [name for name in parameters.extra_params if name != "dependents"]
            if unknown:
                log.warning("%s: unknown parameters are taken as they are: %s", task_type.name, unknown)
        origin = str(request.base_url).rstrip("/")
        return SavedAnswer(200, lifecycle.create(parameters, is_test=is_test, origin=origin))
    except ParameterError as error:
        return error_answer(400, error.message)
    except UniqueIdTakenError as error:
        return error_answer(409, str(error))


def _used_otherwise(key: str) -> str:
    return f'The Idempotency-Key ("{key}") was already used with other parameters.'


def _digest(caller: str, task_type: str, body: Mapping[str, Any]) -> str:
    """Stands for who asks for what; the key can't be read from it."""
    asked = json.dumps([task_type, body], sort_keys=True)
    return hmac.new(caller.encode(), asked.encode(), hashlib.sha256).hexdigest()
