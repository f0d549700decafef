"""Plots as inline SVG: histograms, stacked bars, a strip of time. Colours are classes of the page's style sheet.

Each plot has a title and a description for screen readers; the page puts a table of its figures beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from lidarprep.report.page.figures import Histogram

# The drawing area of a plot in units of its view box, and the room around it for labels.
_WIDTH, _HEIGHT = 480, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 14, 40

# More bars than this are drawn as sums of neighbours.
_MOST_BARS = 240

# A strip of time.
_STRIP_WIDTH, _STRIP_LEFT, _STRIP_RIGHT, _ROW = 960, 150, 16, 30
# Marks closer than this, in units of the view box, are drawn as one.
_MARK = 0.5


@dataclass(frozen=True)
class Mark:
    """A line in a histogram at a value, with its name."""

    value: float
    name: str


@dataclass(frozen=True)
class Series:
    """What one sensor delivered over time.

    Args:
        name: The sensor.
        times: Seconds since the first frame, increasing.
        missing: Seconds of the frames that it has nothing for.
        gaps: (from, to) seconds between which something was dropped.
        note: What is said of it, in a few words.
        is_lidar: Whether it is what the frames are made of.
    """

    name: str
    times: NDArray[np.float64]
    missing: NDArray[np.float64]
    gaps: Sequence[tuple[float, float]] = ()
    note: str = ""
    is_lidar: bool = False


def histogram(
    name: str,
    title: str,
    description: str,
    data: Histogram,
    unit: str,
    *,
    band: tuple[float, float] | None = None,
    marks: Sequence[Mark] = (),
) -> str:
    """Draw a histogram of kept and dropped points.

    Args:
        name: Prefix of the ids in it, unique in the page.
        title: Its title.
        description: What it shows, in a sentence with figures.
        data: The counts.
        unit: What the values are, with their unit.
        band: Values that are kept, shaded.
        marks: Values that are named.
    """
    totals = data.kept + data.dropped
    highest = max(int(totals.max(initial=0)), 1)
    across = _Axis(data.lowest, data.highest, _LEFT, _WIDTH - _RIGHT)
    up = _Axis(0.0, highest * 1.05, _HEIGHT - _BOTTOM, _TOP)
    parts = [_begin(name, title, description, _WIDTH, _HEIGHT)]
    if band is not None:
        low, high = across.clipped(band[0]), across.clipped(band[1])
        parts.append(
            f'<rect class="band" x="{low:.1f}" y="{_TOP}" width="{max(high - low, 0):.1f}" '
            f'height="{_HEIGHT - _BOTTOM - _TOP}"/>'
        )
    parts += _count_axis(up)
    edges = data.edges
    for kind, below, counts in (("kept", np.zeros_like(data.kept), data.kept), ("dropped", data.kept, data.dropped)):
        path = "".join(
            f"M{across(edges[n]):.1f} {up(float(below[n])):.1f}V{up(float(below[n] + counts[n])):.1f}"
            f"H{across(edges[n + 1]):.1f}V{up(float(below[n])):.1f}z"
            for n in np.flatnonzero(counts)
        )
        if path:
            parts.append(f'<path class="bar {kind}" d="{path}"/>')
    for line, mark in enumerate(marks):
        if data.lowest <= mark.value <= data.highest:
            parts.append(_named_line(across(mark.value), mark.name, line))
    parts += _value_axis(across, unit)
    return "".join(parts) + "</svg>"


def stacked_bars(
    name: str, title: str, description: str, counts: NDArray[np.int64], kinds: Sequence[str], *, bad: Sequence[int] = ()
) -> str:
    """Draw points a frame by their fate.

    Args:
        name, title, description: As a histogram's.
        counts: (frames, kinds) counts.
        kinds: Classes of the kinds, in the order in which they are stacked.
        bad: Rows of frames that could not be read.
    """
    together = max(1, math.ceil(len(counts) / _MOST_BARS))
    starts = np.arange(0, len(counts), together)
    # Of frames that are drawn as one bar, the mean.
    sizes = np.diff(np.append(starts, len(counts)))
    means = np.add.reduceat(counts, starts, axis=0) / sizes[:, None] if len(counts) else counts.astype(np.float64)
    highest = max(float(means.sum(axis=1).max(initial=0.0)), 1.0)
    across = _Axis(0.0, max(len(counts), 1), _LEFT, _WIDTH - _RIGHT)
    up = _Axis(0.0, highest * 1.05, _HEIGHT - _BOTTOM, _TOP)
    parts = [_begin(name, title, description, _WIDTH, _HEIGHT), *_count_axis(up)]
    gap = min(0.15 * (across(float(together)) - across(0.0)), 6.0)
    below = np.zeros(len(means))
    for kind, column in zip(kinds, means.T, strict=True):
        path = "".join(
            f"M{across(float(starts[n])) + gap:.1f} {up(below[n]):.1f}V{up(below[n] + column[n]):.1f}"
            f"H{across(float(starts[n] + sizes[n])) - gap:.1f}V{up(below[n]):.1f}z"
            for n in np.flatnonzero(column)
        )
        if path:
            parts.append(f'<path class="bar fate-{kind}" d="{path}"/>')
        below = below + column
    for row in bad:
        parts.append(f'<path class="bad" d="M{across(row + 0.5):.1f} {up(0.0) - 4:.1f}m-4 -4l8 8m0 -8l-8 8"/>')
    label = "frame" if together == 1 else f"frame; each bar is the mean of {together}"
    parts += _value_axis(across, label, whole=True)
    return "".join(parts) + "</svg>"


def time_strip(name: str, title: str, description: str, series: Sequence[Series], duration: float) -> str:
    """Draw a strip of time with a row for each sensor: a mark for each sweep or image, gaps, and what is missing.

    Args:
        name, title, description: As a histogram's.
        series: The sensors.
        duration: Seconds from the first to the last frame.
    """
    height = _TOP + _ROW * len(series) + _BOTTOM
    slack = 0.01 * duration or 0.5
    across = _Axis(-slack, duration + slack, _STRIP_LEFT, _STRIP_WIDTH - _STRIP_RIGHT)
    parts = [_begin(name, title, description, _STRIP_WIDTH, height)]
    for number, one in enumerate(series):
        top, middle = _TOP + number * _ROW, _TOP + number * _ROW + 11
        kind = "lidar" if one.is_lidar else "camera"
        parts.append(
            f'<text class="label name" x="{_STRIP_LEFT - 12}" y="{middle + 1}">{escape(_short(one.name))}</text>'
        )
        if one.note:
            parts.append(f'<text class="label note" x="{_STRIP_LEFT - 12}" y="{middle + 13}">{escape(one.note)}</text>')
        parts.append(f'<path class="rule" d="M{_STRIP_LEFT} {middle}H{_STRIP_WIDTH - _STRIP_RIGHT}"/>')
        for start, end in one.gaps:
            left, right = across(start), across(end)
            parts.append(
                f'<rect class="gap" x="{left:.1f}" y="{top + 2}" width="{max(right - left, 1.5):.1f}" height="18">'
                f"<title>nothing for {end - start:.3g} s</title></rect>"
            )
        parts.append(f'<path class="tick {kind}" d="{_ticks(across, one.times, top + 3, 16)}"/>')
        if len(one.missing):
            parts.append(f'<path class="missing" d="{_ticks(across, one.missing, top + 6, 10)}"/>')
    bottom = _TOP + _ROW * len(series)
    parts += _value_axis(across, "seconds since the first frame", baseline=bottom, room=height - bottom)
    return "".join(parts) + "</svg>"


# ---- parts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Axis:
    """Maps values to units of the view box."""

    lowest: float
    highest: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (float(value) - self.lowest) / ((self.highest - self.lowest) or 1.0)
        return self.start + share * (self.end - self.start)

    def clipped(self, value: float) -> float:
        return self(min(max(value, self.lowest), self.highest))

    def ticks(self, about: int, *, whole: bool = False) -> list[float]:
        """Return round values within the axis, about so many."""
        span = (self.highest - self.lowest) or 1.0
        rough = span / about
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)
        step = max(step, 1.0) if whole else step
        first = math.ceil(self.lowest / step - 1e-9)
        last = math.floor(self.highest / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def _begin(name: str, title: str, description: str, width: float, height: float) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    )


def _count_axis(up: _Axis) -> list[str]:
    parts = []
    for tick in up.ticks(4, whole=True):
        y = up(tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text class="label count" x="{_LEFT - 6}" y="{y + 4:.1f}">{short_count(tick)}</text>')
    return parts


def _value_axis(
    across: _Axis, unit: str, *, whole: bool = False, baseline: float = _HEIGHT - _BOTTOM, room: float = _BOTTOM
) -> list[str]:
    parts = [f'<path class="axis" d="M{across.start:.1f} {baseline}H{across.end:.1f}"/>']
    for tick in across.ticks(6, whole=whole):
        x = across(tick)
        parts.append(f'<path class="axis" d="M{x:.1f} {baseline}v4"/>')
        parts.append(f'<text class="label value" x="{x:.1f}" y="{baseline + 16}">{_number(tick)}</text>')
    middle = (across.start + across.end) / 2
    parts.append(f'<text class="label unit" x="{middle:.1f}" y="{baseline + room - 6}">{escape(unit)}</text>')
    return parts


def _named_line(x: float, name: str, line: int) -> str:
    """Draw a line over the height of a plot; its name is on a line of text of its own."""
    side = "right" if x < _WIDTH * 0.7 else "left"
    at = x + 4 if side == "right" else x - 4
    return (
        f'<path class="mark" d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>'
        f'<text class="label mark-name {side}" x="{at:.1f}" y="{_TOP + 10 + 13 * line}">{escape(name)}</text>'
    )


def _ticks(across: _Axis, times: NDArray[np.float64], top: float, height: float) -> str:
    places = np.unique(np.round(np.array([across(time) for time in times]) / _MARK)) * _MARK
    return "".join(f"M{x:.1f} {top}v{height}" for x in places.tolist())


def _short(name: str, most: int = 20) -> str:
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _number(value: float) -> str:
    text = f"{value:.10g}"
    return text.replace("-", "−")


def short_count(count: float) -> str:
    """Return a count as it is said on an axis: 150k, 1.2M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.4g}{letter}"
    return f"{count:.4g}"
