"""LAS and LAZ, versions 1.0 to 1.4, all point formats: airborne and mobile surveys, whole or in chunks.

LAS says that a field which was not recorded is zero throughout. So there is no timestamp column if all GPS times
are 0, no colour if all are black, and no is_ground if no point has a class beyond 0 and 1 (never classified,
unclassified). Whether colours use 8 bits or all 16, files do not say: they have 8 if no channel of any point exceeds
255. Both are decided over the whole file, so that reading in chunks gives what reading at once gives.

Which sensor saw a point, LAS does not say: point_source_id is a flight line or a file, scanner_channel a beam of one
scanner. So `device` is read from extra bytes of that name alone, as `ring` is. Points that are flagged as withheld,
synthetic, key or overlap points are kept, and the flags are named as ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError
from lidarprep.kernels.las_records import unpack, unpack_colours, unpack_times
from lidarprep.pointfiles.gps_time import ADJUSTED_BY_S, GPS_EPOCH_UNIX_S, LEAPS_GPS_S
from lidarprep.pointfiles.las_header import LasHeader, read_header
from lidarprep.pointfiles.leftover import check_leftover
from lidarprep.scene import PointCloud, ReferenceFrame

# Seconds beyond this are no time: with what is added to them, they would not fit into an int64 as nanoseconds.
LARGEST_TIME_S = 7e9

GROUND = 2  # of the classes that the specification lists

# Records that are taken apart at once: half a megabyte, which stays in the processor's cache.
_RECORDS_AT_ONCE = 16_384

# Extra bytes that are read, and the types that always fit into the column.
_EXTRA_COLUMNS: dict[str, tuple[str, ...]] = {
    "device": ("u1", "u2", "u4"),
    "ring": ("u1", "u2"),
    "timestamp_ns": ("i8",),
}


def read(path: Path, frame: ReferenceFrame = "ego") -> PointCloud:
    """Read a LAS or LAZ file.

    GPS times become nanoseconds since the Unix epoch where the header says that they are adjusted standard ones, with
    the leap seconds of `gps_time.py`. Otherwise they are seconds of a week that the file does not name, and remain so,
    in nanoseconds.

    Returns:
        Positions (N, 3) float64 in the unit of the file's coordinate system, which is metres in nearly all; intensity
        uint16; is_ground for class 2. A coordinate system is not applied; it is named in `ignored_fields`.

    Raises:
        FormatError: The file is none, is cut, or promises what its size cannot hold.
        MissingExtraError: The points are compressed, and lazrs is not installed.
    """
    with path.open("rb") as stream:
        header = read_header(path, stream)
        return _cloud(path, header, _records(path, stream, header), header.count, frame)


def read_chunks(path: Path, frame: ReferenceFrame = "ego", points_per_chunk: int = 1_000_000) -> Iterator[PointCloud]:
    """Read a LAS or LAZ file piece by piece, in its order: what `read` gives, in memory for one piece.

    A file in which times, classes or colours are not recorded, or colours have 8 bits, is gone through once
    before; others are looked into until that is known, mostly for one piece.

    Args:
        path: The file.
        frame: The frame of reference that its points are in.
        points_per_chunk: How many points a piece has, beside the last; a file without points gives one without.

    Raises:
        FormatError, MissingExtraError: As `read` does, some not before the piece that they are about.
    """
    with path.open("rb") as stream:
        header = read_header(path, stream)
        content = _scan(_records(path, stream, header, scan=True), header)
        records = _records(path, stream, header)
        for begin in range(0, max(header.count, 1), points_per_chunk):
            count = min(points_per_chunk, header.count - begin)
            yield _cloud(path, header, records, count, frame, content)


def write(path: Path, cloud: PointCloud) -> tuple[str, ...]:
    """Write LAS 1.4, or LAZ if the name ends so; see `las_writing.write`."""
    from lidarprep.pointfiles import las_writing

    return las_writing.write(path, cloud)


class _Records(Protocol):
    """Where records come from, in order."""

    def blocks(self, count: int) -> Iterator[NDArray[np.void]]:
        """The next `count` records, in arrays that are overwritten by the next."""


class _PlainRecords:
    """The records of an uncompressed file."""

    def __init__(self, path: Path, stream: BinaryIO, header: LasHeader) -> None:
        self.path = path
        self.stream = stream
        self.header = header
        end = header.data_begins + header.count * header.records.itemsize
        if not header.has_more:
            stream.seek(end)
            promised = f"{header.count} points of {header.records.itemsize} bytes"
            check_leftover(path, stream.read(), promised)
        stream.seek(header.data_begins)

    def blocks(self, count: int) -> Iterator[NDArray[np.void]]:
        buffer = np.empty(min(count, _RECORDS_AT_ONCE), dtype=self.header.records)
        for begin in range(0, count, _RECORDS_AT_ONCE):
            part = buffer[: min(_RECORDS_AT_ONCE, count - begin)]
            if self.stream.readinto(part.view(np.uint8)) != part.nbytes:  # type: ignore[attr-defined]
                raise FormatError(self.path, found="the file became shorter while it was read")
            yield part


def _records(path: Path, stream: BinaryIO, header: LasHeader, *, scan: bool = False) -> _Records:
    if header.laz_record is None:
        return _PlainRecords(path, stream, header)
    from lidarprep.pointfiles.laz import LazRecords

    return LazRecords(path, stream, header, scan=scan)


@dataclass
class _Content:
    """What of the optional fields is recorded at all."""

    times: bool = False
    classes: bool = False
    largest_colour: int = 0
    fields: tuple[str, ...] = field(default=(), repr=False)

    def look_at(self, block: NDArray[np.void]) -> None:
        """Take a further part of the file into account."""
        if "gps_time" in self.fields and not self.times:
            with np.errstate(invalid="ignore"):  # what is no number is refused when it is converted
                self.times = bool(block["gps_time"].any())
        if not self.classes:
            self.classes = bool((block["classification"] & self.class_bits > 1).any())
        if "red" in self.fields and self.largest_colour <= 255:
            largest = (int(block[channel].max()) for channel in ("red", "green", "blue"))
            self.largest_colour = max(self.largest_colour, *largest)

    @property
    def class_bits(self) -> int:
        """Which bits of the class's byte say the class; in formats 0 to 5 the others are flags."""
        return 0xFF if "flags" in self.fields else 0x1F

    @property
    def known(self) -> bool:
        """Whether no further part could change this."""
        coloured = self.largest_colour > 255 or "red" not in self.fields
        return self.classes and coloured and (self.times or "gps_time" not in self.fields)


