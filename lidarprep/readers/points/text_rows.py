"""Rows of numbers as text, which ASCII PLY and ASCII PCD share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError

Line = tuple[int, str]


def text_lines(path: Path, body: bytes, first_line: int) -> list[Line]:
    """The lines that are not blank, each with its number in the file.

    Args:
        path: The file, for errors.
        body: What follows the header.
        first_line: The number of the body's first line in the file, from 1.

    Raises:
        FormatError: There is a byte that is not ASCII.
    """
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError as error:
        line = first_line + body[: error.start].count(b"\n")
        raise FormatError(
            path,
            place=f"line {line}",
            found=f"byte 0x{body[error.start]:02x}, which is not ASCII",
            expected="rows of numbers as text, as the header says",
        ) from error
    return [(number, line) for number, line in enumerate(text.splitlines(), first_line) if line.strip()]


def parse_rows(path: Path, lines: list[Line], dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """Lines of numbers, parted by blanks or tabs, as a structured array: one row a line, one field a number.

    Raises:
        FormatError: A line has another count of numbers, or something that its field's type cannot hold.
    """
    if not lines:
        return np.empty(0, dtype=dtype)
    try:
        return _parse([line for _, line in lines], dtype)
    except ValueError as error:
        number, line = _first_bad(lines, dtype)
        raise FormatError(path, place=f"line {number}", found=_fault(line, dtype), expected=_expected(dtype)) from error


def _parse(lines: list[str], dtype: np.dtype[np.void]) -> NDArray[Any]:
    # comments=None: a # within the rows is a fault, and not the start of a comment.
    return np.loadtxt(lines, dtype=dtype, comments=None, ndmin=1)


def _first_bad(lines: list[Line], dtype: np.dtype[np.void]) -> Line:
    """The first line that does not parse, found by halves: NumPy's message names a row only for some faults."""
    start, stop = 0, len(lines)
    while stop - start > 1:
        middle = (start + stop) // 2
        try:
            _parse([line for _, line in lines[start:middle]], dtype)
            start = middle
        except ValueError:
            stop = middle
    return lines[start]


def _fault(line: str, dtype: np.dtype[np.void]) -> str:
    values = line.split()
    if len(values) != len(dtype.names or ()):
        return f"{len(values)} values"
    for k, value in enumerate(values):
        try:
            np.loadtxt([value], dtype=dtype[k], comments=None)
        except ValueError:
            return f"{value[:40]!r} as number {k + 1} of the row"
    return f"{line[:60]!r}"


def _expected(dtype: np.dtype[np.void]) -> str:
    types = [str(dtype[name]) for name in dtype.names or ()]
    return f"{len(types)} numbers: {', '.join(types)}"
