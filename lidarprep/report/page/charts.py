"""The page's plots with what is said of them, and the tables of their figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from lidarprep.report.page.figures import FrameFigures, Histogram
from lidarprep.report.page.plots import Mark, histogram, stacked_bars, time_strip
from lidarprep.report.page.times import SensorTimes
from lidarprep.report.views import Fate, SceneView

# So many rows a table has at most.
MOST_ROWS = 200


@dataclass(frozen=True)
class Plot:
    """A plot and the table of its figures; or, without one, why there is none."""

    title: str
    svg: Markup | None = None
    note: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    rows_left: int = 0


@dataclass(frozen=True)
class LegendEntry:
    """A colour of the plots."""

    key: str
    name: str
    count: str


def counted(count: int, noun: str) -> str:
    """Return a count with its noun in the singular or plural."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def legend(figures: Sequence[FrameFigures]) -> list[LegendEntry]:
    """Return the colours of the plots, with how many points each is of."""
    totals = np.array([one.fates for one in figures], dtype=np.int64).reshape(-1, len(Fate)).sum(axis=0)
    entries = [
        LegendEntry(fate.title.replace(" ", "-"), fate.title, f"{totals[fate]:,}")
        for fate in Fate
        if totals[fate] or fate is Fate.KEPT
    ]
    dropped = int(totals[1 : Fate.NO_RETURN].sum())
    if dropped:
        entries.append(LegendEntry("dropped", "dropped, in the histograms", f"{dropped:,}"))
    return entries


def heights(view: SceneView, data: Histogram) -> Plot:
    """Plot the heights of the points, with the band that is kept."""
    title = "Heights"
    if not int(data.kept.sum() + data.dropped.sum()):
        return Plot(title, note="No point was measured, so there are no heights.")
    above = "metres above the device"
    band, marks = None, [Mark(0.0, "device")]
    shown = data.trimmed()
    if view.band is not None:
        above = "metres above the ground"
        shift = view.band.device_height
        shown = Histogram(
            shown.lowest + shift, shown.highest + shift, shown.bins, shown.kept, shown.dropped, shown.outside
        )
        band = (view.band.lowest, view.band.highest)
        marks = [Mark(0.0, "ground"), Mark(shift, "device")]
        said = f"Heights from {band[0]:g} to {band[1]:g} m above the ground are kept (shaded)."
    else:
        said = "No device height is given, so heights count from the device, and no height is dropped."
        if not view.has_poses and view.scene.points_frame == "world":
            above = "metres, z in the world"
            marks = []
    svg = histogram(
        "heights", "Heights of the points", _says(shown, "heights", "m", said), shown, above, band=band, marks=marks
    )
    return _histogram_plot(title, svg, shown, "metres", _outside(said, shown))


def ranges(data: Histogram) -> Plot:
    """Plot the distances of the points from the device."""
    title = "Ranges"
    if not int(data.kept.sum() + data.dropped.sum()):
        return Plot(title, note="No point was measured, so there are no ranges.")
    shown = data.trimmed()
    svg = histogram(
        "ranges",
        "Distances of the points from the device",
        _says(shown, "ranges", "m", ""),
        shown,
        "metres from the device",
    )
    return _histogram_plot(title, svg, shown, "metres", _outside("", shown))


def intensities(view: SceneView, data: Histogram) -> Plot:
    """Plot the intensities, with the scale that is taken."""
    title = "Intensities"
    if not int(data.kept.sum() + data.dropped.sum()) or view.intensity_scale is None:
        dropped = view.recipe.drop_intensity
        return Plot(title, note="Intensities are left out." if dropped else "The points have no intensities.")
    scale = view.intensity_scale
    said = f"The recording's {scale:g} is taken as 1."
    if view.intensity_is_guessed:
        said = f"The scale is in doubt: {scale:g} is drawn as 1; prepare wants --intensity-scale S."
    svg = histogram(
        "intensities",
        "Intensities of the points",
        _says(data, "intensities", "", said),
        data,
        "intensity, as a share of the scale",
    )
    return _histogram_plot(title, svg, data, "intensity", said)


def _drawn(svg: str) -> Markup:
    """Mark a plot as HTML: `plots` makes it of numbers, and escapes names."""
    return Markup(svg)  # noqa: S704


