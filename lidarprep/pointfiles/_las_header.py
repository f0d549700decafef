"""The header of a LAS or LAZ file, versions 1.0 to 1.5, checked against the file's size.

Sources: the LAS specification of the ASPRS, 1.0 to 1.5-R00; for the record that LAZ adds, the laszip format.
"""

from __future__ import annotations

import calendar
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

import numpy as np

from lidarprep.errors import FormatError
from lidarprep.pointfiles._files import cut_short
from lidarprep.pointfiles.timestamps import ADJUSTED_BY_S
from lidarprep.remote import AnyPath

# Bytes of the header of each minor version, and of a variable length record's own header.
HEADER_BYTES = (227, 227, 227, 235, 375, 393)
_VLR_BYTES = 54

_FIRST_FIELDS: list[tuple[str, str]] = [("X", "<i4"), ("Y", "<i4"), ("Z", "<i4"), ("intensity", "<u2")]
_COLOUR_FIELDS: list[tuple[str, str]] = [("red", "<u2"), ("green", "<u2"), ("blue", "<u2")]
# Formats 0 to 5 hold three flags in the classification's upper bits, formats 6 to 10 have bytes for them.
_OLD_FIELDS = [*_FIRST_FIELDS, ("returns", "u1"), ("classification", "u1"), ("angle", "u1"), ("user_data", "u1")]
_OLD_FIELDS += [("point_source_id", "<u2")]
_NEW_FIELDS = [*_FIRST_FIELDS, ("returns", "u1"), ("flags", "u1"), ("classification", "u1"), ("user_data", "u1")]
_NEW_FIELDS += [("angle", "<i2"), ("point_source_id", "<u2"), ("gps_time", "<f8")]
_GPS_TIME, _NIR, _WAVE = ("gps_time", "<f8"), ("nir", "<u2"), ("wave_packet", "V29")

# The fields of a point's record, by the number of its format.
POINT_FIELDS: tuple[list[tuple[str, str]], ...] = (
    _OLD_FIELDS,
    [*_OLD_FIELDS, _GPS_TIME],
    [*_OLD_FIELDS, *_COLOUR_FIELDS],
    [*_OLD_FIELDS, _GPS_TIME, *_COLOUR_FIELDS],
    [*_OLD_FIELDS, _GPS_TIME, _WAVE],
    [*_OLD_FIELDS, _GPS_TIME, *_COLOUR_FIELDS, _WAVE],
    _NEW_FIELDS,
    [*_NEW_FIELDS, *_COLOUR_FIELDS],
    [*_NEW_FIELDS, *_COLOUR_FIELDS, _NIR],
    [*_NEW_FIELDS, _WAVE],
    [*_NEW_FIELDS, *_COLOUR_FIELDS, _NIR, _WAVE],
)

# Fields that are not read, by the names of the specification's parts.
_FLAGS = (
    *("return_number", "number_of_returns", "scan_direction_flag", "edge_of_flight_line"),
    *("synthetic", "key_point", "withheld", "user_data", "point_source_id"),
)
_WAVE_PARTS = (
    *("wavepacket_index", "wavepacket_offset", "wavepacket_size", "return_point_wave_location"),
    *("x_t", "y_t", "z_t"),
)

# The types of extra bytes by their number, from 1.
_EXTRA_TYPES = ("u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8")


