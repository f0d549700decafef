"""A plain folder of point files, one a frame; poses from one file beside.

The frames are in the order of the numbers in the files' names; or of the times, where the names are times (see
named_times), which the frames then have. Several lidars may stand side by side in it: see lidar_folders.

The poses file is the one given, or else the first of POSES_NAMES in the folder, then in the folder above it; see
poses/file.py for what may be in it, and poses/matching.py for how it is matched.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lidarprep.datasets.asked_for import unused_options
from lidarprep.datasets.lidar_folders import at_their_frames, has_lidars, lidar_sources
from lidarprep.datasets.numbered import passed_over, visible
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.point_sources import PointSources, files_of
from lidarprep.datasets.poses.file import read_poses
from lidarprep.datasets.poses.matching import FramePoses, match_poses
from lidarprep.datasets.poses.table import PoseTable
from lidarprep.errors import SceneError
from lidarprep.pointfiles import is_point_file
from lidarprep.scene import Frame, Pose, Scene

# What this layout looks at; cameras, of which it has none, are refused by name once it is open.
USED_OPTIONS = ("points_frame", "poses", "lidars", "cameras", "max_pose_gap")

POSES_NAMES = ("poses.json", "poses.csv", "poses.txt", "poses.tum")

LOOKS_LIKE = (
    f"a folder of point files, or of lidars/NAME/ with point files and extrinsics.json; "
    f"with {', '.join(POSES_NAMES[:-1])} or {POSES_NAMES[-1]} in it or beside it"
)


def detect(path: Path) -> str | None:
    """Why this is a folder of point files, or None."""
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
    sources = files_of(path, options, but=but)
    if not sources.sources and has_lidars(path):
        sources = lidar_sources(path, options)
    if not sources.sources:
        raise SceneError(f"{path} holds no point file", fix=f"Expected is {LOOKS_LIKE}.")
    scene = scene_of_files(path, "folder", sources, None if poses_path is None else read_poses(poses_path), options)
    notes = [*scene.notes, *passed_over(path, but=but)]
    if not sources.lidars and has_lidars(path):
        notes.append("the folder lidars/ is not read, since there are point files beside it")
    if poses_path is None and (path.absolute().parent / "poses").is_dir():
        notes.append("the folder above has a folder poses/: if it is a toolkit folder, open that one")
    return replace(scene, notes=tuple(notes))


def scene_of_files(
    path: Path, layout: str, sources: PointSources, table: PoseTable | None, options: OpenOptions
) -> Scene:
    """Point files and their poses as a scene, whose notes say where the poses come from.

    Raises:
        SceneError: The poses cannot be matched to the files.
        FormatError: Two poses have the name of one frame.
    """
    points_frame = options.points_frame or "ego"
    poses = _without_poses(sources, options) if table is None else match_poses(sources, table, options)
    frames = tuple(
        Frame(
            id=source.id,
            index=index,
            read_points=source.read_points,
            read_chunks=source.read_chunks,
            world_from_ego=pose,
            timestamp=timestamp,
        )
        for index, (source, pose, timestamp) in enumerate(
            zip(sources.sources, poses.poses, poses.timestamps, strict=True)
        )
    )
    notes = (*poses.notes, *sources.notes, *unused_options(options, (*USED_OPTIONS, *sources.used_options)))
    lidars = sources.lidars
    scene = Scene(str(path), layout, frames, (), points_frame, notes, lidars=lidars, trajectory=poses.trajectory)
    return at_their_frames(scene, sources, options)


def _without_poses(sources: PointSources, options: OpenOptions) -> FramePoses:
    count = len(sources.sources)
    times = [source.timestamp for source in sources.sources]
    if count == 1 and options.points_frame != "world":
        note = "no poses: the world is the file's own frame of reference, with the device at its origin"
        return FramePoses([Pose.identity()], times, notes=(note,))
    if options.points_frame == "world":
        note = "no poses: where the device is in the world is not known"
    else:
        note = (
            f"no poses: none of {', '.join(POSES_NAMES)} is in the folder or above it; "
            "without them points can only be used if they are in the world frame already"
        )
    return FramePoses([None] * count, times, notes=(note,))


def _find_poses(folder: Path) -> Path | None:
    candidates = (place / name for place in (folder, folder.absolute().parent) for name in POSES_NAMES)
    return next((path for path in candidates if path.is_file()), None)
