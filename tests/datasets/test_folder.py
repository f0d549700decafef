"""A plain folder of point files, a single one, their poses file, and how the layout is guessed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.datasets import open_scene
from lidarprep.datasets.filenames import frame_key
from lidarprep.errors import FormatError, LidarprepError, SceneError
from lidarprep.pointfiles import read_points, write_points
from lidarprep.scene import PointCloud, Pose

KITTI = "1 0 0 {x} 0 1 0 2 0 0 1 3\n"
TUM = "{t} {x} 2 3 0 0 0 1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three point files that are no PLY: opening must not read them."""
    path = tmp_path / "drive"
    path.mkdir()
    for name in ("scan_2.ply", "scan_10.ply", "scan_1.ply"):
        (path / name).write_bytes(b"")
    return path


def x_of(scene: object) -> list[float]:
    return [frame.world_from_ego.translation[0] for frame in scene]  # type: ignore[attr-defined]


def test_files_are_in_the_order_of_their_numbers(folder: Path) -> None:
    assert [frame.id for frame in open_scene(folder)] == ["scan_1", "scan_2", "scan_10"]


@given(st.lists(st.integers(0, 10**30), min_size=2, max_size=2), st.integers(0, 3))
def test_names_sort_by_the_value_of_their_numbers(numbers: list[int], padding: int) -> None:
    a, b = numbers
    assert (frame_key(f"s{'0' * padding}{a}_x") < frame_key(f"s{b}_x")) == (a < b)
    assert frame_key(f"{'0' * padding}{a}") == frame_key(str(a))


def test_without_poses_the_frames_have_none_and_it_is_said(folder: Path) -> None:
    scene = open_scene(folder)
    assert scene.layout == "folder"
    assert [frame.world_from_ego for frame in scene] == [None] * 3
    assert scene.notes[0] == "opened as folder: it holds point files, such as scan_1.ply"
    assert "no poses: none of poses.json, poses.csv, poses.txt, poses.tum" in scene.notes[1]
    assert open_scene(folder, points_frame="world").points_frame == "world"


def test_kitti_rows_are_one_a_frame_and_what_they_mean_is_said(folder: Path) -> None:
    (folder / "poses.txt").write_text("".join(KITTI.format(x=x) for x in (1, 2, 10)))
    scene = open_scene(folder)
    assert x_of(scene) == [1, 2, 10]
    assert scene[0].world_from_ego == Pose(np.eye(3), np.array([1.0, 2, 3]))
    assert "read as KITTI, are taken as world from ego" in scene.notes[1]
    assert "camera 0" in scene.notes[1]


def test_tum_rows_have_the_scalar_last_and_exact_nanoseconds(folder: Path) -> None:
    rows = [f"{1_700_000_000 + k}.123456789 {k} 0 0 0 0 {np.sqrt(0.5)} {np.sqrt(0.5)}" for k in range(3)]
    (folder / "poses.tum").write_text("# timestamp tx ty tz qx qy qz qw\n\n" + "\n".join(rows))
    scene = open_scene(folder)
    assert [frame.timestamp for frame in scene] == [1_700_000_000_123_456_789 + k * 10**9 for k in range(3)]
    pose = scene[1].world_from_ego
    assert pose is not None
    assert pose.yaw == pytest.approx(np.pi / 2)


@given(seconds=st.integers(0, 2**33), nanoseconds=st.integers(0, 10**9 - 1))
def test_every_tum_time_is_read_exactly(tmp_path: Path, seconds: int, nanoseconds: int) -> None:
    (tmp_path / "a.ply").write_bytes(b"")
    (tmp_path / "poses.tum").write_text(TUM.format(t=f"{seconds}.{nanoseconds:09}", x=0))
    assert open_scene(tmp_path)[0].timestamp == seconds * 10**9 + nanoseconds


def test_json_poses_are_in_order_or_by_name(folder: Path) -> None:
    poses = [{"heading": [1, 0, 0, 0], "position": [x, 0, 0], "timestamp": x} for x in (1, 2, 10)]
    (folder / "poses.json").write_text(json.dumps(poses))
    assert x_of(open_scene(folder)) == [1, 2, 10]
    by_name = dict(zip(["scan_01", "scan_2", "scan_10", "scan_11"], [*poses, poses[0]], strict=True))
    (folder / "poses.json").write_text(json.dumps(by_name))
    scene = open_scene(folder)
    assert x_of(scene) == [1, 2, 10]
    assert [frame.timestamp for frame in scene] == [1, 2, 10]
    assert "1 poses in poses.json belong to no point file" in scene.notes


