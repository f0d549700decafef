"""KITTI's .bin: rows of four float32, x, y, z and reflectance, without a header."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lidarprep.errors import FormatError
from lidarprep.pointfiles.fields import cloud_from_fields
from lidarprep.pointfiles.raw_floats import rows_of, write_rows
from lidarprep.scene import PointCloud, ReferenceFrame

COLUMNS = ("x", "y", "z", "intensity")


def read(path: Path, frame: ReferenceFrame = "ego") -> PointCloud:
    """Read a KITTI .bin: (N, 3) float32 metres, intensity (N,) float32 (KITTI's own is 0 to 1).

    Raises:
        FormatError: The size is no multiple of 16 bytes, or the numbers are those of rows of five.
    """
    content = path.read_bytes()
    size = len(content)
    if size and size % 20 == 0 and (size % 16 or _looks_like_rows_of_five(content)):
        raise FormatError(
            path,
            found="rows of 5 float32 (20 bytes a point), as nuScenes writes them",
            expected="rows of 4 float32: x, y, z, reflectance",
            fix="Give it a name that ends in .pcd.bin, as in nuScenes, and it is read as x, y, z, intensity, ring.",
        )
    rows = rows_of(path, content, COLUMNS)
    return cloud_from_fields(path, {name: rows[:, k] for k, name in enumerate(COLUMNS)}, frame)


def write(path: Path, cloud: PointCloud) -> tuple[str, ...]:
    """Write a KITTI .bin, with reflectance 0 where the cloud has no intensity; return the columns not held exactly."""
    return write_rows(path, cloud, COLUMNS)


def _looks_like_rows_of_five(content: bytes) -> bool:
    """Whether rows of four make no sense (a negative reflectance) while rows of five end in a laser's number."""
    numbers = np.frombuffer(content, dtype="<f4")
    reflectance, ring = numbers[3::4], numbers[4::5]
    return bool((reflectance < 0).any() and np.isin(ring, np.arange(256)).all())
