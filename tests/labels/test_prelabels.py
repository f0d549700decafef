"""Pre-labels go into a Sensor Fusion Scene, and come back from it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.api import ScaleClient
from lidarprep.attachments import SceneFormat, get_format
from lidarprep.labels import kitti, nuscenes, openlabel, points, tables
from lidarprep.storage import kept_points
from tests.labels.conftest import EASTING, Labeller
from tests.labels.test_formats import assert_same, columns_of, corners_of, write


@pytest.fixture(scope="session")
def scene(far_recording: Path) -> lp.Scene:
    return lp.open_scene(far_recording)


def planted(scene: lp.Scene) -> lp.Labels:
    """A car in three of the frames, in the recording's world; and labels of the points of two."""
    rng = np.random.default_rng(8)
    frames = tuple(lp.LabelledFrame(one.id, one.index, one.timestamp, one.world_from_ego) for one in scene)
    rows = [
        {
            "track": "a-car",
            "label": "Car",
            "frame": row,
            "position": EASTING + rng.uniform(-20, 20, 3),
            "size": (4.5, 1.9, 1.6),
            "yaw": float(rng.uniform(-3, 3)),
            "attributes": {"colour": "red", "speed": str(row)},
        }
        for row in (0, 1, 3)
    ]
    objects = lp.PointLabels(
        np.array([1, 5], dtype=np.uint32),
        np.array(["car", "road"], dtype=object),
        np.array([True, False]),
        tuple(rng.choice([0, 1, 5], 3000).astype(np.uint32) if row < 2 else None for row in range(4)),
    )
    return lp.Labels(frames, cuboids=lp.Cuboids.of_rows(rows), points=objects)


def recipe(prelabels: Path) -> lp.Recipe:
    region = lp.RegionOfInterest3D((float(EASTING[0]) + 20, float(EASTING[1]) + 5, 0.0), 50, 40, 0.3)
    return lp.Recipe(format="sfs", region_of_interest_3d=region, prelabels=str(prelabels))


def read_back(manifest: lp.Manifest) -> tuple[lp.Labels, bytes]:
    path = Path(manifest.location.removeprefix("file://")).parent / manifest.attachments[0].url
    scene_format = get_format("sfs")
    assert isinstance(scene_format, SceneFormat)
    data = path.read_bytes()
    return scene_format.read_annotations(data), data


def test_a_scene_holds_them_and_they_come_home_from_it(
    scene: lp.Scene, tmp_path: Path, client: ScaleClient, labeller: Labeller
) -> None:
    labels = planted(scene)
    names = [one.id for one in scene]
    write(tmp_path / "labels", iter([*tables.write_json(labels), *points.write_npy(labels, names)]))
    manifest = lp.prepare(scene, recipe(tmp_path / "labels"), tmp_path / "out")
    found, data = read_back(manifest)
    expected = columns_of(replace(labels, world_offset=manifest.world_offset).in_frame("attachment"))
    assert_same(columns_of(found), expected, "track", "label", "frame", "position", "size", "yaw", "attributes")
    assert found.points is not None
    assert labels.points is not None
    for row, record in enumerate(manifest.frames):
        values, sent = found.points.values[row], labels.points.values[row]
        if sent is None:
            assert values is None
            continue
        assert values is not None
        assert record.kept is not None
        rows = kept_points.decode((tmp_path / "out" / record.kept.url).read_bytes(), record.points_in).rows
        number = {"car": 1, "road": 5}
        of_found = np.array([0, *(number[label] for label in found.points.label)], dtype=np.uint32)
        np.testing.assert_array_equal(of_found[values], sent[rows])
    # The task's result is such a scene: the labels come back to the recording.
    parameters = {"instruction": "Label.", "callback_url": "https://example.com/c", "project": "p"}
    task = lp.submit(manifest, "multistage", parameters, client, accept=[one.code for one in manifest.findings])
    labeller.complete(task, annotations=data)
    home = lp.results(task, manifest, client=client)
    np.testing.assert_allclose(columns_of(home).position, columns_of(labels).position, atol=1e-6)
    assert home.points is not None
    values, sent = home.points.values[1], labels.points.values[1]
    assert values is not None
    assert sent is not None
    assert len(values) == len(sent) == 3000
    seen = values > 0
    assert seen.sum() > 100
    assert [home.points.label[value - 1] for value in values[seen]] == [
        {1: "car", 5: "road"}[value] for value in sent[seen].tolist()
    ]


def test_the_same_again_does_nothing_and_other_labels_are_another_run(scene: lp.Scene, tmp_path: Path) -> None:
    labels = planted(scene)
    write(tmp_path, tables.write_csv(replace(labels, points=None)))
    asked = recipe(tmp_path / "cuboids.csv")
    first = lp.prepare(scene, asked, tmp_path / "out")
    assert lp.prepare(scene, asked, tmp_path / "out") == first
    cuboids = columns_of(labels)
    moved = replace(labels, points=None, cuboids=replace(cuboids, position=cuboids.position + 1))
    write(tmp_path, tables.write_csv(moved))
    with pytest.raises(lp.RecipeError, match="pre-labels"):
        lp.prepare(scene, asked, tmp_path / "out")
    second = lp.prepare(scene, asked, tmp_path / "out", overwrite=True)
    assert second.attachments[0].sha256 != first.attachments[0].sha256
    np.testing.assert_allclose(
        columns_of(read_back(second)[0]).position - columns_of(read_back(first)[0]).position, 1, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["kitti", "nuscenes", "openlabel", "parquet in ego"])
