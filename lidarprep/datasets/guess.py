"""Which layout a path has; what may have been meant, where it has none; and of which recording it is only a part."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from lidarprep.datasets.filenames import first_names, folders_in, names_around, path_below, visible, visible_names
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.undecoded import undecoded_file
from lidarprep.datasets.unread import is_spelling, near_miss
from lidarprep.errors import FormatError, SceneError, is_git_lfs_pointer
from lidarprep.pointfiles import is_point_file, point_suffixes
from lidarprep.remote import AnyPath
from lidarprep.scene import Finding, Scene, Severity, Subject


class Layout(Protocol):
    """What a layout's module offers."""

    LOOKS_LIKE: str
    """What such a recording looks like on the disk, for the error when none fits."""

    def detect(self, path: AnyPath) -> str | None:
        """Say why the path is such a recording, as the end of "…, because"; None when it is not."""

    def open(self, path: AnyPath, options: OpenOptions) -> Scene:
        """Open the recording, without its points."""


@dataclass(frozen=True)
class Shape:
    """The folders of a layout by which its parts, and what is almost it, are told.

    Args:
        called: What such a recording is called, with its article.
        points: Patterns of the folders that hold its points, from its top folder.
        beside: Names that lie beside the first of them.
    """

    called: str
    points: tuple[str, ...]
    beside: tuple[str, ...]


SHAPES = {
    "labelling-export": Shape("an export of a labelling tool", ("pointcloud", "lidar", "point_clouds/*"), ()),
    "toolkit": Shape("a toolkit folder", ("pointcloud", "lidars", "lidars/*"), ("poses", "cameras", "radar_points")),
    "kitti-raw": Shape(
        "a drive of KITTI raw",
        ("velodyne_points", "velodyne_points/data"),
        ("oxts", "image_00", "image_01", "image_02", "image_03"),
    ),
    "kitti-odometry": Shape("a sequence of KITTI odometry", ("velodyne",), ("calib.txt", "times.txt")),
    "kitti-object": Shape("a part of KITTI object", ("velodyne", "velodyne_reduced"), ("calib", "image_2", "label_2")),
    "pandaset": Shape("a sequence of PandaSet", ("lidar",), ("camera", "meta")),
    "nuscenes": Shape("a nuScenes dataset", ("samples", "samples/*", "sweeps", "sweeps/*"), ()),
    "argoverse2": Shape("a log of Argoverse 2", ("sensors", "sensors/*"), ("calibration",)),
}

# Layouts that any point file makes.
_PLAIN = ("folder", "file")

# Suffixes of files that hold nothing but points: tables and text may belong to a recording otherwise.
_CLOUDS = (".ply", ".pcd", ".bin", ".las", ".laz")

# How many folders, files and recordings an error names; how many folders are searched for recordings, and how deep.
_SHOWN = 5
_SEARCHED = 300
_DEEP = 3


def guess(path: AnyPath, layouts: Mapping[str, Layout]) -> tuple[str, str]:
    """Return the first layout that fits, and why; those behind it are not even imported.

    Raises:
        SceneError: None fits; the error says what is there, and what may have been meant.
        FormatError: It is a file that was not downloaded.
    """
    for name, layout in layouts.items():
        reason = layout.detect(path)
        if reason is not None:
            return name, reason
    raise _unknown(path, layouts)


# ---- a path that no layout takes -----------------------------------------------------------------------------------


def _unknown(path: AnyPath, layouts: Mapping[str, Layout]) -> SceneError | FormatError:
    if path.is_file() and is_git_lfs_pointer(path):
        return FormatError(path, found="not a recording")  # the error itself says what it is
    problem = f"{path} is no recording that lidarprep knows"
    known = "`lidarprep layouts` lists what is known."
    if path.is_dir():
        problem += f": {_holds(visible(path))}"
        almost = almost_a_recording(path)
        if almost is not None:
            return SceneError(problem, fix=f"It is {almost}")
        found = _recordings_below(path, layouts)
        if found:
            return SceneError(problem, fix=_meant(found))
        files = (entry for entry in visible(path)[:_SEARCHED] if not entry.is_dir())
        first = next(((entry, what) for entry in files if (what := undecoded_file(entry)) is not None), None)
        if first is not None:
            entry, what = first
            return SceneError(f"{problem}; {entry.name} is {what.what}", fix=what.cure)
        return SceneError(problem, fix=known)
    undecoded = undecoded_file(path)
    if undecoded is not None:
        return SceneError(f"{path} is {undecoded.what}", fix=undecoded.cure)
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return SceneError(f"{problem}: it is a YAML file", fix=f"A recipe? lidarprep run {shlex.quote(str(path))}")
    ends = f"its name ends in {suffix}" if suffix else "its name has no suffix"
    return SceneError(f"{problem}: {ends}; names of point files end in {' '.join(sorted(point_suffixes()))}", fix=known)


