"""PCD, the point cloud library's format: ASCII, binary and binary_compressed.

An error in the header names the line, and a header that promises more than the file holds is refused before memory is
allocated for it. Headers are read as PCL reads them: VERSION .5, without COUNT, or with any number of comments.

A field of COUNT 0 takes no bytes: PCL warns, drops it and reads on. Where it is padding (`_`), its writer counted the
padding wrongly: in files of PCL's own that have it, the fields behind stand elsewhere within the point. So of these
only coordinates are read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

import lzf
import numpy as np
from numpy.typing import NDArray

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
from lidarprep.pointfiles._numeric_text import Column, as_declared, read_promised, text_type
from lidarprep.pointfiles.fields import FIELD_NAMES, cloud_from_fields
from lidarprep.remote import AnyPath
from lidarprep.scene import PointCloud, ReferenceFrame

TYPES = {
    **{("F", 4): "<f4", ("F", 8): "<f8"},
    **{("I", size): f"<i{size}" for size in (1, 2, 4, 8)},
    **{("U", size): f"<u{size}" for size in (1, 2, 4, 8)},
}

PACKED_COLOUR = FIELD_NAMES["packed colour"]

MAX_HEADER_LINES = 1000
MAX_LINE_BYTES = 1 << 16
MAX_VALUES_A_POINT = 4096  # the longest descriptor that PCL defines has 1,980

# The densest that LZF packs: 264 bytes in three.
MAX_LZF_RATIO = 88


@dataclass(frozen=True)
class _Header:
    """The content of a header: the fields by name (`_` is padding), with numbers a point and NumPy types of each.

    `has_viewpoint` says whether the sensor's pose is other than the identity, `size_bytes` is the header's own size.
    """

    names: list[str]
    counts: list[int]
    types: list[str]
    points: int
    encoding: str
    has_viewpoint: bool
    size_bytes: int

    @property
    def point_bytes(self) -> int:
        return sum(np.dtype(code).itemsize * count for code, count in zip(self.types, self.counts, strict=True))

    @property
    def data_bytes(self) -> int:
        return self.points * self.point_bytes

    @property
    def promise(self) -> str:
        return f"{self.points} points of {self.point_bytes} bytes"


def read(path: AnyPath, frame: ReferenceFrame = "ego") -> PointCloud:
    """Read a PCD file; an organised cloud becomes its rows in sequence, including points without a return (NaN).

    A viewpoint other than the identity is not applied; it is named as ignored, as are fields of several numbers.

    Returns:
        Positions (N, 3) float32 or float64 as declared, metres; float64 where text says more than float32 holds.

    Raises:
        FormatError: The header is not a PCD header, or it contradicts the data.
    """
    fields, unread = read_fields(path)
    return cloud_from_fields(path, fields, frame, unread=unread)


def read_fields(path: AnyPath) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return the fields of one number a point, (N,) each, of the declared types, and the names of all others.

    Raises:
        FormatError: The header is not a PCD header, or it contradicts the data.
    """
    with path.open("rb", buffering=0) as file, BufferedReader(cast(RawIOBase, file)) as stream:
        header = _HeaderParser(path).parse(stream)
        body = read_from(file, 0 if header.encoding == "ascii" else header.size_bytes)
    if header.encoding == "ascii":
        values = _read_text(path, header, body)
    elif header.encoding == "binary":
        values = _read_table(path, header, body)
    else:
        values = _read_compressed(path, header, body)
    fields: dict[str, NDArray[Any]] = {}
    unread = []
    in_doubt = False
    for name, count, numbers in zip(header.names, header.counts, values, strict=True):
        if name == "_":
            in_doubt |= count == 0 and header.encoding != "ascii"
        elif count == 0:
            unread.append(f"{name} (COUNT 0)")
        elif in_doubt and name.lower() not in ("x", "y", "z"):
            unread.append(f"{name} (behind padding of COUNT 0, so its place is not known)")
        elif count == 1 and name not in fields and numbers is not None:
            fields[name] = numbers
        else:
            unread.append(name)
    if header.has_viewpoint:
        unread.append("VIEWPOINT")
    return fields, unread


def write(path: Path, cloud: PointCloud) -> tuple[str, ...]:
    """Write a binary PCD, colour packed as `rgb`; return the columns not held exactly: none but a long double."""
    columns, rounded = storable(scalar_columns(cloud), [code[1:] for code in TYPES.values()])
    if cloud.colour is not None:
        red, green, blue = (columns.pop(name).astype(np.uint32) for name in ("red", "green", "blue"))
        columns["rgb"] = (red << 16 | green << 8 | blue).view(np.float32)  # PCL reads a float of these bits
    header = {
        "VERSION": ["0.7"],
        "FIELDS": columns,
        "SIZE": [column.dtype.itemsize for column in columns.values()],
        "TYPE": [column.dtype.kind.upper() for column in columns.values()],
        "COUNT": [1] * len(columns),
        "WIDTH": [len(cloud)],
        "HEIGHT": [1],
        "VIEWPOINT": [0, 0, 0, 1, 0, 0, 0],
        "POINTS": [len(cloud)],
        "DATA": ["binary"],
    }
    lines = [" ".join(map(str, (keyword, *words))) + "\n" for keyword, words in header.items()]
    with appearing_whole(path) as stream:
        stream.write("".join(lines).encode())
        stream.write(records(columns).data)
    return tuple(rounded)


