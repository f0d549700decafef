"""One offset for a whole scene whose coordinates are too large for the 32-bit floats that Scale holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lidarprep.scene import Frame, PointCloud

# Beyond this, float32 rounds coordinates by more than 4 mm, and Scale asks for a shift.
LARGEST_COORDINATE_M = 1e5

# The offset is a multiple of this, so that people can read it and no digit is lost by it.
GRID_M = 100.0


def scene_offset(frames: Sequence[Frame], samples: Sequence[PointCloud]) -> tuple[float, float, float]:
    """(x, y, z) metres to take from every world position of the scene; zeros where its own world frame can stay.

    Args:
        frames: The frames to be prepared.
        samples: Points of some of them; looked at where they are in the world.
    """
    places = [frame.world_from_ego.translation for frame in frames if frame.world_from_ego is not None]
    for cloud in samples:
        if cloud.frame != "world":
            continue
        finite = cloud.positions[np.isfinite(cloud.positions).all(axis=1)]
        if len(finite):
            places += [finite.min(axis=0).astype(np.float64), finite.max(axis=0).astype(np.float64)]
    if not places:
        return (0.0, 0.0, 0.0)
    corners = np.array(places)
    lowest, highest = corners.min(axis=0), corners.max(axis=0)
    if max(np.abs(lowest).max(), np.abs(highest).max()) <= LARGEST_COORDINATE_M:
        return (0.0, 0.0, 0.0)
    x, y, z = (np.rint((lowest + highest) / 2 / GRID_M) * GRID_M + 0.0).tolist()
    return (x, y, z)
