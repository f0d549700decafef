"""What lies in a recording and is not read: folders with almost the name that a layout expects, and unknown ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from os import PathLike, fspath
from pathlib import PurePath

from lidarprep.datasets.filenames import folders_in, visible_names
from lidarprep.datasets.selection import listed
from lidarprep.remote import AnyPath
from lidarprep.scene import Finding, Severity, Subject

# From this share of common letters on, two names are taken for spellings of one: camera and cameras have 0.92, pose and
# poses 0.89; intrinsics and extrinsics 0.8.
SPELLING_RATIO = 0.85

# Names that datasets and tools give to folders of one kind.
_KINDS = (
    {"pointcloud", "points", "point", "pcd", "pcds", "ply", "lidar", "lidars", "velodyne", "velodynepoints", "cloud"},
    {"camera", "cameras", "cam", "cams", "image", "images", "img", "imgs", "picture", "pictures", "photos"},
    {"radar", "radars", "radarpoints"},
    {"pose", "poses", "egopose", "egoposes", "odometry", "odom", "trajectory"},
    {"oxts", "gps", "imu", "gnss"},
    {"calib", "calibs", "calibration", "calibrations"},
    {"time", "times", "timestamp", "timestamps"},
)


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """Return which of the known names a name was probably meant to be; None if it is one of them, or none is near.

    Names are near if their numbers are equal, and their letters are almost the same or name one kind of folder.
    """
    names = list(known)
    if name in names:
        return None
    letters, _ = _parts(name)
    ranked = [
        (SequenceMatcher(None, letters, _parts(other)[0]).ratio(), other)
        for other in names
        if is_spelling(name, other) or _is_of_its_kind(name, other)
    ]
    return max(ranked)[1] if ranked else None


def is_spelling(name: str, other: str) -> bool:
    """Return whether two names have almost the same letters, and the same numbers."""
    (letters, numbers), (other_letters, other_numbers) = _parts(name), _parts(other)
    ratio = SequenceMatcher(None, letters, other_letters).ratio()
    return numbers == other_numbers and ratio >= SPELLING_RATIO


def _is_of_its_kind(name: str, other: str) -> bool:
    (letters, numbers), (other_letters, other_numbers) = _parts(name), _parts(other)
    return numbers == other_numbers and any(letters in kind and other_letters in kind for kind in _KINDS)


def _parts(name: str) -> tuple[str, list[int]]:
    """Return the letters of a name in lower case, and its numbers: image_02 and Image-2 have the same."""
    return "".join(re.findall("[a-z]+", name.lower())), [int(digits) for digits in re.findall(r"\d+", name)]


def unread_folders(place: AnyPath, reads: Sequence[str], layout: str) -> tuple[list[Finding], list[str]]:
    """Find the folders in a recording's folder that its layout does not read.

    Args:
        place: The folder.
        reads: Names of the folders that the layout reads there.
        layout: What such a recording is called, with its article: "a toolkit folder".

    Returns:
        A finding for each folder that has almost the name of one that is read: a warning where that one is missing,
        else a note. And one note on all other folders.
    """
    names = [folder.name for folder in folders_in(place)]
    findings, others = [], []
    for name in names:
        meant = near_miss(name, reads) if name not in reads else None
        if name in reads or not visible_names(place / name):
            continue
        if meant is None:
            others.append(name)
        else:
            findings.append(_misnamed(place, name, meant, layout, is_there=meant in names))
    notes = [f"folders there that are not read: {listed(others)}"] if others else []
    return findings, notes


def _misnamed(place: AnyPath, name: str, meant: str, layout: str, *, is_there: bool) -> Finding:
    if is_there:
        message = f"the folder {name}/ is not read: {layout} has {meant}/, which is there, too"
        return not_read(place / name, message, "move what belongs to the recording to the other one", severity="note")
    return not_read(
        place / name,
        f"the folder {name}/ is not read: {layout} has {meant}/ in its place",
        f"rename {name} to {meant}, if that is what it is",
        found=name,
        expected=meant,
    )


def not_read(
    path: str | PathLike[str],
    message: str,
    cure: str,
    *,
    severity: Severity = "warning",
    found: str | None = None,
    expected: str | None = None,
) -> Finding:
    """Make the finding of a folder or file that is not read."""
    return Finding("folder-not-read", message, cure, severity, Subject("file", fspath(path)), found, expected)


def misnamed_file(path: AnyPath) -> str:
    """Say which file beside a missing one may be it: " (intrinsic.json is there: is that it?)"; "" if none may be."""
    if not path.parent.is_dir():
        return ""
    names = [name for name in visible_names(path.parent) if PurePath(name).suffix == path.suffix]
    found = [name for name in names if near_miss(PurePath(name).stem, [path.stem]) or name.lower() == path.name.lower()]
    return f" ({found[0]} is there: is that it?)" if found else ""
