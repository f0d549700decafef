"""Frame JSON: one UTF-8 JSON object a frame. Kernels read and write the points, orjson everything around them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from lidarprep.attachments._frame import AttachmentColumns, ReadColumns, describe, json_fault, read_frame
from lidarprep.errors import EncodingError, FormatError, RecipeError
from lidarprep.kernels import frame_json_reader as reader
from lidarprep.kernels import frame_json_writer as writer
from lidarprep.kernels.frame_json_writer import MAX_DECIMALS
from lidarprep.scene import Frame, PointCloud

_WHAT_IS_WRONG = {
    reader.NO_POINTS: "the frame has no 'points'",
    reader.BAD_JSON: "malformed JSON",
    reader.CUT_SHORT: "the text ends too early",
    reader.TOO_DEEP: f"nested deeper than {reader.MAX_DEPTH}",
    reader.DUPLICATE_KEY: "a point has the same key twice",
    reader.MISSING_COORDINATE: "a point lacks x, y or z",
    reader.NOT_A_NUMBER: "not a JSON number",
    reader.BAD_INTEGER: "not a whole number in range (d: 0 to 2³²−1, t: int64)",
    reader.NOT_A_BOOLEAN: "is_ground is neither true nor false",
    reader.ESCAPED_KEY: "a key with plain characters as \\u00xx escapes, which lidarprep does not read",
    reader.DUPLICATE_POINTS: "the key 'points' occurs twice",
}


# The text between the rest of a frame and the array of its points, which comes last.
_BEFORE_POINTS = b',"points":'

# The keys of a point that are read; all others are named as ignored.
_POINT_KEYS = frozenset({"x", "y", "z", "i", "d", "t", "is_ground"})


# ---- writing -------------------------------------------------------------------------------------------------------


def encode(frame: Frame, *, precision: int | None = None, threads: int | None = None) -> bytes:
    """Encode one frame in the world as Frame JSON.

    Args:
        frame: Points and radar in the world frame, intensity 0–1, images with poses and URLs.
        precision: Decimals (0–8) of the points' coordinates and intensity, correctly rounded; None for the shortest
            text that reads back as the same float32. Poses and calibration are always exact.
        threads: Number of threads for the points; None for as many as are worth it and have a core free.

    Raises:
        EncodingError: A value cannot be written: not finite, not in the world, an image without URL.
        RecipeError: The precision is out of range.
    """
    if precision is not None and not 0 <= precision <= MAX_DECIMALS:
        raise RecipeError(f"precision is {precision}; it must be 0 to {MAX_DECIMALS} decimals")
    columns = AttachmentColumns.of(frame.points(), frame.id)
    try:
        head = orjson.dumps(describe(frame))
    except TypeError as error:  # metadata of other types, an integer of more than 64 bits
        raise EncodingError(f"frame {frame.id}: Frame JSON cannot hold it: {error}") from error
    points = _points_text(columns, -1 if precision is None else precision, threads)
    return b"".join((head[:-1], _BEFORE_POINTS, b"[", *points, b"]}"))


def _points_text(columns: AttachmentColumns, decimals: int, threads: int | None) -> list[memoryview]:
    """Return the text of the points in consecutive pieces."""
    count = len(columns.positions)
    optional = (columns.intensity, columns.device, columns.timestamp, columns.is_ground)
    present = sum(column is not None for column in optional)
    with _writing_threads(count, threads) as used:
        edges = [count * part // used for part in range(used + 1)]

        def write(first: int, last: int) -> memoryview:
            rows = [None if column is None else column[first:last] for column in optional]
            capacity = writer.points_capacity(last - first, decimals=decimals, optional_columns=present)
            out = np.empty(capacity, dtype=np.uint8)
            return out[: writer.write_points(columns.positions[first:last], *rows, decimals, out)].data

        rest = [_thread_pool().submit(write, *edge) for edge in pairwise(edges[1:])]
        pieces = [write(*edges[:2]), *(piece.result() for piece in rest)]
    pieces[0] = pieces[0][1:]  # without the comma before the first point
    return pieces


# ---- threads: as many as are worth it, and as have a core free ----

# Below this many points a thread, dispatch costs more than it saves.
POINTS_A_THREAD = 20_000

_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_writing = 0
_lock = threading.Lock()


@cache
def _thread_pool() -> ThreadPoolExecutor:
    """Return the pool of threads that help encode; kernels release the GIL."""
    return ThreadPoolExecutor(_CORES, thread_name_prefix="lidarprep-encode")


def _after_fork() -> None:
    """Reset the state in a child process, which does not inherit the threads."""
    global _writing, _lock
    _writing, _lock = 0, threading.Lock()
    _thread_pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def _writing_threads(points: int, wanted: int | None) -> Iterator[int]:
    """Yield the number of threads to write that many points with, `wanted` if given; writers share the cores."""
    global _writing
    with _lock:
        _writing += 1
        free = max(1, _CORES // _writing)
    try:
        yield max(1, min(free, points // POINTS_A_THREAD) if wanted is None else min(wanted, max(1, points)))
    finally:
        with _lock:
            _writing -= 1


def relink(data: bytes, url_of: Callable[[str], str], *, source: str = "frame.json") -> bytes:
    """Return a Frame JSON that `encode` has made with each image's URL replaced by `url_of`'s.

    Raises:
        FormatError: `encode` has not made it.
    """
    status, start = reader.find_points(np.frombuffer(data, dtype=np.uint8), 0)
    if status != reader.OK:
        raise _format_error(source, status, start, data)
    before = data[:start].removesuffix(_BEFORE_POINTS)
    described = _parse(before + b"}", source, lambda at: at)
    # Its text must be reproduced exactly, or bytes beside the URLs would change.
    if orjson.dumps(described)[:-1] != before:
        raise FormatError(source, found="a Frame JSON that lidarprep has not written")
    for image in described.get("images", ()):
        image["image_url"] = url_of(image["image_url"])
    return b"".join((orjson.dumps(described)[:-1], memoryview(data)[len(before) :]))


# ---- reading -------------------------------------------------------------------------------------------------------


def decode(data: bytes, *, source: str = "frame.json") -> Frame:
    """Decode a Frame JSON as a frame in the world; `source` names it in errors and becomes the frame's id.

    Raises:
        FormatError: It is not a Frame JSON; names the byte, or the key, and its content.
    """
    text = np.frombuffer(data, dtype=np.uint8)
    status, start = reader.find_points(text, 0)
    if status != reader.OK:
        raise _format_error(source, status, start, data)
    points, end = _read_points(data, text, start, source)
    status, at = reader.find_points(text, end)
    if status != reader.NO_POINTS:
        raise _format_error(source, reader.DUPLICATE_POINTS if status == reader.OK else status, at, data)
    described = _parse(
        b"".join((data[:start], b"[]", data[end:])), source, lambda at: at if at < start else at + end - start - 2
    )
    return read_frame(source, described, points)


def _parse(text: bytes, source: str, place_of: Callable[[int], int]) -> Any:
    """Parse `text`; `place_of` converts an offset in it to one in the file."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        at, found = json_fault(text, error)
        raise FormatError(
            source, place=f"byte {place_of(at)}", found=found, expected="one JSON object, a Frame"
        ) from error


