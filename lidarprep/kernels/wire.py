"""The points of a LidarFrame protobuf: columns to wire bytes and back.

The wire format is that of https://protobuf.dev/programming-guides/encoding: a tag (field number << 3 | wire type),
then a varint (type 0), 8 bytes (1), a length and as many bytes (2), or 4 bytes (5), all little-endian.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lidarprep.kernels import HAS_D, HAS_GROUND, HAS_T, HAS_X, HAS_Y, HAS_Z
from lidarprep.kernels.jit import inlined, kernel
from lidarprep.kernels.memory import (
    byte_at,
    float32_of_bits,
    float64_of_bits,
    store_f32,
    store_f64,
    store_u8,
    u32_at,
    u64_at,
    view_of,
)

# LidarFrame.points = 4, length-delimited; then Point's x, y, z, i, d, t, is_ground.
_TAG_POINT = np.uint8(4 << 3 | 2)
_TAG_X, _TAG_Y, _TAG_Z, _TAG_I = (np.uint8(n << 3 | 5) for n in (1, 2, 3, 4))
_TAG_D = np.uint8(5 << 3 | 0)
_TAG_T = np.uint8(6 << 3 | 1)
_TAG_GROUND = np.uint8(7 << 3 | 0)

# Tag and length, three coordinates; intensity; device as a varint of up to 5 bytes; timestamp; ground.
_LARGEST_POINT = 2 + 15 + 5 + 6 + 9 + 2


def points_capacity(count: int) -> int:
    """Return the most wire bytes of `count` points."""
    return count * _LARGEST_POINT + 16


@inlined
def _write_varint(at: Any, value: Any) -> Any:
    while value >= np.uint64(128):
        store_u8(at, np.uint8((value & np.uint64(127)) | np.uint64(128)))
        value >>= np.uint64(7)
        at += 1
    store_u8(at, np.uint8(value))
    return at + 1


@kernel
def write_points(positions: Any, intensity: Any, device: Any, timestamp: Any, is_ground: Any, out: Any) -> Any:
    """Write points as repeated field 4 of a LidarFrame.

    Args:
        positions: (N, 3) float32.
        intensity: (N,) float32, or None.
        device: (N,) uint32, or None.
        timestamp: (N,) float64 nanoseconds, or None.
        is_ground: (N,) bool, or None.
        out: uint8 buffer of `points_capacity` bytes.

    Returns:
        Number of bytes written.
    """
    first: Any = np.intp(out.ctypes.data)
    at = first
    for row in range(positions.shape[0]):
        start = at + 2
        store_u8(at, _TAG_POINT)
        store_u8(start, _TAG_X)
        store_f32(start + 1, positions[row, 0])
        store_u8(start + 5, _TAG_Y)
        store_f32(start + 6, positions[row, 1])
        store_u8(start + 10, _TAG_Z)
        store_f32(start + 11, positions[row, 2])
        end = start + 15
        if intensity is not None:
            store_u8(end, _TAG_I)
            store_f32(end + 1, intensity[row])
            end += 5
        if device is not None:
            store_u8(end, _TAG_D)
            end = _write_varint(end + 1, np.uint64(device[row]))
        if timestamp is not None:
            store_u8(end, _TAG_T)
            store_f64(end + 1, timestamp[row])
            end += 9
        if is_ground is not None:
            store_u8(end, _TAG_GROUND)
            store_u8(end + 1, np.uint8(is_ground[row]))
            end += 2
        store_u8(at + 1, np.uint8(end - start))
        at = end
    return at - first


# ---- reading -------------------------------------------------------------------------------------------------------

OK = 0
CUT_SHORT = 1  # a field reaches beyond its message
BAD_VARINT = 2  # a varint of more than 10 bytes; a tag or a length of more than 5
BAD_TAG = 3  # field number 0, or a wire type that does not exist
MISSING_COORDINATE = 4  # a Point without x, y or z
BAD_GROUP = 5  # groups that do not close, or nest too deep

# How deep the official parsers follow groups in a LidarFrame; in one of its Points a level less.
MAX_GROUP_DEPTH = 100

_VALUE_BYTES, _TAG_BYTES, _LENGTH_BYTES = 10, 5, 5  # the longest varints that the official parsers take

# The shortest Point, with its tag and length, which bounds the number of points in a file.
SHORTEST_POINT = 17


@inlined
def _read_varint(data: Any, at: Any, end: Any, most: Any) -> Any:
    """Read a varint: (status, offset behind, value); bits beyond the 64th are dropped, as in the official parsers."""
    if at < end and byte_at(data, at) < 128:
        return OK, at + 1, np.uint64(byte_at(data, at))
    value = np.uint64(0)
    for group in range(most):
        if at >= end:
            return CUT_SHORT, at, value
        byte = byte_at(data, at)
        at += 1
        value |= np.uint64(byte & np.uint8(127)) << np.uint64(7 * group)
        if byte < 128:
            return OK, at, value
    return BAD_VARINT, at, value


@inlined
def _read_tag(data: Any, at: Any, end: Any) -> Any:
    """Read a tag: (status, offset behind, field number, wire type)."""
    status, at, tag = _read_varint(data, at, end, _TAG_BYTES)
    if status != OK:
        return status, at, np.int64(0), np.int64(0)
    field, wire = np.int64(tag >> np.uint64(3)), np.int64(tag & np.uint64(7))
    if tag > np.uint64(0xFFFFFFFF) or field == 0 or wire > 5:
        return BAD_TAG, at, field, wire
    return OK, at, field, wire


@inlined
def _skip_plain(data: Any, at: Any, end: Any, wire: Any) -> Any:
    """Skip a value other than a group: (status, offset behind)."""
    if wire == 0:
        status, at, _ = _read_varint(data, at, end, _VALUE_BYTES)
        return status, at
    if wire == 2:
        status, at, length = _read_varint(data, at, end, _LENGTH_BYTES)
        if status != OK:
            return status, at
        if length > np.uint64(end - at):
            return CUT_SHORT, at
        return OK, at + np.int64(length)
    at += 8 if wire == 1 else 4
    return (OK, at) if at <= end else (CUT_SHORT, end)


@kernel
def _skip_group(data: Any, at: Any, end: Any, field: Any, wire: Any, most_groups: Any) -> Any:
    """Skip the group just opened: (status, offset behind). Groups are obsolete, but parsers accept them."""
    depth = 0
    open_groups = np.empty(MAX_GROUP_DEPTH, np.int64)
    while True:
        if wire == 3:
            if depth == most_groups:
                return BAD_GROUP, at
            open_groups[depth] = field
            depth += 1
        elif wire == 4:
            if depth == 0 or open_groups[depth - 1] != field:
                return BAD_GROUP, at
            depth -= 1
            if depth == 0:
                return OK, at
        else:
            status, at = _skip_plain(data, at, end, wire)
            if status != OK:
                return status, at
        status, at, field, wire = _read_tag(data, at, end)
        if status != OK:
            return status, at


@inlined
def _skip_field(data: Any, at: Any, end: Any, field: Any, wire: Any, most_groups: Any) -> Any:
    """Skip the value of a field whose tag was just read: (status, offset behind)."""
    if wire == 3 or wire == 4:
        return _skip_group(data, at, end, field, wire, most_groups)
    return _skip_plain(data, at, end, wire)


@inlined
def _begins_with_coordinates(view: Any, at: Any, stop: Any) -> Any:
    """Return whether a Point begins with x, y, z in order, as all writers write it."""
    return (
        stop - at >= 15
        and byte_at(view, at) == _TAG_X
        and byte_at(view, at + 5) == _TAG_Y
        and byte_at(view, at + 10) == _TAG_Z
    )


@kernel
def read_points(
    data: Any, positions: Any, intensity: Any, device: Any, timestamp: Any, is_ground: Any, rest: Any
) -> Any:
    """Read the Points of the LidarFrame in `data` into columns; copy all other fields to `rest`.

    Fields of a Point may come in any order and more than once (the last counts); unknown ones are skipped.

    Args:
        data: (N,) uint8.
        positions: (M, 3) float32, with room for as many points as the data could hold.
        intensity: (M,) float32, zeros on entry, as the other optional columns; missing values are left unchanged.
        device: (M,) uint32.
        timestamp: (M,) float64.
        is_ground: (M,) bool.
        rest: uint8 buffer as long as `data`; gets the message without its points, for the official parser.

    Returns:
        (status, offset, points, bytes in rest, HAS_ bits of any point, HAS_ bits of every point).
    """
    view = view_of(data)
    at, end, row, kept = 0, view[1], 0, 0
    any_seen, all_seen = 0, 127
    while at < end:
        start = at
        status, at, field, wire = _read_tag(view, at, end)
        if status != OK:
            return status, at, row, kept, any_seen, all_seen
        if field != 4 or wire != 2:
            status, at = _skip_field(view, at, end, field, wire, MAX_GROUP_DEPTH)
            if status != OK:
                return status, at, row, kept, any_seen, all_seen
            rest[kept : kept + at - start] = data[start:at]
            kept += at - start
            continue
        status, at, length = _read_varint(view, at, end, _LENGTH_BYTES)
        if status != OK:
            return status, at, row, kept, any_seen, all_seen
        if length > np.uint64(end - at):
            return CUT_SHORT, at, row, kept, any_seen, all_seen
        stop = at + np.int64(length)
        if stop - at < SHORTEST_POINT - 2:
            return MISSING_COORDINATE, stop, row, kept, any_seen, all_seen
        seen = 0
        if _begins_with_coordinates(view, at, stop):
            positions[row, 0] = float32_of_bits(u32_at(view, at + 1))
            positions[row, 1] = float32_of_bits(u32_at(view, at + 6))
            positions[row, 2] = float32_of_bits(u32_at(view, at + 11))
            at += 15
            seen = HAS_X | HAS_Y | HAS_Z
        while at < stop:
            status, at, field, wire = _read_tag(view, at, stop)
            if status != OK:
                return status, at, row, kept, any_seen, all_seen
            if wire == 5 and field <= 4:
                if stop - at < 4:
                    return CUT_SHORT, at, row, kept, any_seen, all_seen
                value = float32_of_bits(u32_at(view, at))
                at += 4
                seen |= 1 << (field - 1)
                if field == 4:
                    intensity[row] = value
                else:
                    positions[row, field - 1] = value
            elif wire == 1 and field == 6:
                if stop - at < 8:
                    return CUT_SHORT, at, row, kept, any_seen, all_seen
                timestamp[row] = float64_of_bits(u64_at(view, at))
                at += 8
                seen |= HAS_T
            elif wire == 0 and (field == 5 or field == 7):
                status, at, number = _read_varint(view, at, stop, _VALUE_BYTES)
                if status != OK:
                    return status, at, row, kept, any_seen, all_seen
                if field == 5:
                    device[row] = np.uint32(number & np.uint64(0xFFFFFFFF))
                    seen |= HAS_D
                else:
                    is_ground[row] = number != 0
                    seen |= HAS_GROUND
            else:
                status, at = _skip_field(view, at, stop, field, wire, MAX_GROUP_DEPTH - 1)
                if status != OK:
                    return status, at, row, kept, any_seen, all_seen
        if (seen & 7) != 7:
            return MISSING_COORDINATE, stop, row, kept, any_seen, all_seen
        any_seen |= seen
        all_seen &= seen
        row += 1
    return OK, at, row, kept, any_seen, all_seen
