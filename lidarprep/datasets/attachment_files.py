"""Files of attachments as frames: read whole, or opened with their points left unread."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Literal, TypeVar, cast

import orjson

from lidarprep.attachments import FrameFormat, SceneFormat, get_format
from lidarprep.datasets.filenames import source_file
from lidarprep.errors import FormatError
from lidarprep.scene import Frame, PointCloud, RadarPoints, Scene

Value = TypeVar("Value")
FrameFormatName = Literal["json", "protobuf"]

# How many bytes of a Frame JSON are read to find its points; four times as many at each further try.
FIRST_LOOK = 64 * 1024
# The last point of a Frame JSON, and the ends of the array and of the frame behind it.
_TAIL = 1024
_LAST_POINT = re.compile(rb"(\{[^{}\[\]]*\})\s*\]\s*\}\s*\Z")
_NO_POINT = re.compile(rb"\[\s*\]\s*\}\s*\Z")
_POINT_KEYS = frozenset({"x", "y", "z", "i", "d", "t", "is_ground"})


def read_scene_file(path: Path, attachment_format: SceneFormat) -> Scene:
    """Read a file that holds a whole scene; its points are read when they are asked for.

    Raises:
        FormatError: It cannot be read, or breaks the format.
    """

    def read() -> Scene:
        # A map, since a scene may be larger than memory; it lasts as long as the frames that read from it.
        with path.open("rb") as file:
            mapped = mmap(file.fileno(), 0, access=ACCESS_READ) if path.stat().st_size else b""
        return attachment_format.decode(mapped, source=str(path))

    scene, source = _readable(path, read), source_file(path)
    return replace(scene, frames=tuple(replace(frame, sources=(source,)) for frame in scene))


def read_frame_file(path: Path, attachment_format: FrameFormat) -> Frame:
    """Read a file that holds one frame, with its points.

    Raises:
        FormatError: It cannot be read, or breaks the format.
    """
    return _readable(path, lambda: attachment_format.decode(path.read_bytes(), source=str(path)))


def open_frame_file(path: Path, attachment_format: FrameFormat) -> Frame:
    """Open a file that holds one frame, whose points and radar returns are read when they are asked for.

    Of a Frame JSON that has its points last, as lidarprep writes it, only the part before them is read. Any other
    attachment has to be decoded for what follows its points, which are not kept.

    Raises:
        FormatError: It cannot be read, or the part that was read breaks the format.
    """
    name = cast(FrameFormatName, attachment_format.name)
    head = _readable(path, lambda: json_head(path)) if name == "json" else None
    if head is None:
        frame = read_frame_file(path, attachment_format)
    else:
        frame = attachment_format.decode(head, source=str(path))
    return replace(
        frame,
        id=path.stem,
        sources=(source_file(path),),
        read_points=partial(_read_points, path, name, _surroundings(frame)),
        read_radar=None if frame.read_radar is None else partial(_read_radar, path, name),
    )


def json_head(path: Path) -> bytes | None:
    """Return a Frame JSON without its points, if those are its last part; else None.

    Only the beginning and the end of the file are read. The points are last if it ends with an object that has a
    point's keys and no others, an array's end, and the frame's.
    """
    import numpy as np

    from lidarprep.kernels import frame_json_reader as reader

    size = path.stat().st_size
    with path.open("rb") as file:
        head, status, start = b"", reader.CUT_SHORT, 0
        wanted = FIRST_LOOK
        while status != reader.OK and len(head) < size:
            head += file.read(wanted - len(head))
            if len(head) < min(wanted, size):
                break  # it has become shorter meanwhile
            status, start = reader.find_points(np.frombuffer(head, dtype=np.uint8), 0)
            wanted *= 4
        if status != reader.OK:
            return None
        file.seek(max(start, size - _TAIL))
        tail = file.read()
    return head[:start] + b"[]}" if _ends_with_points(tail) else None


def _ends_with_points(tail: bytes) -> bool:
    if len(tail) < _TAIL and _NO_POINT.fullmatch(tail):
        return True
    match = _LAST_POINT.search(tail)
    if match is None:
        return False
    try:
        keys = set(orjson.loads(match[1]))
    except orjson.JSONDecodeError:
        return False
    return {"x", "y", "z"} <= keys <= _POINT_KEYS


def _surroundings(frame: Frame) -> tuple[object, ...]:
    """Return a digest of a frame without its points."""
    return frame.world_from_ego, frame.timestamp, frame.gps, len(frame.images)


def _read_points(path: Path, format_name: FrameFormatName, surroundings: tuple[object, ...]) -> PointCloud:
    frame = read_frame_file(path, get_format(format_name))
    if _surroundings(frame) != surroundings:
        raise FormatError(
            path,
            place="behind its points",
            found="other poses, images or times than before them",
            fix="Leave the file as it is while the recording is open, and each key once in it.",
        )
    return frame.points()


def _read_radar(path: Path, format_name: FrameFormatName) -> RadarPoints:
    attachment_format = get_format(format_name)
    head = _readable(path, lambda: json_head(path)) if format_name == "json" else None
    if head is None:
        radar = read_frame_file(path, attachment_format).radar()
    else:
        radar = attachment_format.decode(head, source=str(path)).radar()
    if radar is None:
        raise FormatError(path, found="no radar points, which it had when the recording was opened")
    return radar


def _readable(path: Path, read: Callable[[], Value]) -> Value:
    try:
        return read()
    except OSError as error:
        raise FormatError(path, found=f"the file cannot be read ({error.strerror or error})") from error
