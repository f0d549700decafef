"""Progress of what takes more than a moment: a bar on a terminal, a line now and then in a pipe or CI."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lidarprep.cli.console import console, is_watched, say

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lidarprep.batch import SceneRecord
    from lidarprep.storage.manifest import FrameRecord, SkippedRecord

# Without a terminal: seconds until the first line, and from one line to the next.
FIRST_LINE_S = 1.0
LINE_S = 15.0

_BAR_WIDTH = 24
_REFRESHES_A_SECOND = 8

# What drops points, as `DroppedPoints` names it, and as people read it.
_REASONS = {
    "not_finite": "not finite",
    "no_return": "no return",
    "region": "region",
    "height": "height",
    "voxel": "voxel",
}


class Bar:
    """Progress, told by the thread that works and shown by another.

    Args:
        what: The work, in a word.
        unit: The unit that it is counted in.
        on_start: Called before the first frame, if there is any.
        clock: Seconds of a monotonic clock.
    """

    def __init__(
        self,
        what: str,
        unit: str,
        on_start: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.started = False
        self._what, self._unit, self._on_start, self._clock = what, unit, on_start, clock
        self._total: int | None = None
        self._done = self._before = 0
        self._begun = self._advanced = clock()
        self._points = self._bytes = self._left_out = self._failed = 0
        self._dropped = dict.fromkeys(_REASONS, 0)

    # ---- what is told ----------------------------------------------------------------------------------------------

    def reach(self, done: int, total: int) -> None:
        """Count `done` of `total`."""
        self._done, self._total, self._advanced = done, total, self._clock()

    def start(self, frames: int, done: int) -> None:
        """Start with so many frames, of which some were found done."""
        self.started = True
        if self._on_start is not None:
            self._on_start()
        if done:
            say(f"going on: {done} of {frames} frames were done before")
        self._before = done
        self.reach(done, frames)
        self._begun = self._advanced

    def advance(self, frame: FrameRecord, stored_bytes: int) -> None:
        """Count a frame that is stored, in so many bytes."""
        self._points += frame.points_out
        self._bytes += stored_bytes
        for reason in _REASONS:
            self._dropped[reason] += getattr(frame.dropped, reason)
        self._one_more()

    def skip(self, frame: SkippedRecord) -> None:
        """Count a frame that is left out."""
        self._left_out += 1
        self._one_more()

    def end_scene(self, record: SceneRecord, *, is_fresh: bool) -> None:
        """Count a scene; of one that was found done only that."""
        if record.error:
            self._failed += 1
        elif is_fresh:
            self._points += record.points
            self._bytes += record.bytes
        else:
            self._before += 1
        self._one_more()

    def _one_more(self) -> None:
        self.reach(self._done + 1, self._total or 0)

    # ---- what is shown ---------------------------------------------------------------------------------------------

    def seconds_left(self) -> float | None:
        """Return the time that the rest takes at the pace so far; None while that is unknown.

        Frames that were found done took no time, and do not count.
        """
        fresh = self._done - self._before
        if self._total is None or not fresh:
            return None
        return (self._advanced - self._begun) * (self._total - self._done) / fresh

    def pace(self) -> str:
        """Return how many are done, how fast, and how long the rest takes."""
        if self._total is None:
            return ""
        said = [f"{self._done} of {self._total} {self._unit}"]
        if self._bytes:
            said.append(f"{self._bytes / 1e6 / max(self._clock() - self._begun, 1e-3):.1f} MB/s")
        left = self.seconds_left()
        if self._done >= self._total:
            said.append("finishing")
        elif left is not None:
            said.append(f"{duration(left)} left")
        return ", ".join(said)

    def findings(self) -> str:
        """Return what became of the points, and how many frames were left out."""
        said = [f"{self._points:,} points"] if self._bytes else []
        dropped = [f"{count:,} {_REASONS[reason]}" for reason, count in self._dropped.items() if count]
        said += [f"dropped {', '.join(dropped)}"] if dropped else []
        if self._left_out:
            said.append(f"{self._left_out} bad frame{'s' if self._left_out > 1 else ''} left out")
        if self._failed:
            said.append(f"{self._failed} failed")
        return "; ".join(said)

    def line(self) -> str:
        """Return all of it as a line."""
        pace, findings = self.pace(), self.findings()
        begun = f"{self._what}: {pace}" if pace else f"{self._what} …"
        return f"{begun}; {findings}" if findings else begun

    def drawn(self) -> RenderableType:
        """Return all of it for a terminal of any width: what does not fit on a line goes to the next."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        bar = ProgressBar(total=self._total, completed=self._done, width=_BAR_WIDTH, animation_time=self._clock())
        row = Table.grid(padding=(0, 1))
        row.add_row(Text(self._what), bar, Text(self.pace()))
        findings = self.findings()
        # A line that the terminal itself breaks could not be drawn over.
        return Group(row, Text(findings, style="dim", no_wrap=False, overflow="fold")) if findings else row


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, whole = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {whole:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


@contextmanager
def progress(what: str, unit: str = "frames", *, on_start: Callable[[], None] | None = None) -> Iterator[Bar]:
    """Show progress within the `with` statement; nothing of it is left at the end."""
    bar = Bar(what, unit, on_start)
    if is_watched():
        from rich.live import Live

        with Live(
            console=console(),
            get_renderable=bar.drawn,
            transient=True,
            refresh_per_second=_REFRESHES_A_SECOND,
            redirect_stdout=False,  # that is for programs
        ):
            yield bar
        return
    over = threading.Event()
    lines = threading.Thread(target=_say_lines, args=(bar, over), name="lidarprep-progress", daemon=True)
    lines.start()
    try:
        yield bar
    finally:
        over.set()
        lines.join()


def _say_lines(bar: Bar, over: threading.Event) -> None:
    pause = FIRST_LINE_S
    while not over.wait(pause):
        say(bar.line())
        pause = LINE_S
