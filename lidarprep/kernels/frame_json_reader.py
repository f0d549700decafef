"""The `points` array of a Frame JSON, from text to columns: any key order, any white space, keys left out.

The text is looked through twice: `find_points` finds where the array starts and ends, `read_points` reads it. What
stands around it is read by a JSON library from the text without the array. Every index is checked against the text's
end, so a lying or cut text ends in a status, never in a read beyond it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lidarprep.kernels.jit import inlined, kernel

# What the scanners say of a text that they can't read; the place is returned beside it.
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

MAX_DEPTH = 64

_QUOTE, _BACKSLASH, _COMMA, _COLON = 34, 92, 44, 58
_OPEN_BRACE, _CLOSE_BRACE, _OPEN_BRACKET, _CLOSE_BRACKET = 123, 125, 91, 93

# The columns that a point may have, as bits of what was seen.
HAS_X, HAS_Y, HAS_Z, HAS_I, HAS_D, HAS_T, HAS_GROUND = 1, 2, 4, 8, 16, 32, 64
HAS_OTHER = 128  # a key that names no column: it and its value are only passed over here

LARGEST_DEVICE = 2**32 - 1
_LARGEST_INT64 = 2**63 - 1
_BEYOND_INT64 = np.uint64(2**63)

_TRUE, _FALSE, _POINTS, _IS_GROUND = (
    np.frombuffer(text, dtype=np.uint8) for text in (b"true", b"false", b'"points"', b'"is_ground"')
)


@inlined
def _is_space(c: Any) -> Any:
    return c == 32 or c == 10 or c == 13 or c == 9


@inlined
def _ends_value(c: Any) -> Any:
    return c == _COMMA or c == _CLOSE_BRACE or c == _CLOSE_BRACKET


@inlined
def _skip_space(text: Any, at: Any) -> Any:
    while at < text.shape[0] and _is_space(text[at]):
        at += 1
    return at


@inlined
def _skip_string(text: Any, at: Any) -> Any:
    """From the opening quote to behind the closing one; -1 where there is none."""
    at += 1
    while at < text.shape[0]:
        if text[at] == _BACKSLASH:
            at += 2
        elif text[at] == _QUOTE:
            return at + 1
        else:
            at += 1
    return -1


@inlined
def _is_literal(text: Any, at: Any, end: Any, literal: Any) -> Any:
    """Whether `literal` (uint8 array) stands at `at`."""
    if end - at < literal.shape[0]:
        return False
    for i in range(literal.shape[0]):
        if text[at + i] != literal[i]:
            return False
    return True


@kernel
def skip_value(text: Any, at: Any) -> Any:
    """(status, offset): behind the JSON value that starts at `at`, whose insides are only counted, not checked."""
    depth = 0
    size = text.shape[0]
    while at < size:
        c = text[at]
        if c == _QUOTE:
            at = _skip_string(text, at)
            if at < 0:
                return CUT_SHORT, size
        elif c == _OPEN_BRACE or c == _OPEN_BRACKET:
            depth += 1
            if depth > MAX_DEPTH:
                return TOO_DEEP, at
            at += 1
            continue
        elif c == _CLOSE_BRACE or c == _CLOSE_BRACKET:
            depth -= 1
            if depth < 0:
                return BAD_JSON, at
            at += 1
        elif c == _COMMA or c == _COLON or _is_space(c):
            if depth == 0:
                return BAD_JSON, at
            at += 1
            continue
        else:
            while at < size and not (_is_space(text[at]) or _ends_value(text[at])):
                at += 1
        if depth == 0:
            return OK, at
    return CUT_SHORT, size


@kernel
def find_points(text: Any) -> Any:
    """(status, start, end) of the value of the key "points" in the top-level object of a UTF-8 JSON text.

    Keys that are spelled with escapes are not looked into. Everything but the extent of the values is left to a JSON
    parser, which reads the text again without the points.
    """
    size = text.shape[0]
    start, end = -1, -1
    at = _skip_space(text, 0)
    if at >= size:
        return CUT_SHORT, at, at
    if text[at] != _OPEN_BRACE:
        return BAD_JSON, at, at
    at = _skip_space(text, at + 1)
    while at < size and text[at] != _CLOSE_BRACE:
        if text[at] != _QUOTE:
            return BAD_JSON, at, at
        behind = _skip_string(text, at)
        if behind < 0:
            return CUT_SHORT, size, size
        is_points = behind - at == 8 and _is_literal(text, at, behind, _POINTS)
        key = at
        at = _skip_space(text, behind)
        if at >= size:
            return CUT_SHORT, size, size
        if text[at] != _COLON:
            return BAD_JSON, at, at
        at = _skip_space(text, at + 1)
        status, behind = skip_value(text, at)
        if status != OK:
            return status, behind, behind
        if is_points:
            if start >= 0:
                return DUPLICATE_POINTS, key, key
            start, end = at, behind
        at = _skip_space(text, behind)
        if at >= size:
            return CUT_SHORT, size, size
        if text[at] == _COMMA:
            at = _skip_space(text, at + 1)
            if at < size and text[at] == _CLOSE_BRACE:
                return BAD_JSON, at, at
        elif text[at] != _CLOSE_BRACE:
            return BAD_JSON, at, at
    if at >= size:
        return CUT_SHORT, size, size
    if start < 0:
        return NO_POINTS, at, at
    return OK, start, end


@kernel
def count_points(text: Any, start: int, end: int) -> int:
    """An upper bound of the points in `text[start:end]`: its opening braces."""
    count = 0
    for at in range(start, end):
        count += text[at] == _OPEN_BRACE
    return count


@inlined
def _is_digit(c: Any) -> Any:
    return 48 <= c <= 57


@inlined
def _number_end(text: Any, at: Any, end: Any) -> Any:
    """Behind the JSON number at `at`; -1 where there is none (RFC 8259, section 6)."""
    if at < end and text[at] == 45:
        at += 1
    if at >= end or not _is_digit(text[at]):
        return -1
    if text[at] == 48:
        at += 1
    else:
        while at < end and _is_digit(text[at]):
            at += 1
    if at < end and text[at] == 46:
        at += 1
        if at >= end or not _is_digit(text[at]):
            return -1
        while at < end and _is_digit(text[at]):
            at += 1
    if at < end and (text[at] == 101 or text[at] == 69):
        at += 1
        if at < end and (text[at] == 43 or text[at] == 45):
            at += 1
        if at >= end or not _is_digit(text[at]):
            return -1
        while at < end and _is_digit(text[at]):
            at += 1
    return at


_EXACT_POWERS = 10.0 ** np.arange(23)  # all exact in float64
_EXACT_DIGITS = np.uint64(2**53)


@inlined
def _number_value(text: Any, at: Any, end: Any) -> Any:
    """(value, exact) of the well-formed number in `text[at:end]`.

    Clinger, "How to read floating point numbers accurately", 1990: where the digits fit 53 bits and the power of ten
    is exact, one multiplication or division gives the correctly rounded float64. Elsewhere `exact` is False, and the
    caller has the number read by someone slower.
    """
    negative = text[at] == 45
    if negative:
        at += 1
    digits = np.uint64(0)
    count = 0  # significant digits taken in
    exponent = np.int64(0)
    fraction = 0  # 1 behind the decimal point
    while at < end:
        c = text[at]
        if _is_digit(c):
            if digits != 0 or c != 48:
                count += 1
            if count <= 19:
                digits = digits * np.uint64(10) + np.uint64(c - 48)
            exponent -= fraction
        elif c == 46:
            fraction = 1
        else:
            break
        at += 1
    if at < end:  # e or E
        at += 1
        sign = np.int64(-1) if text[at] == 45 else np.int64(1)
        at += text[at] == 43 or text[at] == 45
        given = np.int64(0)
        while at < end:
            if given < 100_000:
                given = given * 10 + np.int64(text[at] - 48)
            at += 1
        exponent += sign * given
    value = np.float64(digits)
    in_reach = count <= 19 and digits <= _EXACT_DIGITS and -22 <= exponent <= 22
    if in_reach:
        value = value * _EXACT_POWERS[exponent] if exponent >= 0 else value / _EXACT_POWERS[-exponent]
    return -value if negative else value, in_reach or count == 0


@inlined
def _integer_value(text: Any, at: Any, end: Any) -> Any:
    """(value, fits) of a number without point and exponent, as int64."""
    negative = text[at] == 45
    if negative:
        at += 1
    value = np.uint64(0)
    if end - at > 19:
        return np.int64(0), False
    while at < end:
        if not _is_digit(text[at]):
            return np.int64(0), False
        value = value * np.uint64(10) + np.uint64(text[at] - 48)
        at += 1
    if value > _BEYOND_INT64 or (value == _BEYOND_INT64 and not negative):
        return np.int64(0), False
    return -np.int64(value) if negative else np.int64(value), True  # int64's smallest is its own negative


@inlined
def _column_of(text: Any, at: Any, behind: Any) -> Any:
    """Which column the key in quotes names: a HAS_ bit, or 0."""
    if behind - at == 3:
        c = text[at + 1]
        if c == 120:
            return HAS_X
        if c == 121:
            return HAS_Y
        if c == 122:
            return HAS_Z
        if c == 105:
            return HAS_I
        if c == 100:
            return HAS_D
        if c == 116:
            return HAS_T
        return 0
    if behind - at == 11 and _is_literal(text, at, behind, _IS_GROUND):
        return HAS_GROUND
    return 0


@inlined
def _read_key(text: Any, at: Any, end: Any) -> Any:
    """(HAS_ bit or 0 or minus a status, offset of the value)."""
    if text[at] != _QUOTE:
        return -BAD_JSON, at
    behind = _skip_string(text, at)
    if behind < 0 or behind > end:
        return -CUT_SHORT, end
    column = _column_of(text, at, behind)
    at = _skip_space(text, behind)
    if at >= end or text[at] != _COLON:
        return -BAD_JSON, at
    return column, _skip_space(text, at + 1)


@inlined
def _read_float(text: Any, at: Any, end: Any, row: Any, which: Any, slow: Any, slow_count: Any) -> Any:
    """(behind or -1, value, slow_count): a number as float32; one that is not exact is put on the list `slow`."""
    behind = _number_end(text, at, end)
    if behind < 0:
        return behind, np.float32(0), slow_count
    value, exact = _number_value(text, at, behind)
    if not exact:
        if slow_count < slow.shape[0]:
            slow[slow_count, 0] = row
            slow[slow_count, 1] = which
            slow[slow_count, 2] = at
            slow[slow_count, 3] = behind
        slow_count += 1
    return behind, np.float32(value), slow_count


@inlined
def _read_integer(text: Any, at: Any, end: Any, largest: Any, out: Any, row: Any) -> Any:
    """(status, behind): a whole number into `out[row]`, not above `largest`; below 0 only where that is int64's."""
    behind = _number_end(text, at, end)
    if behind < 0:
        return NOT_A_NUMBER, at
    whole, fits = _integer_value(text, at, behind)
    if not fits or whole > largest or (whole < 0 and largest <= LARGEST_DEVICE):
        return BAD_INTEGER, at
    out[row] = whole
    return OK, behind


