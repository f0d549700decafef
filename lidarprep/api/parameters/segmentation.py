"""The task that gives every point a class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from lidarprep.api.parameters.base import Condition, TaskParameters
from lidarprep.api.parameters.labels import Labels
from lidarprep.api.parameters.values import AttachmentType, AttachmentUrls, Index, Text


class LidarSegmentation(TaskParameters):
    """A `lidarsegmentation` task: a class for every point.

    It is made of attachments, or of a completed lidar task.
    """

    task_type: ClassVar[str] = "lidarsegmentation"

    labels: Labels
    """The classes, at most 50; with `instance_label` the objects of a class are told apart."""
    attachments: AttachmentUrls | None = None
    """One URL a frame, in the order of time."""
    attachment_type: AttachmentType | None = None
    """What the attachments are; required with them."""
    lidar_task: Text | None = None
    """Id of a completed lidar task, in place of attachments."""
    lidar_task_frames: Sequence[Index] | None = None
    """Indices of that task's frames to take; all by default. This and lidar_task stand on the reference's page "Start
    From Completed LIDAR Task", not in the table."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[Condition]:
        """Either attachments with their type, or a lidar task."""
        if "lidar_task" in given:
            for name in ("attachments", "attachment_type"):
                if name in given:
                    yield Condition(name, f"{name} is given beside lidar_task, which takes its place; give one of them")
            return
        if "attachments" not in given:
            yield Condition("attachments", "attachments is missing; give attachments, or lidar_task in their place")
        elif "attachment_type" not in given:
            yield Condition("attachment_type", "attachment_type is missing; attachments need it: 'json' or 'protobuf'")
        if "lidar_task_frames" in given:
            yield Condition("lidar_task_frames", "lidar_task_frames is given without lidar_task, whose frames it picks")
