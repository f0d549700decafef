"""A scene from above: points of one frame or of several, the device's path, the region, what is dropped, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, hypot, pi, radians, sin

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from lidarprep.recipe import Recipe
from lidarprep.report import boxes
from lidarprep.report.canvas import DIM, GROUND, INK, RULE, Colour, Plot, Sheet, checked_size, nice_step, text_size
from lidarprep.report.colours import Colouring, of_frame
from lidarprep.report.drawn import DrawnFrames, coloured, draw_frames
from lidarprep.report.legend import Block, Strip, Swatches
from lidarprep.report.views import FrameView, SceneView
from lidarprep.scene import Cuboids, Labels, RegionOfInterest3D, Scene
from lidarprep.scene_settings import require_frames
from lidarprep.storage import Manifest

REGION_COLOUR: Colour = (240, 228, 66)
PATH_COLOUR: Colour = (255, 255, 255)

# Percent of the points that may lie outside, at either end of each axis; and points that are looked at for it.
_OUTSIDE, _LOOKED_AT = 0.5, 10_000
_OUTSIDE_OF_GLANCE = 6.0

# A picture shows this much at least, metres; beside what is to be seen, a margin of this part of it.
_LEAST_EXTENT, _MARGIN = 4.0, 0.04

# Labels whose boxes are shorter than this have no name beside them; and so many names are written, ems.
_LEAST_NAMED, _MOST_NAMED = 1.2, 60


def top_down(
    scene: Scene | Manifest | SceneView,
    *,
    frames: str | None = None,
    color: Colouring = "height",
    recipe: Recipe | None = None,
    labels: Labels | None = None,
    size: tuple[int, int] = (1280, 960),
) -> Image.Image:
    """Draw a scene from above: x of the world to the right, y up, both to one scale.

    With several frames, their points are drawn together, in the world: things at rest have sharp edges if the poses are
    right. The picture shows the region, the device in the frames that are drawn, and 99 % of their points.

    Args:
        scene: A recording; or a manifest on this machine: what was stored.
        frames: Which frames, "start:stop:step" as Python slices; all where it is left out. Of more than 20 some are
            drawn, evenly spread.
        color: What points are coloured by: "height", "frame", "intensity", "device", "time" or "fate". Those that
            `prepare` would drop are greyed by the reason.
        recipe: How the recording is prepared: region, heights, voxels and so on; None: every point is kept.
        labels: Labels of the scene, as `lp.results` and `lp.read_labels` return them, in any frame of reference; those
            of the frames that are drawn. None: those that the scene itself has, if any.
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
    strip = Strip(drawn.title, _caption(drawn), [*colours.blocks, *_signs(drawn, shown.swatches(cuboids))])
    plot = Plot.blank(width, max(height - strip.height(width), 32))
    site = Site.around(_to_show(drawn), plot.size)
    site.draw_grid(plot)
    draw_frames(plot, drawn.views, colours.of, site.view(), _spot_size(drawn, plot.size))
    em = text_size(width)
    if drawn.view.region is not None:
        plot.line(site.pixels(region_corners(drawn.view.region)), REGION_COLOUR, em / 8, closed=True)
    _draw_labels(plot, site, cuboids, em)
    _draw_path(plot, site, drawn, color, em)
    sheet = Sheet(width, height, plot)
    _name_labels(sheet, site, cuboids, plot.size)
    site.draw_scale(sheet, plot.size)
    _draw_axes(sheet, plot, drawn)
    strip.draw(sheet)
    return sheet.image


