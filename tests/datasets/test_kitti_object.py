"""KITTI object detection and the datasets that come in its layout: points, images, calibration, and what is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lidarprep as lp
from lidarprep.datasets import kitti_object, open_scene
from lidarprep.errors import FormatError, LidarprepError, SceneError
from lidarprep.scene import Pose
from tests.datasets.generated import Recording
from tests.datasets.write_kitti_object import write_kitti_object
from tests.datasets.write_kitti_odometry import row

CALIBRATION = "training/calib/000001.txt"


@pytest.fixture(scope="module")
def saved(recorded: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kitti_object(recorded, tmp_path_factory.mktemp("saved") / "kitti")


@pytest.fixture
def dataset(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "data/kitti"))


def codes(scene: lp.Scene) -> list[str]:
    return [finding.code for finding in scene.findings]


def test_the_recording_comes_back_each_frame_in_a_world_of_its_own(recorded: Recording, saved: Path) -> None:
    scene = open_scene(saved)
    assert scene.layout == "kitti-object"
    assert scene.points_frame == "ego"
    assert [frame.id for frame in scene] == ["000000", "000001", "000002"]
    for frame, truth in zip(scene, recorded.frames, strict=True):
        cloud = frame.points()
        np.testing.assert_array_equal(cloud.positions, truth.positions)
        np.testing.assert_allclose(np.asarray(cloud.intensity) * 255, truth.intensity, atol=1e-4)
        assert frame.timestamp is None
        assert frame.world_from_ego is not None
        np.testing.assert_array_equal(frame.world_from_ego.matrix, np.eye(4))
    assert codes(scene) == ["frames-unrelated"]
    assert "folders there that are not read: label_2" in scene.notes


def test_points_are_projected_as_each_frames_calibration_says(dataset: Path) -> None:
    """Pixels are P2 · R0_rect · Tr_velo_to_cam · x, computed here from the file's numbers alone."""
    ahead = np.array([[12.0, -1.5, 0.3], [25.0, 4.0, -1.0]])
    focal = []
    for frame in open_scene(dataset):
        text = (dataset / f"training/calib/{frame.id}.txt").read_text()
        rows = {line.split(":")[0]: np.array(line.split(":")[1].split(), float) for line in text.split("\n") if line}
        rectified = np.eye(4)
        rectified[:3, :3] = rows["R0_rect"].reshape(3, 3)
        transform = np.vstack((rows["Tr_velo_to_cam"].reshape(3, 4), [0, 0, 0, 1]))
        pixels = np.column_stack((ahead, [1, 1])) @ (rows["P2"].reshape(3, 4) @ rectified @ transform).T
        (image,) = frame.images
        uv, _ = image.project(ahead)
        np.testing.assert_allclose(uv, pixels[:, :2] / pixels[:, 2:], atol=1e-6)
        focal.append(image.camera.intrinsics.fx)
    assert np.diff(focal).tolist() == pytest.approx([1, 1])


def test_frames_with_equal_calibration_share_their_camera(dataset: Path) -> None:
    shutil.copy(dataset / "training/calib/000000.txt", dataset / CALIBRATION)
    first, second, third = (frame.images[0].camera for frame in open_scene(dataset))
    assert first is second
    assert third is not first


@pytest.mark.parametrize("inner", ["", "kitti", "kitti/training"])
def test_it_is_found_from_one_and_two_folders_above(dataset: Path, inner: str) -> None:
    assert open_scene(dataset.parent / inner).layout == "kitti-object"


def test_a_part_is_chosen_by_name_where_there_are_several(dataset: Path) -> None:
    shutil.copytree(dataset / "training", dataset / "testing")
    shutil.rmtree(dataset / "testing/label_2")
    with pytest.raises(SceneError, match=r"holds 2 parts\n.*--scene-name NAME: training, testing"):
        open_scene(dataset)
    assert "testing" in open_scene(dataset, scene="testing")[0].sources[0].location


def test_points_beside_the_whole_and_the_points_alone_are_told(dataset: Path) -> None:
    (dataset / "a.bin").write_bytes(b"")
    scene = open_scene(dataset)
    assert scene.layout == "kitti-object"
    assert [(one.code, one.severity) for one in scene.findings] == [
        ("recording-not-read", "note"),
        ("frames-unrelated", "warning"),
    ]
    (finding,) = open_scene(dataset / "training/velodyne").findings
    assert (finding.code, finding.severity) == ("recording-not-read", "warning")
    assert finding.message.startswith("only velodyne/ of a part of KITTI object is opened")
    assert finding.subject.name == str(dataset / "training")
    (finding,) = open_scene(dataset / "training/velodyne/000000.bin").findings
    assert (finding.code, finding.severity) == ("recording-not-read", "note")


def test_it_is_prepared_with_its_images_in_each_frames_own_world(dataset: Path, tmp_path: Path) -> None:
    manifest = lp.prepare(open_scene(dataset), lp.Recipe(frames="1:2"), tmp_path / "out")
    (attachment,) = manifest.attachments
    frame = json.loads((tmp_path / "out" / attachment.key).read_text())
    assert len(frame["images"]) == 1
    assert frame["device_position"] == {"x": 0, "y": 0, "z": 0}


