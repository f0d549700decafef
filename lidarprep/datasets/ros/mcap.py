"""One MCAP file with messages of ROS 2, or of ROS 1 as `mcap convert` makes them."""

from __future__ import annotations

from pathlib import Path

from lidarprep.datasets.options import OpenOptions
from lidarprep.scene import Scene

LOOKS_LIKE = "an MCAP file with messages of ROS: a file NAME.mcap"


def detect(path: Path) -> str | None:
    """Why this is an MCAP file, or None."""
    return "its name ends in .mcap" if path.suffix.lower() == ".mcap" and path.is_file() else None


def open(path: Path, options: OpenOptions) -> Scene:
    """Open an MCAP file: see `scene.open_bag`."""
    from lidarprep.datasets.ros.scene import open_bag

    return open_bag(path, "mcap", options)
