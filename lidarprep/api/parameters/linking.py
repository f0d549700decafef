"""The task that links cuboids to camera images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import PlainValidator, model_validator

from lidarprep.api.parameters.attributes import AnnotationAttributes
from lidarprep.api.parameters.base import Condition, TaskParameters
from lidarprep.api.parameters.geometries import GeometriesLike
from lidarprep.api.parameters.labels import LabelLike
from lidarprep.api.parameters.nested import Nested, of_kind
from lidarprep.api.parameters.values import AttachmentUrl, Count, Index, Text, broken, is_text


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
    event_camera_ids: (
        Sequence[Annotated[EventCameras | Mapping[str, Any], PlainValidator(of_kind(EventCameras))]] | None
    ) = None
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
    geometries: GeometriesLike | None = None
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
    layers: (
        Sequence[Annotated[LidarLinkingLayers | Mapping[str, Any], PlainValidator(of_kind(LidarLinkingLayers))]] | None
    ) = None
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
