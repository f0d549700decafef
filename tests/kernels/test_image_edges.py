"""Edges of images, by SciPy's filters and interpolation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from lidarprep.kernels import image_edges


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_an_image_is_drawn_bilinearly_at_known_places(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (40, 60)).astype(np.uint8)
    every, shape = 8, (16, 24)
    rows, columns = np.mgrid[0 : shape[0] // every + 2, 0 : shape[1] // every + 2] * float(every)
    # An affine map stays itself when it is interpolated between every eighth pixel.
    pixels = np.stack((-5.0 + 2.2 * columns + 0.3 * rows, 4.0 - 0.1 * columns + 1.9 * rows), axis=-1)
    out, seen = np.empty(shape, np.float32), np.empty(shape, np.bool_)
    image_edges.resample(image, pixels, every, out, seen)
    row, column = np.mgrid[0 : shape[0], 0 : shape[1]]
    u, v = -5.0 + 2.2 * column + 0.3 * row, 4.0 - 0.1 * column + 1.9 * row
    inside = (u >= 0) & (v >= 0) & (u <= 59) & (v <= 39)
    np.testing.assert_array_equal(seen, inside)
    expected = ndimage.map_coordinates(image.astype(np.float64), [v, u], order=1)
    np.testing.assert_allclose(out[inside], expected[inside], atol=1e-3)
    assert (out[~inside] == 0).all()
    assert 0 < inside.sum() < inside.size


def test_what_no_place_is_known_of_is_not_seen() -> None:
    pixels = np.full((3, 3, 2), 5.0)
    pixels[0, 0] = np.nan
    out, seen = np.empty((8, 8), np.float32), np.empty((8, 8), np.bool_)
    image_edges.resample(np.full((20, 20), 9, np.uint8), pixels, 8, out, seen)
    assert not seen.any()
    assert (out == 0).all()


@pytest.mark.parametrize("radius", [1, 3, 6])
def test_channels_are_blurred_each_for_itself(rng: np.random.Generator, radius: int) -> None:
    maps = rng.random((9, 13, 4)).astype(np.float32)
    taps = rng.random(radius + 1).astype(np.float32)
    out = np.empty_like(maps)
    image_edges.blur(maps, taps, np.empty_like(maps), out)
    whole = np.concatenate((taps[:0:-1], taps)).astype(np.float64)
    expected = ndimage.correlate1d(maps.astype(np.float64), whole, axis=0, mode="constant")
    expected = ndimage.correlate1d(expected, whole, axis=1, mode="constant")
    np.testing.assert_allclose(out, expected, rtol=2e-5)


def test_gradients_are_sorted_by_direction(rng: np.random.Generator) -> None:
    image = (255 * rng.random((12, 15))).astype(np.float32)
    seen = np.ones(image.shape, np.bool_)
    seen[5, 6] = False
    out, strength = np.empty((12, 15, 4), np.float32), np.empty((12, 15), np.float32)
    image_edges.oriented_gradients(image, seen, out, strength)
    gx, gy = ndimage.sobel(image.astype(np.float64), axis=1), ndimage.sobel(image.astype(np.float64), axis=0)
    size = np.hypot(gx, gy)
    valid = np.zeros_like(seen)
    valid[1:-1, 1:-1] = True
    for row, column in ((4, 5), (4, 7), (6, 5), (6, 7)):  # the corners of what needs the missing pixel
        valid[row, column] = False
    np.testing.assert_allclose(strength, np.where(valid, size, 0), rtol=1e-4, atol=1e-3)
    for number, angle in enumerate(np.radians([0, 45, 90, 135])):
        along = np.abs(gx * np.cos(angle) + gy * np.sin(angle))
        np.testing.assert_allclose(
            out[:, :, number], np.where(valid, np.maximum(0, 2 * along - size), 0), rtol=1e-3, atol=0.1
        )


def test_edges_are_divided_by_their_surroundings_capped_and_halved(rng: np.random.Generator) -> None:
    maps = (50 * rng.random((16, 24, 4))).astype(np.float32)
    local = (10 * rng.random((2, 3))).astype(np.float32)
    out = np.empty((8, 12, 4), np.float32)
    image_edges.normalise_and_halve(maps, local, 2.0, 3.0, out)
    divided = np.minimum(maps / (np.kron(local, np.ones((8, 8)))[:, :, None] + 2.0), 3.0)
    np.testing.assert_allclose(out, divided.reshape(8, 2, 12, 2, 4).mean(axis=(1, 3)), rtol=1e-5)


def test_what_is_seen_has_zero_mean_and_unit_deviation(rng: np.random.Generator) -> None:
    maps = rng.random((10, 11, 4)).astype(np.float32)
    seen = rng.random((10, 11)) < 0.7
    out = np.empty((4, 10, 11), np.float32)
    assert image_edges.standardise(maps, seen, out)
    inside = maps[seen].astype(np.float64)
    expected = np.where(seen, np.moveaxis((maps - inside.mean(axis=0)) / inside.std(axis=0), 2, 0), 0)
    np.testing.assert_allclose(out, expected, atol=1e-4)
    assert not image_edges.standardise(maps, np.zeros_like(seen), out)
    assert not image_edges.standardise(np.ones_like(maps), seen, out)


def test_rotations_are_scored_by_the_maps_at_rotated_features(rng: np.random.Generator) -> None:
    maps = rng.normal(size=(4, 60, 80)).astype(np.float32)
    low, per_unit = np.array([-0.4, -0.3]), 100.0
    vectors = np.column_stack((rng.uniform(-0.35, 0.35, (200, 2)), np.ones(200)))
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    weights = rng.normal(size=200)
    starts = np.array([0, 40, 100, 130, 200])
    turns = Rotation.from_rotvec(rng.normal(0, 0.03, (5, 3)))
    rotations = turns.as_matrix().astype(np.float32)
    features = np.column_stack((directions, weights)).astype(np.float32)

    expected = np.zeros((5, 200))
    for number, turn in enumerate(turns):
        x, y, z = turn.apply(directions).T
        u, v = (2 * x / (1 + z) - low[0]) * per_unit, (2 * y / (1 + z) - low[1]) * per_unit
        inside = (u >= 0) & (v >= 0) & (u < 79) & (v < 59)
        for channel in range(4):
            rows = slice(starts[channel], starts[channel + 1])
            values = ndimage.map_coordinates(maps[channel].astype(np.float64), [v[rows], u[rows]], order=1)
            expected[number, rows] = np.where(inside[rows], values, 0)
    expected *= weights
    assert (expected == 0).any()
    values = np.empty(200, np.float32)
    for number in range(5):
        image_edges.values_at(maps, low, per_unit, rotations[number], features, starts, values)
        np.testing.assert_allclose(values, expected[number], atol=2e-3)
    for every in (1, 3):
        scores = np.empty(5)
        image_edges.score_rotations(maps, low, per_unit, rotations, features, starts, every, scores)
        taken = np.concatenate([np.arange(starts[c], starts[c + 1], every) for c in range(4)])
        np.testing.assert_allclose(scores, expected[:, taken].sum(axis=1), atol=2e-2)
