""".npy and .npz: plain arrays, structured arrays, and archives of named columns. Never a pickle, which can run code.

NumPy allocates what an array's header promises before it reads; here the promise is checked against the size first.
"""

from __future__ import annotations

import lzma
import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from lidarprep.errors import FormatError
from lidarprep.pointfiles._files import appearing_whole, records, scalar_columns
from lidarprep.pointfiles.columns import cloud_from_columns, columns_option, parse_columns, refuse_types
from lidarprep.pointfiles.fields import cloud_from_fields, is_known
from lidarprep.pointfiles.row_layout import row_width
from lidarprep.remote import AnyPath
from lidarprep.scene import PointCloud, ReferenceFrame

# The columns of a plain (N, 3+) array; further ones are ignored.
PLAIN_COLUMNS = ("x", "y", "z", "intensity")

# Names of two-dimensional arrays in an archive, or of structured ones beside others, as pyntcloud writes them.
POSITION_NAMES = ("positions", "points", "xyz", "arr_0")  # arr_0: numpy.savez(path, array)
COLOUR_NAMES = ("colour", "colours", "color", "colors", "rgb")

# A point has no more columns than this: what is wider is an image, a mask, or an array that lies on its side.
MOST_COLUMNS = 32

# Errors of the standard library on a damaged, encrypted or oddly compressed zip.
_ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)


def read(path: AnyPath, frame: ReferenceFrame = "ego", columns: str | None = None) -> PointCloud:
    """Read a .npy or .npz.

    A .npy is (N, 3) x, y, z, or (N, 4+) with intensity as the fourth, or a structured array (N,) of named fields. A
    .npz holds columns (N,) by name, or `positions` (N, 3+) in place of x, y, z and `colour` (N, 3). With `columns`
    the one plain array of the file is (N, columns), (columns, N), or (N · columns,) row by row.

    Raises:
        FormatError: The file is of another format, is cut, holds Python objects, or its columns differ in length;
            its array is an image, a matrix or lies on its side; or it is not what `columns` says.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        if path.suffix.lower() == ".npz":
            arrays = dict(_archive(path, stream))
        else:
            arrays = {"positions": _array(path, stream, size, None)}
    if columns is not None:
        return _named_cloud(path, arrays, columns, frame)
    fields: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        fields.update(_columns(path, name, array, alone=len(arrays) == 1))
    # An archive may hold other arrays beside the columns, such as a calibration.
    length = next((column.shape[:1] for name, column in fields.items() if name.lower() == "x"), None)
    others = [name for name, column in fields.items() if length is not None and column.shape[:1] != length]
    unfit = [name for name in others if is_known(name)]
    if unfit:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise FormatError(path, found=f"arrays of different lengths: {shapes}", expected="one row a point in each")
    kept = {name: column for name, column in fields.items() if name not in others}
    return cloud_from_fields(path, kept, frame, unread=others)


def write(path: Path, cloud: PointCloud) -> tuple[str, ...]:
    """Write a .npz of the cloud's columns, or a .npy: structured, or plain (N, 3) if there are positions alone.

    Returns:
        (): Both preserve every column exactly.
    """
    with appearing_whole(path) as stream:
        if path.suffix.lower() == ".npz":
            columns = {"timestamp_ns" if name == "timestamp" else name: c for name, c in cloud.columns.items()}
            np.savez(stream, positions=cloud.positions, **columns)  # type: ignore[arg-type]
        else:
            np.save(stream, records(scalar_columns(cloud)) if cloud.columns else cloud.positions, allow_pickle=False)
    return ()


def _columns(path: AnyPath, name: str, array: NDArray[Any], *, alone: bool) -> dict[str, NDArray[Any]]:
    """Return the fields of one array."""
    if array.dtype.names is not None and (alone or name.lower() in POSITION_NAMES):
        return {field: array[field] for field in array.dtype.names}
    if array.ndim == 2 and name.lower() in POSITION_NAMES:
        _check_shape(path, name, array)
        beyond = [f"column {k}" for k in range(len(PLAIN_COLUMNS), array.shape[1])]
        names = (*PLAIN_COLUMNS, *beyond)[: array.shape[1]]
        return {column: array[:, k] for k, column in enumerate(names)}
    if array.ndim == 2 and array.shape[1] == 3 and name.lower() in COLOUR_NAMES:
        return {channel: array[:, k] for k, channel in enumerate(("red", "green", "blue"))}
    return {name: array}


def _named_cloud(path: AnyPath, arrays: dict[str, NDArray[Any]], text: str, frame: ReferenceFrame) -> PointCloud:
    """Return the cloud of the one plain array, whose columns the user named."""
    columns = parse_columns(text)
    refuse_types(path, columns, "an array, whose header states the type of its numbers")
    plain = [
        (name, array)
        for name, array in arrays.items()
        if array.ndim in (1, 2) and array.dtype.kind in "iuf" and (len(arrays) == 1 or name.lower() in POSITION_NAMES)
    ]
    if len(plain) != 1:
        shapes = ", ".join(f"{name} {array.shape} of {array.dtype}" for name, array in arrays.items())
        raise FormatError(
            path,
            found=f"{shapes}: no single plain array of points",
            expected=f"rows of {len(columns)} numbers",
            fix="Leave --columns out: arrays with names need none.",
        )
    (_, array), width = plain[0], len(columns)
    if array.ndim == 1 and array.size % width == 0:
        rows = array.reshape(-1, width)
    elif array.ndim == 2 and array.shape[1] == width:
        rows = array
    elif array.ndim == 2 and array.shape[0] == width:
        rows = array.T
    else:
        raise FormatError(
            path,
            found=f"an array of shape {array.shape}",
            expected=f"rows of {width} numbers: {text}",
            fix="Count the columns of --columns again; _ skips one.",
        )
    unread = [name for name in arrays if name != plain[0][0]]
    return cloud_from_columns(path, columns, list(rows.T), frame, unread=unread)


def _check_shape(path: AnyPath, name: str, array: NDArray[Any]) -> None:
    """Check that a plain array (N, K) can be rows of points.

    Raises:
        FormatError: It has too few columns or far too many, is a matrix of a pose, or its numbers belong to rows of
            another width.
    """
    rows, width = array.shape
    place = None if path.suffix.lower() == ".npy" else f"array '{name}'"
    found, expected, fix = f"an array of shape {array.shape}", "(N, 3) or wider: x, y, z, …", None
    if width > MOST_COLUMNS:
        if 3 <= rows <= MOST_COLUMNS:
            values = ",".join((*PLAIN_COLUMNS[: min(rows, 4)], *["_"] * (rows - 4)))
            found += ", which lies on its side"
            fix = f"Its columns are said by {columns_option(values)}."
        else:
            found += ", an image or a mask: no point has that many columns"
    elif width >= 3:
        if array.shape == (4, 4) and array.dtype.kind == "f" and np.array_equal(array[3], (0, 0, 0, 1)):
            found, expected = "a 4 × 4 matrix, as of a pose", "points"
        else:
            fitting = _fitting_width(array)
            if fitting == width:
                return
            values = ",".join((*PLAIN_COLUMNS[: min(fitting, 4)], *["_"] * (fitting - 4)))
            found += f", whose numbers fit rows of {fitting}"
            fix = (
                f"It was shaped wrongly: numpy.load(…).reshape(-1, {fitting}) mends it. If its shape is right, say so "
                f"with {columns_option(','.join((*PLAIN_COLUMNS[: min(width, 4)], *['_'] * (width - 4))))}."
            )
    raise FormatError(path, place=place, found=found, expected=expected, fix=fix)


def _fitting_width(array: NDArray[Any]) -> int:
    """Return how many numbers a row has, as the numbers themselves tell: of floats that lie row by row."""
    width = int(array.shape[1])
    if array.dtype.kind != "f" or not array.flags.c_contiguous:
        return width
    with np.errstate(over="ignore", invalid="ignore"):
        return row_width(array.ravel().astype(np.float32), width)


def _archive(path: AnyPath, stream: IO[bytes]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the arrays of a .npz by name."""
    try:
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                with archive.open(member) as entry:
                    yield name, _array(path, entry, member.file_size, f"array '{name}'")
    except _ARCHIVE_ERRORS as error:
        raise FormatError(
            path,
            found=f"not a readable .npz archive ({error})",
            expected="a zip of .npy arrays, as numpy.savez writes it",
        ) from error


