"""Dependent tasks: definitions are checked by the rules of the type that they are of."""

from typing import Any

import pytest

from lidarprep.api._task_types import check_dependents, read_dependents
from lidarprep.api.parameters import DependentDefinition, DependentOptions, LidarAnnotation, Strictness
from lidarprep.errors import ParameterError
from tests.api.task_examples import DEPENDENTS_EXAMPLE, FRAMES, REGION, refusal, wire

LINKING = {"type": "lidarlinking", "annotation_type": "annotation", "instruction": "Adjust the boxes."}
SEGMENTATION = {"type": "lidarsegmentation", "labels": ["road", {"choice": "car", "instance_label": True}]}
TOPDOWN = {
    "type": "lidartopdown",
    "region_of_interest_3d": REGION.to_api(),
    "geometries": {"polygon": {"objects_to_annotate": ["lane"]}},
    "disable_cuboid_projection": True,
}


def message(*defs: Any, **options: Any) -> str:
    with pytest.raises(ParameterError) as refused:
        check_dependents(defs, **options)
    return str(refused.value)


@pytest.mark.parametrize("definition", [LINKING, SEGMENTATION, TOPDOWN])
def test_a_definition_goes_out_as_it_came(definition: dict[str, Any]) -> None:
    assert check_dependents([definition]) == {"defs": [definition]}
    assert check_dependents([DependentDefinition(**definition)], True) == {"defs": [definition], "require_audit": True}


def test_the_example_of_the_reference_is_taken() -> None:
    assert check_dependents(**DEPENDENTS_EXAMPLE) == DEPENDENTS_EXAMPLE
    assert read_dependents(DEPENDENTS_EXAMPLE, Strictness(unenforced_rules=False)) == DEPENDENTS_EXAMPLE


def test_options_may_change_one_thing_alone() -> None:
    assert check_dependents(require_audit=False) == {"require_audit": False}
    assert check_dependents([]) == {"defs": []}
    with pytest.raises(ParameterError, match="give defs, require_audit, or both"):
        check_dependents()


def test_a_definition_is_converted_as_its_type_is() -> None:
    assert check_dependents([{**TOPDOWN, "device_height": 2.0, "tags": None}])["defs"][0]["deviceHeight"] == 2
    assert check_dependents([{**LINKING, "padding_x": 3}])["defs"][0]["paddingX"] == 3


def test_a_definition_may_have_extra_params_and_nothing_else_that_is_not_known() -> None:
    assert check_dependents([{**LINKING, "extra_params": {"new": 1}}]) == {"defs": [{**LINKING, "new": 1}]}
    assert "dependents: defs[0].lables is not known there" in message({**LINKING, "lables": ["car"]})
    unknown = {"defs": [{**LINKING, "new": 1}], "more": 2}
    assert read_dependents(unknown, Strictness(unenforced_rules=False)) == unknown


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        ("lidarlinking", "defs[0] is 'lidarlinking': it must be an object"),
        ({"labels": ["road"]}, "defs[0].type is missing"),
        ({"type": "multistage"}, "defs[0].type is 'multistage': it must be 'lidarlinking', 'lidarsegmentation' or"),
        ({**LINKING, "annotation_type": "box"}, "defs[0].annotation_type is 'box': it must be"),
        ({**LINKING, "instruction": None}, "defs[0].instruction is missing"),
        ({**LINKING, "priority": 15}, "defs[0].priority is 15: it must be 10, 20 or 30"),
        ({**LINKING, "annotation_type": "imageannotation"}, "defs[0].geometries is missing; annotation_type"),
        ({**SEGMENTATION, "labels": [{}]}, "defs[0].labels[0].choice is missing"),
        ({**SEGMENTATION, "attachments": FRAMES}, "defs[0].attachments is a list: it must not be given"),
        ({**LINKING, "lidar_task": "607385"}, "defs[0].lidar_task is '607385': it must not be given: it comes from"),
        ({**TOPDOWN, "geometries": None}, "defs[0].geometries is missing"),
        ({**TOPDOWN, "region_of_interest_3d": None}, "defs[0].region_of_interest_3d is missing"),
    ],
)
def test_a_definition_that_breaks_its_types_rules_is_refused(definition: Any, problem: str) -> None:
    assert problem in message(definition)


def test_everything_that_is_wrong_is_told_with_its_place() -> None:
    text = message(LINKING, {**SEGMENTATION, "tags": list("abcdef"), "labels": []}, require_audit="yes")
    assert text.splitlines()[0] == "dependents: 3 problems with the parameters"
    assert "defs[1].tags has 6 entries; at most 5 are allowed" in text
    assert "defs[1].labels is empty" in text
    assert "require_audit is 'yes': it must be true or false" in text


def test_a_cuboid_task_takes_its_dependents_along() -> None:
    options = {"defs": [LINKING, SEGMENTATION], "require_audit": True}
    assert wire("lidarannotation", dependents=options)["dependents"] == options
    model = DependentOptions(defs=[DependentDefinition(**LINKING), SEGMENTATION], require_audit=True)
    assert wire("lidarannotation", dependents=model)["dependents"] == options
    made = LidarAnnotation(attachments=FRAMES, attachment_type="json", labels=["car"], dependents=model)
    assert made.to_wire()["dependents"] == options
    bad = {
        "defs": [{**LINKING, "camera_ids": [-1], "additional_labels": ["van"], "annotation_type": "imageannotation"}]
    }
    text = refusal("lidarannotation", dependents=bad)
    assert "dependents.defs[0].camera_ids[0] is -1: it must be at least 0" in text
    assert "dependents.defs[0].additional_labels is given with annotation_type 'imageannotation'" in text


def test_no_traceback_of_a_refusal_shows_the_values() -> None:
    with pytest.raises(ParameterError) as refused:
        check_dependents([{**LINKING, "layers": [{"url": "ftp://x/1?X-Amz-Signature=secret", "camera_id": 0}]}])
    assert refused.value.__context__ is None
    assert "secret" not in str(refused.value)
