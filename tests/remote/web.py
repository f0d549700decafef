"""A web server of a folder, by Python's own: with index pages, and with or without ranges."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Handler(SimpleHTTPRequestHandler):
    """Gives files whole, as http.server does, or by ranges."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: object, ranges: bool, asked: list[str], **keywords: object) -> None:
        self.ranges, self.asked = ranges, asked
        super().__init__(*arguments, **keywords)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        wanted, path = self.headers.get("Range"), Path(self.translate_path(self.path))
        if not (self.ranges and wanted and path.is_file()):
            super().do_GET()
            return
        begin, _, end = wanted.removeprefix("bytes=").partition("-")
        data = path.read_bytes()
        start = int(begin) if begin else len(data) - int(end)
        stop = min(int(end) + 1, len(data)) if begin and end else len(data)
        if start >= len(data):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
        self.end_headers()
        self.wfile.write(data[start:stop])

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def web_server(folder: Path, *, ranges: bool, asked: list[str] | None = None) -> Iterator[str]:
    """Serve a folder, and yield the server's address; paths that are asked for are added to `asked`."""
    handler = partial(_Handler, directory=str(folder), ranges=ranges, asked=[] if asked is None else asked)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
