"""Voxels against a dictionary of them, in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lidarprep.kernels.voxel import voxel_rows

Positions = NDArray[np.floating[Any]]

# 1 / size, and what is multiplied by it, are exact in these, so points lie on faces and at equal distances.
EXACT_SIZES = [0.125, 0.5, 1.0, 4.0]


def kept_rows(positions: Positions, size: float, *, nearest: bool = False) -> list[int]:
    rows = np.full(len(positions), -1, np.int64)
    count = voxel_rows(positions, size, nearest, rows)
    assert (rows[count:] == -1).all()
    return rows[:count].tolist()


def by_dictionary(positions: Positions, size: float, *, nearest: bool) -> list[int]:
    """The same, with fractions: no rounding, no hashing of our own."""
    kept: dict[tuple[int, ...], tuple[Fraction, int]] = {}
    for row, position in enumerate(positions.tolist()):
        scaled = [Fraction(value) / Fraction(size) for value in position]
        voxel = tuple(floor(value) for value in scaled)
        distance = sum(
            ((value - cell - Fraction(1, 2)) ** 2 for value, cell in zip(scaled, voxel, strict=True)), Fraction(0)
        )
        if voxel not in kept or (nearest and distance < kept[voxel][0]):
            kept[voxel] = distance, row
    return sorted(row for _, row in kept.values())


def clouds(dtype: type, elements: st.SearchStrategy[float]) -> st.SearchStrategy[Positions]:
    return hnp.arrays(dtype, st.integers(0, 60).map(lambda n: (n, 3)), elements=elements, fill=st.nothing())


# Sixteenths around the origin: many points in one voxel, on its faces, edges and corners, and equally near its centre.
sixteenths = st.integers(-48, 48).map(lambda n: n / 16)


@pytest.mark.parametrize("nearest", [False, True], ids=["first", "nearest"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_those_of_a_dictionary_of_voxels(dtype: type, nearest: bool) -> None:
    @given(clouds(dtype, sixteenths), st.sampled_from(EXACT_SIZES))
    def check(positions: Positions, size: float) -> None:
        assert kept_rows(positions, size, nearest=nearest) == by_dictionary(positions, size, nearest=nearest)

    check()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_first_point_is_kept_anywhere_and_for_any_size(dtype: type) -> None:
    width = 32 if dtype is np.float32 else 64

    @given(clouds(dtype, st.floats(-1e5, 1e5, width=width)), st.floats(1e-3, 1e3))
    def check(positions: Positions, size: float) -> None:
        # What lies within a rounding of a face may go to either side: the same rounding decides here.
        voxels = np.floor(positions.astype(np.float64) * (1 / size)).astype(np.int64)
        first = np.unique(voxels, axis=0, return_index=True)[1] if len(voxels) else np.empty(0, np.int64)
        assert kept_rows(positions, size) == sorted(first.tolist())

    check()


@given(clouds(np.float64, st.floats(-20, 20)), st.sampled_from([0.3, 1.0, 7.0]))
def test_the_nearest_is_in_the_same_voxel_and_no_further_from_its_centre(positions: Positions, size: float) -> None:
    scaled = positions * (1 / size)
    distances = ((scaled - np.floor(scaled) - 0.5) ** 2).sum(axis=1)
    standing = {tuple(np.floor(scaled[row])): row for row in kept_rows(positions, size, nearest=True)}
    for row in range(len(positions)):
        assert distances[standing[tuple(np.floor(scaled[row]))]] <= distances[row] + 1e-12


def test_a_point_on_a_face_belongs_to_the_voxel_above() -> None:
    inside = [0.25, 0.25, 0.25]
    for axis in range(3):
        for face, same in ((0.0, True), (1.0, False), (np.nextafter(1.0, 0.0), True), (-0.0, True), (-5e-324, False)):
            on_face = list(inside)
            on_face[axis] = face
            assert kept_rows(np.array([inside, on_face]), 1.0) == ([0] if same else [0, 1]), (axis, face)


def test_voxels_at_the_origin_are_as_large_as_others() -> None:
    # Truncation towards zero, in place of the floor, would make one voxel of −1 to 1.
    positions = np.array([[-0.5, 0, 0], [0.5, 0, 0], [-0.75, 0, 0]])
    assert kept_rows(positions, 1.0) == [0, 1]


def test_of_equally_near_points_the_first_is_kept() -> None:
    corners = np.array([[x, y, z] for x in (0.25, 0.75) for y in (0.25, 0.75) for z in (0.25, 0.75)])
    assert kept_rows(corners, 1.0, nearest=True) == [0]
    assert kept_rows(corners[::-1].copy(), 1.0, nearest=True) == [0]
    nearer_later = np.vstack((corners, [[0.5, 0.5, 0.5]], corners, [[0.5, 0.5, 0.5]]))
    assert kept_rows(nearer_later, 1.0, nearest=True) == [8]
    assert kept_rows(nearer_later, 1.0) == [0]


@pytest.mark.parametrize("nearest", [False, True])
def test_no_point_and_one_point(nearest: bool) -> None:
    assert kept_rows(np.empty((0, 3), np.float32), 0.05, nearest=nearest) == []
    assert kept_rows(np.array([[-1e6, 0.0, 1e6]]), 0.05, nearest=nearest) == [0]


def test_the_furthest_voxels_are_told_apart() -> None:
    furthest = 2.0**31
    ends = np.array([[-furthest, 0, 0], [furthest - 0.5, 0, 0], [furthest - 1.5, 0, 0], [furthest - 1, 0, 0]])
    assert kept_rows(ends, 1.0) == [0, 1, 2]


def test_a_million_points_on_a_lattice_are_all_kept_once() -> None:
    # A lattice is what a hash of coordinates is weak at: neighbours along the axes, whole planes of them.
    axis = np.arange(-50, 50) + 0.5
    lattice = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    twice = np.vstack((lattice, lattice[::-1] + 0.25))
    assert kept_rows(twice, 1.0) == list(range(len(lattice)))
