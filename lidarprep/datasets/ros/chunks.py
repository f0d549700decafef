"""Chunks of a bag: parts of the file, mostly compressed, in which messages lie one after the other."""

from __future__ import annotations

import bz2
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, cast
from weakref import finalize

from lidarprep.errors import FormatError, MissingExtraError

# A chunk that claims to hold more than this is not believed, in bytes: a fixed room, and a multiple of what it takes in
# the file. Point clouds are compressed to a half or a third, texts of repeated definitions to a hundredth.
_ROOM_BYTES = 64 << 20
_LARGEST_RATIO = 2000

# Decompressed chunks that are kept for the next message, in bytes, and at least one: pictures share a chunk.
_KEPT_BYTES = 32 << 20

_PIECE = 1 << 18


class Window(Protocol):
    """Bytes of a chunk, by their place in it once it is decompressed."""

    def at_most(self, start: int, count: int) -> bytes | memoryview:
        """That many bytes from there, or fewer where the chunk ends."""


@dataclass(frozen=True)
class Chunk:
    """A chunk's place in the file.

    Args:
        start: Of its bytes in the file.
        stored: How many they are in the file.
        size: How many they are decompressed.
        compression: "" or "none", "lz4", "zstd", "bz2".
    """

    start: int
    stored: int
    size: int
    compression: str


class ChunkedFile:
    """A file opened for reads at any place, by several threads at once; closed when nothing refers to it any more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY)
        finalize(self, os.close, self.descriptor)
        self.size = os.fstat(self.descriptor).st_size
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._lock = Lock()

    def exactly(self, start: int, count: int, what: str) -> bytes:
        """Bytes of the file.

        Raises:
            FormatError: It ends before.
        """
        if not 0 <= start <= start + count <= self.size:
            raise self.cut(start, f"{what} of {count} bytes, where the file has {max(0, self.size - start)} left")
        data = os.pread(self.descriptor, count, start)
        while len(data) < count:  # a read gives 2 GiB at most
            more = os.pread(self.descriptor, count - len(data), start + len(data))
            if not more:
                raise self.cut(start, f"{what} of {count} bytes, where the file ends after {len(data)}")
            data += more
        return data

    def cut(self, start: int, found: str) -> FormatError:
        """The error that says what does not fit at a place."""
        return FormatError(
            self.path, place=f"byte {start}", found=found, fix="The file is cut or damaged; copy it once more."
        )

    def whole(self, chunk: Chunk) -> Window:
        """The chunk for reading any message of it: decompressed at once and kept a while, or as it is in the file."""
        if chunk.compression in ("", "none"):
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

    def in_order(self, chunk: Chunk) -> Window:
        """The chunk for reading from its front: decompressed only as far as it is asked for."""
        return _InFile(self, chunk) if chunk.compression in ("", "none") else _Growing(self, chunk)

    def check(self, chunk: Chunk) -> None:
        """Raises a FormatError for a chunk that claims to be larger than its bytes can hold."""
        if chunk.size > _ROOM_BYTES + _LARGEST_RATIO * chunk.stored:
            raise self.cut(chunk.start, f"a chunk of {chunk.stored} bytes that claims to hold {chunk.size}")

    def _decompressed(self, chunk: Chunk) -> bytes:
        self.check(chunk)
        stored = self.exactly(chunk.start, chunk.stored, "a chunk")
        decompress, errors = _decompressor(chunk.compression, self.path)
        try:
            data = decompress(stored, chunk.size)
        except errors as error:
            raise self.cut(chunk.start, f"a chunk whose {chunk.compression} data is damaged ({error})") from error
        if len(data) != chunk.size:
            raise self.cut(chunk.start, f"a chunk of {len(data)} bytes, where {chunk.size} are announced")
        return data


@dataclass(frozen=True)
class _InFile:
    file: ChunkedFile
    chunk: Chunk

    def at_most(self, start: int, count: int) -> bytes:
        count = max(0, min(count, self.chunk.stored - start))
        return self.file.exactly(self.chunk.start + start, count, "a message")


@dataclass(frozen=True)
class _InMemory:
    data: bytes

    def at_most(self, start: int, count: int) -> memoryview:
        return memoryview(self.data)[start : start + count]


class _Growing:
    """Decompresses from the front, as far as is asked for."""

    def __init__(self, file: ChunkedFile, chunk: Chunk) -> None:
        file.check(chunk)
        self.file = file
        self.chunk = chunk
        self.data = bytearray()
        self.taken = 0
        self.stream, self.errors = _stream(chunk.compression, file.path)

    def at_most(self, start: int, count: int) -> bytes:
        stop = min(start + count, self.chunk.size)
        while len(self.data) < stop:
            piece = b""
            if self.stream.needs_input:
                piece = self._next()
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
        piece = self.file.exactly(self.chunk.start + self.taken, count, "a chunk")
        self.taken += count
        return piece

    def _damaged(self, why: str) -> FormatError:
        return self.file.cut(self.chunk.start, f"a chunk whose {self.chunk.compression} data is damaged ({why})")


def zstd() -> Any:
    """The module for Zstandard: Python's own from 3.14 on, before it the one that rosbags brings.

    Raises:
        MissingExtraError: There is none.
    """
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


Decompress = Callable[[bytes, int], bytes]


def _decompressor(compression: str, path: Path) -> tuple[Decompress, tuple[type[Exception], ...]]:
    """What decompresses a whole chunk to at most one byte more than announced, and what it raises."""
    stream, errors = _stream(compression, path)

    def decompress(stored: bytes, size: int) -> bytes:
        return cast(bytes, stream.decompress(stored, max_length=size + 1))

    return decompress, errors


def _stream(compression: str, path: Path) -> tuple[Any, tuple[type[Exception], ...]]:
    """What decompresses piece by piece, and what it raises."""
    if compression == "zstd":
        return zstd().ZstdDecompressor(), (zstd().ZstdError, EOFError)
    if compression == "lz4":
        return _lz4().LZ4FrameDecompressor(), (RuntimeError, EOFError)
    if compression == "bz2":
        return bz2.BZ2Decompressor(), (OSError, EOFError, ValueError)
    raise FormatError(path, found=f"chunks compressed with {compression[:40]!r}", expected="none, lz4, zstd or bz2")
