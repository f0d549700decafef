"""Recordings and attachments as scenes: one module (or small package) a layout, and `open_scene`, which guesses.

Opening a recording reads no points. `layouts` has the register and the entry point. Names are imported
when they are first used: the command line reads `options` without loading NumPy.
"""

from typing import TYPE_CHECKING

import lazy_loader  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from lidarprep.datasets.guess import Layout
    from lidarprep.datasets.layouts import known_layouts, open_scene
    from lidarprep.datasets.options import FrameOrder, OpenOptions, PointsFrame

__all__ = ["FrameOrder", "Layout", "OpenOptions", "PointsFrame", "known_layouts", "open_scene"]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "guess": ["Layout"],
        "layouts": ["known_layouts", "open_scene"],
        "options": ["FrameOrder", "OpenOptions", "PointsFrame"],
    },
)
