"""What a user may say about a recording when it is opened, where the recording itself doesn't."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class OpenOptions:
    """How to open a recording.

    Args:
        points_frame: The frame of reference that the points are in; None: the layout's own, which is ego.
        poses: A file of poses, world from ego, for layouts that have none of their own; None: look for one.
    """

    points_frame: Literal["ego", "world"] | None = None
    poses: Path | None = None
