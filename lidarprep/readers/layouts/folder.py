"""A plain folder of point files, one a frame, in the order of the numbers in their names; poses from one file beside.

The poses file is the one given, or else the first of POSES_NAMES in the folder, then in the folder above it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from lidarprep.errors import SceneError
from lidarprep.readers.layouts.json_values import StampedPose
from lidarprep.readers.layouts.numbered import FrameKey, files_by_frame, passed_over, point_stem, visible
from lidarprep.readers.layouts.options import OpenOptions
from lidarprep.readers.layouts.poses_file import Poses, read_poses
from lidarprep.readers.points import is_point_file, read_points
from lidarprep.scene import Frame, Pose, Scene

LOOKS_LIKE = "a folder of point files, with poses.json, poses.txt or poses.tum in it or beside it"

POSES_NAMES = ("poses.json", "poses.txt", "poses.tum")


def detect(path: Path) -> str | None:
    """Why this is a folder of point files, or None."""
    if not path.is_dir():
        return None
    first = next((file.name for file in visible(path) if is_point_file(file)), None)
    return None if first is None else f"it holds point files, such as {first}"


def open(path: Path, options: OpenOptions) -> Scene:
    """Open a folder of point files.

    Without a poses file the frames have no pose, unless there is only one: then the world is that frame's own.

    Raises:
        SceneError: There is no point file, two belong to one frame, or the poses are not one a file, or not in time
            order.
        FormatError: The poses file is not what it should be.
    """
    files = files_by_frame(path, point_stem)
    if not files:
        raise SceneError(f"{path} holds no point file", fix=f"Expected is {LOOKS_LIKE}.")
    poses_path = options.poses or _find_poses(path)
    scene = scene_of_files(path, "folder", files, None if poses_path is None else read_poses(poses_path), options)
    notes = [*scene.notes, *passed_over(path, but=POSES_NAMES)]
    if poses_path is None and (path.absolute().parent / "poses").is_dir():
        notes.append("the folder above has a folder poses/: if it is a toolkit folder, open that one")
    return replace(scene, notes=tuple(notes))


def scene_of_files(
    path: Path, layout: str, files: dict[FrameKey, Path], poses: Poses | None, options: OpenOptions
) -> Scene:
    """Point files and their poses as a scene, whose notes say where the poses come from.

    Raises:
        SceneError: The poses are not one a file, or not in time order.
    """
    points_frame = options.points_frame or "ego"
    stamped: list[StampedPose | None]
    if poses is not None:
        matched, left_over = poses.match(files)
        stamped, notes = [*matched], [_where_from(poses), *left_over]
    elif len(files) == 1 and points_frame == "ego":
        stamped = [StampedPose(Pose.identity())]
        notes = ["no poses: the world is the file's own frame of reference, with the device at its origin"]
    elif points_frame == "world":
        stamped = [None] * len(files)
        notes = ["no poses: where the device is in the world is not known"]
    else:
        stamped = [None] * len(files)
        notes = [
            f"no poses: none of {', '.join(POSES_NAMES)} is in the folder or above it; "
            "without them points can only be used if they are in the world frame already"
        ]
    frames = tuple(
        Frame(
            id=point_stem(file) or file.name,
            index=index,
            read_points=partial(read_points, file, points_frame),
            world_from_ego=None if pose is None else pose.pose,
            timestamp=None if pose is None else pose.timestamp,
        )
        for index, (file, pose) in enumerate(zip(files.values(), stamped, strict=True))
    )
    return Scene(str(path), layout, frames, (), points_frame, tuple(notes))


def _find_poses(folder: Path) -> Path | None:
    candidates = (place / name for place in (folder, folder.absolute().parent) for name in POSES_NAMES)
    return next((path for path in candidates if path.is_file()), None)


def _where_from(poses: Poses) -> str:
    note = f"poses from {poses.path}, read as {poses.kind}, are taken as world from ego"
    if poses.kind == "KITTI":
        note += "; KITTI odometry's own files give the pose of camera 0, which this layout does not correct for"
    return note
