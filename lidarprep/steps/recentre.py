"""One offset for a scene whose coordinates are too large for the 32-bit floats that Scale holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lidarprep.scene import Frame, PointCloud
from lidarprep.scene.points import LARGEST_EXACT_M

# The offset is a multiple of this, so that people can read it and no digit is lost by it.
GRID_M = 100.0


def scene_offset(frames: Sequence[Frame], sample: PointCloud | None = None) -> tuple[float, float, float]:
    """(x, y, z) metres to take from every world position of the scene; zeros if its own world frame can stay.

    Args:
        frames: All frames of the scene, so that every selection of them gets the same world.
        sample: Points of its first frame: they decide, if there are any; else the poses of the device do.
    """
    places = _extent_in_world(frames[0], sample) if sample is not None and frames else None
    if places is None:
        poses = [frame.world_from_ego.translation for frame in frames if frame.world_from_ego is not None]
        places = np.array(poses) if poses else None
    if places is None or np.abs(places).max() <= LARGEST_EXACT_M:
        return (0.0, 0.0, 0.0)
    middle = (places.min(axis=0) + places.max(axis=0)) / 2
    x, y, z = (np.rint(middle / GRID_M) * GRID_M + 0.0).tolist()
    return (x, y, z)


def _extent_in_world(frame: Frame, points: PointCloud) -> NDArray[np.float64] | None:
    """(2, 3) corners of the box of a frame's finite points, in the world if its pose is known."""
    finite = points.positions[np.isfinite(points.positions).all(axis=1)]
    if not len(finite):
        return None
    corners = np.array([finite.min(axis=0), finite.max(axis=0)], dtype=np.float64)
    if points.frame == "world" or frame.world_from_ego is None:
        return corners
    return frame.world_from_ego.apply(corners)
