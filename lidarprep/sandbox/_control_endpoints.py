"""The sandbox's own endpoints, for what labellers, customers and accidents do."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from lidarprep.sandbox._common import SandboxError
from lidarprep.sandbox._faults import Faults, FaultSource
from lidarprep.sandbox._http import RequestError
from lidarprep.sandbox._request import json_body, lifecycle_of, object_body, store_of, task_id_of
from lidarprep.sandbox._store import Document

DEFAULT_ERROR = "The sandbox was told to let the task end in an error."


def show_status(request: Request) -> Document:
    """GET /sandbox/status: the number of tasks and of jobs, and the faults."""
    store = store_of(request)
    return {"tasks": store.counts(), "jobs": store.jobs.counts(), "faults": _faults(request).describe()}


def complete_task(request: Request) -> Document:
    """POST /sandbox/tasks/{task_id}/complete, with {"response": {…}} or nothing."""
    response = object_body(request).get("response")
    if response is not None and not isinstance(response, dict):
        raise RequestError("response must be an object.")
    return lifecycle_of(request).complete(task_id_of(request), response)


def fail_task(request: Request) -> Document:
    """POST /sandbox/tasks/{task_id}/error, with {"error": "…"} or nothing."""
    message = object_body(request).get("error", DEFAULT_ERROR)
    if not isinstance(message, str):
        raise RequestError("error must be a string.")
    return lifecycle_of(request).fail(task_id_of(request), message)


def audit_task(request: Request) -> Document:
    """POST /sandbox/tasks/{task_id}/audit, with {"audit_result": "accepted"}."""
    return lifecycle_of(request).audit(task_id_of(request), object_body(request).get("audit_result"))


def show_faults(request: Request) -> Document:
    """GET /sandbox/faults."""
    return _faults(request).describe()


def set_faults(request: Request) -> Document:
    """PUT /sandbox/faults, with the fields of `Faults`."""
    content = json_body(request)
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
    content = store_of(request).file(request.path_params["name"])
    if content is None:
        raise SandboxError("There is no such file.", 404)
    return Response(content, media_type="application/json")


def _faults(request: Request) -> FaultSource:
    faults: FaultSource = request.app.state.faults
    return faults


CONTROL = "/sandbox/tasks/{task_id}"

ROUTES: tuple[tuple[str, str, Callable[[Request], Document | Response]], ...] = (
    ("GET", "/sandbox/status", show_status),
    ("POST", f"{CONTROL}/complete", complete_task),
    ("POST", f"{CONTROL}/error", fail_task),
    ("POST", f"{CONTROL}/audit", audit_task),
    ("GET", "/sandbox/faults", show_faults),
    ("PUT", "/sandbox/faults", set_faults),
    ("DELETE", "/sandbox/faults", clear_faults),
    ("GET", "/sandbox/files/{name}", get_file),
)
