"""Rows of numbers in text to columns, for ASCII PLY, ASCII PCD and delimited text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError
from lidarprep.kernels import numeric_text as kernels
from lidarprep.pointfiles.fields import is_time, plain_name
from lidarprep.remote import AnyPath

BLANKS = " "

# Types of a column beside NumPy's ("<f4"): integers if all values are, else float64.
WHOLE = "whole"

# Read like WHOLE, but skipped as text if a value is neither an integer nor a flag.
FLAG = "flag"

# Numbers that the kernel leaves to Python in one call.
_SLOW_AT_ONCE = 1024

_SAMPLE_BYTES = 1 << 16

# Coordinates in metres and times in seconds keep the text's own precision if float32 would round one by more.
_MOST_ROUNDED = 1e-4


@dataclass(frozen=True)
class Column:
    """One value of each row: its name in the file, and the NumPy code of its numbers, WHOLE, FLAG, or None for text."""

    name: str
    type: str | None


def read_columns(
    path: AnyPath, text: bytes, start: int, columns: Sequence[Column], separator: str
) -> list[NDArray[Any] | None]:
    """Read the rows of `text` (all of the file) from `start` to its end as columns.

    The separator is one character, or BLANKS for any number of blanks and tabs between two values.

    Returns:
        (N,) for each column, a view into one table; None for text.

    Raises:
        FormatError: A row has another number of values, or a value that its column's type cannot hold.
    """
    rows = _capacity(text, start, columns, _likely_rows(text, start))
    table, not_whole, _ = _read(path, text, start, columns, rows, separator, grow=True)
    if not_whole.any():
        broken = zip(columns, not_whole, strict=True)
        instead = {WHOLE: "<f8", FLAG: None}
        columns = [replace(one, type=instead[one.type or WHOLE]) if is_not else one for one, is_not in broken]
        table, _, _ = _read(path, text, start, columns, len(table), separator)
    return [None if column.type is None else table[str(k)] for k, column in enumerate(columns)]


def read_promised(
    path: AnyPath,
    text: bytes,
    start: int,
    columns: Sequence[Column],
    rows: int,
    promise: str,
    *,
    before: int = 0,
    after: int = 0,
) -> list[NDArray[Any]]:
    """Read as many rows as a header promises, separated by blanks and tabs, as columns of numbers.

    `promise` is the header's claim, for errors; `before` and `after` count the rows of other elements around them.

    Raises:
        FormatError: There are more rows or fewer; or as for `read_columns`.
    """
    at = behind_rows(text, start, before) if before else start
    table = None
    if _capacity(text, at, columns, rows) == rows:
        table, _, at = _read(path, text, at, columns, rows, BLANKS)
    if table is None or len(table) != rows or after or at < len(text):
        found, total = count_rows(text, start), before + rows + after
        if table is None or found != total:
            raise FormatError(
                path,
                place=f"line {line_of(text, len(text.rstrip()))}",
                found=f"{found} rows after the header",
                expected=f"{total}: {promise}",
                fix="The file was cut, or its header belongs to another one.",
            )
    return [table[str(k)] for k in range(len(columns))]


def text_type(name: str, code: str) -> str:
    """Return the type to read a column of text with: float64 for coordinates and times declared as float32."""
    return "<f8" if code == "<f4" and (_is_coordinate(name) or is_time(name)) else code


def as_declared(names: Sequence[str], codes: Sequence[str], values: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Round columns that were read by `text_type` to their declared types, unless float32 loses what the text says.

    Of the coordinates all keep it if one does.

    Args:
        names: Of the columns.
        codes: Their declared types.
        values: (N,) each, as they were read.
    """
    wide = [code == "<f4" and column.dtype == np.float64 for code, column in zip(codes, values, strict=True)]
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = [
            column.astype(np.float32) if is_wide else column for column, is_wide in zip(values, wide, strict=True)
        ]
        losing = [
            is_wide and bool((np.abs(column - held) > _MOST_ROUNDED).any())
            for column, held, is_wide in zip(values, rounded, wide, strict=True)
        ]
    place_lost = any(loses for loses, name in zip(losing, names, strict=True) if _is_coordinate(name))
    return [
        column if loses or (place_lost and _is_coordinate(name)) else held
        for name, column, held, loses in zip(names, values, rounded, losing, strict=True)
    ]


def _is_coordinate(name: str) -> bool:
    return plain_name(name) in ("x", "y", "z")


def _likely_rows(text: bytes, start: int) -> int:
    """Estimate the number of rows, rather too high than too low, from the length of the first lines."""
    sample = text[start : start + _SAMPLE_BYTES]
    lines = sample.count(b"\n") + sample.count(b"\r") + 1
    return lines * (len(text) - start) // max(len(sample), 1) * 9 // 8 + 16


