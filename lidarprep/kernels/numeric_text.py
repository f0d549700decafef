"""Rows of numbers in text, from a file's bytes into records of typed fields.

A row is a line; lines end in LF, CRLF or CR, and blank ones are skipped. Values are separated by runs of blanks and
tabs, or by one separator each, with blanks around it and quotes around a value. Numbers follow C and Python: a sign,
leading zeros, a point at either end, an exponent, nan and inf in any case, and the forms that Windows prints.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lidarprep.kernels.jit import inlined, kernel
from lidarprep.kernels.json_numbers import (
    MOST_DIGITS,
    POWERS_OF_TEN,
    digits_value,
    is_digit,
    scaled,
    take_digits,
    take_exponent,
)
from lidarprep.kernels.memory import (
    byte_at,
    non_digits_at,
    store_f32,
    store_f64,
    store_u8,
    store_u32,
    store_u64,
    trailing_zeros,
    u64_at,
    view_of,
)

# Kinds of values. WHOLE is a signed 8-byte integer, or a flag, if all values of the column are.
SKIPPED, FLOAT, INTEGER, WHOLE = 0, 1, 2, 3

# Statuses; the offset is returned with them.
OK = 0
MORE_ROWS = 1
TOO_FEW_VALUES = 2
TOO_MANY_VALUES = 3
NOT_A_NUMBER = 4
OUT_OF_RANGE = 5
SLOW_FULL = 6

BLANK = 32
_TAB, _LF, _CR, _QUOTE, _HASH = 9, 10, 13, 34, 35

# The smallest 20-digit number; a smaller value has overflowed a uint64.
_TWENTY_DIGITS = np.uint64(10**19)


@inlined
def _ends_line(text: Any, at: Any) -> Any:
    return at >= text[1] or byte_at(text, at) == _LF or byte_at(text, at) == _CR


@inlined
def _skip_blanks(text: Any, at: Any, separator: Any) -> Any:
    """Skip blanks, and tabs unless they are the separator."""
    while at < text[1] and (byte_at(text, at) == BLANK or (byte_at(text, at) == _TAB and separator != _TAB)):
        at += 1
    return at


@inlined
def _is_empty(text: Any, at: Any, separator: Any, quoted: Any) -> Any:
    """Return whether a value is empty."""
    if quoted:
        return at < text[1] and byte_at(text, at) == _QUOTE
    return _ends_line(text, at) or byte_at(text, at) == separator


@inlined
def _skip_text(text: Any, at: Any, separator: Any) -> Any:
    """Skip a value of any kind. In quotes it may hold anything, and a quote as two of them."""
    if at < text[1] and byte_at(text, at) == _QUOTE:
        at += 1
        while at < text[1]:
            if byte_at(text, at) == _QUOTE:
                at += 1
                if at >= text[1] or byte_at(text, at) != _QUOTE:
                    return at
            at += 1
        return at
    while not _ends_line(text, at) and byte_at(text, at) != separator:
        if separator == BLANK and byte_at(text, at) == _TAB:
            return at
        at += 1
    return at


@inlined
def _lower(text: Any, at: Any) -> Any:
    """Return the letter at an offset in lower case, 0 behind the text's end."""
    return byte_at(text, at) | 32 if at < text[1] else 0


@inlined
def _spells(text: Any, at: Any, a: Any, b: Any, c: Any) -> Any:
    return _lower(text, at) == a and _lower(text, at + 1) == b and _lower(text, at + 2) == c


