"""KITTI raw: the generated recording comes back, and what is said of a drive that does not hang together."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lidarprep.datasets import kitti_raw, open_scene
from lidarprep.datasets.kitti_raw import EARTH_RADIUS_M
from lidarprep.errors import FormatError, LidarprepError, SceneError
from lidarprep.scene import Pose
from tests.datasets.generated import Recording, generated
from tests.datasets.write_kitti_raw import DATE, write_kitti_raw

DRIVE = f"{DATE}_drive_0001_sync"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return generated(tmp_path_factory.mktemp("generated"), frames=4)


@pytest.fixture(scope="module")
def saved(recorded: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kitti_raw(recorded, tmp_path_factory.mktemp("saved"))


@pytest.fixture
def day(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / DATE))


def test_the_recording_comes_back_in_its_own_world(recorded: Recording, saved: Path) -> None:
    scene = open_scene(saved)
    assert scene.layout == "kitti-raw"
    assert scene.points_frame == "ego"
    assert [lidar.name for lidar in scene.lidars] == ["velodyne"]
    assert len(scene) == len(recorded.frames)
    for frame, truth in zip(scene, recorded.frames, strict=True):
        cloud = frame.points()
        assert frame.timestamp == truth.timestamp
        assert frame.world_from_ego is not None
        # A Mercator projection stretches by what it is off its reference latitude: 1e-7 a metre.
        np.testing.assert_allclose(frame.world_from_ego.apply(cloud.positions), truth.in_world, atol=1e-5)
        assert cloud.intensity is not None
        np.testing.assert_array_equal(cloud.intensity, truth.intensity / np.float32(255))
        assert cloud.device is None


def test_the_camera_is_where_it_was_with_the_size_of_its_images(recorded: Recording, saved: Path) -> None:
    scene = open_scene(saved)
    (camera,), truth = scene.cameras, recorded.cameras[0]
    assert camera.name == "image_02"
    intrinsics = camera.intrinsics
    assert (intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy) == (truth.fx, truth.fy, truth.cx, truth.cy)
    assert (intrinsics.width, intrinsics.height) == (truth.width, truth.height)
    assert camera.ego_from_camera is not None
    np.testing.assert_allclose(camera.ego_from_camera.matrix, truth.ego_from_camera, atol=1e-12)
    for frame, written in zip(scene, recorded.frames, strict=True):
        (image,) = frame.images
        assert image.timestamp == written.timestamp
        assert image.path == saved / DRIVE / "image_02" / "data" / f"{frame.id}.png"
        assert image.world_from_camera is not None
        expected = written.world_from_ego @ truth.ego_from_camera
        np.testing.assert_allclose(image.world_from_camera.matrix, expected, atol=1e-6)


def test_a_projection_matrix_of_kitti_is_taken_apart_as_its_numbers_say(day: Path) -> None:
    """P_rect_02 of 2011_09_26, whose last column has a shift along all three axes."""
    p = "7.215377e+02 0 6.095593e+02 4.485728e+01 0 7.215377e+02 1.728540e+02 2.163791e-01 0 0 1 2.745884e-03"
    edit(day / "calib_cam_to_cam.txt", "P_rect_02: ", f"P_rect_02: {p} ", whole=True)
    (camera,) = open_scene(day).cameras
    matrix = np.array(p.split(), float).reshape(3, 4)
    velodyne = np.array([[12.0, -1.5, 0.3], [25.0, 4.0, -1.0]])
    rectified = camera_0_rectified(day).apply(velodyne)
    pixels = np.column_stack((rectified, np.ones(2))) @ matrix.T
    assert camera.ego_from_camera is not None
    found, _ = camera.intrinsics.project(camera.ego_from_camera.inverse().apply(velodyne))
    np.testing.assert_allclose(found, pixels[:, :2] / pixels[:, 2:], rtol=1e-12)


def camera_0_rectified(day: Path) -> Pose:
    """R_rect_00 · [R | t] of the velodyne, with NumPy alone."""

    def numbers(name: str, line: str) -> np.ndarray:
        text = (day / name).read_text()
        return np.array(text.split(f"{line}:")[1].split("\n")[0].split(), float)

    rectifying = numbers("calib_cam_to_cam.txt", "R_rect_00").reshape(3, 3)
    rotation = numbers("calib_velo_to_cam.txt", "R").reshape(3, 3)
    return Pose(rectifying @ rotation, rectifying @ numbers("calib_velo_to_cam.txt", "T"))


def edit(path: Path, old: str, new: str, *, whole: bool = False) -> None:
    """Replaces text in a file, or the whole lines that begin with it."""
    lines = path.read_text().splitlines()
    assert any(old in line for line in lines)
    lines = [new if whole and line.startswith(old) else line.replace(old, new) for line in lines]
    path.write_text("\n".join(lines) + "\n")


def test_the_world_has_east_north_and_up_as_its_axes(day: Path) -> None:
    """The device leans and heads north-west in its first frame; the world does neither."""
    words = (day / DRIVE / "oxts/data/0000000000.txt").read_text().split()
    words[3:6] = ["0.05", "-0.03", str(np.radians(135))]
    (day / DRIVE / "oxts/data/0000000000.txt").write_text(" ".join(words))
    edit(day / "calib_imu_to_velo.txt", "R: ", "R: 1 0 0 0 1 0 0 0 1", whole=True)
    frame = open_scene(day)[0]
    assert frame.world_from_ego is not None
    np.testing.assert_allclose(frame.world_from_ego.translation, 0, atol=1e-9)
    assert frame.world_from_ego.almost_equals(Pose.from_euler(0.05, -0.03, np.radians(135)), 1e-12)
    assert frame.gps is not None
    assert frame.gps.bearing == pytest.approx(315)
    assert frame.gps.latitude == pytest.approx(float(words[0]), abs=1e-12)
    assert frame.gps.longitude == pytest.approx(float(words[1]), abs=1e-12)


def test_the_device_moves_as_the_mercator_projection_has_it(day: Path) -> None:
    """A step east of 1e-5 degrees is scale · radius · angle; one north a tiny bit more than radius · angle."""
    edit(day / "calib_imu_to_velo.txt", "R: ", "R: 1 0 0 0 1 0 0 0 1", whole=True)
    for k, (latitude, longitude) in enumerate([(49.0, 8.0), (49.0, 8.00001), (49.00001, 8.0), (49.0, 8.0)]):
        row = f"{latitude} {longitude} 100 0 0 0" + " 0" * 24
        (day / DRIVE / f"oxts/data/{k:010d}.txt").write_text(row)
    scene = open_scene(day)
    moved = [frame.world_from_ego.translation for frame in scene if frame.world_from_ego is not None]
    step = EARTH_RADIUS_M * np.radians(1e-5)
    np.testing.assert_allclose(moved[1], [step * np.cos(np.radians(49)), 0, 0], atol=1e-6)
    np.testing.assert_allclose(moved[2], [0, step, 0], atol=1e-6)
    np.testing.assert_allclose(moved[3], 0, atol=1e-9)


def shift_times(path: Path, nanoseconds: int) -> None:
    times = np.array(path.read_text().split("\n")[:-1], dtype="datetime64[ns]") + np.timedelta64(nanoseconds, "ns")
    path.write_text("".join(f"{time}\n".replace("T", " ") for time in times))


def test_poses_are_interpolated_at_the_sweeps_times_and_continued_at_the_ends(
    recorded: Recording, saved: Path, day: Path
) -> None:
    """A synchronised drive's oxts rows are some milliseconds off: here the first sweep is before the first row."""
    shift_times(day / DRIVE / "oxts/timestamps.txt", 20_000_000)
    scene, plain = open_scene(day), open_scene(saved)
    assert any("continued by up to 20.0 ms" in note for note in scene.notes)
    assert scene.trajectory is not None
    assert len(scene.trajectory) == 5
    # The drive is nearly straight: a fifth of a step back from the pose of the row that follows.
    path = [frame.world_from_ego.translation for frame in plain if frame.world_from_ego is not None]
    found = [frame.world_from_ego.translation for frame in scene if frame.world_from_ego is not None]
    for k in range(1, 4):
        expected = path[k] + 0.2 * (path[k - 1] - path[k]) - (path[0] + 0.2 * (path[0] - path[1]))
        np.testing.assert_allclose(found[k], expected, atol=5e-4)
    assert all(len(frame.images) == 1 for frame in scene)


