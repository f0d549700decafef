"""Field names as people write them, and the columns that they fill: one table for all point formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError
from lidarprep.pointfiles.timestamps import guessed_unit, to_nanoseconds
from lidarprep.scene import PointCloud, ReferenceFrame
from lidarprep.scene.points import NANOSECONDS, TimeUnit

_TIME_NAMES = ("timestamp", "t", "time", "timestamps", "gps_time", "gpstime", "offset_time")

# Names with a unit: timestamp_ns, t_us.
_UNIT_OF_TIME_NAME: dict[str, TimeUnit] = {f"{name}_{unit}": unit for unit in NANOSECONDS for name in _TIME_NAMES}

# The names of each column, in lower case, best first. Of several in a file the first is read, and the others are named
# as ignored. The packed colour is PCL's: 0xRRGGBB in the bits of a 4-byte number.
FIELD_NAMES: dict[str, tuple[str, ...]] = {
    "x": ("x",),
    "y": ("y",),
    "z": ("z",),
    "intensity": ("intensity", "i", "reflectance", "reflectivity", "remission"),
    "timestamp": (*_UNIT_OF_TIME_NAME, *_TIME_NAMES),
    "device": ("device", "device_id", "d"),
    "ring": ("ring", "laser_number", "laser_id", "channel"),
    "is_ground": ("is_ground",),
    "red": ("red", "r"),
    "green": ("green", "g"),
    "blue": ("blue", "b"),
    "packed colour": ("rgb", "rgba"),
}


def cloud_from_fields(
    path: Path,
    fields: Mapping[str, NDArray[Any]],
    frame: ReferenceFrame = "ego",
    *,
    unread: Sequence[str] = (),
) -> PointCloud:
    """Build a point cloud from a file's fields, each copied into a column of its own.

    A field fills a column if its name is known and its values fit: a `d` that holds distances is not a device id.
    Every other field is named in `ignored_fields`.

    Args:
        path: The file, for errors.
        fields: (N,) each, by their names in the file; capitals and CloudCompare's prefix `scalar_` are ignored.
        frame: The points' frame of reference.
        unread: Names of further fields, which the format's module did not read.

    Returns:
        Positions float32 where x, y and z are float32 or narrower floats, else float64; intensity in its own dtype.

    Raises:
        FormatError: x, y or z is missing or does not hold numbers.
    """
    source_names: dict[str, str] = {}
    for name in fields:
        source_names.setdefault(_plain(name), name)

    def best(column: str) -> str | None:
        return next((source_names[name] for name in FIELD_NAMES[column] if name in source_names), None)

    axes = [best(axis) for axis in "xyz"]
    positions = _positions(path, fields, axes)
    used = {name for name in axes if name is not None}

    columns: dict[str, NDArray[Any]] = {}
    converters: tuple[tuple[str, Callable[[str, NDArray[Any]], NDArray[Any] | None]], ...] = (
        ("intensity", lambda _, values: _numbers(values)),
        ("timestamp", _timestamps),
        ("device", lambda _, values: _whole(values, np.uint32)),
        ("ring", lambda _, values: _whole(values, np.uint16)),
        ("is_ground", lambda _, values: _flags(values)),
    )
    for column, convert in converters:
        source = best(column)
        values = convert(source, fields[source]) if source is not None else None
        if source is not None and values is not None:
            columns[column] = values
            used.add(source)

    unit = None
    times = best("timestamp")
    if "timestamp" in columns and times is not None and _plain(times) not in _UNIT_OF_TIME_NAME:
        unit = guessed_unit(fields[times])

    channels = [name for name in map(best, ("red", "green", "blue")) if name is not None]
    packed = best("packed colour")
    colour = _colour([fields[name] for name in channels])
    if colour is not None:
        used.update(channels)
    elif packed is not None:
        colour = _unpacked_colour(fields[packed])
        used.update({packed} if colour is not None else ())
    if colour is not None:
        columns["colour"] = colour

    ignored = (*(name for name in fields if name not in used), *unread)
    return PointCloud(positions, frame, **columns, ignored_fields=ignored, guessed_unit=unit)


def is_known(name: str) -> bool:
    """Return whether a column has this field name."""
    return any(_plain(name) in names for names in FIELD_NAMES.values())


def time_name(name: str, unit: str) -> str | None:
    """Return the name of a field of times in a unit that the file states: `t` in "ns" is t_ns; None: not times."""
    named = f"{_plain(name)}_{unit.replace('µ', 'u').replace('μ', 'u')}"
    return named if named in _UNIT_OF_TIME_NAME else None


def _plain(name: str) -> str:
    """Return a name as the table has it: in lower case, without CloudCompare's prefix."""
    return name.lower().removeprefix("scalar_")


