"""Recordings and point files: what is on the disk, as plain scene data.

`open_layout` opens a recording and reads no points; `read_points` reads one point file. `points/` holds one module a
point-file format, `layouts/` one module a recording layout.
"""

from lidarprep.readers.layouts import LAYOUTS, Layout, Layouts, OpenOptions
from lidarprep.readers.open import open_layout
from lidarprep.readers.points import is_point_file, point_suffixes, read_points, write_points

__all__ = [
    "LAYOUTS",
    "Layout",
    "Layouts",
    "OpenOptions",
    "is_point_file",
    "open_layout",
    "point_suffixes",
    "read_points",
    "write_points",
]