@inlined
def _read_ground(text: Any, at: Any, end: Any, out: Any, row: Any) -> Any:
    """(status, behind): true or false into `out[row]`."""
    if _is_literal(text, at, end, _TRUE):
        out[row] = True
        return OK, at + 4
    if _is_literal(text, at, end, _FALSE):
        out[row] = False
        return OK, at + 5
    return NOT_A_BOOLEAN, at


@kernel
def read_points(
    text: Any,
    start: int,
    end: int,
    positions: Any,
    intensity: Any,
    device: Any,
    timestamp: Any,
    is_ground: Any,
    slow: Any,
) -> Any:
    """The `points` array in `text[start:end]` into columns that have room for `count_points` rows.

    Args:
        positions, intensity: float32 (M, 3) and (M,).
        device, timestamp: int64 (M,).
        is_ground: bool (M,).
        slow: int64 (K, 4): gets row, column (0–3: x, y, z, i), start and end of each number that needs a slower
            reader to be exact. More than K are counted, not kept.

    Returns:
        (status, offset, points, slow numbers, HAS_ bits of any point, HAS_ bits of every point).
    """
    row, slow_count, any_seen, all_seen = 0, 0, 0, 127
    at = start
    if at >= end or text[at] != _OPEN_BRACKET:
        return BAD_JSON, at, row, slow_count, any_seen, all_seen
    at = _skip_space(text, at + 1)
    if at < end and text[at] == _CLOSE_BRACKET:
        return OK, at + 1, row, slow_count, any_seen, all_seen
    while at < end:
        if text[at] != _OPEN_BRACE:
            return BAD_JSON, at, row, slow_count, any_seen, all_seen
        point, seen, status = at, 0, OK
        at = _skip_space(text, at + 1)
        closed = at < end and text[at] == _CLOSE_BRACE
        while at < end and not closed:
            column, at = _read_key(text, at, end)
            if column < 0:
                return -column, at, row, slow_count, any_seen, all_seen
            if column & seen:
                return DUPLICATE_KEY, at, row, slow_count, any_seen, all_seen
            seen |= column
            if column == HAS_D:
                status, behind = _read_integer(text, at, end, LARGEST_DEVICE, device, row)
            elif column == HAS_T:
                status, behind = _read_integer(text, at, end, _LARGEST_INT64, timestamp, row)
            elif column == HAS_GROUND:
                status, behind = _read_ground(text, at, end, is_ground, row)
            elif column == HAS_I:
                behind, intensity[row], slow_count = _read_float(text, at, end, row, 3, slow, slow_count)
            elif column != 0:
                axis = column >> 1  # 1, 2, 4 are 0, 1, 2
                behind, positions[row, axis], slow_count = _read_float(text, at, end, row, axis, slow, slow_count)
            else:
                seen |= HAS_OTHER
                status, behind = skip_value(text, at)
                at = behind if status != OK else at
            if behind < 0:
                status = NOT_A_NUMBER
            if status != OK:
                return status, at, row, slow_count, any_seen, all_seen
            at = _skip_space(text, behind)
            if at < end and text[at] == _COMMA:
                at = _skip_space(text, at + 1)
            elif at < end and text[at] == _CLOSE_BRACE:
                closed = True
            else:
                return BAD_JSON, at, row, slow_count, any_seen, all_seen
        if not closed:
            return CUT_SHORT, end, row, slow_count, any_seen, all_seen
        if (seen & 7) != 7:
            return MISSING_COORDINATE, point, row, slow_count, any_seen, all_seen
        any_seen |= seen
        all_seen &= seen
        row += 1
        at = _skip_space(text, at + 1)
        if at < end and text[at] == _COMMA:
            at = _skip_space(text, at + 1)
        elif at < end and text[at] == _CLOSE_BRACKET:
            return OK, at + 1, row, slow_count, any_seen, all_seen
        else:
            return BAD_JSON, at, row, slow_count, any_seen, all_seen
    return CUT_SHORT, end, row, slow_count, any_seen, all_seen
