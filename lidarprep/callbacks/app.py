"""The HTTP side of callbacks: an ASGI application that takes POSTs and answers 200 once they are stored."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from lidarprep.callbacks.callback import Callback, NotACallbackError
from lidarprep.callbacks.handling import AUTH_VARIABLE, CallbackHandler
from lidarprep.callbacks.store import CallbackStore
from lidarprep.errors import LidarprepError, MissingExtraError, MissingKeyError

try:
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ModuleNotFoundError:
    raise MissingExtraError("the server of callbacks", "callbacks") from None

log = logging.getLogger(__name__)

AUTH_HEADER = "scale-callback-auth"

# Annotations come as URLs, so a body is mostly the task's own parameters; the largest real ones are far below this.
MAX_BODY_BYTES = 16 * 1024 * 1024
LONGEST_BODY_S = 60.0

# Of a request that is refused before its body is read, the rest is not waited for.
CLOSE = {"Connection": "close"}


class AuthKeys:
    """The values of the auth header that are taken; never shown.

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
        # Digests are of one length, so the time of a comparison tells nothing about the keys, their length included.
        self._digests = [_digest(text.strip().encode("utf-8", "surrogateescape")) for text in texts]

    def take(self, given: bytes) -> bool:
        """Whether it is one of them; takes the same time whichever, or none."""
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
    """An ASGI application that receives callbacks: serve it, or mount it in another.

    A POST to `path` is answered

        200  it is stored, now or by an earlier delivery
        400  the body is no JSON object with a task_id; nothing is stored
        401  the scale-callback-auth header is wrong or missing; the body is not read
        408  the body did not come in time
        413  the body is too large
        500  it could not be stored: Scale sends it again

    and GET /healthz with 200. `on_callback` is called after the answer, in a thread, at least once for each callback;
    see CallbackHandler. Callbacks that an earlier run left unhandled are taken up at the start, or, where the
    application is mounted in one that does not pass its start on, with the first callback.

    Args:
        store: Where they are kept; it stays open.
        auth_key: The Live Callback Auth Key of the Scale dashboard, or several that are taken.
        on_callback: What is called for each; nothing if None.
        path: Where callbacks are posted.
        at_once: How many calls of `on_callback` run at once.
        max_body_bytes: Larger bodies are refused.
        longest_body_s: Seconds that a body may take to come.

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
            return _error(400, str(error))
        except LidarprepError as error:
            log.error("%s; Scale will send it again", error.message)
            return _error(500, "The callback could not be stored.")
        task_id, version = kept.callback.task_id, kept.callback.version
        log.info("task %s, result %d: %s", task_id, version, "stored" if kept.is_new else "delivered again")
        # Begun once the answer is sent. Should that not come to pass, the callback has no mark, and is taken up later.
        then = BackgroundTask(handler.handle, task_id, version) if handler is not None and kept.is_new else None
        return JSONResponse({"task_id": task_id, "version": version, "new": kept.is_new}, background=then)

    async def receive(request: Request) -> Response:
        given = request.headers.getlist(AUTH_HEADER)
        if len(given) != 1 or not keys.take(given[0].encode("latin-1")):
            log.warning("a callback is refused: its %s header is %s", AUTH_HEADER, "wrong" if given else "missing")
            return _error(401, f"The {AUTH_HEADER} header is wrong or missing.", CLOSE)
        try:
            async with asyncio.timeout(longest_body_s):
                body = await _body(request, max_body_bytes)
        except TimeoutError:
            return _error(408, "The body did not come in time.", CLOSE)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        if body is None:
            return _error(413, f"The body has more than {max_body_bytes} bytes.", CLOSE)
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
        exception_handlers={HTTPException: _refused, Exception: _failed},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a sender would not follow
    return app


async def _body(request: Request, limit: int) -> bytes | None:
    """The request's body; None as soon as it is known to be larger than `limit` bytes."""
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:18]) > limit:
        return None
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > limit:
            return None
    return bytes(received)


async def _healthy(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"status_code": status, "error": message}, status, headers=headers)


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 — registered for no other
    return _error(error.status_code, error.detail, {**(error.headers or {}), **CLOSE})


def _failed(request: Request, error: Exception) -> JSONResponse:
    # Starlette raises the error again once this is sent, and the server logs it.
    return _error(500, "The server failed; its log says why.")
