"""What a user chooses of any recording: cameras, lidars, inverted extrinsics, the frame of the points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.selection import select
from tests.scenes import write_toolkit_scene


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "recording", cameras=("front", "left", "right"), points=5)


def test_cameras_that_are_not_asked_for_are_left_out_and_the_others_keep_their_numbers(folder: Path) -> None:
    scene = lp.open_scene(folder, cameras=["right", "front"])
    assert [(camera.name, camera.index) for camera in scene.cameras] == [("front", 0), ("right", 2)]
    assert [[image.camera.name for image in frame.images] for frame in scene] == [["front", "right"]] * 3
    with pytest.raises(lp.SceneError, match="has no camera 'rear'") as caught:
        lp.open_scene(folder, cameras=["rear"])
    assert "front, left, right" in str(caught.value)


def test_inverted_extrinsics_move_the_images_of_that_camera_only(folder: Path) -> None:
    plain, inverted = lp.open_scene(folder), lp.open_scene(folder, invert_extrinsics=["left"])
    old, new = plain.cameras[1].ego_from_camera, inverted.cameras[1].ego_from_camera
    assert old is not None
    assert new is not None
    np.testing.assert_allclose(new.matrix, np.linalg.inv(old.matrix), atol=1e-12)
    for before, after in zip(plain, inverted, strict=True):
        assert before.world_from_ego is not None
        for one, other in zip(before.images, after.images, strict=True):
            assert one.world_from_camera is not None
            assert other.world_from_camera is not None
            expected = one.world_from_camera.matrix
            if one.camera.name == "left":
                expected = before.world_from_ego.matrix @ np.linalg.inv(old.matrix)
                assert other.camera is inverted.cameras[1]
            np.testing.assert_allclose(other.world_from_camera.matrix, expected, atol=1e-12)
    assert "the extrinsics of left are inverted, as asked for" in inverted.notes


def test_the_pose_at_the_time_of_the_image_is_kept_when_its_camera_is_inverted() -> None:
    ego_from_camera = lp.Pose.from_euler(0.1, 0.2, 0.3, (1, 2, 3))
    camera = lp.Camera("front", 0, lp.Intrinsics(1, 1, 1, 1), ego_from_camera)
    # Taken later than the frame, when the device was elsewhere.
    world_from_ego = lp.Pose.from_euler(0, 0, 1.0, (10, 0, 0))
    image = lp.CameraImage(camera, world_from_camera=world_from_ego @ ego_from_camera)
    cloud = lp.PointCloud(np.zeros((0, 3), np.float32))
    frame = lp.Frame("0", 0, lambda: cloud, world_from_ego=lp.Pose.identity(), images=(image,))
    scene = select(lp.Scene("here", "made", (frame,), (camera,)), OpenOptions(invert_extrinsics=("front",)))
    found = scene[0].images[0].world_from_camera
    assert found is not None
    expected = world_from_ego.matrix @ np.linalg.inv(ego_from_camera.matrix)
    np.testing.assert_allclose(found.matrix, expected, atol=1e-12)


def test_a_camera_without_extrinsics_or_of_an_unknown_name_cannot_be_inverted(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(lp.SceneError, match="has no camera 'rear'"):
        lp.open_scene(folder, invert_extrinsics=["rear"])
    lp.prepare(lp.open_scene(folder), lp.Recipe(), tmp_path / "out")
    with pytest.raises(lp.SceneError, match="camera front has no extrinsics that could be inverted"):
        lp.open_scene(tmp_path / "out", invert_extrinsics=["front"])


def test_lidars_cannot_be_chosen_where_the_recording_names_none(folder: Path) -> None:
    with pytest.raises(lp.SceneError, match="has no lidar 'top'") as caught:
        lp.open_scene(folder, lidars=["top"])
    assert "This recording names no lidars." in str(caught.value)


def test_a_layout_that_did_not_choose_the_lidars_is_refused() -> None:
    scene = lp.Scene("here", "made", (), lidars=(lp.Lidar("a", 0), lp.Lidar("b", 1)))
    assert select(scene, OpenOptions(lidars=("b", "a"))) is scene
    with pytest.raises(lp.SceneError, match="the layout made always gives a, b"):
        select(scene, OpenOptions(lidars=("a",)))


def test_points_are_taken_to_be_in_the_frame_that_is_asked_for() -> None:
    cloud = lp.PointCloud(np.zeros((1, 3), np.float32), "ego")
    scene = select(lp.Scene("here", "made", (lp.Frame("0", 0, lambda: cloud),)), OpenOptions(points_frame="world"))
    assert scene.points_frame == "world"
    assert scene[0].points().frame == "world"


def test_a_name_that_no_file_can_have_is_one_clear_error() -> None:
    with pytest.raises(lp.SceneError, match="cannot be read: File name too long"):
        lp.open_scene("x" * 5000)
