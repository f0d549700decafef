"""How well the surroundings coincide in the world: pairs of frames, and their occupied voxels in common.

Whatever stands still lies at one place in the world. If the motion between two frames is right, their points fill the
same voxels there; a wrong one moves walls and poles apart. The share of voxels in common judges motions against one
another, without features and without a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lidarprep.checks._samples import Sample, SceneSamples
from lidarprep.scene import Frame
from lidarprep.scene.pose import conjugate, matrices, multiply, rotate

# Points are judged in this ring round the device: nearer ones are its own body, which moves with it, and farther ones
# are sparse. The lowest third of them is left out: level ground coincides under most motions.
NEAREST_M, FURTHEST_M, LOWEST = 4.0, 40.0, 1 / 3

# So are points less than this above the lowest one of their cell: the rings that a lidar draws on level ground move
# with it, as if the points were in the world.
ABOVE_GROUND_M, CELL_M = 0.3, 2.0
FEWEST_POINTS = 300

VOXEL_M = 0.3

# A turn moves what is so far away: by that much a motion counts as metres.
REACH_M = 15.0

# A pair tells if the device moves so far between its frames: less changes few voxels, more leaves little in common.
LEAST_MOTION_M, MOST_MOTION_M, GOOD_MOTION_M = 1.2, 20.0, 3.5
PAIRS_OF_READING = 3

# Clouds that coincide to this share without any motion are one cloud twice, or a map: they tell nothing.
SAME_CLOUD = 0.97

# A search for the motion between two frames: a grid of so many steps each way, for each of some turns, and larger turns
# on the spot; by so many points in coarser voxels.
SEARCH_STEPS, SEARCH_STEP_M, SEARCH_TURNS_DEGREES = 9, 0.75, (-6.0, -3.0, 0.0, 3.0, 6.0)
SEARCH_TURN_DEGREES, SEARCH_VOXEL_M, SEARCH_POINTS = 20.0, 0.6, 4000
_STEP = (-1, 0, 1)

NO_MOTION = np.eye(3, 4)

Points = NDArray[np.float64]  # (N, 3) metres
Transforms = NDArray[np.float64]  # (K, 3, 4) [R | t]


@dataclass(frozen=True, eq=False)
class Motions:
    """Poses of some frames in one reading: (F, 4) quaternions w, x, y, z and (F, 3) metres, world from ego."""

    quaternions: NDArray[np.float64]
    translations: NDArray[np.float64]

    def between(self, first: int, second: int) -> NDArray[np.float64]:
        """Return (3, 4) [R | t]: the first frame's ego from the second one's."""
        back = conjugate(self.quaternions[first])
        rotation = matrices(multiply(back, self.quaternions[second]))
        moved = rotate(back, self.translations[second] - self.translations[first])
        return np.column_stack((rotation, moved))

    def far(self, row: int) -> NDArray[np.float64]:
        """(F,) metres that the device moves from a frame to each: its path and its turn, at REACH_M."""
        moved = np.linalg.norm(self.translations - self.translations[row], axis=1)
        cosine = np.abs(self.quaternions @ self.quaternions[row]).clip(0, 1)
        return np.asarray(moved + REACH_M * 2 * np.arccos(cosine))


@dataclass(frozen=True, eq=False)
class Surroundings:
    """A frame's points of the ring round a place, without the lowest ones; metres from that place."""

    points: Points

    @property
    def enough(self) -> bool:
        """Whether they are enough to judge by."""
        return len(self.points) >= FEWEST_POINTS

    @cached_property
    def few(self) -> Points:
        """At most SEARCH_POINTS of them, spread over their order."""
        return np.ascontiguousarray(self.points[:: max(1, -(-len(self.points) // SEARCH_POINTS))])


def surroundings(sample: Sample, centre: NDArray[np.float64] | None = None) -> Surroundings:
    """Return the points round a place (3,) in the points' frame of reference; round its origin where it is None."""
    points = sample.finite
    if centre is not None:
        points = points - centre
    away = np.hypot(points[:, 0], points[:, 1])
    points = points[(away > NEAREST_M) & (away < FURTHEST_M)]
    if len(points):
        height = points[:, 2]
        points = points[(height > np.quantile(height, LOWEST)) & (height > _ground(points) + ABOVE_GROUND_M)]
    return Surroundings(np.ascontiguousarray(points))


def _ground(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each of (N, 3) points the height of the lowest one of its cell, metres."""
    cells = np.floor(points[:, :2] / CELL_M).astype(np.int64) + round(FURTHEST_M / CELL_M)
    across = 2 * round(FURTHEST_M / CELL_M) + 1
    row = cells[:, 0] * across + cells[:, 1]
    lowest = np.full(across * across, np.inf)
    np.minimum.at(lowest, row, points[:, 2])
    return np.asarray(lowest[row])


def shares(first: Points, second: Points, transforms: Transforms, size: float = VOXEL_M) -> NDArray[np.float64]:
    """Return (K,) shares of the occupied voxels in common, under each of the transforms first_from_second."""
    from lidarprep.kernels.occupancy import shared_voxels  # brings Numba

    found = np.zeros(len(transforms))
    if len(first) and len(second):
        shared_voxels(first, second, np.ascontiguousarray(transforms), size, found)
    return found


def apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return how far apart two motions (3, 4) are: metres, with their turn at REACH_M."""
    cosine = (np.trace(one[:, :3].T @ other[:, :3]) - 1) / 2
    return float(np.linalg.norm(one[:, 3] - other[:, 3]) + REACH_M * np.arccos(np.clip(cosine, -1, 1)))


def telling_pairs(samples: SceneSamples, posed: Sequence[Frame], readings: Sequence[Motions]) -> list[tuple[int, int]]:
    """Choose pairs of frames, by their rows in `posed`, between which the device moves far enough, and not too far.

    It moves so by one of the readings of its poses at least: an inverted path far from the origin is much longer or
    shorter than the right one. Frames that have been read anyway come first.
    """
    row_of = {frame.id: row for row, frame in enumerate(posed)}
    read = [row_of[one.frame.id] for one in samples.usual if one.frame.id in row_of]
    chosen: list[tuple[int, int]] = []
    for motions in readings:
        far = {row: motions.far(row) for row in read}

        def worth(pair: tuple[int, int], far: dict[int, NDArray[np.float64]] = far) -> float:
            first, second = pair if pair[0] in far else pair[::-1]
            metres = float(far[first][second])
            in_range = LEAST_MOTION_M <= metres <= MOST_MOTION_M
            return abs(float(np.log(metres / GOOD_MOTION_M))) if in_range else np.inf

        pairs = [(first, second) for at, first in enumerate(read) for second in read[at + 1 :]]
        usable = sorted((pair for pair in {*pairs, *chosen} if worth(pair) < np.inf), key=worth)
        if len(usable) < 2:
            for first in read:
                onwards = range(first + 1, len(posed)) if first < len(posed) - 1 else range(first - 1, -1, -1)
                partner = next((row for row in onwards if far[first][row] >= GOOD_MOTION_M), None)
                if partner is not None and samples.sample(posed[partner]) is not None:
                    usable.append((min(first, partner), max(first, partner)))
            usable = sorted((pair for pair in set(usable) if worth(pair) < np.inf), key=worth)
        chosen += [pair for pair in usable[:PAIRS_OF_READING] if pair not in chosen]
    return sorted(chosen)


@dataclass(frozen=True)
class Found:
    """The best motion between two frames that a search finds: (3, 4), and the shares of it and of the start."""

    motion: NDArray[np.float64]
    share: float
    share_at_start: float


def search(first: Surroundings, second: Surroundings, start: NDArray[np.float64]) -> Found:
    """Search the motions round a start (3, 4) for the best: in the plane, about the vertical, then in finer steps."""
    turns = np.arange(-SEARCH_TURN_DEGREES, SEARCH_TURN_DEGREES + 1)
    steps = np.arange(-SEARCH_STEPS, SEARCH_STEPS + 1) * SEARCH_STEP_M
    grids = [[(0.0, 0.0, 0.0, turn) for turn in turns]]
    grids += [[(x, y, 0.0, turn) for x in steps for y in steps] for turn in SEARCH_TURNS_DEGREES]
    few, fewer = (first.few, second.few), (first.few[::2], second.few[::2])
    best = [_best(*fewer, _changed(start, np.array(grid)), SEARCH_VOXEL_M * 1.5) for grid in grids]
    near = np.concatenate([_changed(motion, _cube(SEARCH_STEP_M / 2, 1.5)) for motion in best])
    motion = _best(*few, near, SEARCH_VOXEL_M)
    for metres, degrees in ((0.25, 1.0), (0.12, 0.5)):
        motion = _best(first.points, second.points, _changed(motion, _cube(metres, degrees)), VOXEL_M)
    at_start, found = shares(first.points, second.points, np.array([start, motion])).tolist()
    return Found(start, at_start, at_start) if at_start >= found else Found(motion, found, at_start)


def _cube(metres: float, degrees: float) -> NDArray[np.float64]:
    """Return (27, 4) steps of x, y, z and degrees: one back, none, one on, of each but z."""
    return np.array([(metres * x, metres * y, 0.0, degrees * turn) for x in _STEP for y in _STEP for turn in _STEP])


def _best(first: Points, second: Points, motions: Transforms, size: float) -> NDArray[np.float64]:
    return np.asarray(motions[int(shares(first, second, motions, size).argmax())])


def _changed(motion: NDArray[np.float64], changes: NDArray[np.float64]) -> Transforms:
    """Return a motion (3, 4) moved by each of (K, 4) x, y, z metres and degrees about the vertical: (K, 3, 4)."""
    turns = np.radians(changes[:, 3])
    rotations = np.zeros((len(changes), 3, 3))
    rotations[:, 0, 0] = rotations[:, 1, 1] = np.cos(turns)
    rotations[:, 1, 0] = np.sin(turns)
    rotations[:, 0, 1] = -rotations[:, 1, 0]
    rotations[:, 2, 2] = 1.0
    moved = np.broadcast_to(motion[:, 3], (len(changes), 3)) + changes[:, :3]
    return np.concatenate((motion[:, :3] @ rotations, moved[:, :, None]), axis=2)
