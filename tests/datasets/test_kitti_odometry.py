"""KITTI odometry: the generated recording comes back, and what is said of a sequence that does not hang together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lidarprep.datasets import kitti_odometry, open_scene
from lidarprep.errors import FormatError, LidarprepError, SceneError
from lidarprep.scene import Pose
from tests.datasets.generated import Recording
from tests.datasets.write_kitti_odometry import write_kitti_odometry


@pytest.fixture(scope="module")
def saved(recorded: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kitti_odometry(recorded, tmp_path_factory.mktemp("saved"))


@pytest.fixture
def dataset(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "dataset"))


@pytest.mark.parametrize("place", ["", "sequences", "sequences/00"])
def test_the_recording_comes_back_in_its_own_world(recorded: Recording, saved: Path, place: str) -> None:
    """The world is the Velodyne's in the first frame, which the recording starts from; z is up."""
    scene = open_scene(saved / place)
    assert scene.layout == "kitti-odometry"
    assert [lidar.name for lidar in scene.lidars] == ["velodyne"]
    truth, first = recorded.cameras[0], recorded.frames[0].timestamp
    for frame, written in zip(scene, recorded.frames, strict=True):
        cloud = frame.points()
        assert frame.world_from_ego is not None
        assert frame.timestamp == written.timestamp - first
        np.testing.assert_allclose(frame.world_from_ego.apply(cloud.positions), written.in_world, atol=1e-9)
        (image,) = frame.images
        assert image.world_from_camera is not None
        expected = written.world_from_ego @ truth.ego_from_camera
        np.testing.assert_allclose(image.world_from_camera.matrix, expected, atol=1e-12)
        assert image.timestamp == frame.timestamp
        assert image.path == saved / "sequences/00/image_2" / f"{frame.id}.png"
    assert scene.cameras[0].intrinsics.fx == truth.fx
    assert scene.trajectory is not None
    assert scene.trajectory.timestamps.tolist() == [frame.timestamp for frame in scene]
    assert any("count from the beginning of the sequence" in note for note in scene.notes)


def test_pixels_are_those_of_the_projection_matrix(recorded: Recording, saved: Path) -> None:
    """P2 · Tr applied with NumPy, against the scene's camera."""
    lines = dict(line.split(": ") for line in (saved / "sequences/00/calib.txt").read_text().splitlines())
    p, tr = (np.array(lines[name].split(), float).reshape(3, 4) for name in ("P2", "Tr"))
    points = recorded.frames[0].positions.astype(np.float64)
    pixels = np.column_stack((np.column_stack((points, np.ones(len(points)))) @ tr.T, np.ones(len(points)))) @ p.T
    camera = open_scene(saved).cameras[0]
    assert camera.ego_from_camera is not None
    found, seen = camera.intrinsics.project(camera.ego_from_camera.inverse().apply(points))
    assert seen.sum() > 100
    np.testing.assert_allclose(found[seen], pixels[seen, :2] / pixels[seen, 2:], rtol=1e-9)


def test_a_sequence_without_poses_opens_and_says_so(dataset: Path) -> None:
    (dataset / "poses/00.txt").unlink()
    scene = open_scene(dataset)
    assert all(frame.world_from_ego is None for frame in scene)
    assert all(len(frame.images) == 1 and frame.images[0].world_from_camera is None for frame in scene)
    assert scene.trajectory is None
    assert "no poses: neither dataset/poses/00.txt nor 00/poses.txt is there (--poses FILE)" in scene.notes


def test_poses_beside_the_calibration_are_found_as_semantickitti_has_them(saved: Path, dataset: Path) -> None:
    (dataset / "poses/00.txt").rename(dataset / "sequences/00/poses.txt")
    for frame, expected in zip(open_scene(dataset), open_scene(saved), strict=True):
        assert frame.world_from_ego == expected.world_from_ego


