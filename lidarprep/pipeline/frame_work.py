"""What happens to one frame of a run, in a thread or wherever an executor runs it.

All of it is plain data, so that it can be sent there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from lidarprep.attachments import FrameFormat, get_format
from lidarprep.errors import SceneError
from lidarprep.pipeline.destination import Destination
from lidarprep.recipe import Recipe
from lidarprep.scene import CameraImage, Frame, PointCloud
from lidarprep.steps import Step, StepReport
from lidarprep.storage import Store
from lidarprep.storage.manifest import AttachmentRecord, DroppedPoints, FrameRecord, ImageRecord
from lidarprep.storage.store import picture_type, read_file

Value = TypeVar("Value")


@dataclass(frozen=True)
class FrameJob:
    """One frame that is to be prepared.

    Args:
        frame: The frame, as the recording has it.
        key: Key of the attachment that holds it.
        image_keys: Keys of its pictures; none where the attachment holds them itself.
        labelled: Whether Scale labels it.
        points: Its points, if they are read already.
    """

    frame: Frame
    key: str
    image_keys: tuple[str, ...]
    labelled: bool
    points: PointCloud | None = None


@dataclass(frozen=True)
class PreparedFrame:
    """A frame that is ready to be an attachment, or a part of one.

    Args:
        frame: The frame in the world, its points in memory.
        record: What the manifest says of it.
        notes: What was found odd, or what the format cannot hold, a sentence for each kind.
    """

    frame: Frame
    record: FrameRecord
    notes: dict[str, str]


@dataclass(frozen=True)
class StoredFrame:
    """What the manifest says of one frame that is stored as an attachment of its own."""

    record: FrameRecord
    notes: dict[str, str]
    attachment: AttachmentRecord
    images: list[ImageRecord]


@dataclass(frozen=True)
class FramePreparer:
    """Prepares frames.

    Args:
        steps: What is done to each frame, in order.
        recipe: For the format.
    """

    steps: tuple[Step, ...]
    recipe: Recipe

    def __call__(self, job: FrameJob) -> PreparedFrame:
        """One frame."""
        report = StepReport()
        frame = job.frame if job.points is None else replace(job.frame, read_points=partial(_held, job.points))
        for step in self.steps:
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
        return PreparedFrame(frame, record, report.notes | get_format(self.recipe.format).losses(frame))


def _held(value: Value) -> Value:
    return value


@dataclass(frozen=True)
class FrameStorer:
    """Prepares frames, and stores each as an attachment of its own.

    Args:
        prepare: What is done to each frame before.
        attachment_format: What it is encoded as.
        destination: Where to store.
    """

    prepare: FramePreparer
    attachment_format: FrameFormat
    destination: Destination

    def __call__(self, job: FrameJob) -> StoredFrame:
        """One frame and its pictures."""
        prepared = self.prepare(job)
        frame = prepared.frame
        store = self.destination.open_staged()
        pictures = [_store_picture(store, *pair, frame.id) for pair in zip(frame.images, job.image_keys, strict=True)]
        frame = replace(frame, images=tuple(image for image, _ in pictures))
        data = self.attachment_format.encode(frame, precision=self.prepare.recipe.precision)
        stored = store.put(job.key, data, self.attachment_format.content_type)
        return StoredFrame(
            record=prepared.record,
            notes=prepared.notes,
            attachment=AttachmentRecord(url=stored.url, bytes=stored.bytes, sha256=stored.sha256, frames=[frame.id]),
            images=[record for _, record in pictures],
        )


def _store_picture(store: Store, image: CameraImage, key: str, frame_id: str) -> tuple[CameraImage, ImageRecord]:
    """Stores one picture; gives it back with its URL, and its record."""
    if image.content is not None:
        data = image.content()
    elif image.path is not None:
        data = read_file(image.path)
    else:
        raise SceneError(f"frame {frame_id}: the picture of {image.camera.name} has no file")
    named = image.path or f"frame {frame_id}, the picture of {image.camera.name}"
    stored = store.put(key, data, picture_type(named, data))
    record = ImageRecord(
        frame=frame_id, camera=image.camera.name, url=stored.url, bytes=stored.bytes, sha256=stored.sha256
    )
    return replace(image, url=store.fetch_url(key)), record
