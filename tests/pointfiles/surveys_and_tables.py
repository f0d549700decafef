"""LAS, LAZ, Parquet and Feather files as bytes, as laspy and pyarrow write them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import laspy
import numpy as np
import pyarrow as pa
from pyarrow import feather, parquet


def las_bytes(version: str, number: int, *, compressed: bool = False, count: int = 20) -> bytes:
    header = laspy.LasHeader(version=version, point_format=number)
    header.add_extra_dim(laspy.ExtraBytesParams("ring", "u1"))
    points = laspy.LasData(header, laspy.ScaleAwarePointRecord.zeros(count, header=header))
    for k, name in enumerate(("X", "Y", "Z", "intensity", "classification", "gps_time", "red")):
        if name in points.point_format.dimension_names:
            points[name] = np.arange(count) % 8 + k
    stream = io.BytesIO()
    points.write(stream, do_compress=compressed)
    return stream.getvalue()


def tables() -> list[Any]:
    numbers = np.linspace(-5, 5, 30)
    return [
        pa.table({"x": numbers, "y": numbers.astype("f4"), "z": numbers, "i": np.arange(30), "label": ["a"] * 30}),
        pa.table({"x": pa.array(numbers).dictionary_encode(), "y": numbers, "z": pa.array([None, *numbers[1:]])}),
        pa.table({"xyz": pa.FixedSizeListArray.from_arrays(np.arange(30.0), 3)}),
    ]


def table_bytes(write: Callable[..., None], **options: Any) -> list[bytes]:
    streams = [io.BytesIO() for _ in tables()]
    for stream, table in zip(streams, tables(), strict=True):
        write(table, stream, **options)
    return [stream.getvalue() for stream in streams]


def seeds(suffix: str) -> list[bytes]:
    """Sound files of a format: las, laz, parquet or feather."""
    if suffix in ("las", "laz"):
        kinds = [("1.1", 0), ("1.2", 3), ("1.3", 5), ("1.4", 7), ("1.4", 10)]
        return [las_bytes(*kind, compressed=suffix == "laz") for kind in kinds]
    if suffix == "parquet":
        return table_bytes(parquet.write_table)
    return [
        *table_bytes(feather.write_feather, compression="lz4"),
        *table_bytes(feather.write_feather, compression="uncompressed"),
    ]
