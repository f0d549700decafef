"""A calibration file in place of the recording's own poses and intrinsics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import lidarprep as lp
from lidarprep.datasets.calibration import with_calibration
from tests.scenes import write_toolkit_scene

TURN = Rotation.from_euler("xyz", [0.3, -0.2, 1.1])


def pose(turn: Rotation = TURN, translation: tuple[float, float, float] = (1.0, 2.0, 3.0)) -> dict[str, Any]:
    return {"quaternion": turn.as_quat(scalar_first=True).tolist(), "translation": list(translation)}


def matrix(turn: Rotation = TURN, translation: tuple[float, float, float] = (1.0, 2.0, 3.0)) -> Any:
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = turn.as_matrix(), translation
    return whole


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toolkit_scene(tmp_path_factory.mktemp("calibration") / "recording")


def written(tmp_path: Path, cameras: Any, name: str = "calibration.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps({"cameras": cameras}))
    return path


def test_poses_of_the_named_camera_are_replaced(folder: Path, tmp_path: Path) -> None:
    plain = lp.open_scene(folder)
    scene = lp.open_scene(folder, calibration=written(tmp_path, {"left": {"ego_from_camera": pose()}}))
    front, left = scene.cameras
    assert front == plain.cameras[0]
    assert left.ego_from_camera is not None
    np.testing.assert_allclose(left.ego_from_camera.matrix, matrix(), atol=1e-12)
    assert left.intrinsics == plain.cameras[1].intrinsics
    for before, after in zip(plain, scene, strict=True):
        assert before.world_from_ego is not None
        assert after.images[0] == before.images[0]
        assert after.images[1].camera is left
        assert after.images[1].world_from_camera is not None
        expected = before.world_from_ego.matrix @ matrix()
        np.testing.assert_allclose(after.images[1].world_from_camera.matrix, expected, atol=1e-9)
    assert any("the calibration of left is that of" in note for note in scene.notes)


def test_the_device_s_pose_at_the_time_of_the_image_is_kept() -> None:
    ego_from_camera = lp.Pose.from_euler(0.1, 0.2, 0.3, (1, 2, 3))
    camera = lp.Camera("front", 0, lp.Intrinsics(1, 1, 1, 1), ego_from_camera)
    world_from_ego = lp.Pose.from_euler(0, 0, 1.0, (10, 0, 0))
    scene = scene_of(camera, world_from_ego @ ego_from_camera)
    found = with_calibration(scene, Path(write(scene, {"ego_from_camera": pose()})))[0].images[0].world_from_camera
    assert found is not None
    np.testing.assert_allclose(found.matrix, world_from_ego.matrix @ matrix(), atol=1e-12)


def test_poses_in_the_world_are_moved_by_what_is_given_from_the_camera() -> None:
    world_from_camera = lp.Pose.from_euler(0.3, 0, 1.0, (10, 0, 0))
    scene = scene_of(lp.Camera("front", 0, lp.Intrinsics(1, 1, 1, 1)), world_from_camera)
    with pytest.raises(lp.SceneError, match="camera front: the recording gives its images' poses in the world"):
        with_calibration(scene, write(scene, {"ego_from_camera": pose()}))
    moved = with_calibration(scene, write(scene, {"given_from_camera": pose()}))
    found = moved[0].images[0].world_from_camera
    assert found is not None
    assert moved.cameras[0].ego_from_camera is None
    np.testing.assert_allclose(found.matrix, world_from_camera.matrix @ matrix(), atol=1e-12)


def test_extrinsics_are_given_to_a_camera_that_has_none() -> None:
    scene = scene_of(lp.Camera("front", 0, lp.Intrinsics(1, 1, 1, 1)), None)
    changed = with_calibration(scene, write(scene, {"ego_from_camera": pose()}))
    found = changed[0].images[0].world_from_camera
    assert found is not None
    np.testing.assert_allclose(found.matrix, matrix(), atol=1e-12)  # the device is at the world's origin


def test_intrinsics_are_replaced_value_by_value(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "calibration.yaml"
    path.write_text("cameras:\n  front:\n    intrinsics: {fx: 700, k1: -0.1}\n")
    before = lp.open_scene(folder).cameras[0]
    after = lp.open_scene(folder, calibration=path).cameras[0]
    assert after.ego_from_camera == before.ego_from_camera
    assert (after.intrinsics.fx, after.intrinsics.fy) == (700, before.intrinsics.fy)
    assert after.intrinsics.distortion == lp.Distortion(k1=-0.1)
    path.write_text("cameras:\n  front:\n    intrinsics: {camera_model: fisheye, k4: 0.01}\n")
    other = lp.open_scene(folder, calibration=path).cameras[0].intrinsics
    assert (other.model, other.distortion) == ("fisheye", lp.Distortion(k4=0.01))


@pytest.mark.parametrize(
    ("cameras", "message"),
    [
        ({"frnt": {}}, r"has no camera 'frnt'\nDid you mean 'front'\?"),
        ({"front": {"ego_from_camra": pose()}}, "did you mean 'ego_from_camera'"),
        ({"front": {"ego_from_camera": {"quaternion": [2, 0, 0, 0], "translation": [0, 0, 0]}}}, "is not unit"),
        ({"front": {"ego_from_camera": {"quaternion": [1, 0, 0], "translation": [0, 0, 0]}}}, "quaternion"),
        ({"front": {"ego_from_camera": {"quaternion": [1, 0, 0, 0]}}}, "ego_from_camera.translation is missing"),
        ({"front": {"ego_from_camera": pose(), "given_from_camera": pose()}}, "give one of them"),
        ({"front": {"intrinsics": {"fx": "wide"}}}, "camera front: intrinsics: fx is 'wide', not a number"),
        ({"front": {"intrinsics": {"f": 3}}}, "camera front: intrinsics have unknown keys f"),
        ([], "cameras"),
    ],
)
def test_what_is_no_calibration_is_refused_by_name(folder: Path, tmp_path: Path, cameras: Any, message: str) -> None:
    path = written(tmp_path, cameras)
    with pytest.raises(lp.SceneError, match=message) as caught:
        lp.open_scene(folder, calibration=path)
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(lp.SceneError, match=r"missing.json: the calibration cannot be read"):
        lp.open_scene(folder, calibration=tmp_path / "missing.json")


def test_a_run_sees_that_the_calibration_has_changed(folder: Path, tmp_path: Path) -> None:
    path = written(tmp_path, {"left": {"ego_from_camera": pose()}})
    out = tmp_path / "out"
    first = lp.prepare(lp.open_scene(folder, calibration=path), lp.Recipe(), out)
    again = lp.prepare(lp.open_scene(folder, calibration=path), lp.Recipe(), out)
    assert again == first
    written(tmp_path, {"left": {"ego_from_camera": pose(translation=(1, 2, 4))}})
    with pytest.raises(lp.LidarprepError, match="poses, calibration or times"):
        lp.prepare(lp.open_scene(folder, calibration=path), lp.Recipe(), out)


def scene_of(camera: lp.Camera, world_from_camera: lp.Pose | None) -> lp.Scene:
    image = lp.CameraImage(camera, world_from_camera=world_from_camera)
    cloud = lp.PointCloud(np.zeros((0, 3), np.float32))
    frame = lp.Frame("0", 0, lambda: cloud, world_from_ego=lp.Pose.identity(), images=(image,))
    return lp.Scene("here", "made", (frame,), (camera,))


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(scene: lp.Scene, calibration: dict[str, Any]) -> Path:
    path = Path("calibration.json")
    path.write_text(json.dumps({"cameras": {scene.cameras[0].name: calibration}}))
    return path
