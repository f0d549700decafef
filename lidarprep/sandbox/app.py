"""The sandbox's HTTP side: the endpoints of the Scale API, answering in the reference's shapes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import logging
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from lidarprep.api import TASK_TYPES, Strictness, read_parameters
from lidarprep.errors import MissingExtraError, ParameterError
from lidarprep.sandbox.answers import task_fields
from lidarprep.sandbox.store import (
    Document,
    IdempotencyKeyTakenError,
    NotPendingError,
    SandboxStore,
    SavedAnswer,
    UniqueIdTakenError,
    UnknownTaskError,
)

try:
    from starlette.applications import Starlette
    from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.authentication import AuthenticationMiddleware
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route
except ModuleNotFoundError:
    raise MissingExtraError("the sandbox", "sandbox") from None

log = logging.getLogger(__name__)

# A task's parameters are a list of URLs and a few objects; the largest real ones are far below this.
MAX_BODY_BYTES = 8 * 1024 * 1024

MOST_TASKS_A_PAGE = 100

# The sandbox runs where its caller does, and takes what the reference's own examples leave out.
STRICTNESS = Strictness(local_files=True, unenforced_rules=False)


def create_app(
    store: SandboxStore, *, api_keys: Collection[str] | None = None, max_body_bytes: int = MAX_BODY_BYTES
) -> Starlette:
    """The sandbox as an ASGI application.

    Args:
        store: Where its tasks are.
        api_keys: The keys that it takes; any key if None. All of them see the same tasks.
        max_body_bytes: Larger request bodies are refused with 413.
    """
    app = Starlette(
        routes=[
            Route("/v1/tasks", list_tasks, methods=["GET"]),
            Route("/v1/task/{task_type}", create_task, methods=["POST"]),
            Route("/v1/task/{task_id}", get_task, methods=["GET"]),
            Route("/v1/task/{task_id}/cancel", cancel_task, methods=["POST"]),
        ],
        middleware=[Middleware(AuthenticationMiddleware, backend=_Keys(api_keys), on_error=_unauthorized)],
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )
    app.state.store = store
    app.state.max_body_bytes = max_body_bytes
    return app


async def create_task(request: Request) -> JSONResponse:
    """POST /v1/task/{task_type}."""
    task_type = TASK_TYPES.get(request.path_params["task_type"])
    if task_type is None:
        raise HTTPException(404, f"There is no task type {request.path_params['task_type']!r}.")
    body = await _json_body(request)
    store: SandboxStore = request.app.state.store
    caller = request.user.username
    is_test = not caller.startswith("live")

    def create() -> SavedAnswer:
        try:
            parameters = read_parameters(task_type.name, body, STRICTNESS)
            if parameters.extra_params:
                # Taken, as a client may send on purpose what is not known here; told, as it may be a slip.
                log.warning(
                    "%s: unknown parameters are taken as they are: %s", task_type.name, list(parameters.extra_params)
                )
            return SavedAnswer(200, store.create(task_fields(parameters, is_test=is_test)))
        except ParameterError as error:
            return _error(400, error.message)
        except UniqueIdTakenError as error:
            return _error(409, str(error))

    def answer() -> SavedAnswer:
        idempotency_key = request.headers.get("idempotency-key")
        if not idempotency_key:
            return create()
        try:
            return store.answer_once(idempotency_key, _digest(caller, task_type.name, body), create)
        except IdempotencyKeyTakenError:
            return _error(409, f'The Idempotency-Key ("{idempotency_key}") was already used with other parameters.')

    status, content = await run_in_threadpool(answer)
    return JSONResponse(content, status)


async def get_task(request: Request) -> JSONResponse:
    """GET /v1/task/{task_id}."""
    task_id = request.path_params["task_id"]
    try:
        return JSONResponse(await run_in_threadpool(request.app.state.store.get, task_id))
    except UnknownTaskError:
        _unknown_task(task_id)


async def cancel_task(request: Request) -> JSONResponse:
    """POST /v1/task/{task_id}/cancel."""
    task_id = request.path_params["task_id"]
    store: SandboxStore = request.app.state.store
    clear_unique_id = _boolean(request, "clear_unique_id")
    try:
        task = await run_in_threadpool(store.cancel, task_id, clear_unique_id=clear_unique_id)
    except UnknownTaskError:
        _unknown_task(task_id)
    except NotPendingError:
        raise HTTPException(400, f"The task {task_id} is not pending, so it can't be canceled.") from None
    return JSONResponse(task)


async def list_tasks(request: Request) -> JSONResponse:
    """GET /v1/tasks."""
    store: SandboxStore = request.app.state.store
    limit = _limit(request.query_params.get("limit"))
    after = _after(request.query_params.get("next_token"))
    page = await run_in_threadpool(store.page, limit=limit, after=after)
    content = {"docs": page.tasks, "total": page.total, "limit": limit, "has_more": page.after is not None}
    if page.after is not None:
        content["next_token"] = base64.urlsafe_b64encode(json.dumps({"after": page.after}).encode()).decode()
    return JSONResponse(content)


class _Keys(AuthenticationBackend):
    """HTTP basic auth: the API key is the user name, the password is not looked at."""

    def __init__(self, api_keys: Collection[str] | None) -> None:
        self._api_keys = None if api_keys is None else [key.encode() for key in api_keys]

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
        scheme, _, encoded = conn.headers.get("authorization", "").partition(" ")
        try:
            key = base64.b64decode(encoded, validate=True).partition(b":")[0]
            name = key.decode()
        except (binascii.Error, UnicodeDecodeError):
            name = ""
        if scheme.lower() != "basic" or not name:
            raise AuthenticationError("No API key was given: it is the user name of HTTP basic auth.")
        if self._api_keys is not None and not any(hmac.compare_digest(key, known) for known in self._api_keys):
            raise AuthenticationError("The API key is not valid.")
        return AuthCredentials(), SimpleUser(name)


async def _json_body(request: Request) -> dict[str, Any]:
    limit = request.app.state.max_body_bytes
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > limit:
            raise HTTPException(413, f"The body has more than {limit} bytes.")
    try:
        body = json.loads(received, parse_constant=_no_json)
    except (ValueError, RecursionError):
        raise HTTPException(400, "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise HTTPException(400, "The body is not a JSON object.")
    return body


def _no_json(constant: str) -> NoReturn:
    raise ValueError(constant)  # NaN and Infinity: Python reads them, JSON has them not


def _digest(caller: str, task_type: str, body: Mapping[str, Any]) -> str:
    """Stands for who asks for what; the key can't be read from it."""
    asked = json.dumps([task_type, body], sort_keys=True)
    return hmac.new(caller.encode(), asked.encode(), hashlib.sha256).hexdigest()


