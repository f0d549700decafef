"""What the page gives to copy for each layout is read back, from the recording's own files, as the same calibration."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pyarrow import feather
from scipy.spatial.transform import Rotation

import lidarprep as lp
from lidarprep.attachments import frame_json
from lidarprep.sample import write_sample
from lidarprep.scene import Camera, PointCloud, Pose, Scene
from tests.datasets.generated import Recording, generated
from tests.datasets.write_argoverse2 import write as write_feather
from tests.datasets.write_argoverse2 import write_argoverse2
from tests.datasets.write_kitti_odometry import write_kitti_odometry
from tests.datasets.write_kitti_raw import write_kitti_raw
from tests.datasets.write_nuscenes import VERSION, write_nuscenes
from tests.datasets.write_pandaset import write_pandaset
from tests.datasets.write_ros import recorded_messages, write_bag
from tests.report.conftest import OpenPage
from tests.report.recording_page import write_recording_page

# What is changed: pitch, yaw and roll in degrees, x, y and z in metres, and factors of fx, fy, with shifts of cx, cy.
TURN = (0.8, -1.5, 0.4)
SHIFT = (0.05, -0.02, 0.1)
D = np.eye(4)
D[:3, :3] = Rotation.from_euler("YXZ", (TURN[1], TURN[0], TURN[2]), degrees=True).as_matrix()
D[:3, 3] = SHIFT


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return generated(tmp_path_factory.mktemp("generated") / "toolkit", frames=2)


def texts_of(
    scene: Scene, camera: str, open_page: OpenPage, tmp_path: Path, *, turn: bool = True, lens: bool = True
) -> list[dict[str, str]]:
    """The texts to copy, once sliders have turned and moved a camera of the scene, and changed its lens."""
    page = open_page(write_recording_page(tmp_path / "page.html", scene, points=50))
    page.locator(".lv-calibration select").first.select_option(label=camera)
    intrinsics = next(one for one in scene.cameras if one.name == camera).intrinsics
    values = dict(zip(("x", "y", "z"), SHIFT, strict=True))
    values |= dict(zip(("pitch", "yaw", "roll"), TURN, strict=True)) if turn else {}
    values |= {"fx": intrinsics.fx * 1.05, "cx": intrinsics.cx + 3} if lens else {}
    for key, value in values.items():
        page.locator(f".lv-calibration input[type=number][data-key={key}]").fill(repr(value))
    found: list[dict[str, str]] = page.evaluate(
        "count => lidarprep.layoutTexts(lidarprep.app.scene.layout, lidarprep.calibratedCameras(lidarprep.app), count)",
        len(scene.frames),
    )
    return found


def camera_of(scene: Scene, name: str) -> Camera:
    return next(camera for camera in scene.cameras if camera.name == name)


def matrix(pose: Pose | None) -> NDArray[np.float64]:
    assert pose is not None
    return pose.matrix


def assert_changed(before: Scene, after: Scene, name: str, *, lens: bool = True, turn: bool = True) -> None:
    """The camera, and it alone, has the changed pose and lens: in the world, too, and on the device where known."""
    change = D if turn else np.block([[np.eye(3), D[:3, 3:]], [np.zeros(3), 1]])
    for old, new in zip(before.cameras, after.cameras, strict=True):
        if old.name != name:
            assert new.intrinsics == old.intrinsics
            continue
        if old.ego_from_camera is not None:
            np.testing.assert_allclose(matrix(new.ego_from_camera), matrix(old.ego_from_camera) @ change, atol=1e-8)
        scale = 1.05 if lens else 1
        assert new.intrinsics.fx == pytest.approx(old.intrinsics.fx * scale)
        assert new.intrinsics.fy == pytest.approx(old.intrinsics.fy * scale)
        assert new.intrinsics.cx == pytest.approx(old.intrinsics.cx + 3 * lens)
        assert new.intrinsics.cy == pytest.approx(old.intrinsics.cy)
        assert new.intrinsics.distortion == old.intrinsics.distortion
        assert new.intrinsics.model == old.intrinsics.model
    for old_frame, new_frame in zip(before, after, strict=True):
        for one, other in zip(old_frame.images, new_frame.images, strict=True):
            expected = matrix(one.world_from_camera) @ (change if one.camera.name == name else np.eye(4))
            np.testing.assert_allclose(matrix(other.world_from_camera), expected, atol=1e-7)


def by_place(texts: list[dict[str, str]]) -> dict[str, Any]:
    return {one["place"]: json.loads(one["text"]) for one in texts}


def edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def test_toolkit(recorded: Recording, tmp_path: Path, open_page: OpenPage) -> None:
    write_sample(tmp_path / "recording", frames=2, columns=90, image_width=64)
    before = lp.open_scene(tmp_path / "recording")
    texts = texts_of(before, "left_camera", open_page, tmp_path)
    assert [one["place"] for one in texts] == [
        "cameras/left_camera/extrinsics.json",
        "cameras/left_camera/intrinsics.json",
    ]
    for one in texts:
        (tmp_path / "recording" / one["place"]).write_text(one["text"])
    assert_changed(before, lp.open_scene(tmp_path / "recording"), "left_camera")


def test_nuscenes(recorded: Recording, tmp_path: Path, open_page: OpenPage) -> None:
    root = write_nuscenes(recorded, tmp_path / "recording")
    before = lp.open_scene(root)
    ((place, record),) = by_place(texts_of(before, "right_camera", open_page, tmp_path)).items()
    assert "calibrated_sensor.json" in place
    assert "right_camera" in place
    sensors = json.loads((root / VERSION / "sensor.json").read_text())
    token = next(sensor["token"] for sensor in sensors if sensor["channel"] == "right_camera")
    edit_json(
        root / VERSION / "calibrated_sensor.json",
        lambda records: [one | record if one["sensor_token"] == token else one for one in records],
    )
    assert_changed(before, lp.open_scene(root), "right_camera")


def test_pandaset(recorded: Recording, tmp_path: Path, open_page: OpenPage) -> None:
    sequence = write_pandaset(recorded, tmp_path / "recording")
    before = lp.open_scene(sequence)
    texts = texts_of(before, "front_camera", open_page, tmp_path)
    assert len(texts) == 2
    for one in texts:
        (sequence / one["place"]).write_text(one["text"])
    assert_changed(before, lp.open_scene(sequence), "front_camera")


@pytest.mark.trial
def test_pandaset_of_some_frames_gives_no_poses(recorded: Recording, tmp_path: Path, open_page: OpenPage) -> None:
    scene = lp.open_scene(write_pandaset(recorded, tmp_path / "recording"))
    some = replace(scene, frames=scene.frames[:1])
    page = open_page(write_recording_page(tmp_path / "page.html", some, points=50))
    page.locator(".lv-calibration input[type=number][data-key=yaw]").fill("1")
    (text,) = page.evaluate("lidarprep.layoutTexts('pandaset', lidarprep.calibratedCameras(lidarprep.app), 2)")
    assert text["text"] == ""
    assert "shows 1 of 2 frames" in text["note"]


@pytest.mark.trial
def test_argoverse2(recorded: Recording, tmp_path: Path, open_page: OpenPage) -> None:
    log = write_argoverse2(recorded, tmp_path / "recording")
    before = lp.open_scene(log)
    for place, row in by_place(texts_of(before, "left_camera", open_page, tmp_path)).items():
        columns = {name: list(column) for name, column in feather.read_table(str(log / place)).to_pydict().items()}
        at = columns["sensor_name"].index(row["sensor_name"])
        for name, value in row.items():
            columns[name][at] = value
        write_feather(log / place, columns)
    assert_changed(before, lp.open_scene(log), "left_camera")


@pytest.mark.trial
def test_ros(recorded: Recording, tmp_path: Path, open_page: OpenPage) -> None:
    messages = recorded_messages(recorded)
    before = lp.open_scene(write_bag(tmp_path / "before", "mcap", messages))
    changed = by_place(texts_of(before, "front_camera", open_page, tmp_path))
    transform, info = changed.values()
    edited = []
    for message in messages:
        fields = dict(message.fields)
        if message.topic == "/tf_static":
            fields["transforms"] = [
                one | transform if one["child_frame_id"] == "front_camera_optical" else one
                for one in fields["transforms"]
            ]
        if message.topic == "/front_camera/camera_info":
            fields |= {key: np.array(value) if key in "dk" else value for key, value in info.items()}
        edited.append(replace(message, fields=fields))
    assert_changed(before, lp.open_scene(write_bag(tmp_path / "after", "mcap", edited)), "front_camera")


@pytest.mark.trial
def test_kitti_raw(recorded: Recording, tmp_path: Path, open_page: OpenPage) -> None:
    day = write_kitti_raw(recorded, tmp_path / "recording")
    before = lp.open_scene(day)
    for one in texts_of(before, "image_02", open_page, tmp_path):
        lines = {line.split(":")[0]: line for line in (day / one["place"]).read_text().splitlines()}
        lines |= {line.split(":")[0]: line for line in one["text"].splitlines()}
        (day / one["place"]).write_text("\n".join(lines.values()) + "\n")
    assert_changed(before, lp.open_scene(day), "image_02")


def test_kitti_odometry_names_the_calibration_file(recorded: Recording, tmp_path: Path, open_page: OpenPage) -> None:
    scene = lp.open_scene(write_kitti_odometry(recorded, tmp_path / "recording"))
    (text,) = texts_of(scene, "image_2", open_page, tmp_path)
    assert text["text"] == ""
    assert "calibration.json" in text["note"]


def _same(points: PointCloud) -> PointCloud:
    return points


def test_attachments(recorded: Recording, tmp_path: Path, open_page: OpenPage) -> None:
    sample = write_sample(tmp_path / "recording", frames=2, columns=90, image_width=64)
    folder = Path(shutil.copytree(sample.path / "cameras", tmp_path / "attachments"))
    for path in folder.glob("*/*.json"):
        path.unlink()
    for frame in lp.open_scene(sample.path):
        points = frame.points()
        moved = replace(
            points,
            positions=matrix(frame.world_from_ego)[:3, :3].dot(points.positions.T).T.astype(np.float32),
            frame="world", intensity=None,
        )  # fmt: skip
        images = tuple(replace(image, url=f"{image.camera.name}/{frame.id}.jpg") for image in frame.images)
        whole = replace(frame, read_points=partial(_same, moved), images=images, read_radar=None)
        (folder / f"{frame.id}.json").write_bytes(frame_json.encode(whole))
    before = lp.open_scene(folder)
    name = before.cameras[1].name
    texts = texts_of(before, name, open_page, tmp_path)
    assert len(texts) == len(before.frames)
    for frame, one in zip(before.frames, texts, strict=True):
        described = json.loads(one["text"])

        def edit(value: Any, described: dict[str, Any] = described) -> Any:
            for image in value["images"]:
                if str(image["camera_index"]) == name:
                    image |= described
            return value

        edit_json(folder / f"{frame.id}.json", edit)
    assert_changed(before, lp.open_scene(folder), name)
