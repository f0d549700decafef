"""The `points` array of a Frame JSON, from text to columns: any key order, any white space, keys left out.

`find_points` walks over the keys of the frame to the array, `read_points` reads it. A JSON library reads the rest of
the frame from the text without the array. Every offset is checked against the text's end before a load, so a cut or
hostile text ends in a status.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lidarprep.kernels import HAS_D, HAS_GROUND, HAS_I, HAS_T, HAS_X, HAS_Y, HAS_Z
from lidarprep.kernels.jit import inlined, kernel
from lidarprep.kernels.json_numbers import read_integer, read_number
from lidarprep.kernels.memory import byte_at, u32_at, u64_at, view_of

# Statuses of the scanners; the offset is returned with them.
OK = 0
NO_POINTS = 1
BAD_JSON = 2
CUT_SHORT = 3
TOO_DEEP = 4
DUPLICATE_KEY = 5
MISSING_COORDINATE = 6
NOT_A_NUMBER = 7
BAD_INTEGER = 8
NOT_A_BOOLEAN = 9
DUPLICATE_POINTS = 10
ESCAPED_KEY = 11

MAX_DEPTH = 64

_QUOTE, _BACKSLASH, _COMMA, _COLON = 34, 92, 44, 58
_OPEN_BRACE, _CLOSE_BRACE, _OPEN_BRACKET, _CLOSE_BRACKET = 123, 125, 91, 93

HAS_OTHER = 128  # beside the columns that a point may have: an unknown key, which is skipped with its value

LARGEST_DEVICE = 2**32 - 1

# The shortest point, `{"x":0,"y":0,"z":0}` and a comma, which bounds the number of points in a text.
SHORTEST_POINT = 20


def _word(text: bytes) -> Any:
    return (np.uint32 if len(text) == 4 else np.uint64)(int.from_bytes(text, "little"))


# Keys with their colon, as most writers have them, for one comparison of a word.
_KEY_X, _KEY_Y, _KEY_Z, _KEY_I = (_word(b'"%c":' % name) for name in b"xyzi")
_IS_GROUND, _GROUND = _word(b'"is_grou'), _word(b"s_ground")
_COLUMN_OF_LETTER = np.full(256, HAS_OTHER)
_COLUMN_OF_LETTER[list(b"xyzidt")] = HAS_X, HAS_Y, HAS_Z, HAS_I, HAS_D, HAS_T
_TRUE, _FALS, _POINTS = _word(b"true"), _word(b"fals"), _word(b'"points"')


# ---- JSON tokens ----


@inlined
def _is_space(c: Any) -> Any:
    return c == 32 or c == 10 or c == 13 or c == 9


@inlined
def _skip_space(text: Any, at: Any) -> Any:
    while at < text[1] and _is_space(byte_at(text, at)):
        at += 1
    return at


@inlined
def _is_at(text: Any, at: Any, c: Any) -> Any:
    """Return whether the byte at `at` is `c`; False at the text's end."""
    return at < text[1] and byte_at(text, at) == c


@inlined
def _skip_string(text: Any, at: Any) -> Any:
    """Return the offset behind the string that opens at `at`; -1 if it does not close."""
    at += 1
    while at < text[1]:
        c = byte_at(text, at)
        if c == _QUOTE:
            return at + 1
        at += 1 + np.int64(c == _BACKSLASH)
    return np.int64(-1)


@inlined
def _hides_ascii(text: Any, at: Any, behind: Any) -> Any:
    r"""Return whether a string has a plain character as \u0020 to \u007f, which could disguise a known key."""
    while at < behind:
        if byte_at(text, at) != _BACKSLASH:
            at += 1
            continue
        if (
            behind - at > 5
            and byte_at(text, at + 1) == 117  # u
            and byte_at(text, at + 2) == 48
            and byte_at(text, at + 3) == 48
            and 50 <= byte_at(text, at + 4) <= 55
        ):
            return True
        at += 2
    return False


@inlined
def _ends_value(c: Any) -> Any:
    return c == _COMMA or c == _CLOSE_BRACE or c == _CLOSE_BRACKET or _is_space(c)


