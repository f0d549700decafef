"""The manifest of a run, gathered from the results of its frames in time order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lidarprep.checks import BadImage, CroppedFrame, emptied_frames, empty_frames, little_kept, unreadable_images
from lidarprep.errors import SceneError
from lidarprep.prepare.empty_result import require_points
from lidarprep.prepare.fingerprint import RunIdentity
from lidarprep.recipe import Recipe
from lidarprep.scene import Finding, Scene
from lidarprep.scene_settings import SceneSettings
from lidarprep.steps.sampling import labelled_rows, select_frames
from lidarprep.storage.manifest import (
    AttachmentRecord,
    FrameRecord,
    FrameResult,
    ImageRecord,
    Manifest,
    SkippedRecord,
    first_expiry,
)
from lidarprep.storage.options import StorageOptions

# The codes of `ManifestBuilder.findings`, which each run gathers from the results of its frames.
OF_RESULTS = {"image-unreadable", "empty-frames", "frames-emptied", "little-kept", "frames-nearly-emptied"}


@dataclass
class ManifestBuilder:
    """Gathers the results of a run, in time order."""

    frames: list[FrameRecord] = field(default_factory=list)
    attachments: list[AttachmentRecord] = field(default_factory=list)
    images: list[ImageRecord] = field(default_factory=list)
    skipped: list[SkippedRecord] = field(default_factory=list)

    def add(self, result: FrameResult) -> None:
        """Add the result of the next frame."""
        if result.skipped is not None:
            self.skipped.append(result.skipped)
        if result.frame is not None:
            self.frames.append(result.frame)
        if result.attachment is not None:
            self.attachments.append(result.attachment)
        self.images += result.images

    def require_points(self) -> None:
        """Check that there is something to label.

        Raises:
            SceneError: Every frame was left out.
            EmptyResultError: No frame keeps a point.
        """
        if self.skipped and not self.frames:
            first = self.skipped[0]
            raise SceneError(
                f"all {len(self.skipped)} frames are bad; the first, frame {first.id}: {first.error}",
                fix="Go without --skip-bad-frames to see what can be done about it.",
            )
        require_points(self.frames)

    def findings(self) -> list[Finding]:
        """Find what is odd about the result: frames that had no points, or keep none, or next to
        nothing; images that were left out."""
        measured = {
            frame.id: frame.points_in - frame.dropped.not_finite - frame.dropped.no_return for frame in self.frames
        }
        empty = [name for name, points in measured.items() if not points]
        emptied = [frame.id for frame in self.frames if not frame.points_out and measured[frame.id]]
        bad = [
            BadImage(image.camera, frame.id, image.file, image.error)
            for frame in self.frames
            for image in frame.images_left_out
        ]
        return [
            *unreadable_images(bad),
            *empty_frames(empty, len(self.frames)),
            *emptied_frames(emptied, len(self.frames)),
            *little_kept([_cropped(frame) for frame in self.frames if frame.world_from_ego is not None]),
        ]

    def build(
        self,
        scene: Scene,
        recipe: Recipe,
        storage: StorageOptions,
        settings: SceneSettings,
        identity: RunIdentity,
        findings: Sequence[Finding],
    ) -> Manifest:
        """Return the manifest."""
        accepted = dict.fromkeys(one.code for one in findings if one.code in recipe.accept)
        label_notes = self._label(scene, recipe)
        return Manifest(
            source=scene.source,
            format=recipe.format,
            recipe=dict(identity.recipe),
            world_offset=settings.record.offset,
            settings=settings.record,
            attachments=self.attachments,
            frames=self.frames,
            images=self.images,
            skipped=self.skipped,
            presign_hours=storage.presign_hours,
            images_expire_at=first_expiry(self.attachments),
            storage=dict(identity.storage),
            fingerprint=identity.fingerprint,
            findings=list(findings),
            accepted=list(accepted),
            notes=[*scene.notes, *settings.record.notes, *self._frame_notes(), *self._notes_on_skipped(label_notes)],
        )

    def _label(self, scene: Scene, recipe: Recipe) -> list[str]:
        """Mark the frames that Scale labels, and return what frames that were left out change about that.

        Scale counts the rate over the attachments, so over the frames that are left; where only frames to be labelled
        are prepared, all that are left still are.
        """
        rate = recipe.labeling_sample_rate
        rows = range(len(self.frames)) if recipe.only_labelled else labelled_rows(len(self.frames), rate or 1)
        labelled = set(rows)
        self.frames = [frame.model_copy(update={"labelled": row in labelled}) for row, frame in enumerate(self.frames)]
        if rate is None or not self.skipped:
            return []
        all_frames = select_frames(scene.frames, recipe.frames)
        meant = {all_frames[row].id for row in labelled_rows(len(all_frames), rate)}
        lost = [skipped.id for skipped in self.skipped if skipped.id in meant]
        if recipe.only_labelled:
            return [f"{_listed(lost)}; no others take their place"] if lost else []
        counted = "the frames that get labelled are counted over those that are left"
        return [f"{_listed(lost)}; {counted}" if lost else counted]

    def _frame_notes(self) -> list[str]:
        """Return what the frames have to say: each kind of note once, with how many frames share it."""
        first: dict[str, str] = {}
        frames: dict[str, int] = {}
        for frame in self.frames:
            for kind, note in frame.notes.items():
                first.setdefault(kind, note)
                frames[kind] = frames.get(kind, 0) + 1
        return [note if frames[kind] == 1 else f"{note} ({frames[kind]} frames)" for kind, note in first.items()]

    def _notes_on_skipped(self, label_notes: Sequence[str]) -> list[str]:
        notes: list[str] = []
        if self.skipped:
            first, count = self.skipped[0], len(self.skipped)
            bad = f"{count} of {count + len(self.frames)} frames {'is' if count == 1 else 'are'} bad and left out"
            notes += [f"{bad}; the first is frame {first.id}: {first.error}", *label_notes]
        return notes


def _cropped(frame: FrameRecord) -> CroppedFrame:
    dropped = frame.dropped
    return CroppedFrame(frame.id, frame.points_in - dropped.not_finite, dropped.region, dropped.height)


def _listed(ids: Sequence[str], most: int = 6) -> str:
    names = ", ".join(ids[:most]) + (", …" if len(ids) > most else "")
    return f"left out but to be labelled {f'was frame {names}' if len(ids) == 1 else f'were the frames {names}'}"
