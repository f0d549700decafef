"""The task that labels a scene, or an aerial image, from above."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from math import floor
from typing import Annotated, Any, ClassVar

from pydantic import Field, PlainValidator, field_serializer

from lidarprep.api.parameters.attributes import AnnotationAttributes
from lidarprep.api.parameters.base import Condition, TaskParameters
from lidarprep.api.parameters.geometries import Geometries, GeometriesLike
from lidarprep.api.parameters.labels import label_names
from lidarprep.api.parameters.messages import shown
from lidarprep.api.parameters.nested import Nested, of_kind
from lidarprep.api.parameters.values import (
    AttachmentUrls,
    JsonObject,
    OneOrMoreObjects,
    OneOrMoreUrls,
    Region3D,
    Text,
)

log = logging.getLogger(__name__)

OBJECTS = "objects_to_annotate"
# Kinds of geometry that can be seen from above.
KINDS = ("box", "polygon", "line", "point")


class BaseAnnotations(Nested):
    """Annotations to begin with."""

    annotations: OneOrMoreObjects
    """In the format of the answer's annotations, which the reference does not print for this type."""


class LidarTopdown(TaskParameters):
    """A `lidartopdown` task: polygons, lines and points, drawn from above.

    It is made of lidar frames (`attachments`), or of an aerial image (`attachment`).
    """

    task_type: ClassVar[str] = "lidartopdown"

    attachments: AttachmentUrls | None = None
    """One URL a lidar frame, in the order of time; not beside attachment."""
    attachment: OneOrMoreUrls | None = None
    """URL of an aerial image (PNG or JPEG). A list on the wire, as the reference has it; one string is taken too."""
    region_of_interest_2d: JsonObject | None = None
    """Where the aerial image lies in the world; required for one. Sent as it is."""
    region_of_interest_3d: Region3D | None = None
    """The rectangle that the points are cropped to; required for lidar. A RegionOfInterest3D, or an object that is sent
    as it is."""
    geometries: GeometriesLike | None = None
    """What to annotate with which geometry: box, polygon, line or point; required unless a taxonomy says it."""
    directed_lines: Sequence[Text] | None = None
    """Labels of lines whose direction matters, as they stand under geometries."""
    annotation_attributes: AnnotationAttributes | None = None
    """Attributes to be filled in for each annotation."""
    links: OneOrMoreObjects | None = None
    """Links between annotations. The reference's table lost its name and type: the name is that of its text, and an
    object or a list of objects is taken."""
    base_annotations: (
        Annotated[BaseAnnotations | Mapping[str, Any], PlainValidator(of_kind(BaseAnnotations))] | None
    ) = None
    """Annotations to begin with."""
    groups: Sequence[Text] | None = None
    """Groups that the labels belong to."""
    rules: JsonObject | None = None
    """Relationships between annotations."""
    disable_cuboid_projection: bool | None = None
    """As the dependent of a cuboid task: don't show its cuboids as polygons."""
    lidar_task: Text | None = None
    """Id of a completed cuboid task, whose annotations are the starting point."""
    device_height: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Height of the lidar above the ground, metres; `deviceHeight` on the wire.

    The API documents an integer although it is in metres. It goes out rounded to the nearest whole metre (halves up),
    and the log says so: there it only steers a coarse filter, where half a metre doesn't matter, while a fraction may
    have the task refused. The local height filter always uses the height as it was given."""
    taxonomy_srn: Text | None = None
    """Version of the taxonomy to use, where the account has the taxonomy service."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[Condition]:
        """Either lidar frames with their region, or an aerial image with its own."""
        if "project" not in given and "batch" not in given:
            yield Condition("project", "project is missing; give project, or batch, which implies it", unenforced=True)
        has_frames, has_image = "attachments" in given, "attachment" in given
        if has_frames and has_image:
            problem = "attachment is given beside attachments; give frames or an aerial image, not both"
            yield Condition("attachment", problem, unenforced=True)
        elif not (has_frames or has_image or "lidar_task" in given):
            yield Condition(
                "attachments", "attachments is missing; give attachments, or attachment for an aerial image"
            )
        elif has_image and "region_of_interest_2d" not in given:
            problem = "region_of_interest_2d is missing; an aerial image (attachment) needs it"
            yield Condition("region_of_interest_2d", problem, unenforced=True)
        if (has_frames or ("lidar_task" in given and not has_image)) and "region_of_interest_3d" not in given:
            problem = "region_of_interest_3d is missing; a lidar task needs it"
            yield Condition("region_of_interest_3d", problem, unenforced=True)
        if "geometries" not in given and "taxonomy_srn" not in given:
            yield Condition("geometries", "geometries is missing; give geometries, or taxonomy_srn")
        yield from cls._shape_conditions(given.get("geometries"), given.get("directed_lines"))

    @classmethod
    def _shape_conditions(cls, geometries: Any, directed: Any) -> Iterable[Condition]:
        """Shapes that can be seen from above, and directions of lines that there are."""
        if isinstance(geometries, Geometries):
            geometries = geometries.model_dump(exclude_unset=True)
        if not isinstance(geometries, Mapping):
            return
        for kind in Geometries.KINDS:
            if kind not in KINDS and geometries.get(kind) is not None:
                problem = f"geometries holds {kind}; seen from above, there are only {', '.join(KINDS)}"
                yield Condition("geometries", problem)
        lines = geometries.get("line")
        objects = lines.get(OBJECTS) if isinstance(lines, Mapping) else getattr(lines, OBJECTS, None)
        for label in directed if isinstance(directed, (list, tuple)) else ():
            if isinstance(label, str) and label not in label_names(objects):
                problem = f"directed_lines names {shown(label)}, which is no label under line in geometries"
                yield Condition("directed_lines", problem)

    @field_serializer("device_height")
    def _in_whole_metres(self, height: float | None) -> int | None:
        if height is None:
            return None
        whole = floor(height + 0.5)
        if whole != height:
            log.warning("device_height %s m goes out as deviceHeight %d: the API takes whole metres", height, whole)
        return whole
