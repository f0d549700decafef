"""The task that draws cuboids around objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import PlainValidator

from lidarprep.api.parameters.attributes import AnnotationAttributes
from lidarprep.api.parameters.base import TaskParameters
from lidarprep.api.parameters.dependents import DependentOptions
from lidarprep.api.parameters.labels import Labels
from lidarprep.api.parameters.nested import of_kind
from lidarprep.api.parameters.values import AttachmentType, AttachmentUrls, Count, Text


class LidarAnnotation(TaskParameters):
    """A `lidarannotation` task: cuboids around objects, over the frames of a scene."""

    task_type: ClassVar[str] = "lidarannotation"

    attachments: AttachmentUrls
    """One URL a frame, in the order of time."""
    attachment_type: AttachmentType
    """What the attachments are: Frame JSON or LidarFrame protobuf. Asked for although the service assumes JSON: a
    protobuf task that forgets it only fails once it is submitted."""
    labels: Labels
    """What to label, at most 50."""
    annotation_attributes: AnnotationAttributes | None = None
    """Attributes to be filled in for each annotation."""
    max_distance_meters: Count | None = None
    """Label objects up to this distance from the sensor; all that can be seen by default. Whole metres: a fraction is
    refused, as rounding would change what is labelled."""
    meters_per_unit: Count | None = None
    """Metres that one unit of the point data stands for. The reference has an integer, so a fraction is refused:
    rounding would change the size of the whole scene. lidarprep's own attachments are in metres and need none."""
    frames_per_second: Count | None = None
    """Frames a second of the recording."""
    labeling_sample_rate: Count | None = None
    """k: label frames 1, k+1, 2k+1, … and the last."""
    polygons_enabled: bool | None = None
    """Ask for polygon annotations too."""
    polygons_labels: Sequence[Text] | None = None
    """What to draw polygons around."""
    dependents: Annotated[DependentOptions | Mapping[str, Any], PlainValidator(of_kind(DependentOptions))] | None = None
    """Tasks to be created of this one once it is completed. It stands on the reference's page "Dependent Tasks", not in
    the table."""
