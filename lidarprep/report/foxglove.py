"""MCAP files for Foxglove, Lichtblick and other viewers, in Foxglove's schemas as Protobuf.

After mcap.dev/spec and docs.foxglove.dev/docs/sdk/schemas. Points are in the world, the attachments' own: what is drawn
is what is labelled, to the bit, and does not hang on how a viewer interpolates poses. The device and the cameras are
frames of reference in it, so that a viewer can follow the device, and projects points by each image's own pose.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import radians
from typing import Any, BinaryIO

import numpy as np
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray

from lidarprep.errors import MissingExtraError, SceneError
from lidarprep.report.moments import (
    ExportPlan,
    Moment,
    TimedImage,
    band_squares,
    camera_matrix,
    region_edges,
)
from lidarprep.report.views import Fate, FrameView
from lidarprep.scene import CameraImage, Cuboids, GpsPose, Pose

try:
    from foxglove_schemas_protobuf.CameraCalibration_pb2 import CameraCalibration
    from foxglove_schemas_protobuf.Color_pb2 import Color
    from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
    from foxglove_schemas_protobuf.CubePrimitive_pb2 import CubePrimitive
    from foxglove_schemas_protobuf.FrameTransform_pb2 import FrameTransform
    from foxglove_schemas_protobuf.FrameTransforms_pb2 import FrameTransforms
    from foxglove_schemas_protobuf.KeyValuePair_pb2 import KeyValuePair
    from foxglove_schemas_protobuf.LinePrimitive_pb2 import LinePrimitive
    from foxglove_schemas_protobuf.LocationFix_pb2 import LocationFix
    from foxglove_schemas_protobuf.PackedElementField_pb2 import PackedElementField
    from foxglove_schemas_protobuf.Point3_pb2 import Point3
    from foxglove_schemas_protobuf.PointCloud_pb2 import PointCloud
    from foxglove_schemas_protobuf.Pose_pb2 import Pose as PoseMessage
    from foxglove_schemas_protobuf.Quaternion_pb2 import Quaternion
    from foxglove_schemas_protobuf.SceneEntity_pb2 import SceneEntity
    from foxglove_schemas_protobuf.SceneEntityDeletion_pb2 import SceneEntityDeletion
    from foxglove_schemas_protobuf.SceneUpdate_pb2 import SceneUpdate
    from foxglove_schemas_protobuf.TextPrimitive_pb2 import TextPrimitive
    from foxglove_schemas_protobuf.Vector3_pb2 import Vector3
    from mcap.writer import CompressionType, Writer
except ImportError:
    raise MissingExtraError("writing MCAP files", "foxglove") from None

WORLD, EGO = "world", "ego"

# A message of Protobuf has less than 2 GiB.
_MOST_BYTES = (1 << 31) - (1 << 16)

# Bytes of messages that are compressed together, and so read together.
_CHUNK_BYTES = 1 << 20

_NUMERIC_TYPES = {
    "<f4": PackedElementField.FLOAT32,
    "<u4": PackedElementField.UINT32,
    "|u1": PackedElementField.UINT8,
}

_ORANGE, _BLUE, _GREEN = (230, 159, 0), (86, 180, 233), (0, 158, 115)


@dataclass(frozen=True, eq=False)
class _Timed:
    """A message with its topic and the time at which a player shows it."""

    log_time: int
    topic: str
    message_type: type[Message]
    data: bytes


class McapFile:
    """Writes an MCAP file, frame by frame: in chunks with indexes and a summary, messages by their time.

    Args:
        file: The file to write.
        plan: What is the same for all frames.
    """

    def __init__(self, file: BinaryIO, plan: ExportPlan) -> None:
        self._plan = plan
        self._writer: Any = Writer(file, chunk_size=_CHUNK_BYTES, compression=CompressionType.ZSTD)
        self._writer.start(profile="", library="lidarprep")
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._sequences: dict[str, int] = {}
        self._waiting: list[_Timed] = []
        self.notes: list[str] = []
        self._write(_fixtures(plan))

    def encode(self, moment: Moment) -> list[_Timed]:
        """Encode a frame; any thread may.

        Raises:
            SceneError: It has more points than a message can hold.
        """
        return list(_messages(moment, self._plan))

    def write(self, moment: Moment, messages: list[_Timed]) -> None:
        """Write an encoded frame; frames come in time order."""
        # What comes after the frame's own time waits for the next frame, whose images may be from before.
        pending = sorted((*self._waiting, *messages), key=lambda message: message.log_time)
        self._write(message for message in pending if message.log_time <= moment.time)
        self._waiting = [message for message in pending if message.log_time > moment.time]
        for image in moment.images:
            name = image.image.camera.name
            if (lack := unmapped(image.image)) is not None:
                note = f"camera {name}: {lack}, which no distortion model of Foxglove's has; it has no calibration"
                if note not in self.notes:
                    self.notes.append(note)

    def finish(self, about: Mapping[str, str]) -> None:
        """Write what is left, the indexes and the summary; `about` is kept as metadata."""
        self._write(self._waiting)
        self._writer.add_metadata("lidarprep", dict(about))
        self._writer.finish()

    def _write(self, messages: Iterable[_Timed]) -> None:
        for message in messages:
            sequence = self._sequences[message.topic] = self._sequences.get(message.topic, -1) + 1
            self._writer.add_message(
                channel_id=self._channel(message.topic, message.message_type),
                log_time=message.log_time,
                publish_time=message.log_time,
                sequence=sequence,
                data=message.data,
            )

    def _channel(self, topic: str, message_type: type[Message]) -> int:
        if topic not in self._channels:
            name = message_type.DESCRIPTOR.full_name
            if name not in self._schemas:
                self._schemas[name] = self._writer.register_schema(name, "protobuf", _schema(message_type))
            self._channels[topic] = self._writer.register_channel(topic, "protobuf", self._schemas[name])
        return self._channels[topic]


def _schema(message_type: type[Message]) -> bytes:
    """Return a message type's definition with those that it is made of, each before the ones that use it."""
    files = FileDescriptorSet()
    added = set[str]()

    def add(file: Any) -> None:
        if file.name not in added:
            added.add(file.name)
            for other in file.dependencies:
                add(other)
            file.CopyToProto(files.file.add())

    add(message_type.DESCRIPTOR.file)
    return files.SerializeToString()


