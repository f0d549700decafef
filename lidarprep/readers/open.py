"""Opens any recording: guesses its layout, and says what it guessed and why."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, get_args

from lidarprep.errors import SceneError
from lidarprep.readers.layouts import LAYOUTS, OpenOptions
from lidarprep.scene import Scene

PointsFrame = Literal["ego", "world"]


def open_scene(
    path: str | PathLike[str],
    *,
    layout: str | None = None,
    points_frame: PointsFrame | None = None,
    poses: str | PathLike[str] | None = None,
) -> Scene:
    """Open a recording. No point is read before a frame is asked for its points.

    Args:
        path: A folder or a file.
        layout: Its layout: "toolkit", "folder" or "file"; None: guess it.
        points_frame: The frame of reference that its points are in, where it is not the layout's own (ego).
        poses: A file of poses for a plain folder or a file: KITTI rows, TUM rows or JSON, world from ego.

    Returns:
        The scene; the first of its notes says what it was opened as, and why.

    Raises:
        SceneError: There is nothing at the path, it is no recording that lidarprep knows, or it does not hang together.
        FormatError: A file that belongs to it is not what it claims to be.
    """
    path = Path(path)
    if not path.exists():
        raise SceneError(f"{path}: there is no such file or folder")
    if points_frame not in (None, *get_args(PointsFrame)):
        raise SceneError(f"points are in one of {', '.join(get_args(PointsFrame))}, not in {points_frame!r}")
    if layout is not None and layout not in LAYOUTS:
        raise SceneError(f"there is no layout {layout!r}; known are {', '.join(LAYOUTS)}")
    options = OpenOptions(points_frame, None if poses is None else Path(poses))
    try:
        name, reason = _guess(path) if layout is None else (layout, "as asked for")
        scene = LAYOUTS[name].open(path, options)
    except OSError as error:
        raise SceneError(f"{error.filename or path} cannot be read: {error.strerror or error}") from error
    return replace(scene, source=fspath(path), notes=(f"opened as {name}: {reason}", *scene.notes))


def _guess(path: Path) -> tuple[str, str]:
    """The first layout that fits, and why."""
    for name, layout in LAYOUTS.items():
        reason = layout.detect(path)
        if reason is not None:
            return name, reason
    looked_for = "\n".join(f"  {name}: {layout.LOOKS_LIKE}" for name, layout in LAYOUTS.items())
    raise SceneError(f"{path} is no recording that lidarprep knows", fix=f"Looked for were\n{looked_for}")
