"""Regions of interest on the road and off it, by chance."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np

from lidarprep.scene import RegionOfInterest3D, Scene


def region_off_the_road(scene: Scene, rng: np.random.Generator) -> RegionOfInterest3D:
    """Put a region beside the device's path: 3 to 40 m from it at its nearest."""
    path = _path(scene)
    heading = np.arctan2(*(path[-1] - path[0])[::-1]) if len(path) > 1 else 0.0
    across = np.array([-sin(heading), cos(heading)]) * rng.choice((-1.0, 1.0))
    length, width = rng.uniform(20, 100), rng.uniform(10, 60)
    reach = float(np.abs((path - path.mean(axis=0)) @ across).max())
    x, y = path.mean(axis=0) + across * (width / 2 + reach + rng.uniform(3, 40))
    return RegionOfInterest3D((float(x), float(y), 0.0), length, width, float(heading))


def region_on_the_road(scene: Scene, rng: np.random.Generator) -> RegionOfInterest3D:
    """Put a region, turned at will, round some place of the device's path."""
    x, y = _path(scene)[int(rng.integers(len(scene)))] + rng.uniform(-5, 5, 2)
    return RegionOfInterest3D(
        (float(x), float(y), 0.0), rng.uniform(50, 120), rng.uniform(40, 120), rng.uniform(-pi, pi)
    )


def _path(scene: Scene) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array([frame.world_from_ego.translation[:2] for frame in scene if frame.world_from_ego is not None])
