"""LidarFrame protobuf. Kernels read and write the points, the generated classes everything around them.

A protobuf message may be written piecewise: fields 1 to 3, then the points (4), then fields 5 to 8 are the same bytes
as the official class serialises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from lidarprep.attachments import lidar_frame_pb2 as pb
from lidarprep.attachments._columns import (
    AttachmentColumns,
    device_pose,
    linked_image,
    require_all_or_none,
    require_world,
)
from lidarprep.errors import EncodingError, FormatError, RecipeError, SceneError
from lidarprep.kernels import wire
from lidarprep.scene import Camera, CameraImage, Distortion, Frame, GpsPose, Intrinsics, PointCloud, Pose, RadarPoints

# Coefficients with a field in each of the schema's camera models, by the field of the oneof.
_COEFFICIENTS: dict[str, tuple[str, ...]] = {
    "brown_conrady": ("k1", "k2", "p1", "p2", "k3"),
    "fisheye": ("k1", "k2", "k3", "k4"),
    "omnidirectional": ("k1", "k2", "p1", "p2", "k3", "xi"),
}

_WHAT_IS_WRONG = {
    wire.CUT_SHORT: "a field reaches beyond the end of its message",
    wire.BAD_VARINT: "a varint that is too long",
    wire.BAD_TAG: "a tag with field number 0 or an unknown wire type",
    wire.MISSING_COORDINATE: "a Point without x, y or z",
    wire.BAD_GROUP: "a group that does not close, or nested too deep",
}


# ---- writing -------------------------------------------------------------------------------------------------------


def encode(frame: Frame, *, precision: int | None = None) -> bytes:
    """Encode one frame in the world as a LidarFrame.

    Args:
        frame: Points and radar in the world frame, intensity 0–1, images with poses and URLs.
        precision: Must be None: the numbers are float32, not text.

    Raises:
        RecipeError: A precision is given.
        EncodingError: A value cannot be written: not finite, not in the world, an image without URL, a camera model
            or coefficient that the schema lacks.
    """
    if precision is not None:
        raise RecipeError("precision is for Frame JSON; a LidarFrame holds exact float32")
    columns = AttachmentColumns.of(frame.points(), frame.id)
    try:
        head, tail = _around_points(frame)
    except ValueError as error:  # an integer beyond the field's type, a URL that is not text
        raise EncodingError(f"frame {frame.id}: a LidarFrame cannot hold it: {error}") from error
    out = np.empty(wire.points_capacity(len(columns.positions)), dtype=np.uint8)
    # The schema's t is a double: nanoseconds since the epoch round to 256 ns.
    timestamp = None if columns.timestamp is None else columns.timestamp.astype(np.float64)
    size = wire.write_points(columns.positions, columns.intensity, columns.device, timestamp, columns.is_ground, out)
    return b"".join((head.SerializeToString(), out[:size].data, tail.SerializePartialToString()))


def _around_points(frame: Frame) -> tuple[Any, Any]:
    """Return fields 1–3 and fields 5–8 of the frame as two messages."""
    head, tail = pb.LidarFrame(), pb.LidarFrame()
    pose = device_pose(frame)
    _set_vector(head.device_position, pose.translation, frame.id)
    _set_quaternion(head.device_heading, pose)
    if frame.gps is not None:
        head.device_gps_pose.lat = frame.gps.latitude
        head.device_gps_pose.long = frame.gps.longitude
        head.device_gps_pose.bearing = frame.gps.bearing
    radar = frame.radar()
    if radar is not None:
        _set_radar(tail, radar, frame.id)
    for image in frame.images:
        _set_image(tail.images.add(), image, frame.id)
    if frame.timestamp is not None:
        tail.timestamp = float(frame.timestamp)
    return head, tail


def _set_vector(vector: Any, values: NDArray[np.float64], frame_id: str) -> None:
    _require_float32(values.tolist(), frame_id)
    vector.x, vector.y, vector.z = values.tolist()


def _require_float32(values: Sequence[float], frame_id: str) -> None:
    with np.errstate(over="ignore"):
        if not np.isfinite(np.asarray(values, dtype=np.float32)).all():
            raise EncodingError(f"frame {frame_id}: {[*values]} does not fit float32, which a LidarFrame holds")


def _set_quaternion(quaternion: Any, pose: Pose) -> None:
    quaternion.w, quaternion.x, quaternion.y, quaternion.z = pose.quaternion.tolist()


def _set_radar(message: Any, radar: RadarPoints, frame_id: str) -> None:
    require_world("radar points", radar.frame, frame_id)
    for row in range(len(radar)):
        point = message.radar_points.add()
        _set_vector(point.position, radar.positions[row], frame_id)
        if radar.directions is not None:
            _set_vector(point.direction, radar.directions[row], frame_id)
        if radar.sizes is not None:
            _require_float32([float(radar.sizes[row])], frame_id)
            point.size = float(radar.sizes[row])


def _set_image(message: Any, image: CameraImage, frame_id: str) -> None:
    camera, intrinsics = image.camera, image.camera.intrinsics
    url, world_from_camera = linked_image(image, frame_id)
    known = _COEFFICIENTS.get(intrinsics.model)
    coefficients = intrinsics.distortion.nonzero()
    foreign = None if known is None else sorted(set(coefficients) - set(known))
    if known is None or foreign:
        what = (
            f"the camera model {intrinsics.model}"
            if known is None
            else f"{intrinsics.model}'s {', '.join(foreign or ())}"
        )
        raise EncodingError(
            f"camera {camera.name}: a LidarFrame protobuf cannot hold {what}", fix="Use --format json, which can."
        )
    message.image_url = url
    _set_vector(message.position, world_from_camera.translation, frame_id)
    _set_quaternion(message.heading, world_from_camera)
    message.camera_index = camera.index
    if image.timestamp is not None:
        message.timestamp = float(image.timestamp)
    if image.scale_factor != 1.0:
        message.scale_factor = image.scale_factor
    if image.priority is not None:
        message.priority = image.priority
    _require_float32(
        [intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy, intrinsics.skew, *coefficients.values()], frame_id
    )
    _require_float32([image.scale_factor], frame_id)
    fields = getattr(message, intrinsics.model)
    fields.fx, fields.fy, fields.cx, fields.cy = intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy
    if intrinsics.skew:
        fields.skew = intrinsics.skew
    for name, value in coefficients.items():
        setattr(fields, name, value)


def relink(data: bytes, url_of: Callable[[str], str], *, source: str = "frame.pb") -> bytes:
    """Return a LidarFrame that `encode` has made with each image's URL replaced by `url_of`'s.

    Raises:
        FormatError: `encode` has not made it.
    """
    *_, rest = _split(np.frombuffer(data, dtype=np.uint8), source)
    message = _parse(rest, source)
    # The fields after the points must be reproduced exactly, or bytes beside the URLs would change.
    for field in ("device_position", "device_heading", "device_gps_pose"):
        message.ClearField(field)
    before = message.SerializePartialToString()
    if not data.endswith(before):
        raise FormatError(source, found="a LidarFrame that lidarprep has not written")
    for image in message.images:
        image.image_url = url_of(image.image_url)
    return b"".join((memoryview(data)[: len(data) - len(before)], message.SerializePartialToString()))


# ---- reading -------------------------------------------------------------------------------------------------------


def decode(data: bytes, *, source: str = "frame.pb") -> Frame:
    """Decode a LidarFrame as a frame in the world; `source` names it in errors and becomes the frame's id.

    Raises:
        FormatError: The bytes are not a LidarFrame; names the byte and its content.
    """
    wire_bytes = np.frombuffer(data, dtype=np.uint8)
    points, rest = _read_points(wire_bytes, source)
    message = _parse(rest, source)
    lacking = message.FindInitializationErrors()
    if lacking:
        raise FormatError(source, place="around its points", found=f"no {lacking[0]}", expected="every required field")
    if message.HasField("extra"):
        points = replace(points, ignored_fields=(*points.ignored_fields, "extra"))
    try:
        return _frame(message, points, source)
    except SceneError as error:
        raise FormatError(source, found=error.message) from error


def _parse(rest: bytes, source: str) -> Any:
    """Parse a message without its points by the official class."""
    message: Any = pb.LidarFrame()
    try:
        message.ParseFromString(rest)
    except DecodeError as error:
        raise FormatError(source, found=f"not a LidarFrame ({error})", place="around its points") from error
    return message


def _read_points(data: NDArray[np.uint8], source: str) -> tuple[PointCloud, bytes]:
    """Return the points, and the message without them."""
    columns, any_seen, all_seen, rest = _split(data, source)
    positions, intensity, device, timestamp, is_ground = columns
    require_all_or_none(any_seen, all_seen, {wire.HAS_I: "i", wire.HAS_D: "d", wire.HAS_T: "t"}, source)
    cloud = PointCloud(
        positions,
        frame="world",
        intensity=intensity if any_seen & wire.HAS_I else None,
        device=device if any_seen & wire.HAS_D else None,
        timestamp=_nanoseconds(timestamp, source) if any_seen & wire.HAS_T else None,
        is_ground=is_ground if any_seen & wire.HAS_GROUND else None,
    )
    return cloud, rest


def _split(data: NDArray[np.uint8], source: str) -> tuple[list[NDArray[Any]], int, int, bytes]:
    """Return the points' columns, the HAS_ bits of any and of every point, and the message without them."""
    # As many points as the bytes could hold; untouched pages take no memory.
    room = len(data) // wire.SHORTEST_POINT
    positions = np.empty((room, 3), dtype=np.float32)
    intensity = np.zeros(room, dtype=np.float32)
    device = np.zeros(room, dtype=np.uint32)
    timestamp = np.zeros(room, dtype=np.float64)
    is_ground = np.zeros(room, dtype=np.bool_)
    rest = np.empty(len(data), dtype=np.uint8)
    status, at, count, kept, any_seen, all_seen = wire.read_points(
        data, positions, intensity, device, timestamp, is_ground, rest
    )
    if status != wire.OK:
        raise FormatError(source, place=f"byte {at}", found=_WHAT_IS_WRONG[status], expected="a LidarFrame protobuf")
    columns = [column[:count] for column in (positions, intensity, device, timestamp, is_ground)]
    return columns, any_seen, all_seen, rest[:kept].tobytes()


