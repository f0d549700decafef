"""Point clouds as columns: one NumPy array a property, never an object a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import SceneError
from lidarprep.scene.pose import Pose

ReferenceFrame = Literal["sensor", "ego", "world"]

# The units of time that recordings have.
TimeUnit = Literal["s", "ms", "us", "ns"]
NANOSECONDS: Final[dict[TimeUnit, int]] = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
UNIT_NAMES: Final[dict[TimeUnit, str]] = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
}

# Beyond this, 32-bit floats, which attachments hold, round coordinates by more than 4 mm.
LARGEST_EXACT_M = 1e5

# The largest part of a sweep's points whose times are taken as strays; and times that a median is taken of.
STRAY_SHARE = 0.01
_TIMES_LOOKED_AT = 10_000
# A point no further from its lidar, metres, is a ray that nothing came back of: drivers that keep a slot for each ray
# fill it with zeros. No lidar measures so near.
NO_RETURN_M = 1e-3

# The optional columns of a PointCloud, in the order in which formats list them.
OPTIONAL_COLUMNS = ("intensity", "device", "timestamp", "is_ground", "colour", "ring")


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Points of one frame, as columns of equal length.

    Args:
        positions: (N, 3) float32 or float64 x, y, z in metres, in `frame`.
        frame: The frame of reference of the positions: "sensor", "ego" or "world".
        intensity: (N,) any number type, as the sensor gave it until a step normalises it to 0–1.
        device: (N,) uint32, which sensor saw the point.
        timestamp: (N,) int64 nanoseconds, since the Unix epoch unless the source counts from its own start.
        is_ground: (N,) bool.
        colour: (N, 3) uint8 red, green, blue.
        ring: (N,) uint16, the laser's number within its sensor; kept for point files, no attachment holds it.
        ignored_fields: Names of the source's fields that have no column here.
        guessed_unit: The unit that the source's times were taken to have, where it does not state one; else None.
        notes: What reading took on trust or put in place of what is not there, a sentence each, alike for all frames.
        origins: (K, 3) float64 where the lidars are that saw the points, metres in `frame`; None: at its origin. What
            moves points moves them, too: by them, rays without a return are known wherever they were moved to.

    Raises:
        SceneError: A column's shape does not fit.
    """

    positions: NDArray[np.floating[Any]]
    frame: ReferenceFrame = "ego"
    intensity: NDArray[Any] | None = None
    device: NDArray[np.uint32] | None = None
    timestamp: NDArray[np.int64] | None = None
    is_ground: NDArray[np.bool_] | None = None
    colour: NDArray[np.uint8] | None = None
    ring: NDArray[np.uint16] | None = None
    ignored_fields: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    origins: NDArray[np.float64] | None = None
    guessed_unit: TimeUnit | None = None

    def __post_init__(self) -> None:
        if self.positions.ndim != 2 or self.positions.shape[1] != 3:
            raise SceneError(f"positions have shape (N, 3), not {self.positions.shape}")
        if self.positions.dtype not in (np.float32, np.float64):
            raise SceneError(f"positions are float32 or float64, not {self.positions.dtype}")
        for name in OPTIONAL_COLUMNS:
            column = getattr(self, name)
            expected = (len(self), 3) if name == "colour" else (len(self),)
            if column is not None and column.shape != expected:
                raise SceneError(f"column {name} has shape {column.shape}; expected {expected}, one row a point")

    def __len__(self) -> int:
        return int(self.positions.shape[0])

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """The optional columns that are there, by name."""
        present = {name: getattr(self, name) for name in OPTIONAL_COLUMNS}
        return {name: column for name, column in present.items() if column is not None}

    def no_return_zones(self, world_from_ego: Pose | None = None) -> NDArray[np.float64]:
        """Return where a point is a ray without a return.

        Args:
            world_from_ego: The device's pose, if it is known: points in the world are seen from there.

        Returns:
            (K, 4) float64, at least one row: x, y, z in `frame`, and the distance up to which a point is one; metres.
        """
        if self.origins is not None:
            return np.column_stack((self.origins, np.full(len(self.origins), NO_RETURN_M)))
        zones = np.array([[0.0, 0.0, 0.0, NO_RETURN_M]])
        if self.frame != "world":
            return zones
        # In the world there may be something at the origin: only exact zeros are slots that were never filled.
        zones[0, 3] = 0.0
        if world_from_ego is None:
            return zones
        device = np.array([[*world_from_ego.translation, NO_RETURN_M]])
        # Zones far from one another slow the selection down: the origin is left out where nothing can be at it.
        return np.vstack((zones, device)) if (self.positions[:, 0] == 0).any() else device

    def no_return_rows(self, world_from_ego: Pose | None = None) -> NDArray[np.int64]:
        """Return the rows of the rays without a return, (M,) increasing; `world_from_ego` as in `no_return_zones`."""
        found = []
        for *place, nearest in self.no_return_zones(world_from_ego):
            # By one coordinate first, which leaves few.
            rows = np.flatnonzero(np.abs(self.positions[:, 0] - place[0]) <= nearest)
            with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates
                away = self.positions[rows].astype(np.float64) - place
                found.append(rows[(away * away).sum(axis=1) <= nearest**2])
        return found[0] if len(found) == 1 else np.unique(np.concatenate(found))

    def take(self, rows: NDArray[Any]) -> PointCloud:
        """Select points by (M,) integer indices or an (N,) boolean mask."""
        if rows.dtype == np.bool_:
            rows = np.flatnonzero(rows)
        # np.take is several times as fast as indexing for rows of three.
        columns: dict[str, Any] = {name: np.take(column, rows, axis=0) for name, column in self.columns.items()}
        return replace(self, positions=np.take(self.positions, rows, axis=0), **columns)

    @classmethod
    def concatenate(cls, clouds: Sequence[PointCloud]) -> PointCloud:
        """Concatenate clouds that are in one frame of reference.

        The lidars of all of them saw the whole.
        A column that only some of the clouds have is left out and named in `ignored_fields`, but for the devices:
        points of a cloud without them come from device 0. Dtypes are promoted as NumPy does.

        Raises:
            SceneError: There is no cloud, or they are in different frames of reference.
        """
        if len(clouds) == 1:
            return clouds[0]
        frames = sorted({cloud.frame for cloud in clouds})
        if len(frames) != 1:
            raise SceneError(f"point clouds in {' and '.join(frames) or 'no'} frame cannot be put together")
        present = {name for cloud in clouds for name in cloud.columns}
        columns: dict[str, Any] = {}
        ignored = dict.fromkeys(name for cloud in clouds for name in cloud.ignored_fields)
        notes = tuple(dict.fromkeys(note for cloud in clouds for note in cloud.notes))
        for name in (name for name in OPTIONAL_COLUMNS if name in present):
            parts = [getattr(cloud, name) for cloud in clouds]
            if name == "device":
                parts = [
                    np.zeros(len(cloud), dtype=np.uint32) if part is None else part
                    for cloud, part in zip(clouds, parts, strict=True)
                ]
            if any(part is None for part in parts):
                ignored[name] = None
                continue
            columns[name] = np.concatenate(parts)
        positions = np.concatenate([cloud.positions for cloud in clouds])
        origins = None
        if any(cloud.origins is not None for cloud in clouds):
            origins = np.unique(np.concatenate([_origins(cloud) for cloud in clouds]), axis=0)
        units = {cloud.guessed_unit for cloud in clouds}
        return cls(
            positions,
            clouds[0].frame,
            **columns,
            ignored_fields=tuple(ignored),
            notes=notes,
            origins=origins,
            guessed_unit=units.pop() if len(units) == 1 else None,
        )

    def moved(self, target_from_source: Pose, frame: ReferenceFrame) -> PointCloud:
        """Transform the points to another frame of reference; positions keep their dtype."""
        with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates become infinite
            positions = target_from_source.apply(self.positions).astype(self.positions.dtype)
        return replace(self, positions=positions, frame=frame, origins=target_from_source.apply(_origins(self)))

    def __repr__(self) -> str:
        columns = ", ".join(["positions", *self.columns])
        return f"PointCloud({len(self)} points in {self.frame}: {columns})"

    def _repr_html_(self) -> str:
        # Looked up by name, so that this file does not depend on what stands above it.
        html: str = import_module("lidarprep.report.notebook").points_html(self)
        return html


