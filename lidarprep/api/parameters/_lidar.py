"""Parameters of the lidar tasks, and of tasks that depend on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_serializer,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails

from lidarprep.api.parameters._base import TaskParameters, Unenforced, shown
from lidarprep.api.parameters._nested import (
    AnnotationAttributes,
    Geometries,
    LabelLike,
    Labels,
    Like,
    Nested,
    label_names,
)
from lidarprep.api.parameters._prepared import FrameTask
from lidarprep.api.parameters._values import (
    REGION_FIELDS,
    AttachmentType,
    AttachmentUrl,
    AttachmentUrls,
    CallbackUrl,
    Count,
    Index,
    JsonObject,
    OneOrMoreObjects,
    OneOrMoreUrls,
    Region3D,
    Strictness,
    Text,
    UrlsOrNone,
    broken,
    is_text,
    nearest,
    url_suffix,
)

OBJECTS = "objects_to_annotate"
# Geometries that can be seen from above.
TOPDOWN_KINDS = ("box", "polygon", "line", "point")
SFS = (".sfs", ".gz")  # scene.sfs.gz, too


def _missing(given: Mapping[str, Any], *names: str) -> Iterator[str]:
    """Say of each name that it is missing, if it is; a manifest would have filled it in."""
    for name in names:
        if name not in given:
            yield f"{name} is missing; it is required"


class LidarLinkingLayers(Nested):
    """Shapes to show, but not to change, on one camera's images of a linking task."""

    url: AttachmentUrl
    """A file with an array of layers, one a frame."""
    camera_id: Index
    """Their camera."""


class EventCameras(Nested):
    """An event, and the cameras to annotate it in.

    The reference does not print its keys, so all keys are sent as they are.
    """

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_extra:
            raise broken("is empty; it must say an event and its cameras")
        return self


def _texts_in(value: Any) -> set[str]:
    """Every string in an unchecked JSON value, keys of objects included."""
    texts: set[str] = set()
    waiting, seen = [value], set()  # the value may hold itself
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
    """Annotations to return in the images; imageannotation is preferred."""
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
    """Labels to add to the lidar task's; with imageannotation, give them in geometries instead."""
    skip_labels: Sequence[Text] | None = None
    """Labels of the lidar task to make no projections for."""
    geometries: Like[Geometries] | None = None
    """Geometry by kind: box, polygon, line, point, cuboid or ellipse. The reference's table types it as a boolean, but
    its text and response describe this object."""
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
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[str]:
        """Check the requirements of imageannotation, of editing, and of events to annotate."""
        if is_text(given.get("annotation_type"), "imageannotation"):
            for name in ("geometries", "default_geometry"):
                if name not in given:
                    yield Unenforced(f"{name} is missing; annotation_type 'imageannotation' needs it")
            if given.get("additional_labels"):  # an empty list is the documented default
                yield "additional_labels is given with annotation_type 'imageannotation'; use geometries instead"
        if given.get("can_edit_annotations") is False:
            for name in ("can_edit_annotation_positions", "can_delete_annotations"):
                if given.get(name) is True:
                    yield f"{name} is true while can_edit_annotations is false; it needs both true"
        cameras, events = given.get("event_camera_ids"), given.get("events_to_annotate")
        if cameras is not None and events is None:
            yield "event_camera_ids is given without events_to_annotate, which must hold each of its events"
        elif isinstance(cameras, (list, tuple)) and isinstance(events, (list, tuple)):
            known = {event for event in events if isinstance(event, str)}
            for number, entry in enumerate(cameras):
                # The event's key is not known, so the name may be anywhere in the entry.
                if not known & _texts_in(entry.model_extra if isinstance(entry, EventCameras) else entry):
                    yield f"event_camera_ids[{number}] names none of events_to_annotate; its event must be one"


class BaseAnnotations(Nested):
    """Annotations to begin with."""

    annotations: OneOrMoreObjects
    """In the format of the response's annotations, which the reference does not print for this type."""


