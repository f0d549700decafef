"""Delimited text: .csv, .tsv, and rows separated by blanks (.xyz, .asc, .pts, .txt), with a header or without.

The dialect is sniffed:

| part                     | how it is found                                                                        |
|--------------------------|----------------------------------------------------------------------------------------|
| separator                | from the first row: semicolon, comma, tab, or else any number of blanks and tabs       |
| names of the columns     | a first line that is not all numbers, optionally after # or //, as CloudCompare writes |
| without such a line      | x y z, x y z intensity, x y z r g b (0–255), or x y z intensity r g b (0–255);         |
|                          | x y z r g b alpha where the last is 255 throughout; normals of length 1 for r g b      |
| named by the user        | whatever the first line says                                                           |
| count of points          | one whole number alone before the first row, as in .pts                                |

A decimal comma is refused, since it cannot always be told from a separator.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError
from lidarprep.pointfiles._files import appearing_whole, scalar_columns, storable
from lidarprep.pointfiles._numeric_text import BLANKS, FLAG, WHOLE, Column, line_of, read_columns
from lidarprep.pointfiles.columns import (
    NamedColumn,
    cloud_from_columns,
    columns_option,
    parse_columns,
    refuse_types,
)
from lidarprep.pointfiles.fields import cloud_from_fields, is_known, time_name
from lidarprep.remote import AnyPath
from lidarprep.scene import PointCloud, ReferenceFrame

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

# Coordinates as ParaView and VeloView name them.
_VECTOR_NAME = re.compile(r"points(?:_m_xyz)?[:_]([012])")
_UNIT = re.compile(r"(.*?)\s*[\[(]\s*([^\])]*?)\s*[\])]")
_MAX_LINE_BYTES = 1 << 16

ADD_HEADER = "Add a first line with the names of the columns, such as: x,y,z,intensity"

# When writing, the separator by suffix, and the mark before the header; .pts has a count in its place.
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_HEADER_MARKS = {".csv": "", ".tsv": "", ".asc": "//", ".xyz": "//", ".txt": "# "}

_METRES = ("", "m", "metre", "metres", "meter", "meters")

_ROWS_AT_ONCE = 1 << 14

# Normals are written with few digits.
_NORMAL_TOLERANCE = 0.01


def read(path: AnyPath, frame: ReferenceFrame = "ego", columns: str | None = None) -> PointCloud:
    """Read delimited text; numbers are read exactly, and empty values become NaN.

    `columns` names the columns in place of the file.

    Returns:
        Positions (N, 3) float64, metres; other columns int64 where all of their values are whole numbers, else
        float64. Columns of text, of incomplete flags, and of unknown names are named as ignored.

    Raises:
        FormatError: The text is not ASCII-compatible, its columns cannot be told, its rows differ in length, text
            takes the place of a number, or the values are not what `columns` says.
    """
    text = path.read_bytes()
    _check_encoding(path, text)
    dialect = _sniff(path, text)
    named = None if columns is None else parse_columns(columns)
    if named is not None:
        kept = _chosen(path, text, dialect, named)
    else:
        kept = _named(path, text, dialect) if dialect.names is not None else _bare(path, text, dialect)
    values = read_columns(path, text, dialect.start, kept, dialect.separator)
    rows = next((len(numbers) for numbers in values if numbers is not None), 0)
    if dialect.promised not in (None, rows):
        raise FormatError(
            path,
            place=f"line {line_of(text, len(text.rstrip()))}",
            found=f"{rows} rows",
            expected=f"{dialect.promised}, as the count before them says",
            fix="The file was cut, or the count belongs to another one.",
        )
    if named is not None:
        return cloud_from_columns(path, named, values[: len(named)], frame)
    fields: dict[str, NDArray[Any]] = {}
    unread = []
    for column, numbers in zip(kept, values, strict=True):
        if numbers is not None and column.name not in fields:
            fields[column.name] = numbers
        elif column.name:
            unread.append(column.name)
    if dialect.names is not None:
        return cloud_from_fields(path, fields, frame, unread=unread)
    fields, notes = _told_by_values(fields)
    _check_colour(path, fields)
    return replace(cloud_from_fields(path, fields, frame, unread=unread), notes=notes)


def write(path: Path, cloud: PointCloud) -> tuple[str, ...]:
    """Write rows of the shortest numbers that read back as the same, under a header with the columns' names.

    A .csv has commas, a .tsv tabs, any other blanks. A .pts begins with the count of points in place of a header, and
    holds positions, intensity and colour.

    Returns:
        Names of the cloud's columns that are left out, or rounded: a long double.
    """
    columns = scalar_columns(cloud)
    lost = []
    suffix = path.suffix.lower()
    if suffix == ".pts":
        wanted = BARE_COLUMNS[3 + (cloud.intensity is not None) + 3 * (cloud.colour is not None)]
        lost = [name for name in cloud.columns if name not in ("colour", *wanted)]
        columns = {name: columns[name] for name in wanted}
    columns, rounded = storable(columns, [f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)] + ["f4", "f8"])
    separator = _SEPARATORS.get(suffix, " ").encode()
    with appearing_whole(path) as stream:
        if suffix == ".pts":
            stream.write(b"%d\n" % len(cloud))
        else:
            stream.write(_HEADER_MARKS.get(suffix, "").encode() + separator.join(n.encode() for n in columns) + b"\n")
        for start in range(0, len(cloud), _ROWS_AT_ONCE):
            texts = [column[start : start + _ROWS_AT_ONCE].astype("S") for column in columns.values()]
            stream.writelines(separator.join(row) + b"\n" for row in zip(*(t.tolist() for t in texts), strict=True))
    return (*lost, *rounded)


def _chosen(path: AnyPath, text: bytes, dialect: _Dialect, named: tuple[NamedColumn, ...]) -> list[Column]:
    """Return the columns that the user named, which have to be as many as the first row has values."""
    refuse_types(path, named, "text, which states its numbers")
    values = dialect.first
    trailing = 1 if len(values) == len(named) + 1 and not values[-1] else 0
    if values and len(values) - trailing != len(named):
        raise FormatError(
            path,
            place=f"line {line_of(text, dialect.start)}",
            found=f"{len(values)} values: {b' '.join(values)[:60].decode('ascii', 'replace')!r}",
            expected=f"{len(named)}, as --columns says",
            fix="Count the columns again; _ skips one.",
        )
    columns = []
    for k, column in enumerate(named):
        kind = "<f8" if column.name in ("x", "y", "z") else _type_of(values[k] if values else b"")
        columns.append(Column(column.name, kind if column.name else None))
    return columns + [Column("", None)] * trailing


def _named(path: AnyPath, text: bytes, dialect: _Dialect) -> list[Column]:
    """Return the columns under a header."""
    columns = []
    names = dialect.names or []
    for k, given in enumerate(names):
        name, unit = _plain_name(given)
        if name in ("x", "y", "z"):
            if unit not in _METRES:
                raise FormatError(
                    path,
                    place="the header",
                    found=f"{given!r}",
                    expected="coordinates in metres",
                    fix="Convert x, y and z to metres, and name them x, y and z.",
                )
            columns.append(Column(name, "<f8"))
            continue
        name = time_name(name, unit) or given
        first = dialect.first[k] if k < len(dialect.first) else b""
        columns.append(Column(name, _type_of(first) if is_known(name) else None))
    if dialect.first and len(dialect.first) == len(names) + 1 and not dialect.first[-1]:
        columns.append(Column("", None))  # each row ends with a separator, unlike the header
    missing = [axis for axis in "xyz" if axis not in (column.name for column in columns)]
    if missing:
        raise FormatError(
            path,
            place="the header",
            found=f"columns {', '.join(names[:20])}: no {' and no '.join(missing)}",
            expected="x, y and z",
        )
    return columns


def _type_of(first: bytes) -> str | None:
    """Return the type of a column, judged by its first value."""
    if FLAG_WORD.fullmatch(first):
        return FLAG
    if WHOLE_NUMBER.fullmatch(first):
        return WHOLE
    return "<f8" if not first or NUMBER.fullmatch(first) else None


def _bare(path: AnyPath, text: bytes, dialect: _Dialect) -> list[Column]:
    """Return the columns of a file without a header, by their number."""
    values = dialect.first
    trailing = 1 if values and not values[-1] else 0
    names = BARE_COLUMNS.get(len(values) - trailing)
    if names is None:
        _fail_row(path, text, dialect.start, b" ".join(values))
    kinds = {"red": WHOLE, "green": WHOLE, "blue": WHOLE}
    if WHOLE_NUMBER.fullmatch(values[3] if len(values) > 3 else b""):
        kinds["intensity"] = WHOLE
    return [Column(name, kinds.get(name, "<f8")) for name in names] + [Column("", None)] * trailing


def _told_by_values(fields: dict[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Rename the columns of a file without a header whose numbers say that they are others; and note that."""
    names, values = list(fields), list(fields.values())
    if len(names) < 6 or not len(values[0]):
        return fields, ()
    normals = np.column_stack(values[-3:]).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.sqrt((normals**2).sum(axis=1))
    unit = np.abs(length - 1) < _NORMAL_TOLERANCE
    # A point may lack its normal.
    if any(one.dtype.kind == "f" for one in values[-3:]) and unit.any() and (unit | (length == 0)).all():
        names[-3:] = ["nx", "ny", "nz"]
        return dict(zip(names, values, strict=True)), ("the last three columns have a length of 1: they are normals",)
    if len(names) == 7 and (values[-1] == 255).all() and all(_are_channels(one) for one in values[3:6]):
        names[3:] = ["red", "green", "blue", "alpha"]
        note = "the last of seven columns is 255 throughout: they are taken as x y z red green blue alpha"
        return dict(zip(names, values, strict=True)), (note,)
    return fields, ()


