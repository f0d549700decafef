"""Objects within parameters: labels, annotation attributes, layers, event cameras, geometries."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lidarprep.api._task_types import read_parameters
from lidarprep.api.parameters import (
    AnnotationAttribute,
    BaseAnnotations,
    Box,
    CameraIntrinsics,
    Conditions,
    Connection,
    Ellipse,
    EventCameras,
    Geometries,
    Label,
    LidarAnnotation,
    LidarLinkingLayers,
    Line,
    PerspectiveCuboid,
    Point,
    Polygon,
    Quaternion,
    Strictness,
)
from tests.api.task_examples import ATTRIBUTES, EXAMPLES, FRAMES, LEAST, refusal, wire

NAMES = st.text(min_size=1, max_size=8)
LABELS = st.recursive(
    NAMES | st.fixed_dictionaries({"choice": NAMES}, optional={"instance_label": st.booleans(), "display": NAMES}),
    lambda inner: st.fixed_dictionaries(
        {"choice": NAMES, "subchoices": st.lists(inner, max_size=3)}, optional={"groups": st.lists(NAMES, max_size=2)}
    ),
    max_leaves=12,
)


@given(st.lists(LABELS, min_size=1, max_size=5))
def test_labels_nest_and_go_out_as_they_came(labels: list[Any]) -> None:
    assert wire("lidarsegmentation", labels=labels)["labels"] == labels


def nested(depth: int) -> Any:
    label: Any = "innermost"
    for _ in range(depth):
        label = {"choice": "outer", "subchoices": [label]}
    return label


def test_labels_may_nest_deeply_but_not_without_end() -> None:
    assert wire("lidarannotation", labels=[nested(31)])["labels"] == [nested(31)]
    for depth in (32, 500, 100_000):
        assert "labels[0] is an object: it nests labels more than 32 deep" in refusal(
            "lidarannotation", labels=[nested(depth)]
        )
    endless: dict[str, Any] = {"choice": "again"}
    endless["subchoices"] = [endless]
    assert "more than 32 deep" in refusal("lidarannotation", labels=[endless])


def test_models_and_objects_mix_at_any_depth() -> None:
    mixed = [{"choice": "a", "subchoices": [Label(choice="b", groups=["g"]), "c"]}]
    plain = [{"choice": "a", "subchoices": [{"choice": "b", "groups": ["g"]}, "c"]}]
    assert wire("lidarannotation", labels=mixed)["labels"] == plain
    assert wire("lidarannotation", labels=[Label(choice="a", subchoices=plain[0]["subchoices"])])["labels"] == plain


def test_what_is_none_within_an_object_is_not_sent_unless_its_key_is_not_known() -> None:
    label = {"choice": "a", "display": None, "shortcut": None}
    assert wire("lidarannotation", labels=[label])["labels"] == [{"choice": "a", "shortcut": None}]
    assert LidarAnnotation(
        attachments=FRAMES, attachment_type="json", labels=[Label(choice="a", display=None)]
    ).to_wire()["labels"] == [{"choice": "a"}]


def test_attributes_go_out_as_they_came_in_their_order() -> None:
    sent = wire("lidarannotation", annotation_attributes=ATTRIBUTES)["annotation_attributes"]
    assert sent == ATTRIBUTES
    assert list(sent) == list(ATTRIBUTES)


def test_attributes_are_taken_as_models_too() -> None:
    conditions = Conditions(label_condition={"label": "car"}, attribute_conditions=[{"parked": "No"}])
    attributes = {"heading": AnnotationAttribute(choices=["left", "right"], conditions=conditions)}
    assert wire("lidarlinking", annotation_attributes=attributes)["annotation_attributes"] == {
        "heading": {
            "choices": ["left", "right"],
            "conditions": {"label_condition": {"label": "car"}, "attribute_conditions": [{"parked": "No"}]},
        }
    }


def test_numbers_of_numpy_are_taken() -> None:
    attributes = {"doors": {"type": "number", "min": np.int64(2), "max": np.float32(2.5)}}
    sent = wire("lidarannotation", annotation_attributes=attributes)["annotation_attributes"]["doors"]
    assert sent == {"type": "number", "min": 2, "max": 2.5}
    assert type(sent["min"]) is int


def test_attributes_of_types_and_keys_that_are_not_known_pass_as_they_are() -> None:
    attributes = {"turn": {"type": "angle", "snap": 45}, "new": {"type": "brand_new", "x": [None]}}
    assert wire("lidartopdown", annotation_attributes=attributes)["annotation_attributes"] == attributes


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("red", "annotation_attributes.colour is 'red': it must be an object"),
        ({"type": 3}, "annotation_attributes.colour.type is 3: it must be a string"),
        ({"type": "category"}, "annotation_attributes.colour is an object: it has no choices"),
        ({}, "annotation_attributes.colour is an object: it has no choices"),
        ({"choices": []}, "annotation_attributes.colour.choices is empty"),
        ({"choices": "red"}, "annotation_attributes.colour.choices is 'red': it must be a list"),
        ({"choices": [{}]}, "annotation_attributes.colour.choices[0].choice is missing"),
        ({"choices": ["a"], "allow_multiple": 1}, "annotation_attributes.colour.allow_multiple is 1"),
        ({"type": "number", "min": "0"}, "annotation_attributes.colour.min is '0': it must be a number"),
        ({"type": "number", "min": 2, "max": 1}, "it has min 2 above max 1"),
        ({"type": "number", "step": 0}, "it has step 0; it must be above 0"),
        ({"type": "linked", "allowed_labels": "car"}, "annotation_attributes.colour.allowed_labels is 'car'"),
        (
            {"type": "text", "conditions": {"label_condition": {"labels": "car"}}},
            "annotation_attributes.colour.conditions.label_condition is an object: it must have the key label",
        ),
        (
            {"type": "text", "conditions": {"attribute_conditions": [{"parked": True}]}},
            "annotation_attributes.colour.conditions.attribute_conditions[0] is an object: it must map a name",
        ),
    ],
)
def test_an_attribute_that_makes_no_sense_is_refused(attribute: Any, message: str) -> None:
    for task_type in ("lidarannotation", "lidarlinking", "lidartopdown"):
        assert message in refusal(task_type, annotation_attributes={"colour": attribute})


def test_layers_are_taken_as_models_and_as_objects() -> None:
    layers = [LidarLinkingLayers(url="s3://bucket/layers.json", camera_id=0), {"url": FRAMES[0], "camera_id": 1}]
    assert wire("lidarlinking", layers=layers)["layers"] == [
        {"url": "s3://bucket/layers.json", "camera_id": 0},
        {"url": FRAMES[0], "camera_id": 1},
    ]
    assert "layers[0] is 'https://example.com/1.json': it must be an object" in refusal(
        "lidarlinking", layers=[FRAMES[0]]
    )


@pytest.mark.parametrize(
    "entry", [{"event": "brake", "camera_ids": [0]}, {"brake": [0, 1]}, {"x": {"y": ["brake"]}}, {"id": "turn"}]
)
def test_an_event_is_found_whatever_its_key(entry: dict[str, Any]) -> None:
    for given_as in (entry, EventCameras(**entry)):
        sent = wire("lidarlinking", events_to_annotate=["brake", "turn"], event_camera_ids=[given_as])
        assert sent["event_camera_ids"] == [entry]


def test_an_event_with_cameras_must_be_annotated() -> None:
    entries = [{"event": "brake"}, {"event": "stop", "camera_ids": [0]}]
    message = refusal("lidarlinking", events_to_annotate=["brake"], event_camera_ids=entries)
    assert "event_camera_ids[1] names none of events_to_annotate; its event must be one" in message
    assert "event_camera_ids is given without events_to_annotate" in refusal("lidarlinking", event_camera_ids=entries)
    assert "event_camera_ids[0] is an object: it is empty" in refusal(
        "lidarlinking", events_to_annotate=["brake"], event_camera_ids=[{}]
    )
    assert "event_camera_ids[0] is 'brake': it must be an object" in refusal(
        "lidarlinking", events_to_annotate=["brake"], event_camera_ids=["brake"]
    )


@pytest.mark.parametrize("annotations", [[], [{"label": "lane", "locked": True}], {"lane": []}])
def test_annotations_to_begin_with_are_a_list_or_an_object(annotations: Any) -> None:
    base = {"annotations": annotations, "note": 1}
    assert wire("lidartopdown", base_annotations=base)["base_annotations"] == base
    model = BaseAnnotations(annotations=annotations)
    assert wire("lidartopdown", base_annotations=model)["base_annotations"] == {"annotations": annotations}


@pytest.mark.parametrize("links", [{"of": "lanes"}, [{"of": "lanes"}, {}]])
def test_links_are_an_object_or_a_list_of_objects(links: Any) -> None:
    assert wire("lidartopdown", links=links)["links"] == links
    assert "links is 'lanes': it must be an object" in refusal("lidartopdown", links="lanes")
    assert "links is a list: it must be an object" in refusal("lidartopdown", links=["lanes"])


def test_a_nested_model_made_by_hand_is_checked_by_the_same_rules() -> None:
    with pytest.raises(ValidationError, match="choice"):
        Label(choice="")
    with pytest.raises(ValidationError, match="can't fetch files"):
        LidarLinkingLayers(url="layers.json", camera_id=0)
    with pytest.raises(ValidationError, match="Instance is frozen"):
        Label(choice="a").choice = "b"  # type: ignore[misc]


# Every key that is known, with a value that it takes.
EVERYTHING: dict[str, dict[str, Any]] = {
    "box": {
        "objects_to_annotate": ["sign", {"choice": "vehicle", "subchoices": ["car", {"choice": "t", "display": "T"}]}],
        "min_height": 5,
        "min_width": 0,
        "can_rotate": False,
        "integer_pixels": True,
    },
    "polygon": {"objects_to_annotate": ["sign"], "min_vertices": 4, "max_vertices": 15},
    "line": {"objects_to_annotate": ["lane"], "min_vertices": 2, "max_vertices": 2},
    "point": {
        "objects_to_annotate": ["hand", "elbow"],
        "connections": [{"pair": ["hand", "elbow"], "connection_attribute": "linked_person"}],
    },
    "cuboid": {
        "objects_to_annotate": ["car"],
        "min_height": 10,
        "min_width": 10,
        "camera_intrinsics": {"fx": 986.77, "fy": 984, "cx": 961.07, "cy": 586.96, "skew": 0, "scalefactor": 1},
        "camera_rotation_quaternion": {"w": 0.02, "x": 0.018, "y": 0.698, "z": -0.715},
        "camera_height": -0.299,
    },
    "ellipse": {"objects_to_annotate": ["wheel"]},
}
MODELS = Geometries(
    box=Box(
        objects_to_annotate=["sign", Label(choice="vehicle", subchoices=["car", Label(choice="t", display="T")])],
        min_height=5,
        min_width=0,
        can_rotate=False,
        integer_pixels=True,
    ),
    polygon=Polygon(objects_to_annotate=["sign"], min_vertices=4, max_vertices=15),
    line=Line(objects_to_annotate=["lane"], min_vertices=2, max_vertices=2),
    point=Point(
        objects_to_annotate=["hand", "elbow"],
        connections=[Connection(pair=["hand", "elbow"], connection_attribute="linked_person")],
    ),
    cuboid=PerspectiveCuboid(
        objects_to_annotate=["car"],
        min_height=10,
        min_width=10,
        camera_intrinsics=CameraIntrinsics(fx=986.77, fy=984, cx=961.07, cy=586.96, skew=0, scalefactor=1),
        camera_rotation_quaternion=Quaternion(w=0.02, x=0.018, y=0.698, z=-0.715),
        camera_height=-0.299,
    ),
    ellipse=Ellipse(objects_to_annotate=["wheel"]),
)


def test_every_kind_is_taken_as_objects_as_models_and_mixed() -> None:
    mixed = {"box": MODELS.box, **{kind: EVERYTHING[kind] for kind in EVERYTHING if kind != "box"}}
    for geometries in (EVERYTHING, MODELS, mixed):
        assert wire("lidarlinking", geometries=geometries)["geometries"] == EVERYTHING


@pytest.mark.parametrize("kind", sorted(EVERYTHING))
def test_what_was_not_given_of_a_geometry_is_not_sent(kind: str) -> None:
    for left_out in EVERYTHING[kind]:
        one_less = {name: value for name, value in EVERYTHING[kind].items() if name != left_out}
        for geometry in (one_less, {**one_less, left_out: None}):
            assert wire("lidarlinking", geometries={kind: geometry})["geometries"] == {kind: one_less}


def test_the_example_of_the_reference_is_taken() -> None:
    geometries = {"box": {"objects_to_annotate": ["Object"], "min_height": 10, "min_width": 10}}
    assert wire("lidarlinking", geometries=geometries)["geometries"] == geometries


@pytest.mark.parametrize(
    ("geometries", "message"),
    [
        (True, "geometries is true: it must be an object"),
        ({"box": ["car"]}, "geometries.box is a list: it must be an object"),
        ({"box": {"objects_to_annotate": "car"}}, "geometries.box.objects_to_annotate is 'car': it must be a list"),
        ({"box": {"objects_to_annotate": [3]}}, "geometries.box.objects_to_annotate[0] is 3: it must be"),
        ({"box": {"min_height": -1}}, "geometries.box.min_height is -1: it must be at least 0"),
        ({"box": {"min_width": 1.5}}, "geometries.box.min_width is 1.5: it must be a whole number"),
        ({"box": {"can_rotate": "no"}}, "geometries.box.can_rotate is 'no': it must be true or false"),
        ({"line": {"min_vertices": 0}}, "geometries.line.min_vertices is 0: it must be at least 1"),
        (
            {"polygon": {"min_vertices": 4, "max_vertices": 3}},
            "geometries.polygon is an object: it has max_vertices 3 below min_vertices 4",
        ),
        (
            {"point": {"connections": [{"pair": ["hand"]}]}},
            "geometries.point.connections[0].pair has 1 entries; at least 2 are needed",
        ),
        ({"cuboid": {"camera_height": "high"}}, "geometries.cuboid.camera_height is 'high': it must be a number"),
        ({"cuboid": {"camera_intrinsics": {"fx": 1}}}, "geometries.cuboid.camera_intrinsics.fy is missing"),
        ({"cuboid": {"camera_rotation_quaternion": {"w": 1}}}, "camera_rotation_quaternion.x is missing"),
        ({"cuboid": {"camera_height": float("nan")}}, "it must be made of JSON values only"),
        ({"polygons": {}}, "holds polygons, which is not a geometry (did you mean polygon?); known are box, polygon,"),
    ],
)
def test_a_geometry_that_makes_no_sense_is_refused(geometries: Any, message: str) -> None:
    assert message in refusal("lidarlinking", geometries=geometries)


def test_keys_of_a_geometry_that_are_not_known_pass() -> None:
    geometries = {"box": {"objects_to_annotate": ["car"], "brand_new": {"x": None}}}
    assert wire("lidarlinking", geometries=geometries)["geometries"] == geometries


def test_a_server_lets_kinds_be_that_are_none_as_in_the_example_of_the_reference() -> None:
    body = {name: value for name, value in EXAMPLES["lidartopdown"].items() if value is not None}
    read = read_parameters("lidartopdown", EXAMPLES["lidartopdown"], Strictness(unenforced_rules=False))
    assert read.to_wire() == body
    assert "holds newKey, which is not a geometry" in refusal("lidartopdown", geometries=body["geometries"])


@pytest.mark.parametrize("kind", sorted(EVERYTHING))
def test_from_above_there_are_only_four_kinds(kind: str) -> None:
    geometries = {kind: EVERYTHING[kind]}
    if kind in ("cuboid", "ellipse"):
        for given in (geometries, Geometries(**geometries)):
            assert f"geometries holds {kind}; seen from above, there are only box, polygon, line, point" in refusal(
                "lidartopdown", geometries=given
            )
    else:
        assert wire("lidartopdown", geometries=geometries)["geometries"] == geometries


@pytest.mark.parametrize("as_model", [False, True])
def test_directed_lines_are_labels_of_lines_at_any_depth(as_model: bool) -> None:
    geometries: Any = {
        "line": {"objects_to_annotate": ["kerb", {"choice": "marked", "subchoices": ["solid"]}]},
        "polygon": {"objects_to_annotate": ["island"]},
    }
    if as_model:
        geometries = Geometries(**geometries)
    names = ["kerb", "marked", "solid"]
    assert wire("lidartopdown", geometries=geometries, directed_lines=names)["directed_lines"] == names
    for other in ("island", "Solid"):
        assert f"directed_lines names '{other}', which is not a label under line in geometries" in refusal(
            "lidartopdown", geometries=geometries, directed_lines=[other]
        )


def test_directed_lines_of_a_taxonomy_are_not_known_here() -> None:
    taxonomy = {"geometries": None, "taxonomy_srn": "srn", "directed_lines": ["kerb"]}
    assert wire("lidartopdown", **taxonomy)["directed_lines"] == ["kerb"]
    assert "geometries" in LEAST["lidartopdown"]
