"""One measured point a voxel, by a hash table of the voxels that were met."""

from __future__ import annotations

from typing import Any

import numpy as np

from lidarprep.kernels.jit import inlined, kernel

_EMPTY = -1

# Odd multipliers, as Teschner et al., "Optimized spatial hashing for collision detection of deformable objects", 2003,
# have them, but 64 bits wide, and mixed once more, since low bits alone would repeat along an axis.
_FACTOR_X = np.uint64(0x9E3779B97F4A7C15)
_FACTOR_Y = np.uint64(0xC2B2AE3D27D4EB4F)
_FACTOR_Z = np.uint64(0x165667B19E3779F9)


@inlined
def _slot(x: Any, y: Any, z: Any, mask: Any) -> Any:
    mixed = np.uint64(x) * _FACTOR_X ^ np.uint64(y) * _FACTOR_Y ^ np.uint64(z) * _FACTOR_Z
    return np.int64((mixed ^ (mixed >> np.uint64(29))) & mask)


@kernel
def voxel_rows(positions: Any, size: float, nearest: bool, rows: Any) -> int:
    """Which row stands for each voxel: the first in it, or the one nearest to its centre (the first of equals).

    Voxels are cubes with edges of `size`, aligned with the axes, one corner at the origin; a point on a shared face
    belongs to the voxel above it. The result depends on the points alone.

    Args:
        positions: (N, 3) float32 or float64, finite, |coordinate| / size below 2^31.
        size: Edge of a voxel, in the unit of the positions.
        nearest: Whether the nearest to the centre is kept rather than the first.
        rows: (N,) int64: gets the rows that are kept, ascending.

    Returns:
        How many are kept.
    """
    count = positions.shape[0]
    slots = np.int64(16)
    while slots < 2 * count:
        slots *= 2
    mask = np.uint64(slots - 1)
    voxels = np.empty((slots, 3), np.int32)
    kept = np.full(slots, _EMPTY, np.int64)  # the row that stands for the voxel in the slot
    distances = np.empty(slots if nearest else 1, np.float64)
    stands = np.zeros(count, np.bool_)
    scale = 1.0 / size
    for row in range(count):
        px = np.float64(positions[row, 0]) * scale
        py = np.float64(positions[row, 1]) * scale
        pz = np.float64(positions[row, 2]) * scale
        x, y, z = np.int32(np.floor(px)), np.int32(np.floor(py)), np.int32(np.floor(pz))
        slot = _slot(x, y, z, mask)
        while kept[slot] != _EMPTY and (voxels[slot, 0] != x or voxels[slot, 1] != y or voxels[slot, 2] != z):
            slot = np.int64(np.uint64(slot + 1) & mask)
        distance = 0.0
        if nearest:
            dx, dy, dz = px - x - 0.5, py - y - 0.5, pz - z - 0.5
            distance = dx * dx + dy * dy + dz * dz
        if kept[slot] == _EMPTY:
            voxels[slot, 0] = x
            voxels[slot, 1] = y
            voxels[slot, 2] = z
        elif nearest and distance < distances[slot]:
            stands[kept[slot]] = False
        else:
            continue
        kept[slot] = row
        stands[row] = True
        if nearest:
            distances[slot] = distance
    total = 0
    for row in range(count):
        if stands[row]:
            rows[total] = row
            total += 1
    return total