@kernel
def _word(address: Any, size: Any, at: Any, flags: Any) -> Any:
    """Read nan, inf, infinity, -nan(ind), 1.#QNAN and, with flags, true and false: (offset behind or -1, value)."""
    text = address, size
    if _spells(text, at, 110, 97, 110):  # nan
        at += 3
        if at < size and byte_at(text, at) == 40:  # what Windows adds in brackets
            while at < size and byte_at(text, at) != 41 and not _ends_line(text, at):
                at += 1
            at = at + 1 if at < size and byte_at(text, at) == 41 else np.int64(-1)
        return at, np.nan
    if _spells(text, at, 105, 110, 102):  # inf
        at += 3
        if _spells(text, at, 105, 110, 105) and _lower(text, at + 3) == 116 and _lower(text, at + 4) == 121:  # inity
            at += 5
        return at, np.inf
    if flags and _lower(text, at) == 116 and _spells(text, at + 1, 114, 117, 101):  # true
        return at + 4, 1.0
    if flags and _spells(text, at, 102, 97, 108) and _lower(text, at + 3) == 115 and _lower(text, at + 4) == 101:
        return at + 5, 0.0
    if size - at > 3 and byte_at(text, at) == 49 and byte_at(text, at + 1) == 46 and byte_at(text, at + 2) == _HASH:
        at += 3  # 1.#INF, 1.#QNAN, 1.#IND of old Windows
        value = np.inf if _spells(text, at, 105, 110, 102) else np.nan
        first = at
        while 97 <= _lower(text, at) <= 122:
            at += 1
        while at < size and byte_at(text, at) == 48:  # as wide as was asked for: 1.#INF00
            at += 1
        return (at if at > first else np.int64(-1)), value
    return np.int64(-1), 0.0


@kernel
def _long_number(address: Any, size: Any, first: Any, end: Any, exponent: Any) -> Any:
    """Read more than 19 digits from `first` to `end`, with a point, times 10^exponent: (value, exact).

    The number lies between its first 19 significant digits and those plus one. If both round to one value, it is exact.
    """
    text = address, size
    digits, taken, more = np.uint64(0), np.int64(0), False
    for at in range(first, end):
        c = byte_at(text, at)
        if is_digit(c):
            if taken < MOST_DIGITS:
                digits = digits * np.uint64(10) + np.uint64(c - 48)
                taken += np.int64(digits != np.uint64(0))
            else:
                exponent += 1
                more |= c != 48
    value, exact = scaled(digits, exponent)
    if more and exact:
        above, exact = scaled(digits + np.uint64(1), exponent)
        exact = exact and above == value
    return value, exact


@kernel
def _fits_uint64(address: Any, size: Any, first: Any, end: Any, digits: Any) -> Any:
    """Return whether a whole number of more than 19 digits from `first` to `end` fits `digits` without overflow."""
    text = address, size
    while first < end and byte_at(text, first) == 48:
        first += 1
    if end - first <= MOST_DIGITS:
        return True
    return end - first == MOST_DIGITS + 1 and byte_at(text, first) == 49 and digits >= _TWENTY_DIGITS


@inlined
def _take_decimal(text: Any, at: Any) -> Any:
    """Read digits: (offset behind, value, their number, how many behind a point, or -1 without one)."""
    first = at
    at, digits = take_digits(text, at, np.uint64(0))
    if at >= text[1] or byte_at(text, at) != 46:
        return at, digits, at - first, np.int64(-1)
    point = at
    at, digits = take_digits(text, at + 1, digits)
    return at, digits, at - first - 1, at - point - 1


