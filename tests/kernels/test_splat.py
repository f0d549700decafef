"""Points and lines in an image, against NumPy's own sums and Pillow's lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lidarprep.kernels.splat import draw_lines, splat

WIDTH, HEIGHT = 13, 9

# Quarters are exact, and meet the edges of pixels.
quarters = st.integers(-40, 100).map(lambda n: n / 4)
numbers = st.one_of(quarters, st.sampled_from([np.nan, np.inf, -np.inf, 1e30, -1e30]))


def empty() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    return np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.full((HEIGHT, WIDTH), -np.inf, np.float32)


def by_numpy(
    points: NDArray[Any], view: NDArray[np.float64], colours: NDArray[np.uint8], size: int
) -> tuple[NDArray[np.uint8], int]:
    """Every pixel looks for the points whose square it is in."""
    image, _ = empty()
    with np.errstate(all="ignore"):
        columns, rows, keys = (points.astype(np.float64) @ view[:, :3].T + view[:, 3]).T
    known = np.isfinite(columns) & np.isfinite(rows) & np.isfinite(keys.astype(np.float32))
    for v in range(HEIGHT):
        for u in range(WIDTH):
            inside = known & (abs(columns + size / 2 - u - 0.5) <= size) & (columns - size / 2 < u)
            inside &= (u <= columns + size / 2) & (rows - size / 2 < v) & (v <= rows + size / 2)
            if inside.any():
                highest = keys[inside].astype(np.float32).max()
                image[v, u] = colours[np.flatnonzero(inside & (keys.astype(np.float32) == highest))[-1]]
    own = known & (columns >= -0.5) & (columns < WIDTH - 0.5) & (rows >= -0.5) & (rows < HEIGHT - 0.5)
    return image, int(own.sum())


@given(
    st.lists(st.tuples(numbers, numbers, numbers), max_size=30),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([(1, 1), (1, -1), (-2, 1)]),
)
def test_points_are_seen_where_numpy_puts_them(points: Any, size: int, dtype: Any, signs: tuple[int, int]) -> None:
    cloud = np.array(points, dtype=dtype).reshape(-1, 3)
    view = np.array([[signs[0], 0, 0, 3], [0, signs[1], 0, 5], [0, 0, 1, -2]], dtype=np.float64)
    colours = (np.arange(3 * len(cloud)).reshape(-1, 3) % 200 + 20).astype(np.uint8)
    image, depth = empty()
    with np.errstate(all="ignore"):
        within = splat(cloud, view, colours, size, image, depth)
    expected, expected_within = by_numpy(cloud, view, colours, size)
    np.testing.assert_array_equal(image, expected)
    assert within == expected_within
    np.testing.assert_array_equal(np.isfinite(depth), image.any(axis=2))


def test_several_clouds_share_a_depth_buffer_and_one_colour_is_for_all() -> None:
    image, depth = empty()
    view = np.eye(3, 4)
    for height, colour in ((2.0, 10), (1.0, 20), (2.0, 30)):
        points = np.array([[4.0, 4.0, height]])
        splat(points, view, np.full((1, 3), colour, np.uint8), 1, image, depth)
    assert image[4, 4].tolist() == [30, 30, 30], "of equal heights the later one is seen"
    splat(np.array([[4.0, 4.0, 0.0], [6.0, 2.0, 0.0]]), view, np.full((1, 3), 40, np.uint8), 1, image, depth)
    assert (image[4, 4, 0], image[2, 6, 0]) == (30, 40)


@pytest.mark.parametrize("size", [4, 5, 8])
def test_large_spots_are_round_and_lie_around_their_point(size: int) -> None:
    image, depth = np.zeros((40, 40, 3), np.uint8), np.full((40, 40), -np.inf, np.float32)
    middle = 20.0 if size % 2 else 19.5
    splat(np.array([[middle, middle, 0.0]]), np.eye(3, 4), np.full((1, 3), 255, np.uint8), size, image, depth)
    rows, columns = np.nonzero(image[..., 0])
    assert (rows.mean(), columns.mean()) == (middle, middle)
    assert np.ptp(rows) + 1 == size
    assert len(rows) == pytest.approx(np.pi * size**2 / 4, rel=0.3)
    assert len(rows) < size**2


@given(st.tuples(*[st.floats(-30, 90) for _ in range(4)]), st.sampled_from([1.5, 3.0, 6.0]))
def test_lines_cover_what_pillow_covers(ends: tuple[float, float, float, float], width: float) -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    draw_lines(np.array([ends]), np.array([255, 255, 255], np.uint8), width, 1.0, image)
    # An oracle of another make: Pillow draws it eight times as large, and shrinks it.
    large = Image.new("L", (60 * 8, 60 * 8))
    drawn = ImageDraw.Draw(large)
    x0, y0, x1, y1 = ((value + 0.5) * 8 for value in ends)
    if np.hypot(x1 - x0, y1 - y0) > 1:
        drawn.line((x0, y0, x1, y1), 255, round(width * 8))
    for x, y in ((x0, y0), (x1, y1)):
        drawn.ellipse([x - width * 4, y - width * 4, x + width * 4, y + width * 4], 255)
    shrunk = np.asarray(large.reduce(8), dtype=np.float64)
    assert np.abs(image[..., 0] - shrunk).max() <= 140, "edges are smoothed in another way"
    assert np.abs(image[..., 0] - shrunk).mean() <= 2.0


def test_lines_that_are_not_finite_are_left_out_and_opacity_blends() -> None:
    image = np.full((20, 20, 3), 100, np.uint8)
    before = image.copy()
    lines = np.array([[np.nan, 0, 5, 5], [0, 0, np.inf, 5], [1e12, 0, 0, 0]])
    draw_lines(lines, np.array([255, 0, 0], np.uint8), 3.0, 1.0, image)
    np.testing.assert_array_equal(image, before)
    draw_lines(np.array([[0.0, 10.0, 19.0, 10.0]]), np.array([200, 0, 100], np.uint8), 3.0, 0.5, image)
    assert image[10, 10].tolist() == [150, 50, 100]
