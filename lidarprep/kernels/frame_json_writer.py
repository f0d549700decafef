"""The `points` array of a Frame JSON, from columns to text; and numbers as text, float32 and integers.

Keys and numbers are written in one pass into one buffer. A column that is None is pruned when the kernel is compiled.

Each function for a number writes at the address `at` and returns the address behind the text. It may overwrite up to
16 bytes beyond, which the buffer must have. Values are finite; the caller checks.

Shortest: Raffaello Giulietti, "The Schubfach way to render doubles", 2020 (fewest digits that read back as the same
float32, and of those the nearest to it). Digits leave in groups of four from a table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.kernels.jit import inlined, kernel
from lidarprep.kernels.memory import store_u8, store_u32, store_u64

# The most bytes of one float32: "-1.17549435e-38" is 15; fixed text is longer, see `fixed_width`.
SHORTEST_WIDTH = 16
INTEGER_WIDTH = 20  # "-9223372036854775808"
MAX_DECIMALS = 8

# Above this, fixed text would have more digits than a float32; such a value is written as shortest text.
FIXED_LIMIT = 1e15

# From here on every float32 is a whole number.
WHOLE_NUMBERS = 2.0**24


def _digit_groups() -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return for 0–9999 the four digits as one word, those without leading zeros, their number, and trailing zeros."""
    padded = np.frombuffer(b"".join(b"%04d" % n for n in range(10_000)), dtype="<u4").copy()
    bare = np.frombuffer(b"".join((b"%d" % n).ljust(4) for n in range(10_000)), dtype="<u4").copy()
    lengths = np.array([len(str(n)) for n in range(10_000)], dtype=np.uint8)
    trailing = np.array([4 if n == 0 else len(str(n)) - len(str(n).rstrip("0")) for n in range(10_000)], dtype=np.uint8)
    return padded, bare, lengths, trailing


PADDED, BARE, LENGTHS, TRAILING_ZEROS = _digit_groups()
POWERS_OF_TEN = np.array([10**n for n in range(20)], dtype=np.uint64)
FLOAT_POWERS_OF_TEN = 10.0 ** np.arange(MAX_DECIMALS + 1)

# Schubfach's g: 10^k as a 64-bit number with its top bit set, rounded up, for each k that a float32 needs.
_SMALLEST_POWER, _LARGEST_POWER = -31, 45


