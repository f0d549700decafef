"""The file under a Sensor Fusion Scene: a JSON header with the place of each array, then the arrays.

    {"version": ..., "positions": "", ..., "$items": [{"keys": ["positions"], "length": ..., "offset": 4, ...}]}␠
    0 0 0 0  block  padding  block  padding …

Offsets count from the header's end. The header is padded with spaces, and each block with zeros, by 1 to 4 bytes to a
multiple of 4; so the file's first zero byte ends the header.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from mmap import mmap
from typing import Any, BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from lidarprep.attachments._frame import json_fault
from lidarprep.errors import EncodingError, FormatError

ALIGNMENT = 4
ITEMS_KEY = "$items"

Buffer = bytes | bytearray | memoryview | mmap

# The types of arrays that are read from foreign files: numbers only, never objects or text.
DTYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    )
}

MAX_DIMENSIONS = 8


@dataclass(frozen=True)
class ArraySpec:
    """An array in a document, as the header describes it: little-endian, C order; `dtype` is a NumPy name: "float32".

    `offset` counts bytes from the header's end to its block.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """Length of its bytes, without padding."""
        return prod(self.shape) * DTYPES[self.dtype].itemsize


# ---- writing ----


def header_of(document: dict[str, Any], at_least: int = 0) -> bytes:
    """Return the padded header of a document, which has an ArraySpec in place of each array.

    A header shorter than `at_least` bytes, a multiple of 4, gets spaces after its opening brace.

    Raises:
        EncodingError: The document holds a value that JSON does not have.
    """
    found: list[tuple[list[str | int], ArraySpec]] = []
    described = dict(_without_arrays(document, [], found))
    found.sort(key=lambda entry: entry[1].offset)
    described[ITEMS_KEY] = [
        {"keys": keys, "length": spec.nbytes, "offset": spec.offset, "dtype": spec.dtype, "shape": spec.shape}
        for keys, spec in found
    ]
    try:
        text = orjson.dumps(described)
    except TypeError as error:  # another type, a lone surrogate, an integer of more than 64 bits
        raise EncodingError(f"a Sensor Fusion Scene cannot hold it: {error}") from error
    header = text + b" " * _padding(len(text))
    return header[:1] + b" " * (at_least - len(header)) + header[1:]


def _without_arrays(value: Any, keys: list[str | int], found: list[tuple[list[str | int], ArraySpec]]) -> Any:
    if isinstance(value, ArraySpec):
        found.append((keys, value))
        return ""
    if isinstance(value, dict):
        return {key: _without_arrays(part, [*keys, key], found) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_arrays(part, [*keys, number], found) for number, part in enumerate(value)]
    return value


class BlockWriter:
    """Appends arrays to the part of a file that follows the header; `size` counts all bytes so far.

    Args:
        out: The file to write to, from its current position on, to which offsets refer.
    """

    def __init__(self, out: BinaryIO) -> None:
        self.out = out
        self.size = write_all(out, bytes(ALIGNMENT))

    def append(self, dtype: str, shape: tuple[int, ...], chunks: Iterable[NDArray[Any]]) -> ArraySpec:
        """Write one array and its padding; `dtype` is a NumPy name, `chunks` its numbers in C order, each contiguous.

        Returns:
            The array's description for the header.

        Raises:
            ValueError: The pieces do not add up to the shape.
        """
        spec = ArraySpec(dtype, shape, self.size)
        written = 0
        for chunk in chunks:
            written += write_all(self.out, chunk.reshape(-1).view(np.uint8).data)
        if written != spec.nbytes:
            raise ValueError(f"an array {dtype} {shape} has {spec.nbytes} bytes, but {written} were given")
        self.size += written + write_all(self.out, bytes(_padding(written)))
        return spec


def write_all(out: BinaryIO, data: bytes | memoryview) -> int:
    """Write all of `data`, also to an unbuffered file that takes a part at a time; return its length."""
    written = out.write(data)
    while written < len(data):
        written += out.write(data[written:])
    return written


def _padding(length: int) -> int:
    """Return the number of zeros or spaces after that many bytes."""
    return ALIGNMENT - length % ALIGNMENT


# ---- reading ----


def read_container(data: Buffer, source: str = "scene.sfs") -> dict[str, Any]:
    """Read the document of a file, with an array for each of its `$items`.

    Args:
        data: The whole file; of a memory map only the header and the arrays in use are read.
        source: Names the file in errors.

    Returns:
        The header's JSON object, without `$items`; its arrays are read-only views of `data`, little-endian.

    Raises:
        FormatError: The file is malformed; names the byte, or the item, and its content. Arrays are built only after
            all blocks are known to lie within the file.
    """
    return _ContainerReader(memoryview(data).cast("B").toreadonly(), source).read()


