"""How the car with the sensors drives, and when: its pose at any second, and the seconds of the frames."""

from __future__ import annotations

from math import pi, radians
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lidarprep.scene import Pose

if TYPE_CHECKING:  # street.py brings Numba, which whoever asks only for the constants does without
    from lidarprep.sample.street import Street

# The ego frame is the lidar's: x forward, y left, z up, its origin this high above the road. So a point of the road
# has z = -DEVICE_HEIGHT_M in ego, but for the car's small pitch and roll.
DEVICE_HEIGHT_M = 1.8

FRAME_SECONDS = 0.1
FIRST_FRAME_NS = 1_700_000_000_000_000_000

_SPEED, _SURGE_M, _SURGE_SECONDS = 8.0, 0.3, 7.0
_LANE_M = -1.75
_PITCH, _PITCH_SECONDS = radians(0.20), 2.3
_ROLL, _ROLL_SECONDS = radians(0.25), 3.1


def travel(seconds: ArrayLike) -> NDArray[np.float64]:
    """Metres along the street that the car has covered by then."""
    seconds = np.asarray(seconds, dtype=np.float64)
    surge: NDArray[np.float64] = np.sin(2 * pi / _SURGE_SECONDS * seconds)
    return _SPEED * seconds + _SURGE_M * surge


def frame_timestamp(frame: int) -> int:
    """Nanoseconds since the Unix epoch of a frame, counted from 0: when its pictures were taken."""
    return FIRST_FRAME_NS + frame * round(FRAME_SECONDS * 1e9)


class Drive:
    """A drive down the right lane of a street."""

    def __init__(self, street: Street) -> None:
        self._street = street

    def poses(self, seconds: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """world_from_ego at each of (N,) seconds: (N, 3, 3) rotations, and (N, 3) translations in metres."""
        seconds = np.atleast_1d(np.asarray(seconds, dtype=np.float64))
        along = travel(seconds)
        yaw = self._street.heading(along)
        pitch = _PITCH * np.sin(2 * pi / _PITCH_SECONDS * seconds)
        roll = _ROLL * np.sin(2 * pi / _ROLL_SECONDS * seconds)
        rotations = _about(2, yaw) @ _about(1, pitch) @ _about(0, roll)
        height = np.full(len(seconds), DEVICE_HEIGHT_M)
        return rotations, np.column_stack((self._street.position(along, _LANE_M), height))

    def pose(self, seconds: float) -> Pose:
        """world_from_ego at one second."""
        rotations, translations = self.poses(seconds)
        return Pose(rotations[0], translations[0])


def _about(axis: int, angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3, 3) rotations about one axis by (N,) radians."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    rotations = np.zeros((len(angles), 3, 3))
    rotations[:, axis, axis] = 1.0
    rotations[:, i, i] = rotations[:, j, j] = np.cos(angles)
    rotations[:, j, i] = np.sin(angles)
    rotations[:, i, j] = -rotations[:, j, i]
    return rotations
