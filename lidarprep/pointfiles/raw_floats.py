"""Bare rows of little-endian float32 without a header, which KITTI's and nuScenes' .bin files share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError
from lidarprep.pointfiles.writing import appearing_whole, cast, scalar_columns
from lidarprep.scene import PointCloud


def rows_of(path: Path, content: bytes, names: Sequence[str]) -> NDArray[np.float32]:
    """(N, len(names)) float32: the file's whole content.

    Raises:
        FormatError: The file is empty, or its size is no multiple of a row's.
    """
    size = len(content)
    row = 4 * len(names)
    if size == 0 or size % row:
        raise FormatError(
            path,
            place=f"byte {size - size % row}",
            found="an empty file" if size == 0 else f"{size % row} bytes left over after {size // row} points",
            expected=f"rows of {len(names)} float32 ({', '.join(names)}), {row} bytes a point",
            fix="The file was cut, or is of another format: .bin is KITTI's rows of 4, .pcd.bin nuScenes' of 5.",
        )
    return np.frombuffer(content, dtype="<f4").reshape(-1, len(names))


def write_rows(path: Path, cloud: PointCloud, names: Sequence[str]) -> tuple[str, ...]:
    """Write the named columns as float32 rows, 0 where the cloud lacks one.

    Returns:
        Names of the cloud's columns that are left out, or rounded to float32.
    """
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
