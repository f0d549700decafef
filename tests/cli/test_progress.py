"""What is shown while somebody waits: a bar on a terminal, lines in a pipe, and how either ends."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

import lidarprep as lp
from lidarprep.cli import progress as shown
from lidarprep.cli.progress import Bar
from lidarprep.storage.manifest import DroppedPoints, FrameRecord, SkippedRecord
from tests.cli.conftest import Run
from tests.scenes import write_toolkit_scene

PATIENCE_S = 30.0


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bar(clock: Clock) -> Bar:
    return Bar("preparing", "frames", clock=clock)


def frame(points: int = 1000, **dropped: int) -> FrameRecord:
    return FrameRecord(
        id="0",
        index=0,
        timestamp=None,
        points_in=points + sum(dropped.values()),
        points_out=points,
        dropped=DroppedPoints(**dropped),
        labelled=True,
    )


# ---- what is said ----------------------------------------------------------------------------------------------------


def test_frames_points_megabytes_a_second_time_left_and_what_was_dropped_are_said(bar: Bar, clock: Clock) -> None:
    bar.start(50, 0)
    for _ in range(5):
        clock.now += 2
        bar.advance(frame(2000, region=300, height=20, not_finite=1, voxel=4000), 10_000_000)
    assert bar.line() == (
        "preparing: 5 of 50 frames, 5.0 MB/s, 1 min 30 s left; "
        "10,000 points; dropped 5 not finite, 1,500 region, 100 height, 20,000 voxel"
    )


def test_frames_of_an_earlier_run_do_not_count_as_speed(
    bar: Bar, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    bar.start(500, 120)
    assert capsys.readouterr().err == "going on: 120 of 500 frames were done before\n"
    assert bar.line() == "preparing: 120 of 500 frames"
    clock.now += 10
    bar.advance(frame(), 0)
    assert bar.seconds_left() == 10 * 379
    assert "1 h 03 min left" in bar.line()


def test_of_a_run_with_no_frame_to_do_no_time_is_said(bar: Bar, capsys: pytest.CaptureFixture[str]) -> None:
    bar.start(500, 500)
    assert bar.line() == "preparing: 500 of 500 frames, finishing"
    assert "500 of 500 frames were done before" in capsys.readouterr().err


def test_what_comes_after_the_last_frame_is_said_to_be_the_finish(bar: Bar, clock: Clock) -> None:
    bar.start(1, 0)
    clock.now += 1
    bar.advance(frame(), 2_000_000)
    assert bar.line() == "preparing: 1 of 1 frames, 2.0 MB/s, finishing; 1,000 points"


def test_a_frame_that_is_left_out_counts_as_done_and_is_said(bar: Bar, clock: Clock) -> None:
    bar.start(4, 0)
    clock.now += 3
    bar.skip(SkippedRecord(id="0", index=0, error="it is cut short"))
    assert bar.line() == "preparing: 1 of 4 frames, 9 s left; 1 bad frame left out"


def test_before_anything_is_known_there_is_no_figure(bar: Bar) -> None:
    assert bar.line() == "preparing …"


@pytest.mark.parametrize("width", [30, 80])
def test_nothing_is_cut_off_on_a_narrow_terminal(bar: Bar, clock: Clock, width: int) -> None:
    bar.start(500, 0)
    clock.now += 1
    bar.advance(frame(168_814, region=300, height=20, not_finite=1, voxel=4000), 10_000_000)
    drawn = Console(file=io.StringIO(), width=width, soft_wrap=True, force_terminal=True, color_system=None)
    drawn.print(bar.drawn())
    assert isinstance(drawn.file, io.StringIO)
    lines = drawn.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    words = " ".join(" ".join(lines).split())
    for said in ("500", "10.0", "MB/s", "8 min", "168,814 points", "1 not finite", "300 region", "4,000 voxel"):
        assert said in words


class Over:
    """An event that comes after so many waits."""

    def __init__(self, waits: int) -> None:
        self.waits, self.pauses = waits, list[float]()

    def wait(self, pause: float) -> bool:
        self.pauses.append(pause)
        return len(self.pauses) > self.waits

    def set(self) -> None:
        pass


def test_lines_come_first_after_a_moment_and_then_now_and_then(bar: Bar, capsys: pytest.CaptureFixture[str]) -> None:
    bar.start(9, 0)
    over = Over(waits=3)
    shown._say_lines(bar, cast(threading.Event, over))
    assert over.pauses == [shown.FIRST_LINE_S, shown.LINE_S, shown.LINE_S, shown.LINE_S]
    assert capsys.readouterr().err == "preparing: 0 of 9 frames\n" * 3


class RunsAtOnce:
    """A thread that has come to its end once it is started."""

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...], **_: Any) -> None:
        self.start = lambda: target(*args)

    def join(self) -> None:
        pass


def test_sample_convert_and_verify_tell_a_pipe_that_they_are_at_work(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Each says its first line before the work begins: small files are done before another thread says anything.
    monkeypatch.setattr(shown, "threading", SimpleNamespace(Event=lambda: Over(waits=1), Thread=RunsAtOnce))
    monkeypatch.setattr("lidarprep.sample.write_sample", partial(lp.write_sample, columns=90, image_width=64))
    scene, out = tmp_path / "scene", tmp_path / "out"
    assert run("sample", scene, "--frames", 2).err.startswith("ray-casting …\n")
    assert run("convert", scene / "pointcloud/0.ply", tmp_path / "a.pcd").err.startswith("converting …\n")
    run("prepare", scene, "--out", out)
    assert run("verify", out).err.startswith("checking …\n")


# ---- a run on a terminal, and in a pipe ------------------------------------------------------------------------------


@dataclass
class Watched:
    """A command, and what it has printed so far on stderr."""

    process: subprocess.Popen[bytes]
    screen: int
    printed: str = ""

    def read(self, until: Callable[[str], bool]) -> str:
        """What is printed until something holds of it, or its end."""
        deadline = time.monotonic() + PATIENCE_S
        while not until(self.plain):
            assert time.monotonic() < deadline, self.printed
            if not select.select([self.screen], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(self.screen, 65536)
            except OSError:  # a pseudo-terminal that nobody has open any more
                break
            if not piece:
                break
            self.printed += piece.decode()
        return self.plain

    @property
    def plain(self) -> str:
        """What is printed without control codes."""
        return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", self.printed).replace("\r", "")

    def end(self) -> int:
        """Waits for its end, and says how it ended."""
        self.read(lambda _: False)
        return self.process.wait(PATIENCE_S)

    @property
    def cursor_is_shown(self) -> bool:
        return self.printed.rfind("\x1b[?25h") >= self.printed.rfind("\x1b[?25l")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A recording of three frames."""
    return write_toolkit_scene(tmp_path / "recording", cameras=(), points=4000)


