"""Runs the text kernels over arrays."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from lidarprep.kernels.frame_json_writer import INTEGER_WIDTH, fixed_width, write_fixed, write_integer, write_shortest

SHORTEST = -1


def texts_of(values: NDArray[np.float32], decimals: int = SHORTEST) -> NDArray[np.bytes_]:
    """Each float32 as the kernel writes it, as an array of byte strings."""
    out = np.full(len(values) * fixed_width(max(decimals, 0)) + 64, ord("#"), dtype=np.uint8)
    ends = np.empty(len(values), dtype=np.int64)
    size = _floats_to_text(np.ascontiguousarray(values, dtype=np.float32), decimals, out, ends)
    assert size == (ends[-1] if len(ends) else 0)
    return _split(out, ends)


def integer_texts_of(values: NDArray[np.integer]) -> NDArray[np.bytes_]:
    """Each int64 or uint64 as the kernel writes it."""
    out = np.full(len(values) * INTEGER_WIDTH + 64, ord("#"), dtype=np.uint8)
    ends = np.empty(len(values), dtype=np.int64)
    _integers_to_text(values, out, ends)
    return _split(out, ends)


@numba.njit(nogil=True)  # not cached: a cache here would not notice that write_shortest has changed
def _floats_to_text(values, decimals, out, ends):  # type: ignore[no-untyped-def]
    start = at = np.intp(out.ctypes.data)
    for row in range(values.shape[0]):
        at = write_shortest(at, values[row]) if decimals < 0 else write_fixed(at, values[row], decimals)
        ends[row] = at - start
    return at - start


@numba.njit  # not cached: a cache here would not notice that write_integer has changed
def _integers_to_text(values, out, ends):  # type: ignore[no-untyped-def]
    start = np.intp(out.ctypes.data)
    at = start
    for row in range(values.shape[0]):
        at = write_integer(at, values[row])
        ends[row] = at - start


def _split(out: NDArray[np.uint8], ends: NDArray[np.int64]) -> NDArray[np.bytes_]:
    starts = np.concatenate(([0], ends[:-1])).astype(np.int64)
    width = int((ends - starts).max(initial=1))
    at = starts[:, None] + np.arange(width)
    characters = np.where(at < ends[:, None], out[np.minimum(at, len(out) - 1)], 0).astype(np.uint8)
    return np.ascontiguousarray(characters).view(f"S{width}").ravel()