def test_sweeps_far_from_every_row_get_no_pose(day: Path) -> None:
    shift_times(day / DRIVE / "oxts/timestamps.txt", 250_000_000)
    scene = open_scene(day)
    assert [frame.world_from_ego is None for frame in scene] == [True, True, False, False]
    assert any("2 of 4 frames have no pose" in note for note in scene.notes)


def test_missing_sweeps_keep_the_others_with_their_own_times(recorded: Recording, day: Path) -> None:
    """Drive 0009 of 2011_09_26 lacks four of its sweeps: a line of times belongs to the file of its number."""
    (day / DRIVE / "velodyne_points/data/0000000001.bin").unlink()
    scene = open_scene(day)
    assert [frame.id for frame in scene] == ["0000000000", "0000000002", "0000000003"]
    assert [frame.index for frame in scene] == [0, 1, 2]
    assert [frame.timestamp for frame in scene] == [recorded.frames[k].timestamp for k in (0, 2, 3)]
    assert any("1 sweeps have a time and no file, such as 0000000001.bin" in note for note in scene.notes)


def test_a_blank_line_of_times_leaves_its_sweep_without_time_and_pose(day: Path) -> None:
    path = day / DRIVE / "velodyne_points/timestamps.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "", *lines[2:]]) + "\n")
    scene = open_scene(day)
    assert [frame.timestamp is None for frame in scene] == [False, True, False, False]
    assert scene[1].world_from_ego is None
    assert any("1 sweeps have no time, such as 0000000001.bin" in note for note in scene.notes)


