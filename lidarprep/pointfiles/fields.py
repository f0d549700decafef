"""Field names as people write them, and the columns that they fill: one table for all point formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError
from lidarprep.pointfiles.timestamps import FILLED_TIMES, guessed_unit, to_nanoseconds
from lidarprep.remote import AnyPath
from lidarprep.scene import PointCloud, ReferenceFrame
from lidarprep.scene.points import NANOSECONDS, TimeUnit

# timestamp_ns, t_us and such are known too: names with a unit. The last two are times only with one.
_TIME_NAMES = ("timestamp", "t", "time", "timestamps", "time_stamp", "gps_time", "gpstime", "offset_time")
_UNIT_OF_TIME_NAME: dict[str, TimeUnit] = {
    f"{name}_{unit}": unit for unit in NANOSECONDS for name in (*_TIME_NAMES, "offset", "time_offset")
}

# Times in two fields, whole seconds and the nanoseconds beyond them.
_SPLIT_TIMES: tuple[tuple[str, str], ...] = tuple(
    (f"{name}{seconds}", f"{name}{nanoseconds}")
    for name in ("time_", "timestamp_", "time_stamp_", "t_", "")
    for seconds, nanoseconds in (("sec", "nsec"), ("secs", "nsecs"), ("sec", "nanosec"))
)

# Later ones would not fit into int64 as nanoseconds; and what never does.
_LATEST_S, _NO_TIME = 2.0**33, np.iinfo(np.int64).min

# The names of each column, in lower case, best first. Of several in a file the first is read, and the others are named
# as ignored. The packed colour is PCL's: 0xRRGGBB in the bits of a 4-byte number.
FIELD_NAMES: dict[str, tuple[str, ...]] = {
    "x": ("x",),
    "y": ("y",),
    "z": ("z",),
    "intensity": ("intensity", "i", "reflectance", "reflectivity", "remission"),
    "timestamp": (*_UNIT_OF_TIME_NAME, *_TIME_NAMES),
    "split timestamp": tuple(name for pair in _SPLIT_TIMES for name in pair),
    "device": ("device", "device_id", "d"),
    "ring": ("ring", "laser_number", "laser_id", "channel"),
    "is_ground": ("is_ground",),
    "red": ("red", "r"),
    "green": ("green", "g"),
    "blue": ("blue", "b"),
    "packed colour": ("rgb", "rgba"),
}


def cloud_from_fields(
    path: AnyPath,
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
        source_names.setdefault(plain_name(name), name)
    if "s" in source_names:
        source_names.pop("t", None)  # s and t are a texture's coordinates

    def best(column: str) -> str | None:
        return next((source_names[name] for name in FIELD_NAMES[column] if name in source_names), None)

    axes = [best(axis) for axis in "xyz"]
    positions = _positions(path, fields, axes)
    used = {name for name in axes if name is not None}

    columns: dict[str, NDArray[Any]] = {}
    converters: tuple[tuple[str, Callable[[NDArray[Any]], NDArray[Any] | None]], ...] = (
        ("intensity", _numbers),
        ("device", lambda values: _whole(values, np.uint32)),
        ("ring", lambda values: _whole(values, np.uint16)),
        ("is_ground", _flags),
    )
    for column, convert in converters:
        source = best(column)
        values = convert(fields[source]) if source is not None else None
        if source is not None and values is not None:
            columns[column] = values
            used.add(source)

    notes: tuple[str, ...] = ()
    unit = None
    timed_by, times = _timestamps(fields, source_names, best("timestamp"))
    if times is not None:
        columns["timestamp"], without = times
        used.update(timed_by)
        notes = (FILLED_TIMES,) if without else ()
        if len(timed_by) == 1 and plain_name(timed_by[0]) not in _UNIT_OF_TIME_NAME:
            unit = guessed_unit(fields[timed_by[0]])

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
    return PointCloud(positions, frame, **columns, ignored_fields=ignored, notes=notes, guessed_unit=unit)


def is_known(name: str) -> bool:
    """Return whether a column has this field name."""
    return any(plain_name(name) in names for names in FIELD_NAMES.values())


def is_time(name: str) -> bool:
    """Return whether a field of this name holds times."""
    return plain_name(name) in (*FIELD_NAMES["timestamp"], *FIELD_NAMES["split timestamp"])


def time_name(name: str, unit: str) -> str | None:
    """Return the name of a field of times in a unit that the file states: `t` in "ns" is t_ns; None: not times."""
    named = f"{plain_name(name)}_{unit.replace('µ', 'u').replace('μ', 'u')}"
    return named if named in _UNIT_OF_TIME_NAME else None


def plain_name(name: str) -> str:
    """Return a name as the table has it: in lower case, without CloudCompare's prefix."""
    return name.lower().removeprefix("scalar_")


def _positions(path: AnyPath, fields: Mapping[str, NDArray[Any]], axes: list[str | None]) -> NDArray[np.floating[Any]]:
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


def _timestamps(
    fields: Mapping[str, NDArray[Any]], source_names: Mapping[str, str], single: str | None
) -> tuple[tuple[str, ...], tuple[NDArray[np.int64], int] | None]:
    """Return the fields of the times, and as `to_nanoseconds` their values; None if these cannot be times."""
    for pair in _SPLIT_TIMES:
        names = tuple(source_names[name] for name in pair if name in source_names)
        parts = [numbers.astype(np.float64) for name in names if (numbers := _numbers(fields[name])) is not None]
        if len(parts) == 2:
            seconds, beyond = parts
            good = (seconds >= 0) & (seconds < _LATEST_S) & (beyond >= 0) & (beyond < 1e9)
            whole, rest = (np.where(good, part, 0.0).astype(np.int64) for part in parts)
            return names, to_nanoseconds(np.where(good, whole * 10**9 + rest, _NO_TIME), "ns")
    if single is None or _numbers(fields[single]) is None:
        return (), None
    return (single,), to_nanoseconds(fields[single], _UNIT_OF_TIME_NAME.get(plain_name(single)))


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
    """Return (N, 3) from three channels of whole numbers up to 255; None for other ones.

    Floats of 0 and 1 alone, or with fractions, are ignored: their scale is unknown.
    """
    whole = [_whole(values, np.uint8) for values in channels if values.dtype.kind in "iuf"]
    found = [values for values in whole if values is not None]
    if len(found) != 3:
        return None
    integers = all(values.dtype.kind in "iu" for values in channels)
    return np.column_stack(found) if integers or any((values > 1).any() for values in found) else None


def _unpacked_colour(values: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Return (N, 3) red, green, blue of 0xRRGGBB in the bits of 4-byte numbers; alpha is ignored."""
    numbers = _numbers(values)
    if numbers is None or numbers.dtype.itemsize != 4:
        return None
    bits = numbers.view(np.uint32)
    return np.column_stack([(bits >> shift & 0xFF).astype(np.uint8) for shift in (16, 8, 0)])
