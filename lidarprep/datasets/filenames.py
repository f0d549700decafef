"""Files of a recording: their identity, and the frame keys, numbers and times in their names.

Such names are 1.ply, 01.json, frame_10.jpg, 1700000000123456789.pcd.

| time in a name                      | read as                                     |
|-------------------------------------|---------------------------------------------|
| 19 digits                           | nanoseconds                                 |
| 16 digits                           | microseconds                                |
| 13 digits                           | milliseconds                                |
| 10 digits, a dot, 1 to 9 digits     | seconds                                     |
| 10 digits, _ or -, 9 digits         | seconds and nanoseconds, as ROS writes both |

All times count from the Unix epoch. They are read as text, so that none is rounded. Digits in a row that begin with 0
are a padded number and not a time: the time would lie before 2001.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from lidarprep.errors import SceneError
from lidarprep.pointfiles import suffix_of_name
from lidarprep.scene import CameraImage, SourceFile

# A name's parts in turn: text as (-1, text), a number as (count of its digits, digits) without leading zeros.
FrameKey = tuple[tuple[int, str], ...]
Key = TypeVar("Key", FrameKey, int)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

_NUMBER = re.compile(r"([0-9]+)")
# Before a time a name may stand that ends in _ or -, and is the same for all files.
_TIME = re.compile(
    r"(?P<name>.*[_-]|)(?:(?P<whole>[1-9](?:[0-9]{18}|[0-9]{15}|[0-9]{12}))|(?P<seconds>[0-9]{10})(?P<dot>[._-])(?P<rest>[0-9]{1,9}))"
)
_DIGITS_TO_NS = {19: 1, 16: 10**3, 13: 10**6}
_LARGEST_NS = 2**63 - 1


# ---- identity -------------------------------------------------------------------------------------------------------


def source_file(path: Path) -> SourceFile:
    """Return a file's path, size and modification time; without the latter two if it cannot be looked at."""
    location = os.fspath(path)
    try:
        status = os.stat(location)  # noqa: PTH116  # called for thousands of files
    except OSError:
        return SourceFile(location)
    return SourceFile(location, status.st_size, str(status.st_mtime_ns))


def source_files(paths: Iterable[Path], images: Iterable[CameraImage] = ()) -> tuple[SourceFile, ...]:
    """Return the identity of each file and of each image's file, once, in the order given."""
    files = dict.fromkeys(paths) | dict.fromkeys(image.path for image in images if image.path is not None)
    return tuple(map(source_file, files))


# ---- folders -------------------------------------------------------------------------------------------------------


def visible(folder: Path) -> list[Path]:
    """Return what a folder holds, by name; without hidden files, such as macOS's ._1.ply."""
    return [folder / name for name in visible_names(folder)]


def visible_names(folder: Path) -> list[str]:
    """Return the names of what `visible` gives."""
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208


def folders_in(path: Path) -> list[Path]:
    """Return the folders in a folder, by name, without a look at each of thousands of files there.

    Hidden folders don't count, nor do those without permission to read them, such as the lost+found of a disk.
    """
    if not path.is_dir():
        return []
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    return [path / name for name in names if os.access(path / name, os.R_OK | os.X_OK)]


# ---- stems ---------------------------------------------------------------------------------------------------------


def point_stem(name: str) -> str | None:
    """Return a point file's name without its format's suffix, or None for any other file."""
    suffix = suffix_of_name(name)
    return None if suffix is None else name[: -len(suffix)]


def image_stem(name: str) -> str | None:
    """Return an image's name without its suffix, or None for any other file."""
    return stem_before(name, *IMAGE_SUFFIXES)


