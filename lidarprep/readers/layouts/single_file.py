"""One point file: a scene of one frame, whose world is the file's own frame of reference unless a pose is given."""

from __future__ import annotations

from pathlib import Path

from lidarprep.errors import SceneError
from lidarprep.readers.layouts.folder import scene_of_files
from lidarprep.readers.layouts.numbered import frame_key, point_stem
from lidarprep.readers.layouts.options import OpenOptions
from lidarprep.readers.layouts.poses_file import read_poses
from lidarprep.readers.points import point_suffix, point_suffixes
from lidarprep.scene import Scene

LOOKS_LIKE = f"a point file: {' '.join(sorted(point_suffixes()))}"


def detect(path: Path) -> str | None:
    """Why this is a point file, or None."""
    return f"its name ends in {point_suffix(path)}" if path.is_file() and point_suffix(path) else None


def open(path: Path, options: OpenOptions) -> Scene:
    """Open one point file.

    Raises:
        SceneError: Its name is not that of a point file, or the poses file holds other than one pose.
        FormatError: The poses file is not what it should be.
    """
    stem = point_stem(path)
    if stem is None or not path.is_file():
        raise SceneError(f"{path} is not a point file", fix=f"Expected is {LOOKS_LIKE}.")
    poses = None if options.poses is None else read_poses(options.poses)
    return scene_of_files(path, "file", {frame_key(stem): path}, poses, options)