def almost_a_recording(path: AnyPath) -> str | None:
    """Say which recording a folder would be if one of its folders had another name; None if it would be none.

    Returns:
        "a toolkit folder but for its folder pointcloud/; is pointclouds/ that? Rename it to pointcloud."
    """
    names = names_around(path)
    if len(names) > _MOST_NAMES:
        return None
    folders = folders_in(path) if names else []
    ranked = [_almost(shape, names, folders) for shape in SHAPES.values() if shape.points[0] not in names]
    evidence, said = max(ranked, key=lambda one: one[0], default=(0, ""))
    return said if evidence >= _ENOUGH else None


# The top of a recording has fewer names; one with more is a folder of recordings, which takes seconds to compare.
_MOST_NAMES = 200

# How much must speak for a recording: a folder of it with another that is almost named as that of its points; or two.
_ENOUGH = 3


def _almost(shape: Shape, names: Sequence[str], folders: Sequence[AnyPath]) -> tuple[int, str]:
    """Return how much speaks for a folder being of this shape but for the folder of its points, and that in words."""
    wanted = shape.points[0]
    beside = [name for name in names if name in shape.beside]
    similar = [name for name in names if near_miss(name, shape.beside) is not None]
    evidence = 2 * len(beside) + len(similar)
    if not evidence:
        return 0, ""
    others = [folder for folder in folders if folder.name not in (*beside, *similar)]
    named = next((folder.name for folder in others if near_miss(folder.name, [wanted]) is not None), None)
    found = named or next((folder.name for folder in others if _holds_points(folder)), None)
    if named is not None:
        evidence += 2 if is_spelling(named, wanted) else 1
    if found is not None:
        return evidence, f"{shape.called} but for its folder {wanted}/; is {found}/ that? Rename it to {wanted}."
    if len(beside) > 1:
        return evidence, f"{shape.called} but for its folder {wanted}/, which is not there; {', '.join(beside)} are."
    return 0, ""


def _holds_points(folder: AnyPath) -> bool:
    """Return whether one of the first entries of a folder is a point file."""
    try:
        return any(map(is_point_file, first_names(folder, _SEARCHED)))
    except OSError:  # it is gone, or was never to be read: it is not the user's recording
        return False


def _holds(entries: Sequence[AnyPath]) -> str:
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


def _recordings_below(path: AnyPath, layouts: Mapping[str, Layout]) -> list[tuple[AnyPath, str]]:
    """Return the nearest folders and files below that a layout takes, each with the layout's name.

    Those that are only a folder of points come last: the others know more of them.
    """
    level, found, searched = [path], [], 0
    for _ in range(_DEEP):
        entries = [folder / name for folder in level for name in names_around(folder)]
        level = []
        for entry in entries[: _SEARCHED - searched]:
            name = _layout_of(entry, layouts)
            if name is not None:
                found.append((entry, name))
            elif entry.is_dir():
                level.append(entry)
        searched += len(entries)
        if found or searched >= _SEARCHED:
            break
    return sorted(found, key=lambda one: one[1] in _PLAIN)


def _layout_of(path: AnyPath, layouts: Mapping[str, Layout]) -> str | None:
    # "file" takes any list of poses in .txt: it gives no hint.
    return next((name for name in layouts if name != "file" and _is_of(path, layouts[name])), None)


def _is_of(path: AnyPath, layout: Layout) -> bool:
    """Return whether a path that the user did not name is of a layout; not if it cannot be read."""
    try:
        return layout.detect(path) is not None
    except OSError:
        return False


def _meant(found: Sequence[tuple[AnyPath, str]]) -> str:
    if len(found) == 1:
        (path, name) = found[0]
        return f"Did you mean {path} ({name})?"
    shown = "\n".join(f"  {path} ({name})" for path, name in found[:_SHOWN])
    more = len(found) - _SHOWN
    return f"Did you mean one of these?\n{shown}" + (f"\n  and {more} more" if more > 0 else "")


