"""The receiver of callbacks: an ASGI application that answers 200 once a callback is stored, and servers of it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lidarprep._serving import (
    LOOPBACK,
    answer_failure,
    answer_http_exception,
    error_answer,
    read_body,
    serve_until_stopped,
    serving_in_thread,
)
from lidarprep.callbacks._handling import AUTH_VARIABLE, CallbackHandler
from lidarprep.callbacks._store import Callback, CallbackStore, NotACallbackError
from lidarprep.errors import LidarprepError, MissingKeyError

log = logging.getLogger(__name__)

AUTH_HEADER = "scale-callback-auth"
SERVER = "the server of callbacks"

# Annotations come as URLs, so a body is mostly the task's own parameters; the largest real ones are far below this.
MAX_BODY_BYTES = 16 * 1024 * 1024
LONGEST_BODY_S = 60.0
MOST_CONNECTIONS = 200


class AuthKeys:
    """The accepted values of the auth header, kept as digests.

    Args:
        keys: One, or several: while a key is changed, or for test and live tasks at one address.

    Raises:
        MissingKeyError: There is none, or an empty one.
    """

    def __init__(self, keys: str | Collection[str]) -> None:
        texts = [keys] if isinstance(keys, str) else list(keys)
        if not texts or not all(text.strip() for text in texts):
            raise MissingKeyError(
                "no callback auth key is set",
                fix=f"Set {AUTH_VARIABLE} to the Live Callback Auth Key of your Scale dashboard.",
            )
        # Digests have one length, so the time of a comparison tells nothing about the keys, their length included.
        self._digests = [_digest(text.strip().encode("utf-8", "surrogateescape")) for text in texts]

    def accepts(self, given: bytes) -> bool:
        """Whether it is one of the keys; takes the same time for every answer."""
        found = False
        for digest in self._digests:
            found |= hmac.compare_digest(digest, _digest(given))
        return found


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def create_app(
    store: CallbackStore,
    auth_key: str | Collection[str] | AuthKeys,
    on_callback: Callable[[Callback], object] | None = None,
    *,
    path: str = "/callback",
    at_once: int = 4,
    max_body_bytes: int = MAX_BODY_BYTES,
    longest_body_s: float = LONGEST_BODY_S,
) -> Starlette:
    """Return an ASGI application that receives callbacks: serve it, or mount it in another.

    A POST to `path` is answered

        200  it is stored, now or by an earlier delivery
        400  the body is not a JSON object with a task_id; nothing is stored
        401  the scale-callback-auth header is wrong or missing; the body is not read
        408  the body did not arrive in time
        413  the body is too large
        500  it could not be stored: Scale sends it again

    and GET /healthz with 200. `on_callback` is called after the answer, in a thread, at least once for each callback;
    see CallbackHandler. Callbacks that an earlier run left unhandled are handled at the start. Where the application is
    mounted in one that does not pass on its lifespan, they are handled with the first callback.

    Args:
        store: Where callbacks are kept; it stays open.
        auth_key: The Live Callback Auth Key of the Scale dashboard, or several that are accepted.
        on_callback: Function that is called for each callback; None for none.
        path: Path that callbacks are posted to.
        at_once: Number of calls of `on_callback` that run at once.
        max_body_bytes: Larger bodies are refused.
        longest_body_s: Seconds that a body may take to arrive.

    Raises:
        MissingKeyError: There is no auth key.
    """
    keys = auth_key if isinstance(auth_key, AuthKeys) else AuthKeys(auth_key)
    del auth_key  # so that no traceback from here on shows it among the local variables
    handler = None if on_callback is None else CallbackHandler(store, on_callback, at_once=at_once)

    def keep(body: bytes) -> JSONResponse:
        try:
            if handler is not None:
                handler.catch_up()
            kept = store.add(Callback.from_body(body, datetime.now(UTC)))
        except NotACallbackError as error:
            log.warning("a callback is refused: %s", error)
            return error_answer(400, str(error))
        except LidarprepError as error:
            log.error("%s; Scale will send the callback again", error.message)
            return error_answer(500, "The callback could not be stored.")
        task_id, version = kept.callback.task_id, kept.callback.version
        log.info("task %s, result %d: %s", task_id, version, "stored" if kept.is_new else "delivered again")
        # Begun once the answer is sent. If that never happens, the callback has no mark, and is handled later.
        then = BackgroundTask(handler.handle, task_id, version) if handler is not None and kept.is_new else None
        return JSONResponse({"task_id": task_id, "version": version, "new": kept.is_new}, background=then)

    async def receive(request: Request) -> Response:
        given = request.headers.getlist(AUTH_HEADER)
        if len(given) != 1 or not keys.accepts(given[0].encode("latin-1")):
            log.warning("a callback is refused: its %s header is %s", AUTH_HEADER, "wrong" if given else "missing")
            raise HTTPException(401, f"The {AUTH_HEADER} header is wrong or missing.")
        announced = request.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced[:18]) > max_body_bytes:
            raise HTTPException(413, f"The body has more than {max_body_bytes} bytes.")
        try:
            async with asyncio.timeout(longest_body_s):
                body = await read_body(request, max_body_bytes)
        except TimeoutError:
            raise HTTPException(408, "The body did not come in time.") from None
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        return await run_in_threadpool(keep, body)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if handler is not None:
            await run_in_threadpool(handler.catch_up)
        yield
        if handler is not None:
            await run_in_threadpool(handler.close)

    app = Starlette(
        routes=[Route(path, receive, methods=["POST"]), Route("/healthz", _healthy, methods=["GET"])],
        exception_handlers={HTTPException: _refuse, Exception: answer_failure},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a sender would not follow
    return app


async def _healthy(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


def _refuse(request: Request, error: Exception) -> JSONResponse:
    """Answer, and close the connection: the rest of a refused request is not waited for."""
    answer = answer_http_exception(request, error)
    answer.headers["Connection"] = "close"
    return answer


@dataclass(frozen=True)
class CallbackServer:
    """A running server.

    Args:
        url: URL that callbacks are posted to: "http://127.0.0.1:PORT/callback".
        store: The store that it writes.
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
    """Receive callbacks until Ctrl-C; the arguments that are not listed here are those of `create_app`.

    Args:
        host: Address to listen at. Scale comes from outside: put a proxy that speaks TLS before the loopback address,
            since the auth key is readable on an unencrypted connection.
        port: Port; 0 for any free one.
        on_start: Called with the URL once callbacks are accepted.

    Raises:
        MissingKeyError: There is no auth key.
        TransportError: The port is taken.
    """
    app = create_app(store, auth_key, on_callback, path=path, **settings)
    del auth_key
    serve_until_stopped(app, SERVER, on_start, path=path, host=host, port=port, max_connections=MOST_CONNECTIONS)


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
    """Receive callbacks on loopback, in a thread, while the `with` statement lasts; see `serve`.

    Raises:
        MissingKeyError: There is no auth key.
        TransportError: The port is taken, or the server does not start.
    """
    app = create_app(store, auth_key, on_callback, path=path, **settings)
    del auth_key
    with serving_in_thread(app, SERVER, port=port, max_connections=MOST_CONNECTIONS) as origin:
        yield CallbackServer(origin + path, store)
