"""Points for the page: thinned, quantised to 16 bits a coordinate, delta-coded, compressed.

A blob is the columns one after the other. Of each coordinate the differences from point to point are written, modulo
65536: first all low bytes, then all high bytes. The high bytes are nearly all 0 or 255, and compress to almost nothing.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from lidarprep.report.page.data import PointsData, TimeData, vector
from lidarprep.report.views import Fate, FrameView

# Lidars measure to a centimetre or two: finer steps would only store noise.
FINEST_STEP_M = 0.004

# Of the points shown, such a part may be dropped ones, where not all points are shown.
DROPPED_SHARE = 0.1

# Points further out would make the steps of all others coarse: they are left out of frames that are wider than this.
WIDEST_M = 1000.0
# Some lidars write a ray without a return as a far point, and many of them: only the median says what is usual.
_FAR_FACTOR = 30.0

# As zlib's own level: 9 takes four times as long and gives 1 % less.
_LEVEL = 6


@dataclass(frozen=True, eq=False)
class PackedPoints:
    """Some points of a frame, quantised.

    Args:
        total: Points of the frame.
        numbers: (N, 3) uint16 positions in steps from the origin.
        origin, step: (3,) float64 metres in the view's world.
        columns: (N,) further columns by their names: fate and intensity uint8, device uint32, time uint16; device
            uint8 once it has rows of the page's lidars.
        time: What the column of times is in.
    """

    total: int
    numbers: NDArray[np.uint16]
    origin: NDArray[np.float64]
    step: NDArray[np.float64]
    columns: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    time: TimeData | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def of(cls, view: FrameView, most: int) -> PackedPoints:
        """Choose at most so many points of a frame, spread over the scan, and quantise them.

        Args:
            view: The frame.
            most: Points that the page may have of it.
        """
        rows = _within_reach(view.positions, rows_to_show(view.fate, most))
        positions = view.positions[rows].astype(np.float64)
        origin = positions.min(axis=0) if len(rows) else np.zeros(3)
        span = positions.max(axis=0) - origin if len(rows) else np.zeros(3)
        step = np.maximum(span / 65535.0, FINEST_STEP_M)
        numbers = np.rint((positions - origin) / step).astype(np.uint16)
        columns: dict[str, NDArray[np.generic]] = {"fate": view.fate[rows]}
        if view.intensity is not None:
            columns["intensity"] = np.rint(view.intensity[rows] * 255.0).astype(np.uint8)
        if view.device is not None:
            columns["device"] = view.device[rows]
        time: TimeData | None = None
        if view.timestamp is not None and len(rows):
            times = view.timestamp[rows]
            first = int(times.min())
            since = (times - first).astype(np.float64)
            span_ns = float(since.max())
            columns["time"] = np.rint(since * (65535.0 / max(span_ns, 1.0))).astype(np.uint16)
            time = {"first": str(first), "span": span_ns}
        return cls(len(view), numbers, origin, step, columns, time)

    def devices(self) -> list[int]:
        """Return the numbers of the lidars that the points come from, increasing; none if the points do not say."""
        numbers: list[int] = np.unique(self.columns["device"]).tolist() if "device" in self.columns else []
        return numbers

    def with_rows_of(self, devices: Sequence[int]) -> PackedPoints:
        """Return the points with the rows of their lidars in a list of all lidars' numbers, increasing.

        Of one lidar, or of more than a byte can tell apart, the column is left out.
        """
        columns = dict(self.columns)
        numbers = columns.pop("device", None)
        if numbers is not None and 1 < len(devices) <= 256:
            columns["device"] = np.searchsorted(devices, numbers).astype(np.uint8)
        return replace(self, columns=columns)

    def thinned(self, share: float) -> PackedPoints:
        """Return the points with only such a share of them left."""
        rows = spread_rows(len(self), int(len(self) * share))
        columns = {name: column[rows] for name, column in self.columns.items()}
        return PackedPoints(self.total, self.numbers[rows], self.origin, self.step, columns, self.time)

    def data(self) -> PointsData:
        """Return what the viewer has to know of the blob."""
        return {
            "shown": len(self),
            "total": self.total,
            "origin": vector(self.origin),
            "step": vector(self.step),
            "columns": ["position", *self.columns],
            "time": self.time,
        }

    def blob(self) -> bytes:
        """Return the columns as bytes, before compression."""
        parts = []
        for axis in range(3):
            deltas = np.diff(self.numbers[:, axis], prepend=np.uint16(0))  # wraps round, as it should
            parts += [(deltas & np.uint16(255)).astype(np.uint8), (deltas >> np.uint16(8)).astype(np.uint8)]
        parts += [column.astype(column.dtype.newbyteorder("<")) for column in self.columns.values()]
        return b"".join(part.tobytes() for part in parts)

    def encoded(self) -> str:
        """Return the blob compressed, as base64; the same bytes at each run."""
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)  # 31: with the header of gzip, without a time
        return base64.b64encode(packer.compress(self.blob()) + packer.flush()).decode("ascii")


def rows_to_show(fate: NDArray[np.uint8], most: int) -> NDArray[np.int64]:
    """Choose at most so many points, (M,) increasing rows: those that are kept first, and none that is not finite."""
    kept = np.flatnonzero(fate == Fate.KEPT)
    dropped = np.flatnonzero((fate != Fate.KEPT) & (fate != Fate.NOT_FINITE))
    if len(kept) + len(dropped) > most:
        for_dropped = min(len(dropped), max(int(most * DROPPED_SHARE), most - len(kept)))
        kept = kept[spread_rows(len(kept), most - for_dropped)]
        dropped = dropped[spread_rows(len(dropped), for_dropped)]
    return np.sort(np.concatenate((kept, dropped)))


def spread_rows(count: int, most: int) -> NDArray[np.int64]:
    """Choose `most` of so many rows, (M,) increasing: a random one of each stretch, the same at each call.

    The first of each stretch could always be of the same laser: points mostly come in turns of the lasers.
    """
    if count <= most:
        return np.arange(count)
    if most < 1:
        return np.empty(0, dtype=np.int64)
    edges = np.arange(most + 1) * count // most
    within = np.random.default_rng(0).random(most)
    rows: NDArray[np.int64] = edges[:-1] + (within * np.diff(edges)).astype(np.int64)
    return rows


def _within_reach(positions: NDArray[np.floating], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Leave out points that are absurdly far from most others."""
    some = positions[rows].astype(np.float64)
    is_finite = np.isfinite(some).all(axis=1)  # a coordinate may be too large for its dtype in another frame
    rows, some = rows[is_finite], some[is_finite]
    if not len(rows):
        return rows
    if float((some.max(axis=0) - some.min(axis=0)).max()) <= WIDEST_M:
        return rows
    away = np.abs(some - np.median(some, axis=0)).max(axis=1)
    near: NDArray[np.int64] = rows[away <= max(WIDEST_M / 2, _FAR_FACTOR * float(np.median(away)))]
    return near
