"""Fixed decimals against Python's own formatting, which rounds the exact value correctly, halves to even."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.kernels.text_of import texts_of

DECIMALS = range(9)


def assert_as_python_formats(values: NDArray[np.float32], decimals: int) -> None:
    expected = [f"{v:.{decimals}f}".encode() for v in values.astype(np.float64).tolist()]
    found = texts_of(values, decimals).tolist()
    if found != expected:
        wrong = [(f, e) for f, e in zip(found, expected, strict=True) if f != e]
        raise AssertionError(f"{len(wrong)} of {len(found)}: {wrong[:5]}")


def with_neighbours(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate((values, np.nextafter(values, np.float32(np.inf)), np.nextafter(values, np.float32(0))))


@pytest.mark.parametrize("decimals", DECIMALS)
def test_coordinates_of_every_magnitude(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    magnitudes = 10.0 ** rng.uniform(-12, 14.9, 40_000)
    assert_as_python_formats((magnitudes * rng.choice([-1, 1], 40_000)).astype(np.float32), decimals)
    assert_as_python_formats(rng.uniform(-200, 200, 40_000).astype(np.float32), decimals)


@pytest.mark.parametrize("decimals", DECIMALS)
def test_halves_go_to_the_even_digit(decimals: int) -> None:
    # What lies exactly between two texts of n decimals is an odd multiple of 2^-(n+1).
    odd = np.arange(1, 20_000, 2)
    halves = np.ldexp(odd, -(decimals + 1)).astype(np.float32)
    high = np.ldexp(2**23 + odd, -(decimals + 1)).astype(np.float32)
    values = np.concatenate((with_neighbours(halves), high))
    assert_as_python_formats(np.concatenate((values, -values)), decimals)


@pytest.mark.parametrize("decimals", DECIMALS)
def test_carries_run_through_all_digits(decimals: int) -> None:
    nines = [whole + 1 - 10.0**-n for whole in (0, 8, 9, 98, 99, 999, 9998, 9999, 99_999) for n in range(1, 9)]
    values = with_neighbours(np.array(nines, dtype=np.float32))
    assert_as_python_formats(np.concatenate((values, -values)), decimals)


@pytest.mark.parametrize("decimals", DECIMALS)
def test_negatives_that_round_to_nothing_keep_their_sign(decimals: int) -> None:
    tiny = np.array([-0.0, 0.0, -1e-45, -1e-30, -4e-9, -6e-9, -0.04, -0.4, -0.5, 1e-45], dtype=np.float32)
    assert_as_python_formats(tiny, decimals)


@pytest.mark.parametrize("decimals", DECIMALS)
def test_whole_numbers_and_those_beyond_24_bits(decimals: int) -> None:
    rng = np.random.default_rng(7)
    edges = [2.0**23 - 0.5, 2.0**23, 2.0**24 - 1, 2.0**24, 2.0**24 + 2, 2.0**31, 2.0**32, 2.0**49]
    edges += [10.0**n for n in range(15)]
    values = np.concatenate((edges, rng.integers(0, 10**14, 5000), np.arange(10_000))).astype(np.float32)
    values = values[values < 1e15]
    assert_as_python_formats(np.concatenate((values, -values)), decimals)


@pytest.mark.parametrize("decimals", [0, 4, 8])
def test_from_1e15_on_the_shortest_text_is_written(decimals: int) -> None:
    last_below = np.float32(1e15)  # 999,999,986,991,104
    first = np.nextafter(last_below, np.float32(np.inf))
    values = np.array([first, -first, 1.5e15, -2e20, 3.4028235e38], dtype=np.float32)
    assert texts_of(values, decimals).tolist() == texts_of(values).tolist()
    assert_as_python_formats(np.array([last_below, -last_below]), decimals)


@given(
    st.lists(st.floats(-999_999_986_991_104, 999_999_986_991_104, width=32), min_size=1, max_size=30),
    st.sampled_from(DECIMALS),
)
def test_any_float32_below_1e15(values: list[float], decimals: int) -> None:
    assert_as_python_formats(np.array(values, dtype=np.float32), decimals)
