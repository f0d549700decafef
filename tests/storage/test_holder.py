"""Who holds a lock: none is taken for another, and an end is seen."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lidarprep.storage.holder import Holder, this_machine

from lidarprep.storage import holder as holders

SAY_WHO = "import sys; from lidarprep.storage.holder import Holder; print(Holder.this().written().decode(), flush=True)"


def written_by(child: str = "sys.stdin.read()", within: tuple[str, ...] = ()) -> tuple[subprocess.Popen[str], Holder]:
    """A process that goes on until its input ends, and the holder that it says it is."""
    command = [*within, sys.executable, "-c", f"{SAY_WHO}; {child}"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = Holder.read(process.stdout.readline().encode())
    assert found is not None
    return process, found


def test_a_process_is_dead_once_it_has_ended_even_if_nobody_has_asked_how() -> None:
    process, found = written_by()
    with process:
        assert not found.is_dead
        process.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 20
        while not found.is_dead:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert process.returncode is None  # a zombie
    assert found.is_dead


def test_a_process_of_another_container_is_not_taken_for_dead_though_host_and_kernel_are_the_same() -> None:
    contained = ("unshare", "--pid", "--fork", "--mount-proc")
    try:
        subprocess.run([*contained, "true"], check=True, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user can make no namespaces")
    process, found = written_by(within=contained)
    with process:
        assert found.host == socket.gethostname()
        assert found.pid == 1
        assert found.machine != this_machine()
        assert not found.is_dead
        assert not replace(found, pid=2**22).is_dead
        process.communicate("")


def test_a_process_that_has_got_the_number_of_one_that_ended_is_not_taken_for_it() -> None:
    now = Holder.this()
    assert not now.is_dead
    assert now.started is not None
    assert replace(now, started=now.started - 1).is_dead


@pytest.mark.parametrize(
    "differs",
    [
        {"_BOOT_ID": "another boot\n"},
        {"_NAMESPACE": ""},
        {"hostname": "another"},
    ],
)
def test_a_process_of_a_machine_that_differs_in_anything_is_never_known_to_be_dead(
    differs: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, found = written_by("sys.exit()")
    with process:
        process.wait()
    assert found.is_dead
    before = this_machine()
    for name, text in differs.items():
        if name == "hostname":
            monkeypatch.setattr(socket, "gethostname", lambda text=text: text)
            continue
        other = tmp_path / name
        other.write_text(text)
        monkeypatch.setattr(holders, name, other)
    holders._machine_of.cache_clear()
    try:
        assert this_machine() != before
        assert not found.is_dead
        assert replace(found, machine=this_machine()).is_dead
    finally:
        holders._machine_of.cache_clear()


def test_without_proc_the_host_and_the_number_have_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "_BOOT_ID", tmp_path / "none")
    monkeypatch.setattr(holders, "_process", lambda pid: None)
    holders._machine_of.cache_clear()
    try:
        now = Holder.this()
        assert now.started is None
        assert not now.is_dead
        with subprocess.Popen([sys.executable, "-c", ""]) as ended:
            ended.wait()
        assert replace(now, pid=ended.pid).is_dead
    finally:
        holders._machine_of.cache_clear()


@pytest.mark.parametrize("pid", [0, -1, 2**31, 2**80])
def test_a_number_that_no_process_has_harms_nobody(pid: int) -> None:
    assert replace(Holder.this(), pid=pid).is_dead in (True, False)


def test_it_reads_back_as_it_was_written_and_no_two_beats_are_alike() -> None:
    now = Holder.this()
    assert Holder.read(now.written()) == now
    assert Holder.read(now.again().written()) == now.again()
    assert now.again().written() != now.written()
    assert f"process {os.getpid()} on {socket.gethostname()} since 20" in str(now)
    assert str(replace(now, since=1e300)) == f"process {os.getpid()} on {socket.gethostname()}"


def fields(**changed: Any) -> bytes:
    return json.dumps(json.loads(Holder.this().written()) | changed).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff",
        fields(since="then"),
        fields(pid=float("inf")),
        fields(started=[]),
        fields(beat=None),
    ],
)
def test_what_no_run_has_written_is_nobodys(data: bytes) -> None:
    assert Holder.read(data) is None
