"""Delimited text: .csv, .tsv, and rows parted by blanks (.xyz, .asc, .pts, .txt), with a header or without.

`text_lead.py` finds what the columns are and what parts them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lidarprep.errors import FormatError
from lidarprep.pointfiles.fields import cloud_from_fields, is_known, time_name
from lidarprep.pointfiles.text_lead import (
    ADD_HEADER,
    BARE_COLUMNS,
    FLAG_WORD,
    NUMBER,
    WHOLE_NUMBER,
    Lead,
    check_encoding,
    fail_row,
    plain_name,
    read_lead,
)
from lidarprep.pointfiles.text_rows import FLAG, WHOLE, Column, line_of, read_columns
from lidarprep.pointfiles.writing import appearing_whole, scalar_columns, storable
from lidarprep.scene import PointCloud, ReferenceFrame

# What is put between values by a file name's end, and before the names of the columns; .pts has a count in their place.
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_HEADER_MARKS = {".csv": "", ".tsv": "", ".asc": "//", ".xyz": "//", ".txt": "# "}

_METRES = ("", "m", "metre", "metres", "meter", "meters")

_ROWS_AT_ONCE = 1 << 14


def read(path: Path, frame: ReferenceFrame = "ego") -> PointCloud:
    """Read delimited text; numbers are read exactly, and what is left empty is not a number.

    Returns:
        Positions (N, 3) float64, metres; other columns int64 where all of their values are whole numbers, else
        float64. Columns of text, of flags some of which are missing, and those whose names mean nothing here, are
        named as ignored.

    Raises:
        FormatError: It is no ASCII-compatible text, there is no telling its columns, its rows differ in length, or
            text stands where a number belongs.
    """
    text = path.read_bytes()
    check_encoding(path, text)
    lead = read_lead(path, text)
    columns = _named(path, text, lead) if lead.names is not None else _bare(path, text, lead)
    values = read_columns(path, text, lead.start, columns, lead.separator)
    rows = next((len(numbers) for numbers in values if numbers is not None), 0)
    if lead.promised not in (None, rows):
        raise FormatError(
            path,
            place=f"line {line_of(text, len(text.rstrip()))}",
            found=f"{rows} rows",
            expected=f"{lead.promised}, as the count before them says",
            fix="The file was cut, or the count belongs to another one.",
        )
    fields: dict[str, NDArray[Any]] = {}
    unread = []
    for column, numbers in zip(columns, values, strict=True):
        if numbers is not None and column.name not in fields:
            fields[column.name] = numbers
        elif column.name:
            unread.append(column.name)
    if lead.names is None:
        _check_colour(path, fields)
    return cloud_from_fields(path, fields, frame, unread=unread)


def write(path: Path, cloud: PointCloud) -> tuple[str, ...]:
    """Write rows of the shortest numbers that are read back as the same, under a header with the columns' names.

    A .csv has commas, a .tsv tabs, any other blanks. A .pts begins with the count of points instead, and holds
    positions, and intensity and colour if it has to.

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
    for name, column in columns.items():
        columns[name], exact = storable(
            column, [f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)] + ["f4", "f8"]
        )
        lost.extend([] if exact else ["positions" if name in ("x", "y", "z") else name])
    separator = _SEPARATORS.get(suffix, " ").encode()
    with appearing_whole(path) as stream:
        if suffix == ".pts":
            stream.write(b"%d\n" % len(cloud))
        else:
            stream.write(_HEADER_MARKS.get(suffix, "").encode() + separator.join(n.encode() for n in columns) + b"\n")
        for start in range(0, len(cloud), _ROWS_AT_ONCE):
            texts = [column[start : start + _ROWS_AT_ONCE].astype("S") for column in columns.values()]
            stream.writelines(separator.join(row) + b"\n" for row in zip(*(t.tolist() for t in texts), strict=True))
    return tuple(dict.fromkeys(lost))


def _named(path: Path, text: bytes, lead: Lead) -> list[Column]:
    """The columns under a header."""
    columns = []
    names = lead.names or []
    for k, given in enumerate(names):
        name, unit = plain_name(given)
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
        first = lead.first[k] if k < len(lead.first) else b""
        columns.append(Column(name, _type_of(first) if is_known(name) else None))
    if lead.first and len(lead.first) == len(names) + 1 and not lead.first[-1]:
        columns.append(Column("", None))  # each row ends with a separator, but not the header
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
    """What a column is read as, by its first value."""
    if FLAG_WORD.fullmatch(first):
        return FLAG
    if WHOLE_NUMBER.fullmatch(first):
        return WHOLE
    return "<f8" if not first or NUMBER.fullmatch(first) else None


def _bare(path: Path, text: bytes, lead: Lead) -> list[Column]:
    """The columns without a header, by their count."""
    values = lead.first
    trailing = 1 if values and not values[-1] else 0
    names = BARE_COLUMNS.get(len(values) - trailing)
    if names is None:
        fail_row(path, text, lead.start, b" ".join(values))
    kinds = {"red": WHOLE, "green": WHOLE, "blue": WHOLE}
    if WHOLE_NUMBER.fullmatch(values[3] if len(values) > 3 else b""):
        kinds["intensity"] = WHOLE
    return [Column(name, kinds.get(name, "<f8")) for name in names] + [Column("", None)] * trailing


def _check_colour(path: Path, fields: dict[str, NDArray[Any]]) -> None:
    """Without a header, what stands where colours do has to look like colours."""
    for name in ("red", "green", "blue"):
        values = fields.get(name)
        if values is None or not values.size:
            continue
        if values.dtype.kind != "i" or values.min() < 0 or values.max() > 255:
            raise FormatError(
                path,
                place=f"column {list(fields).index(name) + 1}",
                found=f"numbers that are no colours, in {len(fields)} columns without a header",
                expected="the last three to be red, green and blue, whole numbers from 0 to 255",
                fix=ADD_HEADER,
            )
