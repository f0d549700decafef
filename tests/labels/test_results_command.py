"""`lidarprep results`: files of labels, written once, never over those of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.api import ScaleClient
from lidarprep.cli import main
from lidarprep.results import FORMATS, RECEIPT
from tests.labels.conftest import Labeller

LIDAR = {"instruction": "Label.", "callback_url": "https://example.com/c", "labels": ["car"]}
CUBOID = {
    "uuid": "a",
    "label": "car",
    "position": {"x": 1, "y": 2, "z": 3},
    "dimensions": {"x": 2, "y": 4, "z": 1.5},
    "yaw": 0,
}


@pytest.fixture(autouse=True)
def environment(labeller: Labeller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALE_API_URL", labeller.sandbox.url)
    monkeypatch.setenv("SCALE_API_KEY", "test_key")


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code if isinstance(ended.value.code, int) else 0


def completed(client: ScaleClient, labeller: Labeller, manifest: lp.Manifest, unique: str, **parts: Any) -> lp.Task:
    accept = [one.code for one in manifest.findings]
    task_type = "lidarsegmentation" if "point_segmentations" in parts else "lidarannotation"
    task = lp.submit(manifest, task_type, LIDAR | {"tags": [unique]}, client, accept=accept)
    labeller.complete(task, **parts)
    return task


def test_a_submitted_task_says_which_manifest_it_is_of(
    client: ScaleClient, labeller: Labeller, far_manifest: lp.Manifest, tmp_path: Path
) -> None:
    task = completed(
        client, labeller, far_manifest, "says", annotations=[{"cuboids": [CUBOID]}] + [{"cuboids": []}] * 3
    )
    assert run("results", task.id, "--out", tmp_path / "labels") == 0
    found = json.loads((tmp_path / "labels/labels.json").read_text())
    (cuboid,) = found["cuboids"]
    offset = far_manifest.world_offset
    assert [cuboid[axis] for axis in "xyz"] == [1 + offset[0], 2 + offset[1], 3 + offset[2]]
    # Scale's yaw 0 looks along +y, its y is the length; ours looks along +x.
    assert (cuboid["length"], cuboid["width"], cuboid["height"]) == (4, 2, 1.5)
    assert cuboid["yaw"] == pytest.approx(np.pi / 2)
    assert cuboid["frame_id"] == far_manifest.frames[0].id


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_again_writes_nothing_and_what_was_lost_again(
    format: str, client: ScaleClient, labeller: Labeller, far_manifest: lp.Manifest, tmp_path: Path
) -> None:
    lists = [[1] * frame.points_out for frame in far_manifest.frames]
    task = completed(
        client,
        labeller,
        far_manifest,
        format,
        annotations=[{"cuboids": [CUBOID]}] * 4,
        point_segmentations={"objects": [{"label": "car", "index": 1}], "point_objects": lists},
    )
    words = ("results", task.id, "--out", tmp_path, "--format", format)
    assert run(*words) == 0
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    stamps = {path: path.stat().st_mtime_ns for path in files}
    assert len(files) > 1
    assert run(*words) == 0
    assert {path: path.stat().st_mtime_ns for path in files} == stamps
    lost = next(path for path in files if path.name != RECEIPT)
    lost.unlink()
    assert run(*words) == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_files_of_others_are_never_replaced_unless_asked(
    client: ScaleClient,
    labeller: Labeller,
    far_manifest: lp.Manifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = completed(client, labeller, far_manifest, "others", annotations=[{"cuboids": []}] * 4)
    (tmp_path / "labels.json").write_text("mine")
    assert run("results", task.id, "--out", tmp_path) == 2
    assert "labels.json is there" in capsys.readouterr().err
    assert (tmp_path / "labels.json").read_text() == "mine"
    assert run("results", task.id, "--out", tmp_path, "--overwrite") == 0
    # A result that has changed replaces its own file.
    labeller.files[max(labeller.files, key=lambda name: int(name[1:-5]))] = json.dumps(
        [{"cuboids": [CUBOID]}] * 4
    ).encode()
    assert run("results", task.id, "--out", tmp_path) == 0
    assert len(json.loads((tmp_path / "labels.json").read_text())["cuboids"]) == 4


def test_waiting_writes_the_results(
    client: ScaleClient, labeller: Labeller, far_manifest: lp.Manifest, tmp_path: Path
) -> None:
    task = completed(client, labeller, far_manifest, "waits", annotations=[{"cuboids": [CUBOID]}] * 4)
    assert run("tasks", "wait", task.id, "--results", tmp_path / "home") == 0
    assert (tmp_path / "home/labels.json").is_file()


def test_labelled_frames_alone_are_named(
    client: ScaleClient, labeller: Labeller, far_recording: Path, tmp_path: Path
) -> None:
    manifest = lp.prepare(lp.open_scene(far_recording), lp.Recipe(labeling_sample_rate=3), tmp_path / "out")
    labelled = [frame.id for frame in manifest.frames if frame.labelled]
    assert 0 < len(labelled) < 4
    task = completed(client, labeller, manifest, "rate", annotations=[{"cuboids": [CUBOID]}] * len(labelled))
    labels = lp.results(task, client=client)
    assert labels.cuboids is not None
    assert [labels.frames[row].id for row in labels.cuboids.frame] == labelled


def test_linking_and_shapes(client: ScaleClient, labeller: Labeller, far_manifest: lp.Manifest) -> None:
    box = {"cuboid_uuid": "a", "label": "car", "type": "box", "left": 1, "top": 2, "width": 3, "height": 4}
    linked = [{"camera_responses": [{"camera_used": 1, "annotations": [box, {**box, "not_in_lidar": True}]}]}] + [
        {}
    ] * 3
    task = completed(client, labeller, far_manifest, "linked", annotations=linked)
    boxes = lp.results(task, far_manifest, client=client).boxes
    assert boxes is not None
    assert boxes.box.tolist() == [[1, 2, 3, 4]] * 2
    assert boxes.not_in_lidar.tolist() == [False, True]
    assert boxes.camera.tolist() == [1, 1]


def test_top_down_pre_labels_are_what_a_topdown_task_begins_with_and_shapes_come_home(
    client: ScaleClient, labeller: Labeller, far_recording: Path, tmp_path: Path
) -> None:
    shape = {"track": "s", "label": "lane", "type": "polygon", "vertices": [[500_300, 5_400_700], [500_310, 5_400_720]]}
    (tmp_path / "labels.json").write_text(json.dumps({"shapes": [shape]}))
    region = lp.RegionOfInterest3D((500_320, 5_400_705, 0.0), 50, 40)
    recipe = lp.Recipe(prelabels=str(tmp_path / "labels.json"), region_of_interest_3d=region)
    manifest = lp.prepare(lp.open_scene(far_recording), recipe, tmp_path / "out")
    parameters = {
        "instruction": "Draw.",
        "project": "p",
        "callback_url": "https://example.com/c",
        "geometries": {"polygon": {"objects_to_annotate": ["lane"]}},
    }
    task = lp.submit(manifest, "lidartopdown", parameters, client, accept=[one.code for one in manifest.findings])
    (sent,) = task.params["base_annotations"]["annotations"]
    x, y, _ = manifest.world_offset
    assert sent["vertices"] == [{"x": 500_300 - x, "y": 5_400_700 - y}, {"x": 500_310 - x, "y": 5_400_720 - y}]
    labeller.complete(task, annotations=task.params["base_annotations"]["annotations"])
    shapes = lp.results(task, client=client).shapes
    assert shapes is not None
    assert shapes.vertices[0][:, :2].tolist() == [[500_300, 5_400_700], [500_310, 5_400_720]]
    (tmp_path / "boxes.csv").write_text("label,frame_index,x,y,z,length,width,height,yaw\ncar,0,1,2,3,4,5,6,0\n")
    boxes = lp.Recipe(prelabels=str(tmp_path / "boxes.csv"))
    with pytest.raises(lp.RecipeError, match="go into a Sensor Fusion Scene"):
        lp.prepare(lp.open_scene(far_recording), boxes, tmp_path / "other")