def stem_before(name: str, *suffixes: str) -> str | None:
    """Return a file's name without its suffix, or None if that is none of these, which are in lower case."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 (as pathlib has it, for thousands of names)
    return stem if suffix.lower() in suffixes else None


# ---- files by frame ------------------------------------------------------------------------------------------------


def frame_key(stem: str) -> FrameKey:
    """Return a name in the form that it is sorted and matched by: 2 before 10, and 01 the same as 1."""
    if stem.isascii() and stem.isdecimal():  # most are
        digits = stem.lstrip("0")
        return ((len(digits), digits),)
    parts = _NUMBER.split(stem)
    numbers = [part.lstrip("0") for part in parts]
    return tuple((len(numbers[k]), numbers[k]) if k % 2 else (-1, part) for k, part in enumerate(parts) if part)


def files_by_frame(
    folder: Path, stem_of: Callable[[str], str | None], *, key_of: Callable[[str], FrameKey] = frame_key
) -> dict[FrameKey, Path]:
    """Return the files of a folder whose names `stem_of` gives a stem, in the order of their numbers, or of `key_of`.

    Raises:
        SceneError: Two files belong to one frame, such as 1.ply and 01.ply.
    """
    stems = {name: stem_of(name) for name in visible_names(folder)}
    return by_key((key_of(stem), folder / name) for name, stem in stems.items() if stem is not None)


def by_key(files: Iterable[tuple[Key, Path]]) -> dict[Key, Path]:
    """Return files in the order of their keys.

    Raises:
        SceneError: Two files have one key.
    """
    found: dict[Key, Path] = {}
    for key, path in files:
        if key in found:
            raise SceneError(f"{found[key]} and {path} belong to the same frame", fix="Keep one of them in the folder.")
        found[key] = path
    return {key: found[key] for key in sorted(found)}


def counted_files(folder: Path, *suffixes: str) -> tuple[dict[int, Path], list[str]]:
    """Return the files NUMBER.SUFFIX of a folder, by number, and a note on those of the suffix without a number.

    The numbers count the rows of other files: 0000000007.bin belongs to the eighth.

    Args:
        folder: The folder; there may be none.
        suffixes: How the names end, with their dots, in lower case.

    Raises:
        SceneError: Two files have one number, such as 7.bin and 07.bin.
    """
    numbered: list[tuple[int, Path]] = []
    strange: list[str] = []
    for path in visible(folder) if folder.is_dir() else ():
        suffix = next((suffix for suffix in suffixes if path.name.lower().endswith(suffix)), None)
        if suffix is None:
            continue
        stem = path.name[: -len(suffix)]
        if stem.isascii() and stem.isdecimal() and len(stem) < 19:
            numbered.append((int(stem), path))
        else:
            strange.append(path.name)
    place = f"{folder.parent.name}/{folder.name}"
    notes = [f"{place}: {len(strange)} files there have no number, such as {strange[0]}"] if strange else []
    return by_key(numbered), notes


def passed_over(folder: Path, *, but: Sequence[str] = ()) -> list[str]:
    """Return a note on the files of a folder that are not point files, `but` for those of these names; or nothing."""
    others = [name for name in visible_names(folder) if point_stem(name) is None and name not in but]
    others = [name for name in others if (folder / name).is_file()]
    return [f"{folder.name}: {len(others)} files there are no point files, such as {others[0]}"] if others else []


# ---- times ---------------------------------------------------------------------------------------------------------


def times_in_names(stems: Sequence[str]) -> list[int] | None:
    """Return nanoseconds since the Unix epoch, one a name; None where the names are not all times of one kind.

    Args:
        stems: Names of files without their suffixes.
    """
    times: list[int] = []
    kinds = set()
    for stem in stems:
        found = _time_in(stem)
        if found is None:
            return None
        times.append(found[0])
        kinds.add(found[1])
    return times if len(kinds) == 1 else None


def _time_in(stem: str) -> tuple[int, tuple[str, str]] | None:
    """Return the time of one name, and how it is written: after which name, and in which row of the table."""
    match = _TIME.fullmatch(stem)
    if match is None:
        return None
    if match["whole"] is not None:
        digits = len(match["whole"])
        time, kind = int(match["whole"]) * _DIGITS_TO_NS[digits], str(digits)
    else:
        if match["dot"] != "." and len(match["rest"]) != 9:
            return None
        time, kind = int(match["seconds"]) * 10**9 + int(match["rest"].ljust(9, "0")), match["dot"]
    return (time, (match["name"], kind)) if time <= _LARGEST_NS else None
