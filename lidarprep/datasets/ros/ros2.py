"""A ROS 2 bag: a folder with metadata.yaml and the files that it lists, sqlite3 or MCAP; or one .db3 file.

A folder that holds one file of messages and no metadata is opened by that file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.selection import listed
from lidarprep.errors import FormatError
from lidarprep.scene import Scene

LOOKS_LIKE = "a ROS 2 bag: a folder with metadata.yaml and .db3 or .mcap files, or one .db3 file"

_METADATA = "metadata.yaml"
_KEY = b"rosbag2_bagfile_information"


def detect(path: Path) -> str | None:
    """Why this is a ROS 2 bag, or None."""
    try:
        if path.is_file():
            return "its name ends in .db3" if path.suffix.lower() == ".db3" else None
        if not path.is_dir():
            return None
        metadata = path / _METADATA
        if metadata.is_file():
            with metadata.open("rb") as file:
                return f"it has the {_METADATA} of one" if _KEY in file.read(4096) else None
        files = _message_files(path)
    except OSError:
        return None
    return f"it holds {files[0].name}" if files else None


def open(path: Path, options: OpenOptions) -> Scene:
    """Open a ROS 2 bag: see `scene.open_bag`.

    Raises:
        FormatError: There is no metadata, and several files of messages.
    """
    from lidarprep.datasets.ros.scene import open_bag

    if not path.is_dir() or (path / _METADATA).is_file():
        return open_bag(path, "ros2", options)
    files = _message_files(path)
    if len(files) != 1:
        raise FormatError(
            path,
            found=f"no {_METADATA}, and {len(files)} files of messages: {listed([file.name for file in files])}",
            expected=f"{_METADATA}, or one file",
            fix="Open one of the files; or, if they are parts of one bag, let `ros2 bag reindex FOLDER` write it.",
        )
    scene = open_bag(files[0], "ros2", options)
    return replace(scene, notes=(f"there is no {_METADATA}; {files[0].name} is read by itself", *scene.notes))


def _message_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in (".db3", ".mcap") and file.is_file())
