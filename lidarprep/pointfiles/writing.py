"""What writing a point file has in common over the formats: named columns, exact casts, and files that appear whole."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lidarprep.scene import PointCloud


@contextmanager
def appearing_whole(path: Path) -> Iterator[BinaryIO]:
    """A stream to write the file through: it gets its name when all is written, and is gone if writing fails."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            yield stream
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def scalar_columns(cloud: PointCloud) -> dict[str, NDArray[Any]]:
    """The cloud as (N,) columns, by names that `fields.py` reads back as the same columns.

    The timestamp's name says its unit, so that no reader has to guess it.
    """
    columns: dict[str, NDArray[Any]] = {axis: cloud.positions[:, k] for k, axis in enumerate("xyz")}
    for name, column in cloud.columns.items():
        if name == "timestamp":
            columns["timestamp_ns"] = column
        elif name == "colour":
            columns.update({channel: column[:, k] for k, channel in enumerate(("red", "green", "blue"))})
        else:
            columns[name] = column
    return columns


def records(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.void]:
    """(N,) structured array, little-endian and packed, with a field for each column in order."""
    dtype = np.dtype([(name, column.dtype.newbyteorder("<")) for name, column in columns.items()])
    table = np.empty(len(next(iter(columns.values()))), dtype=dtype)
    for name, column in columns.items():
        table[name] = column
    return table


def cast(column: NDArray[Any], dtype: DTypeLike) -> tuple[NDArray[Any], bool]:
    """The column as `dtype`, and whether every value is held exactly."""
    with np.errstate(over="ignore", invalid="ignore"):
        held = column.astype(dtype)
        exact = np.array_equal(held.astype(column.dtype), column, equal_nan=column.dtype.kind == "f")
    return held, exact


def storable(column: NDArray[Any], types: Collection[str]) -> tuple[NDArray[Any], bool]:
    """The column in a type that a format has, and whether every value is held exactly.

    Args:
        column: (N,) numbers or booleans.
        types: What the format has, as NumPy's codes: "u1", "f4", …; f4 and f8 at least.
    """
    if column.dtype.kind == "b":
        return column.astype(np.uint8), True
    own = f"{column.dtype.kind}{column.dtype.itemsize}"
    if own in types:
        return column.astype(own), True
    return cast(column, np.float32 if own == "f2" else np.float64)
