"""The point files of a folder as the frames that they make: their order, their times, and what reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lidarprep.datasets.named_times import times_in_names
from lidarprep.datasets.numbered import FrameKey, files_by_frame, frame_key, point_stem, visible_names
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.several_lidars import WayToFrame
from lidarprep.errors import SceneError
from lidarprep.pointfiles import point_chunks, read_points
from lidarprep.scene import Lidar, PointCloud


@dataclass(frozen=True)
class LidarSweep:
    """The file of one of several lidars whose points make a frame.

    Args:
        path: The file.
        lidar: The lidar.
        time: Nanoseconds since the Unix epoch, where the file's name says it.
        way: How its points get to the frame's timestamp, once that is known.
    """

    path: Path
    lidar: Lidar
    time: int | None
    way: WayToFrame | None = None


@dataclass(frozen=True)
class PointSource:
    """What one frame's points come from.

    Args:
        path: Its file; of several lidars the first one's.
        key: What the frame is matched by: the number in the file's name, or its time.
        timestamp: Nanoseconds since the Unix epoch, where the file's name says it.
        read_points: As Frame has it.
        read_chunks: As Frame has it.
        sweeps: The files of several lidars that it is put together from; empty where it is one file.
    """

    path: Path
    key: FrameKey
    timestamp: int | None
    read_points: Callable[[], PointCloud]
    read_chunks: Callable[[], Iterator[PointCloud]] | None = None
    sweeps: tuple[LidarSweep, ...] = ()

    @property
    def id(self) -> str:
        """The name of the frame."""
        return point_stem(self.path.name) or self.path.stem

    @property
    def time(self) -> int:
        """The time in the file's name.

        Raises:
            SceneError: There is none.
        """
        if self.timestamp is None:
            raise SceneError(f"{self.path} has no time in its name")
        return self.timestamp


@dataclass(frozen=True)
class PointSources:
    """The frames of a recording, as far as its point files tell.

    Args:
        sources: One a frame, in the order of their numbers, or of their times.
        by_time: Whether the files' names are times.
        lidars: The lidars that the points come from, where the recording names them.
        notes: What was found odd, a sentence each.
    """

    sources: tuple[PointSource, ...]
    by_time: bool = False
    lidars: tuple[Lidar, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def used_options(self) -> tuple[str, ...]:
        """The options that the frames were put together by, beside those that choose lidars and points."""
        return ("image_tolerance", "max_pose_gap") if self.by_time and len(self.lidars) > 1 else ()

    def key_of(self, name: str) -> FrameKey:
        """What the frame of that name is matched by: the name of a point file, or its stem, in whatever folder."""
        name = name.strip().replace("\\", "/").rpartition("/")[2]
        stem = point_stem(name) or name
        times = times_in_names([stem]) if self.by_time else None
        return frame_key(stem) if times is None else frame_key(str(times[0]))


def files_of(folder: Path, options: OpenOptions, *, but: Sequence[str] = ()) -> PointSources:
    """The point files of a folder, one a frame, `but` for those of these names.

    Raises:
        SceneError: Two files belong to one frame.
    """

    def stem_of(name: str) -> str | None:
        return None if name in but else point_stem(name)

    stems = [stem for stem in map(stem_of, visible_names(folder)) if stem is not None]
    times = times_in_names(stems)
    if times is None or not times:
        files = files_by_frame(folder, stem_of)
        return PointSources(tuple(_source(path, key, None, options) for key, path in files.items()))
    time_of = dict(zip(stems, times, strict=True))
    files = files_by_frame(folder, stem_of, key_of=lambda stem: frame_key(str(time_of[stem])))
    sources = (_source(path, key, time_of[stem_of(path.name) or ""], options) for key, path in files.items())
    return PointSources(tuple(sources), by_time=True)


def file_source(path: Path, options: OpenOptions) -> PointSources:
    """One point file as the only frame."""
    stem = point_stem(path.name) or path.stem
    times = times_in_names([stem])
    if times is None:
        return PointSources((_source(path, frame_key(stem), None, options),))
    return PointSources((_source(path, frame_key(str(times[0])), times[0], options),), by_time=True)


def _source(path: Path, key: FrameKey, timestamp: int | None, options: OpenOptions) -> PointSource:
    points_frame = options.points_frame or "ego"
    return PointSource(path, key, timestamp, partial(read_points, path, points_frame), point_chunks(path, points_frame))
