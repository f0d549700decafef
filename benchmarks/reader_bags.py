"""Bags for readers.py: the same cloud many times, written by rosbags, and read by rosbags as its users do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Ros2Writer
from rosbags.typesys import Stores, get_typestore

import lidarprep as lp

KINDS = ("ros1.bag", "ros2-sqlite3", "ros2-mcap")
TOPIC = "/lidar/points"
FRAME_NS = 100_000_000
START_NS = 1_700_000_000_000_000_000


def write_bags(folder: Path, rows: NDArray[Any], frames: int) -> None:
    """A bag of each kind with so many PointCloud2 messages of these rows."""
    for kind in KINDS:
        ros1 = kind.endswith(".bag")
        store = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.ROS2_HUMBLE)
        writer: Any
        if ros1:
            writer = Ros1Writer(folder / kind)
        else:
            plugin = StoragePlugin.MCAP if kind.endswith("mcap") else StoragePlugin.SQLITE3
            writer = Ros2Writer(folder / kind, version=9, storage_plugin=plugin)
        with writer:
            name = "sensor_msgs/msg/PointCloud2"
            connection = writer.add_connection(TOPIC, name, typestore=store)
            for n in range(frames):
                message = _message(store, rows, START_NS + n * FRAME_NS, ros1=ros1)
                data = store.serialize_ros1(message, name) if ros1 else store.serialize_cdr(message, name)
                writer.write(connection, START_NS + n * FRAME_NS, data)


def _message(store: Any, rows: NDArray[Any], stamp: int, *, ros1: bool) -> Any:
    types = store.types
    time = types["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
    sequence = {"seq": 0} if ros1 else {}
    field = types["sensor_msgs/msg/PointField"]
    return types["sensor_msgs/msg/PointCloud2"](
        header=types["std_msgs/msg/Header"](stamp=time, frame_id="base_link", **sequence),
        height=1,
        width=len(rows),
        fields=[field(name=n, offset=4 * k, datatype=7, count=1) for k, n in enumerate(rows.dtype.names)],
        is_bigendian=False,
        point_step=rows.dtype.itemsize,
        row_step=rows.nbytes,
        data=rows.view(np.uint8).reshape(-1),
        is_dense=True,
    )


def by_lidarprep(path: Path) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Each cloud's positions (N, 3) and intensities (N,)."""
    for frame in lp.open_scene(path):
        points = frame.points()
        assert points.intensity is not None
        yield points.positions, points.intensity


def by_rosbags(path: Path) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """The same by rosbags' reader and a structured dtype."""
    with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
        connections = [one for one in reader.connections if one.topic == TOPIC]
        for connection, _, raw in reader.messages(connections=connections):
            message: Any = reader.deserialize(raw, connection.msgtype)
            dtype = np.dtype(
                {
                    "names": [field.name for field in message.fields],
                    "formats": ["<f4"] * len(message.fields),
                    "offsets": [field.offset for field in message.fields],
                    "itemsize": message.point_step,
                }
            )
            rows = message.data.view(dtype)
            yield np.column_stack([rows[axis] for axis in "xyz"]), np.ascontiguousarray(rows["intensity"])
