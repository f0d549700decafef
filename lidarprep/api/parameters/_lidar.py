"""The lidar tasks, and the tasks that can follow them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from math import floor
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, PrivateAttr, ValidationInfo, field_serializer, model_serializer, model_validator

from lidarprep.api.parameters._base import Condition, TaskParameters, refused, shown
from lidarprep.api.parameters._nested import (
    AnnotationAttributes,
    Geometries,
    LabelLike,
    Labels,
    Like,
    Nested,
    label_names,
)
from lidarprep.api.parameters._values import (
    AttachmentType,
    AttachmentUrl,
    AttachmentUrls,
    Count,
    Index,
    JsonObject,
    OneOrMoreObjects,
    OneOrMoreUrls,
    Region3D,
    Strictness,
    Text,
    broken,
    is_text,
    url_suffix,
)

log = logging.getLogger(__name__)

OBJECTS = "objects_to_annotate"
# Kinds of geometry that can be seen from above.
KINDS = ("box", "polygon", "line", "point")
SFS = ".sfs"


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


class LidarLinkingLayers(Nested):
    """Shapes to show, but not to change, on one camera's images of a linking task."""

    url: AttachmentUrl
    """A file with an array of layers, one a frame."""
    camera_id: Index
    """The camera that they are for."""


class EventCameras(Nested):
    """An event, and the cameras to annotate it in.

    The reference prints none of its keys, so none are known here: what is given is sent as it is.
    """

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_extra:
            raise broken("is empty; it must say an event and its cameras")
        return self


def _texts_in(value: Any) -> set[str]:
    """Every string in a value that is to be JSON, an object's keys included."""
    texts: set[str] = set()
    waiting, seen = [value], set()  # what was seen is not looked at again: a value that is not checked may hold itself
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            texts.add(part)
        elif isinstance(part, (Mapping, list, tuple)) and id(part) not in seen:
            seen.add(id(part))
            waiting += [*part, *part.values()] if isinstance(part, Mapping) else part
    return texts


