"""ROS 1 bags, version 2.0: rosbags reads their index, and messages are read at the places that it gives.

After wiki.ros.org/Bags/Format/2.0. rosbags' own reading of one message decompresses its whole chunk, and holds one
chunk for one thread.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any, cast

import numpy as np

from lidarprep.datasets.ros._storage import Chunk, ChunkedStorage, Topic, add_topic
from lidarprep.errors import FormatError, MissingExtraError
from lidarprep.remote import AnyPath

try:
    from rosbags.rosbag1 import Reader, ReaderError
    from rosbags.rosbag1.reader import Header
except ImportError:
    raise MissingExtraError("a ROS 1 bag", "ros") from None

_MESSAGE, _CONNECTION = 2, 7

# What rosbags raises over bytes that are not the index of a bag.
_DAMAGED = (
    ReaderError, struct.error, AssertionError, ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError,
)  # fmt: skip


class Ros1Storage(ChunkedStorage):
    """One ROS 1 bag. A chunk's number is the byte of the file where its record begins."""

    def __init__(self, path: AnyPath) -> None:
        super().__init__(path)
        try:
            with Reader(cast(Any, path)) as reader:  # any path that can be opened
                self._take_index(reader)
        except _DAMAGED as error:
            raise FormatError(
                path,
                found=f"no index that can be read ({error or type(error).__name__})",
                expected="a ROS 1 bag, version 2.0",
                fix="A recorder that crashed leaves such a file (.bag.active): `rosbag reindex FILE` repairs it.",
            ) from error

    def message_at(self, probe: bytes | memoryview, offset: int) -> tuple[int, int | None]:
        """Return where the message's data begins, and its length; None for a connection's record.

        The first message of a connection in a chunk may be indexed at the connection's record, which precedes it.
        """
        stream = BytesIO(probe)
        try:
            operation = Header.read(stream).get_uint8("op")
            (length,) = struct.unpack("<I", stream.read(4))
        except _DAMAGED as error:
            raise self.cut(offset, "no record, where the index says one is") from error
        if operation == _CONNECTION:
            return stream.tell() + length, None
        if operation != _MESSAGE:
            raise self.cut(offset, "no message, where the index says one is")
        return stream.tell(), length

    def _take_index(self, reader: Reader) -> None:
        for start, chunk in reader.chunks.items():
            head = Header.read(BytesIO(self.exactly(start, min(chunk.datapos - start, 4096), "a chunk")))
            if chunk.datapos + chunk.datasize > self.size:
                raise ReaderError(f"a chunk at byte {start} goes beyond the file's end")
            size, compression = head.get_uint32("size"), head.get_string("compression")
            self.chunks[start] = Chunk(chunk.datapos, chunk.datasize, size, compression)
        for connection in reader.connections:
            rows = np.array(reader.indexes[connection.id], dtype=np.int64).reshape(-1, 3)
            self.parts.setdefault(connection.topic, []).append(rows)
            add_topic(self.topics, Topic(connection.topic, connection.msgtype, len(rows), "ros1"))