def _are_channels(values: NDArray[Any]) -> bool:
    return bool(((values >= 0) & (values <= 255) & (values == np.floor(values))).all())


def _check_colour(path: AnyPath, fields: dict[str, NDArray[Any]]) -> None:
    """Check that the last three columns of a file without a header look like colours."""
    for name in ("red", "green", "blue"):
        values = fields.get(name)
        if values is None or not values.size:
            continue
        if not _are_channels(values):
            raise FormatError(
                path,
                place=f"column {list(fields).index(name) + 1}",
                found=f"numbers that are not colours, in {len(fields)} columns without a header",
                expected="the last three to be red, green and blue, whole numbers from 0 to 255",
                fix=_name_columns(len(fields)),
            )


def _name_columns(count: int) -> str:
    """Advise to name so many columns."""
    names = ",".join(("x", "y", "z", "intensity")[: min(count, 4)] + ("_",) * (count - 4)) if count >= 3 else "x,y,z"
    return f"Name the columns: {columns_option(names)}. Or {ADD_HEADER[0].lower()}{ADD_HEADER[1:]}"


# ---- dialect ----


@dataclass(frozen=True)
class _Dialect:
    """The lines before the first row, and the form of that row.

    `names` is None without a header, `promised` the count of points given before the rows, `start` the offset of the
    first row or of the text's end, and `first` the values of that row, if there is one.
    """

    names: list[str] | None
    promised: int | None
    start: int
    first: list[bytes]
    separator: str