def _capacity(text: bytes, start: int, columns: Sequence[Column], rows: int) -> int:
    """Return `rows`, or fewer if text of this size could not hold them: a byte follows each value."""
    return min(rows, (len(text) - start) // len(columns) + 1)


def count_rows(text: bytes, start: int) -> int:
    """Count the lines from `start` on that are not blank."""
    rows: int = kernels.count_rows(np.frombuffer(text, np.uint8), start, len(text))[0]
    return rows


def behind_rows(text: bytes, start: int, rows: int) -> int:
    """Return the offset behind that many lines that are not blank."""
    offset: int = kernels.count_rows(np.frombuffer(text, np.uint8), start, rows)[1]
    return offset


def line_of(text: bytes, offset: int) -> int:
    """Return the number of the line at an offset, from 1; lines end in LF, CRLF or CR."""
    return 1 + text.count(b"\n", 0, offset) + text.count(b"\r", 0, offset) - text.count(b"\r\n", 0, offset)


def _read(
    path: AnyPath, text: bytes, start: int, columns: Sequence[Column], rows: int, separator: str, *, grow: bool = False
) -> tuple[NDArray[np.void], NDArray[np.bool_], int]:
    """Return up to `rows` records, or with `grow` all; which columns are not whole; the offset behind."""
    kept = [(str(k), "<i8" if c.type in (WHOLE, FLAG) else c.type) for k, c in enumerate(columns) if c.type is not None]
    dtype = np.dtype(kept)
    fields, limits = _fields(columns, dtype)
    table, data = _table(rows, dtype)
    slow = np.empty((max(_SLOW_AT_ONCE, len(columns)), 4), np.int64)
    not_whole = np.zeros(len(columns), np.bool_)
    at, row = start, 0
    while True:
        status, at, row, field, slow_count = kernels.read_rows(
            np.frombuffer(text, np.uint8), at, row, rows, ord(separator), fields.reshape(-1), limits, data,
            dtype.itemsize, slow, not_whole,
        )  # fmt: skip
        for place, width, first, end in slow[:slow_count].tolist():
            with np.errstate(over="ignore"):  # beyond float32 is infinite
                data[place : place + width].view(f"<f{width}")[0] = np.float64(float(text[first:end]))
        if status == kernels.MORE_ROWS and grow:
            before, rows = table, _capacity(text, start, columns, rows + rows // 2 + 16)
            table, data = _table(rows, dtype)
            table[:row] = before
        elif status in (kernels.OK, kernels.MORE_ROWS):
            return table[:row], not_whole, at
        elif status != kernels.SLOW_FULL:
            _refuse(path, text, status, at, columns, field, separator)


def _table(rows: int, dtype: np.dtype[np.void]) -> tuple[NDArray[np.void], NDArray[np.uint8]]:
    """Allocate records; return them, and their bytes."""
    table = np.empty(rows, dtype)
    return table, table.view(np.uint8).reshape(-1) if dtype.itemsize else np.empty(0, np.uint8)


def _fields(columns: Sequence[Column], dtype: np.dtype[np.void]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Describe each column for the kernel."""
    fields = np.zeros((len(columns), 3), np.int64)
    limits = np.zeros((len(columns), 2), np.uint64)
    offsets = {name: field[1] for name, field in (dtype.fields or {}).items()}
    for k, column in enumerate(columns):
        if column.type is None:
            continue
        own, offset = dtype[str(k)], offsets[str(k)]
        kind = kernels.FLOAT if own.kind == "f" else kernels.WHOLE if column.type in (WHOLE, FLAG) else kernels.INTEGER
        fields[k] = kind, own.itemsize, offset
        if own.kind != "f":
            limits[k] = np.iinfo(own).max, -int(np.iinfo(own).min)
    return fields, limits


def _refuse(
    path: AnyPath, text: bytes, status: int, at: int, columns: Sequence[Column], field: int, separator: str
) -> NoReturn:
    line = line_of(text, at)
    if status in (kernels.TOO_FEW_VALUES, kernels.TOO_MANY_VALUES):
        start = max(text.rfind(b"\n", 0, at), text.rfind(b"\r", 0, at)) + 1
        values = _line_at(text, start).split(None if separator == BLANKS else separator.encode())
        names = ", ".join(column.name for column in columns[:20])
        raise FormatError(
            path,
            place=f"line {line}",
            found=f"{len(values)} values",
            expected=f"{len(columns)}: {names}" + (", …" if len(columns) > 20 else ""),
        )
    column = columns[field]
    value = _value_at(text, at, separator)
    place = f"line {line}, column {field + 1} ({column.name})"
    is_integer = column.type not in (None, WHOLE, FLAG) and np.dtype(column.type).kind in "iu"
    kind = f"a {np.dtype(column.type)} number" if is_integer else "a number"
    if any(byte >= 0x80 for byte in value):
        foreign = next(byte for byte in value if byte >= 0x80)
        raise FormatError(path, place=place, found=f"byte 0x{foreign:02x}, which is not ASCII", expected=kind)
    found = repr(value[:40].decode("ascii"))
    fix = None
    if status == kernels.NOT_A_NUMBER and value.count(b",") == 1 and value.replace(b",", b"").strip(b"+-").isdigit():
        fix = "It looks like a decimal comma: write numbers with a decimal point."
    raise FormatError(path, place=place, found=found, expected=kind, fix=fix)


def _line_at(text: bytes, start: int) -> bytes:
    ends = [end for end in (text.find(b"\n", start), text.find(b"\r", start)) if end >= 0]
    return text[start : min(ends, default=len(text))]


def _value_at(text: bytes, at: int, separator: str) -> bytes:
    """Return the value at an offset, for an error."""
    rest = _line_at(text, at)
    if separator == BLANKS:
        return (rest.split(maxsplit=1) or [b""])[0]
    return rest.split(separator.encode(), 1)[0].strip().strip(b'"')
