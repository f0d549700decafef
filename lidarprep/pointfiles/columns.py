"""Columns that the user names, for files that name none: "x,y,z,intensity,_,t:f8".

Names are those of `fields.py`. An underscore or a hyphen skips a column. A type behind a colon, in NumPy's words, is
for binary rows, which are float32 where none is given; arrays and text have types of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError, SceneError
from lidarprep.pointfiles.fields import FIELD_NAMES, cloud_from_fields, is_known
from lidarprep.remote import AnyPath
from lidarprep.scene import PointCloud, ReferenceFrame
from lidarprep.scene.finding import opening_option

SKIPPED = ("_", "-")

# The types that a column of binary rows may have. Half-precision floats are among them, longer ones are not.
_TYPES = tuple(np.dtype(code) for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"))


@dataclass(frozen=True)
class NamedColumn:
    """One column of a file, as the user names it.

    Args:
        name: One of `FIELD_NAMES`, in lower case; "" where it is skipped.
        type: The NumPy code of its numbers, little-endian; None where none is given.
    """

    name: str
    type: str | None = None


@cache
def parse_columns(text: str) -> tuple[NamedColumn, ...]:
    """Read a comma-separated list of columns.

    Raises:
        SceneError: A name or a type is unknown, a name repeats, or x, y or z is missing.
    """
    columns = tuple(_parse_column(text, part) for part in text.split(","))
    names = [column.name for column in columns if column.name]
    repeated = sorted({name for name in names if names.count(name) > 1})
    missing = [axis for axis in "xyz" if axis not in names]
    if repeated or missing:
        problem = f"{', '.join(repeated)} twice" if repeated else f"no {' and no '.join(missing)}"
        raise SceneError(f"columns is {text!r}, with {problem}", fix="Name each column once; _ skips one.")
    return columns


def _parse_column(text: str, part: str) -> NamedColumn:
    name, colon, code = (word.strip().lower() for word in part.partition(":"))
    if name not in SKIPPED and not is_known(name):
        known = ", ".join(names[0] for column, names in FIELD_NAMES.items() if column != "packed colour")
        raise SceneError(
            f"columns is {text!r}, with the name {name!r}",
            fix=f"Known are {known}, times with a unit such as timestamp_us, and _ for a column to skip.",
        )
    if not colon:
        return NamedColumn("" if name in SKIPPED else name)
    try:
        dtype = np.dtype(code)
    except TypeError:
        dtype = np.dtype(object)
    if dtype not in _TYPES:
        raise SceneError(
            f"columns is {text!r}, with the type {code!r}",
            fix="Types are f4 or float32, f8 or float64, u1 or uint8, u2 or uint16, i4 or int32, and the like.",
        )
    return NamedColumn("" if name in SKIPPED else name, dtype.newbyteorder("<").str)


def columns_option(columns: str) -> str:
    """Spell the option, for the advice of an error."""
    return str(opening_option("--columns", columns, "columns", f"'{columns}'"))


def refuse_types(path: AnyPath, columns: Sequence[NamedColumn], what: str) -> None:
    """Refuse types of columns where the file itself states them.

    Raises:
        FormatError: A column has a type.
    """
    if any(column.type for column in columns):
        raise FormatError(
            path,
            found=f"{what}, and --columns gives types",
            expected="names only",
            fix="Leave the types out: they are for rows of bytes, such as .bin.",
        )


def cloud_from_columns(
    path: AnyPath,
    columns: Sequence[NamedColumn],
    values: Sequence[NDArray[Any] | None],
    frame: ReferenceFrame,
    *,
    unread: Sequence[str] = (),
) -> PointCloud:
    """Build a cloud from columns (N,) that the user named, each of which has to fit its name; None is one of text.

    Raises:
        FormatError: The values of a column are not what its name says: a ring that is no whole number.
    """
    fields: dict[str, NDArray[Any]] = {}
    for place, (column, numbers) in enumerate(zip(columns, values, strict=True), start=1):
        if column.name and numbers is None:
            raise _unfit(path, place, column.name)
        if column.name and numbers is not None:
            fields[column.name] = numbers
    cloud = cloud_from_fields(path, _with_whole_colours(fields), frame, unread=unread)
    for place, column in enumerate(columns, start=1):
        if column.name and column.name in cloud.ignored_fields:
            raise _unfit(path, place, column.name)
    return cloud


def _unfit(path: AnyPath, place: int, name: str) -> FormatError:
    return FormatError(
        path,
        place=f"column {place}",
        found=f"values that are not of the kind that its name in --columns says: {name}",
        fix="Count the columns again, or skip this one with _ in its place.",
    )


def _with_whole_colours(fields: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the fields, with floats that hold colours from 0 to 255, or from 0 to 1, as integers."""
    channels = {
        name: fields[name] for names in ("red", "green", "blue") for name in FIELD_NAMES[names] if name in fields
    }
    floats = {name: numbers for name, numbers in channels.items() if numbers.dtype.kind == "f" and numbers.size}
    if not floats or not all(np.isfinite(numbers).all() for numbers in floats.values()):
        return dict(fields)
    lowest = min(float(numbers.min()) for numbers in floats.values())
    highest = max(float(numbers.max()) for numbers in floats.values())
    is_whole = all(bool((numbers == np.rint(numbers)).all()) for numbers in floats.values())
    if lowest < 0 or highest > (255 if is_whole else 1):
        return dict(fields)
    # Whole numbers that end at 1 may be either; both are almost black then, so the smaller change is right.
    scale = 1 if is_whole else 255
    return {**fields, **{name: np.rint(numbers * scale).astype(np.uint8) for name, numbers in floats.items()}}
