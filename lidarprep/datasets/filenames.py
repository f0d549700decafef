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
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import TypeVar

from lidarprep.errors import SceneError
from lidarprep.pointfiles import suffix_of_name
from lidarprep.remote import AnyPath, RemotePath, RemoteStat
from lidarprep.scene import CameraImage, Finding, SourceFile, Subject

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

# Names that are times tell that another one is not; names of several kinds are times if they are of one day.
_FEWEST_TIMES, _DAY_NS = 3, 86_400 * 10**9


# ---- identity -------------------------------------------------------------------------------------------------------


def source_file(path: AnyPath) -> SourceFile:
    """Return a file's path, size and modification time, or ETag; without the latter two if it cannot be looked at."""
    location = os.fspath(path)
    try:
        status = path.stat()
    except OSError:
        return SourceFile(location)
    version = status.version if isinstance(status, RemoteStat) else str(status.st_mtime_ns)
    return SourceFile(location, status.st_size, version, path if isinstance(path, RemotePath) else None)


def source_files(paths: Iterable[AnyPath], images: Iterable[CameraImage] = ()) -> tuple[SourceFile, ...]:
    """Return the identity of each file and of each image's file, once, in the order given."""
    files = dict.fromkeys(paths) | dict.fromkeys(image.path for image in images if image.path is not None)
    return tuple(map(source_file, files))


def on_disk(path: AnyPath) -> Path:
    """Return a file of the disk with that content, for what reads no other: itself, or a temporary copy."""
    return path if isinstance(path, Path) else path.local_copy()


# ---- folders -------------------------------------------------------------------------------------------------------


def visible(folder: AnyPath) -> list[AnyPath]:
    """Return what a folder holds, by name; without hidden files, such as macOS's ._1.ply."""
    return [folder / name for name in visible_names(folder)]


def visible_names(folder: AnyPath) -> list[str]:
    """Return the names of what `visible` gives."""
    # pathlib would make a path of each first.
    names = os.listdir(folder) if isinstance(folder, Path) else [path.name for path in folder.iterdir()]  # noqa: PTH208
    return sorted(name for name in names if not name.startswith("."))


def first_names(folder: AnyPath, count: int) -> list[str]:
    """Return that many names of a folder, in any order, without a look at all of thousands."""
    if not isinstance(folder, Path):
        return [path.name for path in islice(folder.iterdir(), count)]
    with os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, count)]


def path_below(path: AnyPath, folder: AnyPath) -> str:
    """Return the path from a folder above to a file or folder, with slashes: "" of itself."""
    return "/".join(path.parts[len(folder.parts) :])


def names_around(folder: AnyPath) -> list[str]:
    """Return the names in a folder that the user did not name; none if it cannot be read, or is gone by now.

    Nothing is said to lie beside a recording in a store: a fleet's folder may hold a million others.
    """
    if isinstance(folder, RemotePath) and not folder.was_named:
        return []
    try:
        return visible_names(folder)
    except OSError:
        return []


def folders_in(path: AnyPath) -> list[AnyPath]:
    """Return the folders in a folder, by name, without a look at each of thousands of files there.

    Hidden folders don't count, nor do those without permission to read them, such as the lost+found of a disk.
    """
    if not path.is_dir():
        return []
    if not isinstance(path, Path):
        return [folder for folder in visible(path) if folder.is_dir()]
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
    folder: AnyPath, stem_of: Callable[[str], str | None], *, key_of: Callable[[str], FrameKey] = frame_key
) -> dict[FrameKey, AnyPath]:
    """Return the files of a folder whose names `stem_of` gives a stem, in the order of their numbers, or of `key_of`.

    Raises:
        SceneError: Two files belong to one frame, such as 1.ply and 01.ply.
    """
    stems = {name: stem_of(name) for name in visible_names(folder)}
    return by_key((key_of(stem), folder / name) for name, stem in stems.items() if stem is not None)


def by_key(files: Iterable[tuple[Key, AnyPath]]) -> dict[Key, AnyPath]:
    """Return files in the order of their keys.

    Raises:
        SceneError: Two files have one key.
    """
    found: dict[Key, AnyPath] = {}
    for key, path in files:
        if key in found:
            raise SceneError(f"{found[key]} and {path} belong to the same frame", fix="Keep one of them in the folder.")
        found[key] = path
    return {key: found[key] for key in sorted(found)}


