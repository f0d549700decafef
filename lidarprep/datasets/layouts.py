"""The register of layouts, one module (or small package) each, and `open_scene`, which guesses among them.

Another package adds a layout through the entry-point group `lidarprep.layouts`: the entry's name is the layout's, and
it points to a module or an object that offers what `Layout` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Unpack, cast

from lidarprep.datasets.association import by_time
from lidarprep.datasets.guess import Layout, guess, unread_recordings
from lidarprep.datasets.image_sizes import with_image_sizes
from lidarprep.datasets.options import PATHS, OpenKeywords, OpenOptions
from lidarprep.datasets.selection import select
from lidarprep.errors import SceneError
from lidarprep.remote import AnyPath, as_path
from lidarprep.scene import Scene

if TYPE_CHECKING:
    from lidarprep.remote.options import AccessOptions

ENTRY_POINTS = "lidarprep.layouts"


# Each one's module, or MODULE:NAME of an object in one.
# In the order in which they are tried: the more particular first, since a toolkit recording is a folder, too.
# A module imports the library that its layout needs when it opens a recording, never when it looks at one.
_NAMES: dict[str, str] = {
    "labelling-export": "labelling_exports",
    "toolkit": "toolkit",
    "kitti-raw": "kitti_raw",
    "kitti-odometry": "kitti_odometry",
    "kitti-object": "kitti_object",
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


def open_scene(
    path: str | PathLike[str],
    *,
    layout: str | None = None,
    access: AccessOptions | None = None,
    **options: Unpack[OpenKeywords],
) -> Scene:
    """Open a recording. No point is read before a frame is asked for its points.

    Args:
        path: A folder or a file, on the disk or as a URL: s3://, gs://, az://, https://.
        layout: Its layout: "toolkit", "kitti-raw", "nuscenes", "mcap", "folder", … (all: `known_layouts()`); None:
            guess it.
        access: How a store is reached: the recording's, and that of files which `options` name by URLs.
        options: What the recording doesn't say, by the names of the fields of `OpenOptions`: points_frame, poses,
            columns, scene, lidars, cameras, all_sweeps, image_tolerance, max_pose_gap, frame_order, invert_extrinsics,
            calibration, ego_frame, world_frame, pose_topic, poses_are, span, time_unit.

    Returns:
        The scene; the first of its notes says what it was opened as, and why.

    Raises:
        SceneError: There is nothing at the path, no known layout fits it, or it does not hang together.
        FormatError: A file that belongs to it is not what it claims to be.
        RecipeError: It is a URL that is malformed, or of a scheme that nothing is read from.
        StorageError: The store cannot be reached, or refuses.
        MissingExtraError: Reading it needs a library that is not installed.
    """
    given = cast(dict[str, Any], options)
    beside = {name: as_path(given[name], access) for name in PATHS if given.get(name) is not None}
    path, chosen = as_path(path, access), OpenOptions(**(given | beside))
    layouts = known_layouts()
    if layout is not None and layout not in layouts:
        raise SceneError(f"there is no layout {layout!r}; known are {', '.join(sorted(layouts))}")
    try:
        if not path.exists():
            raise SceneError(f"{path}: there is no such file or folder")
        name, reason = guess(path, layouts) if layout is None else (layout, "as asked for")
        scene = _open(path, name, layouts, chosen, is_guess=layout is None)
        on_purpose = layout is not None or chosen.poses is not None
        unread = unread_recordings(path, name, layouts, on_purpose=on_purpose)
        findings = (*unread, *scene.findings)
        scene = replace(scene, source=fspath(path), path=path, opened_with=chosen.of_points, findings=findings)
    except OSError as error:
        raise SceneError(f"{error.filename or path} cannot be read: {error.strerror or error}") from error
    scene = select(scene, chosen)
    if chosen.calibration is not None:
        from lidarprep.datasets.calibration import with_calibration  # brings pydantic and PyYAML

        scene = with_calibration(scene, chosen.calibration)
    scene = with_image_sizes(scene)
    if chosen.frame_order == "time":
        scene = by_time(scene)
    if chosen.span is not None:
        scene = scene.part(chosen.span)
    return replace(scene, notes=(f"opened as {name}: {reason}", *scene.notes))


def _open(path: AnyPath, name: str, layouts: Mapping[str, Layout], options: OpenOptions, *, is_guess: bool) -> Scene:
    """Open a recording; say in an error which layout it looks like, if it was opened as another."""
    try:
        return layouts[name].open(path, options)
    except SceneError as error:
        if not is_guess and layouts[name].detect(path) is None:
            fits = next((other for other, layout in layouts.items() if layout.detect(path) is not None), None)
            if fits is not None:
                error.fix = "\n".join(filter(None, (error.fix, f"It looks like {fits}: leave --layout out.")))
        raise
