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
from lidarprep.scene import Pose, RadarPoints

POSITION_FIELDS = ("x", "y", "z")
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
    from lidarprep.pointfiles import pcd  # here, since it brings the kernels

    try:
        fields, _ = pcd.read_fields(path)
    except OSError as error:
        raise FormatError(path, found=f"the file cannot be read ({error.strerror or error})") from error
    missing = [name for name in (*POSITION_FIELDS, *VELOCITY_FIELDS) if name not in fields]
    if missing:
        raise FormatError(
            path, place="the header", found=f"no field {' and no '.join(missing)}", expected="all of them"
        )
    with np.errstate(invalid="ignore"):  # some NaN say so when they are converted
        positions = np.column_stack([fields[name].astype(np.float64) for name in POSITION_FIELDS])
        velocities = np.zeros_like(positions)
        velocities[:, :2] = np.column_stack([fields[name].astype(np.float64) for name in VELOCITY_FIELDS])
    returned = np.isfinite(positions).all(axis=1)
    velocities = velocities[returned]
    if not np.isfinite(velocities).all():
        raise FormatError(path, place=f"field {VELOCITY_FIELDS[0]!r}", found="a velocity that is not finite")
    return positions[returned], velocities
