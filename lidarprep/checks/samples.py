"""A few points of a frame, which tell what all of them would."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidarprep.scene import Frame, PointCloud

# So many points of a frame are looked at: enough for shares to a tenth of a percent, few enough to cost nothing.
SAMPLE_POINTS = 20_000


@dataclass(frozen=True, eq=False)
class Sample:
    """A frame, and a few of its points.

    Args:
        frame: The frame.
        points: Some of its points, chosen by `thinned`.
    """

    frame: Frame
    points: PointCloud

    @property
    def finite(self) -> NDArray[np.float64]:
        """(N, 3) float64 positions that are finite, in the frame of reference of the points."""
        return finite(self.points.positions).astype(np.float64)


def finite(positions: NDArray[np.floating]) -> NDArray[np.floating]:
    """Those of positions (N, 3) that are finite; the same array where all are."""
    # A look at the whole array is many times as fast as one at each row, and mostly enough.
    return positions if np.isfinite(positions).all() else positions[_finite_rows(positions)]


def _finite_rows(positions: NDArray[np.floating]) -> NDArray[np.int64]:
    x, y, z = positions.T
    return np.flatnonzero(np.isfinite(x) & np.isfinite(y) & np.isfinite(z))


def thinned(points: PointCloud, most: int = SAMPLE_POINTS) -> PointCloud:
    """About `most` of a cloud's points, from all over its order.

    The outermost points of each axis and the rows that tell the scale of the intensities (lowest, highest, and one
    with a fraction) are among them, so that extent, offset and scale come out as from all of the points.
    """
    if len(points) <= most:
        return points
    rows = [_scattered(len(points), most), _outermost(points.positions)]
    if points.intensity is not None:
        rows.append(_telling(points.intensity))
    return points.take(np.unique(np.concatenate(rows)))


def _scattered(points: int, most: int) -> NDArray[np.int64]:
    """A row out of each stretch of rows, the same at each call.

    Not the first of each: points mostly come in turns of the lasers, and each stretch might begin with the same one.
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


def _telling(intensity: NDArray[np.generic]) -> NDArray[np.int64]:
    values = intensity.astype(np.float64)
    known = np.flatnonzero(~np.isnan(values))
    if not known.size:
        return known
    values = values[known]
    rows = [int(values.argmin()), int(values.argmax())]
    broken = values != np.rint(values)
    if broken.any():
        rows.append(int(broken.argmax()))
    telling: NDArray[np.int64] = known[np.array(rows)]
    return telling
