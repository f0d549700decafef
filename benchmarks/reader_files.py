"""The files that readers.py reads: the same points in every format, each written by the format's own library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import laspy
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
from numpy.typing import NDArray
from plyfile import PlyData, PlyElement
from pypcd4 import Encoding
from pypcd4 import PointCloud as Pcd

Rows = NDArray[Any]  # structured: x, y, z, intensity, all float32

FIELDS = ("x", "y", "z", "intensity")


def rows_of(positions: NDArray[Any], intensity: NDArray[Any]) -> Rows:
    """(N,) structured rows of (N, 3) positions and (N,) intensities."""
    rows = np.empty(len(positions), dtype=[(name, "<f4") for name in FIELDS])
    for axis, name in enumerate("xyz"):
        rows[name] = positions[:, axis]
    rows["intensity"] = intensity
    return rows


def write_pcd(path: Path, rows: Rows, encoding: Encoding) -> None:
    columns = np.column_stack([rows[name] for name in FIELDS])
    Pcd.from_points(columns, FIELDS, (np.float32,) * 4).save(path, encoding)


def write_ply(path: Path, rows: Rows, *, text: bool = False, byte_order: str = "<") -> None:
    PlyData([PlyElement.describe(rows, "vertex")], text=text, byte_order=byte_order).write(path)


def write_las(path: Path, rows: Rows) -> None:
    header = laspy.LasHeader(point_format=6, version="1.4")
    header.scales = np.full(3, 0.001)
    las = laspy.LasData(header)
    las.x, las.y, las.z = (rows[axis].astype(np.float64) for axis in "xyz")
    las.intensity = rows["intensity"].astype(np.uint16)
    las.write(path)


def write_csv(path: Path, rows: Rows) -> None:
    pd.DataFrame({name: rows[name] for name in FIELDS}).to_csv(path, index=False)


def write_table(path: Path, rows: Rows) -> None:
    table = pa.table({name: rows[name] for name in FIELDS})
    if path.suffix == ".parquet":
        pa.parquet.write_table(table, path)
    else:
        pa.feather.write_feather(table, path)


def write_floats(path: Path, rows: Rows, columns: int) -> None:
    """KITTI's .bin has 4 columns, nuScenes' .pcd.bin a fifth: the ring."""
    table = np.zeros((len(rows), columns), dtype="<f4")
    for k, name in enumerate(FIELDS):
        table[:, k] = rows[name]
    table.tofile(path)


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "ascii.pcd": lambda path, rows: write_pcd(path, rows, Encoding.ASCII),
    "binary.pcd": lambda path, rows: write_pcd(path, rows, Encoding.BINARY),
    "compressed.pcd": lambda path, rows: write_pcd(path, rows, Encoding.BINARY_COMPRESSED),
    "ascii.ply": lambda path, rows: write_ply(path, rows, text=True),
    "little.ply": write_ply,
    "big.ply": lambda path, rows: write_ply(path, rows, byte_order=">"),
    "points.csv": write_csv,
    "points.las": write_las,
    "points.laz": write_las,
    "points.parquet": write_table,
    "points.feather": write_table,
    "points.bin": lambda path, rows: write_floats(path, rows, 4),
    "points.pcd.bin": lambda path, rows: write_floats(path, rows, 5),
    "points.npy": lambda path, rows: np.save(path, rows),
}
