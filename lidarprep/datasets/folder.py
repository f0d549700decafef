"""A plain folder of point files, one a frame, with poses from one file beside; and a single point file.

The frames are in the order of the numbers in the files' names; or of the times, where the names are times, which the
frames then have. Several lidars may lie side by side in it: see point_folder.

The poses file is the one given, or else the first of POSES_NAMES in the folder, then in the folder above it; see
pose_files for its kinds. Its poses are matched to the frames by name, by time, or in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lidarprep.datasets.association import poses_of_table
from lidarprep.datasets.filenames import FrameKey, passed_over, source_files, visible
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.point_folder import (
    PointSources,
    at_frame_times,
    files_of,
    has_lidars,
    lidar_sources,
    sources_of,
)
from lidarprep.datasets.pose_files import read_poses
from lidarprep.datasets.poses import PoseTable
from lidarprep.datasets.selection import unused_options
from lidarprep.errors import FormatError, SceneError
from lidarprep.pointfiles import is_point_file, point_suffix, point_suffixes
from lidarprep.scene import Frame, Pose, Scene, Trajectory

# The options that this layout looks at; cameras, of which it has none, are refused by name once it is open.
USED_OPTIONS = ("points_frame", "poses", "lidars", "cameras", "max_pose_gap", "time_unit")

POSES_NAMES = ("poses.json", "poses.csv", "poses.txt", "poses.tum")

LOOKS_LIKE = (
    f"a folder of point files, or of lidars/NAME/ with point files and extrinsics.json; "
    f"with {', '.join(POSES_NAMES[:-1])} or {POSES_NAMES[-1]} in it or beside it"
)


def detect(path: Path) -> str | None:
    """Say why this is a folder of point files; None if it is not."""
    if not path.is_dir():
        return None
    names = (file.name for file in visible(path) if is_point_file(file))
    # A table of poses may have the name of a table of points.
    first = next((name for name in names if name not in POSES_NAMES), None)
    if first is not None:
        return f"it holds point files, such as {first}"
    return "it has a folder lidars/ with point files" if has_lidars(path) else None


def open(path: Path, options: OpenOptions) -> Scene:
    """Open a folder of point files.

    Without a poses file the frames have no pose, unless there is only one: then the world is that frame's own.

    Raises:
        SceneError: There is no point file, two belong to one frame, or the poses cannot be matched to them.
        FormatError: The poses file is not what it should be.
    """
    if not path.is_dir():
        raise SceneError(f"{path} is not a folder", fix=f"Expected is {LOOKS_LIKE}.")
    poses_path = options.poses or _find_poses(path)
    # A table of poses in the folder may have the suffix of a table of points.
    is_inside = poses_path is not None and poses_path.resolve().parent == path.resolve()
    but = (*POSES_NAMES, poses_path.name) if poses_path is not None and is_inside else POSES_NAMES
    sources = files_of(path, options.points_frame, but=but, unit=options.points_unit)
    if not sources.sources and has_lidars(path):
        sources = lidar_sources(path, options)
    if not sources.sources:
        raise SceneError(f"{path} holds no point file", fix=f"Expected is {LOOKS_LIKE}.")
    scene = _scene_of_files(path, "folder", sources, poses_path, options)
    notes = [*scene.notes, *passed_over(path, but=but)]
    if not sources.lidars and has_lidars(path):
        notes.append("the folder lidars/ is not read, since there are point files beside it")
    if poses_path is None and (path.absolute().parent / "poses").is_dir():
        notes.append("the folder above has a folder poses/: if it is a toolkit folder, open that one")
    return replace(scene, notes=tuple(notes))


def _find_poses(folder: Path) -> Path | None:
    candidates = (place / name for place in (folder, folder.absolute().parent) for name in POSES_NAMES)
    return next((path for path in candidates if path.is_file()), None)


class SingleFile:
    """The layout of one point file: a scene of one frame, whose world is the file's own frame unless a pose is given.

    The poses file holds one pose; or it names the file's, or has times around the time that the file is named by.
    """

    LOOKS_LIKE = f"a point file: {' '.join(sorted(point_suffixes(named=True)))}"

    @staticmethod
    def detect(path: Path) -> str | None:
        """Say why this is a point file; None if it is not."""
        suffix = point_suffix(path, named=True)
        return f"its name ends in {suffix}" if suffix is not None and path.is_file() else None

    @staticmethod
    def open(path: Path, options: OpenOptions) -> Scene:
        """Open one point file.

        Raises:
            SceneError: Its name is not that of a point file, or no pose of the poses file can be matched to it.
            FormatError: The poses file is not what it should be.
        """
        if SingleFile.detect(path) is None:
            raise SceneError(f"{path} is not a point file", fix=f"Expected is {SingleFile.LOOKS_LIKE}.")
        return _scene_of_files(
            path, "file", sources_of([path], options.points_frame or "ego", options.points_unit), options.poses, options
        )


def _scene_of_files(
    path: Path, layout: str, sources: PointSources, poses_path: Path | None, options: OpenOptions
) -> Scene:
    table = None if poses_path is None else read_poses(poses_path, options.frames_unit)
    poses = _without_poses(sources, options) if table is None else _match_poses(sources, table, options)
    frames = tuple(
        Frame(
            id=source.id,
            index=index,
            read_points=source.read_points,
            read_chunks=source.read_chunks,
            world_from_ego=pose,
            timestamp=timestamp,
            sources=source_files(source.files),
        )
        for index, (source, pose, timestamp) in enumerate(
            zip(sources.sources, poses.poses, poses.timestamps, strict=True)
        )
    )
    scene = Scene(
        str(path),
        layout,
        frames,
        points_frame=options.points_frame or "ego",
        notes=(*poses.notes, *sources.notes, *unused_options(options, (*USED_OPTIONS, *sources.used_options))),
        lidars=sources.lidars,
        trajectory=poses.trajectory,
        findings=(*sources.findings, *(() if table is None else table.findings)),
    )
    return at_frame_times(scene, sources, options, [] if poses_path is None else [poses_path] * len(frames))


# ---- poses ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _FramePoses:
    """The frames' poses and timestamps, as far as they are known, and notes on how they were matched."""

    poses: Sequence[Pose | None]  # world_from_ego, one a frame
    timestamps: Sequence[int | None]  # nanoseconds since the Unix epoch, one a frame
    trajectory: Trajectory | None = None  # world_from_ego as dense as the file has it, where it has times
    notes: tuple[str, ...] = ()


