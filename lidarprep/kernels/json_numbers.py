"""Decimal numbers to float64 and int64, correctly rounded; and the grammar of JSON numbers.

Digits are read eight at a time from a 64-bit word. Where they fit 53 bits and the power of ten is exact, one
multiplication or division rounds once (Clinger, "How to read floating point numbers accurately", 1990). Up to 19 digits
follow Daniel Lemire, "Number parsing at a gigabyte per second", 2021. More digits and extreme exponents are left to
the caller.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.kernels.jit import inlined
from lidarprep.kernels.memory import byte_at, float64_of_bits, high_product, leading_zeros, trailing_zeros, u64_at

_EXACT_POWERS = 10.0 ** np.arange(23)  # all exact in float64
_EXACT_DIGITS = np.uint64(2**53)
MOST_DIGITS = 19  # of a uint64

# Powers of five for Lemire's method; numbers in files of points lie well within.
_SMALLEST_POWER, _LARGEST_POWER = -64, 64


def _powers_of_five() -> NDArray[np.uint64]:
    """Return (K, 2) uint64: the upper and lower half of 5^q as a 128-bit number with its top bit set.

    As in the paper: truncated for q ≥ 0; for q < 0 of the reciprocal, rounded up from 5^-27 on, where a product can be
    exactly a half.
    """
    rows = []
    for q in range(_SMALLEST_POWER, _LARGEST_POWER + 1):
        power = 5 ** abs(q)
        bits = power.bit_length()
        if q >= 0:
            value = power << 128
        elif q >= -27:
            value = (1 << (bits + 127)) // power + 1
        else:
            value = (1 << (2 * bits + 128)) // power + 1
        value >>= value.bit_length() - 128
        rows.append((value >> 64, value & (2**64 - 1)))
    return np.array(rows, dtype=np.uint64)


_POWERS_OF_FIVE = _powers_of_five()

_ASCII_ZEROS = np.uint64(0x3030303030303030)
_ABOVE_NINE = np.uint64(0x7676767676767676)
_TOP_BITS = np.uint64(0x8080808080808080)
POWERS_OF_TEN = np.array([10**n for n in range(9)], dtype=np.uint64)


@inlined
def digits_value(word: Any, count: Any) -> Any:
    """Return the value of the first `count` digits, 0 to 8, of a little-endian word of text."""
    # Shift the digits to the top of the word, zeros before them, then convert eight digits in three steps. A shift by
    # all 64 bits is undefined, so it is done by halves.
    half = np.uint64(32) - (count << np.uint64(2))
    digits = (word ^ _ASCII_ZEROS) << half << half
    digits = digits * np.uint64(10) + (digits >> np.uint64(8))
    tens = (digits & np.uint64(0x000000FF000000FF)) * np.uint64(0x000F424000000064)
    ones = ((digits >> np.uint64(16)) & np.uint64(0x000000FF000000FF)) * np.uint64(0x0000271000000001)
    return ((tens + ones) >> np.uint64(32)) & np.uint64(0xFFFFFFFF)


@inlined
def _eight_digits(word: Any) -> Any:
    """Read the leading digits of a little-endian word of text: (value, count)."""
    digits = word ^ _ASCII_ZEROS  # 0–9 where there is a digit
    others = ((digits + _ABOVE_NINE) | digits) & _TOP_BITS
    count = trailing_zeros(others) >> np.uint64(3)  # 8 where all are digits
    if count == np.uint64(0):
        return np.uint64(0), np.int64(0)
    return digits_value(word, count), np.int64(count)


@inlined
def is_digit(c: Any) -> Any:
    """Return whether a byte is one of 0 to 9."""
    return 48 <= c <= 57


@inlined
def take_digits(text: Any, at: Any, value: Any) -> Any:
    """Append the digits at `at` to `value`, which may overflow: (offset behind, value)."""
    while at + 8 <= text[1]:
        more, count = _eight_digits(u64_at(text, at))
        value = value * POWERS_OF_TEN[count] + more
        at += count
        if count < 8:
            return at, value
    while at < text[1] and is_digit(byte_at(text, at)):
        value = value * np.uint64(10) + np.uint64(byte_at(text, at) - 48)
        at += 1
    return at, value


@inlined
def take_exponent(text: Any, at: Any) -> Any:
    """Read the number behind an `e`, with or without a sign: (offset behind or -1, exponent).

    An exponent far beyond any float64 is returned smaller, but still beyond.
    """
    size = text[1]
    down = at < size and byte_at(text, at) == 45
    at += np.int64(at < size and (byte_at(text, at) == 43 or byte_at(text, at) == 45))
    first = at
    given = np.int64(0)
    while at < size and is_digit(byte_at(text, at)):
        given = min(given * 10 + np.int64(byte_at(text, at) - 48), np.int64(100_000))
        at += 1
    return (np.int64(-1) if at == first else at), (-given if down else given)


@inlined
def scaled(digits: Any, exponent: Any) -> Any:
    """Return digits × 10^exponent as float64, and whether it is correctly rounded; else it must not be used."""
    value = np.float64(digits)
    sound = True
    if digits <= _EXACT_DIGITS and -22 <= exponent <= 22:
        value = value * _EXACT_POWERS[exponent] if exponent >= 0 else value / _EXACT_POWERS[-exponent]
    elif digits != np.uint64(0):
        value, sound = _by_lemire(digits, exponent)
    return value, sound


@inlined
def read_number(text: Any, at: Any) -> Any:
    """Read the JSON number (RFC 8259, section 6) at `at` of a view: (offset behind or -1, float64 value, exact).

    Where `exact` is False, `value` must not be used, and Python has to read the number.
    """
    size = text[1]
    negative = at < size and byte_at(text, at) == 45
    at += np.int64(negative)
    start = at
    at, digits = take_digits(text, at, np.uint64(0))
    whole_digits = at - start
    if whole_digits == 0 or (whole_digits > 1 and byte_at(text, start) == 48):
        return np.int64(-1), 0.0, True
    count = whole_digits
    exponent = np.int64(0)
    if at < size and byte_at(text, at) == 46:
        point = at + 1
        at, digits = take_digits(text, point, digits)
        if at == point:
            return np.int64(-1), 0.0, True
        exponent = point - at
        count += at - point
    if at < size and (byte_at(text, at) == 101 or byte_at(text, at) == 69):
        at, given = take_exponent(text, at + 1)
        if at < 0:
            return np.int64(-1), 0.0, True
        exponent += given
    value, sound = scaled(digits, exponent)
    exact = count <= MOST_DIGITS and sound
    return at, -value if negative else value, exact


@inlined
def _by_lemire(digits: Any, exponent: Any) -> Any:
    """Return digits × 10^exponent as float64, and whether it is correctly rounded."""
    if exponent < _SMALLEST_POWER or exponent > _LARGEST_POWER:
        return 0.0, False
    zeros = leading_zeros(digits)
    digits <<= zeros
    row = exponent - _SMALLEST_POWER
    high = high_product(digits, _POWERS_OF_FIVE[row, 0])
    low = digits * _POWERS_OF_FIVE[row, 0]
    if (high & np.uint64(0x1FF)) == np.uint64(0x1FF):  # the lower half of the power may carry into the mantissa
        more = high_product(digits, _POWERS_OF_FIVE[row, 1])
        low += more
        high += np.uint64(low < more)
        if low == np.uint64(0xFFFFFFFFFFFFFFFF) and (exponent < -27 or exponent > 55):
            return 0.0, False
    top = high >> np.uint64(63)
    shift = top + np.uint64(64 - 52 - 3)
    mantissa = high >> shift
    power = ((np.int64(217706) * exponent) >> 16) + 63 + np.int64(top) - np.int64(zeros) + 1023
    if power <= 0 or power >= 2046:  # subnormal or near infinity
        return 0.0, False
    # A half exactly: to even.
    odd = (mantissa & np.uint64(3)) == np.uint64(1)
    if odd and low <= np.uint64(1) and -4 <= exponent <= 23 and (mantissa << shift) == high:
        mantissa &= ~np.uint64(1)
    mantissa = (mantissa + (mantissa & np.uint64(1))) >> np.uint64(1)
    if mantissa >= np.uint64(1 << 53):
        mantissa = np.uint64(1 << 52)
        power += 1
    return float64_of_bits((mantissa & ~np.uint64(1 << 52)) | (np.uint64(power) << np.uint64(52))), True


@inlined
def read_integer(text: Any, at: Any) -> Any:
    """Read the JSON number at `at` as int64: (offset behind or -1, value, fits).

    A number with a point or an exponent is read as float64. `fits` is False if it is not whole, or beyond int64.
    """
    size = text[1]
    negative = at < size and byte_at(text, at) == 45
    at += np.int64(negative)
    start = at
    at, digits = take_digits(text, at, np.uint64(0))
    count = at - start
    if count == 0 or (count > 1 and byte_at(text, start) == 48):
        return np.int64(-1), np.int64(0), False
    if at < size and (byte_at(text, at) == 46 or byte_at(text, at) == 101 or byte_at(text, at) == 69):
        behind, value, exact = read_number(text, start - np.int64(negative))
        fits = exact and value == np.floor(value) and -(2.0**63) <= value < 2.0**63
        return behind, np.int64(value) if fits else np.int64(0), fits
    fits = count <= MOST_DIGITS and digits <= np.uint64(2**63 - 1) + np.uint64(negative)
    whole = np.int64(digits)
    return at, -whole if negative else whole, fits