def _read_text(path: AnyPath, header: _Header, content: bytes) -> list[NDArray[Any] | None]:
    """Return (N,) for each field; None for those of several numbers, and for a colour that the text has lost."""
    columns: list[Column] = []
    codes: list[str] = []
    single: dict[int, int] = {}  # columns of the fields of one number
    colours: list[int] = []
    for k, (name, code, count) in enumerate(zip(header.names, header.types, header.counts, strict=True)):
        is_colour = code == "<f4" and name.lower() in PACKED_COLOUR and count == 1
        if count == 1:
            single[k] = len(columns)
        colours += [k] if is_colour else []
        columns.extend([Column(name, "<f8" if is_colour else text_type(name, code))] * count)
        codes.extend(["<f8" if is_colour else code] * count)
    found = read_promised(path, content, header.size_bytes, columns, header.points, "one a point")
    found = as_declared([column.name for column in columns], codes, found)
    values: list[NDArray[Any] | None] = [found[single[k]] if k in single else None for k in range(len(header.names))]
    axes = [found[at] for k, at in single.items() if header.names[k].lower() in ("x", "y", "z")]
    for k in colours:
        values[k] = _packed_colour(found[single[k]], axes)
    return values


def _packed_colour(numbers: NDArray[np.float64], axes: list[NDArray[Any]]) -> NDArray[Any] | None:
    """Return 0xRRGGBB, written as text in a field of floats, as 4-byte numbers; None where a point lacks it.

    Some writers print that integer, others the float of the same bits, which is tiny without alpha. With alpha the
    float is huge or not a number, and the text has lost the colour. Points without a return need no colour.
    """
    lost = np.isnan(numbers)
    if lost.any():
        if axes and np.logical_and.reduce([*(np.isfinite(axis) for axis in axes), lost]).any():
            return None
        numbers = np.where(lost, 0.0, numbers)
    whole = (numbers == np.floor(numbers)) & (numbers >= 0) & (numbers < 2**32)
    if whole.all() and (numbers >= 1).any():
        return numbers.astype(np.uint32)
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32)


def _read_table(path: AnyPath, header: _Header, body: bytes) -> list[NDArray[Any] | None]:
    """Return (N,) or (N, count) for each field of a binary body."""
    check_body(path, body, header.size_bytes, header.data_bytes, header.promise)
    numbers = zip(header.types, header.counts, strict=True)
    dtype = np.dtype([(f"{k}", code, (count,) * (count > 1)) for k, (code, count) in enumerate(numbers) if count])
    table = np.frombuffer(body, dtype, header.points)
    return [table[f"{k}"] if count else None for k, count in enumerate(header.counts)]


def _read_compressed(path: AnyPath, header: _Header, body: bytes) -> list[NDArray[Any] | None]:
    """Return (N,) for each field of a compressed body, which is stored by field; None for those of several numbers."""
    if header.points == 0:
        check_trailing(path, body, header.promise)
        return [np.empty(0, code) for code in header.types]
    if len(body) < 8:
        raise cut_short(path, header.size_bytes + len(body), "8 bytes of sizes, then the compressed points")
    packed_bytes, unpacked_bytes = struct.unpack_from("<II", body)
    mismatch = unpacked_bytes != header.data_bytes
    if mismatch or unpacked_bytes > packed_bytes * MAX_LZF_RATIO:
        raise FormatError(
            path,
            place=f"byte {header.size_bytes}",
            found=f"{packed_bytes} compressed bytes that unpack to {unpacked_bytes}",
            expected=f"{header.data_bytes} bytes unpacked: {header.promise}"
            if mismatch
            else f"no more than {MAX_LZF_RATIO} times as many, which is what LZF reaches",
            fix="The header and the data belong to different point counts: write the file again."
            if mismatch
            else "The file is damaged: get it again.",
        )
    check_body(path, body, header.size_bytes, 8 + packed_bytes, header.promise)
    try:
        unpacked = lzf.decompress(body[8 : 8 + packed_bytes], unpacked_bytes)
    except ValueError:
        unpacked = None
    if unpacked is None or len(unpacked) != unpacked_bytes:  # lzf returns None for damaged data
        raise FormatError(
            path,
            place=f"byte {header.size_bytes}",
            found=f"data that does not decode as {header.encoding}",
            expected=header.promise,
            fix="The file is damaged: get it again.",
        )
    values: list[NDArray[Any] | None] = []
    offset = 0
    for code, count in zip(header.types, header.counts, strict=True):
        values.append(np.frombuffer(unpacked, code, header.points, offset) if count == 1 else None)
        offset += header.points * count * np.dtype(code).itemsize
    return values


