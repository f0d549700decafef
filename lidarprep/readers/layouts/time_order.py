"""Frames come in time order, since attachments do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from lidarprep.errors import SceneError
from lidarprep.scene import Frame


def check_time_order(frames: Sequence[Frame]) -> None:
    """Check that the frames that have a timestamp come one after the other.

    Raises:
        SceneError: A frame is not later than the one before it.
    """
    stamped = [(frame.id, frame.timestamp) for frame in frames if frame.timestamp is not None]
    for (earlier, before), (later, after) in pairwise(stamped):
        if after <= before:
            raise SceneError(
                f"frames out of time order: frame {later} at {after} ns comes after frame {earlier} at {before} ns",
                fix="Number the files in time order, or correct the timestamps.",
            )
