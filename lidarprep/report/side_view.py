"""A scene from the side: heights along the device's path, with the ground and the band of heights that is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import hypot

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lidarprep.recipe import Recipe
from lidarprep.report import boxes
from lidarprep.report.canvas import DIM, RULE, Colour, Plot, Sheet, checked_size, nice_step, text_size
from lidarprep.report.colours import Colouring
from lidarprep.report.drawn import DrawnFrames, coloured, draw_frames
from lidarprep.report.legend import Block, Strip, Swatches
from lidarprep.report.views import FrameView, SceneView
from lidarprep.scene import Cuboids, Labels, Scene
from lidarprep.steps.world import HeightBand
from lidarprep.storage import Manifest

BAND_COLOUR: Colour = (240, 228, 66)
GROUND_COLOUR: Colour = (213, 94, 0)
DEVICE_COLOUR: Colour = (255, 255, 255)

# Percent of the points that may lie outside, at either end; and points that are looked at for it.
_OUTSIDE, _LOOKED_AT = 0.5, 20_000

# Heights are drawn at most so many times as large as lengths.
_MOST_EXAGGERATED = 4.0

# The device moves along this axis of its own if it has moved so far at least, metres, mostly to one side.
_LEAST_TRAVEL, _STEADY = 1.0, 0.7

_AXES = {"x": (1.0, 0.0), "y": (0.0, 1.0), "-x": (-1.0, 0.0), "-y": (0.0, -1.0)}


def side_view(
    scene: Scene | Manifest | SceneView,
    *,
    frames: str | None = None,
    color: Colouring = "height",
    recipe: Recipe | None = None,
    labels: Labels | None = None,
    size: tuple[int, int] = (1280, 640),
) -> Image.Image:
    """Draw a scene from the side: to the right what is ahead of the device, upwards the height.

    Each frame is in the frame of reference of its own device, so that several frames lie over one another. Heights are
    drawn up to four times as large as lengths, which the picture says. Where the height of the device is known, they
    are above the ground, with the ground and the band of heights that is kept as lines.

    Args:
        scene: A recording; or a manifest on this machine: what was stored.
        frames: As `top_down` takes it.
        color: As `top_down` takes it.
        recipe: As `top_down` takes it.
        labels: As `top_down` takes them.
        size: Width and height of the picture, pixels, with the strip of text below it.

    Returns:
        A picture in RGB.

    Raises:
        RecipeError: There are no such frames, there is no such colouring, or the recipe or the labels do not fit the
            scene.
        SceneError, FormatError: None of the frames can be read.
        StorageError: The manifest is not on this machine.
    """
    width, height = checked_size(*size)
    drawn = DrawnFrames.read(scene, frames, recipe)
    shown = boxes.ShownLabels.of(labels, drawn.view)
    cuboids = shown.of_frames([one.frame.id for one in drawn.views])
    colours = coloured(drawn.views, color, drawn.view)
    axis = _axis_ahead(drawn)
    places = [_from_the_side(one, axis) for one in drawn.views]
    blocks = [*colours.blocks, *_signs(drawn.view.band, shown.swatches(cuboids))]
    # The strip leaves the plot its height, and the plot's height says how much heights are exaggerated.
    expected = Strip(drawn.title, _words(drawn, axis, _MOST_EXAGGERATED), blocks)
    plot = Plot.blank(width, max(height - expected.height(width), 32))
    wall = Wall.around(places, drawn.view.band, plot.size)
    strip = replace(expected, lines=_words(drawn, axis, wall.exaggeration))
    em = text_size(width)
    wall.draw_grid(plot, em)
    spot = max(1, round(width / 1000))
    by_id = {id(one): place for one, place in zip(drawn.views, places, strict=True)}
    draw_frames(plot, drawn.views, colours.of, wall.view(), spot, place=lambda one: by_id[id(one)])
    label_colours = boxes.colours_of(cuboids)
    for one in drawn.views:
        _draw_labels(plot, wall, one, shown.of_frames([one.frame.id]), label_colours, axis, em)
    _draw_levels(plot, wall, drawn.view.band, em)
    sheet = Sheet(width, height, plot)
    wall.write_grid(sheet, plot.size)
    _name_levels(sheet, wall, drawn.view.band, plot.size)
    strip.draw(sheet)
    return sheet.image


@dataclass(frozen=True)
class Wall:
    """Where on a plot a place is, by metres ahead of the device and of height.

    Args:
        left, top: Metres ahead and height at pixel (0, 0).
        per_metre: Pixels a metre ahead.
        exaggeration: How many times as many a metre of height has.
    """

    left: float
    top: float
    per_metre: float
    exaggeration: float

    @classmethod
    def around(cls, places: Sequence[NDArray[np.float64]], band: HeightBand | None, size: tuple[int, int]) -> Wall:
        """Choose what a plot of that size shows."""
        each = max(1, _LOOKED_AT // len(places))
        some = np.concatenate([one[:: max(1, len(one) // each), :2] for one in places])
        some = some[np.isfinite(some).all(axis=1)]
        low, high = np.percentile(some, (_OUTSIDE, 100 - _OUTSIDE), axis=0) if len(some) else (np.zeros(2), np.zeros(2))
        # The device is at 0 ahead, the band and the ground at their heights.
        levels = [0.0] if band is None else [0.0, band.device_height, band.lowest, band.highest]
        low, high = np.minimum(low, (0.0, min(levels))), np.maximum(high, (0.0, max(levels)))
        middle, extent = (low + high) / 2, np.maximum(high - low, 4.0) * (1.06, 1.16)
        across, up = size[0] / extent[0], size[1] / extent[1]
        per_metre = float(min(across, up))
        exaggeration = float(min(max(up / per_metre, 1.0), _MOST_EXAGGERATED))
        left = middle[0] - (size[0] - 1) / 2 / per_metre
        top = middle[1] + (size[1] - 1) / 2 / (per_metre * exaggeration)
        return cls(float(left), float(top), per_metre, exaggeration)

    def pixels(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """(M, 2) columns and rows of (M, 2 or 3) metres ahead and of height."""
        pixels: NDArray[np.float64] = (places[:, :2] - (self.left, self.top)) * (
            self.per_metre,
            -self.per_metre * self.exaggeration,
        )
        return pixels

    def view(self) -> NDArray[np.float64]:
        """(3, 4) column, row and nearness of a point (ahead, height, nearness)."""
        across, up = self.per_metre, self.per_metre * self.exaggeration
        return np.array([[across, 0, 0, -across * self.left], [0, -up, 0, up * self.top], [0, 0, 1, 0]])

    def row(self, height: float) -> float:
        """Return the row of a height."""
        return (self.top - height) * self.per_metre * self.exaggeration

    def _ticks(self, size: tuple[int, int], em: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return round metres ahead and round heights within the plot."""
        up = self.per_metre * self.exaggeration
        step, rise = nice_step(11 * em / self.per_metre), nice_step(5.5 * em / up)
        right, bottom = self.left + size[0] / self.per_metre, self.top - size[1] / up
        return (
            np.arange(np.ceil(self.left / step), np.floor(right / step) + 1) * step,
            np.arange(np.ceil(bottom / rise), np.floor(self.top / rise) + 1) * rise,
        )

    def draw_grid(self, plot: Plot, em: int) -> None:
        """Draw faint lines at round figures."""
        width, height = plot.size
        ahead, heights = self._ticks(plot.size, em)
        columns, rows = (ahead - self.left) * self.per_metre, np.array([self.row(value) for value in heights])
        plot.segments(np.column_stack((columns, 0 * columns, columns, 0 * columns + height)), RULE, 1.0, 0.4)
        plot.segments(np.column_stack((0 * rows, rows, 0 * rows + width, rows)), RULE, 1.0, 0.4)

    def write_grid(self, sheet: Sheet, size: tuple[int, int]) -> None:
        """Write the figures at those lines."""
        ahead, heights = self._ticks(size, sheet.em)
        for value in heights:
            if sheet.em < (row := self.row(value)) < size[1] - 2 * sheet.em:
                sheet.text((0.5 * sheet.em, row), f"{value:g} m", DIM, size=0.85, anchor="lm", halo=True)
        for value in ahead:
            column = (value - self.left) * self.per_metre
            if 5 * sheet.em < column < size[0] - 3 * sheet.em:
                place = (column, size[1] - 0.4 * sheet.em)
                sheet.text(place, f"{value:g} m", DIM, size=0.85, anchor="ms", halo=True)


