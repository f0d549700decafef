"""A proxy on loopback between lidarprep and an S3 server, which fails requests as networks, disks and S3 itself do.

What happens to each request is drawn from a seed, or told by a test. A request with a checksum whose body was corrupted
on its way is refused as S3 refuses it (moto, behind the proxy, does not look); one without is passed on, corrupted:
only a client that sends checksums ends with sound objects.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import socket
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import urlsplit


class Fault(Enum):
    """What the proxy does to a request."""

    ERROR_500 = "answers 500 InternalError; the server never sees the request"
    ERROR_500_AFTER = "answers 500 InternalError, though the server has done what it was asked"
    SLOW_DOWN = "answers 503 SlowDown"
    RESET_BEFORE = "resets the connection once the head is read"
    RESET_WITHIN = "resets the connection within the request's body"
    RESET_AFTER = "resets the connection where the answer should come; the server has done what it was asked"
    CUT_REQUEST = "loses half of the body, and answers 400 RequestTimeout as S3 does"
    CUT_RESPONSE = "closes the connection within the answer"
    CORRUPT_REQUEST = "flips bits of one byte of the request's body"
    CORRUPT_RESPONSE = "flips bits of one byte of an object that is fetched"
    TRICKLE = "sends the answer in small pieces with pauses"
    FORBIDDEN = "answers 403 AccessDenied"
    EXPIRED = "answers 400 ExpiredToken"
    CLOCK = "answers 403 RequestTimeTooSkewed"


# Those that a network or S3 may do to any request, from one moment to the next.
TRANSIENT = tuple(fault for fault in Fault if fault not in (Fault.FORBIDDEN, Fault.EXPIRED, Fault.CLOCK))

_ANSWERS = {
    Fault.ERROR_500: (500, "InternalError", "We encountered an internal error. Please try again."),
    Fault.ERROR_500_AFTER: (500, "InternalError", "We encountered an internal error. Please try again."),
    Fault.SLOW_DOWN: (503, "SlowDown", "Please reduce your request rate."),
    Fault.CUT_REQUEST: (400, "RequestTimeout", "Your socket connection to the server was not read from in time."),
    Fault.FORBIDDEN: (403, "AccessDenied", "Access Denied"),
    Fault.EXPIRED: (400, "ExpiredToken", "The provided token has expired."),
    Fault.CLOCK: (
        403,
        "RequestTimeTooSkewed",
        "The difference between the request time and the server's is too large.",
    ),
}
_PIECES, _PAUSE = 8, 0.05


@dataclass(frozen=True)
class Request:
    """One request: its number from 0, in the order of arrival, and what it asks."""

    number: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def key(self) -> str:
        """Path of the object, with the bucket before it."""
        return urlsplit(self.target).path.lstrip("/")

    @property
    def changes(self) -> bool:
        return self.method in ("PUT", "POST", "DELETE")


Plan = Callable[[Request], Fault | None]


def healthy(request: Request) -> Fault | None:
    """Passes everything on."""
    return None


def always(fault: Fault) -> Plan:
    """The same for every request."""
    return lambda request: fault


def seeded(seed: int, rate: float, faults: Sequence[Fault] = TRANSIENT) -> Plan:
    """A fault for that share of the requests, each kind as likely as another; drawn by the request's number."""

    def plan(request: Request) -> Fault | None:
        draw = random.Random(f"{seed} {request.number}")
        return draw.choice(faults) if draw.random() < rate else None

    return plan


def from_request(number: int, plan: Plan) -> Plan:
    """Passes on the first requests, then follows a plan."""
    return lambda request: plan(request) if request.number >= number else None


@dataclass
class Proxy:
    """What a test sees of a running proxy.

    Args:
        url: Where lidarprep is to send its requests.
        plan: What happens to a request; a test may change it while the proxy runs.
        before: Called with each request before the server sees it, from a thread that may wait.
        after: Called with each request once the server has answered, before the client hears of it.
    """

    url: str
    plan: Plan
    before: Callable[[Request], None] | None = None
    after: Callable[[Request], None] | None = None
    requests: list[Request] = field(default_factory=list)
    done: Counter[Fault] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def reset(self, plan: Plan = healthy) -> None:
        """Counts anew, under a plan."""
        self.plan, self.before, self.after = plan, None, None
        self.requests.clear()
        self.done.clear()
        self.refused.clear()


