"""Frame JSON: one UTF-8 JSON object a frame. Kernels read and write the points, orjson everything around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from lidarprep.attachments._columns import (
    AttachmentColumns,
    DocumentReader,
    device_pose,
    linked_image,
    require_all_or_none,
    require_world,
)
from lidarprep.attachments._threads import thread_pool, writing_threads
from lidarprep.errors import EncodingError, FormatError, RecipeError, SceneError
from lidarprep.kernels import frame_json_reader as reader
from lidarprep.kernels import frame_json_writer as writer
from lidarprep.kernels.text import MAX_DECIMALS
from lidarprep.scene import Camera, CameraImage, Frame, GpsPose, PointCloud, Pose, RadarPoints
from lidarprep.scene.camera import Distortion, intrinsics_from_mapping

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

# The keys of a Frame JSON that are read; all others are named as ignored.
_POINT_KEYS = frozenset({"x", "y", "z", "i", "d", "t", "is_ground"})
_CALIBRATION_KEYS = frozenset({"fx", "fy", "cx", "cy", "skew", "camera_model", *Distortion.__dataclass_fields__})
_IMAGE_KEYS = _CALIBRATION_KEYS | {
    *("image_url", "position", "heading", "timestamp", "camera_index", "scale_factor", "priority", "metadata")
}
_RADAR_KEYS = frozenset({"position", "direction", "size"})
_FRAME_KEYS = frozenset(
    {"device_position", "device_heading", "device_gps_pose", "timestamp", "points", "radar_points", "images"}
)


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
        head = orjson.dumps(_describe(frame))
    except TypeError as error:  # metadata of other types, an integer of more than 64 bits
        raise EncodingError(f"frame {frame.id}: Frame JSON cannot hold it: {error}") from error
    points = _points_text(columns, -1 if precision is None else precision, threads)
    return b"".join((head[:-1], _BEFORE_POINTS, b"[", *points, b"]}"))


def _points_text(columns: AttachmentColumns, decimals: int, threads: int | None) -> list[memoryview]:
    """Return the text of the points in consecutive pieces."""
    count = len(columns.positions)
    optional = (columns.intensity, columns.device, columns.timestamp, columns.is_ground)
    present = sum(column is not None for column in optional)
    with writing_threads(count, threads) as used:
        edges = [count * part // used for part in range(used + 1)]

        def write(first: int, last: int) -> memoryview:
            rows = [None if column is None else column[first:last] for column in optional]
            capacity = writer.points_capacity(last - first, decimals=decimals, optional_columns=present)
            out = np.empty(capacity, dtype=np.uint8)
            return out[: writer.write_points(columns.positions[first:last], *rows, decimals, out)].data

        rest = [thread_pool().submit(write, *edge) for edge in pairwise(edges[1:])]
        pieces = [write(*edges[:2]), *(piece.result() for piece in rest)]
    pieces[0] = pieces[0][1:]  # without the comma before the first point
    return pieces


def _describe(frame: Frame) -> dict[str, Any]:
    """Describe a frame without its points."""
    pose = device_pose(frame)
    described: dict[str, Any] = {
        "device_position": _vector(pose.translation),
        "device_heading": _quaternion(pose),
    }
    if frame.gps is not None:
        described["device_gps_pose"] = {
            "lat": frame.gps.latitude,
            "lon": frame.gps.longitude,
            "bearing": frame.gps.bearing,
        }
    if frame.timestamp is not None:
        described["timestamp"] = frame.timestamp
    radar = frame.radar()
    if radar is not None:
        described["radar_points"] = _radar_points(radar, frame.id)
    if frame.images:
        described["images"] = [_image(image, frame.id) for image in frame.images]
    return described


def _vector(values: NDArray[np.float64]) -> dict[str, float]:
    x, y, z = values.tolist()
    return {"x": x, "y": y, "z": z}


def _quaternion(pose: Pose) -> dict[str, float]:
    w, x, y, z = pose.quaternion.tolist()
    return {"w": w, "x": x, "y": y, "z": z}


def _radar_points(radar: RadarPoints, frame_id: str) -> list[dict[str, Any]]:
    require_world("radar points", radar.frame, frame_id)
    points: list[dict[str, Any]] = []
    for row in range(len(radar)):
        point: dict[str, Any] = {"position": _vector(radar.positions[row])}
        if radar.directions is not None:
            point["direction"] = _vector(radar.directions[row])
        if radar.sizes is not None:
            point["size"] = float(radar.sizes[row])
        points.append(point)
    return points


def _image(image: CameraImage, frame_id: str) -> dict[str, Any]:
    camera, intrinsics = image.camera, image.camera.intrinsics
    url, world_from_camera = linked_image(image, frame_id)
    described: dict[str, Any] = {
        "image_url": url,
        "camera_index": camera.index,
        "position": _vector(world_from_camera.translation),
        "heading": _quaternion(world_from_camera),
        "camera_model": intrinsics.model,
        "fx": intrinsics.fx,
        "fy": intrinsics.fy,
        "cx": intrinsics.cx,
        "cy": intrinsics.cy,
    }
    if intrinsics.skew:
        described["skew"] = intrinsics.skew
    described.update(intrinsics.distortion.nonzero())
    if image.timestamp is not None:
        described["timestamp"] = image.timestamp
    if image.scale_factor != 1.0:
        described["scale_factor"] = image.scale_factor
    if image.priority is not None:
        described["priority"] = image.priority
    if image.metadata is not None:
        described["metadata"] = dict(image.metadata)
    return described


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
    return _FrameReader(source).read(described, points)


def _parse(text: bytes, source: str, place_of: Callable[[int], int]) -> Any:
    """Parse `text`; `place_of` converts an offset in it to one in the file."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        found = f"malformed JSON ({error.msg})"
        try:
            at = len(text.decode()[: error.pos].encode())  # the parser counts in characters
        except UnicodeDecodeError as not_utf8:
            at, found = not_utf8.start, "text that is not UTF-8"
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
    # As many points as the text could hold; untouched pages take no memory.
    room = (len(text) - start) // reader.SHORTEST_POINT + 1
    positions = np.empty((room, 3), dtype=np.float32)
    intensity = np.zeros(room, dtype=np.float32)
    device = np.zeros(room, dtype=np.int64)
    timestamp = np.zeros(room, dtype=np.int64)
    is_ground = np.zeros(room, dtype=np.bool_)
    slow = np.empty((1024, 4), dtype=np.int64)
    for _ in range(2):  # the second time with room for all numbers that Python has to read
        status, end, count, slow_count, any_seen, all_seen = reader.read_points(
            text, start, positions, intensity, device, timestamp, is_ground, slow
        )
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
            intensity[row] = value
        else:
            positions[row, column] = value
    require_all_or_none(any_seen, all_seen, {reader.HAS_I: "i", reader.HAS_D: "d", reader.HAS_T: "t"}, source)
    columns = [(positions, "a coordinate")] + ([(intensity, "an intensity")] if any_seen & reader.HAS_I else [])
    for column, name in columns:
        if not np.isfinite(column[:count]).all():
            raise FormatError(source, place="points", found=f"{name} beyond the range of float32")
    cloud = PointCloud(
        positions[:count],
        frame="world",
        intensity=intensity[:count] if any_seen & reader.HAS_I else None,
        device=device[:count].astype(np.uint32) if any_seen & reader.HAS_D else None,
        timestamp=timestamp[:count] if any_seen & reader.HAS_T else None,
        is_ground=is_ground[:count] if any_seen & reader.HAS_GROUND else None,
        ignored_fields=tuple(sorted(ignored)),
    )
    return cloud, end


