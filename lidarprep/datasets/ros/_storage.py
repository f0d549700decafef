"""What the kinds of bag file have in common: topics, the times and places of messages, and their bytes.

In MCAP files and ROS 1 bags messages lie in chunks: parts of the file, mostly compressed, each with many messages.
"""

from __future__ import annotations

import bz2
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from threading import Lock
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError, MissingExtraError
from lidarprep.remote import AnyPath
from lidarprep.remote.ranges import Range, View, open_ranges

# How messages are serialised.
Wire = Literal["ros1", "cdr"]

# Read together with a message's record head: most small messages are complete with it.
_PROBE = 512

# A chunk that claims to hold more than this is refused, in bytes: a fixed size, and a multiple of what it takes in
# the file. Point clouds are compressed to a half or a third, texts of repeated definitions to a hundredth.
_LARGEST_ANYWAY = 64 << 20
_LARGEST_RATIO = 2000

# Decompressed chunks that are kept for the next message, in bytes, and at least one: images share a chunk.
_KEPT_BYTES = 32 << 20

_PIECE = 1 << 18


class Topic(NamedTuple):
    """A topic: its type as ROS 2 writes it, and how its messages are serialised (None: in a way not read here)."""

    name: str
    kind: str
    messages: int
    wire: Wire | None


def add_topic(topics: dict[str, Topic], topic: Topic) -> None:
    """Add a topic to others. One of two types is listed, but has no wire format, so it is not read."""
    earlier = topics.get(topic.name)
    if earlier is not None:
        topic = topic._replace(messages=earlier.messages + topic.messages)
        if (earlier.kind, earlier.wire) != (topic.kind, topic.wire):
            kinds = dict.fromkeys((*earlier.kind.split(" and "), topic.kind))
            topic = topic._replace(kind=" and ".join(kinds), wire=None)
    topics[topic.name] = topic


# The chunk and the offset of a message, and how many of its first bytes to read; None: all.
Prefix = tuple[int, int, int | None]


class Storage(ABC):
    """One file of a bag. Messages may be read by several threads at once.

    Raises:
        FormatError: The file, or a message that is read, is cut or damaged, or is not of its kind.
        MissingExtraError: The library for its kind or its compression is not installed.
    """

    def __init__(self, path: AnyPath) -> None:
        self.path = path
        self.topics: dict[str, Topic] = {}
        self.parts: dict[str, list[NDArray[np.int64]]] = {}
        self.notes: list[str] = []

    @property
    def is_compressed(self) -> bool:
        """Whether there are messages that are found only by decompressing what lies before them."""
        return False

    def rows(self, topic: str) -> NDArray[np.int64]:
        """Return (K, 3) of a topic's messages, in the order of the file.

        Columns are the time of recording in nanoseconds since the Unix epoch, the chunk, and the offset in the chunk.
        """
        return np.concatenate(self.parts.get(topic) or [np.zeros((0, 3), dtype=np.int64)])

    @abstractmethod
    def read(self, chunk: int, offset: int) -> bytes | memoryview:
        """Return the message at that place."""

    @abstractmethod
    def prefixes(self, places: Sequence[Prefix]) -> Iterator[bytes]:
        """Yield the first bytes of messages, in the order given: the file's order is the fastest."""


class Window(Protocol):
    """Bytes of a chunk, by their offset in the decompressed chunk."""

    def at_most(self, start: int, count: int) -> bytes | memoryview:
        """Return that many bytes from there, or fewer where the chunk ends."""


@dataclass(frozen=True)
class Chunk:
    """A chunk: where its bytes begin in the file, and how many they are there and when decompressed."""

    start: int
    stored: int
    size: int
    compression: str  # "" or "none", "lz4", "zstd", "bz2"

    @property
    def is_compressed(self) -> bool:
        """Whether a message of it is found only by decompressing what lies before it."""
        return self.compression not in ("", "none")