def test_the_poses_file_may_be_named_or_stand_in_the_folder_above(folder: Path, tmp_path: Path) -> None:
    (folder.parent / "poses.txt").write_text(KITTI.format(x=7) * 3)
    assert x_of(open_scene(folder)) == [7, 7, 7]
    mine = tmp_path / "mine.csv"
    mine.write_text(KITTI.format(x=8).replace(" ", ",") * 3)
    assert x_of(open_scene(folder, poses=mine)) == [8, 8, 8]


def test_a_count_that_differs_is_refused_with_both_counts(folder: Path) -> None:
    (folder / "poses.txt").write_text(KITTI.format(x=1) * 4)
    with pytest.raises(SceneError, match=r"poses\.txt has 4 poses for 3 point files"):
        open_scene(folder)
    (folder / "poses.json").write_text(json.dumps({"scan_1": {"heading": [1, 0, 0, 0], "position": [0, 0, 0]}}))
    scene = open_scene(folder)
    assert [frame.world_from_ego is None for frame in scene] == [False, True, True]
    assert "2 of 3 frames have no pose: poses.json does not name scan_2.ply, scan_10.ply" in scene.notes
    (folder / "poses.json").write_text(json.dumps({"other": {"heading": [1, 0, 0, 0], "position": [0, 0, 0]}}))
    with pytest.raises(SceneError, match=r"poses\.json has no pose for scan_1\.ply"):
        open_scene(folder)


def test_frames_come_as_recorded_or_sorted_by_time_as_asked(folder: Path) -> None:
    (folder / "poses.txt").write_text("".join(TUM.format(t=t, x=0) for t in (1, 3, 2)))
    assert [frame.id for frame in open_scene(folder)] == ["scan_1", "scan_2", "scan_10"]
    by_time = open_scene(folder, frame_order="time")
    assert [(frame.id, frame.index) for frame in by_time] == [("scan_1", 0), ("scan_10", 1), ("scan_2", 2)]


def test_of_frames_at_one_time_the_first_is_kept_where_they_are_sorted(folder: Path) -> None:
    (folder / "poses.txt").write_text("".join(TUM.format(t=t, x=0) for t in (1, 2, 2)))
    by_time = open_scene(folder, frame_order="time")
    assert [frame.id for frame in by_time] == ["scan_1", "scan_2"]
    assert "1 of 3 frames have the timestamp of an earlier one; they are left out" in by_time.notes


def test_frames_without_timestamps_cannot_be_sorted(folder: Path) -> None:
    (folder / "poses.txt").write_text(KITTI.format(x=1) * 3)
    with pytest.raises(SceneError, match="frame scan_1 has no timestamp"):
        open_scene(folder, frame_order="time")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("poses.txt", "", "no row of numbers"),
        ("poses.txt", "# nothing\n", "no row of numbers"),
        ("poses.txt", "1 2 3\n", r"line 1: 3 values; expected 12 numbers \(KITTI\) or 8 \(TUM\)"),
        ("poses.txt", KITTI.format(x=1) + "1 2 3\n", "line 2: 3 values; expected 12, as in line 1"),
        ("poses.txt", KITTI.format(x="one"), "line 1, column 't1': 'one'; expected a number"),
        ("poses.txt", KITTI.format(x="nan"), "line 1: .*not finite"),
        ("poses.txt", "2" + KITTI.format(x=1)[1:], "line 1: a rotation matrix is not orthonormal"),
        ("poses.txt", "#\n" + TUM.format(t="noon", x=1), "line 2, column 'timestamp_s': 'noon'; expected a time"),
        ("poses.txt", TUM.format(t="nan", x=1), "line 1, column 'timestamp_s': 'nan'; expected a time"),
        ("poses.txt", TUM.format(t="1e999999999", x=1), "line 1, column 'timestamp_s': '1e999999999'; expected a time"),
        ("poses.txt", "1 0 0 0 1 1 0 0\n", "line 1: .*not unit"),
        ("poses.txt", TUM.format(t="1", x=1) + "2 0 0\n", "line 2: 3 values; expected 8"),
        ("poses.json", "3", "a JSON int; expected a list or an object"),
        ("poses.json", "[{}]", 'entry 0: no "heading"'),
        ("poses.json", '[{"heading": 1}]', "entry 0, field 'heading': 1"),
        ("poses.json", '{"a": 1}', "entry 'a': a JSON int"),
        ("poses.json", '{"1": POSE, "01": POSE}', "entry '01': a second pose of one frame"),
    ],
)
def test_a_damaged_poses_file_is_named_with_the_place(folder: Path, name: str, content: str, message: str) -> None:
    pose = '{"heading": [1, 0, 0, 0], "position": [0, 0, 0]}'
    (folder / name).write_text(content.replace("POSE", pose))
    with pytest.raises(FormatError, match=message) as caught:
        open_scene(folder)
    assert name in str(caught.value)


