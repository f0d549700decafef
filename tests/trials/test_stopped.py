"""Ctrl-C and SIGTERM of the command line: it leaves at once, says how much is kept, and goes on by the same command."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenes import write_toolkit_scene
from tests.trials.children import ROOT, Bucket, Place, Runner
from tests.trials.proxy import Proxy, Request

# They measure how soon a run ends: on a busy machine, that is not the product's doing.
pytestmark = pytest.mark.trial

FRAMES = 300
MOST_SECONDS = 2.0


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """So many frames that nobody is too late to stop them."""
    return write_toolkit_scene(tmp_path / "recording", frames=FRAMES, points=300, cameras=())


def stopped(words: list[str], by: signal.Signals, is_time: Callable[[], bool]) -> tuple[int, str]:
    """Start lidarprep as a person does, stop it when it is time, and return exit code and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lidarprep", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not is_time():
            assert process.poll() is None, "it ended before it could be stopped"
            time.sleep(0.005)
        process.send_signal(by)
        at = time.monotonic()
        _, stderr = process.communicate(timeout=60)
        assert time.monotonic() - at < MOST_SECONDS
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in stderr
    return process.returncode, stderr


def kept_of(stderr: str) -> int:
    """How many frames are said to be kept."""
    said = re.search(
        rf"stopped: (\d+) of {FRAMES} frames are done and kept: run the same command again to go on", stderr
    )
    assert said is not None, stderr
    return int(said[1])


def test_a_run_that_is_stopped_by_ctrl_c_and_then_by_sigterm_goes_on_each_time(
    runner: Runner, long: Path, out: Path
) -> None:
    words = ["prepare", str(long), "--out", str(out), "--workers", "1"]
    place, kept = Place(str(out)), 0
    for by, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        before = kept
        exit_code, stderr = stopped(words, by, lambda before=before: entries(out) > before + 10)  # type: ignore[misc]
        assert exit_code == code
        kept = kept_of(stderr)
        assert before + 10 <= kept <= len(place.finished()) < FRAMES
        assert place.manifest() is None
    finished = place.finished()
    last = Runner(long, runner.scratch, ("--workers", "1")).prepared(out)
    assert len(last.frames()) == FRAMES - len(finished)
    assert not finished & set(last.frames())
    manifest = place.manifest()
    assert manifest is not None
    assert len(manifest.frames) == FRAMES


def entries(out: Path) -> int:
    return len(list((out / ".lidarprep").glob("*.json")))


@pytest.mark.parametrize(
    ("format", "asked"),
    [("json", "PUT .*/images/"), ("json", r"DELETE .*/\.lidarprep/[0-9a-f]{64}"), ("sfs", "P.* .*/scene-")],
    ids=["storing", "dropping cache entries", "sending a scene"],
)
def test_a_run_is_stopped_at_once_though_its_store_does_not_answer(
    runner: Runner, proxy: Proxy, bucket: Bucket, format: str, asked: str
) -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def hang(request: Request) -> None:
        if re.match(asked, f"{request.method} {request.target}"):
            hangs.set()
            go_on.wait(60)

    proxy.before = hang
    out = bucket.place().out
    words = ["prepare", str(runner.recording), "--out", out, "--endpoint-url", proxy.url, "--format", format]
    try:
        code, stderr = stopped(words, signal.SIGINT, hangs.is_set)
    finally:
        go_on.set()
    assert code == 130
    assert "stopped: " in stderr
    is_complete = asked.startswith("DELETE")
    assert ("the run is complete" in stderr) == is_complete == (bucket.place().manifest() is not None)