def _check_encoding(path: AnyPath, text: bytes) -> None:
    """Refuse an empty file, UTF-16 and binary data."""
    if not text:
        raise FormatError(path, found="an empty file", expected="a header or rows of numbers")
    if text.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in text[:1024]:
        is_utf_16 = text.startswith((b"\xff\xfe", b"\xfe\xff")) or set(text[:64:2]) == {0} or set(text[1:64:2]) == {0}
        raise FormatError(
            path,
            place="byte 0",
            found="text in UTF-16" if is_utf_16 else "zero bytes, which text does not have",
            expected="UTF-8 or ASCII",
            fix="Save it as UTF-8." if is_utf_16 else None,
        )


def _sniff(path: AnyPath, text: bytes) -> _Dialect:
    """Skip comments, a header and a count up to the first row."""
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
            values = _split(words, separator)
            if names is not None or all(not value or NUMBER.fullmatch(value) for value in values):
                if names is None and values == [b"%d" % k for k in range(len(values))] and separator != BLANKS:
                    # pandas names unnamed columns so, but it may be a point.
                    found = f"{words[:60].decode('ascii')!r} as the first line: a point, or numbers of columns"
                    place = f"line {line_of(text, at)}"
                    raise FormatError(path, place=place, found=found, expected="names of columns", fix=ADD_HEADER)
                return _Dialect(names, promised, at, values, separator)
            if not any(re.search(rb"[^\W\d]", value) for value in values):
                _fail_row(path, text, at, words)
            names = _names_in(words, must=True)
        at = behind
    if names is None and promised == 0:
        names = ["x", "y", "z"]
    if names is None:
        raise FormatError(path, found="neither a row nor a header", expected="rows of numbers: x, y, z, …")
    return _Dialect(names, promised, len(text), [], BLANKS)