@dataclass(frozen=True)
class LasHeader:
    """The content of a header; `version` is the minor one, `point_format` 0 to 10, `count` that of points.

    Args:
        records: Type of a point's record; extra bytes are `extra K` in the order of `extra_names`.
        extra_names: The names of the extra bytes' fields.
        scales, offsets: x = X · scale + offset, metres or whatever the coordinate system has.
        data_begins: The first byte of the points.
        gps_less_s: What was taken off GPS seconds, as the header says; None where they are seconds of a week.
        written_by_s: The end of the day on which the file was written, anywhere on Earth, Unix seconds; or None.
        has_more: Whether wave packets or extended records may follow the points.
        has_crs: Whether the file names a coordinate reference system.
        laz_record: The record that LAZ adds, for its decoder; None where points are not compressed.
        notes: What of the header was not believed, a sentence each.
    """

    version: int
    point_format: int
    count: int
    records: np.dtype[Any]
    extra_names: tuple[str, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    data_begins: int
    gps_less_s: int | None
    written_by_s: int | None
    has_more: bool
    has_crs: bool
    laz_record: bytes | None
    notes: tuple[str, ...] = ()

    @property
    def places(self) -> dict[str, int]:
        """Offset of each field in a record, bytes."""
        fields: Any = self.records.fields or {}
        return {name: place[1] for name, place in fields.items()}

    @property
    def unread(self) -> tuple[str, ...]:
        """The standard fields that do not fill a column."""
        new = self.point_format >= 6
        names = [*_FLAGS, *(("overlap", "scanner_channel", "scan_angle") if new else ("scan_angle_rank",))]
        fields = self.records.names or ()
        return (*names, *(("nir",) if "nir" in fields else ()), *(_WAVE_PARTS if "wave_packet" in fields else ()))


def read_header(path: AnyPath, stream: BinaryIO) -> LasHeader:
    """Read the header of a LAS or LAZ file.

    Raises:
        FormatError: The file is not LAS, or promises more than its size can hold.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    return _HeaderReader(path, size, stream.read(HEADER_BYTES[-1])).read(stream)


class _HeaderReader:
    def __init__(self, path: AnyPath, size: int, head: bytes) -> None:
        self.path = path
        self.size = size
        self.head = head

    def read(self, stream: BinaryIO) -> LasHeader:
        if self.head[:4] != b"LASF":
            found = "an empty file" if not self.head else f"{self.head[:4]!r}"
            self.fail("byte 0", found, "'LASF', which every LAS and LAZ file begins with")
        if len(self.head) < HEADER_BYTES[0]:
            raise cut_short(self.path, self.size, f"at least {HEADER_BYTES[0]} bytes: the header")
        major, minor = self.head[24:26]
        if major != 1 or minor >= len(HEADER_BYTES):
            self.fail("byte 24", f"version {major}.{minor}", "1.0 to 1.5")
        if len(self.head) < HEADER_BYTES[minor]:
            raise cut_short(self.path, self.size, f"at least {HEADER_BYTES[minor]} bytes: the header")
        encoding: int = self.number("<H", 6) if minor >= 2 else 0
        header_bytes, begins, vlrs = struct.unpack_from("<HII", self.head, 94)
        if not HEADER_BYTES[minor] <= header_bytes <= begins:
            self.fail("byte 94", f"a header of {header_bytes} bytes, and points from byte {begins}", "a header first")
        if begins > self.size:
            raise cut_short(self.path, self.size, f"at least {begins} bytes: the header and its records")
        scales, offsets = struct.unpack_from("<3d", self.head, 131), struct.unpack_from("<3d", self.head, 155)
        if not np.isfinite([scales, offsets]).all() or 0 in scales:
            self.fail("byte 131", f"scales {scales}, offsets {offsets}", "numbers, and no scale of 0")
        count = self.count(minor)
        stream.seek(header_bytes)
        records, read = self.records(stream.read(begins - header_bytes), vlrs)
        laz_record = records.get(("laszip encoded", 22204))
        point_format = self.point_format(compressed=laz_record is not None)
        dtype, extra_names = self.record_type(point_format, records.get(("LASF_Spec", 4), b""))
        extended = minor >= 4 and self.number("<I", 243) > 0
        if laz_record is None and begins + count * dtype.itemsize > self.size:
            raise cut_short(
                self.path,
                self.size,
                f"at least {begins + count * dtype.itemsize} bytes: {count} points of {dtype.itemsize} bytes",
            )
        return LasHeader(
            version=minor,
            point_format=point_format,
            count=count,
            records=dtype,
            extra_names=extra_names,
            scales=scales,
            offsets=offsets,
            data_begins=begins,
            gps_less_s=self.gps_less_s(minor, encoding),
            written_by_s=self.written_by_s(),
            has_more=extended or (minor >= 3 and bool(encoding & 0b110)),
            has_crs=any(user == "LASF_Projection" for user, _ in records) or bool(encoding & 16 and extended),
            laz_record=laz_record,
            notes=() if read == vlrs else (f"the header counts {vlrs} records; the file has room for {read}",),
        )

    def number(self, code: str, at: int) -> int:
        value: int = struct.unpack_from(code, self.head, at)[0]
        return value

    def gps_less_s(self, minor: int, encoding: int) -> int | None:
        """Return what was taken off GPS seconds: 1e9, or since version 1.5 what the header has; None: of a week."""
        if not encoding & 1:
            return None
        return self.number("<H", 391) * 1_000_000 if minor >= 5 and encoding & 64 else ADJUSTED_BY_S

    def written_by_s(self) -> int | None:
        """Return the end of the day of the header, by the clock that is last to reach it, Unix seconds."""
        day, year = self.number("<H", 90), self.number("<H", 92)
        if not (1 <= day <= 366 and 1980 <= year < 2100):
            return None
        return calendar.timegm((year, 1, 1, 0, 0, 0)) + (day + 1) * 86_400

    def count(self, minor: int) -> int:
        """Return the number of points; version 1.4 counts in 64 bits, and repeats it in 32 for older readers, or 0."""
        old = self.number("<I", 107)
        if minor < 4:
            return old
        count = self.number("<Q", 247)
        if old not in (0, count):
            self.fail("byte 107", f"{old} points, but {count} at byte 247", "the same number, or 0")
        return count

    def point_format(self, *, compressed: bool) -> int:
        """Return the number of the point format; LAZ sets its uppermost bit."""
        number = self.head[104]
        if number & 0x3F >= len(POINT_FIELDS) or number & 0x40:
            self.fail("byte 104", f"point format {number}", f"0 to {len(POINT_FIELDS) - 1}, with 128 more in LAZ")
        if bool(number & 0x80) != compressed:
            found = (
                "no record of LAZ in a compressed file" if number & 0x80 else "a record of LAZ, but points as in LAS"
            )
            self.fail("byte 104", found, "both or none")
        return number & 0x3F

    def record_type(self, point_format: int, described: bytes) -> tuple[np.dtype[Any], tuple[str, ...]]:
        """Return the type of a point's record, and the names of its extra bytes: one for all if undescribed."""
        fields = list(POINT_FIELDS[point_format])
        least, length = np.dtype(fields).itemsize, self.number("<H", 105)
        if length < least:
            self.fail("byte 105", f"{length} bytes a point", f"at least {least}, which point format {point_format} has")
        extra = [_extra_field(described[at : at + 192]) for at in range(0, len(described) - 191, 192)]
        if sum(np.dtype(code).itemsize for _, code in extra) != length - least:
            extra = [("ExtraBytes", f"V{length - least}")] if length > least else []
        fields += [(f"extra {k}", code) for k, (_, code) in enumerate(extra)]
        return np.dtype(fields), tuple(name for name, _ in extra)

    def records(self, content: bytes, count: int) -> tuple[dict[tuple[str, int], bytes], int]:
        """Return the variable length records by user and number, and how many there are before the points.

        Some writers count more than they write. What follows the last whole record is passed over.
        """
        found: dict[tuple[str, int], bytes] = {}
        at = 0
        for read in range(count):
            length = struct.unpack_from("<H", content, at + 20)[0] if at + _VLR_BYTES <= len(content) else len(content)
            end = at + _VLR_BYTES + length
            if end > len(content):
                return found, read
            user, number = struct.unpack_from("<16sH", content, at + 2)
            found[user.split(b"\0")[0].decode("latin-1"), number] = content[at + _VLR_BYTES : end]
            at = end
        return found, count

    def fail(self, place: str, found: str, expected: str) -> NoReturn:
        raise FormatError(self.path, place=place, found=found, expected=expected)


def _extra_field(description: bytes) -> tuple[str, str]:
    """Return name and type of one field of extra bytes; bare bytes for arrays, scaled and untyped ones."""
    kind, options = description[2:4]
    name = description[4:36].split(b"\0")[0].decode("utf-8", "replace")
    if kind == 0:
        return name, f"V{options}"
    code = _EXTRA_TYPES[(kind - 1) % 10]
    elements = (kind - 1) // 10 + 1
    scaled = options & 0b11000
    return name, code if elements == 1 and not scaled else f"V{elements * np.dtype(code).itemsize}"
