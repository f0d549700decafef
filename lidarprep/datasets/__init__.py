"""Recordings and attachments as scenes: one module (or small package) a layout, and `open_scene`, which guesses.

Opening a recording reads no points. `layouts` is the register of layouts, `open` the entry point.
"""

from lidarprep.datasets.layouts import LAYOUTS, Layout, Layouts
from lidarprep.datasets.open import known_layouts, open_layout, open_scene
from lidarprep.datasets.options import FrameOrder, OpenOptions, PointsFrame

__all__ = [
    "LAYOUTS",
    "FrameOrder",
    "Layout",
    "Layouts",
    "OpenOptions",
    "PointsFrame",
    "known_layouts",
    "open_layout",
    "open_scene",
]