def _array(path: AnyPath, stream: IO[bytes], size: int, place: str | None) -> NDArray[Any]:
    """Read one array in the .npy format, of `size` bytes with its header."""
    if size == 0:
        raise FormatError(path, place=place, found="an empty file", expected="a .npy array")
    try:
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran_order, dtype = read_header(stream)
    except (ValueError, SyntaxError, TypeError, TokenError, OverflowError) as error:
        raise FormatError(
            path,
            place=place or "the header",
            found=f"not a .npy header ({error})",
            expected="one as numpy.save writes it",
        ) from error
    if dtype.hasobject:
        raise FormatError(
            path,
            place=place,
            found="Python objects, which are stored as a pickle; reading one can run any code",
            expected="numbers",
            fix="Save plain columns of numbers, as with numpy.savez(path, x=…, y=…, z=…).",
        )
    promised = math.prod(shape) * dtype.itemsize
    if dtype.itemsize == 0 or min(shape, default=0) < 0 or promised != size - stream.tell():
        raise FormatError(
            path,
            place=place or f"byte {size}",
            found=f"{size - stream.tell()} bytes after the header",
            expected=f"{promised}: an array {shape} of {dtype}",
            fix="The file was cut, or its header belongs to another one: write it again.",
        )
    data = np.frombuffer(stream.read(), dtype=dtype)
    return data.reshape(shape, order="F" if fortran_order else "C")
