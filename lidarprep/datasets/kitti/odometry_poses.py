"""The poses of a KITTI odometry sequence: its own, in rows a frame, or those of a file that is given."""

from __future__ import annotations

from pathlib import Path

from lidarprep.datasets.matching import poses_at
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.poses.file import read_poses
from lidarprep.datasets.poses.table import PoseTable, table_of_poses
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Pose, Trajectory


def read_sequence_poses(
    sequence: Path, files: dict[int, Path], stamps: dict[int, int], camera_0_from_ego: Pose, options: OpenOptions
) -> tuple[dict[int, Pose], Trajectory | None, list[str]]:
    """world_from_ego by the frame's number, and over time where the poses have times of their own; and notes."""
    given = options.poses
    whole = sequence.absolute()
    path = given or _find_poses(whole)
    if path is None:
        note = (
            f"no poses: neither {whole.parent.parent.name}/poses/{whole.name}.txt nor {whole.name}/poses.txt is there "
            "(--poses FILE)"
        )
        return {}, None, [note]
    table = read_poses(path)
    if given is None and table.kind != "KITTI":
        raise FormatError(path, found=f"rows as {table.kind} has them", expected="12 numbers a row: 3×4 matrices")
    if table.timestamps is not None and stamps:
        return _by_time(table, stamps, len(files), options)
    if table.names is not None or table.timestamps is not None:
        by = "name" if table.timestamps is None else "time, and there is no times.txt with the times of the frames"
        raise FormatError(
            path, found=f"poses by {by}", expected="one a frame, in order", fix="Give rows of 12 numbers, one a frame."
        )
    poses = {number: _world_from_ego(table, number, camera_0_from_ego) for number in files if number < len(table)}
    notes = [
        f"poses from {path.name} are those of camera 0; the world is the Velodyne's frame of the first one"
        if table.kind == "KITTI"
        else f"poses from {path.name}, read as {table.kind}, are taken as world from ego"
    ]
    if len(poses) < len(files):
        notes.append(f"{len(files) - len(poses)} of {len(files)} frames have no pose: {path.name} has {len(table)}")
    left_over = len(table) - len(poses)
    if left_over:
        notes.append(f"{left_over} poses in {path.name} belong to no sweep")
    return poses, None, notes


def _by_time(
    table: PoseTable, stamps: dict[int, int], frames: int, options: OpenOptions
) -> tuple[dict[int, Pose], Trajectory, list[str]]:
    """Poses with times for the frames that have some."""
    trajectory, notes = table.trajectory()
    found, missing = poses_at(list(stamps.values()), trajectory, options)
    poses = {number: pose for number, pose in zip(stamps, found, strict=True) if pose is not None}
    if not poses:
        raise SceneError(
            f"no frame is within the time of the poses: frames are from {min(stamps.values())} to "
            f"{max(stamps.values())} ns after the start of the sequence, poses in {table.path} from "
            f"{trajectory.timestamps[0]} to {trajectory.timestamps[-1]} ns, and gaps over {options.max_pose_gap:g} s "
            "are not bridged (--max-pose-gap)",
            fix="Count the poses' times from the start of the sequence; or give rows of 12 numbers, one a frame.",
        )
    untimed = frames - len(stamps)
    return (
        poses,
        trajectory,
        [
            f"poses from {table.path.name}, read as {table.kind}, are taken as world from ego and matched by time",
            *table.notes,
            *notes,
            *missing,
            *([f"{untimed} of {frames} frames have no time, and so no pose"] if untimed else []),
        ],
    )


def _find_poses(sequence: Path) -> Path | None:
    candidates = (sequence.parent.parent / "poses" / f"{sequence.name}.txt", sequence / "poses.txt")
    return next((path for path in candidates if path.is_file()), None)


def _world_from_ego(table: PoseTable, row: int, camera_0_from_ego: Pose) -> Pose:
    pose = table.pose(row)
    return camera_0_from_ego.inverse() @ pose @ camera_0_from_ego if table.kind == "KITTI" else pose


def trajectory_of(sequence: Path, times: list[int], poses: dict[int, Pose]) -> tuple[Trajectory | None, list[str]]:
    """The poses of the frames that have a time, over time, and notes; None where no frame has both."""
    timed = {number: pose for number, pose in poses.items() if number < len(times)}
    if not timed:
        return None, []
    places = [f"frame {number}" for number in timed]
    stamps = [times[number] for number in timed]
    return table_of_poses(sequence / "times.txt", "KITTI", list(timed.values()), places, stamps).trajectory()
