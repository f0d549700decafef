"""The register of layouts: one module (or small package) each, path → Scene. None reads a point when it opens.

Another package adds a layout through the entry-point group `lidarprep.layouts`: the entry's name is the layout's, and
it points to a module or an object that offers what `Layout` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, cast

from lidarprep.datasets.options import OpenOptions
from lidarprep.errors import SceneError
from lidarprep.scene import Scene

ENTRY_POINTS = "lidarprep.layouts"


class Layout(Protocol):
    """What a layout's module offers."""

    LOOKS_LIKE: str
    """What such a recording looks like on the disk, for the error when none fits."""

    def detect(self, path: Path) -> str | None:
        """Say why the path is such a recording, as the end of "…, because"; None when it is not."""

    def open(self, path: Path, options: OpenOptions) -> Scene:
        """Open the recording, without its points."""


# Each one's module, or MODULE:NAME of an object in one.
# In the order in which they are tried: the more particular first, since a toolkit recording is a folder, too.
# A module imports the library that its layout needs when it opens a recording, never when it looks at one.
_NAMES: dict[str, str] = {
    "toolkit": "toolkit",
    "kitti-raw": "kitti_raw",
    "kitti-odometry": "kitti_odometry",
    "pandaset": "pandaset",
    "nuscenes": "nuscenes",
    "argoverse2": "argoverse2",
    "ros1": "ros:ROS1",
    "ros2": "ros:ROS2",
    "mcap": "ros:MCAP",
    "folder": "folder",
    "file": "single_file",
    "attachments": "attachments",
}


class _Layouts(Mapping[str, Layout]):
    """Layouts by name, in the order in which they are tried; each of lidarprep's own is imported when it is its turn.

    Layouts of other packages come first, but cannot replace one of lidarprep's own name.
    """

    def __init__(self, installed: Mapping[str, Layout]) -> None:
        self._installed = installed

    def __getitem__(self, name: str) -> Layout:
        if name not in _NAMES:
            return self._installed[name]
        module, _, attribute = _NAMES[name].partition(":")
        found = import_module(f"{__package__}.{module}")
        return cast(Layout, getattr(found, attribute) if attribute else found)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._installed, *_NAMES]))

    def __len__(self) -> int:
        return len({*self._installed, *_NAMES})


def known_layouts() -> Mapping[str, Layout]:
    """Return the layouts by name, in the order in which they are tried: lidarprep's own, and those installed beside it.

    Raises:
        SceneError: A layout that another package offers cannot be imported, or offers too little.
    """
    return _Layouts(installed_layouts())


@cache
def installed_layouts() -> dict[str, Layout]:
    """Return the layouts that other installed packages offer, by the names of their entry points.

    Raises:
        SceneError: One cannot be imported, or offers too little.
    """
    layouts: dict[str, Layout] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            layout = entry.load()
        except (ImportError, AttributeError) as error:
            raise SceneError(
                f"the layout {entry.name!r} ({entry.value}) cannot be imported: {error}",
                fix="Mend or uninstall the package that brings it.",
            ) from error
        missing = [name for name in ("LOOKS_LIKE", "detect", "open") if not hasattr(layout, name)]
        if missing:
            raise SceneError(f"the layout {entry.name!r} ({entry.value}) lacks {', '.join(missing)}")
        layouts[entry.name] = layout
    return layouts
