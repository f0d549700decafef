"""Findings of checks and the end of a strict run; and samples: a few points of a frame, enough for the checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import SceneError
from lidarprep.scene import Frame, PointCloud

# Prefix of those notes of a manifest that are warnings.
WARNING = "warning: "


@dataclass(frozen=True)
class Finding:
    """Something odd about a recording: a warning, unless a run is strict.

    Args:
        code: Its kind: a word or two with hyphens that stay the same from version to version.
        message: What is odd, in a sentence with the figure.
        option: The cure: an option, as the command line, Python and a recipe spell it, or what to mend in the
            recording.
    """

    code: str
    message: str
    option: str

    @property
    def note(self) -> str:
        """Message and cure, for the notes of a manifest."""
        return f"{WARNING}{self.message}; {self.option}"


def opening_option(flag: str, value: str, name: str, python: str) -> str:
    """Spell an option of opening: "--frame-order time (frame_order='time' in open_scene, …)"."""
    return f"{flag} {value} ({name}={python} in open_scene, opening: {name} in a recipe)"


def recipe_option(flag: str, name: str, python: str) -> str:
    """Spell an option of preparing: "prepare --drop-intensity (drop_intensity=True in a recipe)"."""
    return f"prepare {flag} ({name}={python} in a recipe)"


def refuse(findings: Sequence[Finding]) -> None:
    """End a strict run if there are findings.

    Raises:
        SceneError: Every finding, with its cure.
    """
    if findings:
        lines = [f"{finding.code}: {finding.message}\n  {finding.option}" for finding in findings]
        raise SceneError(strictly(len(findings)), fix="\n".join(lines))


def strictly(count: int) -> str:
    """Explain why a strict run ends after so many findings."""
    return f"{'1 warning is an error' if count == 1 else f'{count} warnings are errors'}, as --strict asks"


# ---- samples ----

# Points of a frame that are looked at: enough for shares to a tenth of a percent, few enough to cost nothing.
SAMPLE_POINTS = 20_000


@dataclass(frozen=True, eq=False)
class Sample:
    """A frame and a few of its points, chosen by `thinned`."""

    frame: Frame
    points: PointCloud

    @property
    def finite(self) -> NDArray[np.float64]:
        """(N, 3) float64 positions that are finite, in the frame of reference of the points."""
        return finite(self.points.positions).astype(np.float64)


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