def _axis_ahead(drawn: DrawnFrames) -> str:
    """Return the device's own axis that it moves along: x, as most devices do, unless its poses say another."""
    poses = [frame.world_from_ego for frame in drawn.view.scene if frame.world_from_ego is not None]
    steps = [before.rotation.T @ (after.translation - before.translation) for before, after in pairwise(poses)]
    if not steps:
        return "x"
    ahead = np.sum(steps, axis=0)[:2]
    travelled = sum(hypot(*step[:2]) for step in steps)
    if travelled < _LEAST_TRAVEL or hypot(*ahead) < _STEADY * travelled:
        return "x"
    return max(_AXES, key=lambda name: float(ahead @ _AXES[name]))


def _from_the_side(view: FrameView, axis: str) -> NDArray[np.float64]:
    """(N, 3) metres ahead of the device, height, and nearness to its path, of a frame's points."""
    return _placed(view.in_ego(), view.band, axis)


def _placed(in_ego: NDArray[np.float64], band: HeightBand | None, axis: str) -> NDArray[np.float64]:
    (x, y), above = _AXES[axis], 0.0 if band is None else band.device_height
    with np.errstate(invalid="ignore"):  # absurd coordinates
        ahead, aside = in_ego[:, 0] * x + in_ego[:, 1] * y, in_ego[:, 1] * x - in_ego[:, 0] * y
    return np.column_stack((ahead, in_ego[:, 2] + above, -np.abs(aside)))