def _limit(text: str | None) -> int:
    if text is None:
        return MOST_TASKS_A_PAGE
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:10]) <= MOST_TASKS_A_PAGE:
        raise HTTPException(400, f"limit is {text!r}; it must be a number between 1 and {MOST_TASKS_A_PAGE}.")
    return int(text)


def _after(token: str | None) -> int | None:
    if token is None:
        return None
    try:
        after = json.loads(base64.urlsafe_b64decode(token))["after"]
    except (ValueError, KeyError, TypeError):
        after = None
    if not isinstance(after, int):
        raise HTTPException(400, "next_token is none of ours.")
    return after


def _boolean(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false").lower()
    if text not in ("true", "false", "1", "0", ""):
        raise HTTPException(400, f"{name} is {text!r}; it must be true or false.")
    return text in ("true", "1")


def _unknown_task(task_id: str) -> NoReturn:
    raise HTTPException(404, f"There is no task {task_id!r}.") from None


def _error(status: int, message: str) -> SavedAnswer:
    body: Document = {"status_code": status, "error": message}
    return SavedAnswer(status, body)


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 — registered for no other
    return JSONResponse(_error(error.status_code, error.detail).body, error.status_code, headers=error.headers)


def _failed(request: Request, error: Exception) -> JSONResponse:
    # Starlette raises the error again once this is sent, and the server logs it.
    return JSONResponse(_error(500, "The sandbox failed; its log says why.").body, 500)


def _unauthorized(connection: HTTPConnection, error: AuthenticationError) -> JSONResponse:
    headers = {"WWW-Authenticate": 'Basic realm="Scale API sandbox"'}
    return JSONResponse(_error(401, str(error)).body, 401, headers=headers)