def _content_of(header: LasHeader) -> _Content:
    return _Content(fields=header.records.names or ())


def _scan(records: _Records, header: LasHeader) -> _Content:
    """What is recorded in the whole file, read no further than it takes."""
    content = _content_of(header)
    for block in records.blocks(header.count):
        content.look_at(block)
        if content.known:
            break
    return content


def _cloud(
    path: Path,
    header: LasHeader,
    records: _Records,
    count: int,
    frame: ReferenceFrame,
    content: _Content | None = None,
) -> PointCloud:
    """The next `count` points; without `content` they are the whole file."""
    whole_file = content is None
    content = content or _content_of(header)
    places = header.places
    positions = np.empty((count, 3))
    intensity = np.empty(count, dtype=np.uint16)
    is_ground = np.empty(count, dtype=np.bool_)
    colour = np.empty((count, 6), dtype=np.uint8) if "red" in places else None
    extra = _extra_columns(header, count)
    timed = "gps_time" in places and "timestamp_ns" not in extra
    timestamp = np.empty(count, dtype=np.int64) if timed else None
    begin = 0
    for block in records.blocks(count):
        if whole_file and not content.known:
            content.look_at(block)
        rows = slice(begin, begin + len(block))
        raw, size = block.view(np.uint8), block.itemsize
        unpack(
            raw,
            size,
            places["classification"],
            content.class_bits,
            GROUND,
            np.array(header.scales),
            np.array(header.offsets),
            positions[rows].reshape(-1),
            intensity[rows],
            is_ground[rows],
        )
        if timestamp is not None:
            _unpack_times(path, raw, header, begin, timestamp[rows])
        if colour is not None:
            unpack_colours(raw, size, places["red"], colour[rows].reshape(-1))
        for source, column in extra.values():
            column[rows] = block[source]
        begin += len(block)
    unread = [*header.unread, *(name for name in header.extra_names if name not in extra)]
    if content.times and not timed:
        unread.append("gps_time")
    if "timestamp_ns" in extra:
        timestamp = extra["timestamp_ns"][1]
    elif not content.times:
        timestamp = None
    narrow = None
    if colour is not None and content.largest_colour > 0:
        narrow = np.ascontiguousarray(colour[:, 1::2] if content.largest_colour > 255 else colour[:, ::2])
    return PointCloud(
        positions,
        frame,
        intensity=intensity,
        device=extra["device"][1] if "device" in extra else None,
        timestamp=timestamp,
        is_ground=is_ground if content.classes else None,
        colour=narrow,
        ring=extra["ring"][1] if "ring" in extra else None,
        ignored_fields=(*unread, *(("coordinate reference system",) if header.has_crs else ())),
    )


def _extra_columns(header: LasHeader, count: int) -> dict[str, tuple[str, NDArray[Any]]]:
    """For each column that extra bytes fill: the field of the record, and an array to fill."""
    columns: dict[str, tuple[str, NDArray[Any]]] = {}
    dtypes = {"device": np.uint32, "ring": np.uint16, "timestamp_ns": np.int64}
    for k, name in enumerate(header.extra_names):
        source = f"extra {k}"
        if header.records[source].str[1:] in _EXTRA_COLUMNS.get(name, ()):
            columns[name] = source, np.empty(count, dtype=dtypes[name])
    return columns


def _unpack_times(
    path: Path, raw: NDArray[np.uint8], header: LasHeader, begin: int, timestamp: NDArray[np.int64]
) -> None:
    """Fills int64 nanoseconds.

    Raises:
        FormatError: One is no time. To leave the column out would need all times of the file to be looked at first.
    """
    at = header.places["gps_time"]
    if header.standard_time:
        base, leaps = GPS_EPOCH_UNIX_S + ADJUSTED_BY_S, LEAPS_GPS_S - ADJUSTED_BY_S
    else:
        base, leaps = 0, np.zeros(0, dtype=np.int64)
    row = unpack_times(raw, header.records.itemsize, at, base, leaps, LARGEST_TIME_S, timestamp)
    if row >= 0:
        raise FormatError(
            path,
            place=f"field 'gps_time' of point {begin + row}, counted from 0",
            found=f"{raw.view(header.records)['gps_time'][row]}",
            expected="seconds that fit into 64 bits as nanoseconds",
            fix="Write the file again with a time for each point, or in a point format without GPS time.",
        )