@given(content=st.binary(max_size=120), name=st.sampled_from(["poses.json", "poses.txt"]))
def test_noise_for_poses_is_refused_in_one_way(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / "a.ply").write_bytes(b"")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LidarprepError):
        open_scene(tmp_path, poses=tmp_path / name)


def test_other_files_in_the_folder_are_noted(folder: Path) -> None:
    (folder / "11.zip").write_bytes(b"")
    assert open_scene(folder).notes[-1] == "drive: 1 files there are no point files, such as 11.zip"


@pytest.mark.parametrize("name", ["pose.txt", "Poses_.csv", "odometry.tum", "trajectory.json"])
def test_a_file_with_almost_the_name_of_the_poses_is_a_warning(folder: Path, name: str) -> None:
    (folder.parent / name).write_text("")
    (finding,) = open_scene(folder).findings
    assert (finding.code, finding.severity, finding.found) == ("folder-not-read", "warning", name)
    assert finding.option is not None
    assert finding.option.flag == f"--poses {folder.parent / name}"
    assert open_scene(folder, points_frame="world").findings == ()


def test_folders_of_a_toolkit_recording_beside_the_point_files_are_a_warning(folder: Path) -> None:
    (folder / "camera").mkdir()
    (folder / "poses").mkdir()
    (folder / "maps").mkdir()
    (finding,) = open_scene(folder).findings
    assert finding.message == "camera/, poses/ beside the point files are not read: a plain folder has points only"


def test_other_folders_beside_the_point_files_are_noted(folder: Path) -> None:
    (folder / "maps").mkdir()
    scene = open_scene(folder)
    assert scene.findings == ()
    assert "folders beside the point files are not read: maps" in scene.notes


def test_two_files_of_one_frame_are_named(folder: Path) -> None:
    (folder / "scan_01.pcd").write_bytes(b"")
    with pytest.raises(SceneError, match=r"scan_01\.pcd and .*scan_1\.ply belong to the same frame"):
        open_scene(folder)


def test_a_single_file_is_a_scene_of_one_frame_in_its_own_world(tmp_path: Path) -> None:
    path = tmp_path / "000123.pcd.bin"
    write_points(path, PointCloud(np.ones((2, 3), np.float32)))
    scene = open_scene(str(path))
    assert (scene.layout, scene.points_frame, len(scene), scene[0].id) == ("file", "ego", 1, "000123")
    assert scene[0].world_from_ego == Pose.identity()
    assert scene.notes[0] == "opened as file: its name ends in .pcd.bin"
    assert "the world is the file's own frame" in scene.notes[1]
    np.testing.assert_array_equal(scene[0].points().positions, read_points(path).positions)
    assert open_scene(path, points_frame="world")[0].points().frame == "world"
    (tmp_path / "pose.json").write_text('[{"heading": [1, 0, 0, 0], "position": [5, 0, 0]}]')
    assert x_of(open_scene(path, poses=tmp_path / "pose.json")) == [5]


