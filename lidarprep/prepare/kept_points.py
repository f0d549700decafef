"""Kept points: which of the source's points an attachment holds, a bit a point.

By it, labels of an attachment's points come back to the recording's own points. The object is a gzip stream of the
bits, the first point in the highest bit of the first byte (`numpy.packbits`), padded with zeros to whole bytes; how
many points there are is the frame's `points_in`. Points stay in their order, so the n-th point of the attachment is the
n-th set bit. An attachment that holds all points has no such object.
"""

from __future__ import annotations

import gzip

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError

SUFFIX = ".bits.gz"
CONTENT_TYPE = "application/gzip"

# Bits of a cropped scan hardly compress further above it, and 9 takes ten times as long.
_LEVEL = 1


def encode(rows: NDArray[np.int64], points_in: int) -> bytes:
    """Encode which points are kept.

    Args:
        rows: (K,) rows of the source's points that are kept, increasing.
        points_in: How many points the source has.
    """
    bits = np.zeros(points_in, dtype=np.uint8)
    bits[rows] = 1
    return gzip.compress(np.packbits(bits).tobytes(), _LEVEL, mtime=0)  # no time: the same bytes each time


def decode(data: bytes, points_in: int, *, source: str = "kept points") -> NDArray[np.int64]:
    """Return the rows of the source's points that are kept, (K,) int64, increasing; `source` names it in errors.

    Raises:
        FormatError: The data is not what `encode` makes of so many points.
    """
    try:
        packed = np.frombuffer(gzip.decompress(data), dtype=np.uint8)
    except (OSError, EOFError) as error:
        raise FormatError(source, found=f"not a gzip stream ({error})", expected="kept points") from None
    if len(packed) != -(-points_in // 8):
        raise FormatError(source, found=f"{len(packed)} bytes of bits", expected=f"those of {points_in} points")
    return np.flatnonzero(np.unpackbits(packed, count=points_in)).astype(np.int64)
