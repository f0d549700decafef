"""Output: what a command was asked to show on stdout; what it says of its work, and errors, on stderr.

A pipe or CI gets no control codes. Rich is imported only to draw or colour: printing a line does without.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from lidarprep.scene import Finding

# Environment variables that make Rich take any stderr for a terminal.
_FORCED_BY = {"FORCE_COLOR", "TTY_COMPATIBLE"}

# Bell, backspace, vertical tab, form feed and carriage return, which Rich leaves out, too.
_CONTROL_CODES = dict.fromkeys((7, 8, 11, 12, 13))


def console(*, stderr: bool = True) -> Console:
    """Make a console on the current stderr or stdout; a wide one if it is no terminal: paths stay on one line."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, soft_wrap=True)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, soft_wrap=True, width=160)


def is_watched() -> bool:
    """Whether stderr is a terminal for Rich, which is imported only if it could be."""
    return (sys.stderr.isatty() or not _FORCED_BY.isdisjoint(os.environ)) and console().is_terminal


def say(message: str) -> None:
    """Print a line."""
    sys.stderr.write(message.translate(_CONTROL_CODES) + "\n")
    sys.stderr.flush()


def counted(count: int, noun: str) -> str:
    """Return a count with its noun in the singular or plural."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def print_notes(notes: Sequence[str], *, label: str = "note", stderr: bool = True) -> None:
    """Print notes or warnings, a line each."""
    from rich.text import Text

    for note in notes:
        console(stderr=stderr).print(Text.assemble((f"{label}: ", "yellow"), note))


def print_findings(findings: Sequence[Finding], accepted: Collection[str] = (), *, stderr: bool = True) -> None:
    """Print findings by severity, each with its code, and on a second line what to do."""
    if not findings:
        return
    from rich.text import Text

    for one in findings:
        style = {"error": "bold red", "warning": "yellow", "note": "dim"}[one.severity]
        line = Text.assemble(
            (f"{one.severity}: ", style),
            one.message,
            (f" [{one.code}{', accepted' if one.code in accepted else ''}]", "dim"),
        )
        if one.option is not None or one.cure:
            flag = "" if one.option is None else one.option.flag
            line.append("\n  " + "; ".join(part for part in (flag, one.cure) if part), "dim")
        console(stderr=stderr).print(line)


def print_error(message: str) -> None:
    """Print an error: the problem, then the fix."""
    from rich.text import Text

    first, _, rest = message.partition("\n")
    console().print(Text.assemble(("error: ", "bold red"), first, "\n" if rest else "", (rest, "dim")))


def print_json(data: Any) -> None:
    """Print JSON on stdout."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_json_line(data: Any) -> None:
    """Print JSON on one line of stdout, for programs that read line by line."""
    line = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    # JSON may hold half a surrogate pair, which UTF-8 cannot: it stays an escape.
    sys.stdout.write(line.encode("utf-8", "backslashreplace").decode() + "\n")
    sys.stdout.flush()


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, stderr: bool = True) -> None:
    """Print a table; columns of figures are right-aligned, except the first, which has names."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        of_figures = number > 0 and _mostly_figures([row[number] for row in rows])
        table.add_column(column, justify="right" if of_figures else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console(stderr=stderr).print(table)


def plain(text: str) -> str:
    """Return a server's text without what could steer the terminal that it is shown on."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _mostly_figures(cells: Sequence[str]) -> bool:
    """Whether most cells of a column are figures; some may be "unknown"."""
    written = [cell for cell in cells if cell]
    figures = [cell for cell in written if re.fullmatch(r"[-−+\d.,:%× ]+", cell)]
    return len(figures) * 2 > len(written)


def tell_of_compiling() -> None:
    """Say that kernels are being compiled, if they are: the first run on a machine waits for it."""
    from lidarprep.kernels import jit  # brings Numba

    jit.tell_of_compiling(lambda: say("first run: compiling the kernels it needs, a few seconds, once"))


@contextlib.contextmanager
def say_how_to_go_on() -> Iterator[None]:
    """Say in a last line what a run that is stopped, by Ctrl-C or SIGTERM, has kept, and how to go on."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        for note in getattr(stop, "__notes__", ()) or ("run the same command again",):
            say(f"stopped: {note}")
        raise
