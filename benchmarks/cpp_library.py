"""Builds the C++ that lidarprep is measured and checked against, where g++ is there."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parent / "cpp" / "encoders.cpp"
NAME = "encoders.so"


def build(folder: Path) -> None:
    """Builds the library in `folder`, where there is g++."""
    if shutil.which("g++") is not None:
        flags = ["-O3", "-march=native", "-std=c++20", "-shared", "-fPIC"]
        subprocess.run(["g++", *flags, str(SOURCE), "-o", str(folder / NAME)], check=True)


def load(folder: Path) -> ctypes.CDLL | None:
    """The library that was built in `folder`; None where none could be."""
    if not (folder / NAME).exists():
        return None
    library = ctypes.CDLL(str(folder / NAME))
    for name in ("json_fixed4", "json_shortest", "lidar_frame_points", "first_wrong"):
        getattr(library, name).restype = ctypes.c_int64
    return library