def _nanoseconds(values: NDArray[np.float64], source: str) -> NDArray[np.int64]:
    if not (np.isfinite(values).all() and (np.abs(values) < 2.0**63).all()):
        raise FormatError(source, place="points", found="a timestamp that is not a number of nanoseconds in int64")
    return np.rint(values).astype(np.int64)


def _frame(message: Any, points: PointCloud, source: str) -> Frame:
    heading = message.device_heading if message.HasField("device_heading") else None
    gps = message.device_gps_pose
    frame = Frame(
        id=source,
        index=0,
        read_points=lambda: points,
        world_from_ego=_pose(message.device_position, heading),
        timestamp=_timestamp(message),
        images=tuple(_image(image, number) for number, image in enumerate(message.images)),
        gps=GpsPose(gps.lat, gps.long, gps.bearing) if message.HasField("device_gps_pose") else None,
    )
    return frame.with_data(points, _radar(message, source)) if message.radar_points else frame


def _timestamp(message: Any) -> int | None:
    if not message.HasField("timestamp"):
        return None
    value: float = message.timestamp
    if not abs(value) < 2.0**63:
        raise SceneError(f"timestamp is {value}, not a number of nanoseconds in int64")
    return round(value)


def _vector(vector: Any) -> list[float]:
    return [vector.x, vector.y, vector.z]