def counted_files(folder: AnyPath, *suffixes: str) -> tuple[dict[int, AnyPath], list[str]]:
    """Return the files NUMBER.SUFFIX of a folder, by number, and a note on those of the suffix without a number.

    The numbers count the rows of other files: 0000000007.bin belongs to the eighth.

    Args:
        folder: The folder; there may be none.
        suffixes: How the names end, with their dots, in lower case.

    Raises:
        SceneError: Two files have one number, such as 7.bin and 07.bin.
    """
    numbered: list[tuple[int, AnyPath]] = []
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


def passed_over(folder: AnyPath, *, but: Sequence[str] = ()) -> list[str]:
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


@dataclass(frozen=True)
class NamedTimes:
    """The times in the names of a recording's files, in nanoseconds since the Unix epoch, and what was odd about them.

    Args:
        times: One a name, None where the name is no time; None altogether where the names are not times.
        notes: How they were read, where they are not all of one kind.
        findings: Names that are not like the others.
    """

    times: list[int | None] | None
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def named_times(stems: Sequence[str], folder: str) -> NamedTimes:
    """Read the times in names of files, where all are times, or all but one in ten.

    Names of several kinds, such as 16 and 19 digits, are times if these are all of one day.

    Args:
        stems: Names of files without their suffixes.
        folder: Where they are, for people.
    """
    found = [_time_in(stem) for stem in stems]
    known = [one for one in found if one is not None]
    kinds = dict.fromkeys(kind for _, kind in known)
    odd = [stem for stem, one in zip(stems, found, strict=True) if one is None]
    if not odd and len(kinds) == 1:
        return _with_fractions(stems, [time for time, _ in known], next(iter(kinds))[1])
    if 2 * len(known) <= len(stems) or len(known) < _FEWEST_TIMES:
        return NamedTimes(None)
    times = [time for time, _ in known]
    day = max(times) - min(times) <= _DAY_NS
    subject = Subject("file", folder)
    if len({name for name, _ in kinds}) > 1 or (len(kinds) > 1 and not day) or len(odd) > max(1, len(stems) // 10):
        others = odd or [
            stem for stem, one in zip(stems, found, strict=True) if one is not None and one[1] != known[0][1]
        ]
        message = (
            f"{len(known)} of {len(stems)} files in {folder} are named by a time, and not all of one kind; others are "
            f"named like {others[0]}: the names are read as numbers, and frames have no times from them"
        )
        cure = "name all of them by their times in one way, such as 1700000000123456789.pcd, or move the others away"
        return NamedTimes(None, findings=(Finding("names-not-alike", message, cure, "warning", subject),))
    notes = (f"file names in {folder} are times of several kinds: each is read by its own",) if len(kinds) > 1 else ()
    findings: tuple[Finding, ...] = ()
    if odd:
        message = (
            f"{len(odd)} of {len(stems)} files in {folder} are not named by a time, as the others are, and are left "
            f"out: {', '.join(odd[:5])}"
        )
        cure = "name them by their times, if they are frames"
        findings = (Finding("names-not-alike", message, cure, "warning", subject, len(odd), 0),)
    return NamedTimes([None if one is None else one[0] for one in found], notes, findings)


def _with_fractions(stems: Sequence[str], times: list[int], kind: str) -> NamedTimes:
    """Return times of one kind; behind a dot may be decimals of a second, or nanoseconds without leading zeros."""
    decimals: NamedTimes = NamedTimes(list(times))
    rests = [stem.rpartition(".")[2] for stem in stems]
    if (
        kind != "."
        or max(map(len, rests)) != 9
        or min(map(len, rests)) == 9
        or any(r[0] == "0" for r in rests if r != "0")
    ):
        return decimals
    seconds = [int(stem.rpartition(".")[0][-10:]) for stem in stems]
    pairs = [whole * 10**9 + int(rest) for whole, rest in zip(seconds, rests, strict=True)]
    if _unevenness(pairs) > _unevenness(times) / 2:
        return decimals
    note = "file names are seconds and nanoseconds that are not padded to nine digits: 1.5 is 1 s and 5 ns"
    return NamedTimes(list(pairs), (note,))


def _unevenness(times: Sequence[int]) -> float:
    """Return how many times the usual step the longest step between times is; 0 where there are too few."""
    ordered = sorted(times)
    steps = sorted(after - before for before, after in pairwise(ordered))
    return steps[-1] / max(1, steps[len(steps) // 2]) if len(steps) > 1 else 0.0


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
