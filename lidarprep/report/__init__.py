"""What a scene looks like: pictures, one HTML page with a viewer, and exports to viewers that people have.

Names are imported when they are first used: pictures bring Numba and Pillow.
"""

from typing import TYPE_CHECKING

import lazy_loader  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from lidarprep.report.overlay import overlay
    from lidarprep.report.side_view import side_view
    from lidarprep.report.top_down import top_down

__all__ = ["overlay", "side_view", "top_down"]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={"overlay": ["overlay"], "side_view": ["side_view"], "top_down": ["top_down"]},
)
