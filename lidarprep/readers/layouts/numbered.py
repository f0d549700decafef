"""Files that belong to frames by their names: 1.ply, 01.json, frame_10.jpg."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from lidarprep.errors import SceneError
from lidarprep.readers.points import point_suffix

# A name's parts in turn: text as (-1, text), a number as (count of its digits, digits) without leading zeros.
FrameKey = tuple[tuple[int, str], ...]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def frame_key(stem: str) -> FrameKey:
    """A name in the form that it is sorted and matched by: 2 before 10, and 01 the same as 1."""
    parts = re.split(r"([0-9]+)", stem)
    numbers = [part.lstrip("0") for part in parts]
    return tuple((len(numbers[k]), numbers[k]) if k % 2 else (-1, part) for k, part in enumerate(parts) if part)


def point_stem(path: Path) -> str | None:
    """A point file's name without its format's suffix, or None if it is no point file."""
    suffix = point_suffix(path)
    return None if suffix is None else path.name[: -len(suffix)]


def image_stem(path: Path) -> str | None:
    """A picture's name without its suffix, or None if it is no picture."""
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else None


def files_by_frame(
    folder: Path, stem_of: Callable[[Path], str | None], *, key_of: Callable[[str], FrameKey] = frame_key
) -> dict[FrameKey, Path]:
    """The files of a folder that `stem_of` gives a stem, in the order of their numbers, or of what `key_of` says.

    Raises:
        SceneError: Two files belong to one frame, such as 1.ply and 01.ply.
    """
    found: dict[FrameKey, Path] = {}
    for path in visible(folder):
        stem = stem_of(path)
        if stem is None:
            continue
        key = key_of(stem)
        if key in found:
            raise SceneError(f"{found[key]} and {path} belong to the same frame", fix="Keep one of them in the folder.")
        found[key] = path
    return dict(sorted(found.items()))


def passed_over(folder: Path, *, but: Sequence[str] = ()) -> list[str]:
    """A note on the files of a folder that are no point files, `but` for those of these names; or nothing."""
    others = [path.name for path in visible(folder) if point_stem(path) is None and path.is_file()]
    others = [name for name in others if name not in but]
    return [f"{folder.name}: {len(others)} files there are no point files, such as {others[0]}"] if others else []


def visible(folder: Path) -> list[Path]:
    """What a folder holds, by name; hidden files (such as macOS's ._1.ply) don't count."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