@inlined
def _skip_value(text: Any, at: Any, within: Any) -> Any:
    """Skip the JSON value at `at`, at depth `within`, without checking its content: (status, offset behind)."""
    depth = within
    while at < text[1]:
        c = byte_at(text, at)
        if c == _QUOTE:
            at = _skip_string(text, at)
            if at < 0:
                return CUT_SHORT, text[1]
        elif c == _OPEN_BRACE or c == _OPEN_BRACKET:
            depth += 1
            if depth > MAX_DEPTH:
                return TOO_DEEP, at
            at += 1
            continue
        elif c == _CLOSE_BRACE or c == _CLOSE_BRACKET:
            depth -= 1
            if depth < within:
                return BAD_JSON, at
            at += 1
        elif c == _COMMA or c == _COLON or _is_space(c):
            if depth == within:
                return BAD_JSON, at
            at += 1
            continue
        else:
            while at < text[1] and not _ends_value(byte_at(text, at)):
                at += 1
        if depth == within:
            return OK, at
    return CUT_SHORT, text[1]


# ---- the frame ----


@kernel
def find_points(text: Any, at: int) -> Any:
    """Find the value of the next key "points" in the top-level object of a UTF-8 JSON text.

    A key with plain characters as escapes is refused. Other values are skipped unchecked; a JSON parser reads the text
    again without the points.

    Args:
        text: (N,) uint8.
        at: 0, or the offset behind a value of the object.

    Returns:
        (status, offset): OK and the value's start, NO_POINTS and the object's end, or an error and its place.
    """
    view = view_of(text)
    size = view[1]
    opened = at == 0
    at = _skip_space(view, at)
    if opened and at < size and byte_at(view, at) != _OPEN_BRACE:
        return BAD_JSON, at
    while at < size:
        if not opened and byte_at(view, at) == _CLOSE_BRACE:
            return NO_POINTS, at
        if not opened and byte_at(view, at) != _COMMA:
            return BAD_JSON, at
        at = _skip_space(view, at + 1)  # behind the opening brace, or a comma
        if opened and _is_at(view, at, _CLOSE_BRACE):
            return NO_POINTS, at
        opened = False
        if at >= size:
            break
        if byte_at(view, at) != _QUOTE:
            return BAD_JSON, at
        behind = _skip_string(view, at)
        if behind < 0:
            break
        if _hides_ascii(view, at, behind):
            return ESCAPED_KEY, at
        is_points = behind - at == 8 and u64_at(view, at) == _POINTS
        at = _skip_space(view, behind)
        if at >= size:
            break
        if byte_at(view, at) != _COLON:
            return BAD_JSON, at
        at = _skip_space(view, at + 1)
        if is_points:
            return OK, at
        status, at = _skip_value(view, at, 0)
        if status != OK:
            return status, at
        at = _skip_space(view, at)
    return CUT_SHORT, size


# ---- the points ----


@inlined
def _column_of(text: Any, at: Any, behind: Any) -> Any:
    """Return the column of the key in quotes: a HAS_ bit, or HAS_OTHER."""
    if behind - at == 3:
        return _COLUMN_OF_LETTER[byte_at(text, at + 1)]
    if behind - at == 11 and u64_at(text, at) == _IS_GROUND and u64_at(text, at + 2) == _GROUND:
        return HAS_GROUND
    return HAS_OTHER


@inlined
def _read_key(text: Any, at: Any) -> Any:
    """Read a key: (HAS_ bit or minus a status, offset of the value)."""
    if at + 4 <= text[1]:
        word = u32_at(text, at)
        if word == _KEY_X:
            return HAS_X, _skip_space(text, at + 4)
        if word == _KEY_Y:
            return HAS_Y, _skip_space(text, at + 4)
        if word == _KEY_Z:
            return HAS_Z, _skip_space(text, at + 4)
        if word == _KEY_I:
            return HAS_I, _skip_space(text, at + 4)
    if not _is_at(text, at, _QUOTE):
        return -BAD_JSON, at
    behind = _skip_string(text, at)
    if behind < 0:
        return -CUT_SHORT, text[1]
    if _hides_ascii(text, at, behind):
        return -ESCAPED_KEY, at
    column = _column_of(text, at, behind)
    at = _skip_space(text, behind)
    if not _is_at(text, at, _COLON):
        return -BAD_JSON, at
    return column, _skip_space(text, at + 1)


@inlined
def _read_ground(text: Any, at: Any) -> Any:
    """Read true or false: (offset behind or -1, value)."""
    if at + 4 <= text[1]:
        word = u32_at(text, at)
        if word == _TRUE:
            return at + 4, True
        if word == _FALS and _is_at(text, at + 4, 101):
            return at + 5, False
    return np.int64(-1), False


