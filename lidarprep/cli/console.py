"""What a person sees: tables, notes, errors and progress, all on stderr. A pipe or CI gets no control codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
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


class FrameProgress:
    """A progress bar over frames, as prepare's pipeline reports them; silent where stderr is no terminal."""

    def __init__(self, bar: Progress, what: str) -> None:
        self._bar = bar
        self._task = bar.add_task(what, total=None, points="")
        self._points = 0

    def start(self, frames: int) -> None:
        """So many frames are to come."""
        self._bar.update(self._task, total=frames)

    def advance(self, frame: FrameRecord) -> None:
        """One more is stored."""
        self._points += frame.points_out
        self._bar.update(self._task, advance=1, points=f"{self._points:,} points")

    def skip(self, frame: SkippedRecord) -> None:
        """One more is left out."""
        self._bar.update(self._task, advance=1)

    def reach(self, done: int, total: int) -> None:
        """`done` of `total` frames are done."""
        self._bar.update(self._task, completed=done, total=total)


@contextmanager
def progress(what: str) -> Iterator[FrameProgress]:
    """A progress bar for as long as the `with` statement lasts."""
    stderr = console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[points]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, disable=not stderr.is_terminal, transient=True) as bar:
        yield FrameProgress(bar, what)
