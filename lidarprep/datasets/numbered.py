"""Files that belong to frames by their names: 1.ply, 01.json, frame_10.jpg."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from lidarprep.errors import SceneError
from lidarprep.pointfiles import suffix_of_name

# A name's parts in turn: text as (-1, text), a number as (count of its digits, digits) without leading zeros.
FrameKey = tuple[tuple[int, str], ...]

_NUMBER = re.compile(r"([0-9]+)")

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def frame_key(stem: str) -> FrameKey:
    """A name in the form that it is sorted and matched by: 2 before 10, and 01 the same as 1."""
    if stem.isascii() and stem.isdecimal():  # most are
        digits = stem.lstrip("0")
        return ((len(digits), digits),)
    parts = _NUMBER.split(stem)
    numbers = [part.lstrip("0") for part in parts]
    return tuple((len(numbers[k]), numbers[k]) if k % 2 else (-1, part) for k, part in enumerate(parts) if part)


def point_stem(name: str) -> str | None:
    """A point file's name without its format's suffix, or None if it is no point file."""
    suffix = suffix_of_name(name)
    return None if suffix is None else name[: -len(suffix)]


def image_stem(name: str) -> str | None:
    """A picture's name without its suffix, or None if it is no picture."""
    return stem_before(name, *IMAGE_SUFFIXES)


def stem_before(name: str, *suffixes: str) -> str | None:
    """A file's name without its suffix, or None if that is none of these, which are in lower case."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 (as pathlib has it, for thousands of names)
    return stem if suffix.lower() in suffixes else None


def files_by_frame(
    folder: Path, stem_of: Callable[[str], str | None], *, key_of: Callable[[str], FrameKey] = frame_key
) -> dict[FrameKey, Path]:
    """The files of a folder whose names `stem_of` gives a stem, in the order of their numbers, or of `key_of`.

    Raises:
        SceneError: Two files belong to one frame, such as 1.ply and 01.ply.
    """
    found: dict[FrameKey, Path] = {}
    for name in visible_names(folder):
        stem = stem_of(name)
        if stem is None:
            continue
        key, path = key_of(stem), folder / name
        if key in found:
            raise SceneError(f"{found[key]} and {path} belong to the same frame", fix="Keep one of them in the folder.")
        found[key] = path
    return dict(sorted(found.items()))


def passed_over(folder: Path, *, but: Sequence[str] = ()) -> list[str]:
    """A note on the files of a folder that are no point files, `but` for those of these names; or nothing."""
    others = [name for name in visible_names(folder) if point_stem(name) is None and name not in but]
    others = [name for name in others if (folder / name).is_file()]
    return [f"{folder.name}: {len(others)} files there are no point files, such as {others[0]}"] if others else []


def visible(folder: Path) -> list[Path]:
    """What a folder holds, by name; hidden files (such as macOS's ._1.ply) don't count."""
    return [folder / name for name in visible_names(folder)]


def visible_names(folder: Path) -> list[str]:
    """The names of what `visible` gives."""
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208