class _HeaderParser:
    """Parse a header line by line up to DATA; errors name the line."""

    def __init__(self, path: AnyPath) -> None:
        self.path = path
        self.lines: dict[str, tuple[int, list[str]]] = {}

    def parse(self, stream: BinaryIO) -> _Header:
        self.collect(stream)
        names = self.words("COLUMNS" if "COLUMNS" in self.lines else "FIELDS")
        sizes = self.numbers("SIZE", len(names))
        counts = self.numbers("COUNT", len(names)) if "COUNT" in self.lines else [1] * len(names)
        types: list[str] = []
        values = 0
        for kind, size, count in zip(self.words("TYPE", len(names)), sizes, counts, strict=True):
            if (kind, size) not in TYPES:
                self.fail("TYPE", f"type {kind} of {size} bytes", "F of 4 or 8 bytes, I or U of 1, 2, 4 or 8")
            if not 0 <= count <= MAX_VALUES_A_POINT - values:
                self.fail("COUNT", f"{count} values in one field", f"up to {MAX_VALUES_A_POINT} a point")
            types.append(TYPES[kind, size])
            values += count
        if not values:
            self.fail("COUNT" if "COUNT" in self.lines else "SIZE", "no value a point", "one of each of x, y and z")
        (encoding,) = self.words("DATA", 1)
        if encoding not in ("ascii", "binary", "binary_compressed"):
            self.fail("DATA", repr(encoding), "ascii, binary or binary_compressed")
        return _Header(
            names=names,
            counts=counts,
            types=types,
            points=self.points(),
            encoding=encoding,
            has_viewpoint=self.has_viewpoint(),
            size_bytes=stream.tell(),
        )

    def collect(self, stream: BinaryIO) -> None:
        """Store the words of each keyword's line, up to that of DATA."""
        for number in range(1, MAX_HEADER_LINES + 1):
            line = stream.readline(MAX_LINE_BYTES)
            words = line.decode("latin-1").split()
            if not line:
                found = "an empty file" if number == 1 else "the file ends within the header"
                raise FormatError(self.path, place=f"line {number}", found=found, expected="a PCD header up to DATA")
            if not words or words[0].startswith("#"):
                continue
            keyword = words[0].upper()
            if keyword not in _KEYWORDS:
                raise FormatError(
                    self.path, place=f"line {number}", found=repr(words[0][:40]), expected=" ".join(_KEYWORDS)
                )
            self.lines[keyword] = (number, words[1:])
            if keyword == "DATA":
                if len(line) == MAX_LINE_BYTES:
                    self.fail("DATA", f"a line of more than {MAX_LINE_BYTES} bytes", "a line break, then the points")
                return
        raise FormatError(self.path, place=f"line {MAX_HEADER_LINES}", found="no line DATA", expected="one before here")

    def points(self) -> int:
        """Return POINTS or WIDTH × HEIGHT; if both are given they must agree."""
        height = self.numbers("HEIGHT", 1)[0] if "HEIGHT" in self.lines else 1
        if "WIDTH" not in self.lines:
            return self.numbers("POINTS", 1)[0]
        product = self.numbers("WIDTH", 1)[0] * height
        points = self.numbers("POINTS", 1)[0] if "POINTS" in self.lines else product
        if points != product:
            self.fail("POINTS", f"{points} points", f"{product}, which is WIDTH × HEIGHT")
        return points

    def has_viewpoint(self) -> bool:
        if "VIEWPOINT" not in self.lines:
            return False
        try:
            numbers = [float(word) for word in self.words("VIEWPOINT", 7)]
        except ValueError:
            self.fail("VIEWPOINT", " ".join(self.words("VIEWPOINT")), "7 numbers: x y z, then qw qx qy qz")
        return numbers != [0, 0, 0, 1, 0, 0, 0]

    def words(self, keyword: str, count: int | None = None) -> list[str]:
        if keyword not in self.lines:
            raise FormatError(self.path, place="the header", found=f"no line {keyword}", expected="one before DATA")
        _, words = self.lines[keyword]
        if count is not None and len(words) != count:
            self.fail(keyword, f"{len(words)} values after {keyword}", str(count))
        return words

    def numbers(self, keyword: str, count: int) -> list[int]:
        words = self.words(keyword, count)
        for word in words:
            if not (word.isascii() and word.isdigit() and len(word) < 19):
                self.fail(keyword, f"{word[:40]!r} after {keyword}", "a whole number, not negative")
        return [int(word) for word in words]

    def fail(self, keyword: str, found: str, expected: str) -> NoReturn:
        raise FormatError(self.path, place=f"line {self.lines[keyword][0]}", found=found, expected=expected)


_KEYWORDS = ("VERSION", "FIELDS", "COLUMNS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "VIEWPOINT", "POINTS", "DATA")
