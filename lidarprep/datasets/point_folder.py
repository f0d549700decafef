"""The point files of a folder as the frames that they make: order, times, readers; of one lidar or of several.

    N.pcd                        a frame; any point format. N is a number, or a time (see filenames)

Or several lidars side by side:

    lidars/NAME/N.pcd            points of one lidar, in its own frame
    lidars/NAME/extrinsics.json  {"heading": [w, x, y, z], "position": [x, y, z]}, ego from lidar

The lidars are numbered by the order of their names: that number is the device id (`d`) of their points. Files of one
number belong to one frame. Where the names of the files are times, a frame is a sweep of the first lidar, and a sweep
of another one belongs to the frame nearest to it within the tolerance of images (`image_tolerance`), each to one
frame at most; multi_lidar says how a sweep of another time than its frame's is moved.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter

from lidarprep.datasets.association import paired, unmatched
from lidarprep.datasets.filenames import (
    FrameKey,
    by_key,
    frame_key,
    named_times,
    point_stem,
    source_file,
    times_in_names,
    visible,
    visible_names,
)
from lidarprep.datasets.multi_lidar import LidarSweep, cloud_transforms, motion_note, read_sweeps
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.poses import read_pose
from lidarprep.datasets.selection import selected
from lidarprep.errors import SceneError
from lidarprep.pointfiles import is_point_file, point_chunks, point_sample, read_points, takes_columns
from lidarprep.remote import AnyPath
from lidarprep.scene import Finding, Lidar, PointCloud, ReferenceFrame, Scene
from lidarprep.scene.points import TimeUnit

LIDARS = "lidars"
EXTRINSICS = "extrinsics.json"


@dataclass(frozen=True)
class PointSource:
    """The files and readers of one frame's points."""

    path: AnyPath  # of several lidars the first one's
    key: FrameKey  # that poses and images are matched by: the number in the file's name, or its time
    timestamp: int | None  # nanoseconds since the Unix epoch, where the file's name says it
    read_points: Callable[[], PointCloud]
    read_chunks: Callable[[], Iterator[PointCloud]] | None = None
    read_sample: Callable[[], PointCloud] | None = None
    # The lidars and their files that it is put together from; empty where no lidars are named.
    sweeps: tuple[tuple[Lidar, PointSource], ...] = ()

    @property
    def id(self) -> str:
        """The name of the frame."""
        return point_stem(self.path.name) or self.path.stem

    @property
    def files(self) -> list[AnyPath]:
        """All files that its points are read from."""
        if not self.sweeps:
            return [self.path]
        extrinsics = [one.path.parent / EXTRINSICS for lidar, one in self.sweeps if lidar.ego_from_lidar is not None]
        return [*(one.path for _, one in self.sweeps), *extrinsics]

    @property
    def time(self) -> int:
        """The time in the file's name; it is a SceneError if there is none."""
        if self.timestamp is None:
            raise SceneError(f"{self.path} has no time in its name")
        return self.timestamp


@dataclass(frozen=True)
class PointSources:
    """The frames of a recording, as far as its point files tell, and what was found odd."""

    sources: tuple[PointSource, ...]  # one a frame, in the order of their numbers, or of their times
    by_time: bool = False  # the files' names are times
    lidars: tuple[Lidar, ...] = ()  # where the recording names them
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    takes_columns: bool = False  # a file may leave the columns' names to the user

    @property
    def used_options(self) -> tuple[str, ...]:
        """The options that the frames were put together by, beside those that choose lidars and points."""
        of_times = ("image_tolerance", "max_pose_gap") if self.by_time and len(self.lidars) > 1 else ()
        return (*of_times, "columns") if self.takes_columns else of_times

    def key_of(self, name: str) -> FrameKey:
        """Return the key of the frame of that name: the name of a point file, or its stem, in whatever folder."""
        name = name.strip().replace("\\", "/").rpartition("/")[2]
        stem = point_stem(name) or name
        return _key_by_time(stem) if self.by_time else frame_key(stem)


def _key_by_time(stem: str) -> FrameKey:
    """Return the key of a name that is a time, in whatever way it is written."""
    times = times_in_names([stem])
    return frame_key(stem if times is None else str(times[0]))


