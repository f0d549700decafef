"""Occupied voxels: the share that two clouds have in common, under many transforms between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from lidarprep.kernels.jit import inlined, kernel

_FACTOR = np.uint64(0x9E3779B97F4A7C15)

# Voxels within so many of the origin along each axis pack into one word; points beyond, or not finite, are passed over.
REACH = 2**20


@inlined
def _packed(x: Any, y: Any, z: Any, size: Any) -> Any:
    """Return the voxel of a point as one number above 0; 0 where it is out of reach."""
    fx, fy, fz = x / size, y / size, z / size
    if not (abs(fx) < REACH - 1 and abs(fy) < REACH - 1 and abs(fz) < REACH - 1):
        return np.uint64(0)
    i = np.int64(np.floor(fx)) + REACH
    j = np.int64(np.floor(fy)) + REACH
    k = np.int64(np.floor(fz)) + REACH
    return np.uint64((i << 42) | (j << 21) | k) + np.uint64(1)


@kernel
def shared_voxels(first: Any, second: Any, transforms: Any, size: float, shares: Any) -> None:
    """Measure how much of the smaller cloud's occupied voxels the other cloud occupies, too.

    Args:
        first: (N, 3) float64 points, metres.
        second: (M, 3) float64 points, metres, in axes of their own.
        transforms: (K, 3, 4) float64 [R | t]: first_from_second, one of K.
        size: Edge of a voxel, metres.
        shares: (K,) float64: gets the shares, from 0 to 1; 0 where a cloud has no point in reach.
    """
    bits = 4
    while (1 << bits) < 2 * max(first.shape[0], second.shape[0]):
        bits += 1
    shift = np.uint64(64 - bits)
    mask = np.uint64((1 << bits) - 1)
    table = np.zeros(1 << bits, np.uint64)
    occupied = 0
    for row in range(first.shape[0]):
        voxel = _packed(first[row, 0], first[row, 1], first[row, 2], size)
        if voxel == 0:
            continue
        slot = (voxel * _FACTOR) >> shift
        while table[slot] != 0 and table[slot] != voxel:
            slot = (slot + np.uint64(1)) & mask
        if table[slot] == 0:
            table[slot] = voxel
            occupied += 1
    # The moved cloud's voxels, and the transform that each was stored for: so the table is never emptied.
    moved = np.zeros(1 << bits, np.uint64)
    stored_for = np.full(1 << bits, -1, np.int32)
    for k in range(transforms.shape[0]):
        distinct, common = 0, 0
        for row in range(second.shape[0]):
            x, y, z = second[row, 0], second[row, 1], second[row, 2]
            voxel = _packed(
                transforms[k, 0, 0] * x + transforms[k, 0, 1] * y + transforms[k, 0, 2] * z + transforms[k, 0, 3],
                transforms[k, 1, 0] * x + transforms[k, 1, 1] * y + transforms[k, 1, 2] * z + transforms[k, 1, 3],
                transforms[k, 2, 0] * x + transforms[k, 2, 1] * y + transforms[k, 2, 2] * z + transforms[k, 2, 3],
                size,
            )
            if voxel == 0:
                continue
            slot = (voxel * _FACTOR) >> shift
            place = slot
            while stored_for[place] == k and moved[place] != voxel:
                place = (place + np.uint64(1)) & mask
            if stored_for[place] == k:
                continue
            stored_for[place] = k
            moved[place] = voxel
            distinct += 1
            while table[slot] != 0 and table[slot] != voxel:
                slot = (slot + np.uint64(1)) & mask
            if table[slot] == voxel:
                common += 1
        smaller = min(occupied, distinct)
        shares[k] = common / smaller if smaller else 0.0
