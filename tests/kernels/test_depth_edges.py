"""Edges of clouds, by brute force in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from lidarprep.kernels import depth_edges

Array = NDArray[np.float64]

VIEW = np.array([-0.6, 0.6, -0.5, 0.5])
CELL, REACH = math.radians(0.3), math.radians(0.9)
STEP = np.array([0.5, 0.06])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_points_in_view_are_placed_on_the_stereographic_plane(dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(1)
    positions = rng.uniform(-30, 30, (500, 3)).astype(dtype)
    positions[3, 1], positions[4, 0], positions[5] = np.nan, np.inf, 0
    turn, shift = Rotation.from_rotvec([0.2, -0.4, 0.1]), np.array([0.5, 1.0, -2.0])
    transform = np.column_stack((turn.as_matrix(), shift))
    out, rows = np.empty((500, 3)), np.empty(500, np.int64)
    count = depth_edges.in_view(positions, transform, VIEW, 1.5, out, rows)

    finite = np.isfinite(positions).all(axis=1)
    moved = np.where(finite[:, None], positions, 0).astype(np.float64) @ turn.as_matrix().T + shift
    distance = np.linalg.norm(moved, axis=1)
    # The angle off the axis is twice that whose tangent is half the distance on the plane.
    radius = 2 * np.tan(np.arccos(moved[:, 2] / distance) / 2)
    around = np.arctan2(moved[:, 1], moved[:, 0])
    u, v = radius * np.cos(around), radius * np.sin(around)
    expected = finite & (distance >= 1.5) & (np.abs(u) <= 0.6) & (np.abs(v) <= 0.5)
    np.testing.assert_array_equal(rows[:count], np.flatnonzero(expected))
    np.testing.assert_allclose(out[:count], np.column_stack((u, v, distance))[expected], rtol=1e-6, atol=1e-9)
    assert count > 10


def places_and_values() -> tuple[Array, Array]:
    """A wall with a lighter half, a box before it, and ground that is grazed; scanned in lines."""
    u, v = np.meshgrid(np.arange(-0.3, 0.3, 0.004), np.arange(-0.2, 0.2, 0.006))
    u = u + 0.0007 * np.sin(50 * v)  # lines are never quite alike
    u, v = u.ravel(), v.ravel()
    distance = np.full(u.shape, 20.0)
    ground = v > 0.09
    distance[ground] = 1.8 / np.sin(v[ground])
    distance[(np.abs(u + 0.1) < 0.05) & (np.abs(v) < 0.06)] = 12.0
    rng = np.random.default_rng(2)
    values = np.where(u > 0.15, 0.8, 0.3) + 0.02 * rng.normal(size=u.shape)
    return np.column_stack((u, v, distance)), values


def gridded(places: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    shape = math.ceil((VIEW[3] - VIEW[2]) / CELL), math.ceil((VIEW[1] - VIEW[0]) / CELL)
    starts, order = np.zeros((shape[0], shape[1] + 1), np.int64), np.empty(len(places), np.int64)
    depth_edges.bucket(places, VIEW, CELL, starts, order)
    return starts, order


def test_each_cell_has_its_points() -> None:
    rng = np.random.default_rng(3)
    places = np.column_stack((rng.uniform(-0.6, 0.6, 700), rng.uniform(-0.5, 0.5, 700), np.ones(700)))
    places[0, :2], places[1, :2] = (0.6, 0.5), (-0.6, -0.5)  # the corners of the window
    starts, order = gridded(places)
    assert sorted(order.tolist()) == list(range(700))
    rows, columns = starts.shape[0], starts.shape[1] - 1
    for line in range(rows):
        for column in range(columns):
            for row in order[starts[line, column] : starts[line, column + 1]]:
                assert min(int((places[row, 0] + 0.6) / CELL), columns - 1) == column
                assert min(int((places[row, 1] + 0.5) / CELL), rows - 1) == line


def found_by_numpy(places: Array) -> dict[tuple[float, float, float], tuple[float, float]]:
    """Depth edges by their positions: direction, by the definition in the kernel's docstring, on all distances."""
    edges = {}
    neighbours = KDTree(places[:, :2]).query(places[:, :2], k=17)[1][:, 1:]
    for (u, v, distance), near in zip(places, neighbours, strict=True):
        offsets = places[near, :2] - (u, v)
        apart = np.linalg.norm(offsets, axis=1)
        within = apart <= REACH * (1 + (u * u + v * v) / 4)
        near, offsets, apart = near[within], offsets[within], apart[within]
        if len(near) < 4:
            continue
        gap = max(0.5, 0.06 * distance)
        deeper = places[near, 2] - distance
        far = np.flatnonzero(deeper > gap)
        if 2 * (deeper < -gap).sum() > len(near) or not len(far):
            continue
        to_far = (1 / distance - 1 / places[near[far[0]], 2]) / apart[far[0]]
        cosine = offsets @ offsets[far[0]] / (apart * apart[far[0]])
        opposite = np.flatnonzero((cosine < -0.5) & (deeper <= gap))
        if not len(opposite):
            continue
        slope = np.abs(1 / distance - 1 / places[near[opposite], 2]).sum() / apart[opposite].sum()
        if to_far <= 4 * slope:
            continue
        middle = (u, v) + offsets[far[0]] / 2
        angle = 2 * np.arctan(np.linalg.norm(middle) / 2)
        around = np.arctan2(middle[1], middle[0])
        x, y = np.sin(angle) * np.cos(around), np.sin(angle) * np.sin(around)
        mean = offsets[far].sum(axis=0)
        position = np.round(distance * np.array([x, y, np.cos(angle)]), 6)
        edges[tuple(position.tolist())] = tuple(np.round(mean / np.linalg.norm(mean), 6).tolist())
    return edges  # type: ignore[return-value]


