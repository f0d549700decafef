"""Writes bags with rosbags' writers: the generated recording, and any messages that a test wants.

A message is a plain dict of its fields, without sequence numbers: `Message` makes of it what rosbags serialises.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Ros2Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from tests.datasets.generated import RecordedCamera, Recording, quaternion

Container = Literal["ros1", "sqlite3", "mcap"]
Fields = dict[str, Any]

ROS2 = get_typestore(Stores.ROS2_HUMBLE)
ROS1 = get_typestore(Stores.ROS1_NOETIC)
ROS1.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", "tf2_msgs/msg/TFMessage"))

STEPS = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}

# How much later a message is recorded than its header says.
DELAY_NS = 3_000_000


@dataclass(frozen=True)
class Message:
    """A message: its topic, its type, the time of its recording, and its fields."""

    topic: str
    kind: str
    time: int
    fields: Fields


def header(stamp: int, frame_id: str) -> Fields:
    return {"stamp": {"sec": stamp // 10**9, "nanosec": stamp % 10**9}, "frame_id": frame_id}


def point_cloud(stamp: int, frame_id: str, points: np.ndarray[Any, Any], **changes: Any) -> Fields:
    """A PointCloud2 of a structured array: a row a point, or (height, width); changes replace fields of the message."""
    rows = np.atleast_2d(points)
    assert rows.dtype.fields is not None
    fields = []
    for name, (dtype, offset) in ((name, entry[:2]) for name, entry in rows.dtype.fields.items()):
        base, shape = dtype.subdtype or (dtype, ())
        count = int(np.prod(shape)) if shape else 1
        fields.append({"name": name, "offset": offset, "datatype": STEPS[base.str[1:]], "count": count})
    big = any(np.dtype(entry[0]).base.byteorder == ">" for entry in rows.dtype.fields.values())
    return {
        "header": header(stamp, frame_id),
        "height": rows.shape[0],
        "width": rows.shape[1],
        "fields": fields,
        "is_bigendian": big,
        "point_step": rows.dtype.itemsize,
        "row_step": rows.dtype.itemsize * rows.shape[1],
        "data": np.frombuffer(rows.tobytes(), dtype=np.uint8),
        "is_dense": True,
    } | changes


def transform(stamp: int, parent: str, child: str, pose: np.ndarray[Any, Any]) -> Fields:
    w, x, y, z = quaternion(pose)
    tx, ty, tz = pose[:3, 3].tolist()
    return {
        "header": header(stamp, parent),
        "child_frame_id": child,
        "transform": {
            "translation": {"x": tx, "y": ty, "z": tz},
            "rotation": {"x": x, "y": y, "z": z, "w": w},
        },
    }


def transforms(topic: str, time: int, listed: Sequence[Fields]) -> Message:
    return Message(topic, "tf2_msgs/msg/TFMessage", time, {"transforms": list(listed)})


def pose(matrix: np.ndarray[Any, Any]) -> Fields:
    w, x, y, z = quaternion(matrix)
    tx, ty, tz = matrix[:3, 3].tolist()
    return {"position": {"x": tx, "y": ty, "z": tz}, "orientation": {"x": x, "y": y, "z": z, "w": w}}


def odometry(stamp: int, parent: str, child: str, matrix: np.ndarray[Any, Any]) -> Fields:
    zero = {"x": 0.0, "y": 0.0, "z": 0.0}
    return {
        "header": header(stamp, parent),
        "child_frame_id": child,
        "pose": {"pose": pose(matrix), "covariance": np.zeros(36)},
        "twist": {"twist": {"linear": zero, "angular": zero}, "covariance": np.zeros(36)},
    }


def camera_info(stamp: int, frame_id: str, camera: RecordedCamera, **changes: Any) -> Fields:
    d = camera.distortion
    k = [camera.fx, 0, camera.cx, 0, camera.fy, camera.cy, 0, 0, 1]
    return {
        "header": header(stamp, frame_id),
        "height": camera.height,
        "width": camera.width,
        "distortion_model": "plumb_bob",
        "d": np.array([d.get(name, 0.0) for name in ("k1", "k2", "p1", "p2", "k3")]),
        "k": np.array(k, dtype=np.float64),
        "r": np.eye(3).ravel(),
        "p": np.array([*k[:3], 0, *k[3:6], 0, *k[6:], 0], dtype=np.float64),
        "binning_x": 0,
        "binning_y": 0,
        "roi": {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": False},
    } | changes


def compressed_image(stamp: int, frame_id: str, data: bytes, form: str = "jpeg") -> Fields:
    return {"header": header(stamp, frame_id), "format": form, "data": np.frombuffer(data, dtype=np.uint8)}


def ego_from_lidar() -> np.ndarray[Any, Any]:
    """A lidar on the roof, turned a quarter about z: so that a reader has to move its points."""
    matrix = np.eye(4)
    matrix[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    matrix[:3, 3] = (1.0, 0.25, 1.5)
    return matrix


def recorded_messages(recording: Recording) -> list[Message]:
    """The generated recording as a drive: tf at twice the frames' rate, cameras with their CameraInfo, clouds."""
    lidar = ego_from_lidar()
    start = recording.frames[0].timestamp
    static = [transform(start, "base_link", "velodyne", lidar)]
    static += [
        transform(start, "base_link", f"{camera.name}_optical", camera.ego_from_camera) for camera in recording.cameras
    ]
    messages = [transforms("/tf_static", start, static)]
    for frame in recording.frames:
        time = frame.timestamp
        messages.append(transforms("/tf", time, [transform(time, "odom", "base_link", frame.world_from_ego)]))
        for camera in recording.cameras:
            info = camera_info(time, f"{camera.name}_optical", camera)
            messages.append(Message(f"/{camera.name}/camera_info", "sensor_msgs/msg/CameraInfo", time + DELAY_NS, info))
            image = compressed_image(time, f"{camera.name}_optical", frame.pictures[camera.name])
            name = f"/{camera.name}/image_raw/compressed"
            messages.append(Message(name, "sensor_msgs/msg/CompressedImage", time + DELAY_NS, image))
        layout = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("intensity", "f4")]
        if frame.point_times is not None:
            layout.append(("t", "i4"))  # a sweep begins before its time
        points = np.zeros(len(frame.positions), dtype=layout)
        moved = (frame.positions.astype(np.float64) - lidar[:3, 3]) @ lidar[:3, :3]
        points["x"], points["y"], points["z"] = moved.T
        points["intensity"] = frame.intensity
        if frame.point_times is not None:
            points["t"] = frame.point_times - time
        cloud = point_cloud(time, "velodyne", points)
        messages.append(Message("/velodyne_points", "sensor_msgs/msg/PointCloud2", time + DELAY_NS, cloud))
    return messages