def glance(scene: Scene, size: tuple[int, int]) -> Image.Image:
    """Draw the middle frame of a scene from above, by its heights and without words: to know it by among many.

    No other frame is read.

    Args:
        scene: A recording, or what was stored of one, opened.
        size: Width and height of the picture, pixels.

    Raises:
        SceneError, FormatError: The scene has no frames, or the middle one cannot be read.
    """
    require_frames(scene)
    frame = scene.frames[len(scene.frames) // 2]
    view = SceneView(scene, (frame,), Recipe())
    drawn = DrawnFrames.read(view, None, None)
    places = _bounds_of_points(drawn.views, _OUTSIDE_OF_GLANCE)
    plot = Plot.blank(*size)
    site = Site.around(places if len(places) else np.zeros((1, 2)), plot.size)
    draw_frames(plot, drawn.views, coloured(drawn.views, "height", view).of, site.view(), _spot_size(drawn, plot.size))
    return Image.fromarray(plot.pixels)


@dataclass(frozen=True)
class Site:
    """Where on a plot a place of the world is.

    Args:
        left, top: The place (x, y) at pixel (0, 0), metres.
        per_metre: Pixels a metre.
    """

    left: float
    top: float
    per_metre: float

    @classmethod
    def around(cls, places: NDArray[np.float64], size: tuple[int, int]) -> Site:
        """Let a plot of that size show places (M, 2), metres; M ≥ 1."""
        low, high = places.min(axis=0), places.max(axis=0)
        middle, extent = (low + high) / 2, np.maximum(high - low, _LEAST_EXTENT)
        sides = np.array(size, dtype=np.float64)
        per_metre = float((sides / (extent * (1 + 2 * _MARGIN))).min())
        half = (sides - 1) / 2 / per_metre
        return cls(float(middle[0] - half[0]), float(middle[1] + half[1]), per_metre)

    def pixels(self, places: ArrayLike) -> NDArray[np.float64]:
        """(M, 2) columns and rows of places (M, 2 or 3), metres."""
        xy = np.asarray(places, dtype=np.float64)[:, :2]
        return (xy - (self.left, self.top)) * (self.per_metre, -self.per_metre)

    def view(self) -> NDArray[np.float64]:
        """(3, 4) column, row and height of a point."""
        scale = self.per_metre
        return np.array([[scale, 0, 0, -scale * self.left], [0, -scale, 0, scale * self.top], [0, 0, 1, 0]])

    def _step(self, em: int) -> float:
        return nice_step(11 * em / self.per_metre)

    def draw_grid(self, plot: Plot) -> None:
        """Draw faint lines at round coordinates, as far apart as the scale bar is long."""
        (width, height), step = plot.size, self._step(text_size(plot.size[0]))
        right, bottom = self.left + width / self.per_metre, self.top - height / self.per_metre
        xs = np.arange(np.ceil(self.left / step), np.floor(right / step) + 1) * step
        ys = np.arange(np.ceil(bottom / step), np.floor(self.top / step) + 1) * step
        columns, rows = (xs - self.left) * self.per_metre, (self.top - ys) * self.per_metre
        plot.segments(np.column_stack((columns, 0 * columns, columns, 0 * columns + height)), RULE, 1.0, 0.4)
        plot.segments(np.column_stack((0 * rows, rows, 0 * rows + width, rows)), RULE, 1.0, 0.4)

    def draw_scale(self, sheet: Sheet, size: tuple[int, int]) -> None:
        """Draw a bar of a round length at the lower right of a plot."""
        em = sheet.em
        step = self._step(em)
        right, bottom = size[0] - 1.2 * em, size[1] - 1.2 * em
        left = right - step * self.per_metre
        thick = max(1, round(em / 8))
        sheet.rectangle((left - 1, bottom - thick - 1, right + 1, bottom + 1), GROUND)
        sheet.rectangle((left, bottom - thick, right, bottom), INK)
        for end in (left, right - thick):
            sheet.rectangle((end, bottom - em * 0.6, end + thick, bottom), INK)
        sheet.text(((left + right) / 2, bottom - 0.45 * em), f"{step:g} m", anchor="ms", halo=True)


def _to_show(drawn: DrawnFrames) -> NDArray[np.float64]:
    """(M, 2) the outermost places that a picture shows, metres."""
    places = [_bounds_of_points(drawn.views)]
    places += [one.world_from_ego.translation[None, :2] for one in drawn.views if one.world_from_ego is not None]
    if drawn.view.region is not None:
        places.append(region_corners(drawn.view.region))
    return np.concatenate(places)


def region_corners(region: RegionOfInterest3D) -> NDArray[np.float64]:
    """(4, 2) corners of a region, in order, metres."""
    c, s = cos(region.rotation), sin(region.rotation)
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (region.length / 2, region.width / 2)
    placed: NDArray[np.float64] = signs @ np.array([[c, s], [-s, c]]) + region.position[:2]
    return placed


def _bounds_of_points(views: Sequence[FrameView], outside: float = _OUTSIDE) -> NDArray[np.float64]:
    """(K, 2) the corners of what all points but a few percent are in; K = 0 if no point is finite."""
    each = max(1, _LOOKED_AT // len(views))
    some = np.concatenate([one.positions[:: max(1, len(one) // each), :2].astype(np.float64) for one in views])
    some = some[np.isfinite(some).all(axis=1)]
    if not len(some):
        return np.zeros((1, 2)) if all(one.world_from_ego is None for one in views) else np.empty((0, 2))
    bounds: NDArray[np.float64] = np.percentile(some, (outside, 100 - outside), axis=0)
    return bounds


def _spot_size(drawn: DrawnFrames, size: tuple[int, int]) -> int:
    """Return how large points are drawn, pixels: large where there are few."""
    alone = (size[0] * size[1] / max(drawn.points, 1)) ** 0.5
    return int(np.clip(round(0.8 * alone), 1, max(2, size[0] // 300)))


# ---- words -----------------------------------------------------------------------------------------------------------


def _caption(drawn: DrawnFrames) -> list[str]:
    counts = f"{drawn.points:,} points, seen from above"
    frame = "axes of the world" if drawn.view.has_poses else "no poses: each frame in the device's own axes"
    lines = [f"{counts}; {frame}, metres", *drawn.notes]
    if any(drawn.view.offset):
        x, y, z = drawn.view.offset
        lines.append(f"({x:g}, {y:g}, {z:g}) m is taken from all coordinates")
    return lines


def _signs(drawn: DrawnFrames, labels: Sequence[tuple[Colour, str]]) -> list[Block]:
    """Say what the lines are."""
    rows: list[tuple[Sequence[int], str]] = []
    path = drawn.view.path()
    if len(path):
        length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
        if len(path) > 1:
            rows.append((PATH_COLOUR, f"path, {length:,.1f} m"))
        rows.append((PATH_COLOUR, "device and its x axis"))
    if (region := drawn.view.region) is not None:
        rows.append((REGION_COLOUR, f"region {region.length:g} x {region.width:g} m"))
    rows += labels
    return [Swatches("lines", rows)] if rows else []


# ---- lines -----------------------------------------------------------------------------------------------------------


def _draw_path(plot: Plot, site: Site, drawn: DrawnFrames, color: Colouring, em: int) -> None:
    """Draw the device's path with chevrons along it, and the device where it is in the frames that are drawn."""
    path = site.pixels(drawn.view.path())
    if len(path) > 1:
        plot.line(path, GROUND, em / 3, 0.6)
        plot.line(path, PATH_COLOUR, em / 8, 0.9)
        _draw_chevrons(plot, path, em)
    for row, one in enumerate(drawn.views):
        if (pose := one.world_from_ego) is None:
            continue
        colour = of_frame(row, len(drawn.views)) if color == "frame" else np.array(PATH_COLOUR, np.uint8)
        place = site.pixels(pose.translation[None])[0]
        heading = pose.rotation[:2, 0] * (1, -1)
        ahead = place + heading / max(hypot(*heading), 1e-9) * 1.3 * em
        plot.line([place, ahead], GROUND, em / 3, 0.8)
        plot.line([place], GROUND, 0.9 * em)
        plot.line([place, ahead], colour, em / 6)
        plot.line([place], colour, 0.6 * em)


def _draw_chevrons(plot: Plot, path: NDArray[np.float64], em: int) -> None:
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    along = np.concatenate(([0.0], np.cumsum(steps)))
    every = 7.0 * em
    for distance in np.arange(every / 2, min(along[-1], 1e5), every):
        at = min(int(np.searchsorted(along, distance, "right")) - 1, len(steps) - 1)
        share = (distance - along[at]) / max(steps[at], 1e-9)
        tip = path[at] + share * (path[at + 1] - path[at])
        # The direction over half a chevron's spacing: poses that stand still jitter.
        before, after = (np.interp(distance + shift, along, np.arange(len(path))) for shift in (-em, em))
        one, other = (_between(path, where) for where in (before, after))
        direction = (other - one) / max(hypot(*(other - one)), 1e-9)
        side = np.array([-direction[1], direction[0]])
        wings = [tip - 0.5 * em * direction + sign * 0.42 * em * side for sign in (1, -1)]
        plot.line([wings[0], tip, wings[1]], GROUND, em / 3, 0.6)
        plot.line([wings[0], tip, wings[1]], PATH_COLOUR, em / 8)


def _between(path: NDArray[np.float64], where: float) -> NDArray[np.float64]:
    at = min(int(where), len(path) - 2)
    between: NDArray[np.float64] = path[at] + (where - at) * (path[at + 1] - path[at])
    return between


def _draw_labels(plot: Plot, site: Site, cuboids: Cuboids, em: int) -> None:
    colours = boxes.colours_of(cuboids)
    for label, outline, mark in zip(cuboids.label, *boxes.footprints(cuboids), strict=True):
        plot.line(site.pixels(outline), colours[label], em / 9, closed=True)
        plot.line(site.pixels(mark), colours[label], em / 11)


def _name_labels(sheet: Sheet, site: Site, cuboids: Cuboids, size: tuple[int, int]) -> None:
    colours = boxes.colours_of(cuboids)
    places, (outlines, _) = site.pixels(cuboids.position), boxes.footprints(cuboids)
    reaches = cuboids.size[:, :2].max(axis=1, initial=0) * site.per_metre
    named = 0
    for row, (place, reach) in enumerate(zip(places, reaches, strict=True)):
        inside = 0 <= place[0] < size[0] and 0 <= place[1] < size[1]
        if not inside or reach < _LEAST_NAMED * sheet.em or named >= _MOST_NAMED:
            continue
        named += 1
        at, colour = (place[0], site.pixels(outlines[row])[:, 1].min() - 3), colours[cuboids.label[row]]
        sheet.text(at, boxes.name_of(cuboids, row), colour, size=0.8, anchor="ms", halo=True)


def _draw_axes(sheet: Sheet, plot: Plot, drawn: DrawnFrames) -> None:
    """Draw the directions of x and y, and of north where it is known, at the lower left of the plot."""
    em = sheet.em
    origin = np.array([2.2 * em, plot.size[1] - 2.2 * em])
    arrows = [(0.0, "x", DIM), (pi / 2, "y", DIM)]
    if (north := _north(drawn.views)) is not None:
        arrows.append((north, "N", INK))
    # Drawn on a plot of its own, since the sheet's lines have rough edges.
    side = round(4.4 * em)
    corner = (0, plot.size[1] - side)
    inset = Plot(plot.pixels[-side:, :side].copy())
    centre = origin - corner
    for angle, _, colour in arrows:
        _draw_arrow(inset, centre, angle, 2.0 * em if colour == DIM else 1.9 * em, colour, em)
    sheet.paste(inset.pixels, *corner)
    for angle, name, colour in arrows:
        length = 2.75 * em if name != "N" else 2.6 * em
        tip = origin + length * np.array([cos(angle), -sin(angle)])
        sheet.text((float(tip[0]), float(tip[1])), name, colour, size=0.85, anchor="mm", halo=True)


def _draw_arrow(plot: Plot, origin: NDArray[np.float64], angle: float, length: float, colour: Colour, em: int) -> None:
    direction = np.array([cos(angle), -sin(angle)])
    side = np.array([-direction[1], direction[0]])
    tip = origin + length * direction
    head = [tip - 0.45 * em * direction + sign * 0.3 * em * side for sign in (1, -1)]
    for thick, shade in ((em / 3, GROUND), (em / 9, colour)):
        plot.line([origin, tip], shade, thick)
        plot.line([head[0], tip, head[1]], shade, thick)


def _north(views: Sequence[FrameView]) -> float | None:
    """Return the direction of north, radians counterclockwise from x; None where no frame has a GPS pose."""
    known = [
        one.world_from_ego.yaw + radians(one.frame.gps.bearing)
        for one in views
        if one.frame.gps is not None and one.world_from_ego is not None
    ]
    if not known:
        return None
    return float(np.arctan2(np.sin(known).mean(), np.cos(known).mean()))
