"""Figures of the frames, for plots and tables: counts by fate, histograms of heights, ranges and intensities."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lidarprep.report.views import Fate, FrameView

Counts = NDArray[np.int64]


@dataclass(eq=False)
class Histogram:
    """Counts of values in bins of equal width, of kept and of dropped points.

    Args:
        lowest, highest: Where the first bin begins and the last ends.
        bins: How many.
        kept, dropped: (bins,) counts.
        outside: How many values lie below or above.
    """

    lowest: float
    highest: float
    bins: int
    kept: Counts = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    dropped: Counts = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    outside: int = 0

    def __post_init__(self) -> None:
        if not len(self.kept):
            self.kept, self.dropped = np.zeros(self.bins, dtype=np.int64), np.zeros(self.bins, dtype=np.int64)

    @property
    def edges(self) -> NDArray[np.float64]:
        """(bins + 1,) where the bins begin, and the last ends."""
        return np.linspace(self.lowest, self.highest, self.bins + 1)

    def add(self, values: NDArray[np.floating], is_kept: NDArray[np.bool_]) -> None:
        """Count (N,) finite values; `is_kept` says of each whether its point is kept."""
        width = (self.highest - self.lowest) / self.bins
        near = values.clip(self.lowest - width / 2, self.highest + width / 2)  # -1 is below, `bins` above
        numbers = np.floor((near - self.lowest) / width).astype(np.int64)
        numbers[values == self.highest] = self.bins - 1  # the last bin has both of its ends
        # Bins of kept points are followed by those of dropped ones; each has one below and one above.
        numbers += 1
        numbers[~is_kept] += self.bins + 2
        counts = np.bincount(numbers, minlength=2 * (self.bins + 2)).reshape(2, self.bins + 2)
        self.kept += counts[0, 1:-1]
        self.dropped += counts[1, 1:-1]
        self.outside += int(counts[:, [0, -1]].sum())

    def merge(self, other: Histogram) -> None:
        """Add the counts of another histogram of the same bins."""
        self.kept += other.kept
        self.dropped += other.dropped
        self.outside += other.outside

    def trimmed(self, share: float = 0.002) -> Histogram:
        """Return the histogram without the bins at both ends that hold less than such a share of the values."""
        totals = self.kept + self.dropped
        rising = np.cumsum(totals)
        if not rising[-1]:
            return self
        least = share * float(rising[-1])
        first = int(np.searchsorted(rising, least, side="right"))
        last = int(np.searchsorted(rising, rising[-1] - least, side="left")) + 1
        edges = self.edges
        outside = self.outside + int(totals[:first].sum() + totals[last:].sum())
        kept, dropped = self.kept[first:last], self.dropped[first:last]
        return Histogram(float(edges[first]), float(edges[last]), last - first, kept, dropped, outside)


def _heights() -> Histogram:
    return Histogram(-30.0, 60.0, 450)


def _ranges() -> Histogram:
    return Histogram(0.0, 500.0, 250)


def _intensities() -> Histogram:
    return Histogram(0.0, 1.0, 50)


@dataclass(eq=False)
class Distributions:
    """How the points of frames are spread.

    Args:
        heights: Metres above the device's origin, along its z.
        ranges: Metres from the device's origin.
        intensities: From 0 to 1.
    """

    heights: Histogram = field(default_factory=_heights)
    ranges: Histogram = field(default_factory=_ranges)
    intensities: Histogram = field(default_factory=_intensities)

    def add(self, view: FrameView) -> None:
        """Count the measured points of a frame, or of a part of it."""
        measured = view.fate < Fate.NO_RETURN
        ego, kept, intensity = view.in_ego(), view.fate == Fate.KEPT, view.intensity
        if not measured.all():
            rows = np.flatnonzero(measured)
            ego, kept, intensity = ego[rows], kept[rows], None if intensity is None else intensity[rows]
        if not len(ego):
            return
        with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates
            ranges = np.sqrt(np.einsum("ij,ij->i", ego, ego))
        self.heights.add(np.nan_to_num(ego[:, 2]), kept)
        self.ranges.add(np.nan_to_num(ranges), kept)
        if intensity is not None:
            self.intensities.add(intensity, kept)

    def merge(self, other: Distributions) -> None:
        """Add those of other frames."""
        self.heights.merge(other.heights)
        self.ranges.merge(other.ranges)
        self.intensities.merge(other.intensities)


@dataclass(frozen=True)
class FrameFigures:
    """One frame in figures.

    Args:
        id: Its name in the recording.
        index: Its number there.
        timestamp: Nanoseconds, or None.
        labelled: Whether Scale labels it.
        points: How many points it has.
        fates: How many of them have each fate, in the order of `Fate`.
        radar_points: How many radar returns it has.
        images: How many images it has.
        error: Why it cannot be read, or None.
    """

    id: str
    index: int
    timestamp: int | None
    labelled: bool
    points: int = 0
    fates: tuple[int, ...] = (0,) * len(Fate)
    radar_points: int = 0
    images: int = 0
    error: str | None = None

    @property
    def kept(self) -> int:
        """How many points are kept."""
        return self.fates[Fate.KEPT]