def write_ros1_bag(recording: Recording, folder: Path) -> Path:
    """A ROS 1 bag, its chunks compressed with LZ4."""
    return write_bag(folder / "drive.bag", "ros1", recorded_messages(recording), compression="lz4")


def write_ros2_sqlite3_bag(recording: Recording, folder: Path) -> Path:
    """A ROS 2 bag: a folder with a .db3 file."""
    return write_bag(folder / "drive_sqlite3", "sqlite3", recorded_messages(recording))


def write_ros2_mcap_bag(recording: Recording, folder: Path) -> Path:
    """A ROS 2 bag: a folder with an .mcap file."""
    return write_bag(folder / "drive_mcap", "mcap", recorded_messages(recording))


def write_mcap(recording: Recording, folder: Path) -> Path:
    """One MCAP file, its chunks compressed with Zstandard."""
    bag = write_bag(folder / "drive_alone", "mcap", recorded_messages(recording), compression="storage")
    return bag / f"{bag.name}.mcap"


def write_bag(path: Path, container: Container, messages: Iterable[Message], compression: str | None = None) -> Path:
    """A bag of these messages, in their order.

    Args:
        path: The file of a ROS 1 bag, or the folder of a ROS 2 bag.
        container: Which kind.
        messages: What to write.
        compression: "lz4" or "bz2" for ROS 1; "storage" (of MCAP), "message" or "file" for ROS 2.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    store = ROS1 if container == "ros1" else ROS2
    writer: Any
    if container == "ros1":
        writer = Ros1Writer(path)
        if compression is not None:
            writer.set_compression(Ros1Writer.CompressionFormat[compression.upper()])
    else:
        writer = Ros2Writer(path, version=9, storage_plugin=StoragePlugin[container.upper()])
        if compression is not None:
            writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    connections: dict[str, Any] = {}
    with writer:
        for message in messages:
            if message.topic not in connections:
                connections[message.topic] = writer.add_connection(message.topic, message.kind, typestore=store)
            value = made(store, message.kind, message.fields)
            serialise = store.serialize_ros1 if container == "ros1" else store.serialize_cdr
            writer.write(connections[message.topic], message.time, serialise(value, message.kind))
    return path


def made(store: Any, kind: str, fields: Fields) -> Any:
    """A message of its fields, those that are messages made likewise."""
    _, described = store.fielddefs[kind]
    values = {}
    for name, (node, description) in described:
        value: Any = 0 if name == "seq" and store is ROS1 else fields[name if name in fields else name.lower()]
        inner = description[0] if node.name in ("ARRAY", "SEQUENCE") else None
        if node.name == "NAME":
            value = made(store, description, value)
        elif inner is not None and inner[0].name == "NAME":
            value = [made(store, inner[1], item) for item in value]
        values[name] = value
    return store.types[kind](**values)