def edited(change: Callable[[str], str]) -> Callable[[Path], object]:
    return lambda dataset: (dataset / CALIBRATION).write_text(change((dataset / CALIBRATION).read_text()))


ONE_FRAME = [
    (lambda dataset: (dataset / CALIBRATION).unlink(), "000001.txt is missing"),
    (edited(lambda text: text.replace("P2:", "P9:")), "no line 'P2:'"),
    (edited(lambda text: text.replace("R0_rect:", "R_rect:")), "no line 'R0_rect:'"),
    (edited(lambda text: text.replace("Tr_velo_to_cam: ", "Tr_velo_to_cam: 7 ")), "13 numbers"),
    (edited(lambda _: ""), "no line 'P2:', only nothing"),
]


@pytest.mark.parametrize(("spoil", "said"), ONE_FRAME)
def test_a_frame_without_calibration_has_no_image_and_the_others_keep_theirs(
    dataset: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(dataset)
    scene = open_scene(dataset)
    assert [len(frame.images) for frame in scene] == [1, 0, 1]
    finding = next(one for one in scene.findings if one.code == "calibration-missing")
    assert finding.message.startswith("camera image_2: 1 of 3 images are left out")
    assert said in finding.message


def test_a_camera_without_any_calibration_is_left_out_or_refused_where_it_is_named(dataset: Path) -> None:
    shutil.rmtree(dataset / "training/calib")
    scene = open_scene(dataset)
    assert scene.cameras == ()
    assert "camera-left-out" in codes(scene)
    with pytest.raises(LidarprepError, match=r"000000\.txt is missing"):
        open_scene(dataset, cameras=["image_2"])


def test_a_misnamed_folder_is_a_warning(dataset: Path) -> None:
    (dataset / "training/image_2").rename(dataset / "training/image_02")
    finding = next(one for one in open_scene(dataset).findings if one.code == "folder-not-read")
    assert (finding.found, finding.expected, finding.severity) == ("image_02", "image_2", "warning")


def test_cropped_points_are_read_where_there_are_no_others_and_that_is_said(dataset: Path) -> None:
    (dataset / "training/velodyne").rename(dataset / "training/velodyne_reduced")
    assert any("only what the left colour camera sees" in note for note in open_scene(dataset).notes)


def test_poses_are_refused_and_the_radars_part_too(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="frames are unrelated and have no poses"):
        open_scene(dataset, poses=tmp_path / "poses.txt")
    for sensor in ("lidar", "radar"):  # View-of-Delft
        shutil.copytree(dataset / "training", tmp_path / "vod" / sensor / "training")
    with pytest.raises(SceneError, match=r"has the points of a radar, not of a lidar\nOpen .*vod/lidar/training"):
        open_scene(tmp_path / "vod/radar")
    with pytest.raises(SceneError, match="Name one with --scene-name NAME: lidar/training, radar/training"):
        open_scene(tmp_path / "vod")
    assert len(open_scene(tmp_path / "vod", scene="lidar/training")) == 3


def test_extrinsics_are_inverted_with_each_frames_own_intrinsics(dataset: Path) -> None:
    scene = open_scene(dataset)
    inverted = open_scene(dataset, invert_extrinsics=["image_2"])
    for frame, other in zip(scene, inverted, strict=True):
        (image,), (changed,) = frame.images, other.images
        assert changed.camera.intrinsics == image.camera.intrinsics
        assert image.world_from_camera is not None
        assert changed.world_from_camera is not None
        np.testing.assert_allclose(changed.world_from_camera.matrix, image.world_from_camera.inverse().matrix)


def test_a_calibration_file_keeps_each_frames_own_other_values(dataset: Path, tmp_path: Path) -> None:
    file = tmp_path / "calibration.json"
    turned = {"quaternion": [1, 0, 0, 0], "translation": [0.5, 0, 0]}
    file.write_text(json.dumps({"cameras": {"image_2": {"given_from_camera": turned, "intrinsics": {"cx": 7.0}}}}))
    for frame, other in zip(open_scene(dataset), open_scene(dataset, calibration=file), strict=True):
        (image,), (changed,) = frame.images, other.images
        own = image.camera.intrinsics
        assert changed.camera.intrinsics == replace(own, cx=7.0)
        assert image.camera.ego_from_camera is not None
        assert changed.world_from_camera is not None
        expected = image.camera.ego_from_camera.matrix @ [0.5, 0, 0, 1]
        np.testing.assert_allclose(changed.world_from_camera.matrix[:, 3], expected, atol=1e-12)


def test_images_of_each_calibration_have_their_own_size(dataset: Path) -> None:
    for k in range(3):
        Image.new("RGB", (60 + k, 40)).save(dataset / f"training/image_2/{k:06d}.png")
    scene = open_scene(dataset)
    sizes = [
        (image.camera.intrinsics.width, image.camera.intrinsics.height) for frame in scene for image in frame.images
    ]
    assert sizes == [(60, 40), (61, 40), (62, 40)]
    assert scene.cameras == (scene[0].images[0].camera,)


def test_the_user_names_the_columns(dataset: Path, recorded: Recording) -> None:
    truth = recorded.frames[0].positions
    rows = np.column_stack((truth, np.arange(len(truth)) % 64, np.arange(len(truth)) % 200, np.arange(len(truth))))
    rows = rows.astype("<f4")
    rows.tofile(dataset / "training/velodyne/000000.bin")
    scene = open_scene(dataset, columns="x,y,z,ring,intensity,t", time_unit="points=us")
    assert not any("without use" in note for note in scene.notes)
    cloud = scene[0].points()
    np.testing.assert_array_equal(cloud.positions, truth)
    np.testing.assert_array_equal(cloud.ring, rows[:, 3])
    np.testing.assert_array_equal(cloud.intensity, rows[:, 4])
    np.testing.assert_array_equal(cloud.timestamp, np.arange(len(truth)) * 1000)


# ---- Waymo ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def waymo(dataset: Path) -> Path:
    """The dataset with five cameras, each with a transform of its own, the k-th 10·k px wider."""
    shutil.rmtree(dataset / "training/image_2")
    for camera in range(5):
        (dataset / f"training/image_{camera}").mkdir()
        for frame in range(3):
            (dataset / f"training/image_{camera}/{frame:06d}.png").touch()
    optical = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]])
    lines = [f"P{k}: {100 + 10 * k} 0 50 0 0 100 40 0 0 0 1 0" for k in range(5)] + [f"R0_rect: {row(np.eye(3))}"]
    for k in range(5):
        turned = Pose.from_euler(0, 0, 0.5 * k).rotation
        lines.append(
            f"Tr_velo_to_cam_{k}: {row(optical @ np.vstack((np.column_stack((turned, [0, 0, k])), [0, 0, 0, 1])))}"
        )
    for frame in range(3):
        (dataset / f"training/calib/{frame:06d}.txt").write_text("\n".join(lines))
    return dataset


