"""Lidars of a bag: sensor_msgs/PointCloud2 as columns, and the clouds that make a frame.

A PointCloud2 is a block of bytes a point, and a list of the fields in it. Fields may have any names, offsets and types,
with gaps between them; rows may be padded; numbers may be big-endian. Rows of NaN, as organised clouds have them, are
kept.

A frame is one cloud of the first lidar, with those of the others nearest in time. A cloud belongs to one frame at most.
It is placed by its lidar's extrinsics at the message's time. `multi_lidar` describes how the device's motion between
the clouds of one frame is handled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.association import paired, unmatched
from lidarprep.datasets.multi_lidar import CloudTransform, LidarSweep, cloud_transforms, motion_note
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.ros._messages import Cursor, MessageSource, Series
from lidarprep.datasets.ros._transforms import TransformTree
from lidarprep.datasets.selection import listed
from lidarprep.errors import FormatError
from lidarprep.pointfiles.fields import cloud_from_fields, is_time
from lidarprep.scene import Lidar, PointCloud, Pose, Trajectory
from lidarprep.scene.points import middle_time

# sensor_msgs/PointField: INT8 = 1, UINT8, INT16, UINT16, INT32, UINT32, FLOAT32, FLOAT64 = 8.
_DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}

# A point's time below this, in nanoseconds, counts from the header's time.
_LARGEST_OFFSET = 1000 * 10**9

# No lidar has more fields than this; a larger count, of a damaged message, is refused.
_MOST_FIELDS = 4096


@dataclass(frozen=True)
class _Field:
    name: str
    offset: int
    datatype: int
    count: int


def read_cloud(cursor: Cursor, stamp: int | None = None) -> PointCloud:
    """Read a PointCloud2 as columns, in the sensor's frame.

    Args:
        cursor: The message.
        stamp: What the points' times count from, nanoseconds, where it is not the header's time.

    Returns:
        The (height · width) points in the message's order; their times are nanoseconds since the Unix epoch.

    Raises:
        FormatError: The message is cut, or its sizes and fields do not fit together.
    """
    header_stamp, _ = cursor.header()
    height, width = cursor.numbers("I", 2)
    fields = _fields(cursor)
    order = ">" if cursor.number("B") else "<"
    point_step, row_step = cursor.numbers("I", 2)
    points = _points(cursor, cursor.blob(), (height, width, point_step, row_step))
    columns: dict[str, NDArray[Any]] = {}
    unread = []
    for field in fields:
        code = _DATATYPES.get(field.datatype)
        if code is None or field.name in columns:
            unread.append(field.name)
            continue
        columns[field.name] = _column(cursor, points, np.dtype(order + code), field)
    cloud = cloud_from_fields(cursor.path, columns, "sensor", unread=unread)
    return _with_absolute_times(cloud, header_stamp if stamp is None else stamp)


def has_point_times(prefix: Cursor) -> bool | None:
    """Return whether a PointCloud2's points have times of their own; None where its first bytes do not tell."""
    try:
        prefix.header()
        prefix.numbers("I", 2)  # height, width
        return any(is_time(field.name) for field in _fields(prefix))
    except FormatError:
        return None  # more fields than the prefix has; a damaged message is refused when it is read


def _fields(cursor: Cursor) -> list[_Field]:
    listed = cursor.number("I")
    if listed > _MOST_FIELDS:
        raise cursor.error(f"{listed} fields", f"at most {_MOST_FIELDS}")
    return [_Field(cursor.text(), cursor.number("I"), cursor.number("B"), cursor.number("I")) for _ in range(listed)]


