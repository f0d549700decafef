"""sensor_msgs/PointCloud2: a block of bytes a point, and a list that says what is where in it.

Fields may have any names, offsets and types, with gaps between them; rows may be padded; numbers may be big-endian.
Rows of NaN, as organised clouds have them, are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.ros.cursor import Bytes, Cursor, Header, Wire
from lidarprep.errors import FormatError
from lidarprep.pointfiles.fields import FIELD_NAMES, cloud_from_fields
from lidarprep.scene import PointCloud

# sensor_msgs/PointField: INT8 = 1, UINT8, INT16, UINT16, INT32, UINT32, FLOAT32, FLOAT64 = 8.
_DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}

# A point's time below this, in nanoseconds, counts from the header's time.
_LARGEST_OFFSET = 1000 * 10**9

# More fields than this have no lidar; a count from a damaged message is not believed.
_MOST_FIELDS = 4096


@dataclass(frozen=True)
class _Field:
    name: str
    offset: int
    datatype: int
    count: int


def read_cloud(path: Path, place: str, data: Bytes, wire: Wire, stamp: int | None = None) -> tuple[Header, PointCloud]:
    """A PointCloud2 as columns, in the sensor's frame.

    Args:
        path: The bag, for errors.
        place: Which message it is, for errors.
        data: The serialised message.
        wire: How it is serialised.
        stamp: What the points' times count from, nanoseconds, where it is not the header's time.

    Returns:
        The message's header and its points, (height · width) rows in the message's order; times of points are
        nanoseconds since the Unix epoch.

    Raises:
        FormatError: The message is cut, or its sizes and fields do not fit together.
    """
    cursor = Cursor(path, place, data, wire)
    header = cursor.header()
    height, width = cursor.number("I"), cursor.number("I")
    fields = _fields(cursor)
    order = ">" if cursor.number("B") else "<"
    point_step, row_step = cursor.number("I"), cursor.number("I")
    points = _points(path, place, cursor.blob(), (height, width, point_step, row_step))
    columns: dict[str, NDArray[Any]] = {}
    unread = []
    for field in fields:
        code = _DATATYPES.get(field.datatype)
        if code is None or field.name in columns:
            unread.append(field.name)
            continue
        columns[field.name] = _column(path, place, points, np.dtype(order + code), field)
    cloud = cloud_from_fields(path, columns, "sensor", unread=unread)
    return header, _with_absolute_times(cloud, header.stamp if stamp is None else stamp)


def has_point_times(path: Path, place: str, front: Bytes, wire: Wire) -> bool | None:
    """Whether a PointCloud2's points have times of their own; None where its first bytes do not tell."""
    cursor = Cursor(path, place, front, wire)
    try:
        cursor.header()
        cursor.number("I"), cursor.number("I")  # height, width
        return any(field.name.lower() in FIELD_NAMES["timestamp"] for field in _fields(cursor))
    except FormatError:
        return None  # more fields than the front has; a damaged message is refused when it is read


def _fields(cursor: Cursor) -> list[_Field]:
    listed = cursor.number("I")
    if listed > _MOST_FIELDS:
        raise FormatError(cursor.path, place=cursor.place, found=f"{listed} fields", expected=f"at most {_MOST_FIELDS}")
    return [_Field(cursor.text(), cursor.number("I"), cursor.number("B"), cursor.number("I")) for _ in range(listed)]


def _points(path: Path, place: str, data: memoryview, sizes: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """(N, point_step) bytes, not copied unless the rows are padded."""
    height, width, point_step, row_step = sizes
    count = height * width
    row = width * point_step
    if count and not point_step:
        raise FormatError(path, place=place, found="a point_step of 0", expected="the bytes of a point")
    # Some drivers write another row_step than the specification has; the data's length tells.
    if height <= 1 or len(data) == height * row or not count:
        row_step = row
    if row_step < row or (count and len(data) < (height - 1) * row_step + row):
        raise FormatError(
            path,
            place=place,
            found=f"{len(data)} bytes of data in rows of {row_step}",
            expected=f"{height} × {width} points of {point_step} bytes",
            fix="The message was cut, or its writer counts wrongly.",
        )
    if not count:
        return np.zeros((0, point_step), dtype=np.uint8)
    flat = np.frombuffer(data, dtype=np.uint8)
    if row_step == row:
        return flat[: height * row].reshape(count, point_step)
    rows = np.lib.stride_tricks.as_strided(flat, (height, row), (row_step, 1), writeable=False)
    return np.ascontiguousarray(rows).reshape(count, point_step)


def _column(path: Path, place: str, points: NDArray[np.uint8], dtype: np.dtype[Any], field: _Field) -> NDArray[Any]:
    """(N,) the field's values, or (N, count), as a view of the points."""
    elements = max(field.count, 1)  # older writers put 0 for a single one
    if field.offset + elements * dtype.itemsize > points.shape[1]:
        raise FormatError(
            path,
            place=f"{place}, field {field.name!r}",
            found=f"{elements} values of {dtype.itemsize} bytes from byte {field.offset} on",
            expected=f"to end within the {points.shape[1]} bytes of a point",
        )
    if not len(points):
        return np.zeros((0,) if elements == 1 else (0, elements), dtype=dtype)
    shape, strides = (len(points),), (points.strides[0],)
    if elements > 1:
        shape, strides = (*shape, elements), (*strides, dtype.itemsize)  # type: ignore[assignment]
    return np.ndarray(shape, dtype, points.data, field.offset, strides)


def _with_absolute_times(cloud: PointCloud, stamp: int) -> PointCloud:
    """Times that are offsets, as most drivers write them, counted from the message's time.

    Offsets are below 1000 s, and nearer to 0 than to the message's time: a simulation's clock begins at 0, too.
    """
    times = cloud.timestamp
    if times is None or not len(times):
        return cloud
    lowest, highest = int(times.min()), int(times.max())
    largest = max(abs(lowest), abs(highest))
    if largest >= _LARGEST_OFFSET or max(abs(lowest - stamp), abs(highest - stamp)) < largest:
        return cloud
    times += stamp  # the column is this cloud's own
    return cloud
