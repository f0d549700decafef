"""Radar returns as text: x, y, z, dx, dy, dz, size a line, parted by commas."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import RadarPoints, ReferenceFrame

COLUMNS = "x, y, z, dx, dy, dz, size"


def read_radar(path: Path, frame: ReferenceFrame = "ego") -> RadarPoints:
    """Read a file of radar returns; blank lines don't count, and a file without a return is fine.

    Returns:
        Positions (N, 3) in metres and directions (N, 3), both in `frame`, and sizes (N,); all float64.

    Raises:
        FormatError: The file cannot be read, or a line is not seven finite numbers.
    """
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise FormatError(path, found=f"the file cannot be read ({error.strerror or error})") from error
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = [float(value) for value in line.split(",")]
        except ValueError:
            row = []
        if len(row) != 7:
            raise FormatError(path, place=f"line {number}", found=repr(line[:80]), expected=f"7 numbers: {COLUMNS}")
        rows.append(row)
    table = np.array(rows, dtype=np.float64).reshape(-1, 7)
    try:
        return RadarPoints(table[:, :3].copy(), table[:, 3:6].copy(), table[:, 6].copy(), frame)
    except SceneError as error:
        raise FormatError(path, found=error.message, expected=f"finite numbers: {COLUMNS}") from error
