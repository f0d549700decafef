"""One module a recording layout: path → Scene. None of them reads a point before a frame is asked for its points."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from lidarprep.readers.layouts import folder, single_file, toolkit
from lidarprep.readers.layouts.options import OpenOptions
from lidarprep.scene import Scene

__all__ = ["LAYOUTS", "Layout", "OpenOptions"]


class Layout(Protocol):
    """What each module of this package offers, and so may one from elsewhere."""

    LOOKS_LIKE: str
    """What such a recording looks like on the disk, for the error when none fits."""

    def detect(self, path: Path) -> str | None:
        """Why the path is such a recording, as the end of "…, because"; None when it is not."""

    def open(self, path: Path, options: OpenOptions) -> Scene:
        """The recording, without its points."""


# In the order in which they are tried: the more particular first, since a toolkit recording is a folder, too.
LAYOUTS: dict[str, Layout] = {
    "toolkit": toolkit,
    "folder": folder,
    "file": single_file,
}
