"""The budget of a page: how many frames, points and images it has, so that it stays small enough to be mailed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lidarprep.errors import RecipeError
from lidarprep.report.page.images import shrink
from lidarprep.report.page.points import PackedPoints
from lidarprep.report.views import FrameView, SceneView

# Base64 writes three bytes as four letters.
BASE64 = 4 / 3

# Bytes that a page may have beside points and images: the viewer, the text, the static pictures.
RESERVED = 1_900_000
LEAST_MB = 3.0

# What the rest is split by where a recording has images.
_IMAGE_SHARE = 0.45

# A frame is shown with at least so many points; a few frames with fewer, where a page is to be small. With at most so
# many where nobody asks for more: a screen shows no more.
_FEWEST_POINTS, MOST_POINTS = 20_000, 100_000
_FEW_FRAMES, _POINTS_OF_FEW = 10, 4_000
_MOST_FRAMES = 150

# Widths of images, pixels, the largest that fit; sizes of JPEGs grow so with their width.
_WIDTHS = (960, 800, 640, 480, 400, 320, 240)
_USUAL_WIDTH, _GROWTH = 480, 1.7
_FEW_IMAGES, _WIDEST_OF_MANY = 60, 640

# Estimates are rough: so much of the budget is not given away.
_MARGIN = 0.94


@dataclass(frozen=True)
class Budget:
    """What of a recording the page shows.

    Args:
        bytes: What the page may take.
        frames: Rows of the view's frames that the viewer has, increasing.
        points_a_frame: The most points that it has of each.
        image_width: Width of its images, pixels.
        with_images: Rows of the frames whose images it has.
    """

    bytes: int
    frames: tuple[int, ...]
    points_a_frame: int
    image_width: int
    with_images: frozenset[int]


def plan(
    view: SceneView,
    first: FrameView | None,
    *,
    labelled: Sequence[bool],
    size_mb: float,
    frames: int | None = None,
    points_a_frame: int | None = None,
) -> Budget:
    """Decide what the page shows, by the sizes of one frame's points and images.

    Args:
        view: The scene.
        first: A frame of it, to measure by; None where none can be read.
        labelled: Of each frame, whether it is shown before others.
        size_mb: Megabytes that the page may take.
        frames: The most frames in the viewer; as many as fit where it is None.
        points_a_frame: The most points of each.

    Raises:
        RecipeError: A limit is too low.
    """
    if not size_mb >= LEAST_MB:
        raise RecipeError(
            f"size_mb is {size_mb:g}; a page takes {LEAST_MB:g} megabytes at least: the viewer alone is 0.6"
        )
    for name, limit in (("frames", frames), ("points_a_frame", points_a_frame)):
        if limit is not None and limit < 1:
            raise RecipeError(f"{name} is {limit}; it must be 1 or more")
    size = int(size_mb * 1e6)
    left = (size - RESERVED) * _MARGIN
    a_point = _bytes_a_point(first)
    images = max((len(frame.images) for frame in view.frames), default=0)
    for_points = left * (1 - _IMAGE_SHARE) if images else left
    asked = points_a_frame or _FEWEST_POINTS
    fitting = int(for_points / (a_point * min(asked, _FEWEST_POINTS)))
    fitting = max(1, fitting, min(_FEW_FRAMES, int(for_points / (a_point * min(asked, _POINTS_OF_FEW)))))
    most = min(len(view.frames), frames or _MOST_FRAMES, fitting)
    rows = rows_to_show(labelled, most)
    width, shown, for_images = 0, 0, 0.0
    if images:
        width, shown, for_images = _images(view, rows, left - for_points)
    points = int((left - for_images) / (a_point * max(len(rows), 1)))
    with_images = [rows[row] for row in np.unique(np.linspace(0, len(rows) - 1, shown).round().astype(int))]
    return Budget(size, rows, max(1, min(points, points_a_frame or MOST_POINTS)), width, frozenset(with_images))


def rows_to_show(labelled: Sequence[bool], most: int) -> tuple[int, ...]:
    """Choose at most so many frames: the first, the last, those that are labelled, then evenly spread others."""
    count = len(labelled)
    if most >= count:
        return tuple(range(count))
    chosen = dict.fromkeys([0, count - 1][:most])
    first = [row for row in range(count) if labelled[row] and row not in chosen]
    others = [row for row in range(count) if not labelled[row] and row not in chosen]
    for rows in (first, others):
        free = most - len(chosen)
        if free >= len(rows):
            chosen |= dict.fromkeys(rows)
        elif free > 0:
            chosen |= dict.fromkeys(rows[(n + 1) * len(rows) // (free + 1)] for n in range(free))
    return tuple(sorted(chosen))


def _bytes_a_point(first: FrameView | None) -> float:
    """Return about what a point takes in the page, by a thinned frame: denser ones take less."""
    if first is None or not len(first):
        return 9.0
    packed = PackedPoints.of(first, _FEWEST_POINTS)
    packed = packed.with_rows_of(packed.devices())
    return len(packed.encoded()) / len(packed) if len(packed) > 1000 else 9.0


def _images(view: SceneView, rows: Sequence[int], most: float) -> tuple[int, int, float]:
    """Return the width of the images, how many frames have theirs, and what all of them take."""
    measured: dict[str, int] = {}
    for frame in (view.frames[row] for row in rows):
        for image in frame.images:
            if image.camera.name not in measured and (jpeg := shrink(image, _USUAL_WIDTH).jpeg) is not None:
                measured[image.camera.name] = len(jpeg)
        if len(measured) == len(view.scene.cameras):
            break
    a_frame = BASE64 * sum(measured.values())
    if not a_frame:
        return _WIDTHS[-1], len(rows), 0.0
    few = len(rows) * len(measured) <= _FEW_IMAGES
    widths = [width for width in _WIDTHS if few or width <= _WIDEST_OF_MANY]
    for width in widths:
        taken = a_frame * (width / _USUAL_WIDTH) ** _GROWTH
        if taken * len(rows) <= most:
            return width, len(rows), taken * len(rows)
    fitting = max(1, math.floor(most / taken))
    return width, fitting, taken * fitting
