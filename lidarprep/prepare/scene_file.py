"""The one attachment of a Sensor Fusion Scene: written to a temporary file, hashed, named by its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lidarprep.attachments import SceneFormat, get_format
from lidarprep.errors import SceneError
from lidarprep.prepare.plan import FrameTask
from lidarprep.prepare.prelabels import Prelabels
from lidarprep.prepare.process_frame import FrameProcessor, PreparedFrame
from lidarprep.scene import Scene
from lidarprep.scene_settings import BAD_FRAME
from lidarprep.storage import Store, kept_points
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
        prelabels: What becomes its annotations; None for nothing.
    """

    processor: FrameProcessor
    store: Store
    file: BinaryIO
    writer: SceneWriter
    prelabels: Prelabels | None = None

    @classmethod
    @contextmanager
    def open(
        cls,
        scene: Scene,
        processor: FrameProcessor,
        store: Store,
        tasks: Sequence[FrameTask],
        prelabels: Prelabels | None = None,
        offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> Iterator[SceneFileWriter]:
        """Open a temporary file for the frames of some tasks, which is gone at the end of the `with` statement."""
        with store.temporary_file() as file:
            writer = _format_of(processor).writer(
                file,
                frames=len(tasks),
                images=sum(len(task.frame.images) for task in tasks),
                lidars=len(scene.lidars),
                odometry=processor.recipe.odometry,
                labels=None if prelabels is None else prelabels.of_attachments(offset),
            )
            yield cls(processor, store, file, writer, prelabels)

    def add(self, task: FrameTask, prepared: PreparedFrame | FrameResult) -> FrameResult:
        """Write a frame, and return its result; a bad frame is left out."""
        if isinstance(prepared, FrameResult):
            return prepared
        try:
            self.writer.add(prepared.frame, self._point_labels(prepared))
        except BAD_FRAME as error:
            return self.processor.skipped(task, error)  # the writer is as it was before
        return FrameResult(frame=prepared.record)

    def _point_labels(self, prepared: PreparedFrame) -> NDArray[np.uint32] | None:
        """Return the pre-labels of the points that a frame keeps; None where its points have none.

        Raises:
            SceneError: There are not as many as the recording's frame has points.
        """
        record = prepared.record
        labels = None if self.prelabels is None else self.prelabels.of_points(record.id)
        if labels is None:
            return None
        if len(labels) != record.points_in:
            raise SceneError(
                f"frame {record.id} has {record.points_in} points, and its pre-labels are of {len(labels)}",
                fix="Pre-labels of points are of all points of the recording, in their order.",
            )
        kept = prepared.kept
        return labels if kept is None else labels[kept_points.decode(kept, record.points_in).rows]

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