def test_poses_may_be_given_in_rows_of_camera_0_or_as_world_from_ego(
    saved: Path, dataset: Path, tmp_path: Path
) -> None:
    given = tmp_path / "result.txt"
    (dataset / "poses/00.txt").rename(given)
    for frame, expected in zip(open_scene(dataset, poses=given), open_scene(saved), strict=True):
        assert frame.world_from_ego == expected.world_from_ego
    named = tmp_path / "poses.json"
    named.write_text('[{"heading": [1, 0, 0, 0], "position": [1, 2, 3]}]')
    scene = open_scene(dataset, poses=named)
    assert scene[0].world_from_ego == Pose(np.eye(3), np.array([1.0, 2, 3]))
    assert scene[1].world_from_ego is None
    assert any("2 of 3 frames have no pose" in note for note in scene.notes)
    assert any("world from ego" in note for note in scene.notes)


TUM = "{t} {x} 0 0 0 0 0 1\n"


@pytest.mark.parametrize("kind", ["TUM", "JSON"])
def test_poses_with_times_from_the_start_are_matched_by_time(dataset: Path, tmp_path: Path, kind: str) -> None:
    """The poses are five times as dense as the frames, and one of those lies between two poses."""
    (dataset / "sequences/00/times.txt").write_text("0.0\n0.11\n0.2\n")
    given = tmp_path / f"poses.{kind.lower()}"
    steps = range(0, 11, 2)  # hundredths of a second, at 1 m each
    if kind == "TUM":
        given.write_text("".join(TUM.format(t=k / 50, x=2 * k) for k in range(11)))
    else:
        poses = [
            {"heading": [1, 0, 0, 0], "position": [2 * k, 0, 0], "timestamp": k * 20_000_000} for k in [*steps, 12]
        ]
        given.write_text(json.dumps(poses))
    scene = open_scene(dataset, poses=given, max_pose_gap=0.05)
    for frame, x in zip(scene, (0, 11, 20), strict=True):
        assert frame.world_from_ego is not None
        np.testing.assert_allclose(frame.world_from_ego.translation, [x, 0, 0], atol=1e-9)
        (image,) = frame.images
        assert image.world_from_camera is not None
    assert scene.trajectory is not None
    assert len(scene.trajectory) == (11 if kind == "TUM" else 7)
    assert any(f"read as {kind}, are taken as world from ego and matched by time" in note for note in scene.notes)
    assert not any("without use" in note for note in scene.notes)


def test_what_is_guessed_and_found_of_given_poses_is_said(dataset: Path, tmp_path: Path) -> None:
    given = tmp_path / "poses.csv"
    given.write_text("x,y,z,roll,pitch,yaw\n" + "".join(f"{k},0,0,0,0,{90 + k}\n" for k in range(3)))
    notes = open_scene(dataset, poses=given).notes
    assert any("roll, pitch and yaw of poses.csv are taken as degrees" in note for note in notes)
    (dataset / "sequences/00/times.txt").write_text("1.0\n1.1\n1.2\n")
    given.write_text("t_s,x,y,z,qw,qx,qy,qz\n" + "".join(f"{t},0,0,0,1,0,0,0\n" for t in (1.0, "nan", 1.2)))
    assert [finding.code for finding in open_scene(dataset, poses=given).findings] == ["stamps-unset"]


def test_poses_on_another_clock_are_refused_with_both_spans(dataset: Path, tmp_path: Path) -> None:
    given = tmp_path / "poses.tum"
    given.write_text("".join(TUM.format(t=1_700_000_000 + k, x=k) for k in range(3)))
    (dataset / "sequences/00/times.txt").write_text("0.0\n0.1\n0.2\n")
    with pytest.raises(SceneError, match="frames are from 0 to 200000000 ns, poses in") as caught:
        open_scene(dataset, poses=given)
    assert "from 1700000000000000000 to 1700000002000000000 ns" in str(caught.value)


def test_frames_that_no_pose_or_no_time_is_known_for_are_counted(dataset: Path, tmp_path: Path) -> None:
    given = tmp_path / "poses.tum"
    given.write_text(TUM.format(t=0, x=0) + TUM.format(t=0.05, x=1))
    (dataset / "sequences/00/times.txt").write_text("0.0\n0.1\n")
    scene = open_scene(dataset, poses=given)
    assert [frame.world_from_ego is None for frame in scene] == [False, True, True]
    assert any("1 of 2 frames have no pose" in note for note in scene.notes)
    assert "1 of 3 frames have no time, and so no pose" in scene.notes


