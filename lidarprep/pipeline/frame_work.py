"""How one frame of a run is prepared, in a thread or wherever an executor does it.

All of it is plain data, so that it can be sent there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from lidarprep.attachments import get_format
from lidarprep.errors import FormatError, LidarprepError, SceneError
from lidarprep.pipeline.destination import Destination
from lidarprep.recipe import Recipe
from lidarprep.scene import Frame, PointCloud
from lidarprep.steps import Step, StepReport
from lidarprep.storage.manifest import DroppedPoints, FrameRecord, SkippedRecord

Value = TypeVar("Value")

# What is wrong with a frame of the recording: where the recipe skips bad frames, it is left out. Anything else is wrong
# with the recipe, the format or the destination, and ends the run.
BAD_FRAME = (FormatError, SceneError)

# What a point takes in memory while it is read, moved and encoded, about: its columns, and copies of them.
BYTES_A_POINT = 160


@dataclass(frozen=True)
class FrameJob:
    """One frame that is to be prepared.

    Args:
        frame: The frame, as the recording has it.
        key: Key of the attachment that holds it.
        image_keys: A key for each of its pictures, None for one that is not stored, since only its URL is known; no
            keys where the attachment holds the pictures itself.
        labelled: Whether Scale labels it.
        points: Its points, if they are read already.
    """

    frame: Frame
    key: str
    image_keys: tuple[str | None, ...]
    labelled: bool
    points: PointCloud | None = None

    @property
    def keys(self) -> list[str]:
        """The keys of all that is stored for the frame."""
        return [self.key, *(key for key in self.image_keys if key is not None)]


@dataclass(frozen=True)
class SkippedFrame:
    """A frame that is left out.

    Args:
        record: What the manifest says of it.
        labelled: Whether Scale was to label it.
    """

    record: SkippedRecord
    labelled: bool
    in_memory = 0  # nobody knows

    @classmethod
    def because(cls, frame: Frame, labelled: bool, error: LidarprepError) -> SkippedFrame:
        """The frame, left out for what is wrong with it."""
        return cls(SkippedRecord(id=frame.id, index=frame.index, error=error.message), labelled)


@dataclass(frozen=True)
class PreparedFrame:
    """A frame that is ready to be an attachment, or a part of one.

    Args:
        frame: The frame in the world, its points in memory.
        record: What the manifest says of it.
        notes: What was found odd, or what the format cannot hold, a sentence for each kind.
        in_memory: About what its points took in memory while they were worked on, in bytes.
    """

    frame: Frame
    record: FrameRecord
    notes: dict[str, str]
    in_memory: int


@dataclass(frozen=True)
class FramePreparer:
    """Prepares frames.

    Args:
        steps: What is done to each frame, in order.
        recipe: For the format, and whether to skip bad frames.
        destination: Where the run stores, which may be stopped.
    """

    steps: tuple[Step, ...]
    recipe: Recipe
    destination: Destination

    def __call__(self, job: FrameJob) -> PreparedFrame | SkippedFrame:
        """One frame.

        Raises:
            SceneError, FormatError: It is bad, and bad frames are not skipped.
            RecipeError: The recipe does not fit it.
            RunStoppedError: The run is being stopped.
        """
        try:
            return self._prepared(job)
        except BAD_FRAME as error:
            if not self.recipe.skip_bad_frames:
                raise
            return SkippedFrame.because(job.frame, job.labelled, error)

    def _prepared(self, job: FrameJob) -> PreparedFrame:
        report = StepReport()
        frame = job.frame if job.points is None else replace(job.frame, read_points=partial(_held, job.points))
        for step in self.steps:
            self.destination.go_on()
            frame = step(frame, report)
        # Held so that it can be sent back from another process, too.
        points, radar = frame.points(), frame.radar()
        frame = replace(
            frame,
            read_points=partial(_held, points),
            read_radar=None if radar is None else partial(_held, radar),
        )
        record = FrameRecord(
            id=frame.id,
            index=frame.index,
            timestamp=frame.timestamp,
            points_in=report.points_in,
            points_out=report.points_in - sum(report.dropped.values()),
            dropped=DroppedPoints(**report.dropped),
            labelled=job.labelled,
        )
        # Of a frame that comes in chunks, what is dropped is never held beside what is kept.
        in_memory = BYTES_A_POINT * (record.points_in if job.frame.read_chunks is None else record.points_out)
        notes = report.notes | get_format(self.recipe.format).losses(frame)
        return PreparedFrame(frame, record, notes, in_memory)


def _held(value: Value) -> Value:
    return value
