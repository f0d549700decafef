"""What stands before the first row of delimited text, and what parts the values of a row.

| what                     | how it is found                                                                       |
|--------------------------|---------------------------------------------------------------------------------------|
| separator                | from the first row: semicolon, comma, tab, or else any number of blanks and tabs      |
| names of the columns     | a first line that is not all numbers, which # or // may precede, as CloudCompare does |
| without such a line      | x y z, x y z intensity, x y z r g b (0–255), or x y z intensity r g b (0–255)         |
| count of points          | one whole number alone before the first row, as .pts has it                           |

A decimal comma is refused: which of two commas parts two numbers is not always to be known.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from lidarprep.errors import FormatError
from lidarprep.pointfiles.text_rows import BLANKS, line_of

# The columns of rows without a header, by their count.
BARE_COLUMNS: dict[int, tuple[str, ...]] = {
    3: ("x", "y", "z"),
    4: ("x", "y", "z", "intensity"),
    6: ("x", "y", "z", "red", "green", "blue"),
    7: ("x", "y", "z", "intensity", "red", "green", "blue"),
}

NUMBER = re.compile(
    rb"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|nan(\(\w*\))?|inf(inity)?|1\.#[a-z]+0*)", re.IGNORECASE
)
WHOLE_NUMBER = re.compile(rb"[+-]?\d+")
FLAG_WORD = re.compile(rb"true|false", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(rb"[+-]?\d+,\d+([eE][+-]?\d+)?")

# What ParaView and VeloView call a point's coordinates.
_VECTOR_NAME = re.compile(r"points(?:_m_xyz)?[:_]([012])")
_UNIT = re.compile(r"(.*?)\s*[\[(]\s*([^\])]*?)\s*[\])]")
_MAX_LINE_BYTES = 1 << 16

ADD_HEADER = "Add a first line with the names of the columns, such as: x,y,z,intensity"


@dataclass(frozen=True)
class Lead:
    """What stands before the first row, and what the first row looks like.

    Args:
        names: Names of the columns as the file has them; None without a header.
        promised: How many points a line says that there are, or None.
        start: Where the first row begins, or the text ends.
        first: The values of the first row; empty without one.
        separator: What parts them.
    """

    names: list[str] | None
    promised: int | None
    start: int
    first: list[bytes]
    separator: str


def check_encoding(path: Path, text: bytes) -> None:
    """Refuse what is empty, UTF-16 or no text.

    Raises:
        FormatError: It is.
    """
    if not text:
        raise FormatError(path, found="an empty file", expected="a header or rows of numbers")
    if text.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in text[:1024]:
        is_utf_16 = text.startswith((b"\xff\xfe", b"\xfe\xff")) or set(text[:64:2]) == {0} or set(text[1:64:2]) == {0}
        raise FormatError(
            path,
            place="byte 0",
            found="text in UTF-16" if is_utf_16 else "zero bytes, which no text has",
            expected="UTF-8 or ASCII",
            fix="Save it as UTF-8." if is_utf_16 else None,
        )


def read_lead(path: Path, text: bytes) -> Lead:
    """Walk over comments, a header and a count to the first row."""
    at = 3 if text.startswith(b"\xef\xbb\xbf") else 0
    names: list[str] | None = None
    promised: int | None = None
    while at < len(text):
        line, behind = _line(path, text, at)
        words = line.strip()
        comment = re.match(rb"#+|//+|%+", words)
        if not words:
            pass
        elif comment:
            names = names or _names_in(words[comment.end() :].strip(), must=False)
        elif promised is None and words.isdigit() and _rows_are_wider(text, behind):
            promised = int(words[:18])
        else:
            separator = _separator(path, text, at, words)
            values = split(words, separator)
            if names is not None or all(not value or NUMBER.fullmatch(value) for value in values):
                if names is None and values == [b"%d" % k for k in range(len(values))] and separator != BLANKS:
                    _refuse_numbers_as_names(path, text, at, words)
                return Lead(names, promised, at, values, separator)
            if not any(re.search(rb"[^\W\d]", value) for value in values):
                fail_row(path, text, at, words)
            names = _names_in(words, must=True)
        at = behind
    if names is None and promised == 0:
        names = ["x", "y", "z"]
    if names is None:
        raise FormatError(path, found="no row and no header", expected="rows of numbers: x, y, z, …")
    return Lead(names, promised, len(text), [], BLANKS)


def _line(path: Path, text: bytes, at: int) -> tuple[bytes, int]:
    """The line that begins there, and where the next one does."""
    found = re.compile(rb"[^\r\n]*").match(text, at)
    end = found.end() if found else at
    if end - at > _MAX_LINE_BYTES:
        raise FormatError(
            path, place=f"line {line_of(text, at)}", found=f"a line of {end - at} bytes", expected="a row"
        )
    return text[at:end], end + (2 if text[end : end + 2] == b"\r\n" else 1)


def _rows_are_wider(text: bytes, at: int) -> bool:
    """Whether what follows a lone number are rows of several values, or nothing at all."""
    rest = text[at : at + _MAX_LINE_BYTES].split(maxsplit=1)
    if not rest:
        return True
    start = text.index(rest[0], at)
    line = re.split(rb"[\r\n]", text[start : start + _MAX_LINE_BYTES], maxsplit=1)[0]
    return len(re.split(rb"[;,\s]+", line.strip())) > 1


def _separator(path: Path, text: bytes, at: int, line: bytes) -> str:
    """What parts the values of a line."""
    bare = re.sub(rb'"(""|[^"])*"', b"0", line)
    parts = [part for part in re.split(rb"[;\s]+", bare) if part]
    commas = [part for part in parts if _DECIMAL_COMMA.fullmatch(part)]
    if len(parts) > 1 and commas and all(part in commas or NUMBER.fullmatch(part) for part in parts):
        raise FormatError(
            path,
            place=f"line {line_of(text, at)}",
            found=f"the decimal comma of {commas[0][:40].decode('ascii')!r}",
            expected="a decimal point",
            fix="Save the file with decimal points, as English-speaking settings have them.",
        )
    for separator in (";", ",", "\t"):
        if separator.encode() in bare:
            cells = bare.split(separator.encode())
            if separator != "\t" or not any(
                len(cell.split()) > 1 for cell in cells if not re.search(rb"[^\W\d]", cell)
            ):
                return separator
    return BLANKS


def split(line: bytes, separator: str) -> list[bytes]:
    """The values of a line, without blanks and quotes around them."""
    if separator == BLANKS:
        values = [value.strip(b'"') for value in re.findall(rb'"(?:""|[^"])*"|\S+', line)]
    else:
        text = line.decode("utf-8", "surrogateescape")
        row = next(csv.reader([text], delimiter=separator, skipinitialspace=separator != "\t"), [])
        values = [value.encode("utf-8", "surrogateescape") for value in row]
    return [value.strip() for value in values]


def _names_in(line: bytes, *, must: bool) -> list[str] | None:
    """The names of columns that a line holds, or None if it is another line and need not be one."""
    bare = re.sub(rb'"(""|[^"])*"', b"", line)
    separator = next((s for s in (";", ",", "\t") if s.encode() in bare), BLANKS)
    names = [value.decode("utf-8", "replace") for value in split(line, separator)]
    plain = {plain_name(name)[0] for name in names}
    return names if must or {"x", "y", "z"} <= plain else None


def plain_name(name: str) -> tuple[str, str]:
    """A column's name as `fields.py` knows it, and its unit: "X [m]" is x in m."""
    with_unit = _UNIT.fullmatch(name.strip())
    name, unit = (with_unit[1], with_unit[2].lower()) if with_unit else (name.strip(), "")
    name = name.lstrip(".")
    vector = _VECTOR_NAME.fullmatch(name.lower())
    if vector:
        return "xyz"[int(vector[1])], unit
    if name.lower() in ("x_m", "y_m", "z_m"):
        return name[0].lower(), "m"
    return (name.lower() if name.lower() in ("x", "y", "z") else name), unit


def _refuse_numbers_as_names(path: Path, text: bytes, at: int, line: bytes) -> NoReturn:
    """0,1,2 is what pandas calls columns without a name, but may be a point: neither is to be taken at a guess."""
    raise FormatError(
        path,
        place=f"line {line_of(text, at)}",
        found=f"{line[:60].decode('ascii', 'replace')!r} as the first line: a point, or numbers of columns",
        expected="names of columns",
        fix=ADD_HEADER,
    )


def fail_row(path: Path, text: bytes, at: int, line: bytes) -> NoReturn:
    """Say that a row without a header over it cannot be told apart into columns."""
    values = len(re.split(rb"[;,\s]+", line.strip()))
    shown = line[:60].decode("ascii", "replace")
    raise FormatError(
        path,
        place=f"line {line_of(text, at)}",
        found=f"{values} value{'s' * (values != 1)} in a file without a header: {shown!r}",
        expected=", or ".join(" ".join(names) for names in BARE_COLUMNS.values()),
        fix=ADD_HEADER,
    )