# ---- lines and words -------------------------------------------------------------------------------------------------


def _words(drawn: DrawnFrames, axis: str, exaggeration: float) -> list[str]:
    each = "" if len(drawn.views) == 1 else ", each frame from its own device"
    larger = "" if exaggeration < 1.05 else f"; heights are drawn {exaggeration:.2g} times as large"
    side = f"{drawn.points:,} points, seen from the side{each}; to the right the device's {axis} axis{larger}"
    return [side, *drawn.notes]


def _signs(band: HeightBand | None, labels: Sequence[tuple[Colour, str]]) -> list[Block]:
    rows: list[tuple[Sequence[int], str]] = []
    if band is not None:
        rows.append((BAND_COLOUR, f"kept {band.lowest:g} to {band.highest:g} m"))
        rows.append((GROUND_COLOUR, f"ground, {band.device_height:.4g} m below"))
    rows.append((DEVICE_COLOUR, "device"))
    return [Swatches("lines", [*rows, *labels])]


def _draw_levels(plot: Plot, wall: Wall, band: HeightBand | None, em: int) -> None:
    """Draw the ground, the band and the device."""
    across = plot.size[0]
    if band is not None:
        for level, colour in ((band.lowest, BAND_COLOUR), (band.highest, BAND_COLOUR), (0.0, GROUND_COLOUR)):
            row = round(wall.row(level))  # a level line is crisp on whole pixels
            plot.line([(0, row), (across, row)], colour, em / 9)
    place = wall.pixels(np.array([[0.0, 0.0 if band is None else band.device_height]]))[0]
    tip = place + np.array([1.3 * em, 0.0])
    plot.line([place, tip], DEVICE_COLOUR, em / 6)
    wings = [tip + np.array([-0.4 * em, sign * 0.35 * em]) for sign in (1, -1)]
    plot.line([wings[0], tip, wings[1]], DEVICE_COLOUR, em / 6)
    plot.line([place], DEVICE_COLOUR, 0.6 * em)


def _name_levels(sheet: Sheet, wall: Wall, band: HeightBand | None, size: tuple[int, int]) -> None:
    if band is None:
        return
    for level, name, colour in (
        (band.highest, f"{band.highest:g} m above ground", BAND_COLOUR),
        (band.lowest, f"{band.lowest:g} m", BAND_COLOUR),
        (0.0, "ground", GROUND_COLOUR),
    ):
        place = (size[0] - 0.6 * sheet.em, wall.row(level) - 0.3 * sheet.em)
        sheet.text(place, name, colour, size=0.85, anchor="rs", halo=True)


def _draw_labels(
    plot: Plot, wall: Wall, view: FrameView, cuboids: Cuboids, colours: Mapping[str, Colour], axis: str, em: int
) -> None:
    for label, placed in zip(cuboids.label, boxes.corners(cuboids), strict=True):
        in_ego = placed if view.world_from_ego is None else view.world_from_ego.inverse().apply(placed)
        pixels = wall.pixels(_placed(in_ego, view.band, axis))
        segments = np.hstack((pixels[boxes.EDGES[:, 0]], pixels[boxes.EDGES[:, 1]]))
        plot.segments(segments, colours[label], em / 11, 0.9)
