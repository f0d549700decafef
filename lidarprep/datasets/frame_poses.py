"""The poses of a file, matched to the frames of a folder: by name, by time, or one a frame in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lidarprep.datasets.association import poses_of_table
from lidarprep.datasets.filenames import FrameKey
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.point_folder import PointSources
from lidarprep.datasets.poses import PoseTable
from lidarprep.datasets.selection import listed
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Pose, Trajectory


@dataclass(frozen=True)
class FramePoses:
    """The frames' poses and timestamps, as far as they are known, and notes on how they were matched."""

    poses: Sequence[Pose | None]  # world_from_ego, one a frame
    timestamps: Sequence[int | None]  # nanoseconds since the Unix epoch, one a frame
    trajectory: Trajectory | None = None  # world_from_ego as dense as the file has it, where it has times
    notes: tuple[str, ...] = ()


def match_poses(frames: PointSources, table: PoseTable, options: OpenOptions) -> FramePoses:
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
        if not any(source.key in rows for source in frames.sources):
            lacking = frames.sources[0]
            raise SceneError(f"{table.path} has no pose for {lacking.path.name}", fix="Add it under the file's stem.")
        matched = _by_name(frames, table, rows)
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


def _by_name(frames: PointSources, table: PoseTable, rows: dict[FrameKey, int]) -> FramePoses:
    chosen = [rows.get(source.key) for source in frames.sources]
    notes = ["by name"]
    trajectory = None
    if table.timestamps is not None:
        trajectory, more = table.trajectory()
        notes += more
    lacking = [source.path.name for source, row in zip(frames.sources, chosen, strict=True) if row is None]
    if lacking:
        notes.append(
            f"{len(lacking)} of {len(chosen)} frames have no pose: {table.path.name} does not name {listed(lacking)}"
        )
    left_over = len(table) - (len(chosen) - len(lacking))
    if left_over:
        notes.append(f"{left_over} poses in {table.path.name} belong to no point file")
    poses = [None if row is None else table.pose(row) for row in chosen]
    return FramePoses(poses, _timestamps(frames, table, chosen), trajectory, tuple(notes))


def _by_time(frames: PointSources, table: PoseTable, options: OpenOptions) -> FramePoses:
    times = [source.time for source in frames.sources]
    fix = "Give both in the same clock; or name each file's pose, in a JSON object or a column 'file'."
    poses, trajectory, notes = poses_of_table(times, table, options, "point file", fix)
    return FramePoses(poses, times, trajectory, ("by time", *notes))


def _in_order(frames: PointSources, table: PoseTable) -> FramePoses:
    count = len(frames.sources)
    if len(table) != count:
        raise SceneError(
            f"{table.path} has {len(table)} poses for {count} point files",
            fix="Give one pose a point file, in the files' order; or name each frame's, in a JSON object or a CSV's "
            "column 'file'; or name the point files by their times, such as 1700000000123456789.pcd.",
        )
    rows = range(count)
    return FramePoses([table.pose(row) for row in rows], _timestamps(frames, table, rows), notes=("in order",))


def _timestamps(frames: PointSources, table: PoseTable, rows: Sequence[int | None]) -> list[int | None]:
    """Return the times of the frames: those in the files' names, else those of their poses."""
    if frames.by_time:
        return [source.timestamp for source in frames.sources]
    stamps = table.timestamps
    return [None if stamps is None or row is None else stamps[row] for row in rows]