@inlined
def _take_plain(text: Any, at: Any, separator: Any) -> Any:
    """Read a number of the usual form: (offset behind or -1, negative, digits, exponent of ten, whether whole).

    It has up to 19 digits, up to 7 of them before a point, and a separator or a line's end behind. Its end is found
    first, among 32 bytes at once and independent of the digits' values, so the processor can start on the next number.
    Digits from both sides of the point are joined to words of eight.
    """
    none = np.int64(-1), False, np.uint64(0), np.int64(0), False
    if at + 32 > text[1]:
        return none
    sign = byte_at(text, at)
    negative = sign == 45
    signs = np.int64(negative) + np.int64(sign == 43)  # without a branch: signs are unpredictable
    first = at + signs
    gaps = np.uint64(non_digits_at(text, at)) >> np.uint64(signs)
    whole = trailing_zeros(gaps)
    if whole >= np.uint64(8):
        return none
    word = u64_at(text, first)
    behind, count, exponent, is_whole = first + np.int64(whole), np.int64(whole), np.int64(0), True
    if byte_at(text, behind) == 46:
        behind = first + np.int64(trailing_zeros(gaps & (gaps - np.uint64(1))))
        count = behind - first - 1
        exponent = np.int64(whole) - count
        is_whole = False
        shift = whole << np.uint64(3)
        fraction = u64_at(text, first + np.int64(whole) + 1)
        word = (word & ((np.uint64(1) << shift) - np.uint64(1))) | (fraction << shift)
    if count < 1 or count > MOST_DIGITS:
        return none
    c = byte_at(text, behind)
    if c != separator and c != _LF and c != _CR:
        if c | 32 != 101:
            return none
        behind, given = take_exponent(text, behind + 1)
        if behind < 0 or not (_ends_line(text, behind) or byte_at(text, behind) == separator):
            return none
        exponent += given
        is_whole = False
    upper: Any = min(count, 8)
    lower: Any = min(count - upper, 8)
    digits = digits_value(word, np.uint64(upper)) * POWERS_OF_TEN[lower]
    digits += digits_value(u64_at(text, first + 9), np.uint64(lower))
    if count > 16:
        digits = digits * POWERS_OF_TEN[count - 16] + digits_value(u64_at(text, first + 17), np.uint64(count - 16))
    return behind, negative, digits, exponent, is_whole


@inlined
def _store_integer(address: Any, bits: Any, width: Any) -> None:
    if width == 8:
        store_u64(address, bits)
    elif width == 4:
        store_u32(address, np.uint32(bits & np.uint64(0xFFFFFFFF)))
    else:
        store_u8(address, np.uint8(bits & np.uint64(0xFF)))
        if width == 2:
            store_u8(address + 1, np.uint8((bits >> np.uint64(8)) & np.uint64(0xFF)))


@kernel
def count_rows(text: Any, at: int, most: int) -> Any:
    """Count the rows from `at`, up to `most`: (rows, offset of the next)."""
    view = view_of(text)
    rows = 0
    while rows < most:
        while at < view[1] and (_ends_line(view, at) or byte_at(view, at) == BLANK or byte_at(view, at) == _TAB):
            at += 1
        if at >= view[1]:
            break
        while not _ends_line(view, at):
            at += 1
        rows += 1
    return rows, at


