"""ROS 1 bags, version 2.0: rosbags reads their index, and messages are read at the places that it gives.

After wiki.ros.org/Bags/Format/2.0. rosbags' own reading of one message decompresses its whole chunk, and holds one
chunk for one thread.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.ros.chunks import Chunk, ChunkedFile, Window
from lidarprep.datasets.ros.storage import ChunkedStorage, Rows, Topic
from lidarprep.errors import FormatError, MissingExtraError

try:
    from rosbags.rosbag1 import Reader, ReaderError
except ImportError:
    raise MissingExtraError("a ROS 1 bag", "ros") from None

_MESSAGE, _CONNECTION = 2, 7

# What rosbags raises over bytes that are none of a bag's index.
_DAMAGED = (
    ReaderError, struct.error, AssertionError, ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError,
)  # fmt: skip


class Ros1Storage(ChunkedStorage):
    """One ROS 1 bag.

    Raises:
        FormatError: It is cut, damaged, without index, or no such bag.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = ChunkedFile(path)
        try:
            with Reader(path) as reader:
                self._take_index(reader)
        except _DAMAGED as error:
            raise FormatError(
                path,
                found=f"no index that can be read ({error or type(error).__name__})",
                expected="a ROS 1 bag, version 2.0",
                fix="A recorder that crashed leaves such a file (.bag.active): `rosbag reindex FILE` mends it.",
            ) from error

    def rows(self, topic: str) -> Rows:
        """Times and places of a topic's messages, by the time of their recording."""
        parts = self._rows.get(topic, [])
        return Rows.joined(*([part[:, k] for part in parts] for k in range(3)))

    def window(self, chunk: int, *, in_order: bool) -> Window:
        """The chunk whose record begins at that byte of the file."""
        place = self._chunks.get(chunk)
        if place is None:
            raise FormatError(self.path, found=f"no chunk at byte {chunk}", fix="Was the file changed? Open it anew.")
        return self.file.in_order(place) if in_order else self.file.whole(place)

    def message_at(self, probe: bytes | memoryview, place: int) -> tuple[int, int | None]:
        """Where the message's data begins, from the record's front, and how long it is; None: it is behind it.

        The first message of a connection in a chunk may be indexed at the connection's record, which stands before it.
        """
        try:
            (head,) = struct.unpack_from("<I", probe)
            op, at = None, 4
            while at < 4 + head:
                (size,) = struct.unpack_from("<I", probe, at)
                name, _, value = bytes(probe[at + 4 : at + 4 + size]).partition(b"=")
                op = value[0] if name == b"op" else op
                at += 4 + size
            (length,) = struct.unpack_from("<I", probe, 4 + head)
        except (struct.error, IndexError) as error:
            raise self.file.cut(place, "no record, where the index says one is") from error
        if op == _CONNECTION:
            return 8 + head + length, None
        if op != _MESSAGE:
            raise self.file.cut(place, "no message, where the index says one is")
        return 8 + head, length

    def _take_index(self, reader: Reader) -> None:
        size = self.file.size
        self._chunks: dict[int, Chunk] = {}
        for start, chunk in reader.chunks.items():
            head = self.file.exactly(start, min(chunk.datapos - start, 4096), "a chunk")
            compression = _value(head, b"compression=").decode("ascii", "replace")
            (full,) = struct.unpack("<I", _value(head, b"size=")[:4])
            if chunk.datapos + chunk.datasize > size:
                raise ReaderError(f"a chunk at byte {start} goes beyond the file's end")
            self._chunks[start] = Chunk(chunk.datapos, chunk.datasize, full, compression)
        self._rows: dict[str, list[NDArray[np.int64]]] = {}
        self.topics: dict[str, Topic] = {}
        for connection in reader.connections:
            entries = np.array(reader.indexes[connection.id], dtype=np.int64).reshape(-1, 3)
            topic = Topic(connection.topic, connection.msgtype, len(entries), "ros1")
            self._rows.setdefault(topic.name, []).append(entries)
            earlier = self.topics.get(topic.name)
            self.topics[topic.name] = topic if earlier is None else earlier.joined(topic)


def _value(head: bytes, name: bytes) -> bytes:
    """A field of a record's head: fields are a length, the name, an equals sign and the value."""
    (length,) = struct.unpack_from("<I", head)
    at = 4
    while at < 4 + length:
        (size,) = struct.unpack_from("<I", head, at)
        field = head[at + 4 : at + 4 + size]
        if field.startswith(name):
            return field[len(name) :]
        at += 4 + size
    raise ReaderError(f"a chunk has no {name.decode()!r}")
