"""Which points to keep, and where they are in the world: transform, finiteness, region and height in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from lidarprep.kernels.jit import kernel

# Slots of the counts that `transform_and_select` fills.
NOT_FINITE, REGION, HEIGHT = 0, 1, 2


@kernel
def transform_and_select(
    positions: Any, world_from_source: Any, offset: Any, region: Any, height: Any, out: Any, kept: Any, dropped: Any
) -> int:
    """Brings points into the world frame and keeps those that are finite, in the region and in the height band.

    A point that is dropped is counted once, by the first of these reasons: not finite, region, height.

    Args:
        positions: (N, 3) float32 or float64 in the source frame, metres.
        world_from_source: (3, 4) float64 [R | t].
        offset: (3,) float64, taken from the world position of what is kept; the region is tested before.
        region: (6,) float64 centre x, centre y, cos and sin of the rotation, half the length, half the width; the
            halves are infinite where there is no region.
        height: (6,) float64: height above ground is height[0:3] · position + height[3], kept within height[4:6].
        out: (N, 3) of the positions' dtype: gets the kept positions in the world, less the offset.
        kept: (N,) int64: gets their rows.
        dropped: (3,) int64: gets how many were dropped by each reason.

    Returns:
        How many points are kept.
    """
    count = 0
    for row in range(positions.shape[0]):
        px = np.float64(positions[row, 0])
        py = np.float64(positions[row, 1])
        pz = np.float64(positions[row, 2])
        # 0 × anything is NaN only for what is not finite.
        if (px + py + pz) * 0.0 != 0.0:
            dropped[NOT_FINITE] += 1
            continue
        x = world_from_source[0, 0] * px + world_from_source[0, 1] * py + world_from_source[0, 2] * pz
        y = world_from_source[1, 0] * px + world_from_source[1, 1] * py + world_from_source[1, 2] * pz
        z = world_from_source[2, 0] * px + world_from_source[2, 1] * py + world_from_source[2, 2] * pz
        x += world_from_source[0, 3]
        y += world_from_source[1, 3]
        z += world_from_source[2, 3]
        dx = x - region[0]
        dy = y - region[1]
        along = region[2] * dx + region[3] * dy
        across = region[2] * dy - region[3] * dx
        if not (abs(along) <= region[4] and abs(across) <= region[5]):
            dropped[REGION] += 1
            continue
        above_ground = height[0] * px + height[1] * py + height[2] * pz + height[3]
        if not (height[4] <= above_ground <= height[5]):
            dropped[HEIGHT] += 1
            continue
        out[count, 0] = x - offset[0]
        out[count, 1] = y - offset[1]
        out[count, 2] = z - offset[2]
        kept[count] = row
        count += 1
    return count
