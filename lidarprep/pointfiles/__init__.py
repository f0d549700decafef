"""One module a point-file format: path → PointCloud, and back.

A format is known by its file name's end. Its module, and the library behind it, is imported when a file of that
format is met, so importing this package is cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
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


class ChunkedFormat(PointFormat, Protocol):
    """What a module offers whose files may be larger than memory."""

    def read_chunks(
        self, path: Path, frame: ReferenceFrame = "ego", points_per_chunk: int = 1_000_000
    ) -> Iterator[PointCloud]:
        """Read a file's points piece by piece, in their order: together, what `read` gives."""


# How a file's name ends, and the module that reads it. The longest end that fits wins: .pcd.bin is no .bin.
POINT_FORMATS: dict[str, str] = {
    ".ply": "lidarprep.pointfiles.ply",
    ".pcd": "lidarprep.pointfiles.pcd",
    ".pcd.bin": "lidarprep.pointfiles.nuscenes_bin",
    ".bin": "lidarprep.pointfiles.kitti_bin",
    ".npy": "lidarprep.pointfiles.numpy_files",
    ".npz": "lidarprep.pointfiles.numpy_files",
    ".csv": "lidarprep.pointfiles.delimited",
    ".tsv": "lidarprep.pointfiles.delimited",
    ".xyz": "lidarprep.pointfiles.delimited",
    ".asc": "lidarprep.pointfiles.delimited",
    ".pts": "lidarprep.pointfiles.delimited",
    ".las": "lidarprep.pointfiles.las",
    ".laz": "lidarprep.pointfiles.las",
    ".parquet": "lidarprep.pointfiles.tables",
    ".feather": "lidarprep.pointfiles.tables",
    ".arrow": "lidarprep.pointfiles.tables",
}

# Names that other files have as well, such as poses: one is a point file only where it is named itself, and never
# because it lies in a folder.
ONLY_IF_NAMED: dict[str, str] = {".txt": "lidarprep.pointfiles.delimited"}

# Formats whose module has a ChunkedFormat's `read_chunks` too, and the size in bytes above which it is offered: below,
# reading at once takes less memory than a chunk's columns may.
CHUNKED_ABOVE: dict[str, int] = {".las": 64 << 20, ".laz": 8 << 20}


@cache
def point_suffixes(*, named: bool = False) -> tuple[str, ...]:
    """How the names of point files end, longest first; `named` as for `point_suffix`."""
    suffixes = POINT_FORMATS | ONLY_IF_NAMED if named else POINT_FORMATS
    return tuple(sorted(suffixes, key=lambda suffix: (-len(suffix), suffix)))


def point_suffix(path: str | PathLike[str], *, named: bool = False) -> str | None:
    """How this file's name ends among `point_suffixes` (in lower case), or None when it is no point file's name.

    Args:
        path: The file.
        named: Whether somebody named this very file; then a .txt is one of points too.
    """
    return suffix_of_name(Path(path).name, named=named)


def suffix_of_name(name: str, *, named: bool = False) -> str | None:
    """As `point_suffix`, of a file's name without its folder: for thousands of them."""
    lower, suffixes = name.lower(), point_suffixes(named=named)
    if not lower.endswith(suffixes):
        return None
    return next((suffix for suffix in suffixes if lower.endswith(suffix) and lower != suffix), None)


def is_point_file(path: str | PathLike[str], *, named: bool = False) -> bool:
    """Whether the name is that of a point file; the file is not looked at. `named` as for `point_suffix`."""
    return point_suffix(path, named=named) is not None


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


def point_chunks(path: str | PathLike[str], frame: ReferenceFrame = "ego") -> Callable[[], Iterator[PointCloud]] | None:
    """How to read a point file piece by piece, where it is large and its format can be; nothing is read yet.

    Args:
        path: The file; its name's end says the format.
        frame: The frame of reference that its points are in.

    Returns:
        A function that reads the file anew at each call: its pieces have the same columns, and together they are what
        `read_points` gives, with the same errors. None where the file should be read at once, or is not there.
    """
    path = path if isinstance(path, Path) else Path(path)
    suffix = suffix_of_name(path.name)
    if suffix not in CHUNKED_ABOVE:
        return None
    try:
        large = path.stat().st_size > CHUNKED_ABOVE[suffix]
    except OSError:
        return None
    return partial(_read_chunks, path, frame) if large else None


def _read_chunks(path: Path, frame: ReferenceFrame) -> Iterator[PointCloud]:
    try:
        yield from cast(ChunkedFormat, _format_of(path)).read_chunks(path, frame)
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
    suffix = point_suffix(path, named=True)
    if suffix is None:
        raise FormatError(path, found="not the name of a point file", expected=" ".join(sorted(POINT_FORMATS)))
    return cast(PointFormat, import_module((POINT_FORMATS | ONLY_IF_NAMED)[suffix]))
