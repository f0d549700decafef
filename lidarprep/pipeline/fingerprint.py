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
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np

from lidarprep.recipe import Recipe, StorageOptions
from lidarprep.scene import Frame, Scene

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
    }
)

# Arrays larger than this are data, not parameters of a reader.
_LARGEST_PARAMETER = 1 << 20


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


class _Digests:
    """Digests of plain data, files among it by their names; gathers the files that were met.

    Args:
        source: The recording: files in it are named by their way from there, so that it may be moved.
    """

    def __init__(self, source: Path) -> None:
        self._source = os.fspath(source)
        self._paths: list[str] = []
        # What many frames share, such as their cameras; kept, so that no other gets its id.
        self._known: dict[int, tuple[object, bytes]] = {}

    def of_frame(self, frame: Frame, whole: Collection[Path]) -> tuple[bytes, str]:
        """Of what a frame says, and of the sizes and times of the files that it is read from.

        Raises:
            _UnnamedError: It is read from something that has no name.
        """
        self._paths = list(map(os.fspath, whole))
        readers = [frame.read_points, frame.read_chunks, frame.read_radar]
        said = self.of(() if whole else [self._of_reader(reader) for reader in readers])
        pictures = [
            (
                image.camera,
                image.path,
                image.world_from_camera,
                image.timestamp,
                image.url,
                image.scale_factor,
                image.priority,
                image.metadata,
                None if whole else self._of_reader(image.content),
            )
            for image in frame.images
        ]
        said = self.of((said, frame.id, frame.index, frame.timestamp, frame.world_from_ego, frame.gps, pictures))
        stamps = json.dumps([[self._named(path), *_stamp(path)] for path in dict.fromkeys(self._paths)])
        return said, hashlib.sha256(stamps.encode()).hexdigest()

    def _of_reader(self, reader: object) -> bytes:
        """Of what reads something, which must name a file that it reads; or of None."""
        met = len(self._paths)
        said = self.of(reader)
        if reader is not None and met == len(self._paths):
            raise _UnnamedError
        return said

    def of(self, value: object) -> bytes:
        """Of plain data.

        Raises:
            _UnnamedError: Something in it is none.
        """
        return hashlib.sha256(self._text(value)).digest()

    def _text(self, value: object) -> bytes:
        """Unlike texts for unlike data: a kind, a length and what is in it."""
        if value is None or isinstance(value, bool | int | float):
            return repr(value).encode() + b";"
        if isinstance(value, str | bytes):
            data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
            return b"%c%d:%s" % (b"s" if isinstance(value, str) else b"b", len(data), data)
        if isinstance(value, Path):
            self._paths.append(os.fspath(value))
            return b"p" + self._text(self._named(os.fspath(value)))
        if isinstance(value, tuple | list):
            return b"(" + b"".join(map(self._text, value)) + b")"
        if isinstance(value, Mapping):
            return b"{" + b"".join(self._text(key) + self._text(item) for key, item in value.items()) + b"}"
        if isinstance(value, set | frozenset):
            return b"<" + b"".join(sorted(map(self._text, value))) + b">"
        return self._text_of_object(value)

    def _text_of_object(self, value: object) -> bytes:
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        met = len(self._paths)
        if isinstance(value, partial):
            text = b"f" + self._text((value.func, value.args, value.keywords))
        elif isinstance(value, FunctionType | BuiltinFunctionType | type):
            text = b"n" + self._text(_name_of(value))
        elif isinstance(value, Enum):
            text = b"e" + self._text((type(value).__qualname__, value.name))
        elif isinstance(value, np.ndarray | np.generic):
            if value.nbytes > _LARGEST_PARAMETER or value.dtype.hasobject:
                raise _UnnamedError
            text = b"a" + self._text((value.dtype.str, value.shape, value.tobytes()))
        elif is_dataclass(value) and not isinstance(value, type):
            text = b"d" + self._text(type(value).__qualname__)
            text += b"".join(self._text(getattr(value, field.name)) for field in fields(value))
        else:
            raise _UnnamedError
        if met == len(self._paths):  # else the next frame would miss its files
            text = b"h" + hashlib.sha256(text).digest()
            self._known[id(value)] = (value, text)
        return text

    def _named(self, path: str) -> str:
        """By its way from the recording, if it lies there, else by its own."""
        inside = f"{self._source}{os.sep}"
        return path[len(inside) :] if path.startswith(inside) else os.path.abspath(path)  # noqa: PTH100


def _name_of(value: FunctionType | BuiltinFunctionType | type) -> str:
    """The name of a function or a class that whoever imports its module finds."""
    if "<" in value.__qualname__ or getattr(value, "__self__", None) is not None:
        raise _UnnamedError  # made on the spot: it may hold anything
    return f"{value.__module__}.{value.__qualname__}"


def _stamp(path: str) -> Iterable[object]:
    """Size and time of the last change of a file, in nanoseconds; of a folder, those of the files in it."""
    try:
        status = os.stat(path)  # noqa: PTH116  # thousands of them
        if not os.path.isdir(path):  # noqa: PTH112
            return (status.st_size, status.st_mtime_ns)
        with os.scandir(path) as entries:
            return sorted(
                (entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in entries if entry.is_file()
            )
    except OSError:
        return ("not there",)
