"""The records of LAS files to columns, in one pass over their bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lidarprep.kernels.jit import kernel
from lidarprep.kernels.memory import byte_at, float64_of_bits, u32_at, u64_at, view_of

_NANOSECONDS = 1_000_000_000


@kernel
def unpack(
    records: Any,
    size: int,
    class_at: int,
    class_bits: int,
    ground: int,
    scales: Any,
    offsets: Any,
    positions: Any,
    intensity: Any,
    is_ground: Any,
) -> None:
    """Unpack the fields that all point formats have.

    Args:
        records: (N · size,) uint8.
        size: Bytes of a record, at least 20.
        class_at: Offset of the class in a record.
        class_bits: The bits of that byte that hold the class.
        ground: The class of ground points.
        scales, offsets: (3,) float64 each; a coordinate is its integer times the scale, plus the offset.
        positions: (N · 3,) float64 to fill.
        intensity: (N,) uint16 to fill.
        is_ground: (N,) bool to fill.
    """
    view = view_of(records)
    scale_x, scale_y, scale_z = scales[0], scales[1], scales[2]
    offset_x, offset_y, offset_z = offsets[0], offsets[1], offsets[2]
    for row in range(intensity.shape[0]):
        at = row * size
        positions[3 * row] = np.int32(u32_at(view, at)) * scale_x + offset_x
        positions[3 * row + 1] = np.int32(u32_at(view, at + 4)) * scale_y + offset_y
        positions[3 * row + 2] = np.int32(u32_at(view, at + 8)) * scale_z + offset_z
        intensity[row] = np.uint16(byte_at(view, at + 12) | (byte_at(view, at + 13) << 8))
        is_ground[row] = (byte_at(view, at + class_at) & class_bits) == ground


@kernel
def unpack_times(
    records: Any, size: int, time_at: int, base: int, leaps: Any, limit: float, zeros: bool, last: Any, timestamp: Any
) -> Any:
    """Convert float64 seconds to nanoseconds, each rounded to the nearest; whole seconds and fractions apart.

    A point without a time takes that of the point before it.

    Args:
        records, size: As for `unpack`.
        time_at: Offset of the seconds in a record.
        base: Whole seconds that are added.
        leaps: (L,) int64, ascending, on the records' own count of seconds: from each of them, one second is taken off.
        limit: Largest magnitude of a time, seconds.
        zeros: Whether 0 is a time.
        last: Nanoseconds of the point before.
        timestamp: (N,) int64 to fill; may be the memory of the records.

    Returns:
        Nanoseconds of the last point, and how many had no time.
    """
    view = view_of(records)
    passed = 0
    without = 0
    for row in range(timestamp.shape[0]):
        seconds = float64_of_bits(u64_at(view, row * size + time_at))
        if not abs(seconds) <= limit or (seconds == 0.0 and not zeros):
            without += 1
            timestamp[row] = last
            continue
        floor = np.floor(seconds)
        whole = np.int64(floor)
        while passed < leaps.shape[0] and whole >= leaps[passed]:
            passed += 1
        while passed > 0 and whole < leaps[passed - 1]:
            passed -= 1
        fraction = np.int64(np.rint((seconds - floor) * 1e9))
        last = (whole + base - passed) * _NANOSECONDS + fraction
        timestamp[row] = last
    return last, without


@kernel
def unpack_colours(records: Any, size: int, colour_at: int, colour: Any) -> None:
    """Unpack three consecutive 16-bit numbers.

    Args:
        records, size: As for `unpack`.
        colour_at: Offset of the first in a record.
        colour: (N · 6,) uint8 to fill: of each number, the lower byte and the upper one.
    """
    view = view_of(records)
    for row in range(colour.shape[0] // 6):
        for k in range(6):
            colour[6 * row + k] = byte_at(view, row * size + colour_at + k)
