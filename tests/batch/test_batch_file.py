"""A batch as files and arguments describe it: scenes with their own values, names and destinations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

import lidarprep as lp

YAML = """
out: {root}/out/{{name}}
recipe: {{voxel: 0.1, format: protobuf}}
opening: {{max_pose_gap: 2, lidars: [top]}}
task: {{type: lidarannotation, params: {{project: fleet, labels: [car]}}}}
scenes:
  - {root}/drives/*
  - recording: {root}/single.mcap
    name: event-1
    out: {root}/elsewhere
    recipe: {{voxel: 0.5}}
    opening: {{max_pose_gap: 3}}
    task: {{params: {{project: events}}}}
    layout: mcap
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("drives/b", "drives/a", "drives/.hidden"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def read(path: Path, content: str) -> lp.BatchFile:
    path.write_text(content)
    return lp.BatchFile.read(path)


def test_a_scene_has_the_defaults_of_the_file_and_its_own_values_before_them(root: Path) -> None:
    batch = read(root / "batch.yaml", YAML.format(root=root)).batch()
    a, b, event = batch
    assert [scene.name for scene in batch] == ["a", "b", "event-1"]
    assert [scene.recording for scene in batch] == [f"{root}/drives/a", f"{root}/drives/b", f"{root}/single.mcap"]
    assert [scene.out for scene in batch] == [f"{root}/out/a", f"{root}/out/b", f"{root}/elsewhere"]
    assert batch.root == f"{root}/out"
    assert a.recipe == b.recipe == lp.Recipe(voxel=0.1, format="protobuf")
    assert event.recipe == lp.Recipe(voxel=0.5, format="protobuf")
    assert (a.opening.max_pose_gap, event.opening.max_pose_gap) == (2.0, 3.0)
    assert a.opening.lidars == event.opening.lidars == ("top",)
    assert a.task is not None
    assert event.task is not None
    assert a.task.params == {"project": "fleet", "labels": ["car"]}
    assert event.task.params == {"project": "events", "labels": ["car"]}
    assert (a.layout, event.layout) == (None, "mcap")


ROWS: dict[str, list[Any]] = {
    "recording": ["drives/a", "drives/b"],
    "name": ["first", None],
    "recipe.voxel": [None, 0.5],
    "device_height": ["auto", "1.8"],
    "opening.lidars": [None, "top"],
    "task.type": ["lidarannotation", "lidarannotation"],
    "task.params.project": ["fleet", "fleet"],
}


def check_table(file: lp.BatchFile) -> None:
    first, second = file.model_copy(update={"out": "s3://bucket/fleet/{name}"}).batch()
    assert (first.name, second.name) == ("first", "b")
    assert first.recipe == lp.Recipe(device_height="auto")
    assert second.recipe == lp.Recipe(device_height=1.8, voxel=0.5)
    assert (first.opening.lidars, second.opening.lidars) == ((), ("top",))
    assert first.task is not None
    assert first.task.params == {"project": "fleet"}
    assert second.out == "s3://bucket/fleet/b"


def test_a_table_has_a_row_a_scene(root: Path) -> None:
    lines = [",".join(ROWS)]
    lines += [
        ",".join("" if value is None else str(value) for value in row) for row in zip(*ROWS.values(), strict=True)
    ]
    check_table(read(root / "batch.csv", "\n".join(lines) + "\n\n"))
    parquet.write_table(pa.table(ROWS), root / "batch.parquet")
    check_table(lp.BatchFile.read(root / "batch.parquet"))


def test_values_in_a_csv_may_be_json(root: Path) -> None:
    text = 'recording,cameras,task.type,task.params.labels\nx,"[""front"", ""left""]",lidarannotation,"[""car""]"\n'
    (scene,) = read(root / "b.csv", text).model_copy(update={"out": "out"}).batch()
    assert scene.opening.cameras == ("front", "left")
    assert scene.task is not None
    assert scene.task.params == {"labels": ["car"]}


def test_a_plan_as_json_is_a_batch_file_that_makes_the_same_plan(root: Path) -> None:
    batch = read(root / "batch.yaml", YAML.format(root=root)).batch()
    again = read(root / "plan.json", json.dumps(batch.to_file())).batch()
    assert again.scenes == batch.scenes
    assert (again.root, again.storage) == (batch.root, batch.storage)


def test_a_plan_says_how_its_ledger_is_reached_and_holds_no_signature(root: Path) -> None:
    storage = lp.StorageOptions(profile="fleet", endpoint_url="https://minio.example.com:9000")
    recipe = lp.Recipe(format="sfs", prelabels="https://host/labels.json?X-Amz-Signature=secret")
    scenes: Any = [str(root / "drives/*"), {"recording": "other", "storage": {"profile": None}}]
    batch = lp.BatchFile(scenes=scenes, out="s3://b/{name}", storage=storage, recipe=recipe).batch()
    plan = json.dumps(batch.to_file())
    assert "secret" not in plan
    again = read(root / "plan.json", plan).batch()
    assert again.storage == storage
    assert [scene.storage.profile for scene in again] == ["fleet", "fleet", None]
    assert {scene.recipe.prelabels for scene in again} == {"https://host/labels.json"}


def test_a_name_does_not_depend_on_the_other_recordings(root: Path) -> None:
    (root / "drives/a/scene").mkdir()
    file = lp.BatchFile(scenes=[str(root / "drives/*/scene")], out="out/{name}")  # type: ignore[list-item]
    monday = [scene.name for scene in file.batch()]
    (root / "drives/b/scene").mkdir()
    assert (monday, [scene.name for scene in file.batch()]) == (["a-scene"], ["a-scene", "b-scene"])


