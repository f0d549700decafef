"""Whether what is left of a run fits on the disk.

A run that would fit is never refused: it is stopped only by what is certain. Pictures are: their files are as large as
what is stored, unless they share their blocks. How large attachments become is known once some are stored, and for the
others only where nothing is dropped from the points and each frame has a file of its own, whose size says how many they
are; and then half of that is reckoned with. What is likely and not certain is a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path

from lidarprep.pipeline.delivery import Progress
from lidarprep.pipeline.frame_work import FrameJob
from lidarprep.recipe import Recipe
from lidarprep.scene import Frame
from lidarprep.storage import Store
from lidarprep.storage.copies import TakesFiles
from lidarprep.storage.folder import NoRoomError
from lidarprep.storage.manifest import FrameRecord, SkippedRecord

log = logging.getLogger(__name__)

# Frames that must be stored before the others are judged by them.
FRAMES_TO_GO_BY = 8

# What part of what is reckoned with is taken for certain.
_CERTAIN = 0.5


class RoomWatch:
    """Passes on how a run goes, and sees after each frame that what is left still fits.

    Args:
        progress: Told what this is told.
        store: Where is stored.
        recipe: What is done with the frames.
        jobs: The frames that are to be stored, in the order in which they are told of.
        taken_up: Says how many of them are stored, or on their way there, whether they were told of or not.

    Raises:
        StorageError: There is no room for the pictures.
    """

    def __init__(
        self,
        progress: Progress,
        store: Store,
        recipe: Recipe,
        jobs: Sequence[FrameJob],
        *,
        taken_up: Callable[[], int],
    ) -> None:
        self._progress = progress
        self._store = store
        self._taken_up = taken_up
        pictures = [_bytes_of_pictures(job) for job in jobs]
        self._pictures = [sum(sizes.values()) for sizes in pictures]
        # Of the frames from each on.
        self._pictures_left = _sums_from(
            [
                sum(size for path, size in sizes.items() if _needs_room(job, path, store))
                for job, sizes in zip(jobs, pictures, strict=True)
            ]
        )
        self._points = _bytes_of_points(jobs, recipe)
        self._points_left = _sums_from(self._points)
        self._told = 0
        self._attachments: list[int] = []
        self._least_per_byte = float("inf")
        self._has_warned = False
        store.check(self._pictures_left[0])

    def start(self, frames: int, done: int) -> None:
        """Passes that on."""
        self._progress.start(frames, done)

    def skip(self, frame: SkippedRecord) -> None:
        """Passes that on."""
        self._told += 1
        self._progress.skip(frame)

    def advance(self, frame: FrameRecord, stored_bytes: int) -> None:
        """Passes that on, then judges the frames that are left.

        Raises:
            StorageError: They do not fit.
        """
        self._progress.advance(frame, stored_bytes)
        attachment = max(0, stored_bytes - self._pictures[self._told])
        self._attachments.append(attachment)
        if self._points:
            self._least_per_byte = min(self._least_per_byte, attachment / self._points[self._told])
        self._told += 1
        row = self._taken_up()
        if len(self._attachments) >= FRAMES_TO_GO_BY and row < len(self._pictures):
            self._judge(row)

    def _judge(self, row: int) -> None:
        """Judges the frames from a row on."""
        pictures = self._pictures_left[row]
        certain = self._least_per_byte * _CERTAIN * self._points_left[row] if self._points else 0
        self._store.check(pictures + int(certain))
        if self._has_warned:
            return
        mean = sum(self._attachments) / len(self._attachments)
        try:
            self._store.check(pictures + int(mean * (len(self._pictures) - row)))
        except NoRoomError as error:
            self._has_warned = True
            log.warning(
                "%s, going by the first %d frames; where the disk is full the run stops, and can go on later",
                error.message,
                len(self._attachments),
            )


def _sums_from(sizes: Sequence[int]) -> list[int]:
    """The sum from each row on, and zero behind the last."""
    return [*accumulate(reversed(sizes), initial=0)][::-1]


def _bytes_of_pictures(job: FrameJob) -> dict[Path, int]:
    """The sizes of the pictures that lie in files of their own; one that is not there is found out in its turn."""
    paths = [image.path for image in job.frame.images if image.path is not None]
    return {path: size for path in paths if (size := _size_of(path)) is not None}


def _needs_room(job: FrameJob, path: Path, store: Store) -> bool:
    """Whether a picture is written once more: into a scene that holds it, or as a copy that shares nothing."""
    return not job.image_keys or not isinstance(store, TakesFiles) or store.needs_room_for(path)


def _bytes_of_points(jobs: Sequence[FrameJob], recipe: Recipe) -> list[int]:
    """The size of each frame's file of points; none where sizes don't say how large attachments are."""
    if recipe.region_of_interest_3d is not None or recipe.device_height is not None or recipe.voxel is not None:
        return []
    paths = [_file_of_points(job.frame) for job in jobs]
    sizes = [None if path is None else _size_of(path) for path in paths]
    return [size for size in sizes if size] if all(sizes) and len(set(paths)) == len(paths) else []


def _file_of_points(frame: Frame) -> Path | None:
    """The file that a frame's points are read from, if it is one."""
    if not isinstance(frame.read_points, partial):
        return None
    held = (*frame.read_points.args, *frame.read_points.keywords.values())
    paths = [value for value in held if isinstance(value, Path)]
    return paths[0] if len(paths) == 1 else None


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