class LidarTopdown(FrameTask):
    """A `lidartopdown` task: polygons, lines and points, drawn from above.

    It is made of lidar frames (`attachments`), or of an aerial image (`attachment`).
    """

    task_type: ClassVar[str] = "lidartopdown"

    attachments: UrlsOrNone | None = None
    """One URL a lidar frame, in the order of time; not beside attachment."""
    attachment: UrlsOrNone | None = None
    """URL of an aerial image (PNG or JPEG). A list on the wire, as the reference has it; one string is taken too."""
    region_of_interest_2d: JsonObject | None = None
    """Where the aerial image lies in the world; required for one. Sent as it is."""
    region_of_interest_3d: Region3D | None = None
    """The rectangle that the points are cropped to; required for lidar. A RegionOfInterest3D, or an object that is sent
    as it is: fields beyond those of RegionOfInterest3D pass with a note."""
    context_attachments: Sequence[JsonObject] | None = None
    """Further files to show, {attachment: URL} each; of an aerial task."""
    geometries: Like[Geometries] | None = None
    """Labels by geometry: box, polygon, line or point; required without a taxonomy."""
    directed_lines: Sequence[Text] | None = None
    """Labels of lines whose direction matters, as in geometries."""
    annotation_attributes: AnnotationAttributes | None = None
    """Attributes to be filled in for each annotation."""
    links: OneOrMoreObjects | None = None
    """Links between annotations: an object or a list of objects. The reference's table lost its name and type."""
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

    The API documents an integer; a fraction is sent as it is. Of a manifest's height, the nearest whole metre is sent.
    """
    taxonomy_srn: Text | None = None
    """Version of the taxonomy to use, where the account has the taxonomy service."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[str]:
        """Either lidar frames with their region, or an aerial image with its own; shapes that topdown tasks have."""
        if "project" not in given and "batch" not in given:
            yield Unenforced("project is missing; give project, or batch, which implies it")
        has_frames, has_image = given.get("attachments", ()) != [], given.get("attachment", ()) != []
        has_frames, has_image = has_frames and "attachments" in given, has_image and "attachment" in given
        if has_frames and has_image:
            yield Unenforced("attachment is given beside attachments; give frames or an aerial image, not both")
        elif not (has_frames or has_image or "lidar_task" in given):
            yield "attachments is missing; give attachments, or attachment for an aerial image"
        elif has_image and "region_of_interest_2d" not in given:
            yield Unenforced("region_of_interest_2d is missing; an aerial image (attachment) needs it")
        if (has_frames or ("lidar_task" in given and not has_image)) and "region_of_interest_3d" not in given:
            yield Unenforced("region_of_interest_3d is missing; a lidar task needs it")
        if "geometries" not in given and "taxonomy_srn" not in given:
            yield "geometries is missing; give geometries, or taxonomy_srn"
        geometries, directed = given.get("geometries"), given.get("directed_lines")
        if isinstance(geometries, Geometries):
            geometries = geometries.model_dump(exclude_unset=True)
        if not isinstance(geometries, Mapping):
            return
        for kind in Geometries.KINDS:
            if kind not in TOPDOWN_KINDS and geometries.get(kind) is not None:
                yield f"geometries holds {kind}; seen from above, there are only {', '.join(TOPDOWN_KINDS)}"
        lines = geometries.get("line")
        labels = lines.get(OBJECTS) if isinstance(lines, Mapping) else getattr(lines, OBJECTS, None)
        for label in directed if isinstance(directed, (list, tuple)) else ():
            if isinstance(label, str) and label not in label_names(labels):
                yield f"directed_lines names {shown(label)}, which is not a label under line in geometries"

    def notes(self) -> list[str]:
        """Fields of a region that the reference does not print, too."""
        region = self.region_of_interest_3d
        unknown = sorted(set(region) - set(REGION_FIELDS)) if isinstance(region, Mapping) else []
        return super().notes() + [
            f"region_of_interest_3d holds {shown(name)}{nearest(name, REGION_FIELDS)}; it is sent as it is. Assumed are"
            f" {', '.join(REGION_FIELDS)}: the reference prints no names"
            for name in unknown
        ]

    @field_serializer("device_height")
    def _whole_as_integer(self, height: float | None) -> float | int | None:
        return int(height) if height is not None and height.is_integer() else height


