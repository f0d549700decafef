"""The one attachment of a Sensor Fusion Scene: written to a temporary file, hashed, named by its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from lidarprep.attachments import SceneFormat, get_format
from lidarprep.prepare.plan import FrameTask
from lidarprep.prepare.process_frame import FrameProcessor, PreparedFrame
from lidarprep.scene import Scene
from lidarprep.scene_settings import BAD_FRAME
from lidarprep.storage import Store
from lidarprep.storage.keys import content_key
from lidarprep.storage.manifest import AttachmentRecord, FrameResult

if TYPE_CHECKING:
    from lidarprep.attachments.sensor_fusion_scene import SceneWriter


@dataclass
class SceneFileWriter:
    """Writes the frames of a scene to one file.

    Args:
        processor: For the format and what is to become of bad frames.
        store: Where the file and the kept points of its frames are stored.
        file: The file.
        writer: Writes to it.
    """

    processor: FrameProcessor
    store: Store
    file: BinaryIO
    writer: SceneWriter

    @classmethod
    @contextmanager
    def open(
        cls, scene: Scene, processor: FrameProcessor, store: Store, tasks: Sequence[FrameTask]
    ) -> Iterator[SceneFileWriter]:
        """Open a temporary file for the frames of some tasks, which is gone at the end of the `with` statement."""
        with store.temporary_file() as file:
            writer = _format_of(processor).writer(
                file,
                frames=len(tasks),
                images=sum(len(task.frame.images) for task in tasks),
                lidars=len(scene.lidars),
                odometry=processor.recipe.odometry,
            )
            yield cls(processor, store, file, writer)

    def add(self, task: FrameTask, prepared: PreparedFrame | FrameResult) -> FrameResult:
        """Write a frame, and return its result; a bad frame is left out."""
        if isinstance(prepared, FrameResult):
            return prepared
        try:
            self.writer.add(prepared.frame)
        except BAD_FRAME as error:
            return self.processor.skipped(task, error)  # the writer is as it was before
        return FrameResult(frame=prepared.record)

    def store_scene(self, frames: list[str]) -> AttachmentRecord:
        """Finish the file, and store it under its content's name; `frames` are the ids of the frames in it."""
        self.writer.finish()
        self.file.seek(0)
        digest = hashlib.file_digest(self.file, "sha256").hexdigest()  # type: ignore[arg-type]  # has readinto, as files do
        size = self.file.tell()
        scene_format = _format_of(self.processor)
        key = content_key("scene", digest, scene_format.suffix)
        self.store.put_file(key, self.file, scene_format.content_type, sha256=digest)
        return AttachmentRecord(key=key, url=self.store.url(key), bytes=size, sha256=digest, frames=frames)


def _format_of(processor: FrameProcessor) -> SceneFormat:
    attachment_format = get_format(processor.recipe.format)
    assert isinstance(attachment_format, SceneFormat)  # noqa: S101  # others hold one frame an attachment
    return attachment_format