@contextmanager
def running_proxy(server: str, plan: Plan = healthy) -> Iterator[Proxy]:
    """A proxy before the server at the URL, in a thread of its own, for as long as the `with` statement lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxy")
    thread.start()
    proxy = Proxy("", plan)
    upstream = urlsplit(server)
    assert upstream.hostname is not None
    assert upstream.port is not None
    handler = _Handler(proxy, upstream.hostname, upstream.port)
    listening = asyncio.run_coroutine_threadsafe(asyncio.start_server(handler, "127.0.0.1", 0), loop).result()
    proxy.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(_close(listening), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _close(listening: asyncio.Server) -> None:
    """In the loop's own thread, as all of asyncio wants it: closed from another, a server may close twice at once."""
    listening.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class _Handler:
    """Handles one connection a call: one request, its answer, the end."""

    def __init__(self, proxy: Proxy, host: str, port: int) -> None:
        self.proxy = proxy
        self.host = host
        self.port = port
        self.tasks: set[asyncio.Task[Any]] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)  # the loop itself holds none of a connection that is gone
        try:
            await self._handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has been killed, or the proxy ends
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        request = Request(len(self.proxy.requests), method, target, headers)
        self.proxy.requests.append(request)
        fault = self.proxy.plan(request)
        if fault is Fault.RESET_BEFORE:
            self._reset(fault, writer)
            return
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert "transfer-encoding" not in headers, "chunked requests are not handled"
        length = int(headers.get("content-length", "0"))
        if fault is Fault.RESET_WITHIN and length > 1:
            await reader.readexactly(length // 2)
            self._reset(fault, writer)
            return
        body = await reader.readexactly(length)
        request = Request(request.number, method, target, headers, body)
        before_work = (Fault.ERROR_500, Fault.SLOW_DOWN, Fault.FORBIDDEN, Fault.EXPIRED, Fault.CLOCK)
        if fault in before_work or (fault is Fault.CUT_REQUEST and length):
            await self._answer(fault, request, writer)
            return
        if fault is Fault.CORRUPT_REQUEST and length:
            self.proxy.done[fault] += 1
            body = _corrupted(body, request.number)
            if wrong := wrong_checksum(headers, body):
                self.proxy.refused[wrong] += 1
                message = "The checksum you specified did not match the calculated checksum."
                await _send(writer, _error(400, "BadDigest", message, method))
                return
        await self._call(self.proxy.before, request)
        answer = await self._ask_server(lines, body)
        await self._call(self.proxy.after, request)
        await self._pass_on(answer, fault, request, writer)

    async def _pass_on(
        self, answer: bytes, fault: Fault | None, request: Request, writer: asyncio.StreamWriter
    ) -> None:
        head, _, body = answer.partition(b"\r\n\r\n")
        if fault is Fault.RESET_AFTER:
            self._reset(fault, writer)
        elif fault is Fault.ERROR_500_AFTER:
            await self._answer(fault, request, writer)
        elif fault is Fault.CUT_RESPONSE:
            self.proxy.done[fault] += 1
            await _send(writer, answer[: len(head) + 4 + len(body) // 2] if body else answer[: len(head) // 2])
        elif (
            fault is Fault.CORRUPT_RESPONSE and body and b"x-amz-checksum-" in head.lower() and request.method == "GET"
        ):
            self.proxy.done[fault] += 1
            await _send(writer, head + b"\r\n\r\n" + _corrupted(body, request.number))
        elif fault is Fault.TRICKLE:
            self.proxy.done[fault] += 1
            size = -(-len(answer) // _PIECES)
            for start in range(0, len(answer), size):
                await _send(writer, answer[start : start + size])
                await asyncio.sleep(_PAUSE)
        else:
            await _send(writer, answer)

    async def _ask_server(self, lines: list[str], body: bytes) -> bytes:
        kept = [line for line in lines[1:] if line and line.split(":")[0].lower() not in ("expect", "connection")]
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write("\r\n".join([lines[0], *kept, "Connection: close", "", ""]).encode("latin-1") + body)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()

    async def _answer(self, fault: Fault, request: Request, writer: asyncio.StreamWriter) -> None:
        self.proxy.done[fault] += 1
        await _send(writer, _error(*_ANSWERS[fault], request.method))

    def _reset(self, fault: Fault, writer: asyncio.StreamWriter) -> None:
        self.proxy.done[fault] += 1
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    @staticmethod
    async def _call(told: Callable[[Request], None] | None, request: Request) -> None:
        if told is not None:
            await asyncio.get_running_loop().run_in_executor(None, told, request)


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def _error(status: int, code: str, message: str, method: str) -> bytes:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    body = b"" if method == "HEAD" else text.encode()
    head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


def _corrupted(body: bytes, seed: int) -> bytes:
    draw = random.Random(seed)
    place = draw.randrange(len(body))
    return body[:place] + bytes([body[place] ^ draw.randrange(1, 256)]) + body[place + 1 :]


def wrong_checksum(headers: dict[str, str], body: bytes) -> str | None:
    """The header whose checksum the body does not have, as S3 looks at them; None where there is no such header."""
    digests: dict[str, Callable[[], bytes]] = {
        "x-amz-checksum-crc32": lambda: zlib.crc32(body).to_bytes(4, "big"),
        "x-amz-checksum-sha1": lambda: hashlib.sha1(body).digest(),
        "x-amz-checksum-sha256": lambda: hashlib.sha256(body).digest(),
        "content-md5": lambda: hashlib.md5(body).digest(),
    }
    for name, digest in digests.items():
        if name in headers and base64.b64decode(headers[name]) != digest():
            return name
    return None
