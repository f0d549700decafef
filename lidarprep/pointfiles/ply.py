"""PLY: ASCII and binary of either byte order. The points are its element `vertex`; faces and others are skipped.

The header is parsed before plyfile opens the file: an error names the line or the byte, and a header that promises more
than the file holds is refused before memory is allocated for it. Rows without lists are read as a table or as text;
plyfile reads files with lists.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from plyfile import PlyData, PlyElement, PlyParseError

from lidarprep.errors import FormatError
from lidarprep.pointfiles._files import (
    appearing_whole,
    check_body,
    check_trailing,
    cut_short,
    read_from,
    records,
    scalar_columns,
    storable,
)
from lidarprep.pointfiles.fields import cloud_from_fields
from lidarprep.pointfiles.timestamps import to_nanoseconds
from lidarprep.remote import AnyPath
from lidarprep.scene import PointCloud, ReferenceFrame

# A PLY type by both of its names, and NumPy's.
TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}

# Where a header must have ended; real ones are a few hundred bytes, with long comments a few thousand.
MAX_HEADER_BYTES = 1 << 20
USUAL_HEADER_BYTES = 1 << 13


@dataclass(frozen=True)
class _Property:
    """A property: its name, the type of its value and, for a list, the type of its length."""

    name: str
    type: str
    length_type: str | None = None

    @property
    def least_bytes(self) -> int:
        """Bytes in a binary row; for a list, those of its length alone."""
        return np.dtype(self.length_type or self.type).itemsize


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: list[_Property]

    @property
    def least_row_bytes(self) -> int:
        return sum(p.least_bytes for p in self.properties)

    @property
    def lists(self) -> list[str]:
        return [p.name for p in self.properties if p.length_type is not None]


@dataclass(frozen=True)
class _Header:
    encoding: str
    elements: list[_Element]
    size_bytes: int

    @property
    def vertex(self) -> _Element:
        return next(element for element in self.elements if element.name == "vertex")

    @property
    def before(self) -> list[_Element]:
        """The elements before the vertices."""
        return self.elements[: self.elements.index(self.vertex)]

    @property
    def promise(self) -> str:
        return " and ".join(f"{e.count} × {e.name}" for e in self.elements)


def read(path: AnyPath, frame: ReferenceFrame = "ego") -> PointCloud:
    """Read a PLY file, one point a vertex.

    Returns:
        Positions (N, 3) float32 or float64 as declared, metres; float64 where text says more than
        float32 holds. List properties and unknown ones are named as ignored.

    Raises:
        FormatError: The header is not a PLY header, or it contradicts the data.
    """
    with path.open("rb", buffering=0) as stream:
        start = stream.read(USUAL_HEADER_BYTES)
        if b"end_header" not in start[:-16]:
            start += stream.read(MAX_HEADER_BYTES - USUAL_HEADER_BYTES)
        header = _read_header(path, start)
        body = read_from(stream, 0 if header.encoding == "ascii" else header.size_bytes)
    # Only plyfile reads rows with lists, which lidars do not write among vertices. As text, a row is a line.
    if header.encoding == "ascii" and not header.vertex.lists:
        fields = _read_text(path, header, body)
    elif header.encoding != "ascii" and not any(element.lists for element in header.elements):
        fields = _read_table(path, header, body)
    else:
        fields = _read_with_plyfile(path, header, body)
    return cloud_from_fields(path, fields, frame, unread=header.vertex.lists)


def write(path: Path, cloud: PointCloud) -> tuple[str, ...]:
    """Write a binary little-endian PLY.

    PLY has no 64-bit integers. Timestamps are therefore written as double seconds, `timestamp_s`: offsets within a
    sweep come back exactly, times since the epoch to 238 ns. An intensity of a type that PLY lacks becomes a double.

    Returns:
        Names of the cloud's columns that are rounded by that.
    """
    columns = {name.replace("timestamp_ns", "timestamp_s"): column for name, column in scalar_columns(cloud).items()}
    lost = []
    if cloud.timestamp is not None:
        columns["timestamp_s"] = seconds = cloud.timestamp / 1e9
        back = to_nanoseconds(seconds, "s")
        lost = [] if back is not None and np.array_equal(back[0], cloud.timestamp) else ["timestamp"]
    columns, rounded = storable(columns, TYPES.values())
    with appearing_whole(path) as stream:
        PlyData([PlyElement.describe(records(columns), "vertex")], byte_order="<").write(stream)
    return (*rounded, *lost)


def _read_with_plyfile(path: AnyPath, header: _Header, body: bytes) -> dict[str, NDArray[Any]]:
    least = sum(e.count * e.least_row_bytes for e in header.elements)
    length = len(body)
    if header.encoding == "ascii":  # a digit and a blank for each value, but no line's end is needed at the end
        least = max(sum(e.count * 2 * len(e.properties) for e in header.elements) - 1, 0)
        length -= header.size_bytes
    if length < least:
        found = f"the file ends {length} bytes after its header"
        raise cut_short(path, header.size_bytes + length, f"at least {least} bytes: {header.promise}", found)
    # Text is passed in memory, since plyfile would leave such a file open; the rest it maps into memory.
    with io.BytesIO(body) if header.encoding == "ascii" else path.open("rb") as stream:
        try:
            ply = PlyData.read(stream)
        except (PlyParseError, ValueError, OverflowError) as error:  # the latter for a number its type can't hold
            raise FormatError(
                path, found=f"the data does not follow its header ({error})", expected=header.promise
            ) from error
        if header.encoding != "ascii":
            check_trailing(path, stream.read(), header.promise)
    scalars = [p.name for p in header.vertex.properties if p.length_type is None]
    return {name: ply["vertex"].data[name] for name in scalars}


def _read_table(path: AnyPath, header: _Header, body: bytes) -> dict[str, NDArray[Any]]:
    whole = sum(e.count * e.least_row_bytes for e in header.elements)
    check_body(path, body, header.size_bytes, whole, header.promise)
    order = "<" if header.encoding == "binary_little_endian" else ">"
    dtype = np.dtype([(p.name, order + p.type) for p in header.vertex.properties])
    start = sum(e.count * e.least_row_bytes for e in header.before)
    table = np.frombuffer(body, dtype, header.vertex.count, start)
    return {p.name: table[p.name] for p in header.vertex.properties}


def _read_text(path: AnyPath, header: _Header, content: bytes) -> dict[str, NDArray[Any]]:
    # These bring kernels that binary files do without.
    from lidarprep.pointfiles._numeric_text import Column, as_declared, read_promised, text_type

    names = [p.name for p in header.vertex.properties]
    codes = [f"<{p.type}" for p in header.vertex.properties]
    columns = [Column(name, text_type(name, code)) for name, code in zip(names, codes, strict=True)]
    before = sum(e.count for e in header.before)
    after = sum(e.count for e in header.elements) - before - header.vertex.count
    values = read_promised(
        path, content, header.size_bytes, columns, header.vertex.count, header.promise, before=before, after=after
    )
    return dict(zip(names, as_declared(names, codes, values), strict=True))


def _read_header(path: AnyPath, start: bytes) -> _Header:
    # All lines end as the first does; after "end_header" too, since a binary body may begin with a line-break byte.
    magic = re.match(rb"ply[ \t]*(\r\n|\n|\r)", start)
    if magic is None:
        found = "an empty file" if not start else f"{start[:20]!r}"
        raise FormatError(path, place="line 1", found=found, expected="'ply', which every PLY file begins with")
    newline = magic.group(1)
    end = re.search(rb"[\r\n]end_header[ \t]*" + newline, start)
    if end is None:
        raise FormatError(path, place="the header", found="no line 'end_header'", expected="one at the header's end")
    lines = start[: end.end()].decode("latin-1").split(newline.decode())[:-1]
    return _HeaderParser(path).parse(lines, end.end())


class _HeaderParser:
    """Parse a header line by line; errors name the line."""

    def __init__(self, path: AnyPath) -> None:
        self.path = path
        self.line = 0

    def parse(self, lines: list[str], size_bytes: int) -> _Header:
        encoding: str | None = None
        elements: list[_Element] = []
        for self.line, text in enumerate(lines, 1):
            match text.split():
                case [] | ["ply" | "end_header" | "comment" | "obj_info", *_]:
                    continue
                case ["format", "ascii" | "binary_little_endian" | "binary_big_endian" as encoding, "1.0"]:
                    continue
                case ["element", name, count] if count.isascii() and count.isdigit() and len(count) < 19:
                    elements.append(_Element(name, int(count), []))
                case ["property", *words] if elements:
                    self.add_property(elements[-1], words)
                case _:
                    self.fail(f"{text[:60]!r}", "format, element or property as PLY 1.0 has them")
        self.line = 0
        if encoding is None:
            self.fail("no line 'format'", "format ascii, binary_little_endian or binary_big_endian 1.0")
        names = [element.name for element in elements]
        if names.count("vertex") != 1 or len(set(names)) != len(names):
            self.fail(f"elements {', '.join(names) or '(none)'}", "one element 'vertex', and no name twice")
        empty = [element.name for element in elements if not element.properties]
        if empty:
            self.fail(f"element {empty[0]!r} without a property", "at least one")
        return _Header(encoding, elements, size_bytes)

    def add_property(self, element: _Element, words: list[str]) -> None:
        match words:
            case ["list", length_type, value_type, name] if length_type in TYPES and value_type in TYPES:
                new = _Property(name, TYPES[value_type], TYPES[length_type])
            case [value_type, name] if value_type in TYPES:
                new = _Property(name, TYPES[value_type])
            case _:
                self.fail(f"property {' '.join(words)[:60]!r}", f"a type ({', '.join(TYPES)}) and a name")
        if any(new.name == p.name for p in element.properties):
            self.fail(f"a second property {new.name!r}", "each name once")
        element.properties.append(new)

    def fail(self, found: str, expected: str) -> NoReturn:
        place = f"line {self.line}" if self.line else "the header"
        raise FormatError(self.path, place=place, found=found, expected=expected)
