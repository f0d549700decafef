"""Helpers that several point formats share: trailing bytes, exact casts, columns to write, atomic file creation."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lidarprep.errors import FormatError
from lidarprep.remote import AnyPath
from lidarprep.scene import PointCloud


def read_from(stream: BinaryIO, start: int) -> bytes:
    """Read a file from an offset on, unbuffered.

    The body gets an allocation of its own: NumPy copies numbers fastest from aligned addresses.
    """
    stream.seek(start)
    return stream.read()


def check_trailing(path: AnyPath, trailing: bytes, promised: str) -> None:
    """Accept zeros and white space after the data, which pad a file to a block's size.

    `promised` is the header's claim: "100 points of 16 bytes".

    Raises:
        FormatError: Other bytes follow; they may be points that the header does not count.
    """
    if trailing.strip(b"\0 \t\r\n"):
        raise FormatError(
            path,
            place=f"byte {path.stat().st_size - len(trailing)}",
            found=f"{len(trailing)} bytes more than the header promises",
            expected=f"the end of the file after {promised}",
            fix="Write the file again: its header and its data belong to different point counts.",
        )


def check_body(path: AnyPath, body: bytes, header_bytes: int, size: int, promise: str) -> None:
    """Check that `size` bytes, which the header promises, follow it, and then nothing but padding.

    Raises:
        FormatError: Fewer bytes follow, or more that are no padding.
    """
    if len(body) < size:
        found = f"the file ends {len(body)} bytes after its header"
        raise cut_short(path, header_bytes + len(body), f"at least {size} bytes: {promise}", found)
    check_trailing(path, body[size:], promise)


def cut_short(path: AnyPath, at: int, expected: str, found: str = "the file ends here") -> FormatError:
    """Return the error of a file that ends at byte `at`, before its content does."""
    fix = "The file was cut while it was copied or written: get it again."
    return FormatError(path, place=f"byte {at}", found=found, expected=expected, fix=fix)


@contextmanager
def appearing_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a stream whose file gets its name once all is written, and is removed if writing fails."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            yield stream
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def scalar_columns(cloud: PointCloud) -> dict[str, NDArray[Any]]:
    """Return the cloud as (N,) columns, by names that `fields.py` maps back to the same columns.

    The timestamp's name includes its unit, so that no reader has to guess it.
    """
    columns: dict[str, NDArray[Any]] = {axis: cloud.positions[:, k] for k, axis in enumerate("xyz")}
    for name, column in cloud.columns.items():
        if name == "timestamp":
            columns["timestamp_ns"] = column
        elif name == "colour":
            columns |= {channel: column[:, k] for k, channel in enumerate(("red", "green", "blue"))}
        else:
            columns[name] = column
    return columns


def records(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.void]:
    """Return an (N,) structured array, little-endian and packed, with a field for each column in order."""
    dtype = np.dtype([(name, column.dtype.newbyteorder("<")) for name, column in columns.items()])
    table = np.empty(len(next(iter(columns.values()))), dtype=dtype)
    for name, column in columns.items():
        table[name] = column
    return table


def cast(column: NDArray[Any], dtype: DTypeLike) -> tuple[NDArray[Any], bool]:
    """Return the column as `dtype`, and whether every value is preserved exactly."""
    with np.errstate(over="ignore", invalid="ignore"):
        held = column.astype(dtype)
        exact = np.array_equal(held.astype(column.dtype), column, equal_nan=column.dtype.kind == "f")
    return held, exact


def storable(columns: Mapping[str, NDArray[Any]], types: Collection[str]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return columns in `types` that a format has, and the names of those that are rounded.

    The types are NumPy codes, f4 and f8 at least: "u1", "f4", …; without "b1" booleans become "u1".
    """
    held, rounded = {}, []
    for name, column in columns.items():
        own = f"{column.dtype.kind}{column.dtype.itemsize}"
        fitting = own if own in types else {"b1": "u1", "f2": "f4"}.get(own, "f8")
        held[name], exact = (column.astype(own), True) if fitting == own else cast(column, fitting)
        rounded += [] if exact else [name]
    return held, rounded
