"""What becomes of the frames of a run when they come back, in time order: an attachment each, or one for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from lidarprep.attachments import SceneFormat
from lidarprep.errors import RecipeError
from lidarprep.pipeline.frame_work import PreparedFrame, StoredFrame
from lidarprep.storage import Store
from lidarprep.storage.manifest import AttachmentRecord, FrameRecord, ImageRecord

OnFrame = Callable[[FrameRecord], None]


@dataclass
class Delivery:
    """What was delivered, as it is gathered: the manifest's part of it."""

    frames: list[FrameRecord] = field(default_factory=list)
    attachments: list[AttachmentRecord] = field(default_factory=list)
    images: list[ImageRecord] = field(default_factory=list)
    frame_notes: list[dict[str, str]] = field(default_factory=list)
    scene_notes: tuple[str, ...] = ()

    def add(self, record: FrameRecord, notes: dict[str, str]) -> None:
        """One more frame."""
        self.frames.append(record)
        self.frame_notes.append(notes)

    def require_points(self) -> None:
        """Sees that there is something to label.

        Raises:
            RecipeError: No frame keeps a point.
        """
        if any(frame.points_out for frame in self.frames):
            return
        total = sum(frame.points_in for frame in self.frames)
        reasons = {
            "outside the region of interest": sum(frame.dropped.region for frame in self.frames),
            "outside the height band": sum(frame.dropped.height for frame in self.frames),
            "not finite": sum(frame.dropped.not_finite for frame in self.frames),
        }
        dropped = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
        raise RecipeError(
            f"no point of {len(self.frames)} frames is kept: of {total} points, {dropped or 'none were there'}"
        )

    def notes(self) -> list[str]:
        """What the frames have to say: each kind of finding once, with how many frames share it."""
        first: dict[str, str] = {}
        frames: dict[str, int] = {}
        for found in self.frame_notes:
            for kind, note in found.items():
                first.setdefault(kind, note)
                frames[kind] = frames.get(kind, 0) + 1
        notes = [note if frames[kind] == 1 else f"{note} ({frames[kind]} frames)" for kind, note in first.items()]
        notes += self.scene_notes
        empty = [frame.id for frame in self.frames if not frame.points_out]
        if empty:
            notes.append(f"{len(empty)} of {len(self.frames)} frames keep no point, the first is {empty[0]}")
        return notes


def record_each(stored: Iterable[StoredFrame], on_frame: OnFrame) -> Delivery:
    """Frames that are stored as attachments of their own."""
    delivery = Delivery()
    for frame in stored:
        delivery.add(frame.record, frame.notes)
        delivery.attachments.append(frame.attachment)
        delivery.images += frame.images
        on_frame(frame.record)
    delivery.require_points()
    return delivery


@dataclass(frozen=True)
class SceneAttachment:
    """The one attachment that is to hold all frames, and their pictures.

    Args:
        attachment_format: What it is written as.
        key: What it is stored under.
        frames: How many frames are to come, and
        pictures: how many pictures with them.
        odometry: Whether the device's poses are to be a sensor of their own.
    """

    attachment_format: SceneFormat
    key: str
    frames: int
    pictures: int
    odometry: bool

    def gather(self, prepared: Iterable[PreparedFrame], store: Store, on_frame: OnFrame) -> Delivery:
        """Writes the frames to it one by one, each let go before the next is taken up, and stores it."""
        delivery = Delivery()
        with store.spool(self.key) as spool:
            writer = self.attachment_format.writer(
                spool, frames=self.frames, pictures=self.pictures, odometry=self.odometry
            )
            for frame in prepared:
                writer.add(frame.frame)
                delivery.add(frame.record, frame.notes)
                on_frame(frame.record)
                del frame  # before the next one is waited for
            delivery.require_points()
            writer.finish_in_place()
            stored = store.put_file(self.key, spool, self.attachment_format.content_type)
        delivery.scene_notes = writer.notes
        delivery.attachments.append(_record(stored.url, stored.bytes, stored.sha256, delivery.frames))
        return delivery


def _record(url: str, size: int, sha256: str, frames: Sequence[FrameRecord]) -> AttachmentRecord:
    return AttachmentRecord(url=url, bytes=size, sha256=sha256, frames=[frame.id for frame in frames])
