"""One module a recording layout: path → Scene. None of them reads a point before a frame is asked for its points.

Another package adds a layout through the entry-point group `lidarprep.layouts`: the entry's name is the layout's, and
what it points to is a module, or an object, that offers what `Layout` says.
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

__all__ = ["LAYOUTS", "Layout", "Layouts", "OpenOptions", "installed_layouts"]

ENTRY_POINTS = "lidarprep.layouts"


class Layout(Protocol):
    """What each module of this package offers, and so may one from elsewhere."""

    LOOKS_LIKE: str
    """What such a recording looks like on the disk, for the error when none fits."""

    def detect(self, path: Path) -> str | None:
        """Why the path is such a recording, as the end of "…, because"; None when it is not."""

    def open(self, path: Path, options: OpenOptions) -> Scene:
        """The recording, without its points."""


# In the order in which they are tried: the more particular first, since a toolkit recording is a folder, too.
# A module imports the library that its layout needs when it opens a recording, never when it looks at one.
_NAMES: dict[str, str] = {
    "toolkit": "toolkit",
    "kitti-raw": "kitti.raw",
    "kitti-odometry": "kitti.odometry",
    "pandaset": "pandaset.layout",
    "nuscenes": "nuscenes.layout",
    "argoverse2": "argoverse2.layout",
    "ros1": "ros:ROS1",
    "ros2": "ros:ROS2",
    "mcap": "ros:MCAP",
    "folder": "folder",
    "file": "single_file",
    "attachments": "attachments",
}


class Layouts(Mapping[str, Layout]):
    """Layouts by name, in the order in which they are tried: each is imported when it is its turn.

    Args:
        modules: The full name of each one's module; or MODULE:NAME of an object in one.
    """

    def __init__(self, modules: Mapping[str, str]) -> None:
        self.modules = modules

    def __getitem__(self, name: str) -> Layout:
        module, _, attribute = self.modules[name].partition(":")
        found = import_module(module)
        return cast(Layout, getattr(found, attribute) if attribute else found)

    def __iter__(self) -> Iterator[str]:
        return iter(self.modules)

    def __len__(self) -> int:
        return len(self.modules)


LAYOUTS = Layouts({name: f"{__package__}.{module}" for name, module in _NAMES.items()})


@cache
def installed_layouts() -> dict[str, Layout]:
    """The layouts that other installed packages offer, by the names of their entry points.

    Raises:
        SceneError: One cannot be imported, or is no layout.
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
