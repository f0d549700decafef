"""What a person sees: tables, notes and errors, all on stderr. A pipe or CI gets no control codes.

Rich is imported where something is drawn or coloured: a command that says a line or two does without.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# What makes Rich take a stderr that is none for a terminal.
_FORCED_BY = {"FORCE_COLOR", "TTY_COMPATIBLE"}

# Bell, backspace, vertical tab, form feed, carriage return: what Rich leaves out, too.
_CONTROL_CODES = dict.fromkeys((7, 8, 11, 12, 13))


def console() -> Console:
    """The console on the stderr of this moment; wide where nobody looks, so that no path is broken over two lines."""
    from rich.console import Console

    stderr = Console(stderr=True, highlight=False, soft_wrap=True)
    return stderr if stderr.is_terminal else Console(stderr=True, highlight=False, soft_wrap=True, width=160)


def is_watched() -> bool:
    """Whether stderr is a terminal, as Rich sees it, which is asked only if it could be."""
    return (sys.stderr.isatty() or not _FORCED_BY.isdisjoint(os.environ)) and console().is_terminal


def say(message: str) -> None:
    """One line for a person."""
    sys.stderr.write(message.translate(_CONTROL_CODES) + "\n")
    sys.stderr.flush()


def print_notes(notes: Sequence[str], *, label: str = "note") -> None:
    """Notes or warnings, a line each."""
    from rich.text import Text

    for note in notes:
        console().print(Text.assemble((f"{label}: ", "yellow"), note))


def print_error(message: str) -> None:
    """One error: what is wrong, then what to do."""
    from rich.text import Text

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
    """A table; columns of figures are right-aligned, but for the first, which names things."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        of_figures = number > 0 and _mostly_figures([row[number] for row in rows])
        table.add_column(column, justify="right" if of_figures else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(table)


def _mostly_figures(cells: Sequence[str]) -> bool:
    """Whether most of what stands in a column is figures; one of them may be "unknown" all the same."""
    written = [cell for cell in cells if cell]
    figures = [cell for cell in written if re.fullmatch(r"[-−+\d.,:%× ]+", cell)]
    return len(figures) * 2 > len(written)


def tell_of_compiling() -> None:
    """Says that kernels are compiled, if they have to be: the first run on a machine waits for it."""
    from lidarprep.kernels import jit  # brings Numba

    jit.tell_of_compiling(lambda: say("first run: compiling the kernels it needs, a few seconds, once"))


@contextlib.contextmanager
def say_how_to_go_on() -> Iterator[None]:
    """Say in a last line what a run that is stopped, by Ctrl-C or SIGTERM, has kept, and how to go on."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        for note in getattr(stop, "__notes__", ()) or ("nothing was finished",):
            say(f"stopped: {note}")
        raise
