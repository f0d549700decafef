"""What a run's result depends on, as one digest: the recipe, what shows in attachments, and the recording.

Of the recording's files, their sizes and the times of their last change stand for what is in them: a scene of hundreds
of frames is compared in well under a second. Files are found in what reads a frame's points, radar returns and
pictures: layouts make a `functools.partial` of a function and plain data, paths among it. A frame that is read by
anything else could read anything: a scene that has one has no fingerprint.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from stat import S_ISDIR
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np

from lidarprep.recipe import Recipe, StorageOptions
from lidarprep.scene import CameraImage, Frame, Scene

# How a store is reached, and how fast, shows in nothing that is stored.
_NOT_SHOWN = frozenset(
    {
        "endpoint_url",
        "profile",
        "region",
        "role_arn",
        "path_style",
        "checksums",
        "give_up_after",
        "requester_pays",
        "link_images",
    }
)

# Arrays larger than this are data, not parameters of a reader.
_LARGEST_PARAMETER = 1 << 20
_SMALL_ARRAY = 256


@dataclass(frozen=True)
class Fingerprint:
    """What the result of a run depends on.

    Args:
        parts: The recipe, the storage options that show, where URLs begin, lidarprep's version and a digest of what the
            recording holds beside its frames' files: plain JSON.
        files: A digest of each frame's files, by the frame's id; of those that are prepared, and of the scene's first.
    """

    parts: Mapping[str, Any]
    files: Mapping[str, str]

    @property
    def value(self) -> str:
        """All of it, as SHA-256 in 64 hex digits."""
        text = json.dumps([self.parts, list(self.files.items())], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def fingerprint_of(
    scene: Scene, recipe: Recipe, storage: StorageOptions, frames: Sequence[Frame], *, url_base: str
) -> Fingerprint | None:
    """The fingerprint of a run, or None where it cannot be told what the scene is read from.

    Args:
        scene: The recording.
        recipe: What is to be done with it.
        storage: How it is stored.
        frames: Those of its frames that are to be prepared.
        url_base: What the URLs in attachments begin with.
    """
    source = Path(scene.source)
    # A scene that is one file is looked into by maps of it, which don't say whose they are.
    whole = (source,) if scene.layout == "attachments" and source.is_file() else ()
    digests = _Digests(source)
    try:
        holds = [digests.of_frame(frame, whole) for frame in frames]
        first = digests.of_frame(scene.frames[0], whole)
        beside = digests.of(
            (
                [(frame.id, frame.index, frame.timestamp, frame.world_from_ego) for frame in scene],
                [digest for digest, _ in holds],
                (scene.layout, scene.cameras, scene.points_frame, scene.notes, scene.lidars),
                (scene.trajectory, scene.motion_compensated),
            )
        )
    except _UnnamedError:
        return None
    parts = {
        "recipe": recipe.model_dump(mode="json"),
        "storage": storage.model_dump(mode="json", exclude=set(_NOT_SHOWN)),
        "url_base": url_base,
        "lidarprep": version("lidarprep"),
        "scene": beside.hex(),
    }
    files = {scene.frames[0].id: first[1]} | {frame.id: one for frame, (_, one) in zip(frames, holds, strict=True)}
    return Fingerprint(parts, files)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between the parts of two fingerprints, a phrase each."""
    found = []
    for name, what in (("recipe", ""), ("storage", "storage option ")):
        earlier, later = before.get(name, {}), now[name]
        for key in dict.fromkeys([*later, *earlier]):
            if key not in earlier or key not in later or earlier[key] != later[key]:
                found.append(f"{what}{key} was {_shown(earlier.get(key))} and is {_shown(later.get(key))}")
    if before.get("url_base") != now["url_base"]:
        found.append(f"URLs began with {before.get('url_base')!r} and begin with {now['url_base']!r}")
    if before.get("lidarprep") != now["lidarprep"]:
        found.append(f"lidarprep was {before.get('lidarprep')} and is {now['lidarprep']}")
    if before.get("scene") != now["scene"]:
        found.append("the recording's frames, poses or cameras are others, or it was opened otherwise")
    return found


