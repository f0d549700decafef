"""Bare rows of numbers without a header: KITTI's .bin, and nuScenes' .pcd.bin, which is not a PCD.

Nothing in such a file says how many numbers a row has, so the numbers have to show that they are what the name says;
`row_layout` says how. The user can name the columns instead, and then is believed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError
from lidarprep.pointfiles._files import appearing_whole, cast, scalar_columns
from lidarprep.pointfiles.columns import NamedColumn, cloud_from_columns, columns_option, parse_columns
from lidarprep.pointfiles.fields import cloud_from_fields
from lidarprep.pointfiles.row_layout import WIDTHS, is_absurd, row_width
from lidarprep.remote import AnyPath
from lidarprep.scene import PointCloud, ReferenceFrame

KITTI_COLUMNS = ("x", "y", "z", "intensity")
NUSCENES_COLUMNS = ("x", "y", "z", "intensity", "ring")

# The share of negative reflectances above which the fourth column is something else, such as a velocity.
_MOST_NEGATIVE = 0.01

# How files of other formats begin that bear the name of bare rows.
_MAGIC = {
    b"# .PCD": ".pcd", b"VERSION": ".pcd", b"ply\n": ".ply", b"ply\r": ".ply", b"LASF": ".las",
    b"\x93NUMPY": ".npy", b"PK\x03\x04": ".npz", b"PAR1": ".parquet",
}  # fmt: skip

# How --columns may look.
_VALUES = "x,y,z,intensity,_"

_TEXT = frozenset(b"\t\n\r" + bytes(range(0x20, 0x7F)))


def read(path: AnyPath, frame: ReferenceFrame = "ego", columns: str | None = None) -> PointCloud:
    """Read a .pcd.bin as nuScenes' rows of five, any other .bin as KITTI's rows of four, or as rows of named columns.

    Returns:
        Positions (N, 3) float32 metres, intensity (N,) float32 (KITTI's own is 0 to 1, nuScenes' 0 to 255); of
        nuScenes, ring (N,) uint16. With `columns` what they name, in their types.

    Raises:
        FormatError: The size is not a multiple of a row's, the numbers show that they are rows of another kind, or
            they are not what `columns` says.
    """
    return _read(path, _columns_of(path), frame, columns)


def read_nuscenes(path: AnyPath, frame: ReferenceFrame = "ego", columns: str | None = None) -> PointCloud:
    """Read nuScenes' rows of five, whatever the file's name; as `read`."""
    return _read(path, NUSCENES_COLUMNS, frame, columns)


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


def _columns_of(path: AnyPath) -> tuple[str, ...]:
    return NUSCENES_COLUMNS if path.name.lower().endswith(".pcd.bin") else KITTI_COLUMNS


def _read(path: AnyPath, names: tuple[str, ...], frame: ReferenceFrame, columns: str | None) -> PointCloud:
    content = path.read_bytes()
    if columns is not None:
        return _named_cloud(path, content, parse_columns(columns), frame)
    _check_layout(path, content, names)
    rows = np.frombuffer(content, dtype="<f4").reshape(-1, len(names))
    return cloud_from_fields(path, {name: rows[:, k] for k, name in enumerate(names)}, frame)


def _named_cloud(path: AnyPath, content: bytes, columns: tuple[NamedColumn, ...], frame: ReferenceFrame) -> PointCloud:
    dtype = np.dtype([(str(k), column.type or "<f4") for k, column in enumerate(columns)])
    if not content or len(content) % dtype.itemsize:
        raise _cut(
            path, len(content), f"{len(columns)} columns", dtype.itemsize, "Count the columns of --columns again."
        )
    rows = np.frombuffer(content, dtype)
    return cloud_from_columns(path, columns, [rows[str(k)] for k in range(len(columns))], frame)


def _cut(path: AnyPath, size: int, rows: str, row: int, fix: str) -> FormatError:
    return FormatError(
        path,
        place=f"byte {size - size % row}",
        found="an empty file" if size == 0 else f"{size % row} bytes left over after {size // row} points",
        expected=f"rows of {rows}, {row} bytes a point",
        fix=fix,
    )


# ---- telling what the rows are -------------------------------------------------------------------------------------


def _check_layout(path: AnyPath, content: bytes, names: tuple[str, ...]) -> None:
    """Check that the numbers can be rows of float32 of these names.

    Raises:
        FormatError: They are not; it names what fits better.
    """
    size, width = len(content), len(names)
    other = next((f"a {suffix} file" for magic, suffix in _MAGIC.items() if content.startswith(magic)), None)
    if other is None and size >= 16 and all(byte in _TEXT for byte in content[:64]):
        other = "text"
    if other is not None:
        raise FormatError(
            path,
            place="byte 0",
            found=f"the beginning of {other}",
            expected=f"rows of {width} float32 ({', '.join(names)}) without a header",
            fix="Give it a name that ends in the suffix of its format, such as .pcd or .txt.",
        )
    is_cut = size == 0 or size % (4 * width) != 0
    layout = _fitting(content, width) if size and size % 4 == 0 else None
    if layout is not None and layout != (4, width):
        fits, values = _described(content, *layout)
        raise FormatError(
            path,
            found=f"numbers that fit rows of {fits}",
            expected=f"rows of {width} float32: {', '.join(names)}",
            fix=f"Say what the rows hold, for example with {columns_option(values)}; _ skips a column."
            + ("" if is_cut else f" If they are rows of {width} all the same: --columns {','.join(names)}"),
        )
    if is_cut:
        widths = [str(other) for other in WIDTHS if size and size % (4 * other) == 0]
        fits = f"Rows of {' or '.join(widths)} float32 fit its size" if widths else "No rows of float32 fit its size"
        fix = (
            f"The file was cut, or its rows are of another kind than this name says. {fits}: {columns_option(_VALUES)} "
            "is how to name their columns."
        )
        raise _cut(path, size, f"{width} float32 ({', '.join(names)})", 4 * width, fix)
    if layout is None:
        raise FormatError(
            path,
            found="numbers that are no coordinates: beyond 1e8 m or below 1e-30 m, however long the rows are",
            expected=f"rows of {width} float32: {', '.join(names)}",
            fix="Labels, masks and images are stored so, too. If they are points, name the columns and their types, "
            f"such as {columns_option('x:f8,y:f8,z:f8,intensity:u1')}.",
        )
    numbers = np.frombuffer(content, dtype="<f4")
    if _negative_share(numbers, width) > _MOST_NEGATIVE:
        raise FormatError(
            path,
            place="column 4",
            found=f"reflectances below 0 (down to {np.nanmin(numbers[3::width]):g})",
            expected=f"rows of {width} float32: {', '.join(names)}",
            fix="If the fourth column is something else, skip it: "
            + columns_option(",".join("_" if name == "intensity" else name for name in names)),
        )


def _fitting(content: bytes, width: int) -> tuple[int, int] | None:
    """Return the bytes of a number, 4 or 8, and how many a row has, as the numbers tell; None if no rows fit.

    Rows of `width` float32 stand unless the numbers leave no doubt.
    """
    numbers = np.frombuffer(content, dtype="<f4")
    is_doubtful = len(numbers) % width != 0 or _negative_share(numbers, width) > _MOST_NEGATIVE
    fitting = row_width(numbers, width, is_doubtful=is_doubtful)
    if len(numbers) % fitting or not is_absurd(numbers, fitting):
        return 4, fitting
    if len(content) % 8:
        return None
    doubles = np.frombuffer(content, dtype="<f8")
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = doubles.astype("<f4")
    expected = next((k for k in (width, *WIDTHS) if len(doubles) % k == 0), None)
    if expected is None:
        return None
    fitting = row_width(narrow, expected)
    return None if is_absurd(doubles, fitting) else (8, fitting)


def _negative_share(numbers: NDArray[np.float32], width: int) -> float:
    """Return the share of negative reflectances in rows of this width."""
    with np.errstate(invalid="ignore"):
        return float((numbers[3::width] < 0).mean()) if len(numbers) > 3 else 0.0


def _described(content: bytes, size: int, width: int) -> tuple[str, str]:
    """Describe rows of numbers of `size` bytes: how many there are, and the value of --columns that may be right."""
    rows = np.frombuffer(content, f"<f{size}").reshape(-1, width)
    with np.errstate(invalid="ignore"):
        whole = [bool((column == np.rint(column)).all()) for column in rows.T]
        names = ["x", "y", "z", *["_"] * (width - 3)]
        if width >= 6 and all(whole[3:6]) and rows[:, 3:6].min() >= 0 and 1 < rows[:, 3:6].max() <= 255:
            names[3:6] = "red", "green", "blue"
        elif width > 3 and (rows[:, 3] >= 0).all():
            names[3] = "intensity"
        if width > 4 and names[4] == "_" and whole[4] and rows[:, 4].min() >= 0 and 0 < rows[:, 4].max() < 256:
            names[4] = "ring"
    code = "" if size == 4 else ":f8"
    return f"{width} float{8 * size}", ",".join(name + code for name in names)