def files_of(
    folder: AnyPath,
    points_frame: ReferenceFrame | None,
    columns: str | None,
    *,
    but: Sequence[str] = (),
    unit: TimeUnit | None = None,
) -> PointSources:
    """Return the point files of a folder, one a frame, `but` for those of these names.

    Their points are in the frame of reference that is given, or else in ego; their times in the unit, or a guess;
    `columns` as for `read_points`.

    Raises:
        SceneError: Two files belong to one frame.
    """

    names = [name for name in visible_names(folder) if name not in but and point_stem(name) is not None]
    return sources_of([folder / name for name in names], points_frame or "ego", columns, unit)


def sources_of(
    paths: Sequence[AnyPath], points_frame: ReferenceFrame, columns: str | None, unit: TimeUnit | None = None
) -> PointSources:
    """Return point files, one a frame."""
    stems = [point_stem(path.name) or path.stem for path in paths]
    folder = paths[0].parent.name if paths else ""
    named = named_times(stems, folder)
    if named.times is None:
        files, time_of = by_key(zip(map(frame_key, stems), paths, strict=True)), {}
    else:
        time_of = {path: time for path, time in zip(paths, named.times, strict=True) if time is not None}
        keys = dict(zip(paths, map(_key_by_time, stems), strict=True))
        found = by_key((keys[path], path) for path in time_of)
        files = dict(sorted(found.items(), key=lambda item: time_of[item[1]]))
    sources = (
        PointSource(
            path,
            key,
            time_of.get(path),
            partial(read_points, path, points_frame, columns, unit),
            point_chunks(path, points_frame),
            point_sample(path, points_frame),
        )
        for key, path in files.items()
    )
    return PointSources(
        tuple(sources),
        by_time=named.times is not None,
        notes=named.notes,
        findings=named.findings,
        takes_columns=any(map(takes_columns, paths)),
    )


# ---- several lidars ------------------------------------------------------------------------------------------------

_Group = list[tuple[Lidar, PointSource]]


def has_lidars(path: AnyPath) -> bool:
    """Return whether a folder has a folder lidars/ with a folder of point files in it."""
    folder = path / LIDARS
    return folder.is_dir() and any(
        any(map(is_point_file, visible(place))) for place in visible(folder) if place.is_dir()
    )


def lidar_sources(path: AnyPath, options: OpenOptions) -> PointSources:
    """Return the frames of the lidars in the folder lidars/, as far as their files tell.

    Raises:
        SceneError: A lidar has no extrinsics or no point file; there is none of a name that is asked for.
        FormatError: An extrinsics.json is not what it should be.
    """
    folders = [place for place in visible(path / LIDARS) if place.is_dir()]
    taken = selected([folder.name for folder in folders], options.lidars, "lidar")
    points_frame: ReferenceFrame = "world" if options.points_frame == "world" else "sensor"
    found: list[tuple[Lidar, PointSources]] = []
    notes: list[str] = []
    findings: list[Finding] = []
    for index, folder in enumerate(folders):
        if folder.name not in taken:
            continue
        files = files_of(folder, points_frame, options.columns, unit=options.points_unit)
        if not files.sources:
            raise SceneError(f"lidar {folder.name} has no point file in {folder}", fix="Add them, or move it away.")
        found.append((_lidar(folder, index, points_frame), files))
        notes += files.notes
        findings += files.findings
    lidars = tuple(lidar for lidar, _ in found)
    if len({files.by_time for _, files in found}) > 1:
        timed = next(lidar.name for lidar, files in found if files.by_time)
        raise SceneError(
            f"the files of lidar {timed} are named by their times, and those of another lidar are not",
            fix="Name the files of all lidars by number, or all by time.",
        )
    groups = _by_time(found, options, notes) if found[0][1].by_time else _by_number(found, notes)
    sources = tuple(_merged(group, several=len(lidars) > 1) for group in groups)
    return PointSources(
        sources,
        by_time=found[0][1].by_time,
        lidars=lidars,
        notes=tuple(notes),
        findings=tuple(findings),
        takes_columns=any(files.takes_columns for _, files in found),
    )


def _lidar(folder: AnyPath, index: int, points_frame: ReferenceFrame) -> Lidar:
    if points_frame == "world":
        return Lidar(folder.name, index)
    extrinsics = folder / EXTRINSICS
    if not extrinsics.is_file():
        raise SceneError(
            f"lidar {folder.name} has no extrinsics: {extrinsics} is missing",
            fix='Add it as {"heading": [w, x, y, z], "position": [x, y, z]}, ego from lidar; '
            "[1, 0, 0, 0] and [0, 0, 0] where its points are in ego already.",
        )
    return Lidar(folder.name, index, read_pose(extrinsics).pose)


