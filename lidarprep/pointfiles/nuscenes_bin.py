"""nuScenes' .pcd.bin: rows of five float32, x, y, z, intensity (0 to 255) and ring. Despite its name it is no PCD."""

from __future__ import annotations

from pathlib import Path

from lidarprep.pointfiles.fields import cloud_from_fields
from lidarprep.pointfiles.raw_floats import rows_of, write_rows
from lidarprep.scene import PointCloud, ReferenceFrame

COLUMNS = ("x", "y", "z", "intensity", "ring")


def read(path: Path, frame: ReferenceFrame = "ego") -> PointCloud:
    """Read a nuScenes .pcd.bin: (N, 3) float32 metres, intensity (N,) float32, ring (N,) uint16.

    Raises:
        FormatError: The size is no multiple of 20 bytes.
    """
    rows = rows_of(path, path.read_bytes(), COLUMNS)
    return cloud_from_fields(path, {name: rows[:, k] for k, name in enumerate(COLUMNS)}, frame)


def write(path: Path, cloud: PointCloud) -> tuple[str, ...]:
    """Write a nuScenes .pcd.bin, with 0 where the cloud lacks a column; return the columns not held exactly."""
    return write_rows(path, cloud, COLUMNS)
