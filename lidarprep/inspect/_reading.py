"""Every frame of a recording, read once, in figures."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lidarprep.checks import finite, thinned
from lidarprep.errors import FormatError, SceneError
from lidarprep.inspect._records import FrameInspection, triple
from lidarprep.remote import ReadAhead, RemotePath, reading_threads
from lidarprep.scene import Frame, PointCloud, Pose, Scene
from lidarprep.scene.frame import own_objects

# Frames that are read at once, each of which may hold as much memory as its points take.
READERS = 2


@dataclass(eq=False)
class Extent:
    """The least and the greatest coordinates (3,) of points; inverted infinities of none."""

    lowest: NDArray[np.float64] = field(default_factory=lambda: np.full(3, np.inf))
    highest: NDArray[np.float64] = field(default_factory=lambda: np.full(3, -np.inf))

    def add(self, columns: NDArray[np.floating]) -> None:
        """Add points, as (3, N) columns: NumPy reduces rows of three some twenty times as slowly."""
        if columns.size:
            self.lowest = np.minimum(self.lowest, [column.min() for column in columns])
            self.highest = np.maximum(self.highest, [column.max() for column in columns])


def _in_world(positions: NDArray[np.floating], world_from_ego: Pose) -> NDArray[np.floating]:
    """Transform points (N, 3) to the world, as columns (3, N)."""
    # In the type that they have, and moved last: of float32, a third of the time, and exact to a millimetre.
    rotated = world_from_ego.rotation.astype(positions.dtype) @ positions.T
    columns: NDArray[np.floating] = rotated + world_from_ego.translation[:, None]
    return columns


@dataclass
class FrameFigures:
    """Figures of one frame's points, gathered chunk by chunk."""

    is_read: bool = True
    points: int = 0
    not_finite: int = 0
    no_return: int = 0
    radar_points: int = 0
    error: str | None = None
    fix: str | None = None
    extent: Extent = field(default_factory=Extent)
    world_extent: Extent = field(default_factory=Extent)
    intensities: list[float] = field(default_factory=list)
    fields: dict[str, None] = field(default_factory=dict)
    ignored_fields: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    by_device: Counter[int] = field(default_factory=Counter)
    sample: PointCloud | None = None

    def add(self, chunk: PointCloud, frame: Frame, devices: Sequence[int], *, keep: bool) -> None:
        """Add a chunk of the frame's points; `keep` samples it."""
        self.points += len(chunk)
        self.no_return += len(chunk.no_return_rows(frame.world_from_ego))
        positions = finite(chunk.positions)
        self.not_finite += len(chunk) - len(positions)
        self.extent.add(positions.T)
        if chunk.frame == "world":
            self.world_extent = self.extent
        elif frame.world_from_ego is not None:
            with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates
                self.world_extent.add(_in_world(positions, frame.world_from_ego))
        if chunk.intensity is not None:
            known = chunk.intensity[np.isfinite(chunk.intensity)]
            self.intensities += [float(known.min()), float(known.max())] if known.size else []
        if chunk.device is not None:
            for index in devices:
                self.by_device[index] += int((chunk.device == index).sum())
        self.fields |= dict.fromkeys(["positions", *chunk.columns])
        self.ignored_fields |= dict.fromkeys(chunk.ignored_fields)
        self.notes |= dict.fromkeys(chunk.notes)
        if keep:
            parts = [part for part in (self.sample, thinned(chunk)) if part is not None]
            self.sample = thinned(PointCloud.concatenate(parts))

    def inspection(self, frame: Frame) -> FrameInspection:
        return FrameInspection(
            id=frame.id,
            timestamp=frame.timestamp,
            points=self.points,
            not_finite=self.not_finite,
            no_return=self.no_return,
            radar_points=self.radar_points,
            images=len(frame.images),
            position=None if frame.world_from_ego is None else triple(frame.world_from_ego.translation),
            error=self.error,
            is_read=self.is_read and self.error is None,
        )


def read_frames(scene: Scene, rows: Sequence[int]) -> Iterator[FrameFigures]:
    """Read the frames of these rows, READERS at once; yield their figures in order."""
    sampled = {rows[place] for place in (0, len(rows) // 2, -1)} if rows else set()
    devices = [lidar.index for lidar in scene.lidars]
    waiting: deque[Future[FrameFigures]] = deque()
    objects = own_objects(scene.frames)
    ahead = {str(row): _read_for_points(scene[row], objects[row]) for row in rows}
    with closing(ReadAhead(ahead)), reading_threads(READERS, "inspect") as pool:
        for row in rows:
            waiting.append(pool.submit(_read_frame, scene[row], devices, keep=row in sampled))
            if len(waiting) > READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _read_for_points(frame: Frame, objects: Sequence[RemotePath]) -> list[RemotePath]:
    """Return those of a frame's objects that are read for its points; of points that come in parts, none."""
    if frame.read_chunks is not None or frame.read_sample is not None:
        return []
    images = {image.path for image in frame.images}
    return [path for path in objects if path not in images]


def _read_frame(frame: Frame, devices: Sequence[int], *, keep: bool) -> FrameFigures:
    figures = FrameFigures()
    try:
        for chunk in frame.chunks():
            figures.add(chunk, frame, devices, keep=keep)
        radar = frame.radar()
    except (FormatError, SceneError) as error:
        return FrameFigures(error=error.message, fix=error.fix)
    figures.radar_points = 0 if radar is None else len(radar)
    return figures
