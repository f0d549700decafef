"""The sandbox's own endpoints, beside those of the API: what labellers, customers and accidents do."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lidarprep.sandbox.faults import Faults, FaultSource
from lidarprep.sandbox.lifecycle import Lifecycle
from lidarprep.sandbox.records import WrongStatusError
from lidarprep.sandbox.web import answer_with, read_value

DEFAULT_ERROR = "The sandbox was told to let the task end in an error."


async def show_status(request: Request) -> JSONResponse:
    """GET /sandbox/status: how many tasks there are, what is still to be done, which faults are set."""
    store = _lifecycle(request).store

    def status() -> dict[str, Any]:
        return {"tasks": store.counts(), "jobs": store.jobs.counts()}

    return JSONResponse({**await run_in_threadpool(status), "faults": _faults(request).describe()})


async def complete_task(request: Request) -> JSONResponse:
    """POST /sandbox/tasks/{task_id}/complete, with {"response": {…}} or nothing."""
    response = (await _options(request)).get("response")
    if response is not None and not isinstance(response, dict):
        raise HTTPException(400, "response must be an object.")
    return await _of_status(request, _lifecycle(request).complete, response)


async def fail_task(request: Request) -> JSONResponse:
    """POST /sandbox/tasks/{task_id}/error, with {"error": "…"} or nothing."""
    message = (await _options(request)).get("error", DEFAULT_ERROR)
    if not isinstance(message, str):
        raise HTTPException(400, "error must be a string.")
    return await _of_status(request, _lifecycle(request).fail, message)


async def audit_task(request: Request) -> JSONResponse:
    """POST /sandbox/tasks/{task_id}/audit, with {"audit_result": "accepted"}."""
    result = (await _options(request)).get("audit_result")
    return await _of_status(request, _lifecycle(request).audit, result)


async def show_faults(request: Request) -> JSONResponse:
    """GET /sandbox/faults."""
    return JSONResponse(_faults(request).describe())


async def set_faults(request: Request) -> JSONResponse:
    """PUT /sandbox/faults, with the fields of `Faults`."""
    content = await read_value(request)
    try:
        _faults(request).set(Faults.from_json(content))
    except ValueError as error:
        raise HTTPException(400, f"{error}.") from None
    return JSONResponse(_faults(request).describe())


async def clear_faults(request: Request) -> JSONResponse:
    """DELETE /sandbox/faults."""
    _faults(request).clear()
    return JSONResponse(_faults(request).describe())


async def get_file(request: Request) -> Response:
    """GET /sandbox/files/{name}: what a response links to. It needs no key."""
    content = await run_in_threadpool(_lifecycle(request).store.file, request.path_params["name"])
    if content is None:
        raise HTTPException(404, "There is no such file.")
    return Response(content, media_type="application/json")


async def _options(request: Request) -> dict[str, Any]:
    options = await read_value(request, if_empty={})
    if not isinstance(options, dict):
        raise HTTPException(400, "The body is not a JSON object.")
    return options


async def _of_status(request: Request, work: Any, value: Any) -> JSONResponse:
    task_id = request.path_params["task_id"]
    try:
        return await answer_with(request, work, task_id, value)
    except WrongStatusError as error:
        raise HTTPException(400, f"The task {task_id} is {error.status}, which doesn't allow that.") from None


def _lifecycle(request: Request) -> Lifecycle:
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle


def _faults(request: Request) -> FaultSource:
    faults: FaultSource = request.app.state.faults
    return faults
