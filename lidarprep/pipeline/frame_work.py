"""What happens to one frame of a run, in a thread or wherever an executor runs it.

All of it is plain data, so that it can be sent there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from lidarprep.attachments import FrameFormat, get_format
from lidarprep.errors import FormatError, LidarprepError, SceneError
from lidarprep.pipeline.destination import Destination
from lidarprep.recipe import Recipe
from lidarprep.scene import CameraImage, Frame, PointCloud
from lidarprep.steps import Step, StepReport
from lidarprep.storage.manifest import AttachmentRecord, DroppedPoints, FrameRecord, ImageRecord, SkippedRecord
from lidarprep.storage.store import StoredObject, picture_type

Value = TypeVar("Value")

# What is wrong with a frame of the recording: where the recipe skips bad frames, it is left out. Anything else is wrong
# with the recipe, the format or the destination, and ends the run.
BAD_FRAME = (FormatError, SceneError)


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
    """

    frame: Frame
    record: FrameRecord
    notes: dict[str, str]


@dataclass(frozen=True)
class StoredFrame:
    """What the manifest says of one frame that is stored as an attachment of its own.

    Args:
        record: The frame.
        notes: What was found odd, or what the format cannot hold, a sentence for each kind.
        attachment: What it is stored as.
        images: Its pictures that are stored.
        images_expire_at: When the signed URLs of its pictures run out, seconds since the Unix epoch; None where none
            is signed.
    """

    record: FrameRecord
    notes: dict[str, str]
    attachment: AttachmentRecord
    images: list[ImageRecord]
    images_expire_at: int | None = None

    @property
    def bytes(self) -> int:
        """How much is stored for it."""
        return self.attachment.bytes + sum(image.bytes for image in self.images)


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
        return PreparedFrame(frame, record, report.notes | get_format(self.recipe.format).losses(frame))


def _held(value: Value) -> Value:
    return value


@dataclass(frozen=True)
class FrameStorer:
    """Prepares frames, and stores each as an attachment of its own.

    Args:
        prepare: What is done to each frame before.
        attachment_format: What it is encoded as.
    """

    prepare: FramePreparer
    attachment_format: FrameFormat

    def __call__(self, job: FrameJob) -> StoredFrame | SkippedFrame:
        """One frame and its pictures.

        Raises:
            SceneError, FormatError, RecipeError: As `FramePreparer`.
            EncodingError: The format cannot hold a value of the frame.
            StorageError: It cannot be stored.
        """
        prepared = self.prepare(job)
        if isinstance(prepared, SkippedFrame):
            return prepared
        frame = prepared.frame
        try:
            # All of them before any is stored: of a frame that is left out, nothing is.
            pictures = [_encoded(image, frame.id) for image in frame.images]
        except BAD_FRAME as error:
            if not self.prepare.recipe.skip_bad_frames:
                raise
            return SkippedFrame.because(frame, job.labelled, error)
        destination = self.prepare.destination
        store = destination.open_staged()
        images, records = [], []
        expire_at = _expiry(destination.options.presign_hours)
        for image, key, picture in zip(frame.images, job.image_keys, pictures, strict=True):
            if key is None or picture is None:
                images.append(image)
                continue
            destination.go_on()
            stored = store.put(key, picture.data, picture.media_type)
            images.append(replace(image, url=store.fetch_url(key)))
            records.append(_image_record(frame.id, image, stored))
        destination.go_on()
        data = self.attachment_format.encode(
            replace(frame, images=tuple(images)), precision=self.prepare.recipe.precision
        )
        destination.go_on()
        stored = store.put(job.key, data, self.attachment_format.content_type)
        return StoredFrame(
            record=prepared.record,
            notes=prepared.notes | _notes_on_pictures(pictures, frame.id),
            attachment=AttachmentRecord(url=stored.url, bytes=stored.bytes, sha256=stored.sha256, frames=[frame.id]),
            images=records,
            images_expire_at=expire_at if records else None,
        )


def _expiry(presign_hours: float | None) -> int | None:
    """When a URL that is signed now, or later, runs out at the earliest."""
    return None if presign_hours is None else int(time.time() + presign_hours * 3600)


def is_stored(image: CameraImage) -> bool:
    """Whether a picture is there to be stored; of another only the URL is known, and that is kept."""
    return image.content is not None or image.path is not None or image.url is None


@dataclass(frozen=True)
class _Picture:
    """The bytes of an encoded picture, and their media type."""

    data: bytes
    media_type: str


def _encoded(image: CameraImage, frame_id: str) -> _Picture | None:
    """A picture as it is stored; None where it is not.

    Raises:
        SceneError: It has neither file nor URL.
        FormatError: Its file cannot be read, or is no picture.
    """
    if not is_stored(image):
        return None
    if image.content is not None:
        data = image.content()
    elif image.path is not None:
        try:
            data = image.path.read_bytes()
        except OSError as error:
            raise FormatError(image.path, found=f"the picture cannot be read ({error.strerror or error})") from error
    else:
        raise SceneError(f"frame {frame_id}: the picture of {image.camera.name} has no file")
    return _Picture(data, picture_type(image.path or f"frame {frame_id}, the picture of {image.camera.name}", data))


def _notes_on_pictures(pictures: Sequence[_Picture | None], frame_id: str) -> dict[str, str]:
    by_url = sum(picture is None for picture in pictures)
    if not by_url:
        return {}
    what = f"{by_url} pictures" if by_url > 1 else "1 picture"
    return {"pictures by URL": f"frame {frame_id}: of {what} only the URL is known; it is kept as it is"}


def _image_record(frame_id: str, image: CameraImage, stored: StoredObject) -> ImageRecord:
    return ImageRecord(
        frame=frame_id, camera=image.camera.name, url=stored.url, bytes=stored.bytes, sha256=stored.sha256
    )