def test_a_folder_of_one_file_is_in_its_own_world(tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_bytes(b"")
    assert open_scene(tmp_path)[0].world_from_ego == Pose.identity()


def test_nothing_at_the_path_is_said(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="there is no such file or folder"):
        open_scene(tmp_path / "nowhere")


def test_the_list_of_layouts_is_named_when_nothing_fits(tmp_path: Path) -> None:
    (tmp_path / "notes.md").touch()
    for path in (tmp_path, tmp_path / "notes.md"):
        assert refusal(path)[1:] == ["`lidarprep layouts` lists what is known."]


def refusal(path: Path) -> list[str]:
    """The lines of the error for a path that is no recording."""
    with pytest.raises(SceneError, match="is no recording that lidarprep knows") as caught:
        open_scene(path)
    return str(caught.value).splitlines()


def test_what_a_folder_holds_is_said_when_nothing_fits(tmp_path: Path) -> None:
    assert refusal(tmp_path)[0].endswith("knows: it is empty")
    for k in range(7):
        (tmp_path / f"video_{k}.avi").touch()
    (tmp_path / "calibration").mkdir()
    (tmp_path / ".hidden").touch()
    held = "1 folder (calibration) and 7 files (video_0.avi, video_1.avi, video_2.avi, video_3.avi, video_4.avi, …)"
    assert refusal(tmp_path)[0].endswith(f"knows: it holds {held}")


def test_a_recording_one_folder_down_is_offered(folder: Path, toolkit: Path, tmp_path: Path) -> None:
    inner = tmp_path / "archive" / "data"
    (inner / "sequences/00/velodyne").mkdir(parents=True)
    (inner / "sequences/00/calib.txt").touch()
    (inner.parent / "readme.txt").touch()  # which could be a table of points, if somebody named it
    assert refusal(inner.parent)[1:] == [f"Did you mean {inner} (kitti-odometry)?"]
    lines = refusal(tmp_path)
    assert lines[1] == "Did you mean one of these?"
    assert f"  {folder} (folder)" in lines
    assert f"  {toolkit} (toolkit)" in lines
    for k in range(9):
        (tmp_path / f"drive_{k}").mkdir()
        (tmp_path / f"drive_{k}" / "0.ply").touch()
    assert len(refusal(tmp_path)) == 2 + 5 + 1
    assert refusal(tmp_path)[-1] == "  and 6 more"


def test_a_bag_in_a_folder_is_offered(tmp_path: Path) -> None:
    (tmp_path / "drive.bag").write_bytes(b"#ROSBAG V2.0\n")
    (tmp_path / "notes.pdf").touch()
    assert refusal(tmp_path)[1:] == [f"Did you mean {tmp_path / 'drive.bag'} (ros1)?"]


def test_a_yaml_file_is_taken_for_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "my recipe.yaml"
    path.touch()
    assert refusal(path)[1:] == [f"A recipe? lidarprep run '{path}'"]


@pytest.mark.parametrize(
    ("name", "ending"), [("scan.XYZB", "its name ends in .xyzb"), ("scan", "its name has no suffix")]
)
def test_a_file_of_an_unknown_suffix_is_told_those_of_point_files(tmp_path: Path, name: str, ending: str) -> None:
    (tmp_path / name).touch()
    first = refusal(tmp_path / name)[0]
    assert f"knows: {ending}; names of point files end in " in first
    assert {".pcd", ".ply", ".las", ".bin"} <= set(first.split())


def test_a_layout_that_is_asked_for_is_not_guessed(toolkit: Path, folder: Path) -> None:
    assert open_scene(toolkit / "pointcloud", layout="folder").notes[0] == "opened as folder: as asked for"
    for layout, path in (("toolkit", folder), ("file", folder), ("folder", toolkit), ("folder", folder / "scan_1.ply")):
        with pytest.raises(SceneError):
            open_scene(path, layout=layout)
    with pytest.raises(SceneError, match=r"there is no layout 'rosbag'; known are .*attachments, file, folder, "):
        open_scene(folder, layout="rosbag")


def test_a_missing_poses_file_or_an_unknown_frame_is_named(folder: Path) -> None:
    with pytest.raises(SceneError, match=r"mine\.txt cannot be read: No such file"):
        open_scene(folder, poses="mine.txt")
    with pytest.raises(SceneError, match="points_frame is 'sensor'; it is one of ego, world"):
        open_scene(folder, points_frame="sensor")  # type: ignore[arg-type]