def test_scenes_of_a_ledger_have_their_own_values_although_their_recordings_are_gone(root: Path) -> None:
    file = read(root / "batch.yaml", YAML.format(root=root))
    records = [
        lp.SceneRecord("a-000000", f"{root}/drives/a", "done"),
        lp.SceneRecord("gone", f"{root}/drives/gone", "done"),
        lp.SceneRecord("event-1", f"{root}/single.mcap", "done"),
        lp.SceneRecord("unlisted", f"{root}/elsewhere/drive", "done"),
    ]
    found = {scene.name: scene.task.params["project"] for scene in file.batch_of(records) if scene.task is not None}
    assert found == {"a-000000": "fleet", "gone": "fleet", "event-1": "events"}


def test_a_prefix_of_urls_is_made_for_each_scene(root: Path) -> None:
    storage = lp.StorageOptions(url_base="https://example.com/{name}/x")
    file = lp.BatchFile(scenes=[str(root / "drives/*")], out="out/{name}", storage=storage)
    urls = [scene.storage.url_base for scene in file.batch()]
    assert urls == ["https://example.com/a/x", "https://example.com/b/x"]
    shared = file.model_copy(update={"storage": lp.StorageOptions(url_base="https://example.com")})
    with pytest.raises(lp.RecipeError, match=r"https://example\.com"):
        shared.batch()


def test_scenes_without_values_of_their_own_share_those_of_the_file(root: Path) -> None:
    a, b = lp.BatchFile(scenes=[str(root / "drives/*")], out="out/{name}", recipe=lp.Recipe(voxel=1)).batch()
    assert a.recipe is b.recipe
    assert a.storage is b.storage


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out": None}, "the batch has no destination"),
        ({"out": "out"}, "2 scenes would all be stored at out"),
        ({"out": "out/{nmae}"}, r"\{nmae\}; a destination's only field is \{name\}"),
        ({"out": "s3://{name}/x"}, "in the bucket's name"),
        ({"scenes": ["{root}/drives/x*"]}, r"drives/x\* matches no recording"),
        ({"scenes": ["{root}/**/a"]}, r"\*\* is not known"),
        ({"scenes": ["{root}/drives/a", "{root}/drives/a/"]}, "is listed twice"),
        ({"scenes": [{"recording": "x", "name": "a"}, {"recording": "y", "name": "A"}]}, "two scenes are named A"),
        ({"scenes": ["x/scene", "y/scene"]}, "two scenes are named scene: x/scene and y/scene"),
        ({"scenes": [{"recording": "x", "out": "o"}, {"recording": "y", "out": "o/"}]}, "two scenes are stored at o/"),
        ({"scenes": [{"recording": "{root}/drives/*", "name": "a"}]}, "matches 2 recordings"),
        ({"scenes": ["x", {"recordng": "y"}]}, "scene 2: recording is missing; unknown key 'recordng'; did you mean"),
        (
            {"scenes": [{"recording": "x", "recipe": {"voxle": 1}}]},
            "scene x: unknown key 'voxle'; did you mean 'voxel'",
        ),
        ({"scenes": [{"recording": "x", "opening": {"lidar": 1}}]}, "scene x: opening is .*unknown keys lidar"),
        ({"scenes": []}, "the batch has no scenes"),
        ({"scenes": [5]}, "scene 1 is 5"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(root: Path, changes: dict[str, Any], message: str) -> None:
    content = json.dumps({"out": "out/{name}", "scenes": [f"{root}/drives/*"]} | changes).replace("{root}", str(root))
    with pytest.raises(lp.RecipeError, match=message):
        read(root / "batch.json", content).batch()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name\nx\n", r"batch.csv: there is no column recording; there are name"),
        ("recording,colour\nx,y\n", "a scene has no value 'colour'"),
        ("recording,points_frame\nx,ego\n", "may be opening.points_frame or recipe.points_frame"),
        ("recording,name\nx\n", "line 2 has 1 cells; the header has 2"),
        ("recording,voxel\nx,-1\n", "scene x: voxel is '-1'"),
        ('recording\n"x\n', "line 2 is not CSV"),
        ("", "there are none"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_by_line(root: Path, content: str, message: str) -> None:
    with pytest.raises(lp.RecipeError, match=message):
        read(root / "batch.csv", content).model_copy(update={"out": "out/{name}"}).batch()


def test_a_signature_in_a_recordings_url_is_not_shown() -> None:
    scene = lp.BatchScene(name="a", scene="https://host/a.las?X-Amz-Signature=secret", out="out")
    assert "secret" not in repr(scene)
