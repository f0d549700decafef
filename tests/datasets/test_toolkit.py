"""The toolkit folder: what is read from it, and what is said of one that does not hang together."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.datasets import open_scene
from lidarprep.errors import FormatError, LidarprepError, SceneError
from lidarprep.pointfiles import write_points
from lidarprep.scene import PointCloud, Pose
from tests.scenes import write_toolkit_scene


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
        "poses: 1 of 4 files there belong to no frame",
        "pointcloud: 1 files there are no point files, such as 11.zip",
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


def test_a_frame_without_a_pose_does_not_keep_the_others_from_opening(toolkit: Path) -> None:
    (toolkit / "poses/9.json").unlink()
    scene = open_scene(toolkit)
    assert [frame.world_from_ego is None for frame in scene] == [False, True, False]
    assert [image.world_from_camera is None for image in scene[1].images] == [True, True]
    assert "1 of 3 frames have no pose in poses/: 9" in scene.notes


def test_points_in_the_world_need_no_pose_and_images_without_one_are_left_out(tmp_path: Path) -> None:
    folder = write_toolkit_scene(tmp_path / "recording")
    (folder / "poses/10.json").unlink()
    scene = open_scene(folder, points_frame="world")
    assert [len(frame.images) for frame in scene] == [2, 0, 2]
    assert not any("/10.jpg" in source.location for source in scene[1].sources)
    (finding,) = scene.findings
    assert (finding.code, finding.severity, finding.found) == ("images-unposed", "warning", 2)
    manifest = lp.prepare(scene, lp.Recipe(points_frame="world"), tmp_path / "out")
    assert [frame.id for frame in manifest.frames] == ["9", "10", "11"]


def test_a_recording_without_any_pose_opens_for_points_in_the_world(toolkit: Path) -> None:
    shutil.rmtree(toolkit / "poses")
    scene = open_scene(toolkit, points_frame="world")
    assert [frame.world_from_ego for frame in scene] == [None, None, None]
    assert "3 of 3 frames have no pose in poses/: 8, 9, 10" in scene.notes


def test_prepare_leaves_out_the_frame_without_a_pose_if_bad_frames_are_skipped(tmp_path: Path) -> None:
    folder = write_toolkit_scene(tmp_path / "recording", cameras=())
    (folder / "poses/10.json").unlink()
    with pytest.raises(SceneError, match="frame 10 has no pose"):
        lp.prepare(open_scene(folder), lp.Recipe(), tmp_path / "out")
    manifest = lp.prepare(open_scene(folder), lp.Recipe(skip_bad_frames=True), tmp_path / "skipped")
    assert [frame.id for frame in manifest.frames] == ["9", "11"]
    assert [frame.id for frame in manifest.skipped] == ["10"]


def test_a_poses_file_is_read_where_the_folder_has_no_poses(toolkit: Path, tmp_path: Path) -> None:
    shutil.rmtree(toolkit / "poses")
    rows = "".join(f"{8 + n} {n} 0 0 0 0 0 1\n" for n in range(3))
    (tmp_path / "given.tum").write_text(rows)
    scene = open_scene(toolkit, poses=tmp_path / "given.tum", time_unit="s", max_pose_gap=2)
    assert not any("without use" in note for note in scene.notes)
    assert [frame.world_from_ego.translation[0] for frame in scene if frame.world_from_ego] == [0, 1, 2]
    assert len(scene.cameras) == 2
    assert not any("ignored" in note for note in scene.notes)


def test_a_folder_without_points_is_named(toolkit: Path) -> None:
    for path in (toolkit / "pointcloud").iterdir():
        path.unlink()
    with pytest.raises(SceneError, match="pointcloud holds no point file"):
        open_scene(toolkit)


DAMAGED_POSES = [
    (b"", "line 1 column 1"),
    (b'{\n"heading": [1, 0', "line 2"),
    (b"\xff", "9.json"),
    (b"[1]", "a JSON list; expected an object"),
    (b'{"position": [0, 0, 0]}', r'no "heading"; expected \[w, x, y, z\]'),
    (b'{"heading": [1, 0, 0], "position": [0, 0, 0]}', r"field 'heading': \[1, 0, 0\]"),
    (b'{"heading": [1, 0, 0, "0"], "position": [0, 0, 0]}', "field 'heading'"),
    (b'{"heading": [1, 0, 0, 0], "position": [0, 0, true]}', "field 'position'"),
    (b'{"heading": [1, 1, 0, 0], "position": [0, 0, 0]}', "is not unit"),
    (
        b'{"heading": [1, 0, 0, 0], "position": [0, 0, 0], "timestamp": "1.5"}',
        "field 'timestamp': '1.5'; expected an integer",
    ),
]


@pytest.mark.parametrize(("content", "message"), DAMAGED_POSES)
def test_a_damaged_pose_is_named_and_the_other_frames_keep_theirs(toolkit: Path, content: bytes, message: str) -> None:
    (toolkit / "poses/9.json").write_bytes(content)
    scene = open_scene(toolkit)
    (finding,) = scene.findings
    assert (finding.code, finding.severity) == ("pose-unreadable", "warning")
    assert finding.subject.name == str(toolkit / "poses/9.json")
    assert re.search(message, finding.message)
    assert [frame.world_from_ego is None for frame in scene] == [False, True, False]


def test_poses_that_are_all_damaged_are_refused(toolkit: Path) -> None:
    for path in (toolkit / "poses").iterdir():
        path.write_text("{}")
    with pytest.raises(FormatError, match=r'8\.json: no "heading"'):
        open_scene(toolkit)


def remove(path: Path) -> None:
    path.unlink()


def fill(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("extrinsics.json", remove, r"camera left has no calibration: .*cameras/left/extrinsics\.json is missing"),
        ("intrinsics.json", remove, r"camera left has no calibration: .*cameras/left/intrinsics\.json is missing"),
        (
            "intrinsics.json",
            lambda path: path.rename(path.with_name("intrinsic.json")),
            r"is missing \(intrinsic\.json is there: is that it\?\)",
        ),
        ("extrinsics.json", fill("{}"), 'no "heading"'),
        ("intrinsics.json", fill('{"fx": 1, "fy": 1}'), "intrinsics lack cx, cy"),
        ("intrinsics.json", fill('{"fx": [1, 2], "fy": 1, "cx": 1, "cy": 1}'), "fx is .* not a number"),
        ("intrinsics.json", fill('{"fx": 0, "fy": 1, "cx": 1, "cy": 1}'), "focal lengths"),
    ],
)
def test_a_camera_without_calibration_is_left_out_or_refused_where_it_is_named(
    toolkit: Path, name: str, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(toolkit / "cameras/left" / name)
    scene = open_scene(toolkit)
    assert [(camera.name, camera.index) for camera in scene.cameras] == [("front", 0)]
    (finding,) = scene.findings
    assert (finding.code, finding.severity, finding.subject.name) == ("camera-left-out", "warning", "left")
    assert re.search(message, finding.message)
    assert open_scene(toolkit, cameras=["front"]).findings == ()
    with pytest.raises(LidarprepError, match=message):
        open_scene(toolkit, cameras=["left"])


def test_the_numbers_of_cameras_do_not_depend_on_which_are_left_out(toolkit: Path) -> None:
    (toolkit / "cameras/front/intrinsics.json").unlink()
    assert [(camera.name, camera.index) for camera in open_scene(toolkit).cameras] == [("left", 1)]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("cameras", "camera"),
        ("cameras", "Cameras_"),
        ("cameras", "images"),
        ("radar_points", "radar"),
        ("radar_points", "radar_point"),
        ("poses", "pose"),
    ],
)
def test_a_folder_with_almost_the_name_of_one_that_is_read_is_a_warning(toolkit: Path, folder: str, name: str) -> None:
    (toolkit / folder).rename(toolkit / name)
    (finding,) = open_scene(toolkit).findings
    assert (finding.code, finding.severity) == ("folder-not-read", "warning")
    assert (finding.found, finding.expected) == (name, folder)
    assert finding.message == f"the folder {name}/ is not read: a toolkit folder has {folder}/ in its place"
    assert finding.cure == f"rename {name} to {folder}, if that is what it is"


def test_a_camera_that_is_asked_for_and_lies_in_a_misnamed_folder_is_explained(toolkit: Path) -> None:
    (toolkit / "cameras").rename(toolkit / "camera")
    with pytest.raises(SceneError, match="no camera 'front'") as caught:
        open_scene(toolkit, cameras=["front"])
    assert str(caught.value).splitlines()[1:] == [
        "the folder camera/ is not read: a toolkit folder has cameras/ in its place; "
        "rename camera to cameras, if that is what it is"
    ]


def test_a_second_folder_of_a_kind_and_unknown_ones_are_only_noted(toolkit: Path) -> None:
    for name in ("camera", "labels", "docs", "empty"):
        (toolkit / name).mkdir()
    for name in ("camera/1.jpg", "labels/1.json", "docs/read.me"):
        (toolkit / name).write_text("")
    scene = open_scene(toolkit)
    (finding,) = scene.findings
    assert finding.severity == "note"
    assert "which is there, too" in finding.message
    assert "folders there that are not read: docs, labels" in scene.notes


def test_folders_that_hold_only_other_files_are_a_warning(toolkit: Path) -> None:
    for n in (8, 9, 10):
        (toolkit / f"radar_points/{n}.txt").rename(toolkit / f"radar_points/{n}.csv")
        (toolkit / f"cameras/left/{n}.jpg").rename(toolkit / f"cameras/{n}.jpg")
    images, radar = open_scene(toolkit).findings
    assert images.message == "3 images in cameras/ itself, such as 10.jpg, are not read"
    assert radar.message == "radar_points/ is not read: its 3 files, such as 10.csv, are none of N.txt"


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