def _pose(position: Any, heading: Any) -> Pose:
    quaternion = (1.0, 0.0, 0.0, 0.0) if heading is None else (heading.w, heading.x, heading.y, heading.z)
    return Pose.from_quaternion(quaternion, _vector(position))


def _radar(message: Any, source: str) -> RadarPoints:
    rows = message.radar_points
    for key in ("direction", "size"):
        if sum(row.HasField(key) for row in rows) not in (0, len(rows)):
            raise FormatError(source, place="radar_points", found=f"some have {key!r}, others don't")
    return RadarPoints(
        np.array([_vector(row.position) for row in rows], dtype=np.float64),
        np.array([_vector(row.direction) for row in rows], dtype=np.float64) if rows[0].HasField("direction") else None,
        np.array([row.size for row in rows], dtype=np.float64) if rows[0].HasField("size") else None,
        frame="world",
    )


def _image(message: Any, number: int) -> CameraImage:
    if not isinstance(message.image_url, str):  # the official class hands out bytes that are not UTF-8 as they are
        raise SceneError(f"image {number} has an image_url that is not UTF-8: {message.image_url!r}"[:120])
    model = message.WhichOneof("camera_intrinsics")
    if model is None:
        raise SceneError(f"image {number} has no camera intrinsics")
    fields = getattr(message, model)
    coefficients = {name: getattr(fields, name) for name in _COEFFICIENTS[model] if fields.HasField(name)}
    intrinsics = Intrinsics(
        fx=fields.fx,
        fy=fields.fy,
        cx=fields.cx,
        cy=fields.cy,
        skew=fields.skew,
        model=model,
        distortion=Distortion(**coefficients),
    )
    index = message.camera_index if message.HasField("camera_index") else number
    return CameraImage(
        camera=Camera(name=str(index), index=index, intrinsics=intrinsics),
        world_from_camera=_pose(message.position, message.heading),
        timestamp=_timestamp(message),
        url=message.image_url,
        scale_factor=message.scale_factor if message.HasField("scale_factor") else 1.0,
        priority=message.priority if message.HasField("priority") else None,
    )
