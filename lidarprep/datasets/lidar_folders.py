"""Several lidars side by side in a folder, each with its point files and its extrinsics.

    lidars/NAME/N.pcd            points of one lidar, in its own frame; any point format
    lidars/NAME/extrinsics.json  {"heading": [w, x, y, z], "position": [x, y, z]}, ego from lidar

The lidars are numbered by the order of their names: that number is the device id (`d`) of their points. Files of one
number belong to one frame. Where the names of the files are times, a frame is a sweep of the first lidar, and a sweep
of another one belongs to the frame nearest to it within the tolerance of pictures (`image_tolerance`), each to one
frame at most; several_lidars says how a sweep of another time than its frame's is put into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lidarprep.datasets.asked_for import chosen
from lidarprep.datasets.json_values import pose_of, read_object
from lidarprep.datasets.matching import paired
from lidarprep.datasets.numbered import FrameKey, visible
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.point_sources import LidarSweep, PointSource, PointSources, files_of
from lidarprep.datasets.several_lidars import merge, motion_note, ways_to_frames
from lidarprep.errors import SceneError
from lidarprep.pointfiles import is_point_file, read_points
from lidarprep.scene import Lidar, PointCloud, ReferenceFrame, Scene

FOLDER = "lidars"


def has_lidars(path: Path) -> bool:
    """Whether a folder has a folder lidars/ with a folder of point files in it."""
    folder = path / FOLDER
    return folder.is_dir() and any(
        any(map(is_point_file, visible(place))) for place in visible(folder) if place.is_dir()
    )


def lidar_sources(path: Path, options: OpenOptions) -> PointSources:
    """The frames of the lidars in the folder lidars/, as far as their files tell.

    Raises:
        SceneError: A lidar has no extrinsics or no point file; there is none of a name that is asked for.
        FormatError: An extrinsics.json is not what it should be.
    """
    folders = _chosen([place for place in visible(path / FOLDER) if place.is_dir()], options.lidars)
    points_frame = options.points_frame or "ego"
    found: list[tuple[Lidar, PointSources]] = []
    notes: list[str] = []
    for index, folder in folders:
        files = files_of(folder, options)
        if not files.sources:
            raise SceneError(f"lidar {folder.name} has no point file in {folder}", fix="Add them, or move it away.")
        found.append((_lidar(folder, index, points_frame), files))
        notes += files.notes
    lidars = tuple(lidar for lidar, _ in found)
    if len({files.by_time for _, files in found}) > 1:
        timed = next(lidar.name for lidar, files in found if files.by_time)
        raise SceneError(
            f"the files of lidar {timed} are named by their times, and those of another lidar are not",
            fix="Name the files of all lidars by number, or all by time.",
        )
    groups = _by_time(found, options, notes) if found[0][1].by_time else _by_number(found, notes)
    sources = tuple(_merged(group, points_frame, with_device=len(lidars) > 1) for group in groups)
    return PointSources(sources, by_time=found[0][1].by_time, lidars=lidars, notes=tuple(notes))


Group = list[tuple[Lidar, PointSource]]


def _chosen(folders: list[Path], names: Sequence[str]) -> list[tuple[int, Path]]:
    taken = chosen([folder.name for folder in folders], names, "lidar")
    return [(index, folder) for index, folder in enumerate(folders) if folder.name in taken]


def _lidar(folder: Path, index: int, points_frame: ReferenceFrame) -> Lidar:
    if points_frame == "world":
        return Lidar(folder.name, index)
    extrinsics = folder / "extrinsics.json"
    if not extrinsics.is_file():
        raise SceneError(
            f"lidar {folder.name} has no extrinsics: {extrinsics} is missing",
            fix='Add it as {"heading": [w, x, y, z], "position": [x, y, z]}, ego from lidar; '
            "[1, 0, 0, 0] and [0, 0, 0] where its points are in ego already.",
        )
    return Lidar(folder.name, index, pose_of(extrinsics, read_object(extrinsics)).pose)


def _by_number(found: list[tuple[Lidar, PointSources]], notes: list[str]) -> list[Group]:
    """A frame for each number that a lidar has."""
    groups: dict[FrameKey, Group] = {}
    for lidar, files in found:
        for source in files.sources:
            groups.setdefault(source.key, []).append((lidar, source))
    for lidar, files in found:
        missing = len(groups) - len(files.sources)
        if missing:
            notes.append(f"lidar {lidar.name}: {missing} of {len(groups)} frames have no file there")
    return [groups[key] for key in sorted(groups)]


def _by_time(found: list[tuple[Lidar, PointSources]], options: OpenOptions, notes: list[str]) -> list[Group]:
    """A frame for each sweep of the first lidar."""
    first, frames = found[0]
    times = [source.time for source in frames.sources]
    groups: list[Group] = [[(first, source)] for source in frames.sources]
    for lidar, files in found[1:]:
        others = [source.time for source in files.sources]
        rows = paired(times, others, options.image_tolerance_ns)
        for group, row in zip(groups, rows.tolist(), strict=True):
            if row >= 0:
                group.append((lidar, files.sources[row]))
        within = f"within {options.image_tolerance:g} s (--image-tolerance)"
        missing, left_over = int((rows < 0).sum()), len(others) - int((rows >= 0).sum())
        if missing:
            notes.append(f"lidar {lidar.name}: {missing} of {len(times)} frames have no sweep of it {within}")
        if left_over:
            notes.append(f"lidar {lidar.name}: {left_over} of {len(others)} sweeps belong to no frame {within}")
    if len(found) > 1:
        notes.append(f"frames are the sweeps of lidar {first.name}; the others' are matched by time")
    return groups


def _merged(group: Group, points_frame: ReferenceFrame, *, with_device: bool) -> PointSource:
    first = group[0][1]
    sweeps = tuple(LidarSweep(source.path, lidar, source.timestamp) for lidar, source in group)
    return PointSource(
        first.path,
        first.key,
        first.timestamp,
        partial(_read_sweeps, sweeps, points_frame, with_device),
        # A lidar's sweep fits the memory; only one lidar's extrinsics would have to be put into chunks.
        read_chunks=None,
        sweeps=sweeps,
    )


def _read_sweeps(sweeps: tuple[LidarSweep, ...], points_frame: ReferenceFrame, with_device: bool) -> PointCloud:
    clouds = [read_points(sweep.path, "world" if points_frame == "world" else "sensor") for sweep in sweeps]
    if with_device:
        return merge(clouds, [sweep.lidar for sweep in sweeps], [sweep.way for sweep in sweeps])
    # A single lidar's points have a device only where its files say one.
    (cloud,), pose = clouds, sweeps[0].lidar.ego_from_lidar
    return cloud if pose is None else cloud.moved(pose, "ego")


def at_their_frames(scene: Scene, sources: PointSources, options: OpenOptions) -> Scene:
    """The scene with the sweeps of several lidars moved to their frames' timestamps, where their names are times.

    Args:
        scene: Its frames are the sources', in their order, with what is known of their poses.
        sources: What the frames' points come from.
        options: For the widest gap between poses.
    """
    if len(sources.lidars) < 2 or not sources.by_time or scene.points_frame == "world":
        return scene
    sweeps = {source.key: list(source.sweeps) for source in sources.sources}
    path, notes = scene.device_path(), []
    for lidar in sources.lidars:
        # Where each of this lidar's sweeps is: its frame, and its place among the sweeps of that frame.
        places = [
            (source, frame.timestamp, place, sweep.time)
            for source, frame in zip(sources.sources, scene.frames, strict=True)
            for place, sweep in enumerate(source.sweeps)
            if sweep.lidar.index == lidar.index and frame.timestamp is not None and sweep.time is not None
        ]
        ways = ways_to_frames([time for *_, time in places], [at for _, at, *_ in places], path, options)
        for (source, _, place, _), way in zip(places, ways, strict=True):
            sweeps[source.key][place] = replace(sweeps[source.key][place], way=way)
        notes += motion_note(f"sweeps of lidar {lidar.name}", ways, None)
    frames = tuple(
        replace(frame, read_points=partial(_read_sweeps, tuple(sweeps[source.key]), scene.points_frame, True))
        for source, frame in zip(sources.sources, scene.frames, strict=True)
    )
    return replace(scene, frames=frames, notes=(*scene.notes, *notes))