class _ContainerReader:
    def __init__(self, view: memoryview, source: str) -> None:
        self.view = view
        self.source = source

    def read(self) -> dict[str, Any]:
        end = self.header_end()
        document = self.header(end)
        items = document.pop(ITEMS_KEY, None)
        if not isinstance(items, list):
            raise self.refuse("the header", f"no list under {ITEMS_KEY!r}", "one entry an array")
        blocks = self.view[end:]
        if bytes(blocks[:ALIGNMENT]) != bytes(ALIGNMENT):
            raise self.refuse(f"byte {end}", f"{bytes(blocks[:ALIGNMENT])!r}", "4 zero bytes after the header")
        placed = [self.item(item, number, len(blocks)) for number, item in enumerate(items)]
        self.require_apart(placed)
        for number, (keys, spec) in enumerate(placed):
            self.put(document, keys, self.array(blocks, spec, number), f"{ITEMS_KEY}[{number}].keys")
        return document

    def refuse(self, place: str, found: str, expected: str | None = None) -> FormatError:
        return FormatError(self.source, place=place, found=found[:200], expected=expected)

    def header_end(self) -> int:
        """Return the offset of the first zero byte; searched piecewise, since a memoryview has no `find`."""
        step = 1 << 16
        for start in range(0, len(self.view), step):
            at = bytes(self.view[start : start + step]).find(0)
            if at >= 0:
                end = start + at
                if end % ALIGNMENT:
                    raise self.refuse(f"byte {end}", f"a header of {end} bytes", "a multiple of 4")
                return end
        raise self.refuse(f"byte {len(self.view)}", "the file ends within its header", "a zero byte after the header")

    def header(self, end: int) -> dict[str, Any]:
        text = bytes(self.view[:end])
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            at, found = json_fault(text, error)
            raise self.refuse(f"byte {at}", found, "a JSON header") from error
        if not isinstance(document, dict):
            raise self.refuse("the header", type(document).__name__, "a JSON object")
        try:
            json.loads(text, object_pairs_hook=self.once_each)
        except RecursionError as error:
            raise self.refuse("the header", "nested too deep") from error
        return document

    def once_each(self, pairs: list[tuple[str, Any]]) -> None:
        """Refuse an object that has a key twice, of which the parser keeps one."""
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            twice = next(key for number, key in enumerate(keys) if key in keys[:number])
            raise self.refuse("the header", f"the key {twice!r} twice in one object")

    def item(self, item: Any, number: int, room: int) -> tuple[list[str | int], ArraySpec]:
        """Parse one entry of `$items`; its block must lie in the `room` bytes after the header."""
        place = f"{ITEMS_KEY}[{number}]"
        if not isinstance(item, dict):
            raise self.refuse(place, repr(item), "an object")
        keys = item.get("keys")
        if not isinstance(keys, list) or not keys or not all(type(key) in (str, int) for key in keys):
            raise self.refuse(f"{place}.keys", repr(keys), "a path of strings and list indices")
        dtype = item.get("dtype")
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise self.refuse(f"{place}.dtype", repr(dtype), "the NumPy name of a number's type")
        shape = item.get("shape")
        if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(map(_is_size, shape)):
            raise self.refuse(f"{place}.shape", repr(shape), "a list of whole numbers")
        length, offset = self.bytes_of(item, "length", place), self.bytes_of(item, "offset", place)
        spec = ArraySpec(dtype, tuple(shape), offset)
        if spec.nbytes != length:
            raise self.refuse(place, f"{length} bytes for {dtype} {shape}", f"{spec.nbytes}")
        if offset < ALIGNMENT or offset % ALIGNMENT:
            raise self.refuse(f"{place}.offset", f"{offset}", "a multiple of 4, at least 4")
        if offset + length + _padding(length) > room:
            raise self.refuse(
                place,
                f"{length} bytes and padding at offset {offset}, but {room} follow the header",
                "a block within the file",
            )
        return keys, spec

    def bytes_of(self, item: dict[str, Any], name: str, place: str) -> int:
        value = item.get(name)
        if not isinstance(value, int) or not _is_size(value):
            raise self.refuse(f"{place}.{name}", repr(value), "a whole number of bytes")
        return value

    def require_apart(self, placed: list[tuple[list[str | int], ArraySpec]]) -> None:
        """Check that blocks do not overlap: else a small file could unfold into a large scene."""
        behind = 0
        for number in sorted(range(len(placed)), key=lambda number: placed[number][1].offset):
            spec = placed[number][1]
            if spec.nbytes and spec.offset < behind:
                raise self.refuse(f"{ITEMS_KEY}[{number}].offset", f"{spec.offset}, within another block")
            behind = spec.offset + spec.nbytes if spec.nbytes else behind

    def array(self, blocks: memoryview, spec: ArraySpec, number: int) -> NDArray[Any]:
        raw = np.frombuffer(blocks[spec.offset : spec.offset + spec.nbytes], dtype=np.uint8)
        if spec.dtype == "bool" and raw.size and raw.max() > 1:
            raise self.refuse(f"{ITEMS_KEY}[{number}]", f"a bool of value {raw.max()}", "0 or 1")
        try:
            return raw.view(DTYPES[spec.dtype]).reshape(spec.shape)
        except ValueError as error:  # an empty array whose other extents are beyond NumPy
            raise self.refuse(f"{ITEMS_KEY}[{number}].shape", repr(spec.shape), "a shape that fits memory") from error

    def put(self, document: Any, keys: list[str | int], array: NDArray[Any], place: str) -> None:
        """Put the array into the document in place of its ""."""
        container: Any = None
        value = document
        for key in keys:
            container = value
            fits = (isinstance(container, dict) and isinstance(key, str) and key in container) or (
                isinstance(container, list) and isinstance(key, int) and 0 <= key < len(container)
            )
            if not fits:
                raise self.refuse(place, f"{keys!r}, which leads nowhere at {key!r}", "a path in the header")
            value = container[key]
        if not (isinstance(value, str) and value == ""):
            raise self.refuse(place, f"{keys!r}, where the header does not hold an empty string")
        container[keys[-1]] = array


def _is_size(value: Any) -> bool:
    return type(value) is int and value >= 0