def test_rows_out_of_time_order_are_sorted_and_noted(recorded: Recording, day: Path) -> None:
    path = day / DRIVE / "oxts/timestamps.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[2], lines[1], lines[3]]) + "\n")
    scene = open_scene(day)
    assert scene.trajectory is not None
    assert all(a < b for a, b in pairwise(scene.trajectory.timestamps.tolist()))
    assert any("not in time order" in note for note in scene.notes)


def test_without_oxts_frames_have_no_pose_and_it_is_said(day: Path) -> None:
    shutil.rmtree(day / DRIVE / "oxts")
    (day / "calib_imu_to_velo.txt").unlink()
    scene = open_scene(day)
    assert all(frame.world_from_ego is None and frame.gps is None for frame in scene)
    assert all(image.world_from_camera is None for frame in scene for image in frame.images)
    assert any("no oxts rows" in note for note in scene.notes)


def test_one_frame_alone_has_the_pose_of_its_row(day: Path) -> None:
    for folder, suffix in (("velodyne_points", "bin"), ("oxts", "txt"), ("image_02", "png")):
        for k in (1, 2, 3):
            (day / DRIVE / folder / "data" / f"{k:010d}.{suffix}").unlink()
    shift_times(day / DRIVE / "oxts/timestamps.txt", 10_000_000)
    (frame,) = open_scene(day)
    assert frame.world_from_ego is not None
    assert len(frame.images) == 1


def test_images_too_far_in_time_are_left_out_and_noted(day: Path) -> None:
    shift_times(day / DRIVE / "image_02/timestamps.txt", 30_000_000)
    assert all(len(frame.images) == 1 for frame in open_scene(day))
    scene = open_scene(day, image_tolerance=0.01)
    assert not any(frame.images for frame in scene)
    assert any("camera image_02: 4 of 4 frames have no image" in note for note in scene.notes)


def test_a_drive_is_chosen_by_name_or_number(day: Path) -> None:
    shutil.copytree(day / DRIVE, day / f"{DATE}_drive_0017_sync")
    assert kitti_raw.detect(day) is not None
    with pytest.raises(SceneError, match=rf"holds 2 drives\n.*--scene-name NAME: {DRIVE}, .*_0017_sync"):
        open_scene(day)
    for name in (f"{DATE}_drive_0017_sync", "0017", "17"):
        assert open_scene(day, scene=name)[0].images[0].path is not None
        assert "0017" in str(open_scene(day, scene=name)[0].images[0].path)
    with pytest.raises(SceneError, match="no drive '5'"):
        open_scene(day, scene="5")
    assert len(open_scene(day / DRIVE)) == 4
    assert any("ignored: --scene" in note for note in open_scene(day / DRIVE, scene="5").notes)