def _without_poses(sources: PointSources, options: OpenOptions) -> _FramePoses:
    count = len(sources.sources)
    times = [source.timestamp for source in sources.sources]
    if options.points_frame == "world":
        note = "no poses: where the device is in the world is not known"
    elif count == 1:
        note = "no poses: the world is the file's own frame of reference, with the device at its origin"
        return _FramePoses([Pose.identity()], times, notes=(note,))
    else:
        note = (
            f"no poses: none of {', '.join(POSES_NAMES)} is in the folder or above it; "
            "without them points can only be used if they are in the world frame already"
        )
    return _FramePoses([None] * count, times, notes=(note,))


def _match_poses(frames: PointSources, table: PoseTable, options: OpenOptions) -> _FramePoses:
    """Match the poses of a file to the frames of a folder.

    By name, where the file names one for each frame; or else by time, where the names of the point files are times and
    the poses have some; or else one a frame, in their order.
    """
    has_times = frames.by_time and table.timestamps is not None and len(table) > 0
    rows = None if table.names is None else _rows_by_name(frames, table, table.names, others_may_repeat=has_times)
    if rows is not None and all(source.key in rows for source in frames.sources):
        matched = _by_name(frames, table, rows)
    elif has_times:
        matched = _by_time(frames, table, options)
    elif rows is not None:
        lacking = next(source for source in frames.sources if source.key not in rows)
        raise SceneError(f"{table.path} has no pose for {lacking.path.name}", fix="Add it under the file's stem.")
    else:
        matched = _in_order(frames, table)
    first = matched.notes[0]
    note = f"poses from {table.path}, read as {table.kind}, are taken as world from ego and matched {first}"
    if table.kind == "KITTI":
        note += "; KITTI odometry's own files give the pose of camera 0, which this layout does not correct for"
    return replace(matched, notes=(note, *table.notes, *matched.notes[1:]))


def _rows_by_name(
    frames: PointSources, table: PoseTable, names: Sequence[str], *, others_may_repeat: bool
) -> dict[FrameKey, int]:
    """Return the row of each name; two of one frame are refused, since either may be the right one.

    If the poses have times to match by, names of no frame may repeat, such as one frame of reference in each row.
    """
    wanted = {source.key for source in frames.sources}
    rows: dict[FrameKey, int] = {}
    for row, name in enumerate(names):
        key = frames.key_of(name)
        if rows.setdefault(key, row) != row and (key in wanted or not others_may_repeat):
            raise FormatError(
                table.path, place=table.places[row], found="a second pose of one frame", expected="one a frame"
            )
    return rows


def _by_name(frames: PointSources, table: PoseTable, rows: dict[FrameKey, int]) -> _FramePoses:
    chosen = [rows[source.key] for source in frames.sources]
    left_over = len(table) - len(chosen)
    notes = ["by name"]
    trajectory = None
    if table.timestamps is not None:
        trajectory, more = table.trajectory()
        notes += more
    if left_over:
        notes.append(f"{left_over} poses in {table.path.name} belong to no point file")
    return _FramePoses(
        [table.pose(row) for row in chosen], _timestamps(frames, table, chosen), trajectory, tuple(notes)
    )


def _by_time(frames: PointSources, table: PoseTable, options: OpenOptions) -> _FramePoses:
    times = [source.time for source in frames.sources]
    fix = "Give both in the same clock; or name each file's pose, in a JSON object or a column 'file'."
    poses, trajectory, notes = poses_of_table(times, table, options, "point file", fix)
    return _FramePoses(poses, times, trajectory, ("by time", *notes))


def _in_order(frames: PointSources, table: PoseTable) -> _FramePoses:
    count = len(frames.sources)
    if len(table) != count:
        raise SceneError(
            f"{table.path} has {len(table)} poses for {count} point files",
            fix="Give one pose a point file, in the files' order; or name each frame's, in a JSON object or a CSV's "
            "column 'file'; or name the point files by their times, such as 1700000000123456789.pcd.",
        )
    rows = range(count)
    return _FramePoses([table.pose(row) for row in rows], _timestamps(frames, table, rows), notes=("in order",))


def _timestamps(frames: PointSources, table: PoseTable, rows: Sequence[int]) -> list[int | None]:
    """Return the times of the frames: those in the files' names, else those of their poses."""
    if frames.by_time:
        return [source.timestamp for source in frames.sources]
    return [None if table.timestamps is None else table.timestamps[row] for row in rows]