def test_five_cameras_of_waymo_have_their_own_transforms(waymo: Path) -> None:
    images = open_scene(waymo)[0].images
    assert [image.camera.name for image in images] == [f"image_{k}" for k in range(5)]
    for k, image in enumerate(images):
        # The camera looks along ego's x, turned back by 0.5·k rad, from k metres below.
        point = np.array([[np.cos(0.5 * k), -np.sin(0.5 * k), -k / 10]]) * 10
        uv, seen = image.project(point)
        assert seen.all()
        np.testing.assert_allclose(uv, [[50, 40]], atol=1e-9)
        assert image.camera.intrinsics.fx == 100 + 10 * k


@pytest.mark.parametrize("columns", [4, 5, 6])
def test_rows_of_waymo_are_read_by_their_length(waymo: Path, recorded: Recording, columns: int) -> None:
    truth = recorded.frames[0]
    count = len(truth.positions) // 60 * 60  # a length that rows of 4, 5 and 6 fit
    rng = np.random.default_rng(1)
    extra = np.column_stack((rng.uniform(0, 1, count), np.full(count, 1.5e9)))
    rows = np.column_stack((truth.positions[:count], truth.intensity[:count] / 255, extra)).astype("<f4")[:, :columns]
    rows.tofile(waymo / "training/velodyne/000000.bin")
    cloud = open_scene(waymo)[0].points()
    np.testing.assert_array_equal(cloud.positions, truth.positions[:count])
    assert cloud.ignored_fields == ("elongation", "frame time")[: columns - 4]


def test_named_columns_go_before_the_rows_of_waymo(waymo: Path, recorded: Recording) -> None:
    truth = recorded.frames[0].positions
    np.column_stack((truth, truth[:, :2])).astype("<f4").tofile(waymo / "training/velodyne/000000.bin")
    cloud = open_scene(waymo, columns="x,y,z,_,_")[0].points()
    np.testing.assert_array_equal(cloud.positions, truth)
    assert cloud.intensity is None


def test_rows_of_another_length_are_refused(waymo: Path) -> None:
    (waymo / "training/velodyne/000000.bin").write_bytes(bytes(28))
    with pytest.raises(FormatError, match="28 bytes; expected rows of 6, 5 or 4 float32"):
        open_scene(waymo)[0].points()


def test_images_make_it_one_only_in_a_folder_with_the_name_of_a_part(tmp_path: Path) -> None:
    for part in ("training", "sequences/00"):
        for name in ("velodyne", "image_0"):
            (tmp_path / part / name).mkdir(parents=True)
    assert kitti_object.detect(tmp_path / "training") == "it has velodyne/, with image_0/ for each frame"
    assert kitti_object.detect(tmp_path / "sequences/00") is None


def test_other_folders_are_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "velodyne").mkdir()
    (tmp_path / "training").mkdir()
    for path in (tmp_path, tmp_path / "training", tmp_path / "nothing"):
        assert kitti_object.detect(path) is None
