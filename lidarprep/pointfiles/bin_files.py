"""Bare rows of little-endian float32 without a header: KITTI's .bin and nuScenes' .pcd.bin, which is not a PCD."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError
from lidarprep.pointfiles._files import appearing_whole, cast, scalar_columns
from lidarprep.pointfiles.fields import cloud_from_fields
from lidarprep.scene import PointCloud, ReferenceFrame

KITTI_COLUMNS = ("x", "y", "z", "intensity")
NUSCENES_COLUMNS = ("x", "y", "z", "intensity", "ring")


def read(path: Path, frame: ReferenceFrame = "ego") -> PointCloud:
    """Read a .pcd.bin as nuScenes' rows of five, any other .bin as KITTI's rows of four.

    Returns:
        Positions (N, 3) float32 metres, intensity (N,) float32 (KITTI's own is 0 to 1, nuScenes' 0 to 255); of
        nuScenes, ring (N,) uint16.

    Raises:
        FormatError: The size is not a multiple of a row's, or a .bin holds the numbers of rows of five.
    """
    if _columns_of(path) is NUSCENES_COLUMNS:
        return read_nuscenes(path, frame)
    content = path.read_bytes()
    size = len(content)
    if size and size % 20 == 0 and (size % 16 or _looks_like_rows_of_five(content)):
        raise FormatError(
            path,
            found="rows of 5 float32 (20 bytes a point), as nuScenes writes them",
            expected="rows of 4 float32: x, y, z, reflectance",
            fix="Give it a name that ends in .pcd.bin, as in nuScenes, and it is read as x, y, z, intensity, ring.",
        )
    return _cloud(path, content, KITTI_COLUMNS, frame)


def read_nuscenes(path: Path, frame: ReferenceFrame = "ego") -> PointCloud:
    """Read nuScenes' rows of five, whatever the file's name; as `read`."""
    return _cloud(path, path.read_bytes(), NUSCENES_COLUMNS, frame)


def write(path: Path, cloud: PointCloud) -> tuple[str, ...]:
    """Write rows of float32, 0 where the cloud lacks a column.

    Returns:
        Names of the cloud's columns that are left out, or rounded to float32.
    """
    names = _columns_of(path)
    columns = scalar_columns(cloud)
    rows: NDArray[Any] = np.zeros((len(cloud), len(names)), dtype="<f4")
    rounded: set[str] = set()
    for k, name in enumerate(names):
        if name in columns:
            rows[:, k], exact = cast(columns[name], np.float32)
            rounded.update(() if exact else {"positions" if name in "xyz" else name})
    with appearing_whole(path) as stream:
        stream.write(rows.tobytes())
    return tuple(name for name in ("positions", *cloud.columns) if name in rounded or name not in ("positions", *names))


def _columns_of(path: Path) -> tuple[str, ...]:
    return NUSCENES_COLUMNS if path.name.lower().endswith(".pcd.bin") else KITTI_COLUMNS


def _cloud(path: Path, content: bytes, names: tuple[str, ...], frame: ReferenceFrame) -> PointCloud:
    size, row = len(content), 4 * len(names)
    if size == 0 or size % row:
        raise FormatError(
            path,
            place=f"byte {size - size % row}",
            found="an empty file" if size == 0 else f"{size % row} bytes left over after {size // row} points",
            expected=f"rows of {len(names)} float32 ({', '.join(names)}), {row} bytes a point",
            fix="The file was cut, or is of another format: .bin is KITTI's rows of 4, .pcd.bin nuScenes' of 5.",
        )
    rows = np.frombuffer(content, dtype="<f4").reshape(-1, len(names))
    return cloud_from_fields(path, {name: rows[:, k] for k, name in enumerate(names)}, frame)


def _looks_like_rows_of_five(content: bytes) -> bool:
    """Return whether rows of four make no sense (a negative reflectance) while rows of five end in a laser's number."""
    numbers = np.frombuffer(content, dtype="<f4")
    reflectance, ring = numbers[3::4], numbers[4::5]
    return bool((reflectance < 0).any() and np.isin(ring, np.arange(256)).all())
