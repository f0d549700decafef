"""Rows of whole numbers from JSON text: the labels of points, [[0, 2, …], …], a list a frame."""

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
def read_rows(text: Any, start: int, values: Any, ends: Any) -> Any:
    """Read the list of lists at `text[start]`; null stands for an empty row.

    Args:
        text: (N,) uint8.
        start: Offset of the outer list.
        values: uint32, for as many numbers as the text could hold: N // 2 + 1.
        ends: int64, for as many rows as it could hold: N // 2 + 1; gets the number of values up to each row's end.

    Returns:
        (status, offset behind the list or of the error, rows, values).
    """
    view = view_of(text)
    size = view[1]
    rows = np.int64(0)
    count = np.int64(0)
    at = np.int64(start)
    if at >= size or byte_at(view, at) != _OPEN:
        return NOT_A_LIST, at, rows, count
    at = _skip_space(view, at + 1)
    if at < size and byte_at(view, at) == _CLOSE:
        return OK, at + 1, rows, count
    while at < size:
        if byte_at(view, at) == _OPEN:
            at = _skip_space(view, at + 1)
            closed = at < size and byte_at(view, at) == _CLOSE
            while not closed and at < size:
                behind, value = _read_whole(view, at)
                if behind < 0:
                    return NOT_A_NUMBER, at, rows, count
                values[count] = value
                count += 1
                at = _skip_space(view, behind)
                if at >= size:
                    break
                c = byte_at(view, at)
                if c == _CLOSE:
                    closed = True
                elif c == _COMMA:
                    at = _skip_space(view, at + 1)
                else:
                    return NOT_A_NUMBER, at, rows, count
            if not closed:
                return CUT_SHORT, size, rows, count
            at += 1
        elif at + 4 <= size and u32_at(view, at) == _NULL:
            at += 4
        else:
            return NOT_A_LIST, at, rows, count
        ends[rows] = count
        rows += 1
        at = _skip_space(view, at)
        if at >= size:
            break
        c = byte_at(view, at)
        if c == _CLOSE:
            return OK, at + 1, rows, count
        if c != _COMMA:
            return NOT_A_LIST, at, rows, count
        at = _skip_space(view, at + 1)
    return CUT_SHORT, size, rows, count
