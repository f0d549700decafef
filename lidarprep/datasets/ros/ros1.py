"""A ROS 1 bag: one .bag file, version 2.0."""

from __future__ import annotations

from pathlib import Path

from lidarprep.datasets.options import OpenOptions
from lidarprep.scene import Scene

LOOKS_LIKE = "a ROS 1 bag: a file NAME.bag"


def detect(path: Path) -> str | None:
    """Why this is a ROS 1 bag, or None."""
    return "its name ends in .bag" if path.name.lower().endswith((".bag", ".bag.active")) and path.is_file() else None


def open(path: Path, options: OpenOptions) -> Scene:
    """Open a ROS 1 bag: see `scene.open_bag`."""
    from lidarprep.datasets.ros.scene import open_bag

    return open_bag(path, "ros1", options)