def test_poses_with_times_for_frames_without_are_refused(dataset: Path, tmp_path: Path) -> None:
    given = tmp_path / "poses.tum"
    given.write_text(TUM.format(t=0, x=0) * 3)
    (dataset / "sequences/00/times.txt").unlink()
    with pytest.raises(LidarprepError, match=r"poses by time, and there is no times\.txt(?s:.*)rows of 12 numbers"):
        open_scene(dataset, poses=given)
    named = tmp_path / "named.json"
    named.write_text('{"000000": {"heading": [1, 0, 0, 0], "position": [0, 0, 0]}}')
    with pytest.raises(LidarprepError, match="poses by name; expected one a frame"):
        open_scene(dataset, poses=named)


def test_missing_sweeps_keep_the_others_with_their_own_poses_and_times(saved: Path, dataset: Path) -> None:
    (dataset / "sequences/00/velodyne/000001.bin").unlink()
    scene, whole = open_scene(dataset), open_scene(saved)
    assert [frame.id for frame in scene] == ["000000", "000002"]
    assert scene[1].world_from_ego == whole[2].world_from_ego
    assert scene[1].timestamp == whole[2].timestamp
    assert any("1 poses in 00.txt belong to no sweep" in note for note in scene.notes)
    assert any("camera image_2: 1 of 3 images belong to no frame" in note for note in scene.notes)


def test_missing_images_are_noted_and_never_taken_from_another_frame(dataset: Path) -> None:
    (dataset / "sequences/00/image_2/000001.png").unlink()
    scene = open_scene(dataset)
    assert [len(frame.images) for frame in scene] == [1, 0, 1]
    assert any("camera image_2: 1 of 3 frames have no image" in note for note in scene.notes)


def test_without_times_frames_have_none(dataset: Path) -> None:
    (dataset / "sequences/00/times.txt").unlink()
    scene = open_scene(dataset)
    assert all(frame.timestamp is None and frame.world_from_ego is not None for frame in scene)
    assert all(len(frame.images) == 1 for frame in scene)


def test_times_that_are_too_few_leave_the_last_frames_without(dataset: Path) -> None:
    (dataset / "sequences/00/times.txt").write_text("0.000000e+00\n1.036224e-01\n")
    scene = open_scene(dataset)
    assert [frame.timestamp for frame in scene] == [0, 103_622_400, None]
    assert any("1 sweeps have no time, such as 000002.bin: times.txt has 2" in note for note in scene.notes)


def test_a_sequence_is_chosen_by_name_or_number(dataset: Path) -> None:
    shutil.copytree(dataset / "sequences/00", dataset / "sequences/07")
    with pytest.raises(SceneError, match=r"holds 2 sequences\n.*--scene-name NAME: 00, 07"):
        open_scene(dataset)
    assert "07" in str(open_scene(dataset, scene="7")[0].images[0].path)
    assert "00" in str(open_scene(dataset, scene="00")[0].images[0].path)
    with pytest.raises(SceneError, match="no sequence '11'"):
        open_scene(dataset, scene="11")
    assert any("ignored: --scene" in note for note in open_scene(dataset / "sequences/00", scene="5").notes)


def test_cameras_and_lidars_are_chosen_by_name(dataset: Path) -> None:
    shutil.copytree(dataset / "sequences/00/image_2", dataset / "sequences/00/image_0")
    scene = open_scene(dataset)
    assert [camera.name for camera in scene.cameras] == ["image_0", "image_2"]
    left, right = (camera.ego_from_camera for camera in scene.cameras)
    assert left is not None
    assert right is not None
    np.testing.assert_allclose(
        np.linalg.norm(left.translation - right.translation), np.hypot(0.06, np.hypot(2e-3, 3e-3))
    )
    assert [camera.name for camera in open_scene(dataset, cameras=["image_2"]).cameras] == ["image_2"]
    with pytest.raises(SceneError, match="no camera 'front'"):
        open_scene(dataset, cameras=["front"])
    with pytest.raises(SceneError, match="no lidar 'top'"):
        open_scene(dataset, lidars=["top"])
    assert any("--world-frame" in note for note in open_scene(dataset, world_frame="map").notes)


def test_opening_reads_no_points_and_no_images(dataset: Path) -> None:
    for path in [*dataset.rglob("*.bin"), *dataset.rglob("*.png")]:
        path.write_bytes(b"")
    assert len(open_scene(dataset)) == 3


