"""Sound recordings in memory, of devices that move otherwise than the generated recording's car.

`drive(rng, …)` casts the rays of the sample's lidar from any path through the sample's street.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lidarprep.sample._sensors import Moment, sweep
from lidarprep.sample._street import DEVICE_HEIGHT_M, LANE_M, Drive, Street
from lidarprep.scene import Frame, PointCloud, Pose, Scene

Motion = Literal["ahead", "backwards", "sideways", "at rest", "spin"]


class _Path(Drive):
    """A drive down the lane at an even speed, or a turn on the spot."""

    def __init__(self, street: Street, motion: Motion, speed: float) -> None:
        super().__init__(street)
        self._road, self._motion, self._speed = street, motion, speed

    def poses(self, seconds: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        seconds = np.atleast_1d(np.asarray(seconds, dtype=np.float64))
        along = 0.0 * seconds if self._motion in ("at rest", "spin") else self._speed * seconds
        turned = {"backwards": np.pi, "sideways": np.pi / 2}.get(self._motion, 0.0)
        yaw = self._road.heading(along) + turned + (0.8 * seconds if self._motion == "spin" else 0.0)
        rotations = np.zeros((len(seconds), 3, 3))
        rotations[:, 0, 0] = rotations[:, 1, 1] = np.cos(yaw)
        rotations[:, 1, 0], rotations[:, 0, 1], rotations[:, 2, 2] = np.sin(yaw), -np.sin(yaw), 1.0
        return rotations, np.column_stack((self._road.position(along, -LANE_M), np.full(len(seconds), DEVICE_HEIGHT_M)))


def drive(
    rng: np.random.Generator,
    motion: Motion = "ahead",
    *,
    speed: float = 8.0,
    seconds: float = 0.1,
    frames: int = 8,
    columns: int = 300,
    beams: int = 1,
    motion_compensated: bool = True,
) -> Scene:
    """Return a sound recording, its points in ego.

    Args:
        rng: For the street, its traffic and the noise.
        motion: How the device moves: its heading against its path, at rest, or turning on the spot.
        speed: Metres a second.
        seconds: Between frames.
        frames: How many.
        columns: How often the lidar fires in a turn.
        beams: Keep every so many of its 64 beams: 4 for a lidar of 16.
        motion_compensated: Whether points are where they would be at their frame's time.
    """
    duration = frames * seconds
    street = Street(np.random.default_rng(int(rng.integers(2**32))), duration, speed * duration + 10)
    path = _Path(street, motion, speed)
    made = []
    for row in range(frames):
        at = row * seconds
        pose: Pose = path.pose(at)
        moment = Moment(street.at(at, pose.translation), pose.translation)
        seen = sweep(moment, path, at, rng, columns=columns, motion_compensated=motion_compensated)
        positions = seen.positions
        if beams > 1:
            steep = np.degrees(np.arctan2(positions[:, 2], np.hypot(positions[:, 0], positions[:, 1])))
            positions = positions[np.round(steep / 0.5).astype(int) % beams == 0]
        cloud = PointCloud(positions, "ego")
        stamp = 1_700_000_000_000_000_000 + round(at * 1e9)
        made.append(
            Frame(str(row), row, lambda cloud=cloud: cloud, world_from_ego=pose, timestamp=stamp)  # type: ignore[misc]
        )
    return Scene("memory", "memory", tuple(made))