FROM_ROOT = ("lidar_task", "attachments", "attachment", "attachment_type")
# Replaces values of the root task while a definition is checked; never sent.
_PLACEHOLDER = "of the root task"


class DependentDefinition(Nested):
    """A task to create from a root task: its type, and that type's parameters without those that name the root.

    The reference's example gives a lidarsegmentation definition lidarlinking's annotation_type. So parameters of the
    other two types are sent as they are.
    """

    type: Literal["lidarlinking", "lidarsegmentation", "lidartopdown"]
    """Its task type."""

    _body: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _by_its_type(self, info: ValidationInfo) -> Self:
        model, given = DEPENDENTS[self.type], dict(self.model_extra or {})
        problem = broken("must not be given: it comes from the root task")
        from_root = [name for name in FROM_ROOT if name in given]
        if from_root:
            details = [InitErrorDetails(type=problem, loc=(name,), input=given[name]) for name in from_root]
            raise ValidationError.from_exception_data(type(self).__name__, details, hide_input=True)
        passing = set(given)  # a server lets unknown parameters pass
        if Strictness.of(info).unenforced_rules:
            passing = {name for other in DEPENDENTS.values() for name in other.known_names()}
        others = {name: given.pop(name) for name in list(given) if name in passing - model.known_names()}
        placeholders = {"lidar_task": _PLACEHOLDER}
        if "project" not in given and "batch" not in given:
            placeholders["project"] = _PLACEHOLDER
        checked = model.model_validate({**given, **placeholders}, context=info.context).to_wire()
        own = {name: value for name, value in checked.items() if name not in placeholders}
        self._body = {"type": self.type, **own, **others}
        return self

    @model_serializer
    def _as_sent(self) -> dict[str, Any]:
        return dict(self._body)


class DependentOptions(Nested):
    """Tasks to create once a task is completed."""

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