def test_cameras_and_lidars_are_chosen_by_name(day: Path) -> None:
    shutil.copytree(day / DRIVE / "image_02", day / DRIVE / "image_03")
    assert [camera.name for camera in open_scene(day).cameras] == ["image_02", "image_03"]
    by_name = {camera.name: camera.index for camera in open_scene(day).cameras}
    chosen = open_scene(day, cameras=["image_03"]).cameras
    assert [(camera.name, camera.index) for camera in chosen] == [("image_03", by_name["image_03"])]
    assert by_name["image_03"] > 0
    with pytest.raises(SceneError, match="no camera 'front'"):
        open_scene(day, cameras=["front"])
    assert len(open_scene(day, lidars=["velodyne"])) == 4
    with pytest.raises(SceneError, match="no lidar 'top'"):
        open_scene(day, lidars=["top"])


def test_options_of_no_use_are_refused_or_noted(day: Path) -> None:
    with pytest.raises(SceneError, match="has its own poses"):
        open_scene(day, poses=day / "poses.txt")
    scene = open_scene(day, all_sweeps=True, world_frame="map", points_frame="world")
    assert any("--all-sweeps, --world-frame" in note for note in scene.notes)
    assert scene.points_frame == scene[0].points().frame == "world"


def test_frames_can_be_sent_to_another_process(saved: Path) -> None:
    read_points = pickle.loads(pickle.dumps(open_scene(saved)[0].read_points))
    assert len(read_points()) > 1000


def test_opening_reads_no_points_and_no_images(day: Path) -> None:
    for path in [*day.rglob("*.bin"), *day.rglob("*.png")]:
        path.write_bytes(b"")
    assert len(open_scene(day)) == 4


def test_other_folders_are_not_taken_for_a_drive(tmp_path: Path) -> None:
    (tmp_path / "velodyne_points").mkdir()
    (tmp_path / f"{DATE}_drive_0001_sync").mkdir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file", tmp_path / "nothing"):
        assert kitti_raw.detect(path) is None


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda day: (day / name).write_text(text)


def remove(name: str) -> Callable[[Path], object]:
    return lambda day: (day / name).unlink()


def replaced(name: str, old: str, new: str, *, whole: bool = False) -> Callable[[Path], object]:
    return lambda day: edit(day / name, old, new, whole=whole)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (remove("calib_imu_to_velo.txt"), r"calib_imu_to_velo\.txt is missing"),
        (remove("calib_velo_to_cam.txt"), r"calib_velo_to_cam\.txt is missing"),
        (remove("calib_cam_to_cam.txt"), r"calib_cam_to_cam\.txt is missing"),
        (write("calib_imu_to_velo.txt", ""), "no line 'R:', only nothing"),
        (replaced("calib_imu_to_velo.txt", "R: ", "R: 1 0 0 0 1", whole=True), "line 'R:': 5 numbers; expected 9"),
        (replaced("calib_imu_to_velo.txt", "T: ", "T: 1 nan 0", whole=True), "line 'T:': a number that is not finite"),
        (replaced("calib_imu_to_velo.txt", "T: ", "T: one two three", whole=True), "no line 'T:'"),
        (replaced("calib_velo_to_cam.txt", "R: ", "R: 1 0 0 0 1 0 0 0 -1", whole=True), "mirrors"),
        (replaced("calib_velo_to_cam.txt", "R: ", "R: 2 0 0 0 1 0 0 0 1", whole=True), "not orthonormal"),
        (replaced("calib_cam_to_cam.txt", "S_rect_02: ", "S_rect_03: 1 1", whole=True), "a second line 'S_rect_03:'"),
        (remove(f"{DRIVE}/velodyne_points/timestamps.txt"), "timestamps.txt is missing"),
        (remove(f"{DRIVE}/oxts/timestamps.txt"), "timestamps.txt is missing"),
        (write(f"{DRIVE}/velodyne_points/timestamps.txt", "now\n"), "line 1: 'now'; expected a time such as"),
        (write(f"{DRIVE}/velodyne_points/timestamps.txt", "2011-09-26 25:00:00\n"), "no time"),
        (write(f"{DRIVE}/velodyne_points/timestamps.txt", "9999-09-26 13:00:00\n"), "line 1"),
        (write(f"{DRIVE}/oxts/data/0000000002.txt", "1 2 3"), r"0000000002\.txt: 3 values; expected 30"),
        (write(f"{DRIVE}/oxts/data/0000000002.txt", ""), r"0000000002\.txt: 0 values"),
        (write(f"{DRIVE}/oxts/data/0000000002.txt", "a " * 30), "expected 30 numbers"),
        (write(f"{DRIVE}/oxts/data/0000000002.txt", "nan " * 30), "not finite"),
        (write(f"{DRIVE}/oxts/data/0000000002.txt", "95 8 " + "0 " * 28), "expected degrees"),
        (write(f"{DRIVE}/oxts/data/0000000002.txt", "90 8 " + "0 " * 28), "off the poles"),
    ],
)
def test_a_spoilt_drive_gets_one_clear_error(day: Path, spoil: Callable[[Path], object], said: str) -> None:
    spoil(day)
    with pytest.raises(LidarprepError, match=said):
        open_scene(day)


