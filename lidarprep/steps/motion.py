"""The device's way around one frame, cut into pieces of steady motion: between poses, and a little beyond them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidarprep.kernels import deskew as kernel
from lidarprep.scene import Trajectory
from lidarprep.scene.quaternions import matrices

Array = NDArray[np.float64]

# Poses further apart than this are not interpolated between.
MAX_GAP_NS = 1_000_000_000

# How far the motion is taken as going on beyond the first and the last pose, and into a gap. Where only the frames
# have poses, the first and the last sweep reach beyond them by half a sweep or a whole one: 0.1 s, and some slack.
EXTRAPOLATED_NS = 150_000_000

# Poses that the motion is extrapolated from are this far apart where they are dense: their noise would grow otherwise.
BASE_NS = 50_000_000


@dataclass(frozen=True, eq=False)
class Motion:
    """Pieces of steady motion, in time order: linear in translation, slerp in rotation the shorter way.

    Args:
        since, until: (S,) int64 nanoseconds: the first and the last time of each piece.
        begins, ends: (S,) int64 nanoseconds: the times of the two poses that the piece goes between, or beyond.
        rotations: (S, 3, 3) float64, world from ego at the first of them.
        translations: (S, 3) float64 metres, likewise, less the position of one of the poses nearby.
        axes: (S, 3) float64 unit axis of the rotation from the first to the second, in ego; zeros where there is none.
        angles: (S,) float64 its angle, radians.
        goes: (S, 3) float64 metres from the first position to the second, in the world.
    """

    since: NDArray[np.int64]
    until: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    rotations: Array
    translations: Array
    axes: Array
    angles: Array
    goes: Array

    @classmethod
    def around(cls, path: Trajectory, first: int, last: int) -> Motion:
        """What is known of the motion from `first` to `last`, nanoseconds; there may be no piece."""
        reach = EXTRAPOLATED_NS + BASE_NS
        low = max(0, int(np.searchsorted(path.timestamps, first - reach)) - 1)
        high = min(len(path), int(np.searchsorted(path.timestamps, last + reach, "right")) + 1)
        pieces = np.array(list(_pieces(path.timestamps, low, high)), dtype=np.int64).reshape(-1, 4)
        a, b, since, until = pieces.T
        axes, angles = _rotation_between(path.quaternions[a], path.quaternions[b])
        return cls(
            since=np.ascontiguousarray(since),
            until=np.ascontiguousarray(until),
            begins=path.timestamps[a],
            ends=path.timestamps[b],
            rotations=matrices(path.quaternions[a]),
            translations=path.translations[a] - path.translations[low],
            axes=axes,
            angles=angles,
            goes=path.translations[b] - path.translations[a],
        )

    def seen_from(self, time: int) -> Array | None:
        """Each piece as the kernel's row: where the device is, as seen from where it is at `time`.

        Returns:
            (S, MOTION_COLUMNS) float64; None where nothing is known of that time.
        """
        piece = int(np.searchsorted(self.since, time, "right")) - 1
        if piece < 0 or time > self.until[piece]:
            return None
        crossed = _cross_matrices(self.axes)
        fraction = (time - int(self.begins[piece])) / int(self.ends[piece] - self.begins[piece])
        angle = fraction * self.angles[piece]
        turned = np.eye(3) + np.sin(angle) * crossed[piece] + (1 - np.cos(angle)) * crossed[piece] @ crossed[piece]
        then_from_world = (self.rotations[piece] @ turned).T
        position = self.translations[piece] + fraction * self.goes[piece]

        motion = np.empty((len(self.since), kernel.MOTION_COLUMNS))
        still = then_from_world @ self.rotations
        motion[:, kernel.RATE] = 1.0 / (self.ends - self.begins)
        motion[:, kernel.ANGLE] = self.angles
        motion[:, kernel.STILL : kernel.SINE] = still.reshape(-1, 9)
        motion[:, kernel.SINE : kernel.VERSINE] = (still @ crossed).reshape(-1, 9)
        motion[:, kernel.VERSINE : kernel.BEGINS_AT] = (still @ crossed @ crossed).reshape(-1, 9)
        motion[:, kernel.BEGINS_AT : kernel.GOES] = (self.translations - position) @ then_from_world.T
        motion[:, kernel.GOES :] = self.goes @ then_from_world.T
        return motion


def _pieces(times: NDArray[np.int64], low: int, high: int) -> Iterator[tuple[int, int, int, int]]:
    """The pieces between poses `low` to `high` of a path: rows of both poses, first and last time."""
    gaps = np.flatnonzero(np.diff(times[low:high]) > MAX_GAP_NS) + low + 1
    for run in np.split(np.arange(low, high), gaps - low):
        if len(run) < 2:
            continue  # of a single pose no motion is known
        a, b = int(run[0]), int(run[-1])
        # Whether poses end here, or just the part of them that is looked at.
        if a > low or low == 0:
            base = min(b, int(np.searchsorted(times, times[a] + BASE_NS)))
            yield a, base, int(times[a]) - EXTRAPOLATED_NS, int(times[a]) - 1
        for row in range(a, b):
            yield row, row + 1, int(times[row]), int(times[row + 1])
        if b < high - 1 or high == len(times):
            base = max(a, int(np.searchsorted(times, times[b] - BASE_NS, "right")) - 1)
            yield base, b, int(times[b]) + 1, int(times[b]) + EXTRAPOLATED_NS


def _rotation_between(a: Array, b: Array) -> tuple[Array, Array]:
    """Axes (S, 3) and angles (S,) of conj(a) · b, for unit quaternions (S, 4), w first: the shorter way."""
    scalar = (a * b).sum(axis=1)
    vector = a[:, :1] * b[:, 1:] - b[:, :1] * a[:, 1:] - np.cross(a[:, 1:], b[:, 1:])
    vector *= np.where(scalar < 0, -1.0, 1.0)[:, None]
    length = np.linalg.norm(vector, axis=1)
    axes = vector / np.where(length > 0, length, 1.0)[:, None]
    return axes, 2 * np.arctan2(length, np.abs(scalar))


def _cross_matrices(vectors: Array) -> Array:
    """(S, 3, 3) matrices [v]× of vectors (S, 3)."""
    x, y, z = vectors.T
    zero = np.zeros(len(vectors))
    return np.stack((zero, -z, y, z, zero, -x, -y, x, zero), axis=1).reshape(-1, 3, 3)
