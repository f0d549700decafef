"""Tasks that label points in 3D: cuboids, segmentation, and linking cuboids to camera images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationInfo

from lidarprep.api.parameters.base import Condition, TaskParameters
from lidarprep.api.parameters.values import (
    AttachmentUrl,
    AttachmentUrls,
    Count,
    Index,
    JsonObject,
    LabelLike,
    Labels,
    Text,
)

AttachmentType = Literal["json", "protobuf"]


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
    annotation_attributes: JsonObject | None = None
    """Attributes to be filled in for each annotation."""
    max_distance_meters: Count | None = None
    """Label objects up to this distance from the sensor; all that can be seen by default. Whole metres."""
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
    """Which of that task's frames to take. ASSUMED to be a list of frame indices: the reference does not print its
    type."""

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


class LidarLinkingLayers(BaseModel):
    """Shapes to show, but not to change, on one camera's images of a linking task."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    url: AttachmentUrl
    """A file with an array of layers, one a frame."""
    camera_id: Index
    """The camera that they are for."""


def _layers(value: Any, info: ValidationInfo) -> LidarLinkingLayers:
    return LidarLinkingLayers.model_validate(value, context=info.context)


class LidarLinking(TaskParameters):
    """A `lidarlinking` task: corrects the projections of a lidar task's cuboids onto camera images."""

    task_type: ClassVar[str] = "lidarlinking"

    lidar_task: Text
    """Id of the completed lidar task."""
    annotation_type: Literal["imageannotation", "annotation", "cuboidannotation", "polygonannotation"]
    """What to return in the images; imageannotation is the preferred one."""
    instruction: Text
    """What to do, in Markdown; required here."""
    annotation_attributes: JsonObject | None = None
    """Attributes to be filled in for each annotation."""
    camera_ids: Sequence[Index] | None = None
    """Cameras of the lidar task to correct projections for; all by default."""
    events_to_annotate: Sequence[Text] | None = None
    """Events to annotate."""
    event_camera_ids: Sequence[JsonObject] | None = None
    """Which cameras to annotate an event in. The reference does not print the objects' keys: they pass as they are."""
    can_add_annotations: bool | None = None
    """Labelers may draw further annotations; true by default."""
    can_edit_annotations: bool | None = None
    """Labelers may change annotations; true by default."""
    can_edit_annotation_positions: bool | None = None
    """Labelers may move annotations; true by default, and needs can_edit_annotations."""
    can_delete_annotations: bool | None = None
    """Labelers may delete annotations of the lidar task; true by default, and needs can_edit_annotations."""
    labeling_sample_rate: Count | None = None
    """k: adjust frames 1, k+1, 2k+1, … and the last, of the frames that the lidar task labelled."""
    additional_labels: Sequence[LabelLike] | None = None
    """Labels to add to the lidar task's; with imageannotation, geometries says them instead."""
    skip_labels: Sequence[Text] | None = None
    """Labels of the lidar task to make no projections for."""
    geometries: JsonObject | None = None
    """Geometry by kind: box, polygon, line, point, cuboid or ellipse. The reference's table types it as a boolean while
    its text and answer describe this object; an object is what is taken."""
    default_geometry: Literal["box", "cuboid", "polygon"] | None = None
    """Geometry for labels that geometries doesn't name."""
    copy_all_lidar_task_attributes: bool | None = None
    """Copy all attributes of the lidar task."""
    padding: Index | None = None
    """Pixels added around each image, to draw beyond its edge."""
    padding_x: Index | None = None
    """Pixels added left and right, in place of padding. `paddingX` on the wire."""
    padding_y: Index | None = None
    """Pixels added above and below, in place of padding. `paddingY` on the wire."""
    layers: Sequence[Annotated[LidarLinkingLayers | Mapping[str, Any], PlainValidator(_layers)]] | None = None
    """Shapes to show on the images, for some of the cameras."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[Condition]:
        """What imageannotation asks for and rules out, and what editing takes for granted."""
        if given.get("annotation_type") == "imageannotation":
            for name in ("geometries", "default_geometry"):
                if name not in given:
                    problem = f"{name} is missing; annotation_type 'imageannotation' needs it"
                    yield Condition(name, problem, unenforced=True)
            if "additional_labels" in given:
                problem = "additional_labels is given with annotation_type 'imageannotation'; use geometries instead"
                yield Condition("additional_labels", problem)
        if given.get("can_edit_annotations") is False:
            for name in ("can_edit_annotation_positions", "can_delete_annotations"):
                if given.get(name) is True:
                    yield Condition(name, f"{name} is true while can_edit_annotations is false; it needs both true")
