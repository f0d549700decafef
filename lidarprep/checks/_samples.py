"""Samples: a few points of a few frames, which is what most checks look at."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Frame, PointCloud, Scene

# Points of a frame that are looked at: enough for shares to a tenth of a percent, few enough to cost nothing.
SAMPLE_POINTS = 30_000


@dataclass(frozen=True, eq=False)
class Sample:
    """A frame and a few of its points, chosen by `thinned`."""

    frame: Frame
    points: PointCloud

    @property
    def finite(self) -> NDArray[np.float64]:
        """(N, 3) float64 positions of measured points, in their frame of reference: finite, and with a return."""
        positions, no_return = self.points.positions, self.points.no_return_rows(self.frame.world_from_ego)
        return finite(np.delete(positions, no_return, axis=0) if no_return.size else positions).astype(np.float64)


def sample_of(frame: Frame, points: PointCloud) -> Sample:
    """Sample a frame's points, so that the points themselves can be freed."""
    return Sample(frame, thinned(points))


def finite(positions: NDArray[np.floating]) -> NDArray[np.floating]:
    """Select the finite ones of positions (N, 3); the same array if all are."""
    # Testing the whole array is many times as fast as testing each row, and mostly enough.
    return positions if np.isfinite(positions).all() else positions[_finite_rows(positions)]


def _finite_rows(positions: NDArray[np.floating]) -> NDArray[np.int64]:
    x, y, z = positions.T
    return np.flatnonzero(np.isfinite(x) & np.isfinite(y) & np.isfinite(z))


def thinned(points: PointCloud, most: int = SAMPLE_POINTS) -> PointCloud:
    """Sample about `most` of a cloud's points, spread over its order.

    Among them are the outermost points of each axis and the lowest, the highest and one fractional intensity. So
    extent, offset and intensity scale come out as from all of the points.
    """
    if len(points) <= most:
        return points
    taken = np.zeros(len(points), dtype=bool)
    taken[_scattered(len(points), most)] = True
    taken[_outermost(points.positions)] = True
    if points.intensity is not None:
        taken[_scale_rows(points.intensity)] = True
    return points.take(taken)


def _scattered(points: int, most: int) -> NDArray[np.int64]:
    """A random row of each stretch of rows, the same at each call.

    The first row of each could always be of the same laser: points mostly come in turns of the lasers.
    """
    stretch = -(-points // most)
    starts = np.arange(0, points, stretch)
    rows: NDArray[np.int64] = starts + np.random.default_rng(0).integers(0, stretch, len(starts))
    return rows[rows < points]


def _outermost(positions: NDArray[np.floating]) -> NDArray[np.int64]:
    rows = _finite_rows(positions)
    if not rows.size:
        return rows
    columns = positions if rows.size == len(positions) else positions[rows]
    outermost: NDArray[np.int64] = rows[np.concatenate([columns.argmin(axis=0), columns.argmax(axis=0)])]
    return outermost


def _scale_rows(intensity: NDArray[np.generic]) -> NDArray[np.int64]:
    """Rows of the lowest, the highest and one fractional intensity."""
    values = intensity.astype(np.float64)
    known = np.flatnonzero(~np.isnan(values))
    if not known.size:
        return known
    values = values[known]
    fractional = np.flatnonzero(values != np.rint(values))[:1]
    rows: NDArray[np.int64] = known[np.array([values.argmin(), values.argmax(), *fractional])]
    return rows


class SceneSamples:
    """Reads frames of a scene for the checks, and keeps a sample of each; an unreadable frame has none.

    Threads may share it. What has been read already, by an inspection or to estimate settings, is given by `add`.

    Args:
        scene: The recording.
        frames: Those of its frames that are judged, in time order; all of them where it is None.
    """

    def __init__(self, scene: Scene, frames: Sequence[Frame] | None = None) -> None:
        self.scene = scene
        self.frames = tuple(scene.frames if frames is None else frames)
        self._samples: dict[str, Sample | None] = {}
        self._lock = threading.Lock()

    def add(self, frame: Frame, sample: Sample | None) -> None:
        """Add the sample of a frame that was read elsewhere; None if it could not be read."""
        with self._lock:
            self._samples[frame.id] = sample

    def sample(self, frame: Frame) -> Sample | None:
        """Return a few points of a frame, of its first chunk if it comes in chunks; None if it cannot be read."""
        with self._lock:
            if frame.id in self._samples:
                return self._samples[frame.id]
        points = self.points(frame)
        sample = None if points is None else sample_of(frame, points)
        with self._lock:
            return self._samples.setdefault(frame.id, sample)

    def points(self, frame: Frame) -> PointCloud | None:
        """Read all points of a frame, or its first chunk; nothing of them is kept. None if it cannot be read."""
        try:
            return next(frame.chunks())
        except (FormatError, SceneError):  # the run or the inspection names it
            return None

    @property
    def usual(self) -> list[Sample]:
        """Samples of the first, the middle and the last frame, or of those next to them that can be read."""
        found: dict[str, Sample] = {}
        for row in {0, len(self.frames) // 2, max(0, len(self.frames) - 1)}:
            nearest = sorted(self.frames, key=lambda frame: abs(frame.index - self.frames[row].index))
            sample = next((sample for frame in nearest if (sample := self.sample(frame)) is not None), None)
            found |= {} if sample is None else {sample.frame.id: sample}
        return sorted(found.values(), key=lambda sample: sample.frame.index)