class _FrameReader(DocumentReader):
    """Reads a frame without its points; errors name the key."""

    def read(self, described: dict[str, Any], points: PointCloud) -> Frame:
        points = replace(points, ignored_fields=(*points.ignored_fields, *self.ignored(described)))
        position = self.vector(self.required(described, "device_position", ""), "device_position")
        heading = described.get("device_heading")
        pose = self.pose(position, heading, "device_heading")
        frame = Frame(
            id=self.source,
            index=0,
            read_points=lambda: points,
            world_from_ego=pose,
            timestamp=self.timestamp(described, ""),
            images=tuple(
                self.image(image, number)
                for number, image in enumerate(self.listed(described.get("images", []), "images"))
            ),
            gps=self.gps(described.get("device_gps_pose")),
        )
        if "radar_points" not in described:
            return frame
        return frame.with_data(points, self.radar(self.listed(described["radar_points"], "radar_points")))

    def ignored(self, described: dict[str, Any]) -> list[str]:
        """Return the names of keys that are not read."""
        names = set(self.mapping(described, "the frame")) - _FRAME_KEYS
        for key, known in (("images", _IMAGE_KEYS), ("radar_points", _RADAR_KEYS)):
            rows = described.get(key)
            for row in rows if isinstance(rows, list) else ():
                names |= {f"{key}.{name}" for name in set(row) - known} if isinstance(row, dict) else set()
        return sorted(names)

    def required(self, mapping: Mapping[str, Any], key: str, place: str) -> Any:
        if key not in mapping:
            raise FormatError(self.source, place=place or "the frame", found=f"no {key!r}")
        return mapping[key]

    def number(self, value: Any, place: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refuse(place, value, "a number")
        return float(value)

    def whole(self, value: Any, place: str) -> int:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refuse(place, value, "a whole number")
        return value

    def vector(self, value: Any, place: str) -> list[float]:
        mapping = self.mapping(value, place)
        return [self.number(self.required(mapping, axis, place), f"{place}.{axis}") for axis in "xyz"]

    def pose(self, position: list[float], heading: Any, place: str) -> Pose:
        quaternion = [1.0, 0.0, 0.0, 0.0]
        if heading is not None:
            mapping = self.mapping(heading, place)
            quaternion = [self.number(self.required(mapping, axis, place), f"{place}.{axis}") for axis in "wxyz"]
        try:
            return Pose.from_quaternion(quaternion, position)
        except SceneError as error:
            raise FormatError(self.source, place=place, found=error.message) from error

    def timestamp(self, mapping: Mapping[str, Any], place: str) -> int | None:
        if mapping.get("timestamp") is None:
            return None
        value = self.whole(mapping["timestamp"], f"{place}timestamp")
        if not -(2**63) <= value < 2**63:
            raise self.refuse(f"{place}timestamp", mapping["timestamp"], "nanoseconds in int64")
        return value

    def gps(self, value: Any) -> GpsPose | None:
        if value is None:
            return None
        place = "device_gps_pose"
        mapping = self.mapping(value, place)
        return GpsPose(*(self.number(self.required(mapping, key, place), place) for key in ("lat", "lon", "bearing")))

    def radar(self, points: list[Any]) -> RadarPoints:
        rows = [self.mapping(point, f"radar_points[{number}]") for number, point in enumerate(points)]
        columns: dict[str, NDArray[np.float64] | None] = {"direction": None, "size": None}
        for key in columns:
            having = sum(key in row for row in rows)
            if having not in (0, len(rows)):
                raise FormatError(self.source, place="radar_points", found=f"some have {key!r}, others don't")
        positions = [
            self.vector(self.required(row, "position", f"radar_points[{n}]"), f"radar_points[{n}].position")
            for n, row in enumerate(rows)
        ]
        if rows and "direction" in rows[0]:
            directions = [self.vector(row["direction"], f"radar_points[{n}].direction") for n, row in enumerate(rows)]
            columns["direction"] = np.array(directions, dtype=np.float64)
        if rows and "size" in rows[0]:
            sizes = [self.number(row["size"], f"radar_points[{n}].size") for n, row in enumerate(rows)]
            columns["size"] = np.array(sizes, dtype=np.float64)
        return RadarPoints(
            np.array(positions, dtype=np.float64).reshape(-1, 3), columns["direction"], columns["size"], frame="world"
        )

    def image(self, value: Any, number: int) -> CameraImage:
        place = f"images[{number}]"
        image = self.mapping(value, place)
        url = self.required(image, "image_url", place)
        if not isinstance(url, str):
            raise self.refuse(f"{place}.image_url", url, "a string")
        try:
            intrinsics = intrinsics_from_mapping(
                {key: value for key, value in image.items() if key in _CALIBRATION_KEYS}
            )
        except SceneError as error:
            raise FormatError(self.source, place=place, found=error.message) from error
        position = self.vector(self.required(image, "position", place), f"{place}.position")
        heading = self.mapping(self.required(image, "heading", place), f"{place}.heading")
        index = self.whole(image.get("camera_index", number), f"{place}.camera_index")
        metadata = image.get("metadata")
        try:
            return CameraImage(
                camera=Camera(name=str(index), index=index, intrinsics=intrinsics),
                world_from_camera=self.pose(position, heading, f"{place}.heading"),
                timestamp=self.timestamp(image, f"{place}."),
                url=url,
                scale_factor=self.number(image.get("scale_factor", 1.0), f"{place}.scale_factor"),
                priority=None if image.get("priority") is None else self.whole(image["priority"], f"{place}.priority"),
                metadata=None if metadata is None else self.mapping(metadata, f"{place}.metadata"),
            )
        except SceneError as error:
            raise FormatError(self.source, place=place, found=error.message) from error
