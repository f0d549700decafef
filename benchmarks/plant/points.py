"""Points that are none, planted into a scene in memory; each function returns the scene and what is to be found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from lidarprep.scene import Frame, PointCloud, Scene

Change = Callable[[PointCloud, np.random.Generator], PointCloud]


def _changed(scene: Scene, change: Change, seed: int) -> Scene:
    def read(frame: Frame) -> PointCloud:
        return change(frame.points(), np.random.default_rng((seed, frame.index)))

    frames = tuple(replace(frame, read_points=partial(read, frame), read_chunks=None) for frame in scene)
    return replace(scene, frames=frames)


def zero_returns(scene: Scene, seed: int, share: float = 0.2) -> tuple[Scene, str]:
    """Put a share of each frame's points at their lidar: `no_return` counts them, in `inspect` and `prepare`."""

    def change(points: PointCloud, rng: np.random.Generator) -> PointCloud:
        positions = points.positions.copy()
        positions[rng.random(len(points)) < share] = 0
        return replace(points, positions=positions)

    return _changed(scene, change, seed), "no_return"


def repeated_points(scene: Scene, seed: int, share: float = 0.05) -> tuple[Scene, str]:
    """Repeat a share of each frame's points at its end."""

    def change(points: PointCloud, rng: np.random.Generator) -> PointCloud:
        again = np.flatnonzero(rng.random(len(points)) < share)
        return points.take(np.concatenate((np.arange(len(points)), again)))

    return _changed(scene, change, seed), "repeated-points"


def roof(scene: Scene, seed: int, points_of_it: int = 500) -> tuple[Scene, str]:
    """Replace some of each frame's points by hits on a roof of 1.6 × 1.2 m, as high as the lidar."""

    def change(points: PointCloud, rng: np.random.Generator) -> PointCloud:
        positions = points.positions.copy()
        rows = rng.choice(len(points), points_of_it, replace=False)
        positions[rows] = rng.uniform((-0.8, -0.6, 0.0), (0.8, 0.6, 0.05), (points_of_it, 3))
        return replace(points, positions=positions)

    return _changed(scene, change, seed), "points-on-device"
