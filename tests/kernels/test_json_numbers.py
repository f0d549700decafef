"""JSON numbers, against Python's own reading of them."""

from __future__ import annotations

import math
import random
import re
from decimal import Decimal, localcontext
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.kernels.json_numbers import read_integer, read_number
from lidarprep.kernels.memory import view_of

# RFC 8259, section 6.
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")


@numba.njit  # type: ignore[untyped-decorator]
def number_at(text: Any, at: int) -> Any:
    return read_number(view_of(text), at)


@numba.njit  # type: ignore[untyped-decorator]
def integer_at(text: Any, at: int) -> Any:
    return read_integer(view_of(text), at)


def read(text: str, behind: str = "") -> tuple[int, float, bool]:
    found: tuple[int, float, bool] = number_at(np.frombuffer((text + behind).encode(), np.uint8), 0)
    return found


def assert_read_as_python_reads(text: str) -> bool:
    """At the text's end and within a longer one; whether it was read exactly, and not left to someone slower."""
    for behind in ("", ",", "}          ", " 12345678"):
        end, value, exact = read(text, behind)
        assert end == len(text), text
        if exact:
            assert value == float(text), text
            assert math.copysign(1, value) == math.copysign(1, float(text)), text
    return exact


def test_numbers_of_every_kind_are_read_as_python_reads_them() -> None:
    rng = random.Random(1)
    makers = [
        lambda: repr(rng.uniform(-200, 200)),
        lambda: repr(rng.getrandbits(64) / 2 ** rng.randint(0, 80)),
        lambda: f"{rng.uniform(-1e3, 1e3):.{rng.randint(1, 17)}f}",
        lambda: f"{rng.randint(0, 10 ** rng.randint(1, 19) - 1)}e{rng.randint(-40, 40)}",
        lambda: f"{rng.randint(0, 10**9)}.{rng.randint(0, 10**9)}E+{rng.randint(0, 9)}",
    ]
    exact = sum(assert_read_as_python_reads(rng.choice(makers)()) for _ in range(20_000))
    assert exact > 18_000


def test_halves_between_two_doubles_are_read_as_python_reads_them() -> None:
    rng = random.Random(2)
    with localcontext() as context:
        context.prec = 19
        for _ in range(3000):
            low = rng.uniform(0, 1e4)
            assert_read_as_python_reads(str((Decimal(low) + Decimal(math.nextafter(low, math.inf))) / 2))


def test_a_half_exactly_goes_to_the_even_double() -> None:
    # 3198808631067579.75 lies between …579.5 and …580.0.
    assert assert_read_as_python_reads("319880863.106757975E+7")


@given(st.from_regex(NUMBER, fullmatch=True).filter(str.isascii))
def test_whatever_the_grammar_allows_is_read_to_its_end(text: str) -> None:
    assert_read_as_python_reads(text)


@given(st.text("0123456789.eE+-", max_size=12))
def test_what_the_grammar_forbids_is_no_number(text: str) -> None:
    match = NUMBER.match(text)
    end, _, _ = read(text)
    if match is None:
        assert end == -1
    elif end != -1:
        assert end >= match.end()
        assert match.end() == len(text) or NUMBER.fullmatch(text[:end]) is not None
    else:  # the longest match goes on as a number does, and fails there: 01, 1., 1e
        assert text[match.end() : match.end() + 1] in set("0123456789.eE")


@pytest.mark.parametrize("text", ["", "-", "+1", ".5", "01", "-01", "1.", "1.e5", "1e", "1e+", "NaN", "Infinity"])
def test_no_number(text: str) -> None:
    assert read(text)[0] == -1


@pytest.mark.parametrize("text", ["1" * 20, "0." + "1" * 25, "1e300", "4.9e-324", "1e-320"])
def test_what_is_not_exact_is_left_to_someone_slower(text: str) -> None:
    end, _, exact = read(text)
    assert (end, exact) == (len(text), False)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-5", -5),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1700000000123456789", 1_700_000_000_123_456_789),
        ("1.7e18", 1_700_000_000_000_000_000),
        ("-2.50E1", -25),
        ("12.0", 12),
    ],
)
def test_whole_numbers_are_read_however_they_are_written(text: str, value: int) -> None:
    for behind in ("", ",         "):
        assert integer_at(np.frombuffer((text + behind).encode(), np.uint8), 0) == (len(text), value, True)


@pytest.mark.parametrize("text", ["9223372036854775808", "-9223372036854775809", "1.5", "1e19", "1e400", "1" * 30])
def test_what_is_not_whole_or_beyond_int64_does_not_fit(text: str) -> None:
    end, _, fits = integer_at(np.frombuffer(text.encode(), np.uint8), 0)
    assert (end, fits) == (len(text), False)
