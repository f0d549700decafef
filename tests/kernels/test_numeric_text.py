"""Rows of numbers, against Python's, NumPy's and pandas' own reading of them."""

from __future__ import annotations

import io
import math
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lidarprep.errors import FormatError
from lidarprep.pointfiles._numeric_text import BLANKS, WHOLE, Column, count_rows, read_columns

# What the kernel reads from 32 bytes at once stands elsewhere near a text's end; each is to be read in both places.
BEHIND = b"\n" + b"0 0\n" * 12


def read(text: bytes, *types: str | None, separator: str = BLANKS) -> list[Any]:
    columns = [Column(f"c{k}", code) for k, code in enumerate(types)]
    found = read_columns(Path("a.txt"), text, 0, columns, separator)
    return [None if numbers is None else numbers for numbers in found]


def read_one(value: str, code: str) -> Any:
    """A value, first in a long text and last in a short one: it has to be the same."""
    first = read(value.encode() + b" 0" + BEHIND, code, "<f8")[0][0]
    last = read(b"0 " + value.encode(), "<f8", code)[1][0]
    comma = read(b"0 , " + value.encode() + b" ,5\r\n", "<f8", code, "<f8", separator=",")[1][0]
    assert first.tobytes() == last.tobytes() == comma.tobytes()
    return first


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


NOTATIONS = ("{!r}", "{:.17e}", "{:.18e}", "{:.3f}", "{:.10f}", "{:.30f}", "{:g}", "{:+.8E}", "{:020.6f}")


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(NOTATIONS))
@example(2.2250738585072014e-308, "{!r}")
@example(5e-324, "{!r}")
@example(1.7976931348623157e308, "{:.30f}")
@example(9007199254740993.0, "{:.18e}")
def test_a_double_in_any_notation_is_read_as_python_reads_it(value: float, notation: str) -> None:
    text = notation.format(value)
    assert bits(read_one(text, "<f8")) == bits(float(text))


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.sampled_from(NOTATIONS))
@example(3.4028234663852886e38, "{:.17e}")
@example(1e-45, "{!r}")
def test_a_float_is_the_rounded_double_as_numpy_and_pcl_have_it(value: float, notation: str) -> None:
    text = notation.format(value)
    with np.errstate(over="ignore"):
        expected = np.float64(text).astype(np.float32)
    assert read_one(text, "<f4").tobytes() == expected.tobytes()


@given(st.from_regex(r"[+-]?([0-9]{1,25}\.?[0-9]{0,25}|\.[0-9]{1,25})([eE][+-]?[0-9]{1,3})?", fullmatch=True))
@example("00000000000000000000000000001.5")
@example("0.00000000000000000000000012345678901234567890")
@example("319880863.106757975E+7")  # half between two doubles
@example("1.00000000000000011102230246251565404")  # just above a half, beyond 19 digits
@example("1.00000000000000011102230246251565403")
@example("123456.")
def test_whatever_the_grammar_allows_is_read_as_python_reads_it(text: str) -> None:
    assert bits(read_one(text, "<f8")) == bits(float(text))


@given(st.integers(-(2**63), 2**63 - 1))
@example(2**63 - 1)
@example(-(2**63))
@example(1_700_000_000_123_456_789)
def test_integers_of_64_bits_are_exact(value: int) -> None:
    assert int(read_one(str(value), "<i8")) == value
    assert int(read_one(f"{value:+030d}", "<i8")) == value
    assert int(read_one(str(value), WHOLE)) == value


@given(st.integers(0, 2**64 - 1))
@example(2**64 - 1)
@example(10**19)
def test_unsigned_integers_of_64_bits_are_exact(value: int) -> None:
    assert int(read_one(str(value), "<u8")) == value


@pytest.mark.parametrize("code", ["i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8"])
def test_integers_are_held_against_their_type(code: str) -> None:
    limits = np.iinfo(code)
    for value in (limits.min, limits.max):
        assert int(read_one(str(value), code)) == value
    for value in (limits.min - 1, limits.max + 1, 10**25):
        with pytest.raises(FormatError, match=f"'{value}'; expected a {np.dtype(code)} number"):
            read(f"0 {value}".encode(), "<f8", code)
    assert int(read_one("12.0", code)) == 12
    assert int(read_one("1.2e1", code)) == 12
    for text in ("12.5", "nan", "inf", "1e300", "true"):
        with pytest.raises(FormatError, match=f"'{text}'"):
            read(text.encode(), code)


@pytest.mark.parametrize(
    "text", ["nan", "NaN", "-nan", "+NAN", "-nan(ind)", "nan(snan)", "1.#QNAN", "-1.#IND", "1.#IND00"]
)
def test_not_a_number_is_read_however_it_is_spelled(text: str) -> None:
    assert math.isnan(read_one(text, "<f8"))
    assert math.isnan(read_one(text, "<f4"))


@pytest.mark.parametrize("text", ["inf", "Infinity", "INF", "+inf", "1.#INF", "1e400"])
def test_infinity_is_read_however_it_is_spelled(text: str) -> None:
    assert read_one(text, "<f8") == math.inf
    assert read_one(f"-{text.lstrip('+')}", "<f4") == -math.inf


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "1x",
        "1e",
        "1e+",
        "--1",
        "+-1",
        "1.2.3",
        "0x10",
        "1_000",
        ".",
        "-",
        "e5",
        "na",
        "infinite",
        "nan(",
        "1d5",
        "1.#",
        '"1',
        '1"',
        "1'000",
        "\x00",
        "µ",
        "1;2",
    ],
)
def test_what_is_no_number_is_refused_with_its_place(text: str) -> None:
    for behind in ("", " 7" + BEHIND.decode()):
        wanted = ["<f8", "<f8", "<f8"] if behind else ["<f8", "<f8"]
        with pytest.raises(FormatError, match=r"line 2, column 2 \(c1\)"):
            read(b"1 2" + (b" 3" if behind else b"") + f"\n4 {text}{behind}".encode(), *wanted)


