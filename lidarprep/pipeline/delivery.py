"""What becomes of the frames of a run when they come back, in time order: an attachment each, or one for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from lidarprep.attachments import SceneFormat
from lidarprep.errors import RecipeError, SceneError
from lidarprep.pipeline.frame_work import BAD_FRAME, PreparedFrame, SkippedFrame, StoredFrame
from lidarprep.steps.sampling import labelled_rows
from lidarprep.storage import Store
from lidarprep.storage.manifest import AttachmentRecord, FrameRecord, ImageRecord, SkippedRecord

if TYPE_CHECKING:
    from lidarprep.attachments.sensor_fusion_scene import SceneWriter


class Progress(Protocol):
    """Told how a run goes on, from the thread that runs it; of nothing where nothing is to be done."""

    def start(self, frames: int, done: int) -> None:
        """So many frames are to be stored, of which an earlier run has done some."""

    def advance(self, frame: FrameRecord, stored_bytes: int) -> None:
        """One more is stored, in so many bytes, or written to the scene that is to hold all of them."""

    def skip(self, frame: SkippedRecord) -> None:
        """One is left out, since it is bad. Only told where the recipe skips bad frames."""


@dataclass
class Delivery:
    """What was delivered, as it is gathered: the manifest's part of it."""

    frames: list[FrameRecord] = field(default_factory=list)
    attachments: list[AttachmentRecord] = field(default_factory=list)
    images: list[ImageRecord] = field(default_factory=list)
    skipped: list[SkippedFrame] = field(default_factory=list)
    frame_notes: list[dict[str, str]] = field(default_factory=list)
    scene_notes: tuple[str, ...] = ()
    label_notes: tuple[str, ...] = ()
    images_expire_at: int | None = None

    def add(self, record: FrameRecord, notes: dict[str, str]) -> None:
        """One more frame."""
        self.frames.append(record)
        self.frame_notes.append(notes)

    def require_points(self) -> None:
        """Sees that there is something to label.

        Raises:
            SceneError: Every frame was left out.
            RecipeError: No frame keeps a point.
        """
        if self.skipped and not self.frames:
            first = self.skipped[0].record
            raise SceneError(
                f"all {len(self.skipped)} frames are bad; the first, frame {first.id}: {first.error}",
                fix="Go without --skip-bad-frames to see what can be done about it.",
            )
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

    def label(self, rate: int | None, *, only_labelled: bool) -> None:
        """Marks the frames that Scale labels where some are left out, and notes what that changes.

        Scale counts `rate` over the attachments, so over the frames that are left; where only frames to be labelled
        are prepared, all that are left still are.
        """
        if rate is None or not self.skipped:
            return
        lost = [skipped.record.id for skipped in self.skipped if skipped.labelled]
        if only_labelled:
            self.label_notes = (f"{_listed(lost)}; no others take their place",) if lost else ()
            return
        rows = set(labelled_rows(len(self.frames), rate))
        self.frames = [frame.model_copy(update={"labelled": row in rows}) for row, frame in enumerate(self.frames)]
        counted = "the frames that get labelled are counted over those that are left"
        self.label_notes = (f"{_listed(lost)}; {counted}" if lost else counted,)

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
        notes += self._notes_on_skipped()
        empty = [frame.id for frame in self.frames if not frame.points_out]
        if empty:
            notes.append(f"{len(empty)} of {len(self.frames)} frames keep no point, the first is {empty[0]}")
        return notes

    def _notes_on_skipped(self) -> list[str]:
        if not self.skipped:
            return []
        first, count = self.skipped[0].record, len(self.skipped)
        bad = f"{count} of {count + len(self.frames)} frames {'is' if count == 1 else 'are'} bad and left out"
        return [f"{bad}; the first is frame {first.id}: {first.error}", *self.label_notes]


def _listed(ids: Sequence[str], most: int = 6) -> str:
    names = ", ".join(ids[:most]) + (", …" if len(ids) > most else "")
    return f"left out but to be labelled {f'was frame {names}' if len(ids) == 1 else f'were the frames {names}'}"


def record_each(stored: Iterable[StoredFrame | SkippedFrame]) -> Delivery:
    """Frames that are stored as attachments of their own."""
    delivery = Delivery()
    for frame in stored:
        if isinstance(frame, SkippedFrame):
            delivery.skipped.append(frame)
            continue
        delivery.add(frame.record, frame.notes)
        delivery.attachments.append(frame.attachment)
        delivery.images += frame.images
        if frame.images_expire_at is not None:
            delivery.images_expire_at = min(frame.images_expire_at, delivery.images_expire_at or frame.images_expire_at)
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
        skip_bad_frames: Whether to go on without a frame whose pictures cannot be read.
    """

    attachment_format: SceneFormat
    key: str
    frames: int
    pictures: int
    odometry: bool
    skip_bad_frames: bool = False

    def gather(self, prepared: Iterable[PreparedFrame | SkippedFrame], store: Store, progress: Progress) -> Delivery:
        """Writes the frames to it one by one, each let go before the next is taken up, and stores it."""
        delivery = Delivery()
        with store.spool(self.key) as spool:
            writer = self.attachment_format.writer(
                spool, frames=self.frames, pictures=self.pictures, odometry=self.odometry
            )
            written = 0
            for frame in prepared:
                added = self._added(frame, writer)
                if isinstance(added, SkippedFrame):
                    delivery.skipped.append(added)
                    progress.skip(added.record)
                else:
                    delivery.add(added.record, added.notes)
                    progress.advance(added.record, spool.tell() - written)
                written = spool.tell()
                del frame, added  # before the next one is waited for
            delivery.require_points()
            writer.finish_in_place()
            stored = store.put_file(self.key, spool, self.attachment_format.content_type)
        delivery.scene_notes = writer.notes
        delivery.attachments.append(_record(stored.url, stored.bytes, stored.sha256, delivery.frames))
        return delivery

    def _added(self, frame: PreparedFrame | SkippedFrame, writer: SceneWriter) -> PreparedFrame | SkippedFrame:
        """The frame, once it is written; or left out, if it is bad."""
        if isinstance(frame, SkippedFrame):
            return frame
        try:
            writer.add(frame.frame)
        except BAD_FRAME as error:
            if not self.skip_bad_frames:
                raise
            return SkippedFrame.because(frame.frame, frame.record.labelled, error)  # the writer is as it was before
        return frame


def _record(url: str, size: int, sha256: str, frames: Sequence[FrameRecord]) -> AttachmentRecord:
    return AttachmentRecord(url=url, bytes=size, sha256=sha256, frames=[frame.id for frame in frames])
