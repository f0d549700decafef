"""A small map of a recording for a terminal: half a block a pixel, from above."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from lidarprep.checks import Sample, SceneSamples, device_places
from lidarprep.report.canvas import GROUND, Pixels, Plot
from lidarprep.report.colours import by_value
from lidarprep.report.top_down import PATH_COLOUR, Site, region_corners
from lidarprep.scene import RegionOfInterest3D

# Letters a line and lines at most; a line has two rows of pixels, which are about square then.
MOST_COLUMNS, MOST_LINES = 80, 20

# Percent of the points that may lie outside, at either end of each axis, and of heights beyond the colours.
_OUTSIDE, _EXTREME = 1.0, 2.0

_UPPER_HALF = "▀"

# None of the colours that heights have.
_REGION_COLOUR = (255, 110, 200)


def terminal_map(samples: SceneSamples, region: RegionOfInterest3D | None = None, columns: int = MOST_COLUMNS) -> Text:
    """Draw a few frames from above by the samples that were taken of them; nothing is read.

    Points are coloured by height, higher ones brighter; the device's path is white, a region's outline pink.

    Args:
        samples: Samples of the recording.
        region: The region to outline, in the recording's world.
        columns: Letters that a line of the terminal has.

    Returns:
        At most 21 lines; none if no frame has a finite point.
    """
    clouds = [cloud for sample in samples.usual if len(cloud := _in_world(sample))]
    if not clouds:
        return Text()
    points = np.concatenate(clouds)
    path = device_places(samples.scene)
    width = min(columns, MOST_COLUMNS)
    plot = Plot.blank(width, 2 * MOST_LINES)
    site = _site(points, path, region, plot.size)
    plot.points(points, site.view(), _by_height(points), 1)
    if region is not None:
        plot.line(site.pixels(region_corners(region)).round(), _REGION_COLOUR, 0.8, closed=True)
    if len(path):
        plot.line(site.pixels(path).round(), PATH_COLOUR, 1.0)
    text = _as_blocks(plot.pixels)
    named = [f"{width / site.per_metre:,.0f} m across, y up; bright: high"]
    named += ["white: path"] if len(path) else []
    named += ["pink: fitting region"] if region is not None else []
    text.append("; ".join(named), "dim")
    return text


def _in_world(sample: Sample) -> NDArray[np.float64]:
    pose, points = sample.frame.world_from_ego, sample.finite
    with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates
        return points if pose is None or sample.points.frame == "world" else pose.apply(points)


def _site(
    points: NDArray[np.float64], path: NDArray[np.float64], region: RegionOfInterest3D | None, size: tuple[int, int]
) -> Site:
    places = [np.percentile(points[:, :2], (_OUTSIDE, 100 - _OUTSIDE), axis=0)]
    if region is not None:
        places.append(region_corners(region))
    # Of a long drive, the path would leave no room for what the frames show.
    return Site.around(np.concatenate(places), size)


def _by_height(points: NDArray[np.float64]) -> Pixels:
    lowest, highest = np.percentile(points[:, 2], (_EXTREME, 100 - _EXTREME))
    span = max(float(highest - lowest), 0.1)
    return by_value(points[:, 2], float(lowest) - 0.3 * span, float(highest))


def _as_blocks(pixels: Pixels) -> Text:
    """Write two rows of pixels a line: the upper as a half block, the lower as what is behind it."""
    text = Text(no_wrap=True)
    empty = (pixels == GROUND).all(axis=2)
    for row in range(0, len(pixels), 2):
        line = [
            _letter(upper.tolist(), lower.tolist(), no_upper, no_lower)
            for upper, lower, no_upper, no_lower in zip(
                pixels[row], pixels[row + 1], empty[row], empty[row + 1], strict=True
            )
        ]
        for letter, style in line:
            text.append(letter, style)
        text.append("\n")
    return text


def _letter(upper: Sequence[int], lower: Sequence[int], no_upper: bool, no_lower: bool) -> tuple[str, str]:
    """Return a letter and its style; the terminal's own ground shows where there is nothing."""
    if no_upper and no_lower:
        return " ", ""
    if no_upper:
        return "▄", _colour(lower)
    return _UPPER_HALF, _colour(upper) if no_lower else f"{_colour(upper)} on {_colour(lower)}"


def _colour(shade: Sequence[int]) -> str:
    return f"rgb({shade[0]},{shade[1]},{shade[2]})"
