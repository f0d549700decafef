"""What the next run to the same place takes up of what a run has left in its journal.

A frame whose files have changed since it was done is not taken up; one that was not done yet may change, as a damaged
file does when it is mended.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from lidarprep.attachments import get_format
from lidarprep.errors import RecipeError
from lidarprep.pipeline.delivery import DoneFrame
from lidarprep.pipeline.fingerprint import Fingerprint, differences, files_that_differ
from lidarprep.pipeline.frame_work import SkippedFrame
from lidarprep.pipeline.records import Committing, Done, Header, Scene, Skipped, Written
from lidarprep.pipeline.storing import StoredFrame
from lidarprep.pipeline.whole_scene import StoredScene, WrittenFrame, WrittenOrSkipped
from lidarprep.storage.journal import Journaled


@dataclass
class Unfinished:
    """An earlier run that has not come to its end.

    Args:
        header: What run it was.
        frames: What became of its frames, with the digest of each one's files, by id.
        scene: The scene that holds all frames, once it is stored.
        committing: The keys and sizes of what the run has stored, once that is all, and is being moved to its place.
    """

    header: Header
    frames: dict[str, tuple[str, DoneFrame]] = field(default_factory=dict)
    scene: StoredScene | None = None
    committing: dict[str, int] | None = None

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
                if not isinstance(frame, SkippedFrame) or now.files.get(name) == files
            }
            done = {name: files for name, (files, _) in self.frames.items()}
            changed += [name for name in files_that_differ(done, now.files) if name not in changed]
            if changed:
                names = ", ".join(changed[:6]) + (", …" if len(changed) > 6 else "")
                found = [f"files of frame{'s' * (len(changed) > 1)} {names} have changed"]
        if found:
            raise RecipeError(
                f"{out} holds an unfinished run of another recipe or recording: {'; '.join(found)}",
                fix="Choose another destination, go back to what it was, or begin anew with --overwrite.",
            )

    def stored(
        self,
        stored: Callable[[Collection[str]], Mapping[str, int]],
        keys_of: Mapping[str, Sequence[str]],
        *,
        compressed: bool,
    ) -> dict[str, DoneFrame]:
        """The frames that need not be done again, by their ids, where each has an attachment of its own.

        Args:
            stored: Gives the sizes of what is stored under keys.
            keys_of: The keys of each frame's pictures, then its attachment's, by its id.
            compressed: Whether attachments are stored compressed, so that their sizes say nothing.
        """
        sizes = stored([key for name in self.frames for key in keys_of.get(name, ())])
        return {
            name: frame
            for name, (_, frame) in self.frames.items()
            if isinstance(frame, SkippedFrame)
            or (isinstance(frame, StoredFrame) and _stands(frame, keys_of.get(name, ()), sizes, compressed))
        }

    def written(self) -> dict[str, WrittenOrSkipped]:
        """The frames that are recorded as written to the scene that is to hold all, by their ids."""
        return {name: frame for name, (_, frame) in self.frames.items() if not isinstance(frame, StoredFrame)}

    def _take_done(self, done: Done) -> None:
        stored = StoredFrame(done.record, done.notes, done.attachment, done.images, done.images_expire_at)
        self.frames[done.frame] = done.files, stored

    def _take_skipped(self, skipped: Skipped) -> None:
        self.frames[skipped.frame] = skipped.files, SkippedFrame(skipped.skipped, skipped.labelled)

    def _take_written(self, written: Written) -> None:
        part = None if written.part is None else get_format("sfs").read_part(written.part)
        if written.part is None or part is not None:
            frame = WrittenFrame(written.record, written.notes, written.bytes, part)
            self.frames[written.frame] = written.files, frame

    def _take_scene(self, record: Scene) -> None:
        for frame in record.frames:
            if isinstance(frame, Skipped):
                self._take_skipped(frame)
            else:
                self._take_written(frame)
        self.scene = record.scene  # one that was stored before frames were written again does not hold these

    def _take_committing(self, committing: Committing) -> None:
        self.committing = dict(committing.committing)


_KINDS: tuple[tuple[type[BaseModel], Callable[[Unfinished, Any], None]], ...] = (
    (Done, Unfinished._take_done),
    (Skipped, Unfinished._take_skipped),
    (Scene, Unfinished._take_scene),
    (Committing, Unfinished._take_committing),
)


def _stands(frame: StoredFrame, keys: Sequence[str], sizes: Mapping[str, int], compressed: bool) -> bool:
    """Whether all that was stored for a frame is there; URLs that have run out are signed anew in the end."""
    if len(keys) != len(frame.images) + 1 or not set(keys) <= set(sizes):
        return False
    *images, attachment = (sizes[key] for key in keys)
    return images == [image.bytes for image in frame.images] and (compressed or attachment == frame.attachment.bytes)
