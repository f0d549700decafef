"""One run a destination: locks, and what becomes of those that dead runs have left."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.storage import LocalFolder, lock
from lidarprep.storage.lock import LOCK_KEY, locked
from tests.storage.memory import MemoryStore


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(lock, "HOLD_SECONDS", 5.0)
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.02)


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return MemoryStore() if request.param == "memory" else LocalFolder(tmp_path / "new/out")


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def held_by(**fields: Any) -> bytes:
    now = time.time()
    return json.dumps({"id": "other", "host": "elsewhere", "pid": 7, "since": now, "until": now + 5} | fields).encode()


def test_of_two_that_lock_one_place_one_is_refused_by_the_name_of_the_other(store: Any, tmp_path: Path) -> None:
    name = rf"another run is storing at .*: process {os.getpid()} on {socket.gethostname()} since 20"
    with locked(store), pytest.raises(lp.StorageError, match=name), locked(store):
        raise AssertionError("not reached")
    with locked(store):
        pass
    assert not (tmp_path / "new").exists()
    assert getattr(store, "objects", {}) == {}


def test_of_many_threads_one_has_the_lock_at_a_time(store: Any) -> None:
    inside, most, refused = 0, 0, 0
    counting = threading.Lock()

    def work() -> None:
        nonlocal inside, most, refused
        for _ in range(30):
            try:
                with locked(store):
                    with counting:
                        inside += 1
                        most = max(most, inside)
                    time.sleep(0.0005)
                    with counting:
                        inside -= 1
            except lp.StorageError:
                with counting:
                    refused += 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert refused < 180


def test_a_child_that_was_forked_does_not_keep_the_lock(tmp_path: Path) -> None:
    """As the processes of a pool do, which may live on for a while when their parent is killed."""
    script = f"""
import os, time
from lidarprep.storage import LocalFolder
from lidarprep.storage.lock import locked
with locked(LocalFolder({str(tmp_path)!r})):
    child = os.fork()
    if child == 0:
        os.close(1)
        time.sleep(30)
        os._exit(0)
    print(child, flush=True)
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False, text=True)
    try:
        with locked(LocalFolder(tmp_path)):
            pass
    finally:
        os.kill(int(done.stdout), 9)


def test_an_object_of_a_process_that_is_no_more_is_taken_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 3600.0)
    store = MemoryStore()
    store.objects[LOCK_KEY] = held_by(host=socket.gethostname(), pid=dead_process(), until=time.time() + 1e6)
    with locked(store):  # type: ignore[arg-type]
        assert json.loads(store.objects[LOCK_KEY])["pid"] == os.getpid()
    assert store.objects == {}


# Made when a test runs: a time in its name would be another in each worker.
LEFT = {
    "run out": lambda: held_by(until=time.time() - 1),
    "empty": lambda: b"",
    "nothing said": lambda: b"{}",
    "no object": lambda: b"[1]",
    "no text": lambda: b"\xff",
    "no time": lambda: held_by(since="then"),
    "no process": lambda: held_by(pid=1e400),
}


@pytest.mark.parametrize("name", LEFT)
def test_an_object_that_has_run_out_or_says_nothing_is_taken_over(name: str) -> None:
    store = MemoryStore()
    store.objects[LOCK_KEY] = LEFT[name]()
    with locked(store):  # type: ignore[arg-type]
        pass
    assert store.objects == {}


def test_an_object_that_holds_is_respected() -> None:
    store = MemoryStore()
    store.objects[LOCK_KEY] = held_by()
    with pytest.raises(lp.StorageError, match="process 7 on elsewhere"), locked(store):  # type: ignore[arg-type]
        raise AssertionError("not reached")
    assert LOCK_KEY in store.objects


def test_a_holder_whose_clock_is_slow_is_seen_to_be_alive_by_its_renewals() -> None:
    store = MemoryStore()
    store.objects[LOCK_KEY] = held_by(until=time.time() - 100)
    renewed = threading.Timer(0.02, lambda: store.objects.update({LOCK_KEY: held_by(until=time.time() - 99)}))
    renewed.start()
    with pytest.raises(lp.StorageError, match="another run"), locked(store):  # type: ignore[arg-type]
        raise AssertionError("not reached")
    renewed.join()


def test_an_object_is_renewed_for_as_long_as_it_is_held() -> None:
    store = MemoryStore()
    with locked(store):  # type: ignore[arg-type]
        first = json.loads(store.objects[LOCK_KEY])
        deadline = time.monotonic() + 10
        while json.loads(store.objects[LOCK_KEY])["until"] == first["until"]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert json.loads(store.objects[LOCK_KEY])["id"] == first["id"]


def test_who_has_lost_the_lock_is_told_and_leaves_it_alone() -> None:
    store = MemoryStore()
    with locked(store) as held:  # type: ignore[arg-type]
        held.check()
        store.objects[LOCK_KEY] = held_by()
        time.sleep(0.5)  # ten beats
        with pytest.raises(lp.StorageError, match="process 7 on elsewhere"):
            held.check()
    assert json.loads(store.objects[LOCK_KEY])["host"] == "elsewhere"