class ChunkedStorage(Storage):
    """A file with messages in chunks; read at any offset by several threads."""

    def __init__(self, path: AnyPath) -> None:
        super().__init__(path)
        self.file = open_ranges(path)
        self.size = self.file.size
        self.chunks: dict[int, Chunk] = {}
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._lock = Lock()

    @property
    def is_compressed(self) -> bool:
        """Whether a chunk is compressed."""
        return any(chunk.is_compressed for chunk in self.chunks.values())

    @abstractmethod
    def message_at(self, probe: bytes | memoryview, offset: int) -> tuple[int, int | None]:
        """Return where a record's data begins and its length, from the record's first bytes.

        A length of None: that record is no message, and the next record begins there.
        """

    def read(self, chunk: int, offset: int) -> bytes | memoryview:
        """Return the message at that place."""
        return self._message(self._whole(self._chunk(chunk)), offset, None)

    def prefixes(self, places: Sequence[Prefix]) -> Iterator[bytes]:
        """Yield the first bytes of messages, in the order given: the file's order is the fastest."""
        # A compressed chunk is read as a whole, however many of its messages are wanted.
        parts: list[tuple[Chunk, list[Prefix]]] = []
        for place in places:
            chunk = self._chunk(place[0])
            if parts and parts[-1][0] is chunk and chunk.is_compressed:
                parts[-1][1].append(place)
            else:
                parts.append((chunk, [place]))
        views = self.file.views([self._range_of(chunk, inside[0]) for chunk, inside in parts])
        for (chunk, inside), view in zip(parts, views, strict=True):
            window = self.in_order(chunk, view)
            for _, offset, limit in inside:
                yield bytes(self._message(window, offset, limit))

    @staticmethod
    def _range_of(chunk: Chunk, place: Prefix) -> Range:
        """Return the bytes of the file that are read for a message: most small ones are complete with its probe."""
        _, offset, limit = place
        if chunk.is_compressed:
            return Range(chunk.start, chunk.stored)
        return Range(chunk.start + offset, max(0, min(_PROBE + (limit or 0), chunk.stored - offset)))

    def exactly(self, start: int, count: int, what: str, view: View | None = None) -> bytes:
        """Return bytes of the file, by a view of it if there is one, or raise a FormatError if it ends before."""
        if not 0 <= start <= start + count <= self.size:
            raise self.cut(start, f"{what} of {count} bytes, where the file has {max(0, self.size - start)} left")
        data = (view or self.file.read)(start, count)
        if len(data) < count:
            raise self.cut(start, f"{what} of {count} bytes, where the file ends after {len(data)}")
        return data

    def cut(self, start: int, found: str) -> FormatError:
        """Return the error for what does not fit at a byte of the file."""
        return FormatError(
            self.path, place=f"byte {start}", found=found, fix="The file is cut or damaged; copy it once more."
        )

    def in_order(self, chunk: Chunk, view: View | None = None) -> Window:
        """Return the chunk for reading from its front: decompressed only as far as needed."""
        return _Growing(self, chunk, view) if chunk.is_compressed else _InFile(self, chunk, view)

    def _chunk(self, number: int) -> Chunk:
        chunk = self.chunks.get(number)
        if chunk is None:
            raise FormatError(self.path, found=f"no chunk at byte {number}", fix="Was the file changed? Reopen it.")
        return chunk

    def _message(self, window: Window, offset: int, limit: int | None) -> bytes | memoryview:
        head, length = 0, None
        while length is None:
            offset += head
            probe = window.at_most(offset, _PROBE)
            head, length = self.message_at(probe, offset)
        wanted = length if limit is None else min(limit, length)
        if head + wanted <= len(probe):
            return probe[head : head + wanted]
        data = window.at_most(offset + head, wanted)
        if len(data) < wanted:
            raise self.cut(offset, f"a message of {length} bytes that ends after {len(data)}")
        return data

    def _whole(self, chunk: Chunk) -> Window:
        """Return the chunk for reading any message of it: decompressed at once and kept a while."""
        if not chunk.is_compressed:
            return _InFile(self, chunk)
        with self._lock:
            data = self._kept.get(chunk.start)
            if data is not None:
                self._kept.move_to_end(chunk.start)
        if data is None:
            data = self._decompressed(chunk)
            with self._lock:
                self._kept[chunk.start] = data
                while len(self._kept) > 1 and sum(map(len, self._kept.values())) > _KEPT_BYTES:
                    self._kept.popitem(last=False)
        return _InMemory(data)

    def _decompressed(self, chunk: Chunk) -> bytes:
        stream, errors = self.stream(chunk)
        stored = self.exactly(chunk.start, chunk.stored, "a chunk")
        try:
            data: bytes = stream.decompress(stored, max_length=chunk.size + 1)
        except errors as error:
            raise self.cut(chunk.start, f"a chunk whose {chunk.compression} data is damaged ({error})") from error
        if len(data) != chunk.size:
            raise self.cut(chunk.start, f"a chunk of {len(data)} bytes, where {chunk.size} are announced")
        return data

    def stream(self, chunk: Chunk) -> tuple[Any, tuple[type[Exception], ...]]:
        """Return the decompressor of a chunk, and the exceptions that it raises."""
        if chunk.size > _LARGEST_ANYWAY + _LARGEST_RATIO * chunk.stored:
            raise self.cut(chunk.start, f"a chunk of {chunk.stored} bytes that claims to hold {chunk.size}")
        if chunk.compression == "zstd":
            return zstd().ZstdDecompressor(), (zstd().ZstdError, EOFError)
        if chunk.compression == "lz4":
            return _lz4().LZ4FrameDecompressor(), (RuntimeError, EOFError)
        if chunk.compression == "bz2":
            return bz2.BZ2Decompressor(), (OSError, EOFError, ValueError)
        found = f"chunks compressed with {chunk.compression[:40]!r}"
        raise FormatError(self.path, found=found, expected="none, lz4, zstd or bz2")


