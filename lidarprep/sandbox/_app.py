"""The sandbox as an ASGI application, and servers of it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from os import PathLike

from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lidarprep._serving import (
    LOOPBACK,
    TRANSPORT,
    answer_failure,
    answer_http_exception,
    error_answer,
    read_body,
    serve_until_stopped,
    serving_in_thread,
)
from lidarprep._sqlite import IN_MEMORY
from lidarprep.api import is_loopback
from lidarprep.errors import ParameterError
from lidarprep.sandbox import _control_endpoints, _endpoints, _project_endpoints
from lidarprep.sandbox._background import Background
from lidarprep.sandbox._common import SandboxError
from lidarprep.sandbox._endpoints import refusal
from lidarprep.sandbox._faults import HEADER, Faults, FaultSource
from lidarprep.sandbox._lifecycle import Lifecycle, SandboxOptions
from lidarprep.sandbox._store import Document, SandboxStore
from lidarprep.sandbox._uploads import MAX_FILE_BYTES

SERVER = "the sandbox"

ROUTES = (*_endpoints.ROUTES, *_project_endpoints.ROUTES, *_control_endpoints.ROUTES)

# A task's parameters are a list of URLs and a few objects; the largest real ones are far below this.
MAX_BODY_BYTES = 8 * 1024 * 1024
# The largest file, and what a multipart body has around it.
MAX_UPLOAD_BYTES = MAX_FILE_BYTES + 1024 * 1024
UPLOAD = "/v1/files/upload"

LONGEST_FAREWELL_S = 5.0

# Files that responses link to need no key, as signed URLs: their names can't be guessed.
FILES = "/sandbox/files/"


class _Keys(AuthenticationBackend):
    """HTTP basic auth: the API key is the user name, the password is ignored. None accepts any key."""

    def __init__(self, api_keys: Collection[str] | None) -> None:
        self._api_keys = None if api_keys is None else [key.encode() for key in api_keys]

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        # The path as requested, and not that of conn.url, which contains the Host header.
        if conn.scope["path"].startswith(FILES):
            return None
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


class _LoopbackMiddleware:
    """Refuse requests whose Host header is not a loopback address.

    A web page whose own name leads to this machine (DNS rebinding) could drive the sandbox otherwise.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            hosts = Headers(scope=scope).getlist("host")
            if len(hosts) > 1 or not all(is_loopback(f"http://{host}/") for host in hosts):
                answer = error_answer(403, "The sandbox is asked by a loopback address only: http://127.0.0.1:PORT.")
                return await answer(scope, receive, send)
        await self._app(scope, receive, send)


