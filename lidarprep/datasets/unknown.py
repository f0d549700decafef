"""What to say of a path that no layout takes: what is there, and what in it may have been meant."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from lidarprep.datasets.layouts import Layout
from lidarprep.datasets.numbered import visible
from lidarprep.errors import SceneError
from lidarprep.pointfiles import point_suffixes

# Names that are shown of the folders and of the files, and of the recordings in them.
_SHOWN = 5

# How many folders and files of a folder are looked at for recordings.
_LOOKED_AT = 200

# It takes any file with a name of points, a list of poses in .txt among them: no recording for a folder to hint at.
_SINGLE_FILE = "file"


def unknown_recording(path: Path, layouts: Mapping[str, Layout]) -> SceneError:
    """The error for a path that no layout takes.

    Args:
        path: A folder or a file that is there.
        layouts: The layouts that were tried.
    """
    problem = f"{path} is no recording that lidarprep knows"
    looked_for = "\n".join(f"  {name}: {layout.LOOKS_LIKE}" for name, layout in layouts.items())
    fix = f"Looked for were\n{looked_for}"
    if path.is_dir():
        entries = visible(path)
        found = _recordings_in(entries, layouts)
        if found:
            fix = _meant(found)
        return SceneError(f"{problem}: {_holds(entries)}", fix=fix)
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return SceneError(f"{problem}: it is a YAML file", fix=f"A recipe? lidarprep run {shlex.quote(str(path))}")
    ends = f"its name ends in {suffix}" if suffix else "its name has no suffix"
    return SceneError(f"{problem}: {ends}; names of point files end in {' '.join(sorted(point_suffixes()))}", fix=fix)


def _holds(entries: Sequence[Path]) -> str:
    """What a folder holds: how many folders and files, and the first of them."""
    folders = [entry.name for entry in entries if entry.is_dir()]
    files = [entry.name for entry in entries if not entry.is_dir()]
    parts = [_counted(*part) for part in (("folder", folders), ("file", files)) if part[1]]
    return f"it holds {' and '.join(parts)}" if parts else "it is empty"


def _counted(what: str, names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({shown})"


def _recordings_in(entries: Sequence[Path], layouts: Mapping[str, Layout]) -> list[tuple[Path, str]]:
    """The folders and files that a layout takes, each with the layout's name."""
    found = []
    for entry in entries[:_LOOKED_AT]:
        try:
            fits = (name for name, layout in layouts.items() if name != _SINGLE_FILE and layout.detect(entry))
            name = next(fits, None)
        except OSError:
            continue  # a folder that may not be looked into
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