def _by_number(found: list[tuple[Lidar, PointSources]], notes: list[str]) -> list[_Group]:
    """Make a frame of each number that a lidar has."""
    groups: dict[FrameKey, _Group] = {}
    for lidar, files in found:
        for source in files.sources:
            groups.setdefault(source.key, []).append((lidar, source))
    for lidar, files in found:
        missing = len(groups) - len(files.sources)
        if missing:
            notes.append(f"lidar {lidar.name}: {missing} of {len(groups)} frames have no file there")
    return [groups[key] for key in sorted(groups)]


def _by_time(found: list[tuple[Lidar, PointSources]], options: OpenOptions, notes: list[str]) -> list[_Group]:
    """Make a frame of each sweep of the first lidar."""
    first, frames = found[0]
    times = [source.time for source in frames.sources]
    groups: list[_Group] = [[(first, source)] for source in frames.sources]
    for lidar, files in found[1:]:
        others = [source.time for source in files.sources]
        rows = paired(times, others, options.image_tolerance_ns)
        for group, row in zip(groups, rows.tolist(), strict=True):
            if row >= 0:
                group.append((lidar, files.sources[row]))
        notes += unmatched(f"lidar {lidar.name}", "sweep of it", rows, options)
        left_over = len(others) - int((rows >= 0).sum())
        if left_over:
            within = f"within {options.image_tolerance:g} s (--image-tolerance)"
            notes.append(f"lidar {lidar.name}: {left_over} of {len(others)} sweeps belong to no frame {within}")
    if len(found) > 1:
        notes.append(f"frames are the sweeps of lidar {first.name}; the others' are matched by time")
    return groups


def _merged(group: _Group, *, several: bool) -> PointSource:
    first = group[0][1]
    # No chunks: a lidar's sweep fits the memory. A single lidar's points have a device only where its files say one.
    read = partial(read_sweeps, tuple(LidarSweep(source.read_points, lidar) for lidar, source in group), several)
    return PointSource(first.path, first.key, first.timestamp, read, sweeps=tuple(group))


def at_frame_times(
    scene: Scene, sources: PointSources, options: OpenOptions, pose_files: Sequence[AnyPath | None]
) -> Scene:
    """Move the sweeps of several lidars to their frames' timestamps, if their names are times.

    Args:
        scene: Its frames are the sources', in their order, with what is known of their poses.
        sources: The frames' points, which have times if their names are times.
        options: For the widest gap between poses.
        pose_files: The file of each frame's pose, None where it has none; sweeps are moved by those of the frames
            around them, too.
    """
    if len(sources.lidars) < 2 or not sources.by_time or scene.points_frame == "world":
        return scene
    sweeps: list[list[LidarSweep]] = [[] for _ in scene.frames]
    trajectory, notes = scene.device_path(), []
    for lidar in sources.lidars:
        # Each of this lidar's sweeps: the index of its frame, its file, and the times of both.
        places = [
            (index, one, one.time, frame.timestamp)
            for index, (source, frame) in enumerate(zip(sources.sources, scene.frames, strict=True))
            for swept_by, one in source.sweeps
            if swept_by == lidar and frame.timestamp is not None
        ]
        transforms = cloud_transforms(
            [stamp for *_, stamp, _ in places], [timestamp for *_, timestamp in places], trajectory, options
        )
        for (index, one, *_), transform in zip(places, transforms, strict=True):
            sweeps[index].append(LidarSweep(one.read_points, lidar, transform))
        notes += motion_note(f"sweeps of lidar {lidar.name}", transforms, None)
    posed = [(row, path) for row, path in enumerate(pose_files) if path is not None]
    pose_sources = {path: source_file(path) for _, path in posed}

    def moved_by(index: int) -> list[AnyPath]:
        first = max(0, bisect_left(posed, index, key=itemgetter(0)) - 1)
        last = bisect_right(posed, index, key=itemgetter(0)) + 1
        return [path for _, path in posed[first:last]]

    frames = tuple(
        replace(
            frame,
            read_points=partial(read_sweeps, tuple(sweeps[index]), True),
            sources=(
                *frame.sources,
                *(pose_sources[path] for path in dict.fromkeys(moved_by(index))),
            ),
        )
        for index, frame in enumerate(scene.frames)
    )
    return replace(scene, frames=frames, notes=(*scene.notes, *notes))