class _FaultMiddleware:
    """Make requests of the API, whose paths begin with /v1/, meet the faults of a source."""

    def __init__(self, app: ASGIApp, source: FaultSource) -> None:
        self._app = app
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = None
        if scope["type"] == "http" and scope["path"].startswith("/v1/"):
            try:
                fault = self._source.next(Headers(scope=scope).get(HEADER))
            except ValueError as error:
                return await error_answer(400, f"{HEADER}: {error}")(scope, receive, send)
        answer: ASGIApp = self._app
        match fault:
            case "latency", faults:
                await asyncio.sleep(faults.latency_s)
            case "rate-limit", faults:
                wait = {"Retry-After": str(faults.retry_after_s)}
                answer = error_answer(429, "Too many requests (a fault on request).", wait)
            case "error-before", _:
                answer = error_answer(500, "Internal server error (a fault on request).")
            case "error-after", _:
                await self._carry_out(scope, receive)
                answer = error_answer(502, "Bad gateway (a fault on request).")
            case "cut-before", _:
                return await _cut(scope, receive)
            case "cut-after", _:
                await self._carry_out(scope, receive)
                return await _cut(scope, receive)
            case "truncate", _:
                start, body = await self._carry_out(scope, receive)
                await send(start)  # with the length of the whole body
                await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
                _transport(scope).close()
                return await _until_gone(receive)
        await answer(scope, receive, send)

    async def _carry_out(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        """Do the work; return the beginning and the body of the answer, which is not sent."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        return messages[0], b"".join(message.get("body", b"") for message in messages[1:])


async def _cut(scope: Scope, receive: Receive) -> None:
    """Reset the connection: the client gets neither an answer nor an orderly end."""
    transport = _transport(scope)
    if (connection := transport.get_extra_info("socket")) is not None:
        # Lingering for 0 seconds makes the system send RST rather than FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _until_gone(receive)


def _transport(scope: Scope) -> asyncio.Transport:
    transport = scope.get("extensions", {}).get(TRANSPORT)
    if transport is None:
        raise ConnectionAbortedError("a fault was to cut the connection; this server doesn't let the sandbox do that")
    return transport  # type: ignore[no-any-return]


async def _until_gone(receive: Receive) -> None:
    """Wait until the server has noticed, so that it doesn't miss the answer."""
    async with asyncio.timeout(LONGEST_FAREWELL_S):
        while (await receive())["type"] != "http.disconnect":
            pass


def create_app(
    store: SandboxStore,
    *,
    api_keys: Collection[str] | None = None,
    options: SandboxOptions | None = None,
    faults: Faults | FaultSource | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    any_host: bool = False,
) -> Starlette:
    """Return the sandbox as an ASGI application.

    Statuses that change by themselves, checks and callbacks run between the lifespan events of its server.

    Args:
        store: The store of its tasks.
        api_keys: The keys that are accepted; any key if None. All of them see the same tasks.
        options: Options of the sandbox.
        faults: Faults to make, or a source of them that the caller keeps.
        max_body_bytes: Larger request bodies are refused with 413.
        any_host: Accept any Host header; else those of loopback addresses only.
    """
    lifecycle = Lifecycle(store, options or SandboxOptions())
    source = faults if isinstance(faults, FaultSource) else FaultSource(faults)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with Background(lifecycle):
            yield

    def served(endpoint: Callable[[Request], Document | Response]) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            limit = max(max_body_bytes, MAX_UPLOAD_BYTES) if request.url.path == UPLOAD else max_body_bytes
            request.state.body = await read_body(request, limit)
            answer = await run_in_threadpool(endpoint, request)
            return answer if isinstance(answer, Response) else JSONResponse(answer)

        return serve

    app = Starlette(
        routes=[Route(path, served(endpoint), methods=[method]) for method, path, endpoint in ROUTES],
        middleware=[
            *([] if any_host else [Middleware(_LoopbackMiddleware)]),
            Middleware(_FaultMiddleware, source=source),
            Middleware(AuthenticationMiddleware, backend=_Keys(api_keys), on_error=_unauthorized),
        ],
        exception_handlers={
            HTTPException: answer_http_exception,
            SandboxError: _refuse,
            ParameterError: _refuse,
            Exception: answer_failure,
        },
        lifespan=lifespan,
    )
    app.state.lifecycle = lifecycle
    app.state.faults = source
    app.state.under_way = {}
    return app


def _refuse(request: Request, error: Exception) -> JSONResponse:
    """Handle these two: registered for no other."""
    assert isinstance(error, ParameterError | SandboxError)  # noqa: S101
    answer = refusal(error)
    return JSONResponse(answer.body, answer.status)


def _unauthorized(connection: HTTPConnection, error: AuthenticationError) -> JSONResponse:
    return error_answer(401, str(error), {"WWW-Authenticate": 'Basic realm="Scale API sandbox"'})


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox.

    Args:
        url: Its address, to be given as api_url: "http://127.0.0.1:PORT/v1".
        store: The store of its tasks.
        lifecycle: Changes the state of its tasks.
        faults: The faults that it makes; `faults.set(Faults(…))` changes them.
        callback_auth_key: Value of the `scale-callback-auth` header of its callbacks.
    """

    url: str
    store: SandboxStore
    lifecycle: Lifecycle = field(repr=False)
    faults: FaultSource = field(repr=False)
    callback_auth_key: str = field(repr=False)

    def complete(self, task_id: str, response: Mapping[str, object] | None = None) -> Document:
        """Complete a pending task, with an invented response by default; see `Lifecycle.complete`."""
        return self.lifecycle.complete(task_id, response)

    def fail(self, task_id: str, message: str) -> Document:
        """End a pending task in an error; see `Lifecycle.fail`."""
        return self.lifecycle.fail(task_id, message)


def serve(
    port: int = 0,
    path: str | PathLike[str] = IN_MEMORY,
    *,
    host: str = LOOPBACK,
    api_keys: Collection[str] | None = None,
    options: SandboxOptions | None = None,
    faults: Faults | None = None,
    on_start: Callable[[str], None] | None = None,
) -> None:
    """Run a sandbox until Ctrl-C.

    Args:
        port: Port; 0 for any free one.
        path: SQLite file that keeps its tasks; ":memory:" for none.
        host: Address to listen at; the loopback address unless others are to reach it.
        api_keys: The keys that are accepted; any key if None.
        options: Options of the sandbox.
        faults: Faults to make.
        on_start: Called with its address once requests are accepted.

    Raises:
        StorageError: The file can't be opened.
        TransportError: The port is taken.
    """

    with SandboxStore(path) as store:
        others = not is_loopback(f"http://[{host}]/" if ":" in host else f"http://{host}/")
        app = create_app(store, api_keys=api_keys, options=options, faults=faults, any_host=others)
        serve_until_stopped(app, SERVER, on_start, path="/v1", host=host, port=port)


@contextmanager
def running_sandbox(
    port: int = 0,
    database: str | PathLike[str] = IN_MEMORY,
    *,
    api_keys: Collection[str] | None = None,
    options: SandboxOptions | None = None,
    faults: Faults | None = None,
) -> Iterator[Sandbox]:
    """Run a sandbox on loopback, in a thread, while the `with` statement lasts; arguments are as in `serve`.

    Raises:
        StorageError: The file can't be opened.
        TransportError: The port is taken, or the server does not start.
    """
    options, source = options or SandboxOptions(), FaultSource(faults)
    with SandboxStore(database) as store:
        app = create_app(store, api_keys=api_keys, options=options, faults=source)
        with serving_in_thread(app, SERVER, port=port) as origin:
            yield Sandbox(f"{origin}/v1", store, app.state.lifecycle, source, options.callback_auth_key)
