"""The inertial and GPS unit of KITTI raw, an OXTS RT 3003: its rows, and the poses that they give.

A row has 30 numbers; the first six are latitude and longitude (degrees), altitude (metres), roll, pitch and yaw
(radians; yaw 0 is east, counterclockwise). The unit's axes are x forward, y left, z up. After the development kit's
`convertOxtsToPose`, positions are those of a Mercator projection, scaled by the cosine of the first row's latitude; the
rotation is Rz(yaw) · Ry(pitch) · Rx(roll).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.counted_files import counted_files
from lidarprep.datasets.poses.table import table_of_poses
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import GpsPose, Pose, Trajectory

EARTH_RADIUS_M = 6378137.0
ROW_LENGTH = 30
NO_ROWS = "no oxts rows: where the device is in the world is not known"

# How far beyond the first and the last row poses are continued, at the speed between the nearest two: one sweep.
LONGEST_CONTINUED_NS = 110_000_000

# Years that nanoseconds since the epoch reach, in 64 bits.
_TIME = re.compile(r"(19[7-9]\d|2[01]\d\d)-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,9})?")


@dataclass(frozen=True, eq=False)
class Oxts:
    """Rows of the unit in time order.

    Args:
        timestamps: (M,) int64 nanoseconds since the Unix epoch.
        latitude, longitude: (M,) degrees.
        yaw: (M,) radians, counterclockwise from east, without jumps by a turn.
        trajectory: The unit's poses: in axes x east, y north, z up, positions in the scaled Mercator projection.
    """

    timestamps: NDArray[np.int64]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    yaw: NDArray[np.float64]
    trajectory: Trajectory

    def gps(self, timestamp: int) -> GpsPose:
        """Where the unit is on the Earth, between its rows by interpolation; beyond them that of the nearest row."""
        latitude, longitude, yaw = (
            float(np.interp(timestamp - int(self.timestamps[0]), self.timestamps - self.timestamps[0], values))
            for values in (self.latitude, self.longitude, self.yaw)
        )
        return GpsPose(latitude, longitude, (90.0 - math.degrees(yaw)) % 360.0)


def read_oxts(folder: Path) -> tuple[Oxts | None, list[str]]:
    """The rows of a drive's folder oxts/, and notes; None where it has none.

    Raises:
        FormatError: A row or a time is not what it should be.
    """
    files, notes = counted_files(folder / "data", ".txt")
    if not files:
        return None, [*notes, NO_ROWS]
    times = read_times(folder / "timestamps.txt")
    timed = {number: time for number in files if (time := times.get(number)) is not None}
    if len(timed) < len(files):
        notes.append(f"{len(files) - len(timed)} oxts rows have no time; they are left out")
    if not timed:
        return None, [*notes, NO_ROWS]
    rows = np.array([_read_row(files[number]) for number in timed])
    path = folder / "data"
    latitude, longitude, altitude, roll, pitch, yaw = rows.T
    scale = math.cos(math.radians(latitude[0]))
    east = scale * EARTH_RADIUS_M * np.radians(longitude)
    north = scale * EARTH_RADIUS_M * np.log(np.tan(np.radians(90 + latitude) / 2))
    poses = [
        Pose.from_euler(*angles, position)
        for angles, position in zip(
            zip(roll, pitch, yaw, strict=True), zip(east, north, altitude, strict=True), strict=True
        )
    ]
    places = [f"row {number}" for number in timed]
    trajectory, more = table_of_poses(path, "KITTI", poses, places, list(timed.values())).trajectory()
    _, kept = np.unique(np.array(list(timed.values()), dtype=np.int64), return_index=True)
    by_time = Oxts(trajectory.timestamps, latitude[kept], longitude[kept], np.unwrap(yaw[kept]), trajectory)
    return by_time, notes + more


def _read_row(path: Path) -> list[float]:
    """Latitude, longitude, altitude, roll, pitch, yaw."""
    words = path.read_text(encoding="utf-8", errors="replace").split()
    try:
        numbers = [float(word) for word in words[:6]]
    except ValueError:
        raise FormatError(path, found=repr(" ".join(words)[:60]), expected=f"{ROW_LENGTH} numbers") from None
    if len(words) != ROW_LENGTH:
        raise FormatError(path, found=f"{len(words)} values", expected=f"{ROW_LENGTH}, as the unit writes them")
    if not all(map(math.isfinite, numbers)):
        raise FormatError(path, found=f"a number that is not finite: {words[:6]}", expected="a pose")
    if not (abs(numbers[0]) < 90 and abs(numbers[1]) <= 360):
        raise FormatError(path, found=f"latitude {words[0]}, longitude {words[1]}", expected="degrees, off the poles")
    return numbers


def continued(trajectory: Trajectory, needed: Sequence[int]) -> tuple[Trajectory, list[str]]:
    """The trajectory, continued to the times beyond its ends that are no more than about a sweep away; a note if so.

    A synchronised drive has one oxts row a sweep, whose time is some milliseconds off the sweep's and the pictures':
    the first or the last of them lie beyond the rows. With one row only, the device is taken to stand still.

    Args:
        trajectory: The poses of the rows.
        needed: Times at which poses are needed, nanoseconds.
    """
    times = trajectory.timestamps.tolist()
    early = [time for time in needed if 0 < times[0] - time <= LONGEST_CONTINUED_NS]
    late = [time for time in needed if 0 < time - times[-1] <= LONGEST_CONTINUED_NS]
    if not early and not late:
        return trajectory, []
    poses = [trajectory.pose(row) for row in range(len(times))]
    stamped = dict(zip(times, poses, strict=True))
    longest = 0
    for time, end, inner in ((min(early, default=None), 0, 1), (max(late, default=None), -1, -2)):
        if time is None:
            continue
        longest = max(longest, abs(time - times[end]))
        if len(times) == 1:
            stamped[time] = poses[0]
        else:
            fraction = (time - times[end]) / (times[inner] - times[end])
            stamped[time] = poses[end].interpolate(poses[inner], fraction)
    in_order = sorted(stamped)
    longer = Trajectory.from_poses(in_order, [stamped[time] for time in in_order])
    return replace(longer, normalised_by=trajectory.normalised_by), [
        f"poses are continued by up to {longest / 1e6:.1f} ms beyond the first and the last oxts row, at constant speed"
    ]


def read_times(path: Path) -> dict[int, int]:
    """The times of a timestamps.txt by the number of the file that they belong to: nanoseconds since the Unix epoch.

    KITTI says no time zone; they are taken as UTC. A blank line is a file that is missing.

    Raises:
        SceneError: There is no such file.
        FormatError: A line is no time.
    """
    if not path.is_file():
        raise SceneError(f"{path} is missing: when the files beside it were recorded is not known")
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    texts = {number: line for number, line in enumerate(lines) if line}
    for number, text in texts.items():
        if not _TIME.fullmatch(text):
            raise FormatError(
                path,
                place=f"line {number + 1}",
                found=repr(text[:60]),
                expected="a time such as 2011-09-26 13:02:25.964389445",
            )
    try:
        times = np.array(list(texts.values()), dtype="datetime64[ns]").astype(np.int64)
    except ValueError as error:  # no such day or hour
        raise FormatError(
            path, found=f"no time: {error}", expected="times such as 2011-09-26 13:02:25.964389445"
        ) from None
    return dict(zip(texts, times.tolist(), strict=True))