def _origins(cloud: PointCloud) -> NDArray[np.float64]:
    return np.zeros((1, 3)) if cloud.origins is None else cloud.origins


# ---- times of points ----


def rows_with_time(good: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each of (N,) points the row whose time it takes: its own, else the last good one before, or the first.

    `good` says which points have a time; at least one has.
    """
    rows = np.where(good, np.arange(good.size), int(good.argmax()))
    return np.maximum.accumulate(rows)


def middle_time(times: NDArray[np.int64]) -> int:
    """Return the lower median of a sample of (N,) times, N ≥ 1: a few wrong ones do not change what it says."""
    sample = times[:: max(1, times.size // _TIMES_LOOKED_AT)]
    middle = (sample.size - 1) // 2
    return int(np.partition(sample, middle)[middle])


def without_stray_times(times: NDArray[np.int64], reach_ns: int) -> tuple[NDArray[np.int64], int]:
    """Give the few points whose times cannot be those of one sweep the time of the point before them.

    Args:
        times: (N,) int64 nanoseconds.
        reach_ns: Times further than this from the median are not of the sweep.

    Returns:
        (N,) int64, and how many were replaced: none where they are more than STRAY_SHARE, and so another fault.
    """
    if not times.size or int(times.max()) - int(times.min()) <= reach_ns:
        return times, 0
    good = np.abs(times.astype(np.float64) - middle_time(times)) <= reach_ns  # int64 may overflow
    strays = times.size - int(np.count_nonzero(good))
    if not 0 < strays <= STRAY_SHARE * times.size:
        return times, 0
    return times[rows_with_time(good)], strays


@dataclass(frozen=True, eq=False)
class RadarPoints:
    """Radar returns of one frame, as columns of equal length.

    Args:
        positions: (N, 3) float64 x, y, z in metres, in `frame`.
        directions: (N, 3) float64 direction of each return's motion, in `frame`; or None.
        sizes: (N,) float64; or None.
        frame: The frame of reference: "sensor", "ego" or "world".

    Raises:
        SceneError: A column's shape does not fit, or a number is not finite.
    """

    positions: NDArray[np.float64]
    directions: NDArray[np.float64] | None = None
    sizes: NDArray[np.float64] | None = None
    frame: ReferenceFrame = "ego"

    def __post_init__(self) -> None:
        n = len(self)
        for name, column, shape in (
            ("positions", self.positions, (n, 3)),
            ("directions", self.directions, (n, 3)),
            ("sizes", self.sizes, (n,)),
        ):
            if column is None:
                continue
            if column.shape != shape:
                raise SceneError(f"radar column {name} has shape {column.shape}; expected {shape}")
            if not np.isfinite(column).all():
                raise SceneError(f"radar column {name} has a number that is not finite")

    def __len__(self) -> int:
        return int(self.positions.shape[0])

    def __repr__(self) -> str:
        return f"RadarPoints({len(self)} in {self.frame})"
