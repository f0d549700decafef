"""Runs the server of callbacks."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lidarprep.callbacks.app import AuthKeys, create_app
from lidarprep.callbacks.callback import Callback
from lidarprep.callbacks.store import CallbackStore
from lidarprep.errors import MissingExtraError, TransportError

try:
    import h11
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ModuleNotFoundError:
    raise MissingExtraError("the server of callbacks", "callbacks") from None

LOOPBACK = "127.0.0.1"

LONGEST_START_S = 10.0
LONGEST_HEADERS_S = 10.0
IDLE_S = 15
MOST_CONNECTIONS = 200


@dataclass(frozen=True)
class CallbackServer:
    """A server that is running.

    Args:
        url: Where callbacks are posted: "http://127.0.0.1:PORT/callback".
        store: What came.
    """

    url: str
    store: CallbackStore


def serve(
    store: CallbackStore,
    auth_key: str | Collection[str] | AuthKeys,
    on_callback: Callable[[Callback], object] | None = None,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    path: str = "/callback",
    on_start: Callable[[str], None] | None = None,
    **settings: Any,
) -> None:
    """Receives callbacks until it is interrupted.

    Args:
        store: Where they are kept.
        auth_key: As in `create_app`.
        on_callback: As in `create_app`.
        host: Address to listen at. Scale comes from outside: put a proxy that speaks TLS before the loopback address,
            as the auth key can be read on an unencrypted way.
        port: Its port; the system chooses one if 0.
        path: Where callbacks are posted.
        on_start: Called with that URL once it takes requests.
        settings: The further settings of `create_app`.

    Raises:
        MissingKeyError: There is no auth key.
        TransportError: The port is taken.
    """
    app = create_app(store, auth_key, on_callback, path=path, **settings)
    del auth_key
    with _listening(host, port) as listener:
        if on_start:
            # The socket listens by now: a request that comes before the server runs waits for it.
            on_start(_url(listener, path))
        with contextlib.suppress(KeyboardInterrupt):
            _server(app).run(sockets=[listener])


@contextmanager
def running_callbacks(
    store: CallbackStore,
    auth_key: str | Collection[str] | AuthKeys,
    on_callback: Callable[[Callback], object] | None = None,
    *,
    port: int = 0,
    path: str = "/callback",
    **settings: Any,
) -> Iterator[CallbackServer]:
    """Receives callbacks on loopback, in a thread, for as long as the `with` statement lasts; see `serve`.

    Raises:
        MissingKeyError: There is no auth key.
        TransportError: The port is taken, or the server does not start.
    """
    server = _server(create_app(store, auth_key, on_callback, path=path, **settings))
    del auth_key
    with _listening(LOOPBACK, port) as listener:
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="lidarprep-callbacks", daemon=True
        )
        thread.start()
        try:
            deadline = time.monotonic() + LONGEST_START_S
            while not server.started:
                if not thread.is_alive() or time.monotonic() > deadline:
                    raise TransportError("the server of callbacks did not start; its log says why")
                time.sleep(0.005)
            yield CallbackServer(_url(listener, path), store)
        finally:
            server.should_exit = True
            thread.join()


class _ImpatientProtocol(H11Protocol):
    """HTTP that gives up on a connection whose request line and headers don't come in time.

    uvicorn limits the time between requests; a sender of a byte now and then would stay for ever.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.trailing_data[0]:  # a part of the next request came before this was answered
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:  # the headers are here
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(LONGEST_HEADERS_S, self._give_up)

    def _give_up(self) -> None:
        self._deadline = None
        between_requests = self.cycle is not None and not self.conn.trailing_data[0]
        if not between_requests:  # uvicorn's own limit is for that
            self.transport.abort()

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _server(app: Any) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http=_ImpatientProtocol,
        log_config=None,  # logging belongs to the program, not to the server in it
        access_log=False,
        ws="none",
        lifespan="on",
        server_header=False,
        timeout_keep_alive=IDLE_S,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(config)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as cause:
        problem = str(cause).partition(" (while")[0]  # what follows says the address once more
        raise TransportError(
            f"the server of callbacks can't listen at {host}, port {port}: {problem}",
            fix="Choose another port; 0 takes any free one.",
        ) from None


def _url(listener: socket.socket, path: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"
