"""The toolkit folder: what is read from it, and what is said of one that does not hang together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lidarprep.datasets import open_scene
from lidarprep.errors import FormatError, LidarprepError, SceneError
from lidarprep.pointfiles import write_points
from lidarprep.scene import PointCloud, Pose


def test_frames_are_in_the_order_of_their_numbers(toolkit: Path) -> None:
    scene = open_scene(toolkit)
    assert scene.layout == "toolkit"
    assert scene.source == str(toolkit)
    assert scene.points_frame == "ego"
    assert scene.notes == ("opened as toolkit: it has a folder pointcloud/",)
    assert [(frame.id, frame.index) for frame in scene] == [("8", 0), ("9", 1), ("10", 2)]
    for frame, n in zip(scene, (8, 9, 10), strict=True):
        assert frame.world_from_ego == Pose(np.eye(3), np.array([n, 0, 0]))
        assert frame.timestamp is None


def test_opening_reads_no_points(toolkit: Path) -> None:
    scene = open_scene(toolkit)  # whose point files are empty, and so no PLY
    with pytest.raises(FormatError, match=r"8\.ply, line 1: an empty file"):
        scene[0].points()


@pytest.mark.parametrize("points_frame", ["ego", "world"])
def test_points_are_read_when_they_are_asked_for(toolkit: Path, points_frame: str) -> None:
    scene = open_scene(toolkit, points_frame=points_frame)  # type: ignore[arg-type]
    write_points(toolkit / "pointcloud/8.ply", PointCloud(np.ones((4, 3), np.float32)))
    assert len(scene[0].points()) == 4
    assert scene[0].points().frame == scene.points_frame == points_frame


def test_cameras_are_numbered_by_name_and_carried_by_the_device(toolkit: Path) -> None:
    turned = {"heading": [np.sqrt(0.5), 0, 0, np.sqrt(0.5)], "position": [0, 0, 5]}
    (toolkit / "poses/9.json").write_text(json.dumps(turned))
    scene = open_scene(toolkit)
    assert [(camera.name, camera.index) for camera in scene.cameras] == [("front", 0), ("left", 1)]
    image = scene[1].images[1]
    assert image.camera is scene.cameras[1]
    assert image.path == toolkit / "cameras/left/9.jpg"
    assert image.world_from_camera is not None
    # The camera stands at (1, 2, 3) on the device, which is turned left by 90° and stands at (0, 0, 5).
    np.testing.assert_allclose(image.world_from_camera.translation, [-2, 1, 8], atol=1e-12)


def test_intrinsics_may_be_numbers_or_lists_of_one(toolkit: Path) -> None:
    values = {"fx": [1.5], "fy": 2, "cx": [3], "cy": 4.0, "camera_model": "fisheye", "k1": [0.1]}
    (toolkit / "cameras/front/intrinsics.json").write_text(json.dumps(values))
    intrinsics = open_scene(toolkit).cameras[0].intrinsics
    assert (intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy) == (1.5, 2, 3, 4)
    assert intrinsics.model == "fisheye"
    assert intrinsics.distortion.k1 == 0.1


def test_radar_is_read_in_the_ego_frame(toolkit: Path) -> None:
    radar = open_scene(toolkit)[2].radar()
    assert radar is not None
    assert radar.frame == "ego"
    np.testing.assert_array_equal(radar.positions, [[10, 1, 2]])
    np.testing.assert_array_equal(radar.directions, [[0.5, 0, 0]])
    np.testing.assert_array_equal(radar.sizes, [3])


def test_a_radar_file_without_a_return_is_fine(toolkit: Path) -> None:
    (toolkit / "radar_points/8.txt").write_text("\n")
    radar = open_scene(toolkit)[0].radar()
    assert radar is not None
    assert len(radar) == 0


@pytest.mark.parametrize("line", ["1, 2, 3", "1, 2, 3, 4, 5, 6, big", "1, 2, 3, 4, 5, 6, nan"])
def test_a_radar_row_that_is_none_is_named(toolkit: Path, line: str) -> None:
    (toolkit / "radar_points/8.txt").write_text(f"1, 2, 3, 4, 5, 6, 7\n{line}\n")
    with pytest.raises(FormatError, match=r"8\.txt.*x, y, z, dx, dy, dz, size"):
        open_scene(toolkit)[0].radar()


def test_numbers_may_be_padded_and_formats_mixed(toolkit: Path) -> None:
    (toolkit / "pointcloud/8.ply").rename(toolkit / "pointcloud/0008.pcd.bin")
    (toolkit / "cameras/left/8.jpg").rename(toolkit / "cameras/left/08.PNG")
    scene = open_scene(toolkit)
    assert [frame.id for frame in scene] == ["0008", "9", "10"]
    assert scene[0].images[1].path == toolkit / "cameras/left/08.PNG"


def test_cameras_and_radar_may_be_missing(toolkit: Path) -> None:
    shutil.rmtree(toolkit / "cameras")
    shutil.rmtree(toolkit / "radar_points")
    scene = open_scene(toolkit)
    assert scene.cameras == ()
    assert scene[0].images == ()
    assert scene[0].radar() is None
    assert len(scene.notes) == 1


def test_what_is_missing_or_left_over_is_noted(toolkit: Path) -> None:
    (toolkit / "cameras/left/9.jpg").unlink()
    (toolkit / "cameras/front/77.jpg").write_bytes(b"")
    (toolkit / "radar_points/10.txt").unlink()
    (toolkit / "poses/11.json").write_text("{}")
    (toolkit / "pointcloud/11.zip").write_bytes(b"")
    (toolkit / "pointcloud/.DS_Store").write_bytes(b"")
    scene = open_scene(toolkit)
    assert [image.camera.name for image in scene[1].images] == ["front"]
    assert scene[2].radar() is None
    assert scene.notes[1:] == (
        "pointcloud: 1 files there are no point files, such as 11.zip",
        "poses: 1 of 4 files there belong to no frame",
        "cameras/front: 1 of 4 files there belong to no frame",
        "cameras/left: 1 of 3 frames have no file there",
        "radar_points: 1 of 3 frames have no file there",
    )


def test_timestamps_of_poses_are_the_frames(toolkit: Path, stamp: Callable[[int, int], None]) -> None:
    for n in (8, 9, 10):
        stamp(n, 1_700_000_000_000_000_000 + n)
    assert [frame.timestamp for frame in open_scene(toolkit)] == [1_700_000_000_000_000_000 + n for n in (8, 9, 10)]


@pytest.fixture
def stamp(toolkit: Path) -> Callable[[int, int], None]:
    """Give a frame's pose a timestamp."""

    def write(n: int, timestamp: int) -> None:
        path = toolkit / f"poses/{n}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "timestamp": timestamp}))

    return write


