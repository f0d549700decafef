"""Opens any recording: guesses its layout, and says what it guessed and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from os import fspath
from pathlib import Path

from lidarprep.errors import SceneError
from lidarprep.readers.layouts import LAYOUTS, Layout, OpenOptions, installed_layouts
from lidarprep.readers.layouts.choices import chosen
from lidarprep.readers.layouts.time_order import by_time
from lidarprep.scene import Scene


def open_layout(
    path: Path, layout: str | None, options: OpenOptions, *, layouts: Mapping[str, Layout] = LAYOUTS
) -> Scene:
    """Open a recording. No point is read before a frame is asked for its points.

    Args:
        path: A folder or a file.
        layout: Its layout, by its name; None: guess it.
        options: What the recording doesn't say.
        layouts: The layouts that are known, in the order in which they are tried; those that other packages install
            come before them.

    Returns:
        The scene; the first of its notes says what it was opened as, and why.

    Raises:
        SceneError: There is nothing at the path, it is no recording of a known layout, or it does not hang together.
        FormatError: A file that belongs to it is not what it claims to be.
        MissingExtraError: The layout needs a library that is not installed.
    """
    installed = installed_layouts()
    names = [*dict.fromkeys([*installed, *layouts])]
    if layout is not None and layout not in names:
        raise SceneError(f"there is no layout {layout!r}; known are {', '.join(sorted(names))}")

    def named(name: str) -> Layout:
        return layouts[name] if name in layouts else installed[name]

    try:
        if not path.exists():
            raise SceneError(f"{path}: there is no such file or folder")
        name, reason = _guess(path, names, named) if layout is None else (layout, "as asked for")
        scene = replace(named(name).open(path, options), source=fspath(path))
    except OSError as error:
        raise SceneError(f"{error.filename or path} cannot be read: {error.strerror or error}") from error
    scene = chosen(scene, options)
    if options.frame_order == "time":
        scene = by_time(scene)
    return replace(scene, notes=(f"opened as {name}: {reason}", *scene.notes))


def _guess(path: Path, names: Sequence[str], named: Callable[[str], Layout]) -> tuple[str, str]:
    """The first layout that fits, and why; those behind it are not even imported."""
    for name in names:
        reason = named(name).detect(path)
        if reason is not None:
            return name, reason
    from lidarprep.readers.layouts.unknown import unknown_recording

    raise unknown_recording(path, {name: named(name) for name in names})
