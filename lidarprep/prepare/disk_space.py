"""Whether what is left of a run fits on the disk, going by what the frames so far have taken.

A run that would fit is never refused: how much space a frame takes is measured on the disk, where images may share
blocks with the recording, and twice as much must be missing as is free. Frames that are under way count as stored,
since a part of them may be. Frames are weighed by the sizes of their source files; where a recipe crops, the frames
that are left may hold nothing, and it is only warned.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from lidarprep.errors import StorageError
from lidarprep.prepare.plan import FrameTask
from lidarprep.recipe import Recipe
from lidarprep.storage import Store

log = logging.getLogger(__name__)

# The disk is looked at after so many frames, and again after as many.
_EVERY = 8


class DiskSpace:
    """Watches the free space of a destination.

    Args:
        store: The destination.
        tasks: The frames that are to be stored.
        recipe: Whether it crops.
    """

    def __init__(self, store: Store, tasks: Sequence[FrameTask], recipe: Recipe) -> None:
        self._store = store
        self._free_before = store.check()
        self._crops = recipe.region_of_interest_3d is not None or recipe.device_height is not None
        self._left = {task.frame.id: max(1, sum(source.bytes or 0 for source in task.frame.sources)) for task in tasks}
        self._begun = 0
        self._frames = 0
        self._has_warned = False

    def begin(self, task: FrameTask) -> None:
        """Count a frame that is under way from now on."""
        self._begun += self._left.pop(task.frame.id, 0)

    def stored(self) -> None:
        """One more frame is stored: judge the frames that are left.

        Raises:
            StorageError: They do not fit by far.
        """
        self._frames += 1
        if self._free_before is None or self._frames % _EVERY or not self._left:
            return
        free = self._store.check()
        if free is None:
            return
        taken = self._free_before - free
        needed = int(taken * sum(self._left.values()) / self._begun)
        if needed <= free:
            return
        message = (
            f"{self._store.location('').removeprefix('file://').rstrip('/')} has {_amount(free)} left, and about "
            f"{_amount(needed)} are still to be stored there, going by the first {self._frames} frames"
        )
        if needed > 2 * free and not self._crops:
            raise StorageError(
                message, fix=f"Make room for {_amount(needed - free)} more, or choose another destination."
            )
        if not self._has_warned:
            self._has_warned = True
            log.warning("%s; where the disk is full the run stops, and can go on later", message)


def _amount(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.2f} MB"
