"""The one attachment that holds all frames of a run, and their pictures, written frame by frame.

Where a store stages, the file that it grows in outlives the run: what a frame has added is made durable, and recorded
with what the writer needs to go on after it. Another run takes up the frames that the file still holds unaltered.
Elsewhere the file is a temporary one, and its frames are done once it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, BinaryIO

from lidarprep.attachments import SceneFormat
from lidarprep.pipeline.frame_work import BAD_FRAME, PreparedFrame, SkippedFrame
from lidarprep.pipeline.keeping import Keeper
from lidarprep.storage import Store, StoredObject
from lidarprep.storage.manifest import FrameRecord

if TYPE_CHECKING:
    from lidarprep.attachments.sensor_fusion_scene import ScenePart, SceneWriter


@dataclass(frozen=True)
class WrittenFrame:
    """A frame that is written to the scene that is to hold all.

    Args:
        record: What the manifest says of it.
        notes: What was found odd, or what the format cannot hold, a sentence for each kind.
        bytes: What it has added to the scene.
        part: What another writer needs to go on after it; None where none could.
    """

    record: FrameRecord
    notes: dict[str, str]
    bytes: int
    part: ScenePart | None


@dataclass(frozen=True)
class StoredScene:
    """The scene, once it holds all frames and is stored.

    Args:
        stored: What it is stored as.
        notes: What its writer has rounded, assumed or dropped, a sentence each.
    """

    stored: StoredObject
    notes: tuple[str, ...]


WrittenOrSkipped = WrittenFrame | SkippedFrame


@dataclass(frozen=True)
class WholeScene:
    """The one attachment that is to hold all frames.

    Args:
        attachment_format: What it is written as.
        key: What it is stored under.
        frames: How many frames are to come,
        pictures: how many pictures with them, and
        lidars: how many lidars' points.
        odometry: Whether the device's poses are to be a sensor of their own.
        skip_bad_frames: Whether to go on without a frame whose pictures cannot be read.
        store: Where it is stored.
        lasts: Whether another run could go on with it where this one is stopped.
        keep: Records frames that are durable, with the scene once it is stored.
    """

    attachment_format: SceneFormat
    key: str
    frames: int
    pictures: int
    lidars: int
    odometry: bool
    skip_bad_frames: bool
    store: Store
    lasts: bool
    keep: Callable[[Sequence[WrittenOrSkipped], StoredScene | None], None]

    def is_stored_as(self, scene: StoredScene) -> bool:
        """Whether what is recorded of it, once it was stored, is what is there."""
        return self.store.sizes([self.key]).get(self.key) == scene.stored.bytes

    def still_held(self, recorded: Mapping[str, WrittenOrSkipped], ids: Iterable[str]) -> dict[str, WrittenOrSkipped]:
        """The frames that need not be done again: the first ones, as far as the file holds them unaltered.

        Args:
            recorded: What an earlier run has recorded, by the frames' ids.
            ids: The ids of all frames, in time order.
        """
        first = [recorded[name] for name in takewhile(recorded.__contains__, ids)] if self.lasts else []
        parts = _parts_of(first)
        sound = 0
        if parts:
            with self.store.spool(self.key) as spool:
                sound = self.attachment_format.count_sound(spool, parts)
        held = {}
        for frame in first:
            if isinstance(frame, WrittenFrame):
                if not sound:
                    break
                sound -= 1
            held[frame.record.id] = frame
        return held

    @contextmanager
    def open(self, done: Iterable[object]) -> Iterator[GrowingScene]:
        """The scene as it grows, until it is stored, or its writing ends early.

        Args:
            done: The frames that are done already, as `still_held` gives them.
        """
        with self.store.spool(self.key) as spool:
            writer = self.attachment_format.writer(
                spool,
                frames=self.frames,
                pictures=self.pictures,
                lidars=self.lidars,
                odometry=self.odometry,
                parts=_parts_of(done),
            )
            kept = spool if self.lasts else None
            with Keeper[WrittenOrSkipped](kept, lambda frames: self.keep(frames, None)) as keeper:
                yield GrowingScene(self, spool, writer, keeper)


class GrowingScene:
    """The scene while its frames are written; from `WholeScene.open`."""

    def __init__(
        self, scene: WholeScene, spool: BinaryIO, writer: SceneWriter, keeper: Keeper[WrittenOrSkipped]
    ) -> None:
        self._scene = scene
        self._spool = spool
        self._writer = writer
        self._keeper = keeper

    def write(self, prepared: Iterable[PreparedFrame | SkippedFrame]) -> Iterator[WrittenOrSkipped]:
        """Writes the frames that are missing, each let go before the next is taken up; gives what became of them."""
        for frame in prepared:
            done = self._done(frame)
            del frame
            self._keeper.add(done)
            yield done

    def finish(self) -> StoredScene:
        """Stores it, with the frames that it has."""
        self._writer.finish_in_place()
        stored = self._scene.store.put_file(self._scene.key, self._spool, self._scene.attachment_format.content_type)
        scene = StoredScene(stored, self._writer.notes)
        self._scene.keep(self._keeper.rest(), scene)
        return scene

    def _done(self, frame: PreparedFrame | SkippedFrame) -> WrittenOrSkipped:
        """The frame, once it is written; or left out, if it is bad."""
        if isinstance(frame, SkippedFrame):
            return frame
        before = self._spool.tell()
        try:
            part = self._writer.add(frame.frame)
        except BAD_FRAME as error:
            if not self._scene.skip_bad_frames:
                raise
            return SkippedFrame.because(frame.frame, frame.record.labelled, error)  # the writer is as it was before
        added = self._spool.tell() - before
        return WrittenFrame(frame.record, frame.notes, added, part if self._scene.lasts else None)


def _parts_of(frames: Iterable[object]) -> list[ScenePart]:
    return [frame.part for frame in frames if isinstance(frame, WrittenFrame) and frame.part is not None]
