"""A plain folder of point files, one a frame, with poses from one file beside; and a single point file.

The frames are in the order of the numbers in the files' names; or of the times, where the names are times, which the
frames then have. Several lidars may lie side by side in it: see point_folder.

The poses file is the one given, or else the first of POSES_NAMES in the folder, then in the folder above it; see
pose_files for its kinds. Its poses are matched to the frames by name, by time, or in order.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

from lidarprep.datasets.filenames import folders_in, names_around, passed_over, source_files, visible
from lidarprep.datasets.frame_poses import FramePoses, match_poses
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.point_folder import (
    LIDARS,
    PointSources,
    at_frame_times,
    files_of,
    has_lidars,
    lidar_sources,
    sources_of,
)
from lidarprep.datasets.pose_files import read_poses
from lidarprep.datasets.selection import listed, unused_options
from lidarprep.datasets.unread import near_miss, not_read
from lidarprep.errors import SceneError
from lidarprep.pointfiles import is_point_file, point_suffix, point_suffixes
from lidarprep.remote import AnyPath
from lidarprep.scene import Finding, Frame, Pose, Scene
from lidarprep.scene.finding import opening_option

# The options that this layout looks at; cameras, of which it has none, are refused by name once it is open.
USED_OPTIONS = ("points_frame", "poses", "lidars", "cameras", "max_pose_gap", "points_unit")

POSES_NAMES = ("poses.json", "poses.csv", "poses.txt", "poses.tum")

_OF_TOOLKIT = ("pointcloud", "poses", "cameras", "radar_points")

LOOKS_LIKE = (
    f"a folder of point files, or of lidars/NAME/ with point files and extrinsics.json; "
    f"with {', '.join(POSES_NAMES[:-1])} or {POSES_NAMES[-1]} in it or beside it"
)


def detect(path: AnyPath) -> str | None:
    """Say why this is a folder of point files; None if it is not."""
    if not path.is_dir():
        return None
    names = (file.name for file in visible(path) if is_point_file(file))
    # A table of poses may have the name of a table of points.
    first = next((name for name in names if name not in POSES_NAMES), None)
    if first is not None:
        return f"it holds point files, such as {first}"
    return "it has a folder lidars/ with point files" if has_lidars(path) else None


def open(path: AnyPath, options: OpenOptions) -> Scene:
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
    sources = files_of(path, options.points_frame, options.columns, but=but, unit=options.points_unit)
    if not sources.sources and has_lidars(path):
        sources = lidar_sources(path, options)
    if not sources.sources:
        raise SceneError(f"{path} holds no point file", fix=f"Expected is {LOOKS_LIKE}.")
    scene = _scene_of_files(path, "folder", sources, poses_path, options)
    notes = [*scene.notes, *passed_over(path, but=but)]
    if not sources.lidars and has_lidars(path):
        notes.append("the folder lidars/ is not read, since there are point files beside it")
    others = [folder.name for folder in folders_in(path) if folder.name != LIDARS]
    findings = _toolkit_folders(path, others)
    if poses_path is None and options.points_frame != "world":
        findings += _misnamed_poses(path)
    if not findings and others:
        notes.append(f"folders beside the point files are not read: {listed(others)}")
    return replace(scene, notes=tuple(notes), findings=(*scene.findings, *findings))


def _toolkit_folders(path: AnyPath, names: list[str]) -> list[Finding]:
    """Find the folders beside the point files that a toolkit folder would have, and that are not read here."""
    found = [name for name in names if name in _OF_TOOLKIT or near_miss(name, _OF_TOOLKIT)]
    if not found:
        return []
    folders = ", ".join(f"{name}/" for name in found)
    return [
        not_read(
            path,
            f"{folders} beside the point files {'is' if len(found) == 1 else 'are'} not read: a plain folder has "
            "points only",
            "lay it out as a toolkit folder: pointcloud/N.ply, poses/N.json, cameras/NAME/N.jpg, radar_points/N.txt",
            found=folders,
        )
    ]


def _misnamed_poses(folder: AnyPath) -> list[Finding]:
    """Find files that look as if they held the poses, and are named otherwise."""
    endings = {PurePath(name).suffix for name in POSES_NAMES}
    for place in (folder, folder.absolute().parent):
        for file in (place / name for name in names_around(place)):
            if file.suffix.lower() in endings and near_miss(file.stem, ["poses"]) and file.is_file():
                message = f"no poses file is read, and {file} has almost the name of one"
                finding = not_read(file, message, f"or rename it to poses{file.suffix}", found=file.name)
                return [replace(finding, option=opening_option("--poses", str(file), "poses", repr(str(file))))]
    return []


def _find_poses(folder: AnyPath) -> AnyPath | None:
    candidates = (place / name for place in (folder, folder.absolute().parent) for name in POSES_NAMES)
    return next((path for path in candidates if path.is_file()), None)


class SingleFile:
    """The layout of one point file: a scene of one frame, whose world is the file's own frame unless a pose is given.

    The poses file holds one pose; or it names the file's, or has times around the time that the file is named by.
    """

    LOOKS_LIKE = f"a point file: {' '.join(sorted(point_suffixes(named=True)))}"

    @staticmethod
    def detect(path: AnyPath) -> str | None:
        """Say why this is a point file; None if it is not."""
        suffix = point_suffix(path, named=True)
        return f"its name ends in {suffix}" if suffix is not None and path.is_file() else None

    @staticmethod
    def open(path: AnyPath, options: OpenOptions) -> Scene:
        """Open one point file.

        Raises:
            SceneError: Its name is not that of a point file, or no pose of the poses file can be matched to it.
            FormatError: The poses file is not what it should be.
        """
        if SingleFile.detect(path) is None:
            raise SceneError(f"{path} is not a point file", fix=f"Expected is {SingleFile.LOOKS_LIKE}.")
        sources = sources_of([path], options.points_frame or "ego", options.columns, options.points_unit)
        return _scene_of_files(path, "file", sources, options.poses, options)


def _scene_of_files(
    path: AnyPath, layout: str, sources: PointSources, poses_path: AnyPath | None, options: OpenOptions
) -> Scene:
    table = None if poses_path is None else read_poses(poses_path, options)
    used = (*USED_OPTIONS, *sources.used_options, *(() if table is None else ("poses_are", "frames_unit")))
    poses = _without_poses(sources, options) if table is None else match_poses(sources, table, options)
    frames = tuple(
        Frame(
            id=source.id,
            index=index,
            read_points=source.read_points,
            read_chunks=source.read_chunks,
            read_sample=source.read_sample,
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
        notes=(*poses.notes, *sources.notes, *unused_options(options, used)),
        lidars=sources.lidars,
        trajectory=poses.trajectory,
        findings=(*sources.findings, *(() if table is None else table.findings)),
    )
    return at_frame_times(scene, sources, options, [] if poses_path is None else [poses_path] * len(frames))


def _without_poses(sources: PointSources, options: OpenOptions) -> FramePoses:
    count = len(sources.sources)
    times = [source.timestamp for source in sources.sources]
    if options.points_frame == "world":
        note = "no poses: where the device is in the world is not known"
    elif count == 1:
        note = "no poses: the world is the file's own frame of reference, with the device at its origin"
        return FramePoses([Pose.identity()], times, notes=(note,))
    else:
        note = (
            f"no poses: none of {', '.join(POSES_NAMES)} is in the folder or above it; "
            "without them points can only be used if they are in the world frame already"
        )
    return FramePoses([None] * count, times, notes=(note,))
