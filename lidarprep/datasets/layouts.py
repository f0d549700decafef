"""The register of layouts, one module (or small package) each, and `open_scene`, which guesses among them.

Another package adds a layout through the entry-point group `lidarprep.layouts`: the entry's name is the layout's, and
it points to a module or an object that offers what `Layout` says.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Protocol, Unpack, cast

from lidarprep.datasets.association import by_time
from lidarprep.datasets.filenames import visible
from lidarprep.datasets.options import OpenKeywords, OpenOptions
from lidarprep.datasets.selection import select
from lidarprep.errors import SceneError
from lidarprep.pointfiles import point_suffixes
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
    "file": "folder:SingleFile",
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


# ---- opening ---------------------------------------------------------------------------------------------------------

# How many folders, files and recordings an error names, and how many entries of a folder are searched for recordings.
_SHOWN = 5
_SEARCHED = 200

# This layout takes any file named as one of points, a list of poses in .txt among them: it gives no hint.
_SINGLE_FILE = "file"


def open_scene(path: str | PathLike[str], *, layout: str | None = None, **options: Unpack[OpenKeywords]) -> Scene:
    """Open a recording. No point is read before a frame is asked for its points.

    Args:
        path: A folder or a file.
        layout: Its layout: "toolkit", "kitti-raw", "nuscenes", "mcap", "folder", … (all: `known_layouts()`); None:
            guess it.
        options: What the recording doesn't say, by the names of the fields of `OpenOptions`: points_frame, poses,
            scene, lidars, cameras, all_sweeps, image_tolerance, max_pose_gap, frame_order, invert_extrinsics,
            ego_frame, world_frame, pose_topic, poses_are.

    Returns:
        The scene; the first of its notes says what it was opened as, and why.

    Raises:
        SceneError: There is nothing at the path, no known layout fits it, or it does not hang together.
        FormatError: A file that belongs to it is not what it claims to be.
        MissingExtraError: Reading it needs a library that is not installed.
    """
    path, chosen = Path(path), OpenOptions(**cast(dict[str, Any], options))
    layouts = known_layouts()
    if layout is not None and layout not in layouts:
        raise SceneError(f"there is no layout {layout!r}; known are {', '.join(sorted(layouts))}")
    try:
        if not path.exists():
            raise SceneError(f"{path}: there is no such file or folder")
        name, reason = _guess(path, layouts) if layout is None else (layout, "as asked for")
        scene = replace(layouts[name].open(path, chosen), source=fspath(path), opened_with=chosen.of_points)
    except OSError as error:
        raise SceneError(f"{error.filename or path} cannot be read: {error.strerror or error}") from error
    scene = select(scene, chosen)
    if chosen.frame_order == "time":
        scene = by_time(scene)
    return replace(scene, notes=(f"opened as {name}: {reason}", *scene.notes))


def _guess(path: Path, layouts: Mapping[str, Layout]) -> tuple[str, str]:
    """Return the first layout that fits, and why; those behind it are not even imported."""
    for name, layout in layouts.items():
        reason = layout.detect(path)
        if reason is not None:
            return name, reason
    raise _unknown_recording(path, layouts)


def _unknown_recording(path: Path, layouts: Mapping[str, Layout]) -> SceneError:
    """Make the error for a path that no layout takes: what is there, and what in it may have been meant."""
    problem = f"{path} is no recording that lidarprep knows"
    looked_for = "\n".join(f"  {name}: {layout.LOOKS_LIKE}" for name, layout in layouts.items())
    fix = f"Looked for were\n{looked_for}"
    if path.is_dir():
        entries = visible(path)
        found = _recordings_in(entries, layouts)
        return SceneError(f"{problem}: {_holds(entries)}", fix=_meant(found) if found else fix)
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return SceneError(f"{problem}: it is a YAML file", fix=f"A recipe? lidarprep run {shlex.quote(str(path))}")
    ends = f"its name ends in {suffix}" if suffix else "its name has no suffix"
    return SceneError(f"{problem}: {ends}; names of point files end in {' '.join(sorted(point_suffixes()))}", fix=fix)


def _holds(entries: Sequence[Path]) -> str:
    """Say how many folders and files there are, with the first of them."""
    folders = [entry.name for entry in entries if entry.is_dir()]
    files = [entry.name for entry in entries if not entry.is_dir()]
    parts = [
        f"{len(names)} {kind}{'s' if len(names) > 1 else ''} "
        f"({', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''})"
        for kind, names in (("folder", folders), ("file", files))
        if names
    ]
    return f"it holds {' and '.join(parts)}" if parts else "it is empty"


def _recordings_in(entries: Sequence[Path], layouts: Mapping[str, Layout]) -> list[tuple[Path, str]]:
    """Return the folders and files that a layout takes, each with the layout's name."""
    found = []
    for entry in entries[:_SEARCHED]:
        try:
            fits = (name for name, layout in layouts.items() if name != _SINGLE_FILE and layout.detect(entry))
            name = next(fits, None)
        except OSError:
            continue  # a folder without permission to read it
        if name is not None:
            found.append((entry, name))
    return found


def _meant(found: Sequence[tuple[Path, str]]) -> str:
    if len(found) == 1:
        (path, name) = found[0]
        return f"Did you mean {path} ({name})?"
    shown = "\n".join(f"  {path} ({name})" for path, name in found[:_SHOWN])
    more = len(found) - _SHOWN
    return f"Did you mean one of these?\n{shown}" + (f"\n  and {more} more" if more > 0 else "")