class LidarLinking(TaskParameters):
    """A `lidarlinking` task: corrects the projections of a lidar task's cuboids onto camera images."""

    task_type: ClassVar[str] = "lidarlinking"

    lidar_task: Text
    """Id of the completed lidar task."""
    annotation_type: Literal["imageannotation", "annotation", "cuboidannotation", "polygonannotation"]
    """What to return in the images; imageannotation is the preferred one."""
    instruction: Text
    """What to do, in Markdown; required here."""
    annotation_attributes: AnnotationAttributes | None = None
    """Attributes to be filled in for each annotation."""
    camera_ids: Sequence[Index] | None = None
    """Cameras of the lidar task to correct projections for; all by default."""
    events_to_annotate: Sequence[Text] | None = None
    """Events to annotate; all by default."""
    event_camera_ids: Sequence[Like[EventCameras]] | None = None
    """Which cameras to annotate an event in; all by default. Each event must be among events_to_annotate."""
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
    geometries: Like[Geometries] | None = None
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
    layers: Sequence[Like[LidarLinkingLayers]] | None = None
    """Shapes to show on the images, for some of the cameras. Objects, although the table has strings."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[Condition]:
        """What imageannotation asks for and rules out, what editing takes for granted, and events to annotate."""
        if is_text(given.get("annotation_type"), "imageannotation"):
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
        yield from cls._event_conditions(given.get("event_camera_ids"), given.get("events_to_annotate"))

    @classmethod
    def _event_conditions(cls, cameras: Any, events: Any) -> Iterable[Condition]:
        if cameras is None:
            return
        if events is None:
            problem = "event_camera_ids is given without events_to_annotate, which must hold each of its events"
            yield Condition("event_camera_ids", problem)
        elif isinstance(cameras, (list, tuple)) and isinstance(events, (list, tuple)):
            known = {event for event in events if isinstance(event, str)}
            for number, entry in enumerate(cameras):
                # Whatever key the event stands under: an entry without any of the names can't be about one of them.
                if not known & _texts_in(entry.model_extra if isinstance(entry, EventCameras) else entry):
                    problem = f"event_camera_ids[{number}] names none of events_to_annotate; its event must be one"
                    yield Condition("event_camera_ids", problem)


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
    geometries: Like[Geometries] | None = None
    """What to annotate with which geometry: box, polygon, line or point; required unless a taxonomy says it."""
    directed_lines: Sequence[Text] | None = None
    """Labels of lines whose direction matters, as they stand under geometries."""
    annotation_attributes: AnnotationAttributes | None = None
    """Attributes to be filled in for each annotation."""
    links: OneOrMoreObjects | None = None
    """Links between annotations. The reference's table lost its name and type: the name is that of its text, and an
    object or a list of objects is taken."""
    base_annotations: Like[BaseAnnotations] | None = None
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


MODELS: Mapping[str, type[TaskParameters]] = {
    model.task_type: model for model in (LidarLinking, LidarSegmentation, LidarTopdown)
}
FROM_ROOT = ("lidar_task", "attachments", "attachment", "attachment_type")

# Stand in for what comes from the root task while a definition is checked; never sent.
_PLACEHOLDER = "of the root task"


class DependentDefinition(Nested):
    """A task to be created of a root task: its type, and that type's parameters but for those that name the root.

    The reference's example gives a lidarsegmentation definition an annotation_type, which is lidarlinking's: so what
    another of the three types knows is sent as it is.
    """

    type: Literal["lidarlinking", "lidarsegmentation", "lidartopdown"]
    """Its task type."""

    _body: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _by_its_type(self, info: ValidationInfo) -> Self:
        model, given = MODELS[self.type], dict(self.model_extra or {})
        named = [
            (name, broken("must not be given: it comes from the root task")) for name in FROM_ROOT if name in given
        ]
        if named:
            raise refused(type(self).__name__, [((name,), problem, given[name]) for name, problem in named])
        own = {name: value for name, value in given.items() if name in model.known_names()}
        others = {name: value for name, value in given.items() if name not in own and self._may_pass(name, info)}
        strangers = {name: value for name, value in given.items() if name not in own and name not in others}
        stand_ins = {"lidar_task": _PLACEHOLDER}
        if "project" not in own and "batch" not in own:
            stand_ins["project"] = _PLACEHOLDER
        checked = model.model_validate({**own, **strangers, **stand_ins}, context=info.context).to_wire()
        self._body = {"type": self.type, **{name: checked[name] for name in checked if name not in stand_ins}, **others}
        return self

    @staticmethod
    def _may_pass(name: str, info: ValidationInfo) -> bool:
        """Whether a parameter that the definition's type doesn't know is sent all the same."""
        if not Strictness.of(info).unenforced_rules:
            return True
        return any(name in model.known_names() for model in MODELS.values())

    @model_serializer
    def _as_sent(self) -> dict[str, Any]:
        return dict(self._body)


class DependentOptions(Nested):
    """What follows a task once it is completed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    defs: Sequence[Like[DependentDefinition]] | None = None
    """The tasks to create."""
    require_audit: bool | None = None
    """Wait for an audit to fix or approve the task before creating them."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.defs is None and self.require_audit is None:
            raise broken("says nothing; give defs, require_audit, or both")
        return self


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
    dependents: Like[DependentOptions] | None = None
    """Tasks to be created of this one once it is completed. It stands on the reference's page "Dependent Tasks", not in
    the table."""


class Multistage(TaskParameters):
    """A `multistage` task: full labelling of a scene, over annotation types and modalities."""

    task_type: ClassVar[str] = "multistage"

    attachments: AttachmentUrls
    """One URL of a Sensor Fusion Scene, or one URL a frame of Frame JSON."""
    scene_format: Literal["sensor_fusion", "split_base64"]
    """What the attachments are: sensor_fusion for a scene (.sfs), split_base64 for frames (.json)."""
    task_blueprint_id: Text | None = None
    """Blueprint to use; by default the project's most recent active one."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[Condition]:
        """A project, and attachments that are what scene_format says."""
        if "project" not in given and "batch" not in given:
            yield Condition("project", "project is missing; give project, or batch, which implies it")
        attachments = given.get("attachments")
        if not isinstance(attachments, (list, tuple)) or not all(isinstance(url, str) for url in attachments):
            return
        suffixes = [url_suffix(url) for url in attachments]
        if is_text(given.get("scene_format"), "sensor_fusion"):
            if len(attachments) > 1:
                problem = (
                    f"attachments has {len(attachments)} entries; scene_format 'sensor_fusion' takes one URL (.sfs)"
                )
                yield Condition("attachments", problem)
            elif suffixes and suffixes[0] not in (SFS, ""):
                problem = f"attachments has a {suffixes[0]} file; scene_format 'sensor_fusion' takes a scene (.sfs)"
                yield Condition("attachments", f"{problem}, 'split_base64' takes frames (.json)")
        elif is_text(given.get("scene_format"), "split_base64") and SFS in suffixes:
            problem = "attachments has a .sfs file; scene_format 'split_base64' takes frames (.json)"
            yield Condition("attachments", f"{problem}, 'sensor_fusion' takes a scene (.sfs)")
