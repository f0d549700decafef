"""What a run's journal says, as plain JSON: a header, then a record of each frame that is done.

The header says what the run depends on, part by part, what was settled for all frames, and which keys it stores under.
A record says what became of a frame, and which files that was read from; of a scene that holds all frames, a record
says so of all that have come to it since the record before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from lidarprep.pipeline.frame_work import SkippedFrame
from lidarprep.pipeline.storing import StoredFrame
from lidarprep.pipeline.whole_scene import StoredScene, WrittenOrSkipped
from lidarprep.storage.journal import Record
from lidarprep.storage.manifest import AttachmentRecord, FrameRecord, ImageRecord, SkippedRecord


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


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
        aside: Whether all that it stores is kept aside until then; else the store may let each object stand at once.
    """

    version: Literal[1] = 1
    fingerprint: str | None
    parts: dict[str, Any]
    settled: Settled | None
    keys: list[str]
    replaces: list[str]
    aside: bool = False


class Done(_Plain):
    """One frame that is stored as an attachment of its own."""

    frame: str
    files: str
    record: FrameRecord
    notes: dict[str, str]
    attachment: AttachmentRecord
    images: list[ImageRecord]
    images_expire_at: int | None = None


class Skipped(_Plain):
    """One frame that is left out."""

    frame: str
    files: str
    skipped: SkippedRecord
    labelled: bool


class Written(_Plain):
    """One frame that is written to the scene that is to hold all."""

    frame: str
    files: str
    record: FrameRecord
    notes: dict[str, str]
    bytes: int
    part: dict[str, Any] | None


class Scene(_Plain):
    """What has come to that scene since the record before; and the scene, once it is stored."""

    frames: list[Written | Skipped]
    scene: StoredScene | None


class Committing(_Plain):
    """All is stored: keys and sizes of what is there once the run is done, in the order in which it is put there."""

    committing: list[tuple[str, int]]


def frame_record(frame: StoredFrame | SkippedFrame, files: str) -> Record:
    """The journal's record of a frame."""
    if isinstance(frame, SkippedFrame):
        return _skipped(frame, files).model_dump(mode="json")
    return Done(
        frame=frame.record.id,
        files=files,
        record=frame.record,
        notes=frame.notes,
        attachment=frame.attachment,
        images=frame.images,
        images_expire_at=frame.images_expire_at,
    ).model_dump(mode="json")


def scene_record(frames: Sequence[WrittenOrSkipped], scene: StoredScene | None, files: Mapping[str, str]) -> Record:
    """The journal's record of frames that are written to one scene, and of the scene, once it is stored."""
    written = [_written(frame, files.get(frame.record.id, "")) for frame in frames]
    return Scene(frames=written, scene=scene).model_dump(mode="json")


def committing_record(sizes: Mapping[str, int]) -> Record:
    """The journal's record that all is stored."""
    return Committing(committing=list(sizes.items())).model_dump(mode="json")


def _skipped(frame: SkippedFrame, files: str) -> Skipped:
    return Skipped(frame=frame.record.id, files=files, skipped=frame.record, labelled=frame.labelled)


def _written(frame: WrittenOrSkipped, files: str) -> Written | Skipped:
    if isinstance(frame, SkippedFrame):
        return _skipped(frame, files)
    return Written(
        frame=frame.record.id,
        files=files,
        record=frame.record,
        notes=frame.notes,
        bytes=frame.bytes,
        part=None if frame.part is None else frame.part.to_json(),
    )
