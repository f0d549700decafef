"""The `points` array of a Frame JSON, from columns to text.

Keys and numbers are written in one pass into one buffer. A column that is None is pruned when the kernel is compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lidarprep.kernels.jit import inlined, kernel
from lidarprep.kernels.memory import store_u32, store_u64
from lidarprep.kernels.text import (
    INTEGER_WIDTH,
    SHORTEST_WIDTH,
    fixed_width,
    write_fixed,
    write_integer,
    write_shortest,
)


def _word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "little"))


_OPEN_X = _word(b',{"x":')
_Y = _word(b',"y":')
_Z = _word(b',"z":')
_I = _word(b',"i":')
_D = _word(b',"d":')
_T = _word(b',"t":')
_GROUND_FALSE = (_word(b',"is_gro'), _word(b'und":fal'), _word(b"se"))
_GROUND_TRUE = (_word(b',"is_gro'), _word(b'und":tru'), _word(b"e"))
_CLOSE = np.uint32(ord("}"))


def points_capacity(count: int, *, decimals: int, optional_columns: int) -> int:
    """Return the bytes for the text of `count` points, including the scratch of the number writers."""
    number = max(SHORTEST_WIDTH, fixed_width(decimals) if decimals >= 0 else 0, INTEGER_WIDTH)
    return count * ((3 + optional_columns) * (number + 8) + 16) + 64


@kernel
def write_points(
    positions: Any, intensity: Any, device: Any, timestamp: Any, is_ground: Any, decimals: int, out: Any
) -> Any:
    """Write points as `,{"x":1,"y":2,"z":3},{…}`: a comma before each, also the first.

    Args:
        positions: (N, 3) float32, finite.
        intensity: (N,) float32, finite, or None.
        device: (N,) uint32, or None.
        timestamp: (N,) int64 nanoseconds, or None.
        is_ground: (N,) bool, or None.
        decimals: Digits after the point, 0–8; below 0 the shortest text.
        out: uint8 buffer of `points_capacity` bytes.

    Returns:
        Number of bytes written.
    """
    start: Any = np.intp(out.ctypes.data)
    at = start
    for row in range(positions.shape[0]):
        store_u64(at, _OPEN_X)
        at = _write_float(at + 6, positions[row, 0], decimals)
        store_u64(at, _Y)
        at = _write_float(at + 5, positions[row, 1], decimals)
        store_u64(at, _Z)
        at = _write_float(at + 5, positions[row, 2], decimals)
        if intensity is not None:
            store_u64(at, _I)
            at = _write_float(at + 5, intensity[row], decimals)
        if device is not None:
            store_u64(at, _D)
            at = write_integer(at + 5, np.uint64(device[row]))
        if timestamp is not None:
            store_u64(at, _T)
            at = write_integer(at + 5, timestamp[row])
        if is_ground is not None:
            words = _GROUND_TRUE if is_ground[row] else _GROUND_FALSE
            store_u64(at, words[0])
            store_u64(at + 8, words[1])
            store_u64(at + 16, words[2])
            at += 17 if is_ground[row] else 18
        store_u32(at, _CLOSE)
        at += 1
    return at - start


@inlined
def _write_float(at: Any, value: Any, decimals: int) -> Any:
    if decimals < 0:
        return write_shortest(at, value)
    return write_fixed(at, value, decimals)
