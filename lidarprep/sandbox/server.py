"""Runs the sandbox on this machine."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from lidarprep.errors import MissingExtraError, TransportError
from lidarprep.sandbox.app import create_app
from lidarprep.sandbox.database import IN_MEMORY
from lidarprep.sandbox.faults import Faults, FaultSource
from lidarprep.sandbox.lifecycle import Lifecycle
from lidarprep.sandbox.options import SandboxOptions
from lidarprep.sandbox.records import Document
from lidarprep.sandbox.store import SandboxStore

try:
    import uvicorn
    from starlette.applications import Starlette

    from lidarprep.sandbox.fault_middleware import TransportProtocol
except ModuleNotFoundError:
    raise MissingExtraError("the sandbox", "sandbox") from None

LOOPBACK = "127.0.0.1"

LONGEST_START_S = 10.0


@dataclass(frozen=True)
class Sandbox:
    """A sandbox that is running.

    Args:
        url: Its address, to be given as api_url: "http://127.0.0.1:PORT/v1".
        store: Its tasks.
        lifecycle: Moves them on.
        faults: The faults that it makes; `faults.set(Faults(…))` changes them.
        callback_auth_key: What its callbacks carry in their `scale-callback-auth` header.
    """

    url: str
    store: SandboxStore
    lifecycle: Lifecycle = field(repr=False)
    faults: FaultSource = field(repr=False)
    callback_auth_key: str = field(repr=False)

    def complete(self, task_id: str, response: Mapping[str, Any] | None = None) -> Document:
        """Completes a pending task, with something plausible by default; see `Lifecycle.complete`."""
        return self.lifecycle.complete(task_id, response)

    def fail(self, task_id: str, message: str) -> Document:
        """Ends a pending task in an error; see `Lifecycle.fail`."""
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
    """Runs a sandbox until it is interrupted.

    Args:
        port: Its port; the system chooses one if 0.
        path: SQLite file that keeps its tasks; ":memory:" for none.
        host: Address to listen at; the loopback address unless you mean others to reach it.
        api_keys: The keys that it takes; any key if None.
        options: How it behaves.
        faults: Faults to make.
        on_start: Called with its address once it takes requests.

    Raises:
        StorageError: The file can't be opened.
        TransportError: The port is taken.
    """
    with SandboxStore(path) as store, _listening(host, port) as listener:
        if on_start:
            # The socket listens by now: a request that comes before the server runs waits for it.
            on_start(_url(listener))
        with contextlib.suppress(KeyboardInterrupt):
            _server(create_app(store, api_keys=api_keys, options=options, faults=faults)).run(sockets=[listener])


@contextmanager
def running_sandbox(
    port: int = 0,
    database: str | PathLike[str] = IN_MEMORY,
    *,
    api_keys: Collection[str] | None = None,
    options: SandboxOptions | None = None,
    faults: Faults | None = None,
) -> Iterator[Sandbox]:
    """Runs a sandbox in a thread for as long as the `with` statement lasts.

    Args:
        port: Its port; the system chooses one if 0.
        database: SQLite file that keeps its tasks; ":memory:" for none.
        api_keys: The keys that it takes; any key if None.
        options: How it behaves.
        faults: Faults to make.

    Raises:
        StorageError: The file can't be opened.
        TransportError: The port is taken, or the server does not start.
    """
    with SandboxStore(database) as store, _listening(LOOPBACK, port) as listener:
        options, source = options or SandboxOptions(), FaultSource(faults)
        app = create_app(store, api_keys=api_keys, options=options, faults=source)
        server = _server(app)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="lidarprep-sandbox", daemon=True
        )
        thread.start()
        try:
            _wait_until_started(server, thread)
            yield Sandbox(_url(listener), store, app.state.lifecycle, source, options.callback_auth_key)
        finally:
            server.should_exit = True
            thread.join()


def _server(app: Starlette) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http=TransportProtocol,
        log_config=None,  # logging belongs to the program, not to the server in it
        access_log=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except (OSError, OverflowError) as cause:
        problem = str(cause).partition(" (while")[0]  # what follows says the address once more
        raise TransportError(
            f"the sandbox can't listen at {host}, port {port}: {problem}",
            fix="Choose another port; 0 takes any free one.",
        ) from None


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}/v1"


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + LONGEST_START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise TransportError("the sandbox did not start; its log says why")
        time.sleep(0.005)