def _points(cursor: Cursor, data: memoryview, sizes: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Return (N, point_step) bytes, not copied unless the rows are padded."""
    height, width, point_step, row_step = sizes
    count = height * width
    row = width * point_step
    if count and not point_step:
        raise cursor.error("a point_step of 0", "the bytes of a point")
    # Some drivers write another row_step than the specification has; the data's length tells.
    if height <= 1 or len(data) == height * row or not count:
        row_step = row
    if row_step < row or (count and len(data) < (height - 1) * row_step + row):
        raise cursor.error(
            f"{len(data)} bytes of data in rows of {row_step}",
            f"{height} × {width} points of {point_step} bytes",
            "The message was cut, or its writer counts wrongly.",
        )
    if not count:
        return np.zeros((0, point_step), dtype=np.uint8)
    flat = np.frombuffer(data, dtype=np.uint8)
    if row_step == row:
        return flat[: height * row].reshape(count, point_step)
    rows = np.lib.stride_tricks.as_strided(flat, (height, row), (row_step, 1), writeable=False)
    return np.ascontiguousarray(rows).reshape(count, point_step)


def _column(cursor: Cursor, points: NDArray[np.uint8], dtype: np.dtype[Any], field: _Field) -> NDArray[Any]:
    """Return (N,) values of the field, or (N, count), as a view of the points."""
    elements = max(field.count, 1)  # older writers put 0 for a single one
    if field.offset + elements * dtype.itemsize > points.shape[1]:
        raise FormatError(
            cursor.path,
            place=f"{cursor.place}, field {field.name!r}",
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
    """Return the cloud with times since the epoch: most drivers write offsets from the message's time.

    Offsets are below 1000 s, and nearer to 0 than to the message's time: a simulation's clock begins at 0, too.
    """
    times = cloud.timestamp
    if times is None or not len(times):
        return cloud
    middle = middle_time(times)
    if abs(middle) >= _LARGEST_OFFSET or abs(middle - stamp) < abs(middle):
        return cloud
    times += stamp  # the column is this cloud's own
    return cloud


def _read_message(message: MessageSource, stamp: int, in_world: bool) -> PointCloud:
    """Read the points in the lidar's frame of reference; in the world if they are said to be."""
    cloud = read_cloud(message.read(), stamp)
    return replace(cloud, frame="world") if in_world else cloud


def placed_clouds(
    found: Sequence[Series], tree: TransformTree, ego: str, device: Trajectory | None, options: OpenOptions
) -> tuple[tuple[Lidar, ...], list[tuple[LidarSweep, ...]], list[str]]:
    """Return the lidars of a bag and the clouds of each frame.

    Args:
        found: The lidars' clouds by their headers; the first lidar's make the frames.
        tree: The transforms.
        ego: The device's frame.
        device: world_from_ego over time; None where it is not known.
        options: For the tolerance, the widest gap, and points that are in the world already.

    Returns:
        The lidars; for each cloud of the first the clouds of its frame, none where it cannot be placed; and notes.
    """
    lidars = []
    of_frame: list[list[LidarSweep]] = [[] for _ in range(len(found[0]))]
    in_world = options.points_frame == "world"
    notes = []
    for index, series in enumerate(found):
        extrinsics = {} if in_world else _extrinsics(tree, series, ego)
        first = extrinsics.get(series.frame_ids[0])
        lidar = Lidar(series.name, index, first if isinstance(first, Pose) else None)
        lidars.append(lidar)
        rows = paired(found[0].timestamps, series.timestamps, options.image_tolerance_ns)
        if index == 0:
            rows = np.arange(len(series))
        matched = np.flatnonzero(rows >= 0)
        stamps, times = series.timestamps[rows[matched]].tolist(), found[0].timestamps[matched].tolist()
        motions = cloud_transforms(stamps, times, device, options)
        placed: list[CloudTransform] = []
        unplaced = 0
        for frame, row, to_frame in zip(matched.tolist(), rows[matched].tolist(), motions, strict=True):
            if index and not of_frame[frame]:
                continue
            pose = extrinsics.get(series.frame_ids[row])
            if isinstance(pose, Trajectory):
                pose = pose.at(to_frame.stamp, max_gap_ns=options.max_pose_gap_ns)
                if pose is None:
                    unplaced += 1
                    continue
            read = partial(_read_message, series.source(row), to_frame.stamp, in_world)
            of_frame[frame].append(LidarSweep(read, replace(lidar, ego_from_lidar=pose), to_frame))
            placed.append(to_frame)
        notes += _cloud_notes(series, rows, unplaced, options)
        if not in_world:
            notes += motion_note(f"clouds of {series.name}", placed, has_point_times(series.first_cursor()))
    return tuple(lidars), [tuple(sources) for sources in of_frame], notes


def _extrinsics(tree: TransformTree, series: Series, ego: str) -> dict[str, Pose | Trajectory]:
    """Return ego_from_lidar by the frames that the messages name; none for clouds in ego."""
    frames = [name for name in dict.fromkeys(series.frame_ids) if name and name != ego]
    return {name: tree.between(ego, name) for name in frames}


def _cloud_notes(series: Series, rows: NDArray[np.int64], unplaced: int, options: OpenOptions) -> list[str]:
    notes = unmatched(series.name, "cloud of it", rows, options)
    if unplaced:
        notes.append(f"{series.name}: {unplaced} clouds are left out: no transform is known for their times")
    frames = list(dict.fromkeys(series.frame_ids))
    if len(frames) > 1:
        notes.append(f"{series.name}: its clouds are in {len(frames)} frames: {listed(frames)}")
    return notes
