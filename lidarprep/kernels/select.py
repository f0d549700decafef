"""Selection of points and their world positions: transform, returns, region and height in one pass.

Points go in blocks that stay in the processor's cache: first the arithmetic of all of them, which compiles to vector
instructions, then the rows of those that are kept, without a branch a point, then their positions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lidarprep.kernels.jit import inlined, kernel

# Slots of the counts that `transform_and_select` fills.
REGION, HEIGHT, NOT_FINITE, NO_RETURN = 0, 1, 2, 3

# The fate of a point is REGION, HEIGHT or _KEPT, and more by _DOUBT if it is not finite, or no further from the lidars
# than they are from one another: such points are few, and looked at one by one.
_KEPT = 2
_DOUBT = 3

_BLOCK = 4096


@inlined
def _transform_block(
    values: Any,
    transform: Any,
    offset: Any,
    around: Any,
    region: Any,
    height: Any,
    x_out: Any,
    y_out: Any,
    z_out: Any,
    fate: Any,
) -> None:
    """Compute the world positions of a block's points, less the offset, and the fate of each.

    In doubt is what is not finite or within `around`, (4,) the centre and the radius of a sphere.
    """
    t00, t01, t02, t03 = transform[0, 0], transform[0, 1], transform[0, 2], transform[0, 3]
    t10, t11, t12, t13 = transform[1, 0], transform[1, 1], transform[1, 2], transform[1, 3]
    t20, t21, t22, t23 = transform[2, 0], transform[2, 1], transform[2, 2], transform[2, 3]
    offset_x, offset_y, offset_z = offset[0], offset[1], offset[2]
    around_x, around_y, around_z, near = around[0], around[1], around[2], around[3] ** 2
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
        from_x = px - around_x
        from_y = py - around_y
        from_z = pz - around_z
        distance = from_x * from_x + from_y * from_y + from_z * from_z
        clear = (distance > near) & (distance < np.inf)  # neither is true of NaN
        inside = (abs(cosine * dx + sine * dy) <= half_length) & (abs(cosine * dy - sine * dx) <= half_width)
        in_band = (lowest <= above_ground) & (above_ground <= highest)
        fate[row] = np.uint8(inside) + np.uint8(inside & in_band) + np.uint8(0 if clear else _DOUBT)
        x_out[row] = x - offset_x
        y_out[row] = y - offset_y
        z_out[row] = z - offset_z


@inlined
def _settle(values: Any, origins: Any, fate: Any, dropped: Any) -> None:
    """Settle the fate of a block's points that are in doubt; count what is not finite and what is no return."""
    for row in range(fate.shape[0]):
        if fate[row] < _DOUBT:
            continue
        px = np.float64(values[3 * row])
        py = np.float64(values[3 * row + 1])
        pz = np.float64(values[3 * row + 2])
        # Beyond 1e154 m a square is infinite.
        if not px * px + py * py + pz * pz < np.inf:
            dropped[NOT_FINITE] += 1
            continue
        returned = True
        for lidar in range(origins.shape[0]):
            dx, dy, dz = px - origins[lidar, 0], py - origins[lidar, 1], pz - origins[lidar, 2]
            returned &= dx * dx + dy * dy + dz * dz > origins[lidar, 3] ** 2
        if returned:
            fate[row] -= np.uint8(_DOUBT)
        else:
            dropped[NO_RETURN] += 1


@inlined
def _around(origins: Any) -> Any:
    """Return (4,) the centre and the radius of a sphere that holds all points without a return."""
    sphere = np.zeros(4)
    for lidar in range(origins.shape[0]):
        for axis in range(3):
            sphere[axis] += origins[lidar, axis] / origins.shape[0]
    for lidar in range(origins.shape[0]):
        dx, dy, dz = origins[lidar, 0] - sphere[0], origins[lidar, 1] - sphere[1], origins[lidar, 2] - sphere[2]
        apart = np.sqrt(dx * dx + dy * dy + dz * dz)
        # A little more than apart: a point is settled by its distance from its own lidar.
        sphere[3] = max(sphere[3], apart * (1.0 + 1e-9) + origins[lidar, 3])
    return sphere


@kernel
def transform_and_select(
    positions: Any,
    world_from_source: Any,
    offset: Any,
    origins: Any,
    region: Any,
    height: Any,
    out: Any,
    kept: Any,
    dropped: Any,
) -> int:
    """Transform points to the world frame; keep those that are finite, returns, in the region and in the height band.

    A point that is dropped is counted once, by the first of these reasons: not finite, no return, region, height.

    Args:
        positions: (N, 3) float32 or float64 in the source frame, metres, contiguous.
        world_from_source: (3, 4) float64 [R | t].
        offset: (3,) float64, taken from the world position of what is kept; the region is tested before.
        origins: (K, 4) float64, one or more: x, y, z of a lidar in the source frame, and the distance from it up to
            which a point is a ray without a return; metres.
        region: (6,) float64 centre x, centre y, cos and sin of the rotation, half the length, half the width; the
            halves are infinite where there is no region.
        height: (6,) float64: height above ground is height[0:3] · position + height[3], kept within height[4:6].
        out: (N, 3) of the positions' dtype: gets the kept positions in the world, less the offset.
        kept: (N,) int64: gets their rows.
        dropped: (4,) int64: gets how many were dropped by each reason.

    Returns:
        Number of points kept.
    """
    count = positions.shape[0]
    values = positions.reshape(-1)
    around = _around(origins)
    x = np.empty(_BLOCK, out.dtype)
    y = np.empty(_BLOCK, out.dtype)
    z = np.empty(_BLOCK, out.dtype)
    fate = np.empty(_BLOCK, np.uint8)
    total = 0
    for start in range(0, count, _BLOCK):
        size = min(_BLOCK, count - start)
        _transform_block(
            values[3 * start : 3 * (start + size)], world_from_source, offset, around, region, height, x, y, z, fate
        )
        highest = np.uint8(0)
        for row in range(size):
            highest = max(highest, fate[row])
        in_doubt = highest >= _DOUBT
        if in_doubt:
            _settle(values[3 * start : 3 * (start + size)], origins, fate[:size], dropped)
        outside, too_high = 0, 0
        for row in range(size):
            outside += fate[row] == REGION
            too_high += fate[row] == HEIGHT
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