def _outside(said: str, shown: Histogram) -> str:
    total = int(shown.kept.sum() + shown.dropped.sum()) + shown.outside
    more = f"{shown.outside:,} of {total:,} points lie outside the plot." if shown.outside else ""
    return " ".join(part for part in (said, more) if part)


def _says(shown: Histogram, what: str, unit: str, more: str) -> str:
    totals = shown.kept + shown.dropped
    most = int(totals.argmax())
    edges = shown.edges
    at = f"{edges[most]:.3g} to {edges[most + 1]:.3g}{f' {unit}' if unit else ''}"
    kept, dropped = int(shown.kept.sum()), int(shown.dropped.sum())
    text = f"{kept:,} points that are kept and {dropped:,} that are dropped, by their {what}; most lie at {at}."
    return f"{text} {more}".strip()


def _histogram_plot(title: str, svg: str, shown: Histogram, unit: str, note: str) -> Plot:
    together = max(1, -(-shown.bins // 40))
    starts = np.arange(0, shown.bins, together)
    kept, dropped = np.add.reduceat(shown.kept, starts), np.add.reduceat(shown.dropped, starts)
    edges = shown.edges
    rows = [
        (
            f"{edges[start]:.3g} to {edges[min(start + together, shown.bins)]:.3g}".replace("-", "−"),
            f"{kept[n]:,}",
            f"{dropped[n]:,}",
        )
        for n, start in enumerate(starts.tolist())
    ]
    return Plot(title, _drawn(svg), note, (unit, "kept", "dropped"), rows)


def fates(figures: Sequence[FrameFigures]) -> Plot:
    """Plot points a frame by their fate."""
    title = "Points a frame"
    counts = np.array([one.fates for one in figures], dtype=np.int64).reshape(-1, len(Fate))
    if not counts.sum():
        return Plot(title, note="The frames have no points.")
    kinds = [fate.title.replace(" ", "-") for fate in Fate]
    bad = [row for row, one in enumerate(figures) if one.error is not None]
    totals = counts.sum(axis=1)
    least, most = int(totals.min()), int(totals.max())
    said = f"{len(figures):,} frames with {least:,} to {most:,} points each, by what becomes of them."
    svg = stacked_bars("fates", "Points a frame by their fate", said, counts, kinds, bad=bad)
    used = [fate for fate in Fate if counts[:, fate].any()]
    rows = [(one.id, *(f"{one.fates[fate]:,}" for fate in used)) for one in figures[:MOST_ROWS]]
    note = f"{counted(len(bad), 'frame')} cannot be read, marked by a cross." if bad else ""
    return Plot(
        title, _drawn(svg), note, ("frame", *(fate.title for fate in used)), rows, max(0, len(figures) - MOST_ROWS)
    )


def time(sensors: Sequence[SensorTimes], duration: float) -> Plot:
    """Plot what each sensor delivered over time."""
    title = "Time"
    if not sensors:
        return Plot(title, note="The frames have no times, so gaps, delays and drops cannot be seen.")
    parts = []
    for one in sensors:
        rate = f" at {one.rate:.3g} Hz" if one.rate else ""
        parts.append(
            f"{one.series.name}: {len(one.series.times):,}{rate}{f', {one.series.note}' if one.series.note else ''}"
        )
    svg = time_strip(
        "strip", "What each sensor delivered over time", "; ".join(parts), [one.series for one in sensors], duration
    )
    rows = [
        (
            one.series.name,
            f"{len(one.series.times):,}",
            f"{one.rate:.4g} Hz" if one.rate else "–",
            "–" if one.delay_ms is None else f"{one.delay_ms:+.1f} ms".replace("-", "−"),
            "–"
            if one.delays_ms is None
            else f"{one.delays_ms[0]:+.1f} to {one.delays_ms[1]:+.1f} ms".replace("-", "−"),
            f"{len(one.series.missing):,}",
            f"{len(one.series.gaps):,}",
            "–" if one.longest_gap is None else f"{one.longest_gap:.3g} s",
        )
        for one in sensors
    ]
    columns = ("sensor", "delivered", "rate", "median delay", "delays", "missing", "gaps", "longest step")
    note = (
        "A tick for each sweep or image; red ticks: the frame has none of it; red areas: gaps. Delays are counted from "
        "the frame's time."
    )
    return Plot(title, _drawn(svg), note, columns, rows)
