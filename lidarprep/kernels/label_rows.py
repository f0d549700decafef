"""Whole numbers from JSON text: the labels of points of one frame, [0, 2, …]."""

from __future__ import annotations

from typing import Any

import numpy as np

from lidarprep.kernels.jit import inlined, kernel
from lidarprep.kernels.memory import byte_at, u32_at, view_of

# Statuses; the offset is returned with them.
OK = 0
NOT_A_LIST = 1
NOT_A_NUMBER = 2
CUT_SHORT = 3

_COMMA, _OPEN, _CLOSE = 44, 91, 93
_NULL = np.uint32(int.from_bytes(b"null", "little"))
_LARGEST = np.uint64(2**32 - 1)


@inlined
def _skip_space(text: Any, at: Any) -> Any:
    while at < text[1]:
        c = byte_at(text, at)
        if c != 32 and c != 10 and c != 13 and c != 9:
            break
        at += 1
    return at


@inlined
def _read_whole(text: Any, at: Any) -> Any:
    """Read a whole number up to 2^32 − 1: (offset behind or -1, value)."""
    start = at
    value = np.uint64(0)
    while at < text[1]:
        digit = np.uint64(byte_at(text, at)) - np.uint64(48)
        if digit > np.uint64(9):
            break
        value = value * np.uint64(10) + digit
        at += 1
    count = at - start
    if count == 0 or count > 10 or value > _LARGEST or (count > 1 and byte_at(text, start) == 48):
        return np.int64(-1), np.uint32(0)
    return at, np.uint32(value)


@kernel
def read_row(text: Any, start: int, values: Any) -> Any:
    """Read the list of numbers at `text[start]`; null stands for an empty one.

    Args:
        text: (N,) uint8.
        start: Offset of the list.
        values: uint32, for as many numbers as the text could hold: N // 2 + 1.

    Returns:
        (status, offset behind the list or of the error, values).
    """
    view = view_of(text)
    size = view[1]
    count = np.int64(0)
    at = np.int64(start)
    if at + 4 <= size and u32_at(view, at) == _NULL:
        return OK, at + 4, count
    if at >= size:
        return CUT_SHORT, size, count
    if byte_at(view, at) != _OPEN:
        return NOT_A_LIST, at, count
    at = _skip_space(view, at + 1)
    if at < size and byte_at(view, at) == _CLOSE:
        return OK, at + 1, count
    while at < size:
        behind, value = _read_whole(view, at)
        if behind < 0:
            return NOT_A_NUMBER, at, count
        values[count] = value
        count += 1
        at = _skip_space(view, behind)
        if at >= size:
            break
        c = byte_at(view, at)
        if c == _CLOSE:
            return OK, at + 1, count
        if c != _COMMA:
            return NOT_A_NUMBER, at, count
        at = _skip_space(view, at + 1)
    return CUT_SHORT, size, count