class LidarSegmentation(FrameTask):
    """A `lidarsegmentation` task: a class for every point.

    It is made of attachments, or of a completed lidar task.
    """

    task_type: ClassVar[str] = "lidarsegmentation"

    labels: Labels
    """The classes, at most 50; with `instance_label` the objects of a class are told apart."""
    attachments: AttachmentUrls | None = None
    """One URL a frame, in the order of time."""
    attachment_type: AttachmentType | None = None
    """Format of the attachments; required with them."""
    lidar_task: Text | None = None
    """Id of a completed lidar task, in place of attachments."""
    lidar_task_frames: Sequence[Index] | None = None
    """Indices of that task's frames to take; all by default. This and lidar_task are on the reference's page "Start
    From Completed LIDAR Task", not in the table."""

    dependents: Like[DependentOptions] | None = None
    """Tasks to create from this one once it is completed; see LidarAnnotation."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[str]:
        """Either attachments with their type, or a lidar task."""
        if "lidar_task" in given:
            for name in ("attachments", "attachment_type"):
                if name in given:
                    yield f"{name} is given beside lidar_task, which takes its place; give one of them"
            return
        if "attachments" not in given:
            yield "attachments is missing; give attachments, or lidar_task in their place"
        elif "attachment_type" not in given:
            yield "attachment_type is missing; attachments need it: 'json' or 'protobuf'"
        if "lidar_task_frames" in given:
            yield "lidar_task_frames is given without lidar_task, whose frames it picks"


class LidarAnnotation(FrameTask):
    """A `lidarannotation` task: cuboids around objects, over the frames of a scene."""

    task_type: ClassVar[str] = "lidarannotation"

    attachments: AttachmentUrls | None = None
    """One URL a frame, in the order of time; required without a manifest."""
    attachment_type: AttachmentType | None = None
    """Frame JSON or LidarFrame protobuf. Required without a manifest, although the service assumes JSON: a protobuf
    task without it fails only after it is submitted."""
    labels: Labels
    """Labels, at most 50."""
    annotation_attributes: AnnotationAttributes | None = None
    """Attributes to be filled in for each annotation."""
    max_distance_meters: Count | None = None
    """Label objects up to this distance from the sensor; all visible ones by default. Whole metres: a fraction is
    refused, as rounding would change which objects are labelled."""
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
    """Labels to draw polygons around."""
    pitch_and_roll_enabled: bool | None = None
    """Cuboids may be pitched and rolled. It is on the reference's page of the callback, not in the table."""
    dependents: Like[DependentOptions] | None = None
    """Tasks to create from this one once it is completed. It is on the reference's page "Dependent Tasks", not in the
    table."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[str]:
        """Attachments with their type."""
        return _missing(given, "attachments", "attachment_type")


class Multistage(FrameTask):
    """A `multistage` task: full labelling of a scene, over annotation types and modalities."""

    task_type: ClassVar[str] = "multistage"

    attachments: OneOrMoreUrls | None = None
    """One URL of a Sensor Fusion Scene, or one URL a frame of Frame JSON. A list on the wire; one string is taken too.
    Required without a manifest."""
    scene_format: Literal["sensor_fusion", "split_base64"] | None = None
    """Format of the attachments, required without a manifest: sensor_fusion for a scene (.sfs), split_base64 for frames
    (.json)."""
    task_blueprint_id: Text | None = None
    """Blueprint to use; by default the project's most recent active one."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[str]:
        """A project, and attachments in the format of scene_format."""
        yield from _missing(given, "attachments", "scene_format")
        if "project" not in given and "batch" not in given:
            yield "project is missing; give project, or batch, which implies it"
        attachments = given.get("attachments")
        attachments = [attachments] if isinstance(attachments, str) else attachments
        if not isinstance(attachments, (list, tuple)) or not all(isinstance(url, str) for url in attachments):
            return
        suffixes = [url_suffix(url) for url in attachments]
        scene, frames = "'sensor_fusion' takes a scene (.sfs)", "'split_base64' takes frames (.json)"
        if is_text(given.get("scene_format"), "sensor_fusion"):
            if len(attachments) > 1:
                count = len(attachments)
                yield f"attachments has {count} entries; scene_format 'sensor_fusion' takes one URL (.sfs)"
            elif suffixes and suffixes[0] not in (*SFS, ""):
                yield f"attachments has a {suffixes[0]} file; scene_format {scene}, {frames}"
        elif is_text(given.get("scene_format"), "split_base64"):
            for suffix in sorted({SFS[0], ".pb"}.intersection(suffixes)):
                yield f"attachments has a {suffix} file; scene_format {frames}, {scene}"


class SensorFusion(FrameTask):
    """A `sensorfusion` task: 3D cuboids, point classes, keypoints or shapes from above, in one Sensor Fusion Scene."""

    task_type: ClassVar[str] = "sensorfusion"

    attachments: Annotated[OneOrMoreUrls, Field(max_length=1)] | None = None
    """The URL of a Sensor Fusion Scene. A list on the wire; one string is taken too. Required without a manifest."""
    scene_format: Literal["sensor_fusion"] | None = None
    """Format of the attachment, required without a manifest: sensor_fusion."""
    project: Text
    """Project that the task belongs to; required here."""
    instruction: Text
    """What to do, in Markdown; required here."""
    annotation_definition: Annotated[Sequence[JsonObject], Field(min_length=1)]
    """Definitions of the annotations to make. Sent as they are: the reference does not print their fields."""
    callback_url: CallbackUrl
    """Receiver of the result; required here."""
    is_frameless: bool
    """Whether the scene is labelled as a whole, and not frame by frame."""

    @classmethod
    def conditions(cls, given: Mapping[str, Any]) -> Iterable[str]:
        """Attachments with their format."""
        return _missing(given, "attachments", "scene_format")


DEPENDENTS: Mapping[str, type[TaskParameters]] = {
    model.task_type: model for model in (LidarLinking, LidarSegmentation, LidarTopdown)
}
