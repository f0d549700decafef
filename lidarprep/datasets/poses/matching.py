"""The poses of a file, matched to the frames of a plain folder: by name, by time, or in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lidarprep.datasets.matching import poses_at
from lidarprep.datasets.numbered import FrameKey
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.point_sources import PointSources
from lidarprep.datasets.poses.table import PoseTable
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Pose, Trajectory


@dataclass(frozen=True)
class FramePoses:
    """What is known of the frames' poses.

    Args:
        poses: world_from_ego, one a frame; None for a frame without.
        timestamps: Nanoseconds since the Unix epoch, one a frame; None for a frame without.
        trajectory: world_from_ego as dense as the file has it; None where it has no times.
        notes: How they were matched, and what has no match, a sentence each.
    """

    poses: Sequence[Pose | None]
    timestamps: Sequence[int | None]
    trajectory: Trajectory | None = None
    notes: tuple[str, ...] = ()


def match_poses(frames: PointSources, table: PoseTable, options: OpenOptions) -> FramePoses:
    """The poses of a file for the frames of a folder.

    By name, where the file names one for each frame; or else by time, where the names of the point files are times and
    the poses have some; or else one a frame, in their order.

    Raises:
        SceneError: There is no pose for a frame that the file should name, the counts differ, or no frame is within the
            time of the poses.
        FormatError: Two poses have the name of one frame.
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
    """The row of each name; two of one frame are refused, since either may be the right one.

    Where there are times to go by, names that are no frame's may repeat: one frame of reference, say, in each row.
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
    chosen = [rows[source.key] for source in frames.sources]
    left_over = len(table) - len(chosen)
    notes = ["by name"]
    trajectory = None
    if table.timestamps is not None:
        trajectory, more = table.trajectory()
        notes += more
    if left_over:
        notes.append(f"{left_over} poses in {table.path.name} belong to no point file")
    return FramePoses([table.pose(row) for row in chosen], _timestamps(frames, table, chosen), trajectory, tuple(notes))


def _by_time(frames: PointSources, table: PoseTable, options: OpenOptions) -> FramePoses:
    times = [source.time for source in frames.sources]
    trajectory, notes = table.trajectory()
    poses, missing = poses_at(times, trajectory, options)
    if all(pose is None for pose in poses):
        raise SceneError(
            f"no point file is within the time of the poses: files are from {times[0]} to {times[-1]} ns, poses in "
            f"{table.path} from {trajectory.timestamps[0]} to {trajectory.timestamps[-1]} ns, "
            f"and gaps over {options.max_pose_gap:g} s are not bridged (--max-pose-gap)",
            fix="Give both in the same clock; or name each file's pose, in a JSON object or a column 'file'.",
        )
    return FramePoses(poses, times, trajectory, ("by time", *notes, *missing))


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


def _timestamps(frames: PointSources, table: PoseTable, rows: Sequence[int]) -> list[int | None]:
    """The times of the frames: those in the files' names, else those of their poses."""
    if frames.by_time:
        return [source.timestamp for source in frames.sources]
    return [None if table.timestamps is None else table.timestamps[row] for row in rows]
