"""A sensor's poses over time. A scene writes x, y, z, qx, qy, qz, qw: scalar LAST; ours are w, x, y, z."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from lidarprep.scene import Pose
from lidarprep.scene.pose import UNIT_TOLERANCE


def pose_values(pose: Pose) -> list[float]:
    """A pose as a scene writes it: [x, y, z, qx, qy, qz, qw]."""
    w, x, y, z = pose.quaternion.tolist()
    return [*pose.translation.tolist(), x, y, z, w]


def path_of(times_us: Sequence[int], values: Sequence[list[float]]) -> orjson.Fragment:
    """Poses as a scene writes them: as text, since several sensors share the device's."""
    return orjson.Fragment(orjson.dumps({"timestamps": list(times_us), "values": list(values)}))


@dataclass(frozen=True, eq=False)
class PosePath:
    """Poses of a sensor in the world.

    Args:
        times_us: (N,) int64 microseconds from the scene's offset, strictly increasing.
        values: (N, 7) float64 x, y, z, qx, qy, qz, qw.
    """

    times_us: NDArray[np.int64]
    values: NDArray[np.float64]

    def first_bad(self) -> int | None:
        """Row of the first pose that is not finite or whose quaternion is not unit."""
        with np.errstate(over="ignore", invalid="ignore"):
            norms = np.sqrt((self.values[:, 3:] ** 2).sum(axis=1))
            good = (np.abs(norms - 1) <= UNIT_TOLERANCE) & np.isfinite(self.values).all(axis=1)
        bad = np.flatnonzero(~good)
        return int(bad[0]) if bad.size else None

    def at(self, time_us: int) -> Pose | None:
        """The pose at a time: between two poses interpolated, before the first and after the last held."""
        if not len(self.times_us):
            return None
        after = int(np.searchsorted(self.times_us, time_us))
        if after == len(self.times_us):
            return self._pose(after - 1)
        if after == 0 or self.times_us[after] == time_us:
            return self._pose(after)
        start, end = int(self.times_us[after - 1]), int(self.times_us[after])
        return self._pose(after - 1).interpolate(self._pose(after), (time_us - start) / (end - start))

    def _pose(self, row: int) -> Pose:
        x, y, z, qx, qy, qz, qw = self.values[row].tolist()
        return Pose.from_quaternion((qw, qx, qy, qz), (x, y, z))