# ---- messages ------------------------------------------------------------------------------------------------------


def _messages(moment: Moment, plan: ExportPlan) -> Iterable[_Timed]:
    """Encode a frame: transforms come before what they place."""
    time = moment.time

    def timed(topic: str, message: Message, log_time: int = time) -> _Timed:
        return _Timed(log_time, topic, type(message), message.SerializeToString())

    if moment.world_from_ego is not None:
        yield timed("/tf", _transforms(_transform(time, WORLD, EGO, moment.world_from_ego)))
    # A player shows an image at its own time, but not before the frame before or after the next one.
    earliest, latest = plan.times[max(moment.row - 1, 0)], plan.times[min(moment.row + 1, len(plan.times) - 1)]
    for image in moment.images:
        log_time = min(max(image.time, earliest), max(latest, time))
        name = plan.names[image.image.camera.name]
        if (placed := _camera_transform(image, f"camera/{name}")) is not None:
            yield timed("/tf", _transforms(placed), log_time)
        if (calibration := camera_calibration(image, f"camera/{name}")) is not None:
            yield timed(f"/cameras/{name}/calibration", calibration, log_time)
        yield timed(f"/cameras/{name}/image", _compressed_image(image, f"camera/{name}"), log_time)
    kept = moment.view.fate == Fate.KEPT
    yield timed("/points", _point_cloud(moment, moment.view if kept.all() else moment.view.take(kept)))
    if not plan.kept_only:
        yield timed("/points/dropped", _point_cloud(moment, moment.view.take(~kept)))
    if moment.frame.read_radar is not None:
        radar = np.empty(len(moment.view.radar), dtype=[(axis, "<f4") for axis in "xyz"])
        with np.errstate(over="ignore"):
            radar["x"], radar["y"], radar["z"] = moment.view.radar.T
        yield timed("/radar", _packed(time, radar))
    if moment.cuboids is not None:
        yield timed("/labels", _labels(moment.cuboids, moment.time, plan))
    if moment.frame.gps is not None:
        yield timed("/gps", _location(time, moment.frame.gps))