@dataclass(frozen=True)
class _InFile:
    storage: ChunkedStorage
    chunk: Chunk
    view: View | None = None

    def at_most(self, start: int, count: int) -> bytes:
        count = max(0, min(count, self.chunk.stored - start))
        return self.storage.exactly(self.chunk.start + start, count, "a message", self.view)


@dataclass(frozen=True)
class _InMemory:
    data: bytes

    def at_most(self, start: int, count: int) -> memoryview:
        return memoryview(self.data)[start : start + count]


class _Growing:
    """A chunk that is decompressed from the front, as far as needed."""

    def __init__(self, storage: ChunkedStorage, chunk: Chunk, view: View | None = None) -> None:
        self.storage = storage
        self.chunk = chunk
        self.view = view
        self.data = bytearray()
        self.taken = 0
        self.stream, self.errors = storage.stream(chunk)

    def at_most(self, start: int, count: int) -> bytes:
        stop = min(start + count, self.chunk.size)
        while len(self.data) < stop:
            piece = self._next() if self.stream.needs_input else b""
            try:
                grown = self.stream.decompress(piece, max_length=max(_PIECE, stop - len(self.data)))
            except self.errors as error:
                raise self._damaged(str(error)) from error
            self.data += grown
            if self.stream.eof and len(self.data) < stop:
                raise self._damaged(f"it ends after {len(self.data)} of {self.chunk.size} bytes")
        return bytes(self.data[start:stop])

    def _next(self) -> bytes:
        count = min(_PIECE, self.chunk.stored - self.taken)
        if count <= 0:
            raise self._damaged("it is cut")
        piece = self.storage.exactly(self.chunk.start + self.taken, count, "a chunk", self.view)
        self.taken += count
        return piece

    def _damaged(self, why: str) -> FormatError:
        return self.storage.cut(self.chunk.start, f"a chunk whose {self.chunk.compression} data is damaged ({why})")


def zstd() -> Any:
    """Return the module for Zstandard: Python's own from 3.14 on, before it the one that rosbags installs."""
    try:
        from compression import zstd as module  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        try:
            from backports import zstd as module
        except ImportError:
            raise MissingExtraError("a bag compressed with Zstandard", "ros") from None
    return module


def _lz4() -> Any:
    try:
        return import_module("lz4.frame")
    except ImportError:
        raise MissingExtraError("a bag compressed with LZ4", "ros") from None
