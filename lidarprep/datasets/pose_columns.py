"""The columns of a table of poses, found by their names as people and exporters write them.

| column     | names, in any case; beginnings such as `field.` or `pose.pose.` don't count                          |
|------------|-------------------------------------------------------------------------------------------------------|
| position   | x, tx, px, pos_x, position.x, translation_x, …: metres                                               |
| rotation   | qw, q_w, orientation.w, rotation_w, …; or w x y z where the position has longer names;                |
|            | or roll, pitch, yaw, with `_deg` or `_rad`, as Pose.from_euler has them; see euler_angles             |
| time       | timestamp, stamp, time, t, ts, with `_ns`, `_us`, `_ms`, `_s`; or a pair such as secs and nsecs,      |
|            | whole seconds and what is beyond them, also where it is written as 570000000.0                       |
| which file | frame, file, filename, name, id, index                                                               |
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from lidarprep.datasets.euler_angles import AngleUnit
from lidarprep.scene.points import TimeUnit

# What precedes the axis in the name of a position's or a rotation's column, most particular first.
POSITION = ("position", "translation", "pos", "trans", "location", "p", "t", "")
QUATERNION = ("orientation", "rotation", "quaternion", "quat", "rot", "heading", "q", "")
# How the tables of messages begin their columns' names.
_BEGINNINGS = ("field", "pose", "transform", "header", "data", "msg")
TIME_NAMES = ("timestamp", "stamp", "time", "ts", "t")
TIME_UNITS: dict[str, TimeUnit] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "millis", "milliseconds"), "ms"),
    **dict.fromkeys(("us", "usec", "micros", "microseconds"), "us"),
    **dict.fromkeys(("ns", "nsec", "nsecs", "nanos", "nanosec", "nanosecs", "nanoseconds"), "ns"),
}
ANGLE_UNITS: dict[str, AngleUnit] = {
    **dict.fromkeys(("rad", "rads", "radian", "radians"), "radians"),
    **dict.fromkeys(("deg", "degs", "degree", "degrees"), "degrees"),
}
FILE_NAMES = ("file", "filename", "file_name", "frame", "name", "id", "index", "frame_index", "frame_number")


def is_header(line: str) -> bool:
    """Return whether a line names the columns of a position and a rotation."""
    try:
        columns = names_in_parts(split_rows([line.lstrip("# ")], line)[0])
    except csv.Error:  # a name of more than 128 KiB
        return False
    position = columns_of_axes(columns, POSITION, "xyz", but=())
    return position is not None and (
        columns_of_axes(columns, QUATERNION, "wxyz", but=position) is not None or any("yaw" in name for name in columns)
    )


def split_rows(lines: Sequence[str], header: str) -> list[list[str]]:
    """Split each line by the delimiter that the header has most of."""
    delimiter = max(",;\t", key=header.count)
    if delimiter not in header:
        return [line.split() for line in lines]
    return [[word.strip() for word in row] for row in csv.reader(lines, delimiter=delimiter)]


def names_in_parts(header: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the columns' names in parts, lower case, without the beginnings of messages' tables."""
    columns = []
    for name in header:
        # A unit in brackets ("x [m]") is passed over, but for a time's and an angle's.
        parts = [part for part in re.split(r"[^a-z0-9]+", name.lower().replace("°", " deg ")) if part]
        while len(parts) > 1 and parts[0] in _BEGINNINGS:
            parts = parts[1:]
        columns.append(tuple(parts))
    return columns


def columns_of_axes(
    columns: Sequence[tuple[str, ...]], names: Sequence[str], axes: str, *, but: Sequence[int]
) -> list[int] | None:
    """Return the columns of all axes under the first of the names that has them, or None."""
    for name in names:
        found = []
        for axis in axes:
            wanted = {(name, axis), (f"{name}{axis}",)} if name else {(axis,)}
            rows = [
                row for row, parts in enumerate(columns) if row not in but and parts and _without_unit(parts) in wanted
            ]
            found.append(rows)
        if all(len(rows) == 1 for rows in found):
            return [rows[0] for rows in found]
    return None


def is_of_time(parts: tuple[str, ...]) -> bool:
    """Return whether a column's name, without its unit, is that of a time: nothing, stamp, rosbagtimestamp, tv."""
    return not parts or parts[-1] in (*TIME_NAMES, "tv", "epoch") or "time" in parts[-1] or "stamp" in parts[-1]


def _without_unit(parts: tuple[str, ...]) -> tuple[str, ...]:
    return parts[:-1] if len(parts) > 1 and parts[-1] == "m" else parts
