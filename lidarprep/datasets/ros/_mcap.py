"""MCAP files: the summary at the end names the chunks, and behind each chunk is the index of its messages.

After the MCAP format specification (mcap.dev/spec), version 0. rosbags' reader is not used here: it gives no places of
messages, and takes only files of the profile "ros2", though others hold the same messages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from lidarprep.datasets.ros._storage import Chunk, ChunkedStorage, Topic, Wire
from lidarprep.errors import FormatError
from lidarprep.remote import AnyPath
from lidarprep.remote.ranges import Range, View

MAGIC = b"\x89MCAP0\r\n"

# The operation codes of records.
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _MESSAGE_INDEX = 0x02, 0x03, 0x04, 0x05, 0x06, 0x07
_CHUNK_INDEX, _STATISTICS, _DATA_END = 0x08, 0x0B, 0x0F

_INDEX_ENTRY = np.dtype([("time", "<u8"), ("offset", "<u8")])
_FOOTER_BYTES = 9 + 20
_MESSAGE_HEAD = 9 + 22

# The number of the chunk that is the whole file, for messages outside of chunks.
_NO_CHUNK = -1

# By a channel's message encoding.
_WIRES: dict[str, Wire] = {"cdr": "cdr", "ros1": "ros1"}

RECOVER = "A recorder that crashed leaves such a file: `mcap recover FILE -o OUT` or `ros2 bag reindex` repairs it."

# (time, offset) of messages by their channel.
_Found = dict[int, list[tuple[int, int]]]


class McapStorage(ChunkedStorage):
    """One MCAP file. A chunk's number is the byte of the file where its record begins."""

    def __init__(self, path: AnyPath) -> None:
        super().__init__(path)
        self.chunks[_NO_CHUNK] = Chunk(0, self.size, self.size, "")
        self._topic_of_channel: dict[int, str] = {}
        self._schemas: dict[int, str] = {}
        self._read()

    def message_at(self, probe: bytes | memoryview, offset: int) -> tuple[int, int | None]:
        """Return where the data of a message record begins, and its length."""
        if len(probe) < _MESSAGE_HEAD or probe[0] != _MESSAGE:
            raise self.cut(offset, "no message, where the index says one is")
        (length,) = struct.unpack_from("<Q", probe, 1)
        if length < 22:
            raise self.cut(offset, f"a message record of {length} bytes")
        return _MESSAGE_HEAD, length - 22

    def _read(self) -> None:
        if self.size < len(MAGIC) or self.exactly(0, len(MAGIC), "the magic") != MAGIC:
            raise FormatError(self.path, place="byte 0", found="other bytes", expected="the magic of an MCAP file")
        end = self.size - len(MAGIC) - _FOOTER_BYTES
        if end < len(MAGIC) or self.exactly(end + _FOOTER_BYTES, len(MAGIC), "the magic") != MAGIC:
            raise FormatError(self.path, place="its end", found="no closing magic: the file is cut", fix=RECOVER)
        footer = self.exactly(end, _FOOTER_BYTES, "the footer")
        op, length, summary, _, _ = struct.unpack("<BQQQI", footer)
        if (op, length) != (_FOOTER, 20) or not (summary == 0 or len(MAGIC) <= summary <= end):
            raise self.cut(end, "no footer of an MCAP file")
        statistics = None
        indexes: list[tuple[int, Range]] = []
        for op, body in self._records(summary or end, end, self.file.read):
            if op == _CHUNK_INDEX:
                indexes.append(self._read_chunk_index(body))
            elif op == _STATISTICS:
                statistics = body
            else:
                self._read_definition(op, body)
        indexes.sort()
        views = self.file.views([messages for _, messages in indexes])
        for (start, messages), view in zip(indexes, views, strict=True):
            self._read_message_indexes(start, messages, view)
        announced = 0 if statistics is None else int(struct.unpack_from("<Q", statistics)[0])
        indexed = sum(len(part) for parts in self.parts.values() for part in parts)
        if statistics is None or indexed != announced or not self._topic_of_channel:
            self._scan(end)
        for name, topic in self.topics.items():
            self.topics[name] = topic._replace(messages=sum(map(len, self.parts.get(name, []))))

    def _records(self, start: int, stop: int, view: View) -> Iterator[tuple[int, bytes]]:
        """Yield the records of a section of the file: operation and body."""
        section = memoryview(self.exactly(start, max(0, stop - start), "a section", view))
        at = 0
        while at < len(section):
            if at + 9 > len(section):
                raise self.cut(start + at, "a record that is cut")
            op, length = struct.unpack_from("<BQ", section, at)
            if at + 9 + length > len(section):
                raise self.cut(start + at, f"a record of {length} bytes, beyond the end of its section")
            yield op, bytes(section[at + 9 : at + 9 + length])
            at += 9 + length

    def _read_definition(self, op: int, body: bytes) -> None:
        """Read a schema or a channel."""
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
                    kind = _normal_type(self._schemas.get(schema, ""))
                    self.topics[name] = Topic(name, kind, 0, _WIRES.get(encoding))
        except (struct.error, IndexError) as error:
            raise FormatError(self.path, found="a schema or a channel that is cut", fix=RECOVER) from error

    def _read_chunk_index(self, body: bytes) -> tuple[int, Range]:
        """Note a chunk, and return its number and where the index of its messages is."""
        try:
            _, _, start, length, listed = struct.unpack_from("<QQQQI", body)
            at = 36 + listed
            (index_length,) = struct.unpack_from("<Q", body, at)
            compression, at = _text(body, at + 8)
            stored, size = struct.unpack_from("<QQ", body, at)
        except struct.error as error:
            raise FormatError(self.path, found="a chunk index that is cut", fix=RECOVER) from error
        # The chunk's own head: operation, length, times, sizes, checksum and the name of its compression.
        self.chunks[start] = Chunk(start + 9 + 32 + len(compression) + 8, stored, size, compression)
        return start, Range(start + length, index_length)

    def _read_message_indexes(self, start: int, messages: Range, view: View) -> None:
        for op, record in self._records(messages.start, messages.stop, view):
            if op == _MESSAGE_INDEX and len(record) >= 6:
                channel, count = struct.unpack_from("<HI", record)
                if count % 16 or 6 + count > len(record):
                    raise self.cut(messages.start, "an index of messages that is cut")
                entries = np.frombuffer(record, _INDEX_ENTRY, count // 16, 6)
                self._add(channel, start, entries["time"], entries["offset"])

    def _add(self, channel: int, chunk: int, times: ArrayLike, offsets: ArrayLike) -> None:
        """Note the messages of a channel in a chunk."""
        topic = self._topic_of_channel.get(channel)
        if topic is not None and np.size(times):
            rows = np.empty((np.size(times), 3), dtype=np.int64)
            rows[:, 0], rows[:, 1], rows[:, 2] = times, chunk, offsets
            self.parts.setdefault(topic, []).append(rows)

    def _scan(self, end: int) -> None:
        """Find the messages of a file whose index is missing or incomplete, from record to record."""
        self.parts.clear()
        loose: _Found = {}
        start = len(MAGIC)
        while start < end:
            op, length = struct.unpack("<BQ", self.exactly(start, 9, "a record"))
            if start + 9 + length > end:
                raise self.cut(start, f"a record of {length} bytes, beyond the end of the file")
            if op == _DATA_END:
                break
            if op == _MESSAGE:
                self._note_message(self.exactly(start, _MESSAGE_HEAD, "a message"), start, loose)
            elif op == _CHUNK:
                self._scan_chunk(start)
            elif op in (_SCHEMA, _CHANNEL):
                self._read_definition(op, self.exactly(start + 9, length, "a record"))
            start += 9 + length
        self._add_found(loose, _NO_CHUNK)

    def _scan_chunk(self, start: int) -> None:
        head = self.exactly(start + 9, 32, "a chunk")
        size, _, named = struct.unpack_from("<QII", head, 16)
        compression = self.exactly(start + 41, min(named, 40), "a chunk").decode("utf-8", "replace")
        (stored,) = struct.unpack("<Q", self.exactly(start + 41 + named, 8, "a chunk"))
        chunk = Chunk(start + 49 + named, stored, size, compression)
        self.chunks[start] = chunk
        window = self.in_order(chunk)
        found: _Found = {}
        at = 0
        while at < chunk.size:
            probe = window.at_most(at, _MESSAGE_HEAD)
            if len(probe) < 9:
                raise self.cut(start, "a chunk that ends within a record")
            op, length = struct.unpack_from("<BQ", probe)
            if op == _MESSAGE:
                self._note_message(probe, at, found)
            elif op in (_SCHEMA, _CHANNEL):
                self._read_definition(op, bytes(window.at_most(at + 9, min(length, chunk.size))))
            at += 9 + length
        self._add_found(found, start)

    def _note_message(self, head: bytes | memoryview, at: int, found: _Found) -> None:
        if len(head) < _MESSAGE_HEAD:
            raise self.cut(at, "a message that is cut")
        channel, _, time = struct.unpack_from("<HIQ", head, 9)
        found.setdefault(channel, []).append((time, at))

    def _add_found(self, found: _Found, chunk: int) -> None:
        for channel, entries in found.items():
            table = np.array(entries, dtype=np.uint64)
            self._add(channel, chunk, table[:, 0], table[:, 1])


def _normal_type(name: str) -> str:
    """Return a message's type as ROS 2 writes it: sensor_msgs/msg/Image for ROS 1's sensor_msgs/Image."""
    package, slash, rest = name.partition("/")
    return f"{package}/msg/{rest}" if slash and "/" not in rest else name


def _text(body: bytes, at: int) -> tuple[str, int]:
    """Return the string behind its length, and where it ends."""
    (length,) = struct.unpack_from("<I", body, at)
    end = at + 4 + length
    if end > len(body):
        raise struct.error("a string beyond the end of its record")
    return body[at + 4 : end].decode("utf-8", "replace"), end
