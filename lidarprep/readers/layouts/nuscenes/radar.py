"""Radar returns of nuScenes: binary PCD files of eighteen fields, of which the position and the velocity are taken.

x is ahead of the sensor and y to its left; z is 0, since the radars measure no height. vx_comp and vy_comp are the
velocity in metres a second, with the vehicle's own motion taken out. Every return is kept, also those that the sensor
marks as invalid or ambiguous, which the development kit leaves out unless told otherwise. A file without returns has
one that is not a number.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError
from lidarprep.readers.points import read_points
from lidarprep.scene import Pose, RadarPoints

VELOCITY_FIELDS = ("vx_comp", "vy_comp")


def read_radars(parts: tuple[tuple[Path, Pose], ...]) -> RadarPoints:
    """The returns of several radars together.

    Args:
        parts: Each radar's file, and the pose of the radar's frame in the ego frame that the returns are wanted in.

    Returns:
        Positions (N, 3) in metres and directions (N, 3), velocities in metres a second, both in ego; no sizes.

    Raises:
        FormatError: A file cannot be read, or is not what it should be.
    """
    positions, velocities = [np.zeros((0, 3))], [np.zeros((0, 3))]
    for path, ego_from_radar in parts:
        in_radar, velocity = _read(path)
        positions.append(ego_from_radar.apply(in_radar))
        velocities.append(ego_from_radar.rotate(velocity))
    return RadarPoints(np.concatenate(positions), np.concatenate(velocities))


def _read(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, 3) positions and (N, 3) velocities in the radar's frame."""
    from pypcd4.pypcd4 import PointCloud as Pcd

    # The first reading checks the file, and says what is wrong with it; a point cloud has no place for velocities.
    with np.errstate(invalid="ignore"):  # some NaN say so when they are converted
        positions = read_points(path, "sensor").positions.astype(np.float64)
    try:
        pcd = Pcd.from_path(path)
    except ValueError as error:  # it wants every line of the header, COUNT for one, and no more
        raise FormatError(
            path, place="the header", found="not as nuScenes writes it", expected="a PCD 0.7 header of ten lines"
        ) from error
    missing = [name for name in VELOCITY_FIELDS if name not in pcd.fields]
    if missing:
        raise FormatError(path, place="the header", found=f"no field {' and no '.join(missing)}", expected="both")
    velocities = np.zeros((len(positions), 3))
    with np.errstate(invalid="ignore"):
        velocities[:, :2] = pcd.numpy(VELOCITY_FIELDS)
    returned = np.isfinite(positions).all(axis=1)
    velocities = velocities[returned]
    if not np.isfinite(velocities).all():
        raise FormatError(path, place=f"field {VELOCITY_FIELDS[0]!r}", found="a velocity that is not finite")
    return positions[returned], velocities