def point_rows(view: FrameView, time: int | None) -> NDArray[np.void]:
    """Pack the points of a frame as (N,) structured rows: x, y, z, the columns that it has, and fate.

    Args:
        view: The points.
        time: The frame's timestamp, which `time_offset` counts from, in seconds; None: the first point's.
    """
    columns: dict[str, tuple[str, NDArray[Any]]] = {
        axis: ("<f4", view.positions[:, row]) for row, axis in enumerate("xyz")
    }
    if view.intensity is not None:
        columns["intensity"] = "<f4", view.intensity
    if view.timestamp is not None:
        start = time if time is not None or not len(view) else int(view.timestamp.min())
        columns["time_offset"] = "<f4", (view.timestamp - np.int64(start or 0)) / 1e9
    if view.device is not None:
        columns["device"] = "<u4", view.device
    columns["fate"] = "|u1", view.fate
    rows = np.empty(len(view), dtype=[(name, kind) for name, (kind, _) in columns.items()])
    for name, (_, values) in columns.items():
        rows[name] = values
    return rows


def _point_cloud(moment: Moment, view: FrameView) -> PointCloud:
    rows = point_rows(view, moment.frame.timestamp)
    if rows.nbytes > _MOST_BYTES:
        raise SceneError(
            f"frame {moment.frame.id} has {len(rows):,} points, more than the 2 GiB of a message can hold",
            fix="Thin them out: --voxel with --kept-only.",
        )
    return _packed(moment.time, rows)


def _packed(time: int, rows: NDArray[np.void]) -> PointCloud:
    fields = [
        PackedElementField(name=name, offset=offset, type=_NUMERIC_TYPES[kind.str])
        for name, (kind, offset, *_) in (rows.dtype.fields or {}).items()
    ]
    return PointCloud(
        timestamp=_timestamp(time),
        frame_id=WORLD,
        pose=_pose(Pose.identity()),
        point_stride=rows.dtype.itemsize,
        fields=fields,
        data=rows.tobytes(),
    )


def _camera_transform(image: TimedImage, frame_id: str) -> FrameTransform | None:
    """Place the optical frame of an image: x right, y down, z forward in both conventions."""
    if image.image.world_from_camera is not None:
        return _transform(image.time, WORLD, frame_id, image.image.world_from_camera)
    if image.image.camera.ego_from_camera is not None:
        return _transform(image.time, EGO, frame_id, image.image.camera.ego_from_camera)
    return None


def _compressed_image(image: TimedImage, frame_id: str) -> CompressedImage:
    kind = image.header.format.lower()
    return CompressedImage(timestamp=_timestamp(image.time), frame_id=frame_id, data=image.data, format=kind)


def unmapped(image: CameraImage) -> str | None:
    """Say what of an image's camera model Foxglove's calibration cannot hold; None where it holds all."""
    intrinsics = image.camera.intrinsics
    if intrinsics.model not in ("brown_conrady", "fisheye"):
        return f"its model is {intrinsics.model}"
    beyond = {"skew": intrinsics.skew, "lx": intrinsics.distortion.lx, "ly": intrinsics.distortion.ly}
    given = [f"{name} {value:g}" for name, value in beyond.items() if value]
    return f"it has {', '.join(given)}" if given else None


def camera_calibration(image: TimedImage, frame_id: str) -> CameraCalibration | None:
    """Return the calibration of an image as it is stored; None where none of Foxglove's models is its camera's."""
    if unmapped(image.image) is not None:
        return None
    matrix, d = camera_matrix(image.image), image.image.camera.intrinsics.distortion
    coefficients: tuple[float, ...]
    if image.image.camera.intrinsics.model == "fisheye":
        model, coefficients = "kannala_brandt", (d.k1, d.k2, d.k3, d.k4)
    elif d.k4 or d.k5 or d.k6:
        model, coefficients = "rational_polynomial", (d.k1, d.k2, d.p1, d.p2, d.k3, d.k4, d.k5, d.k6)
    else:
        model, coefficients = "plumb_bob", (d.k1, d.k2, d.p1, d.p2, d.k3)
    return CameraCalibration(
        timestamp=_timestamp(image.time),
        frame_id=frame_id,
        width=image.header.width,
        height=image.header.height,
        distortion_model=model,
        D=coefficients,
        K=matrix.ravel().tolist(),
        R=np.eye(3).ravel().tolist(),
        P=np.column_stack((matrix, np.zeros(3))).ravel().tolist(),
    )


