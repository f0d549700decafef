"""Point files as bytes, as others write them (plyfile, pypcd4, NumPy), never by our own writers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plyfile import PlyData, PlyElement
from pypcd4.pypcd4 import Encoding
from pypcd4.pypcd4 import PointCloud as Pcd

VERTEX = np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4"), ("intensity", "f4"), ("ring", "u2")])


def some_points(count: int = 5) -> NDArray[Any]:
    """A structured array of `count` points, the same at each call."""
    random = np.random.default_rng(7)
    table = np.zeros(count, VERTEX)
    for axis in "xyz":
        table[axis] = random.normal(0, 20, count)
    table["intensity"] = random.integers(0, 255, count)
    table["ring"] = random.integers(0, 64, count)
    return table


def ply_bytes(table: NDArray[Any], *, text: bool = False, byte_order: str = "<", faces: int = 0) -> bytes:
    elements = [PlyElement.describe(table, "vertex")]
    if faces:
        face = np.empty(faces, dtype=[("vertex_indices", "O")])
        face["vertex_indices"] = [np.array([0, 1, 2 + k % 2], dtype="i4") for k in range(faces)]
        elements.append(PlyElement.describe(face, "face"))
    stream = io.BytesIO()
    PlyData(elements, text=text, byte_order=byte_order).write(stream)
    return stream.getvalue()


def pcd_bytes(table: NDArray[Any], encoding: Encoding) -> bytes:
    names = table.dtype.names
    assert names is not None
    stream = io.BytesIO()
    Pcd.from_points([table[name] for name in names], names, [table.dtype[name] for name in names]).save(
        stream, encoding=encoding
    )
    return stream.getvalue()


def npy_bytes(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz_bytes(**arrays: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def text_bytes(table: NDArray[Any], *, separator: str = ",") -> bytes:
    return bytes(pd.DataFrame(table).to_csv(index=False, sep=separator), "utf-8")


def bare_rows(array: NDArray[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    np.savetxt(stream, array, **options)
    return stream.getvalue()


def seeds() -> dict[str, bytes]:
    """One sound file of each encoding, by file name."""
    table = some_points()
    xyz = np.column_stack([table[axis] for axis in "xyz"])
    return {
        "ascii.ply": ply_bytes(table, text=True),
        "little.ply": ply_bytes(table),
        "big.ply": ply_bytes(table, byte_order=">"),
        "mesh.ply": ply_bytes(table, faces=3),
        "ascii.pcd": pcd_bytes(table, Encoding.ASCII),
        "binary.pcd": pcd_bytes(table, Encoding.BINARY),
        "compressed.pcd": pcd_bytes(np.repeat(table, 20), Encoding.BINARY_COMPRESSED),
        "named.csv": text_bytes(table),
        "rows.xyz": bare_rows(xyz, fmt="%.9g"),
        "counted.pts": b"5\n" + bare_rows(np.column_stack([xyz, table["ring"]]), fmt="%.3f"),
        "kitti.bin": np.column_stack([xyz, np.linspace(0, 1, 5)]).astype("<f4").tobytes(),
        "nuscenes.pcd.bin": np.column_stack([xyz, np.arange(5), np.arange(5)]).astype("<f4").tobytes(),
        "plain.npy": npy_bytes(xyz),
        "structured.npy": npy_bytes(table),
        "columns.npz": npz_bytes(**{name: table[name] for name in VERTEX.names or ()}),
    }