@kernel
def read_rows(
    text: Any,
    at: Any,
    row: Any,
    rows: int,
    separator: int,
    fields: Any,
    limits: Any,
    table: Any,
    record_bytes: int,
    slow: Any,
    not_whole: Any,
) -> Any:
    """Read rows from `at` on into records from `row` on, up to `rows` of them in all.

    Args:
        text: (N,) uint8, all of the file.
        at: Offset of a row, or of blank lines before it.
        row: The first record to fill.
        rows: Number of records in the table.
        separator: The byte between two values; BLANK: runs of blanks and tabs.
        fields: (3 F,) int64: for each value of a row its kind, its bytes in a record, and its offset there.
        limits: (F, 2) uint64: the largest magnitude of a non-negative integer, and of a negative one.
        table: (rows × record_bytes,) uint8; gets the records.
        record_bytes: Bytes of a record.
        slow: int64 (K, 4), K ≥ F: gets place and width in the table, start and end in the text, of each float that
            Python has to read to be exact.
        not_whole: (F,) bool: gets True for each WHOLE field with a value that does not fit; the field is then invalid.

    Returns:
        (status, offset, row, field, slow numbers). OK: the text has ended, `row` counts the records. SLOW_FULL and
        MORE_ROWS: the offset of the next row. Else: an error, and the value's field.
    """
    view = view_of(text)
    size = view[1]
    first_record = table.ctypes.data
    values = limits.shape[0]
    slow_count, field = 0, 0
    blank = separator == BLANK
    status = OK
    while status == OK:
        while at < size and (
            byte_at(view, at) == _LF
            or byte_at(view, at) == _CR
            or byte_at(view, at) == BLANK
            or (byte_at(view, at) == _TAB and separator != _TAB)
        ):
            at += 1
        if at >= size:
            break
        if row == rows:
            status = MORE_ROWS
            break
        if slow_count + values > slow.shape[0]:
            status = SLOW_FULL
            break
        record = row * record_bytes
        for field in range(values):
            kind, width, place = fields[3 * field], fields[3 * field + 1], record + fields[3 * field + 2]
            start = at
            if kind == SKIPPED:
                at = _skip_text(view, at, separator)
            else:
                quoted, known, count, first, behind_digits = False, True, 1, at, at
                at, negative, digits, exponent, is_whole = _take_plain(view, start, separator)
                if at < 0:
                    at = start
                    quoted = at < size and byte_at(view, at) == _QUOTE
                    at += np.int64(quoted)
                    negative = at < size and byte_at(view, at) == 45
                    at += np.int64(negative or (at < size and byte_at(view, at) == 43))
                    first = at
                    at, digits, count, decimals = _take_decimal(view, at)
                    behind_digits = at
                    exponent = -max(decimals, 0)
                    is_whole = decimals < 0
                    known = count > 0 and (at >= size or byte_at(view, at) != _HASH)
                    if known and _lower(view, at) == 101:
                        at, given = take_exponent(view, at + 1)
                        exponent += given
                        is_whole = False
                        known = at >= 0
                value, exact = 0.0, True
                if not known:
                    if not blank and start + np.int64(quoted) == first and _is_empty(view, first, separator, quoted):
                        at, value, is_whole = first, np.nan, False
                    else:
                        at, value = _word(view[0], size, first, kind == WHOLE and not negative)
                        if at < 0:
                            at, status = start, NOT_A_NUMBER
                            break
                        is_whole = value == 0.0 or value == 1.0  # a flag
                        digits, count = np.uint64(value == 1.0), 1
                elif kind == FLOAT or not is_whole:
                    if count > MOST_DIGITS:
                        value, exact = _long_number(view[0], size, first, behind_digits, exponent)
                    else:
                        value, exact = scaled(digits, exponent)

                if kind == FLOAT:
                    value = -value if negative else value
                    if width == 4:
                        store_f32(first_record + place, np.float32(value))
                    else:
                        store_f64(first_record + place, value)
                    if not exact:
                        slow[slow_count, 0] = place
                        slow[slow_count, 1] = width
                        slow[slow_count, 2] = start + np.int64(quoted)
                        slow[slow_count, 3] = at
                        slow_count += 1
                else:
                    fits = True
                    if is_whole:
                        if count > MOST_DIGITS:
                            fits = _fits_uint64(view[0], size, first, behind_digits, digits)
                    else:  # 12.0 and 1.2e1 are whole numbers too, but do not make a column of them
                        fits = exact and value == np.floor(value) and value < 2.0**64 and kind == INTEGER
                        digits = np.uint64(value) if fits else np.uint64(0)
                    if not fits or digits > limits[field, np.int64(negative)]:
                        if kind == INTEGER:
                            at, status = start, OUT_OF_RANGE
                            break
                        not_whole[field] = True
                        digits = np.uint64(0)
                    _store_integer(first_record + place, np.uint64(0) - digits if negative else digits, width)
                if quoted:
                    if at >= size or byte_at(view, at) != _QUOTE:
                        at, status = start, NOT_A_NUMBER
                        break
                    at += 1

            if (
                field + 1 < values
                and at + 1 < size
                and byte_at(view, at) == separator
                and byte_at(view, at + 1) > BLANK
            ):
                at += 1  # no blanks to pass over, and the next value begins
                continue
            behind = at
            at = _skip_blanks(view, at, separator)
            if _ends_line(view, at):
                if field + 1 < values:
                    field, status = field + 1, TOO_FEW_VALUES
                    break
            elif at < size and byte_at(view, at) != separator and (not blank or at == behind):
                at, status = start, NOT_A_NUMBER
                break
            elif field + 1 == values:
                status = TOO_MANY_VALUES
                break
            elif not blank:
                at = _skip_blanks(view, at + 1, separator)
        row += np.int64(status == OK)
    return status, at, row, field, slow_count
