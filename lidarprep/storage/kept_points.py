"""Kept points: which of the source's points an attachment holds, a bit a point; and which stand for others.

By it, labels of an attachment's points come back to the recording's own points. The object is a gzip stream of the
bits, the first point in the highest bit of the first byte (`numpy.packbits`), padded with zeros to whole bytes; how
many points there are is the frame's `points_in`. Points stay in their order, so the n-th point of the attachment is the
n-th set bit. An attachment that holds all points has no such object.

Where points were dropped since another one of their voxel is kept, a number follows for each point that is not kept: 0,
or the number (from 1) of the attachment's point that stands for it. They are written as the differences from one to the
next, int32, the lowest bytes of all first, then the second ones, and so on, which compresses best.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError

SUFFIX = ".bits.gz"
CONTENT_TYPE = "application/gzip"

# Bits of a cropped scan hardly compress further above it, and 9 takes ten times as long.
_LEVEL = 1


@dataclass(frozen=True)
class KeptPoints:
    """Which of a source's points an attachment holds.

    Args:
        rows: (K,) int64 rows of the source's points that are kept, increasing.
        stand_ins: (N,) uint32 for each of the source's points the number, from 1, of the attachment's point that is it,
            or stands for it; 0 for none. None where no point stands for another.
    """

    rows: NDArray[np.int64]
    stand_ins: NDArray[np.uint32] | None = None

    def carry(self, values: NDArray[np.unsignedinteger[Any]], points_in: int) -> NDArray[np.uint32]:
        """Return values of the attachment's points (K,) as values of the source's points (N,): 0 for those dropped."""
        if self.stand_ins is not None:
            of_number = np.zeros(len(values) + 1, dtype=np.uint32)
            of_number[1:] = values
            return of_number[self.stand_ins]
        carried = np.zeros(points_in, dtype=np.uint32)
        carried[self.rows] = values
        return carried


def encode(rows: NDArray[np.int64], points_in: int, stand_ins: NDArray[np.uint32] | None = None) -> bytes:
    """Encode which points are kept; arguments as those of `KeptPoints`, and how many points the source has."""
    bits = np.zeros(points_in, dtype=np.uint8)
    bits[rows] = 1
    data = np.packbits(bits).tobytes()
    if stand_ins is not None:
        numbers = stand_ins[bits == 0].astype(np.int64)
        differences = np.diff(numbers, prepend=0).astype("<i4")
        data += np.ascontiguousarray(differences.view(np.uint8).reshape(-1, 4).T).tobytes()
    return gzip.compress(data, _LEVEL, mtime=0)  # no time: the same bytes each time


def decode(data: bytes, points_in: int, *, source: str = "kept points") -> KeptPoints:
    """Read which points are kept; `source` names the object in errors.

    Raises:
        FormatError: The data is not what `encode` makes of so many points.
    """
    try:
        packed = np.frombuffer(gzip.decompress(data), dtype=np.uint8)
    except (OSError, EOFError, zlib.error) as error:
        raise FormatError(source, found=f"not a gzip stream ({error})", expected="kept points") from None
    size = -(-points_in // 8)
    if len(packed) < size:
        raise FormatError(source, found=f"{len(packed)} bytes of bits", expected=f"those of {points_in} points")
    bits = np.unpackbits(packed[:size], count=points_in)
    rows = np.flatnonzero(bits).astype(np.int64)
    if len(packed) == size:
        return KeptPoints(rows)
    dropped = points_in - len(rows)
    if len(packed) != size + 4 * dropped:
        raise FormatError(source, found=f"{len(packed)} bytes of bits", expected=f"those of {points_in} points")
    differences = np.ascontiguousarray(packed[size:].reshape(4, -1).T).view("<i4")[:, 0]
    numbers = np.cumsum(differences, dtype=np.int64)
    if dropped and not (numbers.min() >= 0 and numbers.max() <= len(rows)):
        raise FormatError(source, found="a point that stands for others and is not kept")
    stand_ins = np.empty(points_in, dtype=np.uint32)
    stand_ins[rows] = np.arange(1, len(rows) + 1)
    stand_ins[bits == 0] = numbers
    return KeptPoints(rows, stand_ins)
