"""Requests that are stopped: by a signal, by the end of a run that failed, and by the time that was given."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.errors import SourceChangedError, StorageError
from lidarprep.remote import ReadAhead, RemotePath, reading_threads, retries, store
from lidarprep.remote.options import AccessOptions
from lidarprep.sample import write_sample
from tests.remote.objects import answered, asked, fill, gets, hurry, path, proxy


class Silent:
    """A server that takes connections, and never answers."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.taken: list[socket.socket] = []
        self.on_first = lambda: None
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            connection.recv(1)  # of the request
            self.taken.append(connection)
            if len(self.taken) == 1:
                self.on_first()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)  # ends `accept`, too
        self._listening.close()
        for connection in self.taken:
            connection.close()


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Silent]:
    hurry(monkeypatch, read_timeout="0.5s")
    server = Silent()
    yield server
    server.close()


@pytest.fixture
def waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for minutes between two attempts: a test that waits for the second never ends."""
    hurry(monkeypatch)
    monkeypatch.setitem(store.RETRIES, "max_retries", 0)
    monkeypatch.setattr(retries, "wait_random_exponential", lambda **_: lambda state: 300.0)


def test_ctrl_c_ends_the_wait_for_a_server_that_does_not_answer(
    silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals are for the main thread, and the tests are not run in it")
    monkeypatch.setitem(store._TIMES, "read_timeout", "30s")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    silent.on_first = lambda: os.kill(os.getpid(), signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            RemotePath(f"{silent.url}/a.bin").read_bytes()
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(silent.taken) == 1


def test_a_silent_server_is_told_of_and_given_up_in_the_time_that_was_given(
    silent: Silent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(store.RETRIES, "retry_timeout", timedelta(seconds=0.2))
    monkeypatch.setattr(retries, "_SAY_SILENCE_AFTER_S", 0.1)
    slow = RemotePath(f"{silent.url}/a.bin", AccessOptions(give_up_after=1.2 / 60))
    with (
        caplog.at_level(logging.WARNING, "lidarprep"),
        pytest.raises(StorageError, match=r"answer in time \(tried for"),
    ):
        slow.read_bytes()
    assert len(silent.taken) <= 3  # of half a second each, of which the last begins within the time
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        f"{silent.url}/ gives no answer yet"
    ]


def test_a_later_outage_is_told_of_too(
    bucket: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hurry(monkeypatch)
    fill(bucket, {"a.bin": b"a"})
    one = path("a.bin")
    assert one.stat().st_size == 1
    budget: Any = one._listing._store._budget
    monkeypatch.setattr(retries, "_SAY_AFTER_S", 0.0)
    for _ in range(2):
        with asked(answered("SlowDown", 503, times=9)), caplog.at_level(logging.WARNING, "lidarprep"):
            assert one.read_bytes() == b"a"
        budget._said_until -= 3600  # an hour later
    assert len([record for record in caplog.records if record.name.startswith("lidarprep")]) == 2


def test_what_is_fetched_ahead_is_not_tried_again_once_nobody_waits(bucket: Any, waits_long: None) -> None:
    fill(bucket, {"rec/1.bin": b"1", "rec/2.bin": b"2"})
    recording = path("rec")
    assert recording.is_dir()
    begun = threading.Event()
    with asked(answered("SlowDown", 503, when=lambda request: not begun.set())):
        ahead = ReadAhead({"": [recording / "1.bin", recording / "2.bin"]})
        assert begun.wait(60)
        ahead.close()
        assert ahead._pool is not None
        ahead._pool.shutdown(wait=True)


def test_a_failure_ends_the_attempts_of_all_threads_and_of_theirs(bucket: Any, waits_long: None) -> None:
    fill(bucket, {"rec/1.bin": b"1"})
    begun = threading.Event()

    def read() -> None:
        with reading_threads(1) as inner:
            inner.submit(path("rec/1.bin").read_bytes).result()

    def fail() -> None:
        with reading_threads(1) as pool:
            pool.submit(read)
            assert begun.wait(60)
            raise ValueError("another has failed")

    refused = answered("SlowDown", 503, when=lambda request: not begun.set())
    with asked(refused), pytest.raises(ValueError, match="another"):
        fail()


def test_a_run_that_failed_ends_while_the_store_fails(
    bucket: Any, waits_long: None, without_checks: None, tmp_path: Path
) -> None:
    write_sample(tmp_path / "drive", frames=4, columns=200, image_width=64)
    files = [file for file in (tmp_path / "drive").rglob("*") if file.is_file()]
    fill(bucket, {file.relative_to(tmp_path).as_posix(): file.read_bytes() for file in files})
    # By images: the points of some frames are read before those of a run.
    images = {file.stem: file.relative_to(tmp_path).as_posix() for file in files if file.suffix == ".jpg"}
    gone, *_, failing = [images[stem] for stem in sorted(images)]
    scene = lp.open_scene("s3://scenes/drive", access=AccessOptions(endpoint_url=proxy().url))
    bucket.Object(gone).delete()
    with asked(answered("SlowDown", 503, when=gets(failing))), pytest.raises(SourceChangedError):
        lp.prepare(scene, lp.Recipe(format="protobuf"), tmp_path / "out")
