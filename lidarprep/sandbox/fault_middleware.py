"""Carries faults out: between the server's connections and the sandbox's endpoints."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from lidarprep.sandbox.faults import HEADER, Fault, FaultSource

TRANSPORT = "lidarprep.transport"

LONGEST_FAREWELL_S = 5.0


class TransportProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with the connection's transport within the application's reach: ASGI itself can't cut one."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes a connection."""
        super().connection_made(transport)
        if (connection := transport.get_extra_info("socket")) is not None:
            # asyncio does so itself, but not for connections to a socket that it didn't make. Without it, each answer
            # waits for the client's delayed acknowledgement of its headers: 40 ms.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        app = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[TRANSPORT] = transport
            await app(scope, receive, send)

        self.app = with_transport


class FaultMiddleware:
    """Makes requests of the API, whose paths begin with /v1, meet the faults of a source.

    Args:
        app: What is behind.
        source: Says which fault is next.
    """

    def __init__(self, app: ASGIApp, source: FaultSource) -> None:
        self._app = app
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        try:
            fault = self._source.next(Headers(scope=scope).get(HEADER))
        except ValueError as error:
            await _answer(send, 400, f"{HEADER}: {error}")
            return
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await self._with_fault(fault, scope, receive, send)

    async def _with_fault(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        match fault.kind:
            case "latency":
                await asyncio.sleep(fault.latency_s)
                await self._app(scope, receive, send)
            case "rate-limit":
                wait = str(fault.retry_after_s)
                await _answer(send, 429, "Too many requests (a fault on request).", (b"retry-after", wait.encode()))
            case "error-before":
                await _answer(send, 500, "Internal server error (a fault on request).")
            case "cut-before":
                await _cut(scope, receive)
            case "error-after":
                await self._carry_out(scope, receive)
                await _answer(send, 502, "Bad gateway (a fault on request).")
            case "cut-after":
                await self._carry_out(scope, receive)
                await _cut(scope, receive)
            case "truncate":
                start, body = await self._carry_out(scope, receive)
                await send(start)  # with the length of the whole body
                await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
                _transport(scope).close()
                await _until_gone(receive)

    async def _carry_out(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        """Does the work, and keeps the answer to itself."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        return messages[0], b"".join(message.get("body", b"") for message in messages[1:])


async def _cut(scope: Scope, receive: Receive) -> None:
    """Resets the connection: the client gets no answer, and no orderly end either."""
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
    """Waits until the server has noticed, so that it doesn't miss the answer."""
    async with asyncio.timeout(LONGEST_FAREWELL_S):
        while (await receive())["type"] != "http.disconnect":
            pass


async def _answer(send: Send, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
    body = json.dumps({"status_code": status, "error": message}).encode()
    length = (b"content-length", str(len(body)).encode())
    headers = ((b"content-type", b"application/json"), length, *headers)
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})
