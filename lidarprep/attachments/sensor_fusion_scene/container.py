"""The file under a Sensor Fusion Scene, as it is written: a JSON header that says where each array lies, then these.

    {"version": ..., "positions": "", ..., "$items": [{"keys": ["positions"], "length": ..., "offset": 4, ...}]}␠
    0 0 0 0  block  padding  block  padding …

Offsets count from the header's end. The header is padded with spaces, and each block with zeros, by 1 to 4 bytes to a
multiple of 4; so the file's first zero byte ends the header.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from lidarprep.errors import EncodingError

ALIGNMENT = 4
ITEMS_KEY = "$items"

# Every type that a reader may make of foreign bytes: numbers only, never objects or text.
DTYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    )
}


@dataclass(frozen=True)
class ArraySpec:
    """An array that is to stand in a document: what the header must know of it before its bytes are there.

    Args:
        dtype: NumPy name of its numbers' type, little-endian: "float32".
        shape: Its shape, C order.
        offset: Bytes from the header's end to its block; None where blocks follow in the order of the document.

    Raises:
        EncodingError: The type is none that a container holds.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise EncodingError(f"a Sensor Fusion Scene holds arrays of numbers, not of {self.dtype}")

    @property
    def nbytes(self) -> int:
        """Length of its bytes, without padding."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count * DTYPES[self.dtype].itemsize


def write_container(out: BinaryIO, document: dict[str, Any], blocks: Iterable[Any]) -> int:
    """Writes a document whose arrays are yet to come, then the arrays.

    Args:
        out: Where to write; anything with `write`.
        document: JSON values in dicts and lists, with an ArraySpec without offset where an array is to stand.
        blocks: The arrays, or other contiguous buffers of their little-endian bytes, in the order in which the specs
            stand in the document. Each is taken up when the one before is written, and none is copied.

    Returns:
        How many bytes were written.

    Raises:
        EncodingError: The document holds what JSON does not.
        ValueError: A block does not have the size that its spec says, or there are more or fewer blocks than specs.
    """
    placed, header = _lay_out(document)
    write_all(out, header)
    body = BlockWriter(out)
    for spec, block in zip(placed, blocks, strict=True):
        body.append(spec.dtype, spec.shape, [np.frombuffer(block, dtype=np.uint8)] if spec.nbytes else [])
    return len(header) + body.size


def header_of(document: dict[str, Any], at_least: int = 0) -> bytes:
    """The padded header of a document.

    Args:
        document: As for `write_container`, or its ArraySpecs have their offsets.
        at_least: How many bytes it is to fill, a multiple of 4; a shorter one gets spaces behind its opening brace,
            where JSON allows any number.

    Raises:
        EncodingError: The document holds what JSON does not.
    """
    header = _lay_out(document)[1]
    return header[:1] + b" " * (at_least - len(header)) + header[1:]


class BlockWriter:
    """Appends arrays to the part of a file that follows the header; offsets count from where it was made.

    `size` and `crc32` are of all bytes so far.

    Args:
        out: Where to write, at its current position.
    """

    def __init__(self, out: BinaryIO) -> None:
        self.out = out
        self.size = 0
        self.crc32 = 0
        self._write(bytes(ALIGNMENT))

    def append(self, dtype: str, shape: tuple[int, ...], chunks: Iterable[NDArray[Any]]) -> ArraySpec:
        """Writes one array and its padding.

        Args:
            dtype: NumPy name of its numbers' type.
            shape: Its shape.
            chunks: Its numbers in C order, little-endian, in as many contiguous pieces as is handy.

        Returns:
            What a document needs to point to it.

        Raises:
            ValueError: The pieces do not add up to the shape.
        """
        spec = ArraySpec(dtype, shape, self.size)
        written = 0
        for chunk in chunks:
            little = chunk if sys.byteorder == "little" else chunk.astype(chunk.dtype.newbyteorder("<"), copy=False)
            written += self._write(little.reshape(-1).view(np.uint8).data)
        if written != spec.nbytes:
            raise ValueError(f"an array {dtype} {shape} has {spec.nbytes} bytes, but {written} were given")
        self._write(bytes(padding(written)))
        return spec

    def _write(self, data: bytes | memoryview) -> int:
        written = write_all(self.out, data)
        self.size += written
        self.crc32 = zlib.crc32(data, self.crc32)
        return written


def write_all(out: BinaryIO, data: bytes | memoryview) -> int:
    """Writes all of `data`, also where `out` is unbuffered and takes a part at a time; returns its length."""
    written = out.write(data)
    while written < len(data):
        written += out.write(data[written:])
    return written


def padding(length: int) -> int:
    """How many zeros, or spaces, follow so many bytes."""
    return ALIGNMENT - length % ALIGNMENT


def _lay_out(document: dict[str, Any]) -> tuple[list[ArraySpec], bytes]:
    """The specs with their offsets, ascending, and the header."""
    found: list[tuple[list[str | int], ArraySpec]] = []
    described = dict(_without_arrays(document, [], found))
    offset = ALIGNMENT
    placed = []
    for keys, spec in found:
        placed.append((keys, replace(spec, offset=offset) if spec.offset is None else spec))
        offset += spec.nbytes + padding(spec.nbytes)
    placed.sort(key=lambda entry: entry[1].offset or 0)
    described[ITEMS_KEY] = [
        {"keys": keys, "length": spec.nbytes, "offset": spec.offset, "dtype": spec.dtype, "shape": spec.shape}
        for keys, spec in placed
    ]
    try:
        text = orjson.dumps(described)
    except TypeError as error:  # no JSON value, a lone surrogate, an integer of more than 64 bits
        raise EncodingError(f"a Sensor Fusion Scene cannot hold it: {error}") from error
    return [spec for _, spec in placed], text + b" " * padding(len(text))


def _without_arrays(value: Any, keys: list[str | int], found: list[tuple[list[str | int], ArraySpec]]) -> Any:
    if isinstance(value, ArraySpec):
        found.append((keys, value))
        return ""
    if isinstance(value, dict):
        return {key: _without_arrays(part, [*keys, key], found) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_arrays(part, [*keys, number], found) for number, part in enumerate(value)]
    return value
