"""Voxel downsampling to one measured point a voxel, by a hash table of voxels."""

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
    """Choose a row for each voxel: the first in it, or the one nearest to its centre (the first of equals).

    Voxels are cubes with edges of `size`, aligned with the axes, one corner at the origin; a point on a shared face
    belongs to the voxel above it. The result depends on the points alone.

    Args:
        positions: (N, 3) float32 or float64, finite, |coordinate| / size below 2^31.
        size: Edge of a voxel, in the unit of the positions.
        nearest: Whether the nearest to the centre is kept rather than the first.
        rows: (N,) int64: gets the rows that are kept, ascending.

    Returns:
        Number of rows kept.
    """
    count = positions.shape[0]
    slots = np.int64(16)
    while slots < 2 * count:
        slots *= 2
    mask = np.uint64(slots - 1)
    voxels = np.empty((slots, 3), np.int32)
    kept = np.full(slots, _EMPTY, np.int64)  # the row chosen for the voxel in the slot
    distances = np.empty(slots if nearest else 1, np.float64)
    chosen = np.zeros(count, np.bool_)
    for row in range(count):
        px = np.float64(positions[row, 0]) / size
        py = np.float64(positions[row, 1]) / size
        pz = np.float64(positions[row, 2]) / size
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
            chosen[kept[slot]] = False
        else:
            continue
        kept[slot] = row
        chosen[row] = True
        if nearest:
            distances[slot] = distance
    total = 0
    for row in range(count):
        if chosen[row]:
            rows[total] = row
            total += 1
    return total


# Voxels of a grid of 2^21 along each axis pack into one word.
PACKED_REACH = 2**20

_BLOCK = 4096


@inlined
def _pack_block(values: Any, size: Any, packed: Any) -> None:
    """Return the voxel of each of a block's points as one number above 0."""
    for row in range(values.shape[0] // 3):
        x = np.int64(np.floor(np.float64(values[3 * row]) / size)) + PACKED_REACH
        y = np.int64(np.floor(np.float64(values[3 * row + 1]) / size)) + PACKED_REACH
        z = np.int64(np.floor(np.float64(values[3 * row + 2]) / size)) + PACKED_REACH
        packed[row] = np.uint64((x << 42) | (y << 21) | z) + np.uint64(1)


@kernel
def first_rows(positions: Any, size: float, rows: Any) -> int:
    """Choose the first row of each voxel, like `voxel_rows`, for voxels within PACKED_REACH of the origin.

    Voxels are packed a block at a time, which compiles to vector instructions, and the table holds nothing but them, so
    that it stays in the processor's cache.

    Args:
        positions: (N, 3) float32 or float64, finite, contiguous, |coordinate| / size below PACKED_REACH.
        size: Edge of a voxel, in the unit of the positions.
        rows: (N,) int64: gets the rows that are kept, ascending.

    Returns:
        Number of rows kept.
    """
    count = positions.shape[0]
    bits = 4
    while (1 << bits) < 2 * count:
        bits += 1
    shift = np.uint64(64 - bits)
    mask = np.uint64((1 << bits) - 1)
    table = np.zeros(1 << bits, np.uint64)
    packed = np.empty(_BLOCK, np.uint64)
    values = positions.reshape(-1)
    total = 0
    for start in range(0, count, _BLOCK):
        length = min(_BLOCK, count - start)
        _pack_block(values[3 * start : 3 * (start + length)], size, packed)
        for row in range(length):
            voxel = packed[row]
            slot = (voxel * _FACTOR_X) >> shift
            while table[slot] != 0 and table[slot] != voxel:
                slot = (slot + np.uint64(1)) & mask
            if table[slot] == 0:
                table[slot] = voxel
                rows[total] = start + row
                total += 1
    return total


@inlined
def _voxel_of(positions: Any, row: Any, size: Any) -> Any:
    x = np.int32(np.floor(np.float64(positions[row, 0]) / size))
    y = np.int32(np.floor(np.float64(positions[row, 1]) / size))
    z = np.int32(np.floor(np.float64(positions[row, 2]) / size))
    return x, y, z


@kernel
def stand_ins_of(positions: Any, size: float, rows: Any, stand_ins: Any) -> None:
    """Find for each point the kept one of its voxel.

    Args:
        positions: (N, 3) float32 or float64, as `voxel_rows` or `first_rows` had them.
        size: Edge of a voxel, in the unit of the positions.
        rows: (K,) int64: what they have kept, one row for each voxel.
        stand_ins: (N,) uint32: gets the number, from 1, of the kept point in each point's voxel.
    """
    slots = np.int64(16)
    while slots < 2 * rows.shape[0]:
        slots *= 2
    mask = np.uint64(slots - 1)
    voxels = np.empty((slots, 3), np.int32)
    numbers = np.zeros(slots, np.uint32)
    for number in range(rows.shape[0]):
        x, y, z = _voxel_of(positions, rows[number], size)
        slot = _slot(x, y, z, mask)
        while numbers[slot] != 0:
            slot = np.int64(np.uint64(slot + 1) & mask)
        voxels[slot, 0] = x
        voxels[slot, 1] = y
        voxels[slot, 2] = z
        numbers[slot] = np.uint32(number + 1)
    for row in range(positions.shape[0]):
        x, y, z = _voxel_of(positions, row, size)
        slot = _slot(x, y, z, mask)
        while numbers[slot] != 0 and (voxels[slot, 0] != x or voxels[slot, 1] != y or voxels[slot, 2] != z):
            slot = np.int64(np.uint64(slot + 1) & mask)
        stand_ins[row] = numbers[slot]