def test_files_without_a_number_are_noted_and_two_of_one_number_refused(day: Path) -> None:
    data = day / DRIVE / "velodyne_points/data"
    shutil.copy(data / "0000000001.bin", data / "copy.bin")
    assert any("data: 1 files there have no number, such as copy.bin" in note for note in open_scene(day).notes)
    shutil.copy(data / "0000000001.bin", data / "1.bin")
    with pytest.raises(SceneError, match=r"0000000001\.bin and .*1\.bin belong to the same frame"):
        open_scene(day)


def test_a_drive_that_is_not_synchronised_is_told_from_one_that_is(day: Path) -> None:
    for path in day.rglob("*.bin"):
        path.rename(path.with_suffix(".txt"))
    with pytest.raises(SceneError, match=r"holds no sweep 0000000000\.bin\n.*_extract"):
        open_scene(day)


def test_a_cut_sweep_is_an_error_of_its_frame_alone(day: Path) -> None:
    path = day / DRIVE / "velodyne_points/data/0000000001.bin"
    path.write_bytes(path.read_bytes()[:-3])
    scene = open_scene(day)
    assert len(scene[0].points()) > 0
    with pytest.raises(FormatError, match=r"0000000001\.bin"):
        scene[1].points()


def test_the_projection_has_the_scale_of_the_first_row(day: Path) -> None:
    """Metres as they are where the drive began, however far north it goes: the development kit's `latToScale`."""
    rows = sorted((day / DRIVE / "oxts" / "data").iterdir())
    latitudes = []
    for path, latitude in zip(rows, (49.0, 50.0), strict=False):
        words = path.read_text().split()
        path.write_text(" ".join([str(latitude), *words[1:]]))
        latitudes.append(np.radians(latitude))
    first, second, *_ = open_scene(day, max_pose_gap=1e6)
    assert first.world_from_ego is not None
    assert second.world_from_ego is not None
    moved = second.world_from_ego.translation - first.world_from_ego.translation
    south, north = np.log(np.tan(np.pi / 4 + np.array(latitudes) / 2))
    assert moved[1] == pytest.approx(6378137 * np.cos(latitudes[0]) * (north - south), abs=20)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            replaced("calib_cam_to_cam.txt", "P_rect_02: ", "P_rect_02: " + "0 " * 12, whole=True),
            "no projection matrix",
        ),
        (replaced("calib_cam_to_cam.txt", "P_rect_02:", "P_02:"), "no line 'P_rect_02:'"),
        (remove(f"{DRIVE}/image_02/timestamps.txt"), "timestamps.txt is missing"),
    ],
)
def test_a_camera_without_calibration_or_times_is_left_out_or_refused_where_it_is_named(
    day: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(day)
    scene = open_scene(day)
    assert scene.cameras == ()
    (finding,) = scene.findings
    assert (finding.code, finding.subject.name) == ("camera-left-out", "image_02")
    assert said in finding.message
    with pytest.raises(LidarprepError, match=said):
        open_scene(day, cameras=["image_02"])


def test_a_misnamed_folder_of_images_is_a_warning(day: Path) -> None:
    (day / DRIVE / "image_02").rename(day / DRIVE / "image_2")
    (finding,) = open_scene(day).findings
    assert (finding.code, finding.found, finding.expected) == ("folder-not-read", "image_2", "image_02")


def test_images_that_belong_to_no_sweep_are_counted(day: Path) -> None:
    sweeps = sorted((day / DRIVE / "velodyne_points/data").iterdir())
    sweeps[-1].unlink()
    assert f"camera image_02: 1 of {len(sweeps)} images belong to no frame" in open_scene(day).notes
