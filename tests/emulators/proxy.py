"""A proxy before an object store: it records requests, and lets some fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

# Headers that are of one connection.
_OF_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "content-length")


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    method: str
    url: str
    headers: dict[str, str]

    @property
    def path(self) -> str:
        """Its path, without what is escaped in it."""
        return unquote(urlsplit(self.url).path)


@dataclass
class Fault:
    """What is done in place of some requests.

    Args:
        status: The answer's status; 0 to cut the connection.
        body: The answer's body.
        times: How many requests fail; None for all.
        when: Tells whether a request is to fail.
        after: Whether the store heeds the request first.
        cut_after: Bytes of the store's own answer that are sent; then the connection is cut. None for another fault.
        stall_s: How long nothing is sent before it is cut.
    """

    status: int = 0
    body: bytes = b""
    times: int | None = None
    when: Callable[[Request], bool] = lambda request: True
    after: bool = False
    cut_after: int | None = None
    stall_s: float = 0.0
    failed: int = field(default=0, init=False)


class Proxy(ThreadingHTTPServer):
    """A proxy; it runs in a thread until the process ends.

    Args:
        to: Address of the store: http://host:port.
    """

    daemon_threads = True

    def __init__(self, to: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.to = urlsplit(to).netloc
        self.sent: list[Request] = []
        self.fault: Fault | None = None
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Its own address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @contextmanager
    def recording(self, fault: Fault | None = None) -> Iterator[list[Request]]:
        """Record requests, and let some fail meanwhile."""
        self.sent, self.fault = [], fault
        try:
            yield self.sent
        finally:
            self.fault = None

    def fails(self, request: Request) -> Fault | None:
        """Record a request, and return what is to be done in place of it."""
        with self.lock:
            self.sent.append(request)
            fault = self.fault
            if fault is None or not fault.when(request) or fault.failed == fault.times:
                return None
            fault.failed += 1
            return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Proxy

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def handle_expect_100(self) -> bool:
        """Say at once that the body may come."""
        goes_on = super().handle_expect_100()
        self.wfile.flush()
        return goes_on

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fails(Request(self.command, self.path, dict(self.headers.items())))
        if fault is not None and not fault.after and fault.cut_after is None:
            return self._fail(fault)
        store = HTTPConnection(self.server.to, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_CONNECTION}
        store.request(self.command, self.path, body=body, headers=headers | {"Content-Length": str(len(body))})
        answer = store.getresponse()
        content = answer.read()
        store.close()
        if fault is not None and fault.cut_after is None:
            return self._fail(fault)
        size = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _OF_CONNECTION:
                self.send_header(name, value)
        self.send_header("Content-Length", size or "0")
        self.end_headers()
        self.wfile.write(content if fault is None else content[: fault.cut_after])
        self.wfile.flush()
        if fault is not None:
            time.sleep(fault.stall_s)
            self.close_connection = True
        return None

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def _fail(self, fault: Fault) -> None:
        if fault.status:
            self.send_response(fault.status)
            self.send_header("Content-Length", str(len(fault.body)))
            self.end_headers()
            self.wfile.write(fault.body)
            self.wfile.flush()
        self.close_connection = fault.status == 0
