"""The file under a Sensor Fusion Scene, as it is read: nothing that it says is believed before it is checked."""

from __future__ import annotations

import json
import re
from mmap import mmap
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from lidarprep.attachments.sensor_fusion_scene.container import ALIGNMENT, DTYPES, ITEMS_KEY, ArraySpec, padding
from lidarprep.errors import FormatError

Buffer = bytes | bytearray | memoryview | mmap

# The spec's arrays need no deeper nesting than 6; annotations a few more. A parser must not follow a hostile file down.
MAX_DEPTH = 64
MAX_DIMENSIONS = 8

# A whole JSON string, and the colon that makes a key of it.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"[ \t\r\n]*+(:?)')


def read_container(data: Buffer, source: str = "scene.sfs") -> dict[str, Any]:
    """The document of a file, with an array for each of its `$items`.

    Args:
        data: The whole file; a memory map reads only what is looked at.
        source: Names the file in errors.

    Returns:
        The header's JSON object, without `$items`; its arrays are read-only views of `data`, little-endian.

    Raises:
        FormatError: It is no such file; names the byte, or the item, and what stands there. Nothing is built before
            all of it is known to lie within the file.
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
        """Where the first zero byte is; looked for piecewise, since a memoryview cannot find."""
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
            found = f"malformed JSON ({error.msg})"
            try:
                at = len(text.decode()[: error.pos].encode())  # the parser counts in characters
            except UnicodeDecodeError as not_utf8:
                at, found = not_utf8.start, "text that is not UTF-8"
            raise self.refuse(f"byte {at}", found, "a JSON header") from error
        if not isinstance(document, dict):
            raise self.refuse("the header", type(document).__name__, "a JSON object")
        if self.count_keys(document) != sum(len(match[1]) for match in _STRING.finditer(text)):
            raise self.refuse("the header", f"the key {_first_duplicate(text)!r} twice in one object")
        return document

    def count_keys(self, document: dict[str, Any]) -> int:
        """How many keys the parser kept; of two that are the same it keeps one."""
        count = 0
        level: list[Any] = [document]
        for _ in range(MAX_DEPTH):
            below: list[Any] = []
            for value in level:
                if isinstance(value, dict):
                    count += len(value)
                    below.extend(part for part in value.values() if isinstance(part, dict | list))
                else:
                    below.extend(part for part in value if isinstance(part, dict | list))
            if not below:
                return count
            level = below
        raise self.refuse("the header", f"nested deeper than {MAX_DEPTH}")

    def item(self, item: Any, number: int, room: int) -> tuple[list[str | int], ArraySpec]:
        """What one entry of `$items` says, once its block is known to lie in the `room` bytes after the header."""
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
        if offset + length + padding(length) > room:
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
        """No two blocks share bytes: else a small file could be made to unfold into a large scene."""
        behind = 0
        order = sorted(range(len(placed)), key=lambda number: placed[number][1].offset or 0)
        for number in order:
            spec = placed[number][1]
            if spec.nbytes and spec.offset is not None:
                if spec.offset < behind:
                    raise self.refuse(f"{ITEMS_KEY}[{number}].offset", f"{spec.offset}, within another block")
                behind = spec.offset + spec.nbytes

    def array(self, blocks: memoryview, spec: ArraySpec, number: int) -> NDArray[Any]:
        start = spec.offset or 0
        raw = np.frombuffer(blocks[start : start + spec.nbytes], dtype=np.uint8)
        if spec.dtype == "bool" and raw.size and raw.max() > 1:
            raise self.refuse(f"{ITEMS_KEY}[{number}]", f"a bool of value {raw.max()}", "0 or 1")
        try:
            return raw.view(DTYPES[spec.dtype]).reshape(spec.shape)
        except ValueError as error:  # an empty array whose other extents are beyond NumPy
            raise self.refuse(f"{ITEMS_KEY}[{number}].shape", repr(spec.shape), "a shape that fits memory") from error

    def put(self, document: Any, keys: list[str | int], array: NDArray[Any], place: str) -> None:
        """Puts the array where the document holds "" for it."""
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


def _first_duplicate(text: bytes) -> str | None:
    """The first key that stands twice in one object of a valid JSON text."""
    found: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                found.append(key)
            seen.add(key)

    json.loads(text, object_pairs_hook=note)
    return found[0] if found else None
