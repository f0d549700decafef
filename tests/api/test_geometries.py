"""Geometries by kind: what each takes, what the types of task make of them."""

from typing import Any

import pytest

from lidarprep.api.parameters import (
    Box,
    CameraIntrinsics,
    Connection,
    Ellipse,
    Geometries,
    Label,
    Line,
    PerspectiveCuboid,
    Point,
    Polygon,
    Quaternion,
    Strictness,
)
from lidarprep.api.task_types import read_parameters
from tests.api.task_examples import EXAMPLES, LEAST
from tests.api.test_task_parameters import refusal, wire

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
        ({"polygons": {}}, "holds polygons, which is no geometry (did you mean polygon?); known are box, polygon,"),
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
    assert "holds newKey, which is no geometry" in refusal("lidartopdown", geometries=body["geometries"])


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
        assert f"directed_lines names '{other}', which is no label under line in geometries" in refusal(
            "lidartopdown", geometries=geometries, directed_lines=[other]
        )


def test_directed_lines_of_a_taxonomy_are_not_known_here() -> None:
    taxonomy = {"geometries": None, "taxonomy_srn": "srn", "directed_lines": ["kerb"]}
    assert wire("lidartopdown", **taxonomy)["directed_lines"] == ["kerb"]
    assert "geometries" in LEAST["lidartopdown"]