def features_of(places: Array, values: Array, every: tuple[int, int] = (1, 1)) -> tuple[Array, Array]:
    starts, order = gridded(places)
    features, contrasts = np.empty((len(places), depth_edges.FEATURE_COLUMNS)), np.empty(len(places))
    count = depth_edges.edges(
        places, values, VIEW, CELL, starts, order, REACH, STEP, np.array(every), features, contrasts
    )
    return features[:count], contrasts[:count]


def test_depth_edges_are_those_of_brute_force() -> None:
    places, values = places_and_values()
    features, _ = features_of(places, values)
    edges = features[features[:, 6] == depth_edges.DEPTH]
    found = {tuple(np.round(row[:3], 6).tolist()): tuple(np.round(row[3:5], 6).tolist()) for row in edges}
    expected = found_by_numpy(places)
    assert len(expected) > 50
    # Of neighbours at the same distance either may come first: hardly any edge depends on it.
    assert len(found.keys() ^ expected.keys()) <= 0.02 * len(expected)
    assert all(found[key] == expected[key] for key in found.keys() & expected.keys())


def test_depth_edges_lie_round_what_is_near_and_not_on_grazed_ground() -> None:
    places, values = places_and_values()
    features, _ = features_of(places, values)
    edges = features[features[:, 6] == depth_edges.DEPTH]
    distance = np.linalg.norm(edges[:, :3], axis=1)
    np.testing.assert_allclose(distance, 12.0, rtol=1e-9)
    factor = 2 / (1 + edges[:, 2] / distance) / distance
    u, v = edges[:, 0] * factor, edges[:, 1] * factor
    off = np.maximum(np.abs(u + 0.1) - 0.05, np.abs(v) - 0.06)  # from the outline of the box
    assert np.abs(off).max() < 0.008
    assert (edges[:, 5] > 0).all()
    # What is on a side looks across it.
    right = np.abs(u + 0.05) < 0.004
    assert right.sum() > 5
    assert (edges[right & (np.abs(v) < 0.04), 3] > 0.9).all()


def test_steps_of_intensity_are_told_from_noise() -> None:
    places, values = places_and_values()
    features, contrasts = features_of(places, values)
    distance = np.linalg.norm(features[:, :3], axis=1)
    u = features[:, 0] * 2 / (1 + features[:, 2] / distance) / distance
    sharp = (features[:, 6] == depth_edges.PLAIN) & (features[:, 5] > 0) & (contrasts > 0.12)
    assert sharp.sum() > 30
    assert np.abs(u[sharp] - 0.15).max() < 0.012
    assert (features[sharp, 3] > 0.7).all()
    np.testing.assert_allclose(contrasts[sharp], 0.5, atol=0.2)


def test_thinning_leaves_out_points_of_each_kind() -> None:
    places, values = places_and_values()
    all_of_them, _ = features_of(places, values)
    thinned, _ = features_of(places, values, (2, 5))
    for kind, part in ((depth_edges.DEPTH, 2), (depth_edges.PLAIN, 5)):
        counts = [(found[:, 6] == kind).sum() for found in (all_of_them, thinned)]
        assert counts[0] / part == pytest.approx(counts[1], rel=0.35)
    known = {tuple(row[:3].tolist()) for row in all_of_them}
    assert all(tuple(row[:3].tolist()) in known for row in thinned)


def test_nothing_in_view_has_no_edges() -> None:
    features, contrasts = features_of(np.empty((0, 3)), np.empty(0))
    assert len(features) == len(contrasts) == 0
