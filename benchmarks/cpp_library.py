"""Builds the C++ that lidarprep is measured and checked against, where g++ is there."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parent / "cpp" / "encoders.cpp"


def build(folder: Path) -> ctypes.CDLL | None:
    """The library, built in `folder`; None where there is no g++."""
    if shutil.which("g++") is None:
        return None
    target = folder / "encoders.so"
    flags = ["-O3", "-march=native", "-std=c++20", "-shared", "-fPIC"]
    subprocess.run(["g++", *flags, str(SOURCE), "-o", str(target)], check=True)
    library = ctypes.CDLL(str(target))
    for name in ("json_fixed4", "json_shortest", "lidar_frame_points", "first_wrong"):
        getattr(library, name).restype = ctypes.c_int64
    return library