@pytest.mark.parametrize("second", ["pointcloud/8.pcd", "pointcloud/08.ply", "cameras/left/8.png", "poses/08.json"])
def test_two_files_of_one_frame_are_named(toolkit: Path, second: str) -> None:
    (toolkit / second).write_bytes(b"")
    with pytest.raises(SceneError, match="belong to the same frame") as caught:
        open_scene(toolkit)
    assert second in str(caught.value)


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ("poses/9.json", r"frame 9 has no pose: .*poses/9\.json is missing"),
        ("cameras/left/extrinsics.json", r"camera left has no calibration: .*cameras/left/extrinsics\.json"),
        ("cameras/front/intrinsics.json", r"camera front has no calibration: .*cameras/front/intrinsics\.json"),
    ],
)
def test_a_missing_pose_or_calibration_is_named(toolkit: Path, removed: str, message: str) -> None:
    (toolkit / removed).unlink()
    with pytest.raises(SceneError, match=message):
        open_scene(toolkit)


def test_a_folder_without_poses_or_points_is_named(toolkit: Path) -> None:
    shutil.rmtree(toolkit / "poses")
    with pytest.raises(SceneError, match=r"frame 8 has no pose"):
        open_scene(toolkit)
    for path in (toolkit / "pointcloud").iterdir():
        path.unlink()
    with pytest.raises(SceneError, match="pointcloud holds no point file"):
        open_scene(toolkit)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("poses/9.json", b"", "line 1 column 1"),
        ("poses/9.json", b'{\n"heading": [1, 0', "line 2"),
        ("poses/9.json", b"\xff", "9.json"),
        ("poses/9.json", b"[1]", "a JSON list; expected an object"),
        ("poses/9.json", b'{"position": [0, 0, 0]}', r'no "heading"; expected \[w, x, y, z\]'),
        ("poses/9.json", b'{"heading": [1, 0, 0], "position": [0, 0, 0]}', r"field 'heading': \[1, 0, 0\]"),
        ("poses/9.json", b'{"heading": [1, 0, 0, "0"], "position": [0, 0, 0]}', "field 'heading'"),
        ("poses/9.json", b'{"heading": [1, 0, 0, 0], "position": [0, 0, true]}', "field 'position'"),
        ("poses/9.json", b'{"heading": [1, 1, 0, 0], "position": [0, 0, 0]}', "is not unit"),
        (
            "poses/9.json",
            b'{"heading": [1, 0, 0, 0], "position": [0, 0, 0], "timestamp": "1.5"}',
            "field 'timestamp': '1.5'; expected an integer",
        ),
        ("cameras/left/extrinsics.json", b"{}", 'no "heading"'),
        ("cameras/left/intrinsics.json", b'{"fx": 1, "fy": 1}', "intrinsics lack cx, cy"),
        ("cameras/left/intrinsics.json", b'{"fx": [1, 2], "fy": 1, "cx": 1, "cy": 1}', "fx is .* not a number"),
        ("cameras/left/intrinsics.json", b'{"fx": 0, "fy": 1, "cx": 1, "cy": 1}', "focal lengths"),
    ],
)
def test_a_damaged_pose_or_calibration_is_named(toolkit: Path, name: str, content: bytes, message: str) -> None:
    (toolkit / name).write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        open_scene(toolkit)
    assert name in str(caught.value)


def test_a_poses_file_beside_a_toolkit_folders_own_poses_is_refused(toolkit: Path) -> None:
    with pytest.raises(SceneError, match="has its own poses"):
        open_scene(toolkit, poses=toolkit / "poses.txt")


def test_a_folder_that_cannot_be_listed_is_one_clear_error(toolkit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.listdir", refused)
    with pytest.raises(LidarprepError, match="pointcloud cannot be read: Permission denied"):
        open_scene(toolkit)


def test_a_real_recording_opens_whole(recording: Path) -> None:
    scene = open_scene(recording)
    assert [frame.id for frame in scene] == ["1", "2", "3", "4", "5"]
    assert [camera.name for camera in scene.cameras] == ["back_camera", "front_camera", "front_left_camera"]
    assert len(scene.notes) == 1
    for frame in scene:
        cloud = frame.points()
        assert len(cloud) > 160_000
        assert cloud.positions.dtype == np.float32
        assert set(cloud.columns) == {"intensity"}
        assert len(frame.images) == 3
        assert frame.radar() is not None
