"""What a person sees: tables, notes, errors and progress, all on stderr. A pipe or CI gets no control codes."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from lidarprep.storage.manifest import FrameRecord, SkippedRecord


def console() -> Console:
    """The console on the stderr of this moment; wide where nobody looks, so that no path is broken over two lines."""
    stderr = Console(stderr=True, highlight=False, soft_wrap=True)
    return stderr if stderr.is_terminal else Console(stderr=True, highlight=False, soft_wrap=True, width=160)


def say(message: str) -> None:
    """One line for a person."""
    console().print(Text(message))


def print_notes(notes: Sequence[str], *, label: str = "note") -> None:
    """Notes or warnings, a line each."""
    for note in notes:
        console().print(Text.assemble((f"{label}: ", "yellow"), note))


def print_error(message: str) -> None:
    """One error: what is wrong, then what to do."""
    first, _, rest = message.partition("\n")
    console().print(Text.assemble(("error: ", "bold red"), first, "\n" if rest else "", (rest, "dim")))


def print_json(data: Any) -> None:
    """For programs: JSON on stdout."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_json_line(data: Any) -> None:
    """For programs that read one after the other: JSON on one line of stdout."""
    line = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    # Half a surrogate pair, which JSON may hold, is no UTF-8: it stays the escape that it was.
    sys.stdout.write(line.encode("utf-8", "backslashreplace").decode() + "\n")
    sys.stdout.flush()


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table; columns are right-aligned but for the first."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(table)


def tell_of_compiling() -> None:
    """Says that kernels are compiled, if they have to be: the first run on a machine waits for it."""
    from lidarprep.kernels import jit  # brings Numba

    jit.tell_of_compiling(lambda: say("first run: compiling the kernels it needs, a few seconds, once"))


# Seconds between two lines of progress where nobody watches a bar.
LINE_SECONDS = 15.0

# What drops points, as `DroppedPoints` names it, and as people read it.
_REASONS = {"not_finite": "not finite", "region": "region", "height": "height", "voxel": "voxel"}


class FrameProgress:
    """A progress bar over frames, as prepare's pipeline reports them; a line now and then where there is no terminal.

    Args:
        bar: Draws it.
        what: What is done, in a word.
        on_start: Called before the first frame, if there is any.
    """

    def __init__(self, bar: Progress, what: str, on_start: Callable[[], None] | None = None) -> None:
        self.started = False
        self._bar = bar
        self._what = what
        self._on_start = on_start
        self._task = bar.add_task(what, total=None, found="")
        self._points = 0
        self._bytes = 0
        self._dropped = dict.fromkeys(_REASONS, 0)
        self._begun = self._said = time.monotonic()
        self._before = 0

    def start(self, frames: int, done: int) -> None:
        """So many frames are to come, of which some are done already."""
        self.started = True
        if self._on_start is not None:
            self._on_start()
        if done:
            say(f"going on: {done} of {frames} frames are done already")
        self._begun = self._said = time.monotonic()
        self._before = done
        self._bar.reset(self._task, total=frames, completed=done, found="")

    def advance(self, frame: FrameRecord, stored_bytes: int) -> None:
        """One more is stored, in so many bytes."""
        self._points += frame.points_out
        self._bytes += stored_bytes
        for reason in _REASONS:
            self._dropped[reason] += getattr(frame.dropped, reason)
        self._show()

    def skip(self, frame: SkippedRecord) -> None:
        """One more is left out."""
        self._show()

    def reach(self, done: int, total: int) -> None:
        """`done` of `total` frames are done."""
        self._bar.update(self._task, completed=done, total=total)

    def _show(self) -> None:
        seconds = max(time.monotonic() - self._begun, 1e-3)
        found = f"{self._points:,} points, {self._bytes / 1e6 / seconds:.1f} MB/s"
        dropped = [f"{count:,} {_REASONS[reason]}" for reason, count in self._dropped.items() if count]
        if dropped:
            found += f", dropped {', '.join(dropped)}"
        self._bar.update(self._task, advance=1, found=found)
        if self._bar.console.is_terminal or time.monotonic() - self._said < LINE_SECONDS:
            return
        self._said = time.monotonic()
        task = self._bar.tasks[self._task]
        done, total = int(task.completed), int(task.total or 0)
        left = seconds * (total - done) / max(done - self._before, 1)
        say(f"{self._what}: {done} of {total} frames, {found}, about {left:.0f} s left")


@contextmanager
def progress(what: str, on_start: Callable[[], None] | None = None) -> Iterator[FrameProgress]:
    """A progress bar for as long as the `with` statement lasts."""
    stderr = console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[found]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, disable=not stderr.is_terminal, transient=True) as bar:
        yield FrameProgress(bar, what, on_start)


@contextmanager
def say_notes_of_a_stop() -> Iterator[None]:
    """Says what a run that is stopped, by Ctrl-C or a request to end, has noted about how to go on.

    The first Ctrl-C waits for the frames that are under way to come to an early end; the second one does not.
    """
    before = signal.getsignal(signal.SIGINT)
    here = threading.current_thread() is threading.main_thread()  # no other may set what a signal does

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
        raise KeyboardInterrupt

    try:
        if here:
            signal.signal(signal.SIGINT, interrupt)
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        for note in getattr(stop, "__notes__", ()):
            say(f"stopped: {note}")
        raise
    finally:
        if here:
            signal.signal(signal.SIGINT, before)
