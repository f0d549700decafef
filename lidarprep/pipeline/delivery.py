"""What became of the frames of a run, in time order, as the manifest is to say it; and who is told meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lidarprep.errors import SceneError
from lidarprep.pipeline.frame_work import SkippedFrame
from lidarprep.pipeline.nothing_kept import NothingKeptError
from lidarprep.pipeline.storing import StoredFrame
from lidarprep.pipeline.whole_scene import StoredScene, WrittenFrame
from lidarprep.steps.sampling import labelled_rows
from lidarprep.storage.manifest import AttachmentRecord, FrameRecord, ImageRecord, SkippedRecord

DoneFrame = StoredFrame | WrittenFrame | SkippedFrame


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

    @classmethod
    def of(cls, done: Iterable[DoneFrame]) -> Delivery:
        """Of frames that are done, taken up one by one.

        Raises:
            SceneError, RecipeError: There is nothing to label.
        """
        delivery = cls()
        for frame in done:
            delivery.add(frame)
        delivery.require_points()
        return delivery

    def add(self, frame: DoneFrame) -> None:
        """One frame more."""
        if isinstance(frame, SkippedFrame):
            self.skipped.append(frame)
            return
        self.frames.append(frame.record)
        self.frame_notes.append(frame.notes)
        if isinstance(frame, WrittenFrame):
            return
        self.attachments.append(frame.attachment)
        self.images += frame.images
        if frame.images_expire_at is not None:
            self.images_expire_at = min(frame.images_expire_at, self.images_expire_at or frame.images_expire_at)

    def add_scene(self, scene: StoredScene) -> None:
        """The one attachment that holds all of them."""
        ids, stored = [frame.id for frame in self.frames], scene.stored
        self.attachments.append(AttachmentRecord(url=stored.url, bytes=stored.bytes, sha256=stored.sha256, frames=ids))
        self.scene_notes = scene.notes

    def sizes_by_url(self) -> dict[str, int]:
        """How large all is that is stored, by its URL."""
        sizes = {attachment.url: attachment.bytes for attachment in self.attachments}
        return sizes | {image.url: image.bytes for image in self.images}

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
        raise NothingKeptError(
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
