"""A float32's shortest text: reads back as the same float32, and no shorter or nearer one exists (NumPy's Dragon4)."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.kernels.text_of import texts_of

JSON_NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9]|\.0)?(e-?[1-9][0-9]*)?")


def from_bits(bits: NDArray[np.unsignedinteger] | list[int]) -> NDArray[np.float32]:
    return np.asarray(bits).astype(np.uint32).view(np.float32)


def bits_of(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(values).view(np.uint32)


# Its shortest text, 7.038531e-26, would be read as its neighbour by way of float64: see the test of it.
ROUNDED_TWICE = 0x15AE43FD


def assert_shortest(values: NDArray[np.float32]) -> None:
    values = values[bits_of(values) & 0x7FFFFFFF != ROUNDED_TWICE]
    texts = texts_of(values)
    read_back = texts.astype(np.float64)
    wrong = bits_of(read_back.astype(np.float32)) != bits_of(values)
    assert not wrong.any(), list(zip(values[wrong][:5], texts[wrong][:5], strict=True))
    # Decimals of at most 9 digits are the same where they are the same as float64. NumPy's are the fewest digits,
    # and of those the nearest.
    expected = values.astype("S32").astype(np.float64)
    wrong = read_back != expected
    assert not wrong.any(), list(zip(values[wrong][:5], texts[wrong][:5], strict=True))
    malformed = [text for text in texts.tolist() if not JSON_NUMBER.fullmatch(text)]
    assert not malformed, malformed[:5]


def with_neighbours(values: NDArray[np.float32]) -> NDArray[np.float32]:
    down = np.nextafter(values, np.float32(-np.inf))
    up = np.nextafter(values, np.float32(np.inf))
    all_of_them = np.concatenate((values, down, up))
    return all_of_them[np.isfinite(all_of_them)]


def test_every_exponent_with_random_mantissas() -> None:
    rng = np.random.default_rng(1)
    exponents = np.repeat(np.arange(255, dtype=np.uint32), 1200)  # 306,000 values
    mantissas = rng.integers(0, 1 << 23, len(exponents), dtype=np.uint32)
    signs = rng.integers(0, 2, len(exponents), dtype=np.uint32)
    assert_shortest(from_bits(signs << 31 | exponents << 23 | mantissas))


def test_every_exponent_with_mantissas_of_few_bits() -> None:
    """The edges of binades, where the neighbours are not equally far, and their surroundings."""
    mantissas = np.array([0, 1, 2, 3, 0x400000, 0x3FFFFF, 0x400001, 0x7FFFFE, 0x7FFFFF], dtype=np.uint32)
    exponents = np.arange(255, dtype=np.uint32)
    assert_shortest(from_bits((exponents[:, None] << 23 | mantissas).ravel()))


def test_all_powers_of_two_and_their_neighbours() -> None:
    powers = np.ldexp(np.float32(1), np.arange(-149, 128)).astype(np.float32)
    assert_shortest(with_neighbours(np.concatenate((powers, -powers))))


def test_all_powers_of_ten_and_their_neighbours() -> None:
    powers = np.array([float(f"1e{n}") for n in range(-45, 39)]).astype(np.float32)
    assert_shortest(with_neighbours(powers[powers > 0]))


def test_subnormals() -> None:
    few = np.arange(1, 20_000, dtype=np.uint32)
    spread = np.random.default_rng(2).integers(1, 1 << 23, 20_000, dtype=np.uint32)
    assert_shortest(from_bits(np.concatenate((few, spread, [0x7FFFFF, 0x800000, 0x800001]))))


def test_whole_numbers_are_written_without_a_point() -> None:
    values = np.concatenate(
        (
            np.arange(20_000),
            np.arange(2**24 - 20_000, 2**24 + 1),
            np.random.default_rng(3).integers(0, 2**24, 20_000),
        )
    )
    assert texts_of(values.astype(np.float32)).tolist() == [b"%d" % v for v in values.tolist()]


def test_whole_numbers_beyond_24_bits_are_shortest_too() -> None:
    rng = np.random.default_rng(4)
    assert_shortest(rng.integers(2**24, 2**62, 50_000).astype(np.float32))
    assert_shortest(rng.integers(2**24, 2**31, 50_000).astype(np.float32))


def test_decimals_as_sensors_give_them() -> None:
    rng = np.random.default_rng(5)
    for decimals in range(8):
        assert_shortest(np.round(rng.uniform(-200, 200, 10_000), decimals).astype(np.float32))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0.0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (0.1, "0.1"),
        (100.0, "100"),
        (1e-5, "0.00001"),
        (9.999999e-06, "9.999999e-6"),
        (0.00012, "0.00012"),
        (123456.79, "123456.79"),
        (999999940.0, "999999940"),
        (1e9, "1e9"),
        (-1.5e10, "-1.5e10"),
        (3.4028235e38, "3.4028235e38"),
        (1.1754944e-38, "1.1754944e-38"),
        (1.4e-45, "1e-45"),
        (16777216.0, "16777216"),
        (33554432.0, "33554432"),
        (8.5899346e9, "8.589935e9"),  # 2^33, where an even mantissa's interval includes its ends
        (9.007199e15, "9.007199e15"),
    ],
)
def test_texts_look_as_people_write_them(value: float, text: str) -> None:
    assert texts_of(np.array([value], dtype=np.float32))[0].decode() == text


# The float32 edge cases of Ryu's tests (Ulf Adams, github.com/ulfjack/ryu, f2s_test.cc).
RYU = """
    8388608 4194304 6291456 16777216 33554432 8.589973e9 3.4366718e10 6.863635e10 1.310720e5 4.7223665e21 5242880
    2.44141e-4 2.4414063e-4 4.3945312e-3 9.999999e-06 1.1920929e-07 1.000000e-01 3.3554448e7 8.589934e9 8.5899335e9
    4.2e7 4.2949673e9 2.305843e18 1.1529215e18 2.3841858e-07 7.0385307e-26 9.2234038e17 6.7108872e7 1.00000001e-43
    2.147483e9 4.6557e-10 1.048576e6 9.5367e-7 5.764607523034235e39 1.1529215046068469e18 2.4651903288156619e-32
"""


def test_the_edge_cases_of_ryu() -> None:
    values = np.array([v for v in map(float, RYU.split()) if v < 3.4e38]).astype(np.float32)
    assert_shortest(with_neighbours(values))


def test_the_one_float32_that_float64_would_round_to_its_neighbour_gets_a_digit_more() -> None:
    """Found by a search of all float32: std::to_chars, std::from_chars to double, then to float."""
    values = with_neighbours(from_bits([ROUNDED_TWICE, ROUNDED_TWICE | 0x80000000]))
    read_by_json = np.array([float(json.loads(text)) for text in texts_of(values).tolist()])
    assert np.array_equal(bits_of(read_by_json.astype(np.float32)), bits_of(values))
    assert texts_of(values)[0] == b"7.0385307e-26"


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_any_float32(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    assert_shortest(array)
    parsed = json.loads(b"[" + b",".join(texts_of(array).tolist()) + b"]")
    as_float32 = np.array([float(v) for v in parsed]).astype(np.float32)
    assert np.array_equal(bits_of(as_float32), bits_of(array))