def _labels(cuboids: Cuboids, nanoseconds: int, plan: ExportPlan) -> SceneUpdate:
    """Replace the cuboids of the frame before by this one's."""
    time = _timestamp(nanoseconds)
    entities = []
    for row, (track, label) in enumerate(zip(cuboids.track, cuboids.label, strict=True)):
        pose = Pose.from_quaternion(cuboids.quaternion[row], cuboids.position[row])
        x, y, z = cuboids.size[row].tolist()
        red, green, blue = plan.label_colours[label]
        above = Pose.identity().translated(cuboids.position[row]).translated((0.0, 0.0, z / 2 + 0.4))
        entities.append(
            SceneEntity(
                timestamp=time,
                frame_id=WORLD,
                id=f"{_text(track)}/{row}",
                metadata=[
                    KeyValuePair(key="track", value=_text(track)),
                    KeyValuePair(key="label", value=_text(label)),
                ],
                cubes=[
                    CubePrimitive(pose=_pose(pose), size=Vector3(x=x, y=y, z=z), color=_color(red, green, blue, 0.35))
                ],
                texts=[
                    TextPrimitive(
                        pose=_pose(above),
                        billboard=True,
                        font_size=12,
                        scale_invariant=True,
                        color=_color(red, green, blue),
                        text=_text(label),
                    )
                ],
            )
        )
    return SceneUpdate(deletions=[SceneEntityDeletion(timestamp=time, type=SceneEntityDeletion.ALL)], entities=entities)


def _fixtures(plan: ExportPlan) -> Iterable[_Timed]:
    """Encode what stays for the whole scene: the region, the band of heights and the device's path."""
    start = plan.times[0]

    def timed(topic: str, frame_id: str, lines: LinePrimitive) -> _Timed:
        entity = SceneEntity(
            timestamp=_timestamp(start),
            frame_id=frame_id,
            id=topic.lstrip("/"),
            lifetime=Duration(),
            frame_locked=True,
            lines=[lines],
        )
        return _Timed(start, topic, SceneUpdate, SceneUpdate(entities=[entity]).SerializeToString())

    if (edges := region_edges(plan.view)) is not None:
        yield timed("/region", WORLD, _lines(edges.reshape(-1, 3), _ORANGE))
    if (squares := band_squares(plan.view)) is not None:
        sides = np.stack((squares[:, :-1], squares[:, 1:]), axis=2)
        yield timed("/band", EGO, _lines(sides.reshape(-1, 3), _GREEN))
    path = plan.view.path()
    if len(path) > 1:
        yield timed("/path", WORLD, _lines(np.stack((path[:-1], path[1:]), axis=1).reshape(-1, 3), _BLUE))


def _lines(ends: NDArray[np.float64], colour: tuple[int, int, int]) -> LinePrimitive:
    """Draw lines between each two of the points (2 N, 3)."""
    return LinePrimitive(
        type=LinePrimitive.LINE_LIST,
        pose=_pose(Pose.identity()),
        thickness=2.0,
        scale_invariant=True,
        points=[Point3(x=x, y=y, z=z) for x, y, z in ends.tolist()],
        color=_color(*colour),
    )


def _location(time: int, gps: GpsPose) -> LocationFix:
    return LocationFix(
        timestamp=_timestamp(time),
        frame_id=EGO,
        latitude=gps.latitude,
        longitude=gps.longitude,
        heading=radians(gps.bearing),
    )


def _transforms(*transforms: FrameTransform) -> FrameTransforms:
    return FrameTransforms(transforms=transforms)


def _transform(time: int, parent: str, child: str, pose: Pose) -> FrameTransform:
    placed = _pose(pose)
    return FrameTransform(
        timestamp=_timestamp(time),
        parent_frame_id=parent,
        child_frame_id=child,
        translation=placed.position,
        rotation=placed.orientation,
    )


def _pose(pose: Pose) -> PoseMessage:
    x, y, z = pose.translation.tolist()
    w, i, j, k = pose.quaternion.tolist()
    return PoseMessage(position=Vector3(x=x, y=y, z=z), orientation=Quaternion(x=i, y=j, z=k, w=w))


def _timestamp(time: int) -> Timestamp:
    seconds, nanoseconds = divmod(time, 1_000_000_000)
    return Timestamp(seconds=seconds, nanos=nanoseconds)


def _color(red: int, green: int, blue: int, alpha: float = 1.0) -> Color:
    return Color(r=red / 255, g=green / 255, b=blue / 255, a=alpha)


def _text(text: str) -> str:
    """Return a text that is valid UTF-8: JSON may hold half a surrogate pair."""
    return text.encode("utf-8", "replace").decode()
