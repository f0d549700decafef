"""Reads each frame once, in parts where it is large, and keeps figures alone; two frames are read side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lidarprep.checks import finite, thinned
from lidarprep.errors import FormatError, SceneError
from lidarprep.inspection.results import FrameInspection, triple
from lidarprep.scene import Frame, PointCloud, Scene

# Frames that are read at once, each of which may hold as much memory as its points take.
READERS = 2


@dataclass
class FrameFigures:
    """What is kept of one frame's points, gathered chunk by chunk."""

    points: int = 0
    not_finite: int = 0
    radar_points: int = 0
    error: str | None = None
    fix: str | None = None
    lowest: NDArray[np.float64] = field(default_factory=lambda: np.full(3, np.inf))
    highest: NDArray[np.float64] = field(default_factory=lambda: np.full(3, -np.inf))
    intensities: list[float] = field(default_factory=list)
    fields: dict[str, None] = field(default_factory=dict)
    ignored_fields: dict[str, None] = field(default_factory=dict)
    by_device: dict[int, int] = field(default_factory=dict)
    sample: PointCloud | None = None

    def add(self, chunk: PointCloud, devices: Sequence[int], *, keep: bool) -> None:
        """One more part of the frame's points."""
        self.points += len(chunk)
        positions = finite(chunk.positions)
        self.not_finite += len(chunk) - len(positions)
        if len(positions):
            # A column at a time: NumPy reduces rows of three some twenty times as slowly.
            self.lowest = np.minimum(self.lowest, [column.min() for column in positions.T])
            self.highest = np.maximum(self.highest, [column.max() for column in positions.T])
        if chunk.intensity is not None:
            known = chunk.intensity[np.isfinite(chunk.intensity)]
            self.intensities += [float(known.min()), float(known.max())] if known.size else []
        if chunk.device is not None:
            for index in devices:
                self.by_device[index] = self.by_device.get(index, 0) + int((chunk.device == index).sum())
        self.fields |= dict.fromkeys(["positions", *chunk.columns])
        self.ignored_fields |= dict.fromkeys(chunk.ignored_fields)
        if keep:
            parts = [self.sample, thinned(chunk)] if self.sample is not None else [thinned(chunk)]
            self.sample = thinned(PointCloud.concatenate([part for part in parts if part is not None]))

    def inspection(self, frame: Frame) -> FrameInspection:
        """As the user gets it."""
        return FrameInspection(
            id=frame.id,
            timestamp=frame.timestamp,
            points=self.points,
            not_finite=self.not_finite,
            radar_points=self.radar_points,
            images=len(frame.images),
            position=None if frame.world_from_ego is None else triple(frame.world_from_ego.translation),
            error=self.error,
        )


def read_frames(scene: Scene) -> Iterator[FrameFigures]:
    """The figures of each frame, in their order; a few frames are read at once."""
    sampled = {0, len(scene) // 2, len(scene) - 1}
    devices = [lidar.index for lidar in scene.lidars]
    waiting: deque[Future[FrameFigures]] = deque()
    with ThreadPoolExecutor(READERS, "inspect") as pool:
        for row, frame in enumerate(scene):
            waiting.append(pool.submit(_read_frame, frame, devices, keep=row in sampled))
            if len(waiting) > READERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _read_frame(frame: Frame, devices: Sequence[int], *, keep: bool) -> FrameFigures:
    figures = FrameFigures()
    try:
        for chunk in frame.chunks():
            figures.add(chunk, devices, keep=keep)
        radar = frame.radar()
    except (FormatError, SceneError) as error:
        return FrameFigures(error=error.message, fix=error.fix)
    figures.radar_points = 0 if radar is None else len(radar)
    return figures
