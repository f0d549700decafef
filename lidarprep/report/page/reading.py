"""One pass over the frames of a scene: figures of all, points and images of those that the page shows."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from lidarprep.report.page.budget import Budget
from lidarprep.report.page.figures import Distributions, FrameFigures
from lidarprep.report.page.images import PageImage, shrink
from lidarprep.report.page.points import PackedPoints, rows_to_show
from lidarprep.report.views import Fate, FrameView, SceneView, join_views
from lidarprep.scene import Frame
from lidarprep.scene_settings import BAD_FRAME
from lidarprep.storage.manifest import FrameRecord

_MOST_READERS = 4

# A frame that comes in many parts is thinned while it is read: so many times as many points wait as are needed.
_MOST_WAITING = 3


@dataclass(eq=False)
class ShownFrame:
    """A frame of the viewer.

    Args:
        row: Its row in the view.
        frame: The frame as recorded.
        view: What is drawn of it, without its points; None where it cannot be read.
        points: Its points.
        images: Its images.
        radar: (K, 3) its radar returns in the view's world, metres.
    """

    row: int
    frame: Frame
    view: FrameView | None = None
    points: PackedPoints | None = None
    images: list[PageImage] = field(default_factory=list)


@dataclass(eq=False)
class Reading:
    """All that the page has to know of the frames.

    Args:
        figures: Figures of each frame of the view, in its order.
        distributions: How the points of all frames are spread.
        shown: The frames of the viewer.
        kept: Points of frames that are drawn as static pictures, by the frames' ids.
        devices: Increasing numbers of the lidars: the recording's, and those of the points shown.
    """

    figures: list[FrameFigures] = field(default_factory=list)
    distributions: Distributions = field(default_factory=Distributions)
    shown: list[ShownFrame] = field(default_factory=list)
    kept: dict[str, FrameView] = field(default_factory=dict)
    devices: list[int] = field(default_factory=list)


def read_scene(
    view: SceneView,
    budget: Budget,
    *,
    labelled: Sequence[bool],
    drawn: Mapping[int, int],
    progress: Callable[[int, int], None] | None,
) -> Reading:
    """Read every frame once, several at a time.

    Args:
        view: The scene.
        budget: What the page shows.
        labelled: Of each frame, whether Scale labels it.
        drawn: Of rows of frames, how many points are kept, for pictures of several.
        progress: Called in this thread with (frames done, frames in all).
    """
    reader = _Reader(view, budget, drawn)
    reading = Reading()
    for done, read in enumerate(reader.frames()):
        reading.figures.append(replace(read.figures, labelled=labelled[done]))
        reading.distributions.merge(read.distributions)
        if read.shown is not None:
            reading.shown.append(read.shown)
        if read.kept is not None:
            reading.kept[read.figures.id] = read.kept
        if progress is not None:
            progress(done + 1, len(view.frames))
    packed = [one.points for one in reading.shown if one.points is not None]
    numbers = {lidar.index for lidar in view.scene.lidars}.union(*(points.devices() for points in packed))
    reading.devices = sorted(numbers or {0})
    for one in reading.shown:
        one.points = None if one.points is None else one.points.with_rows_of(reading.devices)
    return reading


@dataclass(eq=False)
class _ReadFrame:
    figures: FrameFigures
    distributions: Distributions
    shown: ShownFrame | None
    kept: FrameView | None = None


@dataclass(frozen=True)
class _Reader:
    view: SceneView
    budget: Budget
    drawn: Mapping[int, int]

    def frames(self) -> Iterator[_ReadFrame]:
        """Read the frames, a few at once; yield them in order."""
        readers = max(1, min(_MOST_READERS, os.cpu_count() or 1))
        shown = frozenset(self.budget.frames)
        waiting: deque[Future[_ReadFrame]] = deque()
        with ThreadPoolExecutor(readers, "report") as pool:
            try:
                for row, frame in enumerate(self.view.frames):
                    waiting.append(pool.submit(self.read, row, frame, shown=row in shown))
                    if len(waiting) > readers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def read(self, row: int, frame: Frame, *, shown: bool) -> _ReadFrame:
        """Read a frame."""
        figures = FrameFigures(frame.id, frame.index, frame.timestamp, False, images=len(frame.images))
        distributions, most = Distributions(), self._most(row)
        page_frame = ShownFrame(row, frame) if shown else None
        parts: list[tuple[int, FrameView]] = []  # points of a part, and those that may be shown
        total, fates = 0, np.zeros(len(Fate), dtype=np.int64)
        try:
            for part in self.view.chunks(frame):
                distributions.add(part)
                total, fates = total + len(part), fates + np.bincount(part.fate, minlength=len(Fate))
                parts.append((len(part), part if len(part) <= most else part.take(rows_to_show(part.fate, most))))
                if sum(len(one) for _, one in parts) > _MOST_WAITING * most:
                    parts = [(count, one.take(_share(one, count, total, most))) for count, one in parts]
        except BAD_FRAME as error:
            return _ReadFrame(replace(figures, error=error.message), Distributions(), page_frame)
        record = self.view.records.get(frame.id) if self.view.scene.layout == "attachments" else None
        if record is not None:
            fates = _recorded(record, fates)
        points = join_views([part.take(_share(part, count, total, most)) for count, part in parts])
        figures = replace(
            figures,
            points=int(fates.sum()),
            fates=tuple(int(count) for count in fates),
            radar_points=len(points.radar),
        )
        if page_frame is not None:
            page_frame.points = replace(PackedPoints.of(points, self.budget.points_a_frame), total=total)
            page_frame.view = points.take(np.empty(0, dtype=np.int64))
            width = self.budget.image_width if row in self.budget.with_images else 0
            page_frame.images = [shrink(image, width) for image in points.images]
        kept = None
        if row in self.drawn:
            kept = points if len(points) <= self.drawn[row] else points.take(rows_to_show(points.fate, self.drawn[row]))
        return _ReadFrame(figures, distributions, page_frame, kept)

    def _most(self, row: int) -> int:
        """Return how many points of a frame are needed."""
        return max(self.budget.points_a_frame, self.drawn.get(row, 0))


def _share(part: FrameView, count: int, total: int, most: int) -> NDArray[np.int64]:
    """Choose the points of a part that fall to it, so that each part of a frame is thinned alike."""
    if total <= most:
        return np.arange(len(part))
    return rows_to_show(part.fate, max(1, most * count // total))


def _recorded(record: FrameRecord, fates: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the counts by fate of a frame whose attachment is shown: the manifest says what was dropped."""
    counts = fates.copy()
    dropped = record.dropped
    counts[Fate.KEPT] = record.points_out
    for fate, count in (
        (Fate.REGION, dropped.region),
        (Fate.HEIGHT, dropped.height),
        (Fate.VOXEL, dropped.voxel),
        (Fate.NO_RETURN, dropped.no_return),
        (Fate.NOT_FINITE, dropped.not_finite),
    ):
        counts[fate] = count
    return counts


def first_view(view: SceneView) -> FrameView | None:
    """Read the first frame that can be read; None where none can.

    Raises:
        LidarprepError: Something is wrong with the recipe, and not with a frame.
    """
    for frame in view.frames:
        try:
            return next(view.chunks(frame))
        except BAD_FRAME:
            continue
    return None