# The command, but that the last frame is stored, or not, only when a file says so.
WAITING = """
import sys, time
from pathlib import Path
from lidarprep.cli import main
from lidarprep.errors import StorageError
from lidarprep.storage.folder import FolderStore

put, gate = FolderStore.put, Path(sys.argv[1])

def put_when_told(self, key, data, content_type, **options):
    while key.startswith("frames/11") and not gate.exists():
        time.sleep(0.01)
    if key.startswith("frames/11") and gate.read_text() == "fail":
        raise StorageError("the disk is gone")
    return put(self, key, data, content_type, **options)

FolderStore.put = put_when_told
main(sys.argv[2:])
"""


def let(recording: Path, what: str) -> None:
    """Lets the last frame "pass" or "fail"."""
    ready = recording.parent / "ready"
    ready.write_text(what)
    ready.rename(recording.parent / "gate")


@contextmanager
def preparing(recording: Path, *, terminal: bool = True) -> Iterator[Watched]:
    words = ["prepare", str(recording), "--out", str(recording.parent / "out"), "--roi", "0,0,60,60", "--workers", "2"]
    screen, stderr = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, str(recording.parent / "gate"), *words],
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"},
    )
    os.close(stderr)
    try:
        yield Watched(process, screen)
    finally:
        process.kill()
        process.communicate()
        os.close(screen)


def two_are_done(printed: str) -> bool:
    return "2 of 3 frames" in printed and "dropped" in printed


def test_a_terminal_shows_a_bar_that_is_gone_at_the_end(recording: Path) -> None:
    with preparing(recording) as run:
        shown = run.read(two_are_done)
        assert re.search(r"preparing ━.* 2 of 3 frames, \d+\.\d MB/s, \d+ s left", shown)
        assert re.search(r"[\d,]+ points; dropped [\d,]+ region", shown)
        assert "\x1b[?25l" in run.printed  # the bar hides the cursor
        let(recording, "pass")
        assert run.end() == 0
        assert run.cursor_is_shown
        assert "manifest: " in run.plain
        # Once the table stands there, nothing is drawn any more.
        assert "━ " not in run.plain.partition("points in")[2].partition("manifest: ")[2]
        assert run.process.stdout is not None
        assert run.process.stdout.read() == b""


def test_a_pipe_gets_lines_without_control_codes(recording: Path) -> None:
    with preparing(recording, terminal=False) as run:
        run.read(two_are_done)
        let(recording, "pass")
        assert run.end() == 0
        assert "\x1b" not in run.printed
        assert "\r" not in run.printed
        line = next(line for line in run.printed.splitlines() if "2 of 3" in line)
        assert re.fullmatch(
            r"preparing: 2 of 3 frames, \d+\.\d MB/s, \d+ s left; [\d,]+ points; dropped [\d,]+ region", line
        )


def test_ctrl_c_ends_the_bar_and_says_how_to_go_on_and_the_next_run_says_what_was_done(recording: Path) -> None:
    with preparing(recording) as run:
        run.read(two_are_done)
        run.process.send_signal(signal.SIGINT)
        assert run.end() == 130  # without waiting for the frame that is being stored
        assert run.cursor_is_shown
        assert "stopped: 2 of 3 frames are done and kept: run the same command again to go on." in run.plain
        assert "Traceback" not in run.plain
    with preparing(recording) as run:
        run.read(lambda printed: "2 of 3 frames were done before" in printed)
        let(recording, "pass")
        assert run.end() == 0


def test_an_error_stands_below_a_bar_that_is_gone(recording: Path) -> None:
    with preparing(recording) as run:
        run.read(two_are_done)
        let(recording, "fail")
        assert run.end() == 1
        assert run.cursor_is_shown
        end = re.search(r"^error: the disk is gone\n2 of 3 frames are done and kept", run.plain, re.MULTILINE)
        assert end
        assert "━" not in run.plain[end.start() :]