@kernel
def read_points(
    text: Any,
    start: int,
    positions: Any,
    intensity: Any,
    device: Any,
    timestamp: Any,
    is_ground: Any,
    slow: Any,
) -> Any:
    """Read the `points` array that starts at `text[start]` into columns.

    Args:
        text: (N,) uint8.
        start: Offset of the array.
        positions: (M, 3) float32, for as many points as the text could hold.
        intensity: (M,) float32, zeros on entry, as the other optional columns; missing values are left unchanged.
        device, timestamp: (M,) int64.
        is_ground: (M,) bool.
        slow: int64 (K, 4): gets row, column (0–3: x, y, z, i), start and end of each number that Python has to read
            to be exact. More than K are counted, not stored.

    Returns:
        (status, offset, points, slow numbers, HAS_ bits of any point, HAS_ bits of every point). The offset is behind
        the array, or that of the error.
    """
    view = view_of(text)
    row, slow_count, any_seen, all_seen = 0, 0, 0, 127
    at = start
    if not _is_at(view, at, _OPEN_BRACKET):
        return BAD_JSON, at, row, slow_count, any_seen, all_seen
    at = _skip_space(view, at + 1)
    if _is_at(view, at, _CLOSE_BRACKET):
        return OK, at + 1, row, slow_count, any_seen, all_seen
    while at < view[1]:
        if byte_at(view, at) != _OPEN_BRACE:
            return BAD_JSON, at, row, slow_count, any_seen, all_seen
        point, seen = at, 0
        at = _skip_space(view, at + 1)
        if _is_at(view, at, _CLOSE_BRACE):
            return MISSING_COORDINATE, point, row, slow_count, any_seen, all_seen
        if row == positions.shape[0]:  # more points than the text could hold if they were complete
            return MISSING_COORDINATE, point, row, slow_count, any_seen, all_seen
        while True:
            column, at = _read_key(view, at)
            if column < 0:
                return -column, at, row, slow_count, any_seen, all_seen
            if column & seen & 127:
                return DUPLICATE_KEY, at, row, slow_count, any_seen, all_seen
            seen |= column
            if column <= HAS_I:
                behind, value, exact = read_number(view, at)
                axis = column >> 1  # 1, 2, 4, 8 are 0, 1, 2, 4
                if behind < 0:
                    return NOT_A_NUMBER, at, row, slow_count, any_seen, all_seen
                if axis < 3:
                    positions[row, axis] = np.float32(value)
                else:
                    intensity[row] = np.float32(value)
                if not exact:
                    if slow_count < slow.shape[0]:
                        slow[slow_count, 0] = row
                        slow[slow_count, 1] = min(axis, 3)
                        slow[slow_count, 2] = at
                        slow[slow_count, 3] = behind
                    slow_count += 1
            elif column == HAS_D or column == HAS_T:
                behind, whole, fits = read_integer(view, at)
                if behind < 0:
                    return NOT_A_NUMBER, at, row, slow_count, any_seen, all_seen
                if not fits or (column == HAS_D and (whole < 0 or whole > LARGEST_DEVICE)):
                    return BAD_INTEGER, at, row, slow_count, any_seen, all_seen
                if column == HAS_D:
                    device[row] = whole
                else:
                    timestamp[row] = whole
            elif column == HAS_GROUND:
                behind, is_ground[row] = _read_ground(view, at)
                if behind < 0:
                    return NOT_A_BOOLEAN, at, row, slow_count, any_seen, all_seen
            else:
                status, behind = _skip_value(view, at, 2)
                if status != OK:
                    return status, behind, row, slow_count, any_seen, all_seen
            at = _skip_space(view, behind)
            if _is_at(view, at, _COMMA):
                at = _skip_space(view, at + 1)
            elif _is_at(view, at, _CLOSE_BRACE):
                break
            else:
                return (BAD_JSON if at < view[1] else CUT_SHORT), at, row, slow_count, any_seen, all_seen
        if (seen & 7) != 7:
            return MISSING_COORDINATE, point, row, slow_count, any_seen, all_seen
        any_seen |= seen
        all_seen &= seen
        row += 1
        at = _skip_space(view, at + 1)
        if _is_at(view, at, _COMMA):
            at = _skip_space(view, at + 1)
        elif _is_at(view, at, _CLOSE_BRACKET):
            return OK, at + 1, row, slow_count, any_seen, all_seen
        else:
            return (BAD_JSON if at < view[1] else CUT_SHORT), at, row, slow_count, any_seen, all_seen
    return CUT_SHORT, view[1], row, slow_count, any_seen, all_seen