def test_a_column_of_whole_numbers_is_one_of_integers_and_any_other_of_doubles() -> None:
    text = b"1,1,1,True\n2,2.5,-3,false\n9007199254740993,,9223372036854775808,TRUE\n"
    whole, fraction, large, flag = read(text, WHOLE, WHOLE, WHOLE, WHOLE, separator=",")
    np.testing.assert_array_equal(whole, [1, 2, 2**53 + 1])
    assert whole.dtype == flag.dtype == np.int64
    np.testing.assert_array_equal(flag, [1, 0, 1])
    np.testing.assert_array_equal(fraction, [1, 2.5, np.nan])
    np.testing.assert_array_equal(large, [1, -3, 2.0**63])


def test_text_that_is_passed_over_may_hold_anything_in_quotes() -> None:
    text = b'1,"a ""b"", c\nd",2\n3,,4\n5, plain text ,6\n'
    first, skipped, last = read(text, "<f8", None, "<f8", separator=",")
    assert skipped is None
    np.testing.assert_array_equal(np.column_stack([first, last]), [[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n \t\r\n"])
@pytest.mark.parametrize("last", ["", "\n"])
def test_lines_may_end_in_any_way(end: str, last: str) -> None:
    text = (end.join(["1 2", "  3\t4 ", "5  6"]) + last).encode()
    np.testing.assert_array_equal(np.column_stack(read(text, "<f8", "<f8")), [[1, 2], [3, 4], [5, 6]])
    assert count_rows(text, 0) == 3
    with pytest.raises(FormatError, match=f"line {1 + 2 * max(1, end.count(chr(10)))}, column 2"):
        read(text.replace(b"5  6", b"5  z"), "<f8", "<f8")


@pytest.mark.parametrize("separator", [",", ";", "\t", BLANKS])
def test_ragged_rows_are_refused_with_their_line(separator: str) -> None:
    good = separator.join(["1", "2", "3"])
    for bad in (separator.join(["1", "2"]), separator.join("1234"), "1"):
        values = len(bad.split(separator))
        with pytest.raises(FormatError, match=f"line 2: {values} values; expected 3: c0, c1, c2"):
            read(f"{good}\n{bad}\n{good}\n".encode(), "<f8", "<f8", "<f8", separator=separator)


def test_a_value_left_empty_is_not_a_number_between_separators() -> None:
    for text in (b'1,,3\n,,""\n', b'1, ,3\n , , "" \n'):
        found = np.column_stack(read(text, "<f8", "<f8", "<f4", separator=","))
        np.testing.assert_array_equal(found, [[1, np.nan, 3], [np.nan] * 3])


@pytest.mark.parametrize("format", ["%.18e", "%.6f", "%g", "%10.3f", "%.9g"])
def test_tables_that_numpy_writes_are_read_as_numpy_and_pandas_read_them(format: str) -> None:
    rng = np.random.default_rng(5)
    table = rng.normal(0, 100, (500, 4)) * 10.0 ** rng.integers(-3, 4, (500, 4))
    stream = io.BytesIO()
    np.savetxt(stream, table, fmt=format)
    text = stream.getvalue()
    found = np.column_stack(read(text, *["<f8"] * 4))
    np.testing.assert_array_equal(found, np.loadtxt(io.BytesIO(text)))
    oracle = pd.read_csv(io.BytesIO(text), sep=r"\s+", header=None, dtype=str).map(float).to_numpy()
    np.testing.assert_array_equal(found, oracle)


def test_rows_that_are_more_than_the_first_ones_let_expect_are_all_read() -> None:
    text = (f"{7:060d},1\n" * 2000 + "1,2\n" * 50_000 + "3,4").encode()
    first, second = read(text, WHOLE, "<f8", separator=",")
    np.testing.assert_array_equal(first, [7] * 2000 + [1] * 50_000 + [3])
    np.testing.assert_array_equal(second, [1] * 2000 + [2] * 50_000 + [4])
    assert read(text + b"\n.5,6", WHOLE, "<f8", separator=",")[0].dtype == np.float64


def test_many_numbers_that_need_a_slower_reader_are_all_exact() -> None:
    rng = random.Random(3)
    values = [rng.uniform(1, 9) * 10.0 ** rng.choice([-250, 250]) for _ in range(5000)]
    text = "\n".join(f"{value!r} 1" for value in values).encode()
    np.testing.assert_array_equal(read(text, "<f8", "u1")[0], values)


@given(st.lists(st.text('0123456789.eE+-naif,;\t \n\r"#', max_size=30), max_size=5))
def test_any_text_is_read_as_rows_of_python_numbers_or_refused(parts: list[str]) -> None:
    text = " ".join(parts)
    rows = [line.split() for line in text.replace("\r", "\n").split("\n") if line.strip()]
    try:
        found = np.column_stack(read(text.encode(), "<f8", "<f8"))
    except FormatError:
        return
    assert len(found) == len(rows)
    expected = [[float(value.strip('"')) for value in row] for row in rows]
    np.testing.assert_array_equal(found, np.array(expected).reshape(-1, 2))
