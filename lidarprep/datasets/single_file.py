"""One point file: a scene of one frame, whose world is the file's own frame of reference unless a pose is given.

The poses file holds one pose; or it names the file's, or has times around the time that the file is named by.
"""

from __future__ import annotations

from pathlib import Path

from lidarprep.datasets.folder import scene_of_files
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.point_folder import file_source
from lidarprep.datasets.pose_files import read_poses
from lidarprep.errors import SceneError
from lidarprep.pointfiles import is_point_file, point_suffix, point_suffixes
from lidarprep.scene import Scene

LOOKS_LIKE = f"a point file: {' '.join(sorted(point_suffixes(named=True)))}"


def detect(path: Path) -> str | None:
    """Say why this is a point file; None if it is not."""
    suffix = point_suffix(path, named=True)
    return f"its name ends in {suffix}" if suffix is not None and path.is_file() else None


def open(path: Path, options: OpenOptions) -> Scene:
    """Open one point file.

    Raises:
        SceneError: Its name is not that of a point file, or no pose of the poses file can be matched to it.
        FormatError: The poses file is not what it should be.
    """
    if not is_point_file(path, named=True) or not path.is_file():
        raise SceneError(f"{path} is not a point file", fix=f"Expected is {LOOKS_LIKE}.")
    table = None if options.poses is None else read_poses(options.poses)
    return scene_of_files(path, "file", file_source(path, options), table, options)
