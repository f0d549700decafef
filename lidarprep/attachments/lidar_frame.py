"""LidarFrame protobuf. Kernels read and write the points, the generated classes everything around them.

A protobuf message may be written piecewise: fields 1 to 3, then the points (4), then fields 5 to 8 are the same bytes
as the official class serialises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray

from lidarprep.attachments import lidar_frame_pb2 as pb
from lidarprep.attachments._frame import AttachmentColumns, ReadColumns, describe, read_frame
from lidarprep.errors import EncodingError, FormatError, RecipeError, SceneError
from lidarprep.kernels import wire
from lidarprep.scene import Frame

# Fields of an image, the camera models among them, and those of a frame that are written before its points.
_IMAGE_FIELDS = pb.CameraImage.DESCRIPTOR.fields_by_name
_MODELS = [field.name for field in pb.CameraImage.DESCRIPTOR.oneofs_by_name["camera_intrinsics"].fields]
_BEFORE_POINTS = ("device_position", "device_heading", "device_gps_pose")

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
    described = describe(frame)
    if frame.gps is not None:
        described["device_gps_pose"]["long"] = described["device_gps_pose"].pop("lon")
    for image, fields in zip(frame.images, described.get("images", ()), strict=True):
        fields.pop("metadata", None)
        model = fields.pop("camera_model")
        calibration = {name: fields.pop(name) for name in list(fields) if name not in _IMAGE_FIELDS}
        known = getattr(_IMAGE_FIELDS.get(model), "message_type", None)
        foreign = sorted(set(calibration) - set(known.fields_by_name)) if known else []
        if known is None or foreign:
            what = f"{model}'s {', '.join(foreign)}" if foreign else f"the camera model {model}"
            raise EncodingError(
                f"camera {image.camera.name}: a LidarFrame protobuf cannot hold {what}",
                fix="Use --format json, which can.",
            )
        fields[model] = calibration
    head, tail = pb.LidarFrame(), pb.LidarFrame()
    for key, value in described.items():
        _fill(head if key in _BEFORE_POINTS else tail, {key: value}, frame.id)
    return head, tail


def _fill(message: Any, described: dict[str, Any], frame_id: str) -> None:
    """Set the fields of a message to the values of the same names."""
    for name, value in described.items():
        if isinstance(value, list):
            for part in value:
                _fill(getattr(message, name).add(), part, frame_id)
        elif isinstance(value, dict):
            _fill(getattr(message, name), value, frame_id)
        else:
            with np.errstate(over="ignore"):
                is_float32 = message.DESCRIPTOR.fields_by_name[name].type == FieldDescriptor.TYPE_FLOAT
                if is_float32 and not np.isfinite(np.float32(value)):
                    raise EncodingError(
                        f"frame {frame_id}: {name} {value} does not fit float32, which a LidarFrame holds"
                    )
            setattr(message, name, value)


def relink(data: bytes, url_of: Callable[[str], str], *, source: str = "frame.pb") -> bytes:
    """Return a LidarFrame that `encode` has made with each image's URL replaced by `url_of`'s.

    Raises:
        FormatError: `encode` has not made it.
    """
    *_, rest = _split(np.frombuffer(data, dtype=np.uint8), source)
    message = _parse(rest, source)
    # The fields after the points must be reproduced exactly, or bytes beside the URLs would change.
    for field in _BEFORE_POINTS:
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
    columns, (count, any_seen, all_seen), rest = _split(np.frombuffer(data, dtype=np.uint8), source)
    points = columns.cloud(count, any_seen, all_seen, source)
    message = _parse(rest, source)
    lacking = message.FindInitializationErrors()
    if lacking:
        raise FormatError(source, place="around its points", found=f"no {lacking[0]}", expected="every required field")
    described = _described(message)
    try:
        _as_in_json(described)
    except SceneError as error:
        raise FormatError(source, found=error.message) from error
    return read_frame(source, described, points)


def _parse(rest: bytes, source: str) -> Any:
    """Parse a message without its points by the official class."""
    message: Any = pb.LidarFrame()
    try:
        message.ParseFromString(rest)
    except DecodeError as error:
        raise FormatError(source, found=f"not a LidarFrame ({error})", place="around its points") from error
    return message


def _split(data: NDArray[np.uint8], source: str) -> tuple[ReadColumns, tuple[int, int, int], bytes]:
    """Return columns of points; their number, the HAS_ bits of any and of every one; the message without them."""
    columns = ReadColumns(len(data) // wire.SHORTEST_POINT, device=np.uint32, timestamp=np.float64)
    rest = np.empty(len(data), dtype=np.uint8)
    status, at, count, kept, any_seen, all_seen = wire.read_points(data, *columns.all, rest)
    if status != wire.OK:
        raise FormatError(source, place=f"byte {at}", found=_WHAT_IS_WRONG[status], expected="a LidarFrame protobuf")
    return columns, (count, any_seen, all_seen), rest[:kept].tobytes()


def _described(message: Any) -> dict[str, Any]:
    """Return the fields that a message has, by name."""
    return {
        field.name: value
        if field.message_type is None
        else _described(value)
        if isinstance(value, Message)
        else [_described(part) for part in value]
        for field, value in message.ListFields()
    }


def _as_in_json(described: dict[str, Any]) -> None:
    """Change a described LidarFrame to what Frame JSON has: whole timestamps, calibration beside the image's keys.

    Raises:
        SceneError: A timestamp is not in int64, or an image has no URL of text or no intrinsics.
    """
    if "device_gps_pose" in described:
        described["device_gps_pose"]["lon"] = described["device_gps_pose"].pop("long")
    for number, image in enumerate(described.get("images", ())):
        if not isinstance(image["image_url"], str):  # the official class hands out bytes that are not UTF-8 as they are
            raise SceneError(f"image {number} has an image_url that is not UTF-8: {image['image_url']!r}"[:120])
        model = next((name for name in image if name in _MODELS), None)
        if model is None:
            raise SceneError(f"image {number} has no camera intrinsics")
        image |= {"camera_model": model, **image.pop(model)}
    for timed in (described, *described.get("images", ())):
        value = timed.get("timestamp", 0)
        if not abs(value) < 2.0**63:
            raise SceneError(f"timestamp is {value}, not a number of nanoseconds in int64")
        if "timestamp" in timed:
            timed["timestamp"] = round(value)
