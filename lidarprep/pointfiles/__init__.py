"""Point files: path → PointCloud, and back; one module a format.

The suffix of a file name gives the format. Its module, and the library behind it, is imported when a file of that
format is opened, so importing this package is cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from os import PathLike
from pathlib import Path, PurePath
from typing import Any, cast

from lidarprep.errors import FormatError, StorageError, naming
from lidarprep.remote import AnyPath, as_path
from lidarprep.scene import PointCloud, ReferenceFrame
from lidarprep.scene.points import TimeUnit

# A format's module has `read(path, frame) -> PointCloud` and `write(path, cloud)`, which returns the names of the
# columns that the format cannot hold exactly. If its files may be without the columns' names, its `read` also takes
# `columns`, the user's own (see `columns.py`). If its files may be larger than memory, it also has
# `read_chunks(path, frame)`: an iterator of clouds in file order, which together equal what `read` returns; and
# `read_sample(path, frame)`: some of the points.

# Suffixes, and the modules that read them. The longest suffix that fits wins: .pcd.bin is not .bin.
POINT_FORMATS: dict[str, str] = {
    ".ply": "lidarprep.pointfiles.ply",
    ".pcd": "lidarprep.pointfiles.pcd",
    ".pcd.bin": "lidarprep.pointfiles.bin_files",
    ".bin": "lidarprep.pointfiles.bin_files",
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

# Suffixes that other files have too, such as poses: these are point files only if named themselves, not in a folder.
ONLY_IF_NAMED: dict[str, str] = {".txt": "lidarprep.pointfiles.delimited"}

# Suffixes of files that may name no columns, so that the user may.
_MAY_LACK_NAMES = frozenset({".pcd.bin", ".bin", ".npy", ".npz", ".csv", ".tsv", ".xyz", ".asc", ".pts", ".txt"})

# Formats with `read_chunks`, and the size in bytes above which it is offered. Below, reading at once takes less memory
# than a chunk's columns may.
CHUNKED_ABOVE: dict[str, int] = {".las": 64 << 20, ".laz": 8 << 20}


@cache
def point_suffixes(*, named: bool = False) -> tuple[str, ...]:
    """Return the suffixes of point files, longest first; `named` as for `point_suffix`."""
    suffixes = POINT_FORMATS | ONLY_IF_NAMED if named else POINT_FORMATS
    return tuple(sorted(suffixes, key=lambda suffix: (-len(suffix), suffix)))


def point_suffix(path: str | PathLike[str], *, named: bool = False) -> str | None:
    """Return this file's suffix among `point_suffixes` in lower case, or None if it is not a point file's.

    Args:
        path: The file.
        named: Whether the user named this very file; then .txt is a point file's suffix too.
    """
    return suffix_of_name(PurePath(path).name, named=named)


def suffix_of_name(name: str, *, named: bool = False) -> str | None:
    """Return the suffix of a file's name without its folder, as `point_suffix`; fast enough for thousands."""
    lower, suffixes = name.lower(), point_suffixes(named=named)
    if not lower.endswith(suffixes):
        return None
    return next((suffix for suffix in suffixes if lower.endswith(suffix) and lower != suffix), None)


def is_point_file(path: str | PathLike[str], *, named: bool = False) -> bool:
    """Return whether the name is that of a point file, without opening it; `named` as for `point_suffix`."""
    return point_suffix(path, named=named) is not None


def takes_columns(path: str | PathLike[str]) -> bool:
    """Return whether the file is of a format in which it may name no columns, so that `read_points` takes them."""
    return point_suffix(path, named=True) in _MAY_LACK_NAMES


def read_points(
    path: str | PathLike[str],
    frame: ReferenceFrame = "ego",
    columns: str | None = None,
    time_unit: TimeUnit | None = None,
) -> PointCloud:
    """Read one point file.

    Args:
        path: The file; its suffix gives the format.
        frame: The points' frame of reference, which files do not state.
        columns: What the columns of a .bin, a .npy or text are, such as "x,y,z,intensity,_,timestamp:f8"; formats
            that always name their columns do without it. See `columns.py`.
        time_unit: The unit of the points' times, where the file does not state it; None: a guess. Times of a stated
            unit keep it, and the cloud's notes say so.

    Returns:
        (N, 3) positions in metres, float32 or float64 as in the file, and the columns that its fields fill.

    Raises:
        FormatError: The suffix is unknown, the file cannot be opened, or its content is not of its format.
        SceneError: `columns` makes no sense; in that unit the times are beyond int64 nanoseconds.
    """
    path = as_path(path)
    with _reading(path):
        named = (columns,) if columns is not None and takes_columns(path) else ()
        cloud = cast(PointCloud, _format_of(path).read(path, frame, *named))
    if time_unit is None:
        return cloud
    from lidarprep.pointfiles.timestamps import in_unit  # brings NumPy

    with naming(path):
        return in_unit(cloud, time_unit)


def point_chunks(path: str | PathLike[str], frame: ReferenceFrame = "ego") -> Callable[[], Iterator[PointCloud]] | None:
    """Return a chunked reader of a large point file, without reading it yet.

    Args:
        path: The file; its suffix gives the format.
        frame: The points' frame of reference.

    Returns:
        A function that reads the file from the start at each call. Its chunks have the same columns, and together
        equal `read_points`, with the same errors. None if the file should be read at once, or does not exist.
    """
    path = as_path(path)
    return partial(_read_chunks, path, frame) if _comes_in_chunks(path) else None


def point_sample(path: str | PathLike[str], frame: ReferenceFrame = "ego") -> Callable[[], PointCloud] | None:
    """Return what reads some of the points of a large file, spread over it, with `path` and `frame` as `point_chunks`.

    None if the file should be read at once, or does not exist.
    """
    path = as_path(path)
    return partial(_read_sample, path, frame) if _comes_in_chunks(path) else None


def _comes_in_chunks(path: AnyPath) -> bool:
    suffix = suffix_of_name(path.name)
    try:
        return suffix in CHUNKED_ABOVE and path.stat().st_size > CHUNKED_ABOVE[suffix]
    except OSError:
        return False


def _read_sample(path: AnyPath, frame: ReferenceFrame) -> PointCloud:
    with _reading(path):
        return cast(PointCloud, _format_of(path).read_sample(path, frame))


def _read_chunks(path: AnyPath, frame: ReferenceFrame) -> Iterator[PointCloud]:
    with _reading(path):
        yield from _format_of(path).read_chunks(path, frame)


def write_points(path: str | PathLike[str], cloud: PointCloud) -> tuple[str, ...]:
    """Write one point file; its suffix gives the format. The file appears once it is complete.

    Returns:
        Names of the cloud's columns that the format cannot hold exactly: they are left out or rounded.

    Raises:
        FormatError: The suffix is unknown.
        StorageError: The file cannot be written.
    """
    path = Path(path)
    try:
        return cast(tuple[str, ...], _format_of(path).write(path, cloud))
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error


@contextmanager
def _reading(path: AnyPath) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FormatError(path, found=f"the file cannot be read ({error.strerror or error})") from error


def _format_of(path: AnyPath) -> Any:
    suffix = point_suffix(path, named=True)
    if suffix is None:
        raise FormatError(path, found="not the name of a point file", expected=" ".join(sorted(POINT_FORMATS)))
    return import_module((POINT_FORMATS | ONLY_IF_NAMED)[suffix])