def _format_error(source: str, status: int, at: int, data: bytes) -> FormatError:
    found = _WHAT_IS_WRONG[status]
    if at < len(data):
        found += f": {data[at : at + 24]!r}"
    return FormatError(source, place=f"byte {at}", found=found, expected="one JSON object, a Frame")


def _read_points(data: bytes, text: NDArray[np.uint8], start: int, source: str) -> tuple[PointCloud, int]:
    """Return the points of the array at `start`, and the offset behind it."""
    columns = ReadColumns((len(text) - start) // reader.SHORTEST_POINT + 1, device=np.int64, timestamp=np.int64)
    slow = np.empty((1024, 4), dtype=np.int64)
    for _ in range(2):  # the second time with room for all numbers that Python has to read
        status, end, count, slow_count, any_seen, all_seen = reader.read_points(text, start, *columns.all, slow)
        if status != reader.OK:
            raise _format_error(source, status, end, data)
        if slow_count <= len(slow):
            break
        slow = np.empty((slow_count, 4), dtype=np.int64)
    ignored: set[str] = set()
    if any_seen & reader.HAS_OTHER:  # keys that the kernel skipped
        rows = _parse(data[start:end], source, lambda at: at + start)
        ignored = {key for row in rows for key in row} - _POINT_KEYS
    for row, column, first, behind in slow[:slow_count].tolist():
        with np.errstate(over="ignore"):
            value = np.float32(float(data[first:behind]))
        if column == 3:
            columns.intensity[row] = value
        else:
            columns.positions[row, column] = value
    cloud = columns.cloud(count, any_seen, all_seen, source, tuple(sorted(ignored)))
    for column, name in ((cloud.positions, "a coordinate"), (cloud.intensity, "an intensity")):
        if column is not None and not np.isfinite(column).all():
            raise FormatError(source, place="points", found=f"{name} beyond the range of float32")
    return cloud, end
