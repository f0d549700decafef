"""Pre-labels: labels of other people or of a model, aligned with the frames of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import RecipeError
from lidarprep.labels import scale
from lidarprep.labels.files import LabelFile
from lidarprep.scene import Labels, Scene
from lidarprep.scene.labels import LabelsFrame


@dataclass(frozen=True)
class Prelabels:
    """Pre-labels of a recording.

    Args:
        labels: The labels in the recording's world, or in the attachments' where these have no offset that is known;
            their frames are all of the recording's, in their order.
        digest: SHA-256 of the files that they were read from, 64 hex digits.
    """

    labels: Labels
    digest: str

    @classmethod
    def read(
        cls,
        path: str | PathLike[str],
        frame: LabelsFrame | None,
        scene: Scene,
        selections: Sequence[Sequence[int]] = (),
    ) -> Prelabels:
        """Read pre-labels of a recording.

        Args:
            path, frame: As `lidarprep.labels.files.read_labels` takes them.
            scene: The recording.
            selections: Rows of its frames that a task's JSON may be of: those that are prepared, those labelled.

        Raises:
            FormatError: A file cannot be read, or is not what its name says.
            RecipeError: There are no labels in it; or they are of frames that the recording does not have.
            SceneError: They are in ego, and a frame has no pose.
        """
        file = LabelFile.read(path, scene, frame, selections)
        labels = file.labels
        if labels.frame != "attachment" or any(labels.world_offset):
            labels = labels.in_frame("world")
        if labels.cuboids is None or not (len(labels.cuboids) or labels.points or labels.shapes):
            raise RecipeError(f"{path} holds no labels", fix="Name other pre-labels, or leave --prelabels out.")
        return cls(labels, file.digest)

    def notes(self, format: str) -> list[str]:
        """Return what attachments of a format do not hold of them, a sentence.

        Raises:
            RecipeError: They hold nothing of them, and no task begins with them.
        """
        if format == "sfs":
            return [] if self.labels.shapes is None else ["a Sensor Fusion Scene does not hold top-down shapes"]
        if self.labels.shapes is None:
            raise RecipeError(
                f"pre-labels of cuboids and points go into a Sensor Fusion Scene; the format is {format}",
                fix="Prepare with --format sfs, or leave --prelabels out.",
            )
        unheld = self.labels.points is not None or (self.labels.cuboids is not None and len(self.labels.cuboids) > 0)
        return [f"of the pre-labels {format} attachments take the top-down shapes only"] if unheld else []

    @property
    def base_annotations(self) -> dict[str, Any] | None:
        """What a topdown task begins with, in the recording's own world; None where there are no top-down shapes."""
        return None if self.labels.shapes is None else scale.base_annotations(self.labels.shapes)

    def of_attachments(self, offset: tuple[float, float, float]) -> Labels:
        """Return the labels in the attachments' world."""
        return replace(self.labels, world_offset=offset).in_frame("attachment")

    def of_points(self, frame_id: str) -> NDArray[np.uint32] | None:
        """Return the labels of all points of a frame of the recording; None if they are not labelled."""
        points = self.labels.points
        row = next((row for row, one in enumerate(self.labels.frames) if one.id == frame_id), None)
        return None if points is None or row is None else points.values[row]
