"""Plain folders whose poses are matched by name, by time or in order; and several lidars side by side."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lidarprep.datasets import open_scene
from lidarprep.datasets.filenames import times_in_names
from lidarprep.datasets.pose_files import read_poses
from lidarprep.errors import FormatError, LidarprepError, SceneError
from lidarprep.pointfiles import write_points
from lidarprep.scene import PointCloud, Pose, Scene
from tests.datasets.generated import Recording, generated
from tests.datasets.write_folder import (
    write_folder_csv,
    write_folder_json,
    write_folder_kitti_poses,
    write_folder_tum,
    write_ply,
    write_toolkit,
    write_toolkit_lidars,
)

T0 = 1_700_000_000_123_456_789


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return generated(tmp_path_factory.mktemp("generated") / "recording")


def require_same(scene: Scene, recording: Recording) -> None:
    assert [frame.timestamp for frame in scene] == [frame.timestamp for frame in recording.frames]
    for found, expected in zip(scene, recording.frames, strict=True):
        assert found.world_from_ego is not None
        np.testing.assert_allclose(found.world_from_ego.matrix, expected.world_from_ego, atol=1e-9)
        points = found.points()
        np.testing.assert_allclose(found.world_from_ego.apply(points.positions), expected.in_world, atol=1e-5)
        assert points.intensity is not None
        np.testing.assert_array_equal(points.intensity, expected.intensity)


@pytest.mark.parametrize(
    ("write", "how"),
    [
        (write_folder_kitti_poses, "read as KITTI, are taken as world from ego and matched in order"),
        (write_folder_tum, "read as TUM, are taken as world from ego and matched by time"),
        (write_folder_json, "read as JSON, are taken as world from ego and matched by name"),
        (write_folder_csv, "read as CSV, are taken as world from ego and matched by time"),
    ],
)
def test_the_same_recording_is_read_whatever_its_poses_are_written_as(
    made: Recording, tmp_path: Path, write: Callable[[Recording, Path], Path], how: str
) -> None:
    scene = open_scene(write(made, tmp_path / "drive"))
    require_same(scene, made)
    assert scene.layout == "folder"
    assert how in scene.notes[1]


def test_a_toolkit_folder_gives_points_cameras_and_radar(made: Recording, tmp_path: Path) -> None:
    scene = open_scene(write_toolkit(made, tmp_path / "scene"))
    require_same(scene, made)
    for found, expected in zip(scene, made.frames, strict=True):
        radar = found.radar()
        assert radar is not None
        np.testing.assert_array_equal(radar.positions, expected.radar[:, :3])
        assert [image.camera.name for image in found.images] == [camera.name for camera in made.cameras]
        for image, camera in zip(found.images, made.cameras, strict=True):
            assert image.path is not None
            assert image.path.read_bytes() == expected.pictures[camera.name]
            assert image.world_from_camera is not None
            pose = expected.world_from_ego @ camera.ego_from_camera
            np.testing.assert_allclose(image.world_from_camera.matrix, pose, atol=1e-9)


# ---- several lidars ------------------------------------------------------------------------------------------------


def test_two_lidars_become_one_cloud_in_ego_with_device_ids_in_the_order_of_their_names(
    made: Recording, tmp_path: Path
) -> None:
    scene = open_scene(write_toolkit_lidars(made, tmp_path / "scene"))
    assert [(lidar.name, lidar.index) for lidar in scene.lidars] == [("roof", 0), ("side", 1)]
    assert scene.points_frame == "ego"
    for found, expected in zip(scene, made.frames, strict=True):
        points = found.points()
        count = len(expected.positions)
        assert points.frame == "ego"
        assert points.device is not None
        np.testing.assert_array_equal(points.device, np.repeat([0, 1], [(count + 1) // 2, count // 2]))
        # Float32 in the lidar's frame and once more in ego.
        halves = np.concatenate((expected.positions[::2], expected.positions[1::2]))
        np.testing.assert_allclose(points.positions, halves, atol=3e-5)
        assert len(found.images) == len(made.cameras)


def test_one_of_several_lidars_is_chosen_by_name_and_keeps_its_number(made: Recording, tmp_path: Path) -> None:
    folder = write_toolkit_lidars(made, tmp_path / "scene")
    scene = open_scene(folder, lidars=["side"])
    assert [(lidar.name, lidar.index) for lidar in scene.lidars] == [("side", 1)]
    assert len(scene[0].points()) == len(made.frames[0].positions) // 2
    assert scene[0].points().device is None
    with pytest.raises(SceneError, match="no lidar 'front'"):
        open_scene(folder, lidars=["front"])


@pytest.fixture
def two_lidars(tmp_path: Path) -> Path:
    """A plain folder of two lidars with sweeps named by time, and poses; the second is late, and faster."""
    root = tmp_path / "drive"
    for name, times in (("a", [0, 100, 200]), ("b", [10, 60, 110, 160, 270])):
        (root / "lidars" / name).mkdir(parents=True)
        pose = {"heading": [1, 0, 0, 0], "position": [0, 0, 1 if name == "a" else 2]}
        (root / "lidars" / name / "extrinsics.json").write_text(json.dumps(pose))
        for time in times:
            cloud = PointCloud(np.full((2, 3), time, np.float32))
            write_points(root / "lidars" / name / f"{T0 // 10**6 + time}.pcd", cloud)
    rows = [f"{(T0 // 10**6 + k) * 10**6},{k},0,0,1,0,0,0" for k in range(0, 300, 20)]
    (root / "poses.csv").write_text("timestamp_ns,tx,ty,tz,qw,qx,qy,qz\n" + "\n".join(rows))
    return root


def test_sweeps_named_by_time_belong_to_the_first_lidars_nearest(two_lidars: Path) -> None:
    scene = open_scene(two_lidars, image_tolerance=0.02)
    assert scene.layout == "folder"
    assert [frame.timestamp for frame in scene] == [(T0 // 10**6 + k) * 10**6 for k in (0, 100, 200)]
    # The device is at x = the time in ms: what b sees 10 ms later is moved by as many metres.
    assert [frame.points().positions[:, 0].tolist() for frame in scene] == [
        [0, 0, 10 + 10, 10 + 10],
        [100, 100, 110 + 10, 110 + 10],
        [200] * 2,
    ]
    np.testing.assert_array_equal(scene[1].points().positions[:, 2], [101, 101, 112, 112])
    assert "lidar b: 1 of 3 frames have no sweep of it within 0.02 s (--image-tolerance)" in scene.notes
    assert "lidar b: 3 of 5 sweeps belong to no frame within 0.02 s (--image-tolerance)" in scene.notes
    assert scene[1].world_from_ego == Pose(np.eye(3), np.array([100.0, 0, 0]))


def test_a_sweep_is_never_given_to_two_frames(two_lidars: Path) -> None:
    for name in (60, 110, 160, 270):
        (two_lidars / f"lidars/b/{T0 // 10**6 + name}.pcd").unlink()
    counts = [len(frame.points()) for frame in open_scene(two_lidars, image_tolerance=1.0)]
    assert counts == [4, 2, 2]


def test_device_ids_of_a_lidars_own_give_way_and_are_named(two_lidars: Path) -> None:
    cloud = PointCloud(np.zeros((2, 3), np.float32), device=np.array([7, 8], np.uint32))
    write_points(two_lidars / f"lidars/b/{T0 // 10**6 + 10}.pcd", cloud)
    points = open_scene(two_lidars, image_tolerance=0.02)[0].points()
    assert points.device is not None
    assert points.device.tolist() == [0, 0, 1, 1]
    assert "device" in points.ignored_fields
    alone = open_scene(two_lidars, lidars=["b"])[0].points()
    assert alone.device is not None
    assert alone.device.tolist() == [7, 8]


def test_points_in_the_world_are_not_moved_by_extrinsics(two_lidars: Path) -> None:
    scene = open_scene(two_lidars, points_frame="world", image_tolerance=0.02)
    np.testing.assert_array_equal(scene[1].points().positions[:, 2], [100, 100, 110, 110])
    assert scene[1].points().frame == "world"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda root: (root / "lidars/b/extrinsics.json").unlink(), "lidar b has no extrinsics"),
        (lambda root: (root / "lidars/b/extrinsics.json").write_text("[]"), "extrinsics.json: a JSON list"),
        (lambda root: (root / "lidars/c").mkdir(), "lidar c has no point file"),
        (
            lambda root: shutil.copytree(root / "lidars/a", root / "lidars/c") and (root / "lidars/c/7.ply").touch(),
            "named by their times",
        ),
    ],
)
def test_lidars_that_do_not_hang_together_are_named(
    two_lidars: Path, harm: Callable[[Path], object], message: str
) -> None:
    harm(two_lidars)
    with pytest.raises(LidarprepError, match=message):
        open_scene(two_lidars)


# ---- times in names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stem", "time"),
    [
        (str(T0), T0),
        (f"lidar_{T0}", T0),
        (str(T0 // 1000), T0 // 1000 * 1000),
        (str(T0 // 10**6), T0 // 10**6 * 10**6),
        ("1700000000.5", 1_700_000_000_500_000_000),
        ("1700000000.123456789", T0),
        ("os1-1700000000_123456789", T0),
        ("000123", None),
        ("0000000000042", None),
        ("frame_0000000000000042", None),
        ("0000000000000000042", None),
        ("1700000000", None),
        ("17000000001234567890", None),
        ("9999999999999999999", None),
        ("1700000000_5", None),
        ("scan1700000000123456789", None),
        ("", None),
    ],
)
def test_a_time_is_read_from_a_name_exactly(stem: str, time: int | None) -> None:
    assert times_in_names([stem]) == (None if time is None else [time])


def test_names_of_different_kinds_are_no_times() -> None:
    assert times_in_names([str(T0), str(T0 // 1000)]) is None
    assert times_in_names([f"a_{T0}", f"b_{T0}"]) is None


@given(st.lists(st.integers(0, 10**9 - 1), min_size=2, max_size=6, unique=True))
@settings(max_examples=20)
def test_files_with_seconds_of_any_length_are_in_time_order(
    tmp_path_factory: pytest.TempPathFactory, fractions: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("drive")
    for fraction in fractions:
        digits = f"{fraction:09}".rstrip("0") or "0"
        (folder / f"1700000000.{digits}.ply").touch()
    times = [frame.timestamp for frame in open_scene(folder)]
    assert times == [1_700_000_000 * 10**9 + fraction for fraction in sorted(fractions)]


def test_two_files_of_one_time_are_named(tmp_path: Path) -> None:
    for name in ("1700000000.5.ply", "1700000000.50.ply"):
        (tmp_path / name).touch()
    with pytest.raises(SceneError, match="belong to the same frame"):
        open_scene(tmp_path)


# ---- matching ------------------------------------------------------------------------------------------------------


def named_by_time(folder: Path, seconds: list[float]) -> Path:
    folder.mkdir()
    for second in seconds:
        (folder / f"{T0 + round(second * 1e9)}.ply").touch()
    return folder


def tum(rows: list[tuple[float, float]]) -> str:
    """Rows (seconds after T0, x)."""
    return "".join(
        f"{(T0 + round(s * 1e9)) // 10**9}.{(T0 + round(s * 1e9)) % 10**9:09} {x} 0 0 0 0 0 1\n" for s, x in rows
    )


def test_poses_are_interpolated_at_the_time_of_a_frame(tmp_path: Path) -> None:
    folder = named_by_time(tmp_path / "drive", [0.25, 1.5])
    (folder / "poses.tum").write_text(tum([(0, 0), (1, 4), (2, 8)]))
    scene = open_scene(folder)
    assert [frame.world_from_ego.translation[0] for frame in scene if frame.world_from_ego] == pytest.approx([1, 6])
    assert scene.trajectory is not None
    assert len(scene.trajectory) == 3


def test_a_frame_beyond_the_poses_or_in_a_gap_has_none_and_it_is_said(tmp_path: Path) -> None:
    folder = named_by_time(tmp_path / "drive", [-1, 0.5, 2.5, 9])
    (folder / "poses.tum").write_text(tum([(0, 0), (1, 4), (4, 8)]))
    scene = open_scene(folder)
    assert [frame.world_from_ego is None for frame in scene] == [True, False, True, True]
    assert any(note.startswith("3 of 4 frames have no pose") for note in scene.notes)
    assert open_scene(folder, max_pose_gap=5)[2].world_from_ego is not None


def test_poses_of_another_clock_are_refused_with_both_spans(tmp_path: Path) -> None:
    folder = named_by_time(tmp_path / "drive", [0, 1])
    (folder / "poses.tum").write_text("1.5 0 0 0 0 0 0 1\n2.5 0 0 0 0 0 0 1\n")
    with pytest.raises(SceneError, match=rf"files are from {T0} to .* from 1500000000 to 2500000000 ns") as caught:
        open_scene(folder)
    assert "same clock" in str(caught.value)


def test_poses_out_of_order_or_doubled_are_sorted_out_and_noted(tmp_path: Path) -> None:
    folder = named_by_time(tmp_path / "drive", [0.5])
    (folder / "poses.tum").write_text(tum([(1, 4), (0, 0), (1, 77)]))
    scene = open_scene(folder)
    assert scene[0].world_from_ego is not None
    assert scene[0].world_from_ego.translation[0] == pytest.approx(2)
    assert "the poses in poses.tum are not in time order; they are sorted" in scene.notes
    assert "1 poses in poses.tum have the time of an earlier one; they are left out" in scene.notes


def test_names_that_name_no_frame_give_way_to_times(tmp_path: Path) -> None:
    folder = named_by_time(tmp_path / "drive", [0.5])
    (folder / "poses.csv").write_text(
        f"index,timestamp,x,y,z,qw,qx,qy,qz\n0,{T0},0,0,0,1,0,0,0\n1,{T0 + 10**9},4,0,0,1,0,0,0\n"
    )
    scene = open_scene(folder)
    assert scene[0].world_from_ego is not None
    assert scene[0].world_from_ego.translation[0] == pytest.approx(2)
    assert "matched by time" in scene.notes[1]


def test_one_name_in_every_row_gives_way_to_times_unless_it_is_a_frames(tmp_path: Path) -> None:
    folder = named_by_time(tmp_path / "drive", [0.5])
    rows = f"{{0}},{T0},0,0,0,1,0,0,0\n{{0}},{T0 + 10**9},4,0,0,1,0,0,0\n"
    (folder / "poses.csv").write_text("frame,timestamp,x,y,z,qw,qx,qy,qz\n" + rows.format("map"))
    (frame,) = open_scene(folder)
    assert frame.world_from_ego is not None
    assert frame.world_from_ego.translation[0] == pytest.approx(2)
    (folder / "poses.csv").write_text("frame,timestamp,x,y,z,qw,qx,qy,qz\n" + rows.format(T0 + 5 * 10**8))
    with pytest.raises(FormatError, match="line 3: a second pose of one frame"):
        open_scene(folder)


def test_a_tolerance_in_time_is_said_to_be_of_no_use_where_nothing_is_matched_by_it(
    made: Recording, two_lidars: Path, tmp_path: Path
) -> None:
    note = "without use for this layout, and so ignored: --image-tolerance"
    assert note in open_scene(named_by_time(tmp_path / "alone", [0.5]), image_tolerance=0.02).notes
    assert note in open_scene(write_toolkit(made, tmp_path / "toolkit"), image_tolerance=0.02).notes
    assert note not in open_scene(two_lidars, image_tolerance=0.02).notes


def test_frames_have_the_times_of_their_names_without_poses_too(tmp_path: Path) -> None:
    scene = open_scene(named_by_time(tmp_path / "drive", [0, 1]))
    assert [frame.timestamp for frame in scene] == [T0, T0 + 10**9]


def test_a_single_file_finds_its_pose_by_name_or_by_time(tmp_path: Path) -> None:
    folder = named_by_time(tmp_path / "drive", [0.5])
    (tmp_path / "all.csv").write_text(tum([(0, 0), (1, 4)]))
    scene = open_scene(folder / f"{T0 + 5 * 10**8}.ply", poses=tmp_path / "all.csv")
    assert scene[0].world_from_ego is not None
    assert scene[0].world_from_ego.translation[0] == pytest.approx(2)
    (folder / "scan.ply").touch()
    (tmp_path / "named.csv").write_text("file,x,y,z,qw,qx,qy,qz\na/other.ply,1,0,0,1,0,0,0\nb/scan.ply,7,0,0,1,0,0,0\n")
    scene = open_scene(folder / "scan.ply", poses=tmp_path / "named.csv")
    assert scene[0].world_from_ego is not None
    assert scene[0].world_from_ego.translation[0] == 7


# ---- CSV -----------------------------------------------------------------------------------------------------------

IN_WORDS = [
    "timestamp,x,y,z,qw,qx,qy,qz",
    "timestamp_ns,tx,ty,tz,qw,qx,qy,qz",
    "time;px;py;pz;q_w;q_x;q_y;q_z",
    "Stamp\tposition_x\tposition_y\tposition_z\torientation_w\torientation_x\torientation_y\torientation_z",
    "t,pos.x,pos.y,pos.z,w,x,y,z",
    "#timestamp [ns],p_x [m],p_y [m],p_z [m],q_w [],q_x [],q_y [],q_z []",
    "time_ns translation_x translation_y translation_z rotation_w rotation_x rotation_y rotation_z",
    "header.stamp,pose.position.x,pose.position.y,pose.position.z,pose.orientation.w,pose.orientation.x,"
    "pose.orientation.y,pose.orientation.z",
]


@pytest.mark.parametrize("header", IN_WORDS)
def test_columns_are_found_by_many_names(tmp_path: Path, header: str) -> None:
    delimiter = next((mark for mark in ",;\t" if mark in header), " ")
    path = tmp_path / "poses.csv"
    path.write_text(f"{header}\n" + delimiter.join([str(T0), "1", "2", "3", "0.5", "-0.5", "0.5", "-0.5"]) + "\n")
    table = read_poses(path)
    assert table.kind == "CSV"
    assert table.timestamps == [T0]
    np.testing.assert_array_equal(table.translations, [[1, 2, 3]])
    np.testing.assert_array_equal(table.quaternions, [[0.5, -0.5, 0.5, -0.5]])


def test_columns_of_seconds_and_nanoseconds_make_one_time(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    header = "header.stamp.secs,header.stamp.nsecs,x,y,z,qx,qy,qz,qw"
    path.write_text(f"{header}\n1700000000,123456789,0,0,0,0,0,0,1\n1700000001,5,0,0,0,0,0,0,1\n")
    assert read_poses(path).timestamps == [T0, 1_700_000_001_000_000_005]


@pytest.mark.parametrize(("suffix", "factor"), [("", 1), ("_rad", 1), ("_deg", 180 / np.pi)])
def test_angles_are_radians_unless_they_are_named_degrees(tmp_path: Path, suffix: str, factor: float) -> None:
    angles = np.array([0.1, -0.2, 2.5])
    columns = ",".join(f"{name}{suffix}" for name in ("roll", "pitch", "yaw"))
    path = tmp_path / "poses.csv"
    path.write_text(f"x,y,z,{columns}\n1,2,3," + ",".join(map(repr, (angles * factor).tolist())) + "\n")
    expected = Rotation.from_euler("xyz", angles).as_matrix()
    np.testing.assert_allclose(read_poses(path).pose(0).rotation, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("timestamp", "1700000000.123456789", T0),
        ("timestamp", str(T0), T0),
        ("timestamp", "1700000000123", 1_700_000_000_123_000_000),
        ("timestamp_us", "1700000000123456", 1_700_000_000_123_456_000),
        ("time_s", "1700000000", 1_700_000_000 * 10**9),
        ("seconds", "1700000000.5", 1_700_000_000_500_000_000),
        ("timestamp_ns", "1.5e18", 15 * 10**17),
    ],
)
def test_times_are_read_without_rounding(tmp_path: Path, column: str, value: str, expected: int) -> None:
    path = tmp_path / "poses.csv"
    path.write_text(f"{column},x,y,z,qw,qx,qy,qz\n{value},0,0,0,1,0,0,0\n")
    table = read_poses(path)
    assert table.timestamps == [expected]
    has_unit = column not in ("timestamp",)
    assert bool(table.notes) != has_unit


@given(st.integers(0, 2**63 - 1))
@settings(max_examples=50)
def test_every_time_in_nanoseconds_is_exact(tmp_path: Path, time: int) -> None:
    path = tmp_path / "poses.csv"
    path.write_text(f"timestamp_ns,x,y,z,qw,qx,qy,qz\n{time},0,0,0,1,0,0,0\n")
    assert read_poses(path).timestamps == [time]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y,z,qw,qx,qy,qz\n", "a header without a row"),
        ("x,y,z\n1,2,3\n", "line 1: no columns for a rotation among x, y, z"),
        ("x,y,qw,qx,qy,qz\n1,2,1,0,0,0\n", "line 1: no columns for a position"),
        ("x,x,y,z,qw,qx,qy,qz\n1,1,2,3,1,0,0,0\n", "no columns for a position among x, x"),
        ("x,y,z,roll,pitch\n1,2,3,0,0\n", "no columns for a rotation"),
        ("x,y,z,qw,qx,qy,qz\n1,2,3,1,0,0\n", "line 2: 6 values; expected 7, as in line 1"),
        ("x,y,z,qw,qx,qy,qz\n\n1,2,east,1,0,0,0\n", "line 3, column 'z': 'east'; expected a number"),
        ("x,y,z,qw,qx,qy,qz\n1,2,nan,1,0,0,0\n", "line 2: .*not finite"),
        ("x,y,z,qw,qx,qy,qz\n1,2,3,2,0,0,0\n", "line 2: .*not unit"),
        ("x,y,z,qw,qx,qy,qz\n1,2,3,inf,0,0,0\n", "line 2: .*not unit"),
        ("x,y,z,roll,pitch,yaw\n1,2,3,0,nan,0\n", "line 2: an angle that is not finite"),
        ("t,x,y,z,qw,qx,qy,qz\nnoon,1,2,3,1,0,0,0\n", "line 2, column 't': 'noon'; expected a number"),
        ("t,x,y,z,qw,qx,qy,qz\nnan,1,2,3,1,0,0,0\n", "line 2, column 't': 'nan'; expected a time"),
        ("t_s,x,y,z,qw,qx,qy,qz\n1e300,1,2,3,1,0,0,0\n", "line 2, column 't_s': '1e300'; expected a time"),
        ("t_s,x,y,z,qw,qx,qy,qz\n1e999999999,1,2,3,1,0,0,0\n", "column 't_s'"),
        ("secs,nsecs,x,y,z,qw,qx,qy,qz\n1.5,7,1,2,3,1,0,0,0\n", "column 'secs': '1.5'; expected a whole number"),
        ("secs,nsecs,x,y,z,qw,qx,qy,qz\n9223372036,7,1,2,3,1,0,0,0\n", "column 'secs': '9223372036'"),
        ('x,y,z,qw,qx,qy,qz\n1,2,"3\n4",1,0,0,0\n', "over several lines|values"),
        ("id,x,y,z,qw,qx,qy,qz\n1,1,2,3,1,0,0,0\n01,1,2,3,1,0,0,0\n", "line 3: a second pose of one frame"),
    ],
)
def test_a_damaged_csv_is_named_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.ply").touch()
    (tmp_path / "poses.csv").write_text(text)
    with pytest.raises(FormatError, match=message) as caught:
        open_scene(tmp_path)
    assert "poses.csv" in str(caught.value)


@pytest.mark.parametrize("text", ["# " + "x" * 200_000 + ",y,z\n1 2 3\n", 'x,y,z",' + "w" * 200_000 + "\nx,y,z\n"])
def test_a_header_without_end_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "poses.csv"
    path.write_text(text)
    with pytest.raises(FormatError, match=r"poses\.csv"):
        read_poses(path)


@given(st.text(alphabet='xyzqw,;\t\n"#.0123456789e-+ntime', max_size=200))
@settings(max_examples=150)
def test_noise_under_a_header_is_one_clear_error_or_poses(tmp_path: Path, rows: str) -> None:
    path = tmp_path / "poses.csv"
    path.write_text("t,x,y,z,qw,qx,qy,qz\n" + rows, newline="")
    try:
        table = read_poses(path)
    except LidarprepError:
        return
    assert len(table) >= 1


def test_a_table_of_poses_is_not_taken_for_points(tmp_path: Path) -> None:
    write_ply(tmp_path / "1.ply", np.ones((2, 3), np.float32), np.ones(2, np.float32))
    (tmp_path / "poses.csv").write_text("x,y,z,qw,qx,qy,qz\n1,2,3,1,0,0,0\n")
    scene = open_scene(tmp_path)
    assert [frame.id for frame in scene] == ["1"]
    assert scene[0].world_from_ego == Pose(np.eye(3), np.array([1.0, 2, 3]))


def test_a_table_of_poses_that_is_named_is_not_taken_for_points_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "drive"
    folder.mkdir()
    (folder / "1.csv").write_text("x,y,z\n1,2,3\n")
    (folder / "way.csv").write_text("x,y,z,qw,qx,qy,qz\n1,2,3,1,0,0,0\n")
    monkeypatch.chdir(folder)
    assert [frame.id for frame in open_scene(folder, poses="way.csv")] == ["1"]


def test_a_header_that_is_a_comment_says_the_order_of_eight_columns(tmp_path: Path) -> None:
    path = tmp_path / "poses.txt"
    row = f"{T0},1,2,3,0.5,-0.5,0.5,-0.5\n"
    path.write_text("#timestamp_ns,tx,ty,tz,qw,qx,qy,qz\n" + row)  # which without it would be TUM's
    table = read_poses(path)
    np.testing.assert_array_equal(table.quaternions, [[0.5, -0.5, 0.5, -0.5]])
    assert table.timestamps == [T0]
    path.write_text("# timestamp tx ty tz qx qy qz qw\n" + row.replace(str(T0), "1700000000"))
    table = read_poses(path)
    assert (table.kind, table.timestamps) == ("TUM", [1_700_000_000 * 10**9])
    np.testing.assert_array_equal(table.quaternions, [[-0.5, 0.5, -0.5, 0.5]])


def test_toolkit_frames_may_be_named_by_their_times(made: Recording, tmp_path: Path) -> None:
    folder = write_toolkit(made, tmp_path / "scene")
    for path in sorted(folder.rglob("[0-9].*")):
        path.rename(path.with_stem(f"{made.frames[int(path.stem) - 1].timestamp // 1000}"))
    for path in (folder / "poses").iterdir():
        pose = json.loads(path.read_text())
        del pose["timestamp"]
        path.write_text(json.dumps(pose))
    scene = open_scene(folder)
    require_same(scene, made)
    assert all(len(frame.images) == len(made.cameras) for frame in scene)


def test_lidars_beside_point_files_are_noted(made: Recording, tmp_path: Path) -> None:
    folder = write_toolkit_lidars(made, tmp_path / "scene")
    (folder / "pointcloud").mkdir()
    for name in (1, 2, 3):
        (folder / f"pointcloud/{name}.ply").touch()
    scene = open_scene(folder)
    assert scene.lidars == ()
    (finding,) = scene.findings
    assert finding.severity == "note"
    assert finding.message == "the folder lidars/ is not read: a toolkit folder has pointcloud/, which is there, too"


def test_a_time_beyond_int64_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.ply").touch()
    pose = {"heading": [1, 0, 0, 0], "position": [0, 0, 0], "timestamp": 2**63}
    (tmp_path / "poses.json").write_text(json.dumps({"a": pose}))
    with pytest.raises(FormatError, match="entry 'a', field 'timestamp'"):
        open_scene(tmp_path)


def test_some_json_poses_with_times_and_some_without_are_refused(tmp_path: Path) -> None:
    pose = {"heading": [1, 0, 0, 0], "position": [0, 0, 0]}
    (tmp_path / "a.ply").touch()
    (tmp_path / "poses.json").write_text(json.dumps([pose, {**pose, "timestamp": 5}]))
    with pytest.raises(FormatError, match="entry 0: no timestamp, where others have one"):
        open_scene(tmp_path)
