"""What fleet.py measures on: recordings in a bucket, one large file of each kind, and a relay that counts bytes."""

from __future__ import annotations

import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import laspy
import numpy as np
from reader_bags import FRAME_NS, START_NS, TOPIC, _message

BUCKET = "fleet"
_CHUNK = 1_000_000
_REQUEST = re.compile(rb"(GET|PUT|POST|HEAD|DELETE) (/\S*) HTTP/1\.1\r\n")
_POINTS_A_CLOUD = 100_000


def put_folder(folder: Path, prefix: str, endpoint: str) -> str:
    """Puts a folder's files below a prefix, and gives its URL."""
    client: Any = boto3.client("s3", endpoint_url=endpoint)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        client.upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(folder)}")
    return f"s3://{BUCKET}/{prefix}"


def write_las(path: Path, size: int) -> Path:
    """Writes a LAS file of about so many bytes."""
    header = laspy.LasHeader(point_format=3, version="1.2")
    header.scales, header.offsets = np.full(3, 0.001), np.zeros(3)
    points = laspy.ScaleAwarePointRecord.zeros(_CHUNK, header=header)
    numbers = np.random.default_rng(0)
    points.x, points.y, points.z = numbers.uniform(-50, 50, (3, _CHUNK))
    with laspy.open(path, mode="w", header=header) as writer:
        for _ in range(max(1, size // (_CHUNK * header.point_format.size))):
            writer.write_points(points)
    return path


def write_mcap(path: Path, size: int) -> Path:
    """Writes an MCAP file of PointCloud2 messages of about so many bytes, and gives it."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    rows = np.zeros(_POINTS_A_CLOUD, dtype=[(name, "<f4") for name in ("x", "y", "z", "intensity")])
    numbers = np.random.default_rng(0)
    for name in rows.dtype.names:
        rows[name] = numbers.uniform(-50, 50, len(rows))
    store = get_typestore(Stores.ROS2_HUMBLE)
    kind = "sensor_msgs/msg/PointCloud2"
    with Writer(path.with_suffix(""), version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(TOPIC, kind, typestore=store)
        for n in range(max(2, size // rows.nbytes)):
            stamp = START_NS + n * FRAME_NS
            writer.write(connection, stamp, store.serialize_cdr(_message(store, rows, stamp, ros1=False), kind))
    (found,) = path.with_suffix("").glob("*.mcap")
    return found.rename(path)


class Relay:
    """Passes connections on to a server, and counts requests by their kind, and the bytes that come back."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.received = 0
        self.requests: Counter[str] = Counter()

    @contextmanager
    def running(self) -> Iterator[Relay]:
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            yield self
        finally:
            self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                with self._lock:
                    if counts:
                        self.received += len(data)
                    elif (request := _REQUEST.match(data)) is not None:
                        self.requests["LIST" if b"list-type=" in request[2] else request[1].decode()] += 1
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
