"""The compressed points of a LAZ file, decoded by lazrs after all sizes were checked against the file's.

A LAZ file stores its points in chunks, and a table of their sizes; LASzip 1 wrote one stream. lazrs allocates what
these numbers promise before it reads, and an absurd one ends the process. So three things are checked first: the record
that describes the compression, the table, and the sizes of the layers that each chunk of point formats 6 to 10 begins
with.

lazrs gets bytes, and no file where these come from a store: it takes an error of reading for damage.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError, MissingExtraError
from lidarprep.pointfiles._files import cut_short
from lidarprep.pointfiles._las_header import LasHeader
from lidarprep.remote import AnyPath
from lidarprep.remote.ranges import Range, ranges_of

try:
    import lazrs
except ImportError:
    raise MissingExtraError("LAZ files", "las") from None

# Points that are decoded at once, in threads: some twenty chunks of the usual 50,000.
POINTS_AT_ONCE = 1_000_000

# But no more than this in bytes, whatever extra bytes a header gives each point.
_BYTES_AT_ONCE = 256 << 20

# The most bytes of records that are believed of a compressed file: a fixed amount, and a multiple of the file. Real
# points are compressed to a tenth; those of a still wall that repeat in all but time to a hundredth.
_ROOM_BYTES = 64 << 20
_LARGEST_RATIO = 2000

# The most bytes of the table of chunks: its head, and what two compressed numbers of a chunk may take.
_TABLE_HEAD, _TABLE_ENTRY = 64, 16

# The compressor of one stream; 2 is that of chunks, 3 that of layers within chunks.
_POINTWISE = 1

# The parts of a compressed record by their numbers: bytes, and layers in a chunk (0: not layered; None: one a byte).
_PARTS: dict[int, tuple[int | None, int | None]] = {
    0: (None, 0),
    **{6: (20, 0), 7: (8, 0), 8: (6, 0), 9: (29, 0)},
    **{10: (30, 9), 11: (6, 1), 12: (8, 2), 13: (29, 1)},
    14: (None, None),
}


class Chunk(NamedTuple):
    """Points that are compressed together: where in the file, in how many bytes, and how many points."""

    start: int
    size: int
    points: int


class LazRecords:
    """The decoded records of a LAZ file, in order; `path` names it in errors.

    A `scan` decodes only classification, GPS time and colour, where that is faster; the rest is then undefined.

    Raises:
        FormatError: The chunks do not fit the file, or hold fewer points than the header promises.
    """

    def __init__(self, path: AnyPath, stream: BinaryIO, header: LasHeader, *, scan: bool = False) -> None:
        self.path = path
        self.header = header
        self.stream = stream
        self.chunks: list[Chunk] = []
        self._decoded: Iterator[NDArray[np.void]] = iter(())
        self._left = np.empty(0, dtype=header.records)
        if header.count == 0:
            return
        record = header.laz_record or b""
        layers = self._check_record(record)
        if record[0] == _POINTWISE:
            if not self._believable(header.count * header.records.itemsize, stream.seek(0, 2)):
                self._fail_count(stream.seek(0, 2))
            # Without chunks all points are one; the record's size of chunks means nothing.
            record = record[:12] + struct.pack("<I", min(header.count, 2**32 - 2)) + record[16:]
            self._decoded = self._decode_stream(record)
            return
        self.chunks = self._chosen(self._read_chunks(stream, record))
        self._check_sizes(self.chunks, layers)
        self._decoded = self._decode_chunks(record, _selection(header, scan=scan))

    def blocks(self, count: int) -> Iterator[NDArray[np.void]]:
        """Yield the next `count` records in arrays, each overwritten by the next."""
        while count:
            if not len(self._left):
                self._left = next(self._decoded)
            part, self._left = self._left[:count], self._left[count:]
            count -= len(part)
            yield part

    @property
    def _at_once(self) -> int:
        return min(POINTS_AT_ONCE, _BYTES_AT_ONCE // self.header.records.itemsize)

    def _decode_stream(self, record: bytes) -> Iterator[NDArray[np.void]]:
        """Yield the records of a file without chunks."""
        self.stream.seek(self.header.data_begins)
        source = self.stream if isinstance(self.path, Path) else BytesIO(self.stream.read())
        with self._one_error():
            decoder = lazrs.LasZipDecompressor(source, record)
        buffer = np.empty(min(self.header.count, self._at_once), dtype=self.header.records)
        for begin in range(0, self.header.count, len(buffer)):
            part = buffer[: self.header.count - begin]
            with self._one_error():
                decoder.decompress_many(part.view(np.uint8))
            yield part

    def _decode_chunks(self, record: bytes, selection: Any) -> Iterator[NDArray[np.void]]:
        """Yield the records of the chunks, some chunks at a time."""
        together = list(self._together())
        ranges = [Range(chunks[0].start, sum(chunk.size for chunk in chunks)) for chunks in together]
        buffer = np.empty(max(sum(chunk.points for chunk in chunks) for chunks in together), self.header.records)
        for chunks, place, view in zip(together, ranges, ranges_of(self.stream).views(ranges), strict=True):
            data = view(*place)
            part = buffer[: sum(chunk.points for chunk in chunks)]
            with self._one_error():
                table = [(chunk.points, chunk.size) for chunk in chunks]
                lazrs.decompress_points_with_chunk_table(data, record, part.view(np.uint8), table, selection)
            yield part

    def _together(self) -> Iterator[list[Chunk]]:
        """Yield neighbouring chunks that are decoded at once, in threads, with no more points than the header has."""
        group: list[Chunk] = []
        points, left = 0, self.header.count
        for chunk in self.chunks:
            if not left:
                break
            if group and (chunk.start != group[-1].start + group[-1].size or points + chunk.points > self._at_once):
                yield group
                group, points = [], 0
            group.append(chunk._replace(points=min(chunk.points, left)))
            points += group[-1].points
            left -= group[-1].points
        if group:
            yield group

    def _check_record(self, record: bytes) -> int:
        """Return the number of layers of a chunk, 0 if it is not layered."""
        if len(record) < 34:
            self._fail("the record of LAZ", f"{len(record)} bytes", "34 or more")
        compressor, coder = struct.unpack_from("<HH", record)
        parts = struct.unpack_from("<H", record, 32)[0]
        if compressor not in (_POINTWISE, 2, 3) or coder != 0:
            self._fail("the record of LAZ", f"compressor {compressor}, coder {coder}", "compressor 1 to 3, coder 0")
        if len(record) < 34 + 6 * parts:
            self._fail("the record of LAZ", f"{parts} parts in {len(record)} bytes", "6 bytes for each")
        length = layers = 0
        kinds = []
        for kind, size, _ in struct.iter_unpack("<HHH", record[34 : 34 + 6 * parts]):
            expected, own_layers = _PARTS.get(kind, (-1, 0))
            if size != (size if expected is None else expected):
                self._fail("the record of LAZ", f"part {kind} of {size} bytes", "a part of a LAS record")
            length += size
            layers += size if own_layers is None else own_layers
            kinds.append(kind)
        layered = self.header.point_format >= 6
        if length != self.header.records.itemsize or layered != (compressor == 3) or layered != (layers > 0):
            self._fail(
                "the record of LAZ",
                f"compressor {compressor} with parts {kinds}, {length} bytes",
                f"those of point format {self.header.point_format}, {self.header.records.itemsize} bytes",
            )
        return layers

    def _chosen(self, chunks: list[Chunk]) -> list[Chunk]:
        """Return the chunks that are decoded: all."""
        return chunks

    def _read_chunks(self, stream: BinaryIO, record: bytes) -> list[Chunk]:
        """Read the table of chunks, and check it against the file."""
        header, size = self.header, stream.seek(0, 2)
        begins = header.data_begins + 8
        table_at = self._number(stream, header.data_begins, "<q", size)
        if table_at == -1:  # a writer that could not go back leaves it at the end
            table_at = self._number(stream, size - 8, "<q", size)
        if not begins <= table_at <= size - 8:
            raise cut_short(self.path, size, f"a table of chunks at byte {table_at}")
        chunks = self._number(stream, table_at + 4, "<I", size)
        least = header.records.itemsize
        if chunks * least > table_at - begins:
            self._fail(f"byte {table_at + 4}", f"{chunks} chunks", f"as many as fit before byte {table_at}")
        stream.seek(table_at)
        # Behind its own place, as in the file.
        content = BytesIO(struct.pack("<q", 8) + stream.read(_TABLE_HEAD + _TABLE_ENTRY * chunks))
        with self._one_error():
            table: list[tuple[int, int]] = lazrs.read_chunk_table(content, lazrs.LazVlr(record))
        promised = sum(count for count, _ in table)
        if promised < header.count or sum(length for _, length in table) > table_at - begins:
            self._fail("the table of chunks", f"room for {promised} points", f"{header.count} in the bytes before it")
        if not self._believable(header.count * least, size):
            self._fail_count(size)
        places = accumulate((length for _, length in table), initial=begins)
        return [Chunk(at, length, count) for at, (count, length) in zip(places, table, strict=False)]

    def _check_sizes(self, chunks: Sequence[Chunk], layers: int) -> None:
        """Check what chunks promise to hold, before lazrs allocates it."""
        least = self.header.records.itemsize
        for chunk in chunks:
            # lazrs allocates a whole chunk, however few points the last one has.
            if not self._believable(chunk.points * least, chunk.size) or chunk.size < least:
                self._fail(
                    f"byte {chunk.start}", f"a chunk of {chunk.points} points in {chunk.size} bytes", "more bytes"
                )
        if not layers:
            return
        of_layers = [Range(chunk.start + least + 4, 4 * layers) for chunk in chunks]
        for chunk, place, view in zip(chunks, of_layers, ranges_of(self.stream).views(of_layers), strict=True):
            sizes = view(*place)
            if len(sizes) < place.size or sum(struct.unpack(f"<{layers}I", sizes)) > chunk.size - least - len(sizes):
                self._fail(f"byte {place.start}", "layers that reach beyond their chunk", f"{chunk.size} bytes")

    @staticmethod
    def _believable(record_bytes: int, compressed_bytes: int) -> bool:
        return record_bytes <= _ROOM_BYTES + _LARGEST_RATIO * compressed_bytes

    def _number(self, stream: BinaryIO, at: int, code: str, size: int) -> int:
        stream.seek(max(at, 0))
        content = stream.read(struct.calcsize(code))
        if at < 0 or len(content) < struct.calcsize(code):
            raise cut_short(self.path, size, "compressed points")
        value: int = struct.unpack(code, content)[0]
        return value

    @contextmanager
    def _one_error(self) -> Iterator[None]:
        """Turn the errors of lazrs into FormatError; a panic of its code is not an Exception."""
        try:
            yield
        except BaseException as error:
            ours = isinstance(error, (lazrs.LazrsError, ValueError, OverflowError, TypeError))
            if not ours and type(error).__name__ != "PanicException":
                raise
            raise FormatError(
                self.path,
                place="the compressed points",
                found=f"not readable LAZ ({error})",
                expected=f"{self.header.count} points, as the header says",
                fix="The file was cut or changed: get it again.",
            ) from error

    def _fail_count(self, size: int) -> NoReturn:
        self._fail("the header", f"{self.header.count} points in a file of {size} bytes", "fewer")

    def _fail(self, place: str, found: str, expected: str) -> NoReturn:
        raise FormatError(self.path, place=place, found=found, expected=expected)


class LazSample(LazRecords):
    """The records of a few chunks, spread over a file; of a file without chunks, its first ones.

    Args:
        path, stream, header: As of `LazRecords`.
        most_bytes: What the chunks may take in the file, but at least one is taken.
    """

    def __init__(self, path: AnyPath, stream: BinaryIO, header: LasHeader, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        super().__init__(path, stream, header)
        points = sum(chunk.points for chunk in self.chunks) if self.chunks else most_bytes // header.records.itemsize
        self.count = min(header.count, points)

    def _chosen(self, chunks: list[Chunk]) -> list[Chunk]:
        whole = chunks[:-1] or chunks  # the last one may hold fewer points than the table says
        mean = sum(chunk.size for chunk in whole) / len(whole)
        return [whole[row] for row in spread(len(whole), max(1, int(self._most_bytes / mean)))]


def spread(count: int, most: int) -> list[int]:
    """Return at most so many of `count` numbers from 0, evenly spread, from the first to the last."""
    return [0] if most == 1 else np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)).tolist()


def _selection(header: LasHeader, *, scan: bool) -> Any:
    """Return the fields to decode of point formats 6 to 10; of older ones lazrs decodes all."""
    wanted = lazrs.SELECTIVE_DECOMPRESS_CLASSIFICATION | lazrs.SELECTIVE_DECOMPRESS_GPS_TIME
    wanted |= lazrs.SELECTIVE_DECOMPRESS_RGB | lazrs.SELECTIVE_DECOMPRESS_XY_RETURNS_CHANNEL
    if not scan:
        wanted |= lazrs.SELECTIVE_DECOMPRESS_Z | lazrs.SELECTIVE_DECOMPRESS_INTENSITY
        wanted |= lazrs.SELECTIVE_DECOMPRESS_ALL_EXTRA_BYTES if header.extra_names else 0
    return lazrs.DecompressionSelection(wanted)
