"""A store that is stopped waits for no answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import lidarprep as lp
from lidarprep.storage import Store, open_store

PATIENCE_S = 20


@pytest.fixture
def silent() -> Iterator[tuple[str, threading.Event]]:
    """The URL of a server that takes every request and answers none; and whether one has come."""
    reached, over = threading.Event(), threading.Event()
    held: list[socket.socket] = []

    def serve(listening: socket.socket) -> None:
        while not over.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            held.append(connection)
            connection.recv(1 << 16)
            reached.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", reached
        over.set()
        listening.shutdown(socket.SHUT_RDWR)
    for connection in held:
        connection.close()


def silent_store(url: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    return open_store("s3://bucket/run", endpoint_url=url, region="us-east-1", path_style=True)


def test_a_request_that_is_under_way_when_it_is_stopped_ends(
    silent: tuple[str, threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, reached = silent
    store = silent_store(url, monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(store.put, "frame-1.json", b"{}", "application/json")
        assert reached.wait(PATIENCE_S)
        time.sleep(0.1)  # until it waits for the answer
        store.stop()
        with pytest.raises(lp.StorageError):
            put.result(timeout=PATIENCE_S)  # less than boto waits for a byte