# ---- parts and wholes ------------------------------------------------------------------------------------------------


def unread_recordings(path: AnyPath, name: str, layouts: Mapping[str, Layout], *, on_purpose: bool) -> list[Finding]:
    """Find what a recording is a part of, and what lies in its folder, and is not read with it.

    Args:
        path: The recording.
        name: The layout that it is opened as.
        layouts: All layouts.
        on_purpose: Whether the user said more than the path: its layout, or its poses.
    """
    if name in _PLAIN:
        severity: Severity = "note" if on_purpose or name == "file" else "warning"
        whole = _whole(path, layouts)
        if whole is not None:
            top, message = whole
            return [Finding("recording-not-read", message, f"open {top}", severity, Subject("file", os.fspath(top)))]
        return _around_a_file(path, layouts) if name == "file" else _below_a_folder(path, layouts)
    if name in SHAPES:
        loose = [one for one in visible_names(path) if one.lower().endswith(_CLOUDS) and (path / one).is_file()]
        if loose:
            message = f"{len(loose)} point files in the folder itself, such as {loose[0]}, are not read"
            cure = "open them by themselves, if they are meant"
            return [Finding("recording-not-read", message, cure, "note", Subject("file", os.fspath(path / loose[0])))]
    return []


def _whole(path: AnyPath, layouts: Mapping[str, Layout]) -> tuple[AnyPath, str] | None:
    """Return the recording whose points lie in a folder, or in that of a file, and say what of it is opened."""
    absolute = path.absolute()
    part = absolute if path.is_dir() else absolute.parent
    for top in part.parents[:_DEEP]:
        inner = path_below(part, top)
        for name in _with_points_in(inner):
            if name in layouts and _is_of(top, layouts[name]):
                only = f"{inner}/" if path.is_dir() else f"the file {inner}/{path.name}"
                called = SHAPES[name].called
                return top, f"only {only} of {called} is opened: nothing else of {top} ({name}) is read"
    almost = almost_a_recording(part.parent)
    if almost is not None and f" {part.name}/ " in almost:
        return part.parent, f"nothing but {part.name}/ is opened: the folder above is {almost}"
    return None


def _with_points_in(inner: str) -> Iterator[str]:
    """Yield the layouts whose points may lie in that folder."""
    for name, shape in SHAPES.items():
        if any(fnmatchcase(inner, pattern) and inner.count("/") == pattern.count("/") for pattern in shape.points):
            yield name


def _with_points_among(names: Set[str]) -> Iterator[str]:
    """Yield the layouts of which a folder of points may be among these names: a cheap look, before `detect`."""
    for name, shape in SHAPES.items():
        if any(pattern.partition("/")[0] in names for pattern in shape.points):
            yield name


def _below_a_folder(path: AnyPath, layouts: Mapping[str, Layout]) -> list[Finding]:
    """Find the recordings of more than points that lie in a folder of point files."""
    found = [(folder, _composite(folder, layouts)) for folder in folders_in(path)[:_SEARCHED]]
    return [
        Finding(
            "recording-not-read",
            f"{folder.name}/ ({name}) lies beside the point files, and is not read",
            f"open {folder}, if that is meant",
            subject=Subject("file", os.fspath(folder)),
        )
        for folder, name in found
        if name is not None
    ]


def _around_a_file(path: AnyPath, layouts: Mapping[str, Layout]) -> list[Finding]:
    """Find the recording in whose folder a single file lies."""
    folder = path.absolute().parent
    name = _composite(folder, layouts) if names_around(folder) and folders_in(folder) else None
    if name is None:
        return []
    message = f"the file lies in the folder of a recording ({name}), and does not belong to it"
    return [
        Finding(
            "recording-not-read",
            message,
            f"open {folder}, if that is meant",
            "note",
            Subject("file", os.fspath(folder)),
        )
    ]


def _composite(folder: AnyPath, layouts: Mapping[str, Layout]) -> str | None:
    """Return the layout of more than points that a folder has, whose points lie in it; None if it has none."""
    names = _with_points_among({*names_around(folder)})
    return next((name for name in names if name in layouts and _is_of(folder, layouts[name])), None)