def files_that_differ(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Ids of the frames whose files were others, in the order of `before`."""
    return [frame_id for frame_id, digest in before.items() if now.get(frame_id) != digest]


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


class _UnnamedError(Exception):
    """Something that may be read from anywhere."""


# Of these, Python's own text is unlike for unlike data; so it is of tuples of them.
_CONSTANTS = frozenset({type(None), bool, int, float, str, bytes})


class _Digests:
    """Digests of plain data, files among it by their names; gathers the files that were met.

    Args:
        source: The recording: files in it are named by their way from there, so that it may be moved.
    """

    def __init__(self, source: Path) -> None:
        self._source = os.fspath(source)
        self._paths: list[str] = []
        # What many frames share, such as their cameras; kept, so that no other gets its id.
        self._known: dict[int, tuple[object, object]] = {}

    def of_frame(self, frame: Frame, whole: Collection[Path]) -> tuple[bytes, str]:
        """Of what a frame says, and of the sizes and times of the files that it is read from.

        Raises:
            _UnnamedError: It is read from something that has no name.
        """
        self._paths = list(map(os.fspath, whole))
        readers = (frame.read_points, frame.read_chunks, frame.read_radar, *(image.content for image in frame.images))
        said = (
            () if whole else tuple(map(self._plain_reader, readers)),
            self._plain((frame.id, frame.index, frame.timestamp, frame.world_from_ego, frame.gps)),
            [self._plain(_without_content(image)) for image in frame.images],
        )
        stamps = [(self._named(path), *_stamp(path)) for path in dict.fromkeys(self._paths)]
        return _digest(said), _digest(stamps).hex()

    def of(self, value: object) -> bytes:
        """Of plain data.

        Raises:
            _UnnamedError: Something in it is none.
        """
        return _digest(self._plain(value))

    def _plain_reader(self, reader: object) -> object:
        """What reads something, which must name a file that it reads; or None."""
        met = len(self._paths)
        said = self._plain(reader)
        if reader is not None and met == len(self._paths):
            raise _UnnamedError
        return said

    def _plain(self, value: object) -> object:
        """As constants in tuples, and in lists that begin with its kind what is neither: unlike for unlike data."""
        kind = type(value)
        if kind in _CONSTANTS:
            return value
        if isinstance(value, tuple | list):
            return tuple([item if type(item) in _CONSTANTS else self._plain(item) for item in value])
        if isinstance(value, Path):
            path = os.fspath(value)
            self._paths.append(path)
            return ["path", self._named(path)]
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        met = len(self._paths)
        said: object = self._plain_object(value)
        # What names a file is not kept, since the next frame would miss it; nor what is told at once.
        if met == len(self._paths) and not (isinstance(value, np.ndarray) and value.nbytes <= _SMALL_ARRAY):
            said = ["digest", _digest(said)]
            self._known[id(value)] = (value, said)
        return said

    def _plain_object(self, value: object) -> list[object]:
        kind: Any = type(value)
        names = _fields_of(kind)
        if names is not None:
            return ["object", kind.__qualname__, *[self._plain(getattr(value, name)) for name in names]]
        if isinstance(value, partial):
            return ["partial", self._plain((value.func, value.args, *value.keywords.items()))]
        if isinstance(value, FunctionType | BuiltinFunctionType | type):
            return ["name", _name_of(value)]
        if isinstance(value, Enum):
            return ["enum", kind.__qualname__, value.name]
        if isinstance(value, np.ndarray | np.generic):
            if value.nbytes > _LARGEST_PARAMETER or value.dtype.hasobject:
                raise _UnnamedError
            return ["array", value.dtype.str, value.shape, value.tobytes()]
        if isinstance(value, Mapping):
            return ["mapping", *[(self._plain(key), self._plain(item)) for key, item in value.items()]]
        if isinstance(value, set | frozenset):
            return ["set", *sorted(repr(self._plain(item)) for item in value)]
        if isinstance(value, int | float | str | bytes):  # a class of its own
            return ["constant", kind.__qualname__, repr(value)]
        raise _UnnamedError

    def _named(self, path: str) -> str:
        """By its way from the recording, if it lies there, else by its own."""
        inside = f"{self._source}{os.sep}"
        return path[len(inside) :] if path.startswith(inside) else os.path.abspath(path)  # noqa: PTH100


def _digest(plain: object) -> bytes:
    return hashlib.sha256(repr(plain).encode()).digest()


def _without_content(image: CameraImage) -> tuple[object, ...]:
    return tuple([getattr(image, name) for name in _PICTURE_FIELDS])


@cache
def _fields_of(kind: type) -> tuple[str, ...] | None:
    """The names of a dataclass's fields, or None where it is none."""
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else None


_PICTURE_FIELDS = tuple(field.name for field in fields(CameraImage) if field.name != "content")


def _name_of(value: FunctionType | BuiltinFunctionType | type) -> str:
    """The name of a function or a class that whoever imports its module finds."""
    if "<" in value.__qualname__ or getattr(value, "__self__", None) is not None:
        raise _UnnamedError  # made on the spot: it may hold anything
    return f"{value.__module__}.{value.__qualname__}"


def _stamp(path: str) -> Iterable[object]:
    """Size and time of the last change of a file, in nanoseconds; of a folder, those of the files in it."""
    try:
        status = os.stat(path)  # noqa: PTH116  # thousands of them
        if not S_ISDIR(status.st_mode):
            return (status.st_size, status.st_mtime_ns)
        with os.scandir(path) as entries:
            return sorted(
                (entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in entries if entry.is_file()
            )
    except OSError:
        return ("not there",)