def _positions(path: Path, fields: Mapping[str, NDArray[Any]], axes: list[str | None]) -> NDArray[np.floating[Any]]:
    """Return positions (N, 3), C-contiguous."""
    missing = [axis for axis, name in zip("xyz", axes, strict=True) if name is None]
    if missing:
        raise FormatError(
            path,
            place="the header",
            found=f"fields {', '.join(fields) or '(none)'}: no {' and no '.join(missing)}",
            expected="x, y and z",
            fix="Name the columns of the coordinates so, in metres; project longitudes and latitudes before.",
        )
    columns = [fields[name] for name in axes if name is not None]
    for axis, column in zip("xyz", columns, strict=True):
        if column.ndim != 1 or column.dtype.kind not in "iuf":
            raise FormatError(
                path, place=f"field '{axis}'", found=f"{column.dtype} {column.shape}", expected="one number a point"
            )
    narrow = all(column.dtype.kind == "f" and column.dtype.itemsize <= 4 for column in columns)
    positions = np.empty((len(columns[0]), 3), dtype=np.float32 if narrow else np.float64)
    for k, column in enumerate(columns):
        positions[:, k] = column
    return positions


def _numbers(values: NDArray[Any]) -> NDArray[Any] | None:
    """Return a copy in native byte order, or None if these are not single numbers."""
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        return None
    return np.array(values, dtype=values.dtype.newbyteorder("="))


def _timestamps(name: str, values: NDArray[Any]) -> NDArray[np.int64] | None:
    """Return int64 nanoseconds, or None if these cannot be times."""
    return None if _numbers(values) is None else to_nanoseconds(values, _UNIT_OF_TIME_NAME.get(_plain(name)))


def _whole(values: NDArray[Any], dtype: type[np.unsignedinteger[Any]]) -> NDArray[Any] | None:
    """Return the values as `dtype`, or None if one is not a whole number or does not fit."""
    numbers = _numbers(values)
    if numbers is None:
        return None
    if numbers.dtype.kind != "b":
        fits = (numbers >= 0) & (numbers <= np.iinfo(dtype).max)
        if numbers.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                fits &= numbers == np.floor(numbers)
        if not fits.all():
            return None
    return numbers.astype(dtype)


def _flags(values: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return zeros and ones as booleans, or None if there are other values."""
    whole = _whole(values, np.uint8)
    return None if whole is None or (whole > 1).any() else whole.astype(np.bool_)


def _colour(channels: list[NDArray[Any]]) -> NDArray[np.uint8] | None:
    """Return (N, 3) from three channels of integers up to 255; floats are ignored, since their scale is unknown."""
    whole = [_whole(values, np.uint8) for values in channels if values.dtype.kind in "iu"]
    found = [values for values in whole if values is not None]
    return np.column_stack(found) if len(found) == 3 else None


def _unpacked_colour(values: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Return (N, 3) red, green, blue of 0xRRGGBB in the bits of 4-byte numbers; alpha is ignored."""
    numbers = _numbers(values)
    if numbers is None or numbers.dtype.itemsize != 4:
        return None
    bits = numbers.view(np.uint32)
    return np.column_stack([(bits >> shift & 0xFF).astype(np.uint8) for shift in (16, 8, 0)])
