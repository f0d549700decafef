"""One run a destination: what holds for every lock, and for that of a folder."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from lidarprep.storage.lock import locked

import lidarprep as lp
from lidarprep.storage import LocalFolder, object_lock
from lidarprep.storage.store import RUN_FOLDER
from tests.storage.memory import MemoryStore


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_lock, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(object_lock, "SETTLE_SECONDS", 0.02)


@pytest.fixture(params=["local", "memory", "memory that heeds no conditions"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return LocalFolder(tmp_path / "new/out") if request.param == "local" else MemoryStore(request.param == "memory")


def test_of_two_that_lock_one_place_one_is_refused_by_the_name_of_the_other(store: Any, tmp_path: Path) -> None:
    name = rf"another run is storing at .*: process {os.getpid()} on {socket.gethostname()} since 20"
    with locked(store) as first:
        with pytest.raises(lp.StorageError, match=name), locked(store):
            raise AssertionError("not reached")
        first.check()
    with locked(store):
        pass
    assert not (tmp_path / "new").exists()
    assert getattr(store, "objects", {}) == {}


@pytest.mark.parametrize("store", ["local", "memory"], indirect=True)
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


def test_a_child_that_was_forked_and_leaves_the_with_statement_lets_go_of_nothing(tmp_path: Path) -> None:
    script = f"""
import os, sys
from lidarprep.storage import LocalFolder
from lidarprep.storage.lock import locked
with locked(LocalFolder({str(tmp_path)!r})) as lock:
    child = os.fork()
    if child == 0:
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    lock.check()
    print("held")
"""
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True, text=True)
    assert done.stdout == "held\n"
    assert list(tmp_path.iterdir()) == []


def test_processes_that_lock_one_folder_have_it_one_at_a_time(tmp_path: Path) -> None:
    """Each adds a line to a file by reading all of it and writing it anew: none gets lost."""
    script = f"""
import pathlib, time
from lidarprep.errors import StorageError
from lidarprep.storage import LocalFolder
from lidarprep.storage.lock import locked
done, lines = 0, pathlib.Path({str(tmp_path / "lines")!r})
while done < 8:
    try:
        with locked(LocalFolder({str(tmp_path / "a/b")!r})) as lock:
            before = lines.read_text() if lines.exists() else ""
            time.sleep(0.001)
            lines.write_text(before + "x\\n")
            lock.check()
            done += 1
    except StorageError as error:
        assert "another run" in str(error), error
"""
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert (tmp_path / "lines").read_text() == "x\n" * 24
    assert not (tmp_path / "a/b" / RUN_FOLDER).exists()


@pytest.mark.parametrize("removed", ["lock", "", ".."])
def test_who_removes_the_file_of_a_lock_ends_its_run_and_not_the_next_one(tmp_path: Path, removed: str) -> None:
    out = tmp_path / "out"
    with locked(LocalFolder(out)) as first:
        gone = (out / RUN_FOLDER / removed).resolve()
        gone.unlink() if gone.is_file() else shutil.rmtree(gone)
        with pytest.raises(lp.StorageError, match=r"lock was removed while a run held it"):
            first.check()
        second = locked(LocalFolder(out))
        lock = second.__enter__()
        with pytest.raises(lp.StorageError, match=r"lock was removed while a run held it"):
            first.check()
    lock.check()
    second.__exit__(None, None, None)
    assert not (out / RUN_FOLDER).exists()


@pytest.mark.parametrize("what", ["a file", "a link to nothing"])
def test_what_is_in_the_way_of_its_folder_is_one_clear_error(tmp_path: Path, what: str) -> None:
    if what == "a file":
        (tmp_path / RUN_FOLDER).write_text("")
    else:
        (tmp_path / RUN_FOLDER).symlink_to("nothing")
    with pytest.raises(lp.StorageError, match="lock cannot be written: "), locked(LocalFolder(tmp_path)):
        raise AssertionError("not reached")
    assert [path.name for path in tmp_path.iterdir()] == [RUN_FOLDER]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = sorted(Path("/proc/self/fd").iterdir())
    with pytest.raises(lp.StorageError, match=r"cannot be locked: .*\n.*knows no locks"), locked(LocalFolder(tmp_path)):
        raise AssertionError("not reached")
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_a_lock_that_is_interrupted_before_it_is_held_is_let_go_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt), locked(LocalFolder(tmp_path / "out")):
            raise AssertionError("not reached")
    assert not (tmp_path / "out").exists()
    with locked(LocalFolder(tmp_path / "out")):
        pass


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff"])
def test_a_holder_that_has_not_said_who_it_is_yet_is_another_process(tmp_path: Path, text: bytes) -> None:
    with locked(LocalFolder(tmp_path)):
        (tmp_path / RUN_FOLDER / "lock").write_bytes(text)
        with (
            pytest.raises(lp.StorageError, match=re.escape(f"{tmp_path}: another process")),
            locked(LocalFolder(tmp_path)),
        ):
            raise AssertionError("not reached")
