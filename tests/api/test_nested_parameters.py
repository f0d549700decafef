"""Objects within parameters: labels, annotation attributes, layers, event cameras, annotations to begin with."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lidarprep.api.parameters import (
    AnnotationAttribute,
    BaseAnnotations,
    Conditions,
    EventCameras,
    Label,
    LidarAnnotation,
    LidarLinkingLayers,
)
from tests.api.task_examples import ATTRIBUTES, FRAMES
from tests.api.test_task_parameters import refusal, wire

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
