"""PCD, the point cloud library's format: ASCII, binary and binary_compressed.

The header is read here: an error then names the line, and a header that promises more than the file holds is refused
before memory is set aside for it. pypcd4 decodes the binary bodies, under a header composed anew from what was checked,
because its own parser refuses headers that PCL reads (VERSION .5, no COUNT) and stops after ten lines.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from pypcd4.pypcd4 import Encoding, MetaData
from pypcd4.pypcd4 import PointCloud as Pcd

from lidarprep.errors import FormatError
from lidarprep.readers.points.fields import cloud_from_fields
from lidarprep.readers.points.leftover import check_leftover
from lidarprep.readers.points.text_rows import parse_rows, text_lines
from lidarprep.readers.points.writing import appearing_whole, scalar_columns, storable
from lidarprep.scene import PointCloud, ReferenceFrame

TYPES = {
    **{("F", 4): "<f4", ("F", 8): "<f8"},
    **{("I", size): f"<i{size}" for size in (1, 2, 4, 8)},
    **{("U", size): f"<u{size}" for size in (1, 2, 4, 8)},
}

MAX_HEADER_LINES = 1000
MAX_LINE_BYTES = 1 << 16
MAX_VALUES_A_POINT = 4096  # the longest descriptor that PCL defines has 1,980

# The densest that LZF packs: 264 bytes in three.
MAX_LZF_RATIO = 88


@dataclass(frozen=True)
class _Header:
    """What the header says.

    Args:
        names: Names of the fields; `_` is padding.
        counts: Numbers that a point has in each field.
        dtype: A point's record: one field v0, v1, … for each of its numbers, without gaps.
        points: How many points there are.
        encoding: ascii, binary or binary_compressed.
        has_viewpoint: Whether a pose other than the identity is given to the sensor.
        size_bytes, lines: The header's own.
    """

    names: list[str]
    counts: list[int]
    dtype: np.dtype[np.void]
    points: int
    encoding: str
    has_viewpoint: bool
    size_bytes: int
    lines: int

    @property
    def data_bytes(self) -> int:
        return self.points * self.dtype.itemsize

    @property
    def promise(self) -> str:
        return f"{self.points} points of {self.dtype.itemsize} bytes"


def read(path: Path, frame: ReferenceFrame = "ego") -> PointCloud:
    """Read a PCD file; an organised cloud becomes its rows one after another, points without a return (NaN) with them.

    A viewpoint other than the identity is not applied: it is named as ignored, as are fields of several numbers.

    Returns:
        Positions (N, 3) float32 or float64 as declared, metres.

    Raises:
        FormatError: The header is no PCD header, or it and the data disagree.
    """
    with path.open("rb") as stream:
        header = _HeaderParser(path).parse(stream)
        body = stream.read()
    if header.encoding == "ascii":
        values = _read_text(path, header, body)
    elif header.points == 0:
        check_leftover(path, body, header.promise)
        values = np.empty(0, header.dtype)
    else:
        values = _decode(path, header, _checked_body(path, header, body))

    fields, unread, first = {}, [], 0
    for name, count in zip(header.names, header.counts, strict=True):
        if name != "_" and count == 1 and name not in fields:
            fields[name] = values[f"v{first}"]
        elif name != "_":
            unread.append(name)
        first += count
    if header.has_viewpoint:
        unread.append("VIEWPOINT")
    return cloud_from_fields(path, fields, frame, unread=unread)


def write(path: Path, cloud: PointCloud) -> tuple[str, ...]:
    """Write a binary PCD, colour packed as `rgb`; return the columns not held exactly: none but a long double."""
    columns: dict[str, NDArray[Any]] = {}
    rounded = []
    for name, column in scalar_columns(cloud).items():
        if name not in ("red", "green", "blue"):
            columns[name], exact = storable(column, [code[1:] for code in TYPES.values()])
            rounded.extend([] if exact else [name])
    if cloud.colour is not None:
        columns["rgb"] = Pcd.encode_rgb(cloud.colour).reshape(-1)
    types = [column.dtype for column in columns.values()]
    pcd = Pcd.from_points(list(columns.values()), tuple(columns), types)
    with appearing_whole(path) as stream:
        pcd.save(stream, encoding=Encoding.BINARY)
    return tuple(rounded)


def _read_text(path: Path, header: _Header, body: bytes) -> NDArray[np.void]:
    lines = text_lines(path, body, header.lines + 1)
    if len(lines) != header.points:
        raise FormatError(
            path,
            place=f"line {lines[-1][0] if lines else header.lines}",
            found=f"{len(lines)} rows after the header",
            expected=f"{header.points}, one a point",
            fix="The file was cut, or its header belongs to another one.",
        )
    return parse_rows(path, lines, header.dtype)


def _checked_body(path: Path, header: _Header, body: bytes) -> bytes:
    """The bytes of the points alone, once the sizes agree."""
    if header.encoding == "binary":
        data_bytes = header.data_bytes
    else:
        if len(body) < 8:
            _fail_short(path, header, body, "8 bytes of sizes, then the compressed points")
        packed_bytes, unpacked_bytes = struct.unpack("<II", body[:8])
        if unpacked_bytes != header.data_bytes or unpacked_bytes > packed_bytes * MAX_LZF_RATIO:
            raise FormatError(
                path,
                place=f"byte {header.size_bytes}",
                found=f"{packed_bytes} compressed bytes that unpack to {unpacked_bytes}",
                expected=f"{header.data_bytes} bytes unpacked: {header.promise}",
                fix="The header and the data belong to different point counts: write the file again.",
            )
        data_bytes = 8 + packed_bytes
    if len(body) < data_bytes:
        _fail_short(path, header, body, f"{data_bytes} bytes: {header.promise}")
    check_leftover(path, body[data_bytes:], header.promise)
    return body[:data_bytes]


def _decode(path: Path, header: _Header, body: bytes) -> NDArray[Any]:
    names = header.dtype.names or ()
    kinds = {np.dtype(code): kind for kind, code in TYPES.items()}
    metadata = MetaData.model_validate(
        {
            "fields": names,
            "type": [kinds[header.dtype[name]][0] for name in names],
            "size": [kinds[header.dtype[name]][1] for name in names],
            "count": [1] * len(names),
            "width": header.points,
            "points": header.points,
            "data": header.encoding,
        }
    )
    stream = io.BytesIO(metadata.compose_header().encode() + body)
    try:
        return Pcd.from_fileobj(stream).pc_data  # type: ignore[arg-type]  # any binary stream will do
    except (ValueError, RuntimeError, TypeError) as error:  # TypeError: lzf unpacks what is damaged to None
        raise FormatError(
            path,
            place=f"byte {header.size_bytes}",
            found=f"data that does not decode as {header.encoding}",
            expected=header.promise,
            fix="The file is damaged: get it again.",
        ) from error


def _fail_short(path: Path, header: _Header, body: bytes, expected: str) -> NoReturn:
    raise FormatError(
        path,
        place=f"byte {header.size_bytes + len(body)}",
        found=f"the file ends {len(body)} bytes after its header",
        expected=expected,
        fix="The file was cut while it was copied or written: get it again.",
    )


class _HeaderParser:
    """Reads a header line by line up to DATA, and says of which line it can make no sense."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[str, tuple[int, list[str]]] = {}

    def parse(self, stream: io.BufferedReader) -> _Header:
        last_line = self.collect(stream)
        names = self.words("COLUMNS" if "COLUMNS" in self.lines else "FIELDS")
        sizes = self.numbers("SIZE", len(names))
        counts = self.numbers("COUNT", len(names)) if "COUNT" in self.lines else [1] * len(names)
        codes: list[str] = []
        for kind, size, count in zip(self.words("TYPE", len(names)), sizes, counts, strict=True):
            if (kind, size) not in TYPES:
                self.fail("TYPE", f"type {kind} of {size} bytes", "F of 4 or 8 bytes, I or U of 1, 2, 4 or 8")
            if not 1 <= count <= MAX_VALUES_A_POINT - len(codes):
                self.fail("COUNT", f"{count} values in one field", f"1 to {MAX_VALUES_A_POINT} a point")
            codes.extend([TYPES[kind, size]] * count)
        (encoding,) = self.words("DATA", 1)
        if encoding not in ("ascii", "binary", "binary_compressed"):
            self.fail("DATA", repr(encoding), "ascii, binary or binary_compressed")
        return _Header(
            names=names,
            counts=counts,
            dtype=np.dtype([(f"v{k}", code) for k, code in enumerate(codes)]),
            points=self.points(),
            encoding=encoding,
            has_viewpoint=self.has_viewpoint(),
            size_bytes=stream.tell(),
            lines=last_line,
        )

    def collect(self, stream: io.BufferedReader) -> int:
        """Keep the words of each keyword's line; return the number of the last line, that of DATA."""
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
                if not line.endswith(b"\n"):
                    self.fail("DATA", "the file ends here", "a line break, then the points")
                return number
        raise FormatError(self.path, place=f"line {MAX_HEADER_LINES}", found="no line DATA", expected="one before here")

    def points(self) -> int:
        """POINTS, WIDTH × HEIGHT, or both if they agree."""
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
