"""Selection of points and their world positions: transform, finiteness, region and height in one pass.

Points go in blocks that stay in the processor's cache: first the arithmetic of all of them, which compiles to vector
instructions, then the rows of those that are kept, without a branch a point, then their positions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lidarprep.kernels.jit import inlined, kernel

# Slots of the counts that `transform_and_select` fills; behind them, what is kept.
NOT_FINITE, REGION, HEIGHT = 0, 1, 2
_KEPT = 3

_BLOCK = 4096


@inlined
def _transform_block(
    values: Any, transform: Any, offset: Any, region: Any, height: Any, x_out: Any, y_out: Any, z_out: Any, fate: Any
) -> None:
    """Compute the world positions of a block's points, less the offset, and the fate of each: the reason, or _KEPT."""
    t00, t01, t02, t03 = transform[0, 0], transform[0, 1], transform[0, 2], transform[0, 3]
    t10, t11, t12, t13 = transform[1, 0], transform[1, 1], transform[1, 2], transform[1, 3]
    t20, t21, t22, t23 = transform[2, 0], transform[2, 1], transform[2, 2], transform[2, 3]
    offset_x, offset_y, offset_z = offset[0], offset[1], offset[2]
    centre_x, centre_y, cosine = region[0], region[1], region[2]
    sine, half_length, half_width = region[3], region[4], region[5]
    up_x, up_y, up_z, up, lowest, highest = height[0], height[1], height[2], height[3], height[4], height[5]
    for row in range(values.shape[0] // 3):
        px = np.float64(values[3 * row])
        py = np.float64(values[3 * row + 1])
        pz = np.float64(values[3 * row + 2])
        x = t00 * px + t01 * py + t02 * pz + t03
        y = t10 * px + t11 * py + t12 * pz + t13
        z = t20 * px + t21 * py + t22 * pz + t23
        dx = x - centre_x
        dy = y - centre_y
        above_ground = up_x * px + up_y * py + up_z * pz + up
        # 0 × anything is NaN only for what is not finite.
        finite = (px * 0.0 == 0.0) & (py * 0.0 == 0.0) & (pz * 0.0 == 0.0)
        inside = (abs(cosine * dx + sine * dy) <= half_length) & (abs(cosine * dy - sine * dx) <= half_width)
        in_band = (lowest <= above_ground) & (above_ground <= highest)
        fate[row] = np.uint8(finite) + np.uint8(finite & inside) + np.uint8(finite & inside & in_band)
        x_out[row] = x - offset_x
        y_out[row] = y - offset_y
        z_out[row] = z - offset_z


@kernel
def transform_and_select(
    positions: Any, world_from_source: Any, offset: Any, region: Any, height: Any, out: Any, kept: Any, dropped: Any
) -> int:
    """Transform points to the world frame and keep those that are finite, in the region and in the height band.

    A point that is dropped is counted once, by the first of these reasons: not finite, region, height.

    Args:
        positions: (N, 3) float32 or float64 in the source frame, metres, contiguous.
        world_from_source: (3, 4) float64 [R | t].
        offset: (3,) float64, taken from the world position of what is kept; the region is tested before.
        region: (6,) float64 centre x, centre y, cos and sin of the rotation, half the length, half the width; the
            halves are infinite where there is no region.
        height: (6,) float64: height above ground is height[0:3] · position + height[3], kept within height[4:6].
        out: (N, 3) of the positions' dtype: gets the kept positions in the world, less the offset.
        kept: (N,) int64: gets their rows.
        dropped: (3,) int64: gets how many were dropped by each reason.

    Returns:
        Number of points kept.
    """
    count = positions.shape[0]
    values = positions.reshape(-1)
    x = np.empty(_BLOCK, out.dtype)
    y = np.empty(_BLOCK, out.dtype)
    z = np.empty(_BLOCK, out.dtype)
    fate = np.empty(_BLOCK, np.uint8)
    total = 0
    for start in range(0, count, _BLOCK):
        size = min(_BLOCK, count - start)
        _transform_block(
            values[3 * start : 3 * (start + size)], world_from_source, offset, region, height, x, y, z, fate
        )
        not_finite, outside, too_high = 0, 0, 0
        for row in range(size):
            not_finite += fate[row] == NOT_FINITE
            outside += fate[row] == REGION
            too_high += fate[row] == HEIGHT
        dropped[NOT_FINITE] += not_finite
        dropped[REGION] += outside
        dropped[HEIGHT] += too_high
        first = total
        for row in range(size):
            kept[total] = start + row
            total += fate[row] == _KEPT
        for row in range(first, total):
            source = kept[row] - start
            out[row, 0] = x[source]
            out[row, 1] = y[source]
            out[row, 2] = z[source]
    return total


@kernel
def all_within(values: Any, lowest: Any, highest: Any) -> Any:
    """Return whether all of `values` (N,) float32 lie within `lowest` and `highest`; NaN does not.

    Without an early end, so that it compiles to vector instructions.
    """
    within = True
    for row in range(values.shape[0]):
        within &= (values[row] >= lowest) & (values[row] <= highest)
    return within