def test_other_folders_are_not_taken_for_a_sequence(tmp_path: Path) -> None:
    (tmp_path / "sequences").mkdir()
    (tmp_path / "velodyne").mkdir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file", tmp_path / "nothing", tmp_path / "sequences"):
        assert kitti_odometry.detect(path) is None


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda dataset: (dataset / name).write_text(text)


def without_line(name: str, start: str) -> Callable[[Path], object]:
    def spoil(dataset: Path) -> None:
        lines = (dataset / name).read_text().splitlines()
        (dataset / name).write_text("\n".join(line for line in lines if not line.startswith(start)) + "\n")

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_line("sequences/00/calib.txt", "Tr"), r"no line 'Tr:'(?s:.*)data_odometry_calib"),
        (lambda dataset: (dataset / "sequences/00/calib.txt").unlink(), r"calib\.txt is missing"),
        (write("sequences/00/calib.txt", "Tr: 1 2 3\n"), "line 'Tr:': 3 numbers; expected 12"),
        (write("sequences/00/calib.txt", "Tr: " + "1 " * 12), "not orthonormal"),
        (write("sequences/00/times.txt", "0.0\nsoon\n"), r"times\.txt, line 2: 'soon'"),
        (write("sequences/00/times.txt", "nan\n"), r"times\.txt, line 1"),
        (write("sequences/00/times.txt", "0.0\n\n0.2\n"), r"times\.txt, line 2: ''"),  # or the third frame had none
        (write("poses/00.txt", "1 2 3\n"), r"00\.txt, line 1: 3 values"),
        (write("poses/00.txt", "0 0 0 0 0 0 0 1\n"), "rows as TUM has them; expected 12 numbers"),
        (write("poses/00.txt", "2 " * 12), r"00\.txt, line 1: a rotation matrix"),
        (write("poses/00.txt", "nan " * 12), r"00\.txt, line 1"),
        (lambda dataset: [path.unlink() for path in dataset.rglob("*.bin")], r"holds no sweep 000000\.bin"),
    ],
)
def test_a_spoilt_sequence_gets_one_clear_error(dataset: Path, spoil: Callable[[Path], object], said: str) -> None:
    spoil(dataset)
    with pytest.raises(LidarprepError, match=said):
        open_scene(dataset)


def test_times_out_of_order_are_kept_for_the_frames(dataset: Path) -> None:
    """Whether frames are in time order is for the checks to say; the trajectory is sorted."""
    (dataset / "sequences/00/times.txt").write_text("0.0\n0.2\n0.1\n")
    scene = open_scene(dataset)
    assert [frame.timestamp for frame in scene] == [0, 200_000_000, 100_000_000]
    assert scene.trajectory is not None
    assert scene.trajectory.timestamps.tolist() == [0, 100_000_000, 200_000_000]
    assert any("not in time order" in note for note in scene.notes)


def test_cameras_that_are_chosen_keep_their_numbers(dataset: Path) -> None:
    shutil.copytree(dataset / "sequences/00/image_2", dataset / "sequences/00/image_0")
    assert [(one.name, one.index) for one in open_scene(dataset).cameras] == [("image_0", 0), ("image_2", 1)]
    (camera,) = open_scene(dataset, cameras=["image_2"]).cameras
    assert (camera.name, camera.index) == ("image_2", 1)


def test_a_camera_without_calibration_is_left_out_or_refused_where_it_is_named(dataset: Path) -> None:
    without_line("sequences/00/calib.txt", "P2")(dataset)
    scene = open_scene(dataset)
    (finding,) = scene.findings
    assert (finding.code, finding.subject.name, scene.cameras) == ("camera-left-out", "image_2", ())
    with pytest.raises(FormatError, match="no line 'P2:'"):
        open_scene(dataset, cameras=["image_2"])


def test_a_misnamed_folder_is_a_warning_and_others_are_noted(dataset: Path) -> None:
    sequence = dataset / "sequences/00"
    (sequence / "image_2").rename(sequence / "image_02")
    (sequence / "labels").mkdir()
    (sequence / "labels/000000.label").touch()
    scene = open_scene(dataset)
    (finding,) = scene.findings
    assert (finding.code, finding.found, finding.expected) == ("folder-not-read", "image_02", "image_2")
    assert "folders there that are not read: labels" in scene.notes
