"""Run an ASGI application over HTTP, in a thread or until Ctrl-C; request bodies and error answers of such servers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from lidarprep.errors import TransportError

LOOPBACK = "127.0.0.1"

# Key of the connection's transport in the ASGI scope.
TRANSPORT = "lidarprep.transport"

LONGEST_START_S = 10.0
LONGEST_HEADERS_S = 10.0
IDLE_S = 15
GRACE_S = 2


def serve_until_stopped(
    app: ASGIApp,
    what: str,
    on_start: Callable[[str], None] | None = None,
    *,
    path: str = "",
    host: str = LOOPBACK,
    port: int = 0,
    max_connections: int | None = None,
) -> None:
    """Serve until Ctrl-C, SIGTERM or SIGHUP.

    Args:
        app: ASGI application.
        what: Subject of messages: "the sandbox".
        on_start: Called with the URL, such as "http://127.0.0.1:8080/v1", once requests are accepted.
        path: Path of that URL.
        host: Address to listen at.
        port: Port; 0 for any free one.
        max_connections: Connections beyond this number are answered 503.

    Raises:
        TransportError: The port is taken.
    """
    with _listening(what, host, port) as listener, contextlib.suppress(KeyboardInterrupt):
        if on_start:
            # The socket listens by now: a request that comes before the server runs waits for it.
            on_start(_origin(listener) + path)
        server = _server(app, max_connections)
        with _ending_on_hang_up(server):
            server.run(sockets=[listener])


@contextmanager
def _ending_on_hang_up(server: uvicorn.Server) -> Iterator[None]:
    """End the server on SIGHUP as uvicorn does on SIGTERM: in good order, and then by the handler that was there.

    A handler that raises would leave the event loop in the middle of its work, with a traceback of each part of it.
    """
    before = signal.getsignal(signal.SIGHUP)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    hung_up = False

    def stop(*_: object) -> None:
        nonlocal hung_up
        hung_up = server.should_exit = True

    signal.signal(signal.SIGHUP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
    if hung_up:
        signal.raise_signal(signal.SIGHUP)


@contextmanager
def serving_in_thread(app: ASGIApp, what: str, *, port: int = 0, max_connections: int | None = None) -> Iterator[str]:
    """Serve on loopback in a thread while the `with` statement lasts; yield the origin. Arguments are as above.

    Raises:
        TransportError: The port is taken, or the server does not start.
    """
    server = _server(app, max_connections)
    with _listening(what, LOOPBACK, port) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), name=f"lidarprep: {what}", daemon=True)
        thread.start()
        try:
            deadline = time.monotonic() + LONGEST_START_S
            while not server.started:
                if not thread.is_alive() or time.monotonic() > deadline:
                    raise TransportError(f"{what} did not start; its log says why")
                time.sleep(0.005)
            yield _origin(listener)
        finally:
            server.should_exit = True
            thread.join()


def _server(app: ASGIApp, max_connections: int | None) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http=_Protocol,
        log_config=None,  # logging belongs to the program, not to the server in it
        access_log=False,
        lifespan="on",
        ws="none",
        server_header=False,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=max_connections,
    )
    return uvicorn.Server(config)


def _listening(what: str, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as cause:
        problem = str(cause).partition(" (while")[0]  # what follows repeats the address
        raise TransportError(
            f"{what} can't listen at {host}, port {port}: {problem}", fix="Choose another port; 0 takes any free one."
        ) from None


def _origin(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Protocol(H11Protocol):
    """HTTP/1.1 that limits the time of the headers, and puts the transport in the ASGI scope.

    uvicorn limits the time between requests only: a client that sends a byte now and then would stay for ever. ASGI
    itself can't cut a connection; the sandbox's faults do.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if (connection := transport.get_extra_info("socket")) is not None:
            # asyncio sets this only for sockets that it creates. Without it, each answer waits 40 ms for the client's
            # delayed acknowledgement of its headers.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        app = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[TRANSPORT] = transport
            await app(scope, receive, send)

        self.app = with_transport
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.trailing_data[0]:  # a part of the next request came before this answer
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:  # the headers are complete
            self._unwatch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(LONGEST_HEADERS_S, self._give_up)

    def _give_up(self) -> None:
        self._deadline = None
        between_requests = self.cycle is not None and not self.conn.trailing_data[0]
        if not between_requests:  # uvicorn's own limit is for that
            self.transport.abort()

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


async def read_body(request: Request, limit: int) -> bytes:
    """Return the whole body.

    Raises:
        HTTPException: 413, as soon as more than `limit` bytes have come.
    """
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > limit:
            raise HTTPException(413, f"The body has more than {limit} bytes.")
    return bytes(received)


def error_answer(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error in the Scale API's shape."""
    return JSONResponse({"status_code": status, "error": message}, status, headers=headers)


def answer_http_exception(request: Request, error: Exception) -> JSONResponse:
    """Handle an HTTPException: registered for no other."""
    assert isinstance(error, HTTPException)  # noqa: S101
    return error_answer(error.status_code, error.detail, error.headers)


def answer_failure(request: Request, error: Exception) -> JSONResponse:
    """Handle an exception of the server itself: Starlette raises it again afterwards, and uvicorn logs it."""
    return error_answer(500, "The server failed; its log says why.")
