"""Integers against str()."""

from __future__ import annotations

import numpy as np

from tests.kernels.text_of import integer_texts_of


def assert_as_str(values: list[int], dtype: type) -> None:
    assert integer_texts_of(np.array(values, dtype=dtype)).tolist() == [str(v).encode() for v in values]


def test_int64_at_its_ends_and_at_every_number_of_digits() -> None:
    edges = [0, 1, -1, 2**63 - 1, -(2**63), 2**32, 2**31, 1_700_000_000_123_456_789]
    for digits in range(1, 19):
        edges += [10**digits - 1, 10**digits, 10**digits + 1, -(10**digits), -(10**digits) + 1]
    assert_as_str(edges, np.int64)


def test_uint64_at_its_ends_and_at_every_number_of_digits() -> None:
    edges = [0, 2**64 - 1, 2**63, 2**63 - 1, 10**19, 10**19 - 1]
    for digits in range(1, 20):
        edges += [10**digits - 1, 10**digits, 10**digits + 1]
    assert_as_str(edges, np.uint64)


def test_random_integers_of_every_size() -> None:
    rng = np.random.default_rng(8)
    full = rng.integers(-(2**63), 2**63 - 1, 50_000, dtype=np.int64)
    assert_as_str((full >> rng.integers(0, 63, 50_000)).tolist(), np.int64)
    unsigned = rng.integers(0, 2**64 - 1, 50_000, dtype=np.uint64)
    assert_as_str((unsigned >> rng.integers(0, 63, 50_000, dtype=np.uint64)).tolist(), np.uint64)
    assert_as_str(list(range(-12_000, 12_000)), np.int64)
