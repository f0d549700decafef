"""What a run leaves in its journal, and what the next run to the same place takes up from there.

The journal's header says what the run depends on, part by part, what was settled for all frames, and which keys it
stores under. A record says what became of a frame, and which files that was read from: a frame whose files have changed
since is not taken up; one that was not done yet may change, as a damaged file does when it is mended.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lidarprep.errors import RecipeError
from lidarprep.pipeline.delivery import Delivery
from lidarprep.pipeline.fingerprint import Fingerprint, differences, files_that_differ
from lidarprep.pipeline.frame_work import SkippedFrame, StoredFrame
from lidarprep.storage.journal import Journaled, Record
from lidarprep.storage.manifest import AttachmentRecord, FrameRecord, ImageRecord, SkippedRecord

VERSION = 1


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Settled(_Plain):
    """What was settled for all frames of a run by a look at some.

    Args:
        offset: (x, y, z) metres that are taken from every world position.
        intensity_scale: The intensity that becomes 1; None where intensities are left out.
        notes: What was guessed or found odd.
        looked_at: A digest of the files of each frame that was looked at, by its id.
    """

    offset: tuple[float, float, float]
    intensity_scale: float | None
    notes: list[str]
    looked_at: dict[str, str]


class Header(_Plain):
    """What run a journal is of.

    Args:
        version: Of the journal's form.
        fingerprint: The run's; None where it has none and cannot be taken up.
        parts: What the fingerprint is of.
        settled: What was settled; None where the run has no fingerprint.
        keys: What it stores under.
        replaces: Keys under which something else stood before, which goes when the run is done.
    """

    version: Literal[1] = 1
    fingerprint: str | None
    parts: dict[str, Any]
    settled: Settled | None
    keys: list[str]
    replaces: list[str]


class _Done(_Plain):
    """One frame that is stored as an attachment of its own."""

    frame: str
    files: str
    record: FrameRecord
    notes: dict[str, str]
    attachment: AttachmentRecord
    images: list[ImageRecord]
    images_expire_at: int | None = None


class _Skipped(_Plain):
    """One frame that is left out."""

    frame: str
    files: str
    skipped: SkippedRecord
    labelled: bool


class _Whole(_Plain):
    """All frames, as one attachment; `committing` is for both: the keys of what is there once the run is done."""

    files: dict[str, str]
    frames: list[FrameRecord]
    frame_notes: list[dict[str, str]]
    attachments: list[AttachmentRecord]
    skipped: list[tuple[SkippedRecord, bool]]
    scene_notes: tuple[str, ...]


class _Committing(_Plain):
    committing: list[str]


@dataclass
class Unfinished:
    """An earlier run that has not come to its end.

    Args:
        header: What run it was.
        frames: What became of its frames, with the digest of each one's files, by id.
        whole: The scene that holds all frames, with the digests of their files, once it is stored.
        committing: The keys of what the run has stored, once that is all, and is being moved to its place.
    """

    header: Header
    frames: dict[str, tuple[str, StoredFrame | SkippedFrame]] = field(default_factory=dict)
    whole: tuple[dict[str, str], Delivery] | None = None
    committing: list[str] | None = None

    @classmethod
    def read(cls, journaled: Journaled) -> Unfinished:
        """What a journal holds; a record that this version cannot read is passed over.

        Raises:
            RecipeError: Nothing that this version can read.
        """
        try:
            found = cls(Header.model_validate(journaled.header))
        except ValidationError:
            raise RecipeError(
                "an unfinished run is there, of another version of lidarprep",
                fix="Finish it with that version, or begin anew with --overwrite.",
            ) from None
        for record in journaled.records:
            for kind, take in _KINDS:
                try:
                    take(found, kind.model_validate(record))
                except ValidationError:
                    continue
                break
        return found

    def require_same(self, now: Fingerprint, out: str) -> None:
        """Sees that the run can be taken up.

        Bad frames may be left out now that were not before: that changes nothing of what is done.

        Raises:
            RecipeError: It was another one; the message says what differs.
        """
        parts = dict(self.header.parts)
        recipe = parts.get("recipe", {})
        if now.parts["recipe"]["skip_bad_frames"]:
            parts["recipe"] = {**recipe, "skip_bad_frames": True}
        found = differences(parts, now.parts)
        if not found and self.header.settled is not None:
            changed = files_that_differ(self.header.settled.looked_at, now.files)
            # One that was left out may have been mended.
            self.frames = {
                name: (files, frame)
                for name, (files, frame) in self.frames.items()
                if isinstance(frame, StoredFrame) or now.files.get(name) == files
            }
            done = {name: files for name, (files, _) in self.frames.items()} if self.whole is None else self.whole[0]
            changed += [name for name in files_that_differ(done, now.files) if name not in changed]
            if changed:
                names = ", ".join(changed[:6]) + (", …" if len(changed) > 6 else "")
                found = [f"files of frame{'s' * (len(changed) > 1)} {names} have changed"]
        if found:
            raise RecipeError(
                f"{out} holds an unfinished run of another recipe or recording: {'; '.join(found)}",
                fix="Choose another destination, go back to what it was, or begin anew with --overwrite.",
            )

    def done(
        self,
        now: float,
        stored: Callable[[Collection[str]], Mapping[str, int]],
        keys_of: Mapping[str, Sequence[str]],
        *,
        compressed: bool,
    ) -> dict[str, StoredFrame | SkippedFrame]:
        """The frames that need not be done again, by their ids.

        Args:
            now: Seconds since the Unix epoch.
            stored: Gives the sizes of what is stored under keys.
            keys_of: The keys of each frame's pictures, then its attachment's, by its id.
            compressed: Whether attachments are stored compressed, so that their sizes say nothing.
        """
        sizes = stored([key for name in self.frames for key in keys_of.get(name, ())])
        return {
            name: frame
            for name, (_, frame) in self.frames.items()
            if isinstance(frame, SkippedFrame) or _stands(frame, keys_of.get(name, ()), sizes, now, compressed)
        }

    def _take_done(self, done: _Done) -> None:
        stored = StoredFrame(done.record, done.notes, done.attachment, done.images, done.images_expire_at)
        self.frames[done.frame] = done.files, stored

    def _take_skipped(self, skipped: _Skipped) -> None:
        self.frames[skipped.frame] = skipped.files, SkippedFrame(skipped.skipped, skipped.labelled)

    def _take_whole(self, whole: _Whole) -> None:
        delivery = Delivery(
            frames=whole.frames,
            attachments=whole.attachments,
            frame_notes=whole.frame_notes,
            skipped=[SkippedFrame(record, labelled) for record, labelled in whole.skipped],
            scene_notes=whole.scene_notes,
        )
        self.whole = whole.files, delivery

    def _take_committing(self, committing: _Committing) -> None:
        self.committing = committing.committing


_KINDS: tuple[tuple[type[_Plain], Callable[[Unfinished, Any], None]], ...] = (
    (_Done, Unfinished._take_done),
    (_Skipped, Unfinished._take_skipped),
    (_Whole, Unfinished._take_whole),
    (_Committing, Unfinished._take_committing),
)


def _stands(frame: StoredFrame, keys: Sequence[str], sizes: Mapping[str, int], now: float, compressed: bool) -> bool:
    """Whether all that was stored for a frame is there, and its pictures' URLs have not run out."""
    if frame.images_expire_at is not None and frame.images_expire_at <= now:
        return False
    if len(keys) != len(frame.images) + 1 or not set(keys) <= set(sizes):
        return False
    *images, attachment = (sizes[key] for key in keys)
    return images == [image.bytes for image in frame.images] and (compressed or attachment == frame.attachment.bytes)


def frame_record(frame: StoredFrame | SkippedFrame, files: str) -> Record:
    """The journal's record of a frame."""
    if isinstance(frame, SkippedFrame):
        skipped = _Skipped(frame=frame.record.id, files=files, skipped=frame.record, labelled=frame.labelled)
        return skipped.model_dump(mode="json")
    return _Done(
        frame=frame.record.id,
        files=files,
        record=frame.record,
        notes=frame.notes,
        attachment=frame.attachment,
        images=frame.images,
        images_expire_at=frame.images_expire_at,
    ).model_dump(mode="json")


def whole_record(delivery: Delivery, files: Mapping[str, str]) -> Record:
    """The journal's record of a scene that holds all frames."""
    return _Whole(
        files=dict(files),
        frames=delivery.frames,
        frame_notes=delivery.frame_notes,
        attachments=delivery.attachments,
        skipped=[(skipped.record, skipped.labelled) for skipped in delivery.skipped],
        scene_notes=tuple(delivery.scene_notes),
    ).model_dump(mode="json")


def committing_record(keys: Sequence[str]) -> Record:
    """The journal's record that all is stored."""
    return _Committing(committing=list(keys)).model_dump(mode="json")