def _line(path: AnyPath, text: bytes, at: int) -> tuple[bytes, int]:
    """Return the line at an offset, and the offset of the next."""
    found = re.compile(rb"[^\r\n]*").match(text, at)
    end = found.end() if found else at
    if end - at > _MAX_LINE_BYTES:
        raise FormatError(
            path, place=f"line {line_of(text, at)}", found=f"a line of {end - at} bytes", expected="a row"
        )
    return text[at:end], end + (2 if text[end : end + 2] == b"\r\n" else 1)


def _rows_are_wider(text: bytes, at: int) -> bool:
    """Return whether rows of several values, or nothing at all, follow a lone number."""
    rest = text[at : at + _MAX_LINE_BYTES].split(maxsplit=1)
    if not rest:
        return True
    start = text.index(rest[0], at)
    line = re.split(rb"[\r\n]", text[start : start + _MAX_LINE_BYTES], maxsplit=1)[0]
    return len(re.split(rb"[;,\s]+", line.strip())) > 1


def _separator(path: AnyPath, text: bytes, at: int, line: bytes) -> str:
    """Return the separator of a line."""
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


def _split(line: bytes, separator: str) -> list[bytes]:
    """Return the values of a line, without blanks and quotes around them."""
    if separator == BLANKS:
        values = [value.strip(b'"') for value in re.findall(rb'"(?:""|[^"])*"|\S+', line)]
    else:
        text = line.decode("utf-8", "surrogateescape")
        row = next(csv.reader([text], delimiter=separator, skipinitialspace=separator != "\t"), [])
        values = [value.encode("utf-8", "surrogateescape") for value in row]
    return [value.strip() for value in values]


def _names_in(line: bytes, *, must: bool) -> list[str] | None:
    """Return the names of columns in a line, or None if it is not a header and need not be."""
    bare = re.sub(rb'"(""|[^"])*"', b"", line)
    separator = next((s for s in (";", ",", "\t") if s.encode() in bare), BLANKS)
    names = [value.decode("utf-8", "replace") for value in _split(line, separator)]
    plain = {_plain_name(name)[0] for name in names}
    return names if must or {"x", "y", "z"} <= plain else None


def _plain_name(name: str) -> tuple[str, str]:
    """Return a column's name as `fields.py` knows it, and its unit: "X [m]" is x in m."""
    with_unit = _UNIT.fullmatch(name.strip())
    name, unit = (with_unit[1], with_unit[2].lower()) if with_unit else (name.strip(), "")
    name = name.lstrip(".")
    vector = _VECTOR_NAME.fullmatch(name.lower())
    if vector:
        return "xyz"[int(vector[1])], unit
    if name.lower() in ("x_m", "y_m", "z_m"):
        return name[0].lower(), "m"
    return (name.lower() if name.lower() in ("x", "y", "z") else name), unit


def _fail_row(path: AnyPath, text: bytes, at: int, line: bytes) -> NoReturn:
    """Refuse a row that without a header has no known columns."""
    values = len(re.split(rb"[;,\s]+", line.strip()))
    shown = line[:60].decode("ascii", "replace")
    raise FormatError(
        path,
        place=f"line {line_of(text, at)}",
        found=f"{values} value{'s' * (values != 1)} in a file without a header: {shown!r}",
        expected=", or ".join(" ".join(names) for names in BARE_COLUMNS.values()),
        fix=_name_columns(values),
    )
