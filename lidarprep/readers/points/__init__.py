"""One module a point-file format: path → PointCloud, and back.

A format is known by its file name's end. Its module, and the library behind it, is imported when a file of that
format is met, so importing this package is cheap.
"""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Protocol, cast

from lidarprep.errors import FormatError, StorageError
from lidarprep.scene import PointCloud, ReferenceFrame


class PointFormat(Protocol):
    """What each module of this package offers."""

    def read(self, path: Path, frame: ReferenceFrame = "ego") -> PointCloud:
        """Read a file's points, which are in `frame`."""

    def write(self, path: Path, cloud: PointCloud) -> tuple[str, ...]:
        """Write the points; return the columns that the format cannot hold exactly."""


# How a file's name ends, and the module that reads it. The longest end that fits wins: .pcd.bin is no .bin.
POINT_FORMATS: dict[str, str] = {
    ".ply": "lidarprep.readers.points.ply",
    ".pcd": "lidarprep.readers.points.pcd",
    ".pcd.bin": "lidarprep.readers.points.nuscenes_bin",
    ".bin": "lidarprep.readers.points.kitti_bin",
    ".npy": "lidarprep.readers.points.numpy_files",
    ".npz": "lidarprep.readers.points.numpy_files",
}


def point_suffixes() -> tuple[str, ...]:
    """How the names of point files end, longest first."""
    return tuple(sorted(POINT_FORMATS, key=lambda suffix: (-len(suffix), suffix)))


def point_suffix(path: str | PathLike[str]) -> str | None:
    """How this file's name ends among `point_suffixes` (in lower case), or None when it is no point file's name."""
    name = Path(path).name.lower()
    return next((suffix for suffix in point_suffixes() if name.endswith(suffix) and name != suffix), None)


def is_point_file(path: str | PathLike[str]) -> bool:
    """Whether the name is that of a point file; the file is not looked at."""
    return point_suffix(path) is not None


def read_points(path: str | PathLike[str], frame: ReferenceFrame = "ego") -> PointCloud:
    """Read one point file.

    Args:
        path: The file; its name's end says the format.
        frame: The frame of reference that its points are in; no format says so itself.

    Returns:
        (N, 3) positions in metres, float32 or float64 as the file has them, and the columns that its fields fill.

    Raises:
        FormatError: The name's end is unknown, the file cannot be opened, or it is not what it claims to be.
    """
    path = Path(path)
    try:
        return _format_of(path).read(path, frame)
    except OSError as error:
        raise FormatError(path, found=f"the file cannot be read ({error.strerror or error})") from error


def write_points(path: str | PathLike[str], cloud: PointCloud) -> tuple[str, ...]:
    """Write one point file; its name's end says the format. The file appears whole or not at all.

    Returns:
        Names of the cloud's columns that the format cannot hold exactly: they are left out or rounded.

    Raises:
        FormatError: The name's end is unknown.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    try:
        return _format_of(path).write(path, cloud)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error


def _format_of(path: Path) -> PointFormat:
    suffix = point_suffix(path)
    if suffix is None:
        raise FormatError(path, found="not the name of a point file", expected=" ".join(sorted(POINT_FORMATS)))
    return cast(PointFormat, import_module(POINT_FORMATS[suffix]))