def test_other_formats_give_the_same_boxes(scene: lp.Scene, tmp_path: Path, kind: str) -> None:
    labels = replace(planted(scene), points=None)
    names = [one.id for one in scene]
    folder = tmp_path / "labels"
    if kind == "kitti":
        write(folder, kitti.write_kitti(labels, [f"{int(name):06}" for name in names], kitti.LabelCamera.ahead()))
    elif kind == "nuscenes":
        write(folder, nuscenes.write_nuscenes(labels, names, "planted"))
    elif kind == "openlabel":
        write(folder, openlabel.write_openlabel(labels))
    else:
        write(folder, tables.write_parquet(labels.in_frame("ego")))
    given = recipe(folder).model_copy(update={"prelabels_frame": "ego" if kind == "parquet in ego" else None})
    manifest = lp.prepare(scene, given, tmp_path / "out")
    found = columns_of(read_back(manifest)[0])
    expected = columns_of(replace(labels, world_offset=manifest.world_offset).in_frame("attachment"))
    order = np.argsort(found.frame)
    assert found.frame[order].tolist() == [0, 1, 3]
    # KITTI's boxes are upright in the camera, and have six decimals.
    tolerance = 0.1 if kind == "kitti" else 1e-6
    for row, at in enumerate(order):
        np.testing.assert_allclose(corners_of(found, at), corners_of(expected, row), atol=tolerance)


def test_labels_of_another_recording_are_refused(scene: lp.Scene, tmp_path: Path) -> None:
    labels = replace(planted(scene), points=None)
    frames = tuple(replace(one, id=f"other {one.id}", timestamp=None) for one in labels.frames)
    write(tmp_path, tables.write_json(replace(labels, frames=frames)))
    with pytest.raises(lp.RecipeError, match=r"labels of 3 frames that .* does not have"):
        lp.prepare(scene, recipe(tmp_path / "labels.json"), tmp_path / "out")


@pytest.mark.parametrize("rows", [(0, 1, 2, 3), (0, 2, 3)])
def test_what_a_task_links_to_is_taken_as_it_is_in_the_attachments(
    scene: lp.Scene, tmp_path: Path, rows: tuple[int, ...]
) -> None:
    """The frames of the list are all of the recording's, or those that are labelled."""
    box = {"uuid": "a", "label": "Car", "dimensions": {"x": 1.9, "y": 4.5, "z": 1.6}, "yaw": 0.25}
    listed = [{"cuboids": [box | {"position": {"x": 10.5 + row, "y": -2.0, "z": 0.5}}]} for row in rows]
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps(listed))
    given = recipe(file).model_copy(update={"labeling_sample_rate": 2})
    manifest = lp.prepare(scene, given, tmp_path / "out")
    assert any(manifest.world_offset)
    found = columns_of(read_back(manifest)[0])
    assert found.frame.tolist() == list(rows)
    np.testing.assert_allclose(found.position, [(10.5 + row, -2.0, 0.5) for row in rows], atol=1e-9)
    np.testing.assert_allclose(found.size, [(4.5, 1.9, 1.6)] * len(rows))
    # Scale's yaw 0 looks along +y, ours along +x.
    np.testing.assert_allclose(found.yaw, 0.25 + np.pi / 2)
    file.write_text(json.dumps(listed[:2]))
    with pytest.raises(lp.RecipeError, match=r"labels of 2 frames, and .* has 4, of which 3 are chosen or labelled"):
        lp.prepare(scene, given, tmp_path / "other")


def test_labels_are_read_from_files_for_a_scene(scene: lp.Scene, tmp_path: Path) -> None:
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps([{"cuboids": []}, {}, None, {"cuboids": []}]))
    labels = lp.read_labels(file, scene)
    assert (labels.frame, [one.id for one in labels.frames]) == ("attachment", [one.id for one in scene])
    assert len(columns_of(labels)) == 0
    file.write_text("label,frame_index,x,y,z,length,width,height,yaw\ncar,0,1,2,3,4,5,6,0\n")
    (tmp_path / "boxes.csv").write_bytes(file.read_bytes())
    in_ego = lp.read_labels(tmp_path / "boxes.csv", scene, "ego")
    assert in_ego.frame == "ego"
    pose = scene[0].world_from_ego
    assert pose is not None
    np.testing.assert_allclose(columns_of(in_ego.in_frame("world")).position, [pose.apply((1, 2, 3))])
    with pytest.raises(lp.FormatError, match="no JSON"):
        lp.read_labels(file, scene)
    with pytest.raises(lp.RecipeError, match="neither a file nor a folder"):
        lp.read_labels(tmp_path / "none.json", scene)
