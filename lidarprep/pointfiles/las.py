"""LAS and LAZ, versions 1.0 to 1.4, all point formats: airborne and mobile surveys, whole or in chunks.

In LAS a field that was not recorded is zero throughout. So the timestamp column is missing if all GPS times are 0,
colour if all are black, and is_ground if no point has a class beyond 0 and 1 (never classified, unclassified).
Colours have 8 bits if no channel of any point exceeds 255, else 16. Both rules apply to the whole file, so reading in
chunks gives the same columns as reading at once.

LAS does not name the sensor of a point: point_source_id is a flight line or a file, scanner_channel a beam of one
scanner. So `device` and `ring` are read from extra bytes of these names alone. Points flagged as withheld, synthetic,
key or overlap points are kept, and the flags are named as ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import EncodingError, FormatError, MissingExtraError
from lidarprep.kernels.las_records import unpack, unpack_colours
from lidarprep.pointfiles._files import appearing_whole, cast, check_trailing
from lidarprep.pointfiles._gps_time import GpsTimes
from lidarprep.pointfiles._las_header import LasHeader, read_header
from lidarprep.pointfiles.fields import plain_name
from lidarprep.pointfiles.timestamps import ADJUSTED_BY_S, GPS_EPOCH_UNIX_S, adjusted_gps_seconds
from lidarprep.remote import AnyPath
from lidarprep.remote.ranges import Range, ranges_of
from lidarprep.scene import PointCloud, ReferenceFrame

if TYPE_CHECKING:
    from lidarprep.pointfiles._laz import LazRecords, LazSample

Records: TypeAlias = "_PlainRecords | LazRecords"  # or samples of them

# Classes of the specification.
_UNCLASSIFIED, _GROUND = 1, 2

# Records that are unpacked at once: half a megabyte, which stays in the processor's cache.
_RECORDS_AT_ONCE = 16_384

# Places of a file that a sample is of.
_STRETCHES = 16

# Steps that surveys use, tried first when writing: they compress better and read better than powers of two.
_USUAL_SCALES = (0.001, 0.0001)
_LARGEST_INTEGER = 2**31 - 1

# Extra bytes that are read: the column's type, and the types of extra bytes that always fit into it.
_EXTRA_COLUMNS: dict[str, tuple[type[Any], tuple[str, ...]]] = {
    "device": (np.uint32, ("u1", "u2", "u4")),
    "ring": (np.uint16, ("u1", "u2")),
    "timestamp_ns": (np.int64, ("i8",)),
}


def read(path: AnyPath, frame: ReferenceFrame = "ego") -> PointCloud:
    """Read a LAS or LAZ file.

    GPS times become nanoseconds since the Unix epoch. Only seconds of a week that the file does not name remain what
    they are, in nanoseconds. `_gps_time` tells them apart; a point without a time takes that of the point before it.

    Returns:
        Positions (N, 3) float64 in the unit of the file's coordinate system, which is metres in nearly all; intensity
        uint16; is_ground for class 2. A coordinate system is not applied; it is named in `ignored_fields`.

    Raises:
        FormatError: The file is not LAS, is cut, or promises more than its size can hold.
        MissingExtraError: The points are compressed, and lazrs is not installed.
    """
    with path.open("rb") as stream:
        header = read_header(path, stream)
        return _cloud(path, header, _records(path, stream, header), header.count, frame)


def read_chunks(
    path: AnyPath, frame: ReferenceFrame = "ego", points_per_chunk: int = 1_000_000
) -> Iterator[PointCloud]:
    """Read a LAS or LAZ file in chunks, in file order, with one chunk in memory; together they equal `read`.

    A file in which times, classes or colours are not recorded, or colours have 8 bits, is scanned once before. Others
    are scanned until all are found, mostly for one chunk.

    Args:
        path: The file.
        frame: The points' frame of reference.
        points_per_chunk: Number of points in each chunk but the last; a file without points gives one empty chunk.

    Raises:
        FormatError, MissingExtraError: As for `read`, some of them only at the chunk concerned.
    """
    with path.open("rb") as stream:
        header = read_header(path, stream)
        content = _scan(_records(path, stream, header, scan=True), header)
        records = _records(path, stream, header)
        for begin in range(0, max(header.count, 1), points_per_chunk):
            count = min(points_per_chunk, header.count - begin)
            yield _cloud(path, header, records, count, frame, content)


def read_sample(path: AnyPath, frame: ReferenceFrame = "ego", most_bytes: int = 4 << 20) -> PointCloud:
    """Read some of the points of a LAS or LAZ file, in stretches that are spread over it; its notes say how many.

    What a file has not recorded is told by these alone: see the module.

    Args:
        path: The file.
        frame: The points' frame of reference.
        most_bytes: What they may take in the file; at least one chunk of a LAZ file is read.

    Raises:
        FormatError, MissingExtraError: As for `read`.
    """
    with path.open("rb") as stream:
        header = read_header(path, stream)
        records: _PlainSample | LazSample
        if header.laz_record is None:
            records = _PlainSample(path, stream, header, most_bytes)
        else:
            from lidarprep.pointfiles._laz import LazSample

            records = LazSample(path, stream, header, most_bytes)
        cloud = _cloud(path, header, records, records.count, frame)
    note = f"{path.name}: {records.count:,} of its {header.count:,} points are read, spread over the file"
    return replace(cloud, notes=(*cloud.notes, note))


def write(path: Path, cloud: PointCloud) -> tuple[str, ...]:
    """Write LAS 1.4, or LAZ if the name ends in .laz: point format 7 with colours, else 6.

    Coordinates become steps of 1 mm or 0.1 mm if that is exact, else of the finest power of two that spans them.
    Timestamps since 1980 become adjusted standard GPS time, earlier ones seconds of a week. Extra bytes hold `device`,
    `ring` and, where a float64 of seconds rounds the timestamps, `timestamp_ns`. Intensities from 0 to 1 become 0 to
    65535, others are rounded. Colours fill both bytes of 16 bits.

    Returns:
        Names of the cloud's columns that are rounded, or read back as not recorded: colours that are all black,
        is_ground without a ground point.

    Raises:
        EncodingError: A coordinate is not finite.
        MissingExtraError: laspy, or lazrs for LAZ, is not installed.
    """
    try:
        import laspy
    except ImportError:
        raise MissingExtraError("writing LAS files", "las") from None
    if not np.isfinite(cloud.positions).all():
        raise EncodingError(
            f"{path}: LAS cannot hold a coordinate that is not finite",
            fix="Drop such points first, or write another format, such as .ply.",
        )
    inexact: list[str] = []
    header = laspy.LasHeader(version="1.4", point_format=6 if cloud.colour is None else 7)
    header.global_encoding.wkt = True  # the specification asks for it from point format 6 on
    steps = [_in_steps(cloud.positions[:, k]) for k in range(3)]
    header.scales = np.array([scale for _, scale, _, _ in steps])
    header.offsets = np.array([offset for _, _, offset, _ in steps])
    inexact.extend([] if all(exact for *_, exact in steps) else ["positions"])
    columns: dict[str, NDArray[Any]] = dict(zip("XYZ", (integers for integers, *_ in steps), strict=True))
    columns |= {"return_number": np.ones(len(cloud), np.uint8), "number_of_returns": np.ones(len(cloud), np.uint8)}
    if cloud.intensity is not None:
        columns["intensity"], exact = _intensity(cloud.intensity)
        inexact.extend([] if exact else ["intensity"])
    extra = {name: column for name, column in cloud.columns.items() if name in ("device", "ring")}
    if cloud.timestamp is not None and len(cloud):
        standard = bool(cloud.timestamp.min() >= GPS_EPOCH_UNIX_S * 10**9)
        header.global_encoding.gps_time_type = laspy.header.GpsTimeType(int(standard))
        columns["gps_time"] = adjusted_gps_seconds(cloud.timestamp) if standard else cloud.timestamp / 1e9
        if not _read_back(columns["gps_time"], cloud.timestamp, standard=standard):
            extra["timestamp_ns"] = cloud.timestamp
    if cloud.is_ground is not None:
        columns["classification"] = np.where(cloud.is_ground, _GROUND, _UNCLASSIFIED).astype(np.uint8)
        inexact.extend([] if cloud.is_ground.any() else ["is_ground"])
    if cloud.colour is not None:
        columns |= {name: cloud.colour[:, k] * np.uint16(257) for k, name in enumerate(("red", "green", "blue"))}
        inexact.extend([] if cloud.colour.any() else ["colour"])
    header.add_extra_dims([laspy.ExtraBytesParams(name, column.dtype) for name, column in extra.items()])
    points = laspy.LasData(header, laspy.ScaleAwarePointRecord.zeros(len(cloud), header=header))
    for name, column in (columns | extra).items():
        points[name] = column
    compressed = path.name.lower().endswith(".laz")
    if compressed and not laspy.LazBackend.detect_available():
        raise MissingExtraError("writing LAZ files", "las")
    with appearing_whole(path) as stream:
        points.write(stream, do_compress=compressed)
    return tuple(name for name in ("positions", *cloud.columns) if name in inexact)


class _PlainRecords:
    """The records of an uncompressed file, in order."""

    def __init__(self, path: AnyPath, stream: BinaryIO, header: LasHeader) -> None:
        self.path = path
        self.stream = stream
        self.header = header
        end = header.data_begins + header.count * header.records.itemsize
        if not header.has_more:
            stream.seek(end)
            promised = f"{header.count} points of {header.records.itemsize} bytes"
            check_trailing(path, stream.read(), promised)
        stream.seek(header.data_begins)

    def blocks(self, count: int) -> Iterator[NDArray[np.void]]:
        """Yield the next `count` records in arrays, each overwritten by the next."""
        buffer = np.empty(min(count, _RECORDS_AT_ONCE), dtype=self.header.records)
        for begin in range(0, count, _RECORDS_AT_ONCE):
            part = buffer[: min(_RECORDS_AT_ONCE, count - begin)]
            if self.stream.readinto(part.view(np.uint8)) != part.nbytes:  # type: ignore[attr-defined]
                raise FormatError(self.path, found="the file became shorter while it was read")
            yield part


class _PlainSample(_PlainRecords):
    """Stretches of the records of an uncompressed file, spread over it."""

    def __init__(self, path: AnyPath, stream: BinaryIO, header: LasHeader, most_bytes: int) -> None:
        super().__init__(path, stream, header)
        stretch = max(1, most_bytes // _STRETCHES // header.records.itemsize)
        starts = np.linspace(0, header.count - stretch, _STRETCHES).astype(int)
        self._starts = [0] if header.count <= _STRETCHES * stretch else starts.tolist()
        self._stretch = header.count if header.count <= _STRETCHES * stretch else stretch
        self.count = len(self._starts) * self._stretch

    def blocks(self, count: int) -> Iterator[NDArray[np.void]]:
        """Yield the records of each stretch."""
        size = self.header.records.itemsize
        ranges = [Range(self.header.data_begins + start * size, self._stretch * size) for start in self._starts]
        for place, view in zip(ranges, ranges_of(self.stream).views(ranges), strict=True):
            data = view(*place)
            if len(data) != place.size:
                raise FormatError(self.path, found="the file became shorter while it was read")
            yield np.frombuffer(data, dtype=self.header.records)


def _records(path: AnyPath, stream: BinaryIO, header: LasHeader, *, scan: bool = False) -> Records:
    if header.laz_record is None:
        return _PlainRecords(path, stream, header)
    from lidarprep.pointfiles._laz import LazRecords

    return LazRecords(path, stream, header, scan=scan)


@dataclass
class _Content:
    """The optional fields that are recorded at all."""

    times: GpsTimes
    classes: bool = False
    largest_colour: int = 0
    fields: tuple[str, ...] = field(default=(), repr=False)

    def look_at(self, block: NDArray[np.void]) -> None:
        """Take another part of the file into account."""
        if "gps_time" in self.fields:
            self.times.look_at(block["gps_time"])
        if not self.classes:
            self.classes = bool((block["classification"] & self.class_bits > 1).any())
        if "red" in self.fields and self.largest_colour <= 255:
            largest = (int(block[channel].max()) for channel in ("red", "green", "blue"))
            self.largest_colour = max(self.largest_colour, *largest)

    @property
    def class_bits(self) -> int:
        """Bits of the classification byte that hold the class; in formats 0 to 5 the others are flags."""
        return 0xFF if "flags" in self.fields else 0x1F

    @property
    def known(self) -> bool:
        """Whether further parts cannot change this."""
        coloured = self.largest_colour > 255 or "red" not in self.fields
        return self.classes and coloured and (self.times.known or "gps_time" not in self.fields)


def _content_of(header: LasHeader) -> _Content:
    return _Content(GpsTimes(header.gps_less_s, header.written_by_s), fields=header.records.names or ())


def _scan(records: Records, header: LasHeader) -> _Content:
    """Find the fields that are recorded in the whole file; stop reading once all are known."""
    content = _content_of(header)
    for block in records.blocks(header.count):
        content.look_at(block)
        if content.known:
            break
    return content


def _cloud(
    path: AnyPath,
    header: LasHeader,
    records: Records,
    count: int,
    frame: ReferenceFrame,
    content: _Content | None = None,
) -> PointCloud:
    """Return the next `count` points; without `content` they are the whole file."""
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
    waiting = 0  # rows whose seconds are kept as they are, until what they count from is known
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
            _GROUND,
            np.array(header.scales),
            np.array(header.offsets),
            positions[rows].reshape(-1),
            intensity[rows],
            is_ground[rows],
        )
        if timestamp is not None and content.times.known:
            if waiting:
                content.times.convert(timestamp[:waiting].view(np.uint8), 8, 0, timestamp[:waiting])
                waiting = 0
            content.times.convert(raw, size, places["gps_time"], timestamp[rows])
        elif timestamp is not None:
            timestamp[rows].view(np.float64)[:] = block["gps_time"]
            waiting = rows.stop
        if colour is not None:
            unpack_colours(raw, size, places["red"], colour[rows].reshape(-1))
        for source, column in extra.values():
            column[rows] = block[source]
        begin += len(block)
    read_extra = {source for source, _ in extra.values()}
    unread = [*header.unread]
    unread += [name for k, name in enumerate(header.extra_names) if f"extra {k}" not in read_extra]
    if (content.times.known and not timed) or (not content.times.known and content.times.odd):
        unread.append("gps_time")
    if "timestamp_ns" in extra:
        timestamp = extra["timestamp_ns"][1]
    elif not content.times.known:
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
        notes=(*header.notes, *(content.times.notes if timed else ())),
    )


def _extra_columns(header: LasHeader, count: int) -> dict[str, tuple[str, NDArray[Any]]]:
    """Return, for each column that extra bytes fill, the field of the record and an array to fill."""
    columns: dict[str, tuple[str, NDArray[Any]]] = {}
    for k, given in enumerate(header.extra_names):
        source, name = f"extra {k}", plain_name(given)
        dtype, fitting = _EXTRA_COLUMNS.get(name, (np.int64, ()))
        if name not in columns and header.records[source].str[1:] in fitting:
            columns[name] = source, np.empty(count, dtype=dtype)
    return columns


def _read_back(seconds: NDArray[np.float64], timestamp: NDArray[np.int64], *, standard: bool) -> bool:
    """Return whether GPS times (N,) are read as these timestamps (N,)."""
    times = GpsTimes(ADJUSTED_BY_S if standard else None)
    times.look_at(seconds)
    if not times.known:
        return False
    back = np.empty(len(seconds), dtype=np.int64)
    times.convert(seconds.view(np.uint8), 8, 0, back)
    return bool(np.array_equal(back, timestamp))


def _in_steps(values: NDArray[np.floating[Any]]) -> tuple[NDArray[np.int32], float, float, bool]:
    """Return coordinates as whole steps from an offset: the integers, a step, the offset, and whether that is exact."""
    values = values.astype(np.float64)
    if values.size == 0:
        return np.zeros(0, np.int32), _USUAL_SCALES[0], 0.0, True
    middle = float(np.rint(values.min() / 2 + values.max() / 2))
    spans = {offset: float(np.abs(values - offset).max()) for offset in (0.0, middle)}
    candidates = [(scale, 0.0) for scale in _USUAL_SCALES]
    candidates += [(_finest_power(span), offset) for offset, span in spans.items()]
    for scale, offset in candidates:
        integers = np.rint((values - offset) / scale)
        if np.abs(integers).max() > _LARGEST_INTEGER:
            continue
        exact = bool(np.array_equal(integers * scale + offset, values))
        if exact:
            break
    return integers.astype(np.int32), scale, offset, exact


def _finest_power(span: float) -> float:
    """Return the smallest power of two, at least 2^-60, of which 32-bit integers can count up to `span`."""
    return float(2.0 ** max(np.ceil(np.log2(max(span, 2.0**-30))) - 30, -60))


def _intensity(values: NDArray[Any]) -> tuple[NDArray[np.uint16], bool]:
    """Return uint16, clipped to the range, and whether every value is preserved exactly."""
    if values.dtype.kind in "biu":
        clipped = np.clip(values, 0, 65535) if values.dtype.kind != "b" else values
        held, _ = cast(clipped, np.uint16)
        return held, bool(np.array_equal(held, values))
    finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=65535.0, neginf=0.0)
    scaled = finite * 65535 if finite.size and finite.min() >= 0 and finite.max() <= 1 else finite
    held = np.clip(np.rint(scaled), 0, 65535).astype(np.uint16)
    return held, bool(np.array_equal(held, values))