def _schubfach_table() -> NDArray[np.uint64]:
    def scaled(k: int) -> int:
        numerator, denominator = (10**k, 1) if k >= 0 else (1, 10**-k)
        shift = 64 - (numerator.bit_length() - denominator.bit_length())
        for s in (shift - 1, shift, shift + 1):
            g = -(-(numerator << s if s >= 0 else numerator) // (denominator if s >= 0 else denominator << -s))
            if g.bit_length() == 64:
                return g
        raise AssertionError(k)

    return np.array([scaled(k) for k in range(_SMALLEST_POWER, _LARGEST_POWER + 1)], dtype=np.uint64)


POWERS_OF_TEN_64 = _schubfach_table()

_ZEROS = int.from_bytes(b"0.000000", "little")

# The one float32 whose shortest text, 7.038531e-26, is read as its neighbour by a reader that goes by way of float64,
# as JSON readers do: the float64 nearest to it lies halfway between the two. It gets one digit more, 7.0385307e-26.
_ROUNDED_TWICE = np.uint32(0x15AE43FD)
_ROUNDED_TWICE_GROUP = np.uint64(int.from_bytes(b"03853070", "little"))


def fixed_width(decimals: int) -> int:
    """Return the most bytes that `write_fixed` takes: sign, 15 digits, point, decimals."""
    return max(SHORTEST_WIDTH, 1 + 16 + 1 + decimals)


@inlined
def write_integer(at: Any, value: Any) -> Any:
    """Write an int64 or uint64 in decimal."""
    if value < 0:
        store_u8(at, np.uint8(45))  # -
        at += 1
        rest = ~np.uint64(value) + np.uint64(1)
    else:
        rest = np.uint64(value)
    return _write_unsigned(at, rest)


@inlined
def _write_unsigned(at: Any, value: Any) -> Any:
    if value < np.uint64(10_000):
        store_u32(at, BARE[value])
        return at + np.intp(LENGTHS[value])
    digits = 5
    while digits < 20 and value >= POWERS_OF_TEN[digits]:
        digits += 1
    end = at + digits
    while end - at >= 4:
        quotient = value // np.uint64(10_000)
        end -= 4
        store_u32(end, PADDED[value - quotient * np.uint64(10_000)])
        value = quotient
    while end > at:
        quotient = value // np.uint64(10)
        end -= 1
        store_u8(end, np.uint8(48 + value - quotient * np.uint64(10)))
        value = quotient
    return at + digits


@inlined
def write_fixed(at: Any, value: Any, decimals: int) -> Any:
    """Write a float32 with `decimals` (0–8) digits after the point, correctly rounded, halves to even.

    The product with 10^decimals is exact in float64 (24 bits and at most 19 of 5^8), so the one rounding is rint's.
    """
    x = np.float64(value)
    if abs(x) >= FIXED_LIMIT:
        return write_shortest(at, value)
    store_u8(at, np.uint8(45))
    at += np.intp(_bits_of(value) >> np.uint32(31))
    x = abs(x)
    scale = FLOAT_POWERS_OF_TEN[decimals]
    whole = np.int64(x)
    fraction = np.int64(0)
    if x < WHOLE_NUMBERS:
        # Never a division: the fraction is what the rounded product has beyond the whole part, and may carry into it.
        fraction = np.int64(np.rint(x * scale)) - whole * np.int64(scale)
        carry = np.int64(fraction >= np.int64(scale))
        whole += carry
        fraction -= carry * np.int64(scale)
    at = _write_unsigned(at, np.uint64(whole))
    if decimals == 0:
        return at
    store_u8(at, np.uint8(46))
    if decimals <= 4:
        store_u32(at + 1, PADDED[fraction * np.int64(POWERS_OF_TEN[4 - decimals])])
    else:
        fraction *= np.int64(POWERS_OF_TEN[8 - decimals])
        high = fraction // 10_000
        store_u32(at + 1, PADDED[high])
        store_u32(at + 5, PADDED[fraction - high * 10_000])
    return at + 1 + decimals


@inlined
def _bits_of(value: Any) -> Any:
    return np.float32(value).view(np.uint32)


@inlined
def _round_to_odd(g: Any, factor: Any) -> Any:
    """Return the top 32 bits of the 96-bit product, with the lowest set if the rest is not 0."""
    low = (g & np.uint64(0xFFFFFFFF)) * factor
    high = (g >> np.uint64(32)) * factor + (low >> np.uint64(32))
    return (high >> np.uint64(32)) | np.uint64((high & np.uint64(0xFFFFFFFF)) > np.uint64(1))


@inlined
def _shortest_decimal(bits: Any) -> Any:
    """Return (digits, exponent) with value = digits × 10^exponent for a positive float32's bits; digits below 10^9."""
    fraction = np.int64(bits & np.uint32(0x7FFFFF))
    biased = np.int64((bits >> np.uint32(23)) & np.uint32(0xFF))
    if biased != 0:
        c = fraction | np.int64(0x800000)
        q = biased - 150
        if -24 < q <= 0 and (c & ((np.int64(1) << -q) - 1)) == 0:
            return np.uint64(c >> -q), np.int64(0)  # a whole number below 2^24 is its own shortest text
    else:
        c = fraction
        q = np.int64(-149)
    odd = np.uint64(c & 1)
    closer = np.int64(fraction == 0 and biased > 1)  # the neighbour below is half as far away
    k = (q * 1262611 - closer * 524031) >> 22
    h = q + ((-k * 1741647) >> 19) + 1
    g = POWERS_OF_TEN_64[-k - _SMALLEST_POWER]
    lower = _round_to_odd(g, np.uint64((4 * c - 2 + closer) << h)) + odd
    middle = _round_to_odd(g, np.uint64((4 * c) << h))
    upper = _round_to_odd(g, np.uint64((4 * c + 2) << h)) - odd
    s = middle >> np.uint64(2)
    if s >= np.uint64(10):
        tens = s // np.uint64(10)
        down = lower <= np.uint64(40) * tens
        up = np.uint64(40) * tens + np.uint64(40) <= upper
        if down != up:
            return tens + np.uint64(up), k + 1
    down = lower <= np.uint64(4) * s
    up = np.uint64(4) * s + np.uint64(4) <= upper
    if down != up:
        return s + np.uint64(up), k
    half = np.uint64(4) * s + np.uint64(2)
    return s + np.uint64(middle > half or (middle == half and (s & np.uint64(1)) != 0)), k


@inlined
def _count_digits(value: Any) -> Any:
    """Count the decimal digits of a number below 10^9."""
    return (
        1
        + np.intp(value >= np.uint64(10))
        + np.intp(value >= np.uint64(100))
        + np.intp(value >= np.uint64(1_000))
        + np.intp(value >= np.uint64(10_000))
        + np.intp(value >= np.uint64(100_000))
        + np.intp(value >= np.uint64(1_000_000))
        + np.intp(value >= np.uint64(10_000_000))
        + np.intp(value >= np.uint64(100_000_000))
    )


@inlined
def write_shortest(at: Any, value: Any) -> Any:
    """Write a float32 with the fewest digits that read back as the same float32; "-0.0" keeps its sign.

    Plain for 1e-5 ≤ |value| < 1e9, else with an exponent: 0.00012, 12, 1234.5, 1e-6, 1.5e10.
    """
    bits = _bits_of(value)
    negative = np.intp(bits >> np.uint32(31))
    bits &= np.uint32(0x7FFFFFFF)
    store_u8(at, np.uint8(45))
    at += negative
    if bits == 0:
        # "-0" would be read as the integer 0, which has no sign.
        store_u32(at, np.uint32(0x302E30))  # 0.0
        return at + 1 + 2 * negative
    digits, exponent = _shortest_decimal(bits)
    count = _count_digits(digits)
    point = count + exponent  # how many digits stand before the decimal point
    # Nine digits, padded with zeros at the end: the first alone, then two groups of four.
    nine = digits * POWERS_OF_TEN[9 - count]
    first = nine // np.uint64(100_000_000)
    rest = nine - first * np.uint64(100_000_000)
    high = rest // np.uint64(10_000)
    low = rest - high * np.uint64(10_000)
    zeros = np.intp(TRAILING_ZEROS[low])
    if zeros == 4:
        zeros += np.intp(TRAILING_ZEROS[high])
    significant = 9 - zeros
    group = np.uint64(PADDED[high]) | (np.uint64(PADDED[low]) << np.uint64(32))  # digits 2 to 9
    if 0 < point <= 9:
        store_u8(at, np.uint8(np.uint64(48) + first))
        store_u64(at + 1, group)
        if significant <= point:
            return at + point
        store_u8(at + point, np.uint8(46))
        store_u64(at + point + 1, group >> np.uint64(8 * (point - 1)))
        return at + significant + 1
    if -4 <= point <= 0:
        store_u64(at, np.uint64(_ZEROS))
        at += 2 - point
        store_u8(at, np.uint8(np.uint64(48) + first))
        store_u64(at + 1, group)
        return at + significant
    store_u8(at, np.uint8(np.uint64(48) + first))
    at += 1
    if bits == _ROUNDED_TWICE:
        group, significant = _ROUNDED_TWICE_GROUP, np.intp(8)
    if significant > 1:
        store_u8(at, np.uint8(46))
        store_u64(at + 1, group)
        at += significant
    store_u8(at, np.uint8(101))  # e
    return write_integer(at + 1, np.int64(point - 1))


# ---- the points of a Frame JSON ----


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
        positions, intensity: (N, 3) and (N,) float32, finite; from here on a column may be None.
        device, timestamp, is_ground: (N,) uint32, int64 nanoseconds and bool.
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
