"""MCAP files: the summary at the end names the chunks, and after each chunk stands where its messages are.

After the MCAP format specification (mcap.dev/spec), version 0. rosbags' reader is not used here: it gives no places of
messages, and takes files of the profile "ros2" alone, though others hold the same messages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.ros.chunks import Chunk, ChunkedFile, Window
from lidarprep.datasets.ros.cursor import Wire
from lidarprep.datasets.ros.storage import ChunkedStorage, Rows, Topic
from lidarprep.errors import FormatError

MAGIC = b"\x89MCAP0\r\n"

# The operation codes of records.
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _MESSAGE_INDEX = 0x02, 0x03, 0x04, 0x05, 0x06, 0x07
_CHUNK_INDEX, _STATISTICS, _DATA_END = 0x08, 0x0B, 0x0F

_INDEX_ENTRY = np.dtype([("time", "<u8"), ("offset", "<u8")])
_FOOTER_BYTES = 9 + 20
_MESSAGE_HEAD = 9 + 22

# How a channel's messages are serialised, by its message encoding.
_WIRES: dict[str, Wire] = {"cdr": "cdr", "ros1": "ros1"}

RECOVER = "A recorder that crashed leaves such a file: `mcap recover FILE -o OUT` or `ros2 bag reindex` mends it."


class McapStorage(ChunkedStorage):
    """One MCAP file.

    Raises:
        FormatError: It is cut, damaged, or no MCAP file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = ChunkedFile(path)
        self._topic_of_channel: dict[int, str] = {}
        self._chunks: dict[int, Chunk] = {}
        self._places: dict[str, list[tuple[NDArray[Any], int]]] = {}
        self._counts: dict[str, int] = {}
        self.topics: dict[str, Topic] = {}
        self._schemas: dict[int, str] = {}
        self._read()

    def rows(self, topic: str) -> Rows:
        """Times and places of a topic's messages, in the order of the file."""
        parts = self._places.get(topic, [])
        times = [part["time"] for part, _ in parts]
        offsets = [part["offset"] for part, _ in parts]
        chunks = [np.full(len(part), chunk, dtype=np.int64) for part, chunk in parts]
        return Rows.joined(times, chunks, offsets)

    def window(self, chunk: int, *, in_order: bool) -> Window:
        """The chunk that begins at that byte of the file; -1: the whole file."""
        place = Chunk(0, self.file.size, self.file.size, "") if chunk < 0 else self._chunks.get(chunk)
        if place is None:
            raise FormatError(self.path, found=f"no chunk at byte {chunk}", fix="Was the file changed? Open it anew.")
        return self.file.in_order(place) if in_order else self.file.whole(place)

    def message_at(self, probe: bytes | memoryview, place: int) -> tuple[int, int | None]:
        """Where the data of the message record begins, from its front, and how long it is."""
        if len(probe) < _MESSAGE_HEAD or probe[0] != _MESSAGE:
            raise self.file.cut(place, "no message, where the index says one is")
        (length,) = struct.unpack_from("<Q", probe, 1)
        if length < 22:
            raise self.file.cut(place, f"a message record of {length} bytes")
        return _MESSAGE_HEAD, length - 22

    def _read(self) -> None:
        file = self.file
        if file.size < len(MAGIC) or file.exactly(0, len(MAGIC), "the magic") != MAGIC:
            raise FormatError(self.path, place="byte 0", found="other bytes", expected="the magic of an MCAP file")
        end = file.size - len(MAGIC) - _FOOTER_BYTES
        if end < len(MAGIC) or file.exactly(end + _FOOTER_BYTES, len(MAGIC), "the magic") != MAGIC:
            raise FormatError(self.path, place="its end", found="no closing magic: the file is cut", fix=RECOVER)
        footer = file.exactly(end, _FOOTER_BYTES, "the footer")
        op, length, summary, _, _ = struct.unpack("<BQQQI", footer)
        if (op, length) != (_FOOTER, 20) or not (summary == 0 or len(MAGIC) <= summary <= end):
            raise file.cut(end, "no footer of an MCAP file")
        chunk_indexes = 0
        statistics = None
        for op, body, _ in self._records(summary or end, end):
            if op == _CHUNK_INDEX:
                chunk_indexes += 1
                self._read_chunk_index(body)
            elif op == _STATISTICS:
                statistics = body
            else:
                self._read_definition(op, body)
        announced = 0 if statistics is None else int(struct.unpack_from("<Q", statistics)[0])
        indexed = sum(len(part) for parts in self._places.values() for part, _ in parts)
        if statistics is None or indexed != announced or not self._topic_of_channel:
            self._scan(end)
        for name, topic in self.topics.items():
            count = sum(len(part) for part, _ in self._places.get(name, []))
            self.topics[name] = topic._replace(messages=count)

    def _records(self, start: int, stop: int) -> Iterator[tuple[int, bytes, int]]:
        """The records of a part of the file but for messages and chunks: operation, body, and where the record is."""
        while start < stop:
            op, length = struct.unpack("<BQ", self.file.exactly(start, 9, "a record"))
            if start + 9 + length > stop:
                raise self.file.cut(start, f"a record of {length} bytes, beyond the end of its section")
            yield op, self.file.exactly(start + 9, length, "a record"), start
            start += 9 + length

    def _read_definition(self, op: int, body: bytes) -> None:
        """A schema or a channel."""
        try:
            if op == _SCHEMA:
                (key,) = struct.unpack_from("<H", body)
                self._schemas[key] = _text(body, 2)[0]
            elif op == _CHANNEL:
                key, schema = struct.unpack_from("<HH", body)
                name, at = _text(body, 4)
                encoding, _ = _text(body, at)
                self._topic_of_channel[key] = name
                if name not in self.topics:
                    kind = normal_type(self._schemas.get(schema, ""))
                    self.topics[name] = Topic(name, kind, 0, _WIRES.get(encoding))
        except (struct.error, IndexError) as error:
            raise FormatError(self.path, found="a schema or a channel that is cut", fix=RECOVER) from error

    def _read_chunk_index(self, body: bytes) -> None:
        try:
            _, _, start, length, listed = struct.unpack_from("<QQQQI", body)
            at = 36 + listed
            (index_length,) = struct.unpack_from("<Q", body, at)
            compression, at = _text(body, at + 8)
            stored, size = struct.unpack_from("<QQ", body, at)
        except struct.error as error:
            raise FormatError(self.path, found="a chunk index that is cut", fix=RECOVER) from error
        # The chunk's own head: operation, length, times, sizes, checksum and the name of its compression.
        self._chunks[start] = Chunk(start + 9 + 32 + len(compression) + 8, stored, size, compression)
        for op, record, _ in self._records(start + length, start + length + index_length):
            if op == _MESSAGE_INDEX and len(record) >= 6:
                channel, count = struct.unpack_from("<HI", record)
                if count % 16 or 6 + count > len(record):
                    raise self.file.cut(start + length, "an index of messages that is cut")
                self._add(channel, np.frombuffer(record, _INDEX_ENTRY, count // 16, 6), start)

    def _add(self, channel: int, entries: NDArray[Any], chunk: int) -> None:
        topic = self._topic_of_channel.get(channel)
        if topic is not None and len(entries):
            self._places.setdefault(topic, []).append((entries, chunk))

    def _scan(self, end: int) -> None:
        """Finds the messages of a file whose index is missing or incomplete by walking through its records."""
        self._places.clear()
        loose: dict[int, list[tuple[int, int]]] = {}
        start = len(MAGIC)
        while start < end:
            op, length = struct.unpack("<BQ", self.file.exactly(start, 9, "a record"))
            if start + 9 + length > end:
                raise self.file.cut(start, f"a record of {length} bytes, beyond the end of the file")
            if op == _DATA_END:
                break
            if op == _MESSAGE:
                self._note_message(self.file.exactly(start, _MESSAGE_HEAD, "a message"), start, loose)
            elif op == _CHUNK:
                self._scan_chunk(start)
            elif op in (_SCHEMA, _CHANNEL):
                self._read_definition(op, self.file.exactly(start + 9, length, "a record"))
            start += 9 + length
        self._add_scanned(loose, -1)

    def _scan_chunk(self, start: int) -> None:
        head = self.file.exactly(start + 9, 32, "a chunk")
        size, _, named = struct.unpack_from("<QII", head, 16)
        compression = self.file.exactly(start + 41, min(named, 40), "a chunk").decode("utf-8", "replace")
        (stored,) = struct.unpack("<Q", self.file.exactly(start + 41 + named, 8, "a chunk"))
        chunk = Chunk(start + 49 + named, stored, size, compression)
        self._chunks[start] = chunk
        window = self.file.in_order(chunk)
        found: dict[int, list[tuple[int, int]]] = {}
        at = 0
        while at < chunk.size:
            probe = window.at_most(at, _MESSAGE_HEAD)
            if len(probe) < 9:
                raise self.file.cut(start, "a chunk that ends within a record")
            op, length = struct.unpack_from("<BQ", probe)
            if op == _MESSAGE:
                self._note_message(probe, at, found)
            elif op in (_SCHEMA, _CHANNEL):
                self._read_definition(op, bytes(window.at_most(at + 9, min(length, chunk.size))))
            at += 9 + length
        self._add_scanned(found, start)

    def _note_message(self, head: bytes | memoryview, at: int, found: dict[int, list[tuple[int, int]]]) -> None:
        if len(head) < _MESSAGE_HEAD:
            raise self.file.cut(at, "a message that is cut")
        channel, _, time = struct.unpack_from("<HIQ", head, 9)
        found.setdefault(channel, []).append((time, at))

    def _add_scanned(self, found: dict[int, list[tuple[int, int]]], chunk: int) -> None:
        for channel, entries in found.items():
            self._add(channel, np.array(entries, dtype=_INDEX_ENTRY), chunk)


def normal_type(name: str) -> str:
    """A message's type as ROS 2 writes it: sensor_msgs/msg/Image for ROS 1's sensor_msgs/Image."""
    package, slash, rest = name.partition("/")
    return f"{package}/msg/{rest}" if slash and "/" not in rest else name


def _text(body: bytes, at: int) -> tuple[str, int]:
    """A string behind its length, and where it ends."""
    (length,) = struct.unpack_from("<I", body, at)
    end = at + 4 + length
    if end > len(body):
        raise struct.error("a string beyond the end of its record")
    return body[at + 4 : end].decode("utf-8", "replace"), end
