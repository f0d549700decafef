"""Argoverse 2: what is read from a log, and what is said of one that does not hang together."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation, Slerp

from lidarprep.datasets import argoverse2, open_scene
from lidarprep.errors import FormatError, MissingExtraError, SceneError
from tests.datasets.generated import Recording
from tests.datasets.write_argoverse2 import LOG, write, write_argoverse2, write_poses

POSES = "city_SE3_egovehicle.feather"
EXTRINSICS = "calibration/egovehicle_SE3_sensor.feather"
INTRINSICS = "calibration/intrinsics.feather"

SWEEP = {
    "x": np.array([1.5, -2.25, 100.0, 0.0], np.float16),
    "y": np.array([0.0, 1.0, 2.0, 3.0], np.float16),
    "z": np.array([-1.0, -1.5, 0.25, 7.0], np.float16),
    "intensity": np.array([0, 17, 255, 3], np.uint8),
    "laser_number": np.array([0, 31, 32, 63], np.uint8),
    "offset_ns": np.array([-5, 0, 50_000_000, 106_989_794], np.int32),
}


@pytest.fixture(scope="module")
def written(recorded: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log to read only."""
    return write_argoverse2(recorded, tmp_path_factory.mktemp("written") / "train")


@pytest.fixture
def log(written: Path, tmp_path: Path) -> Path:
    """The same log, to change."""
    return shutil.copytree(written, tmp_path / "train" / LOG)


def sweeps_of(log: Path) -> list[Path]:
    return sorted((log / "sensors/lidar").iterdir())


def change(path: Path, **columns: Any) -> None:
    """Replaces columns of a table; None: removes them."""
    table = pd.read_feather(path)
    for name, values in columns.items():
        table = table.drop(columns=name) if values is None else table.assign(**{name: values})
    table.to_feather(path)


@pytest.mark.parametrize("above", [False, True], ids=["log", "folder of logs"])
def test_points_stand_in_the_world_where_they_were_recorded(written: Path, recorded: Recording, above: bool) -> None:
    scene = open_scene(written.parent if above else written)
    assert scene.layout == "argoverse2"
    assert scene.points_frame == "ego"
    assert (f"log {LOG}" in scene.notes) == above
    for frame, expected in zip(scene, recorded.frames, strict=True):
        cloud = frame.points()
        assert cloud.frame == "ego"
        np.testing.assert_array_equal(cloud.positions, expected.positions)
        np.testing.assert_array_equal(cloud.intensity, expected.intensity)
        assert frame.timestamp == expected.timestamp
        assert frame.id == str(expected.timestamp)
        assert frame.world_from_ego is not None
        np.testing.assert_allclose(frame.world_from_ego.matrix, expected.world_from_ego, atol=1e-12)
        assert frame.radar() is None


def test_points_have_their_lidar_their_laser_and_the_time_they_were_seen(log: Path) -> None:
    write(sweeps_of(log)[0], SWEEP)  # half floats, as in the published logs
    scene = open_scene(log)
    assert [(lidar.name, lidar.index) for lidar in scene.lidars] == [("up_lidar", 0), ("down_lidar", 1)]
    cloud = scene[0].points()
    assert cloud.positions.dtype == np.float32
    np.testing.assert_array_equal(cloud.positions, np.column_stack([SWEEP[axis] for axis in "xyz"]))
    np.testing.assert_array_equal(cloud.device, [0, 0, 1, 1])
    np.testing.assert_array_equal(cloud.ring, [0, 31, 0, 31])
    assert cloud.timestamp is not None
    assert scene[0].timestamp is not None
    assert cloud.timestamp.dtype == np.int64
    np.testing.assert_array_equal(cloud.timestamp - scene[0].timestamp, SWEEP["offset_ns"])
    assert cloud.ignored_fields == ()
    assert any("motion-compensated already" in note for note in scene.notes)


def test_one_of_the_two_lidars_can_be_chosen(log: Path) -> None:
    write(sweeps_of(log)[0], SWEEP)
    scene = open_scene(log, lidars=["down_lidar"])
    assert [(lidar.name, lidar.index) for lidar in scene.lidars] == [("down_lidar", 1)]
    cloud = scene[0].points()
    np.testing.assert_array_equal(cloud.positions[:, 0], [100, 0])
    np.testing.assert_array_equal(cloud.device, [1, 1])
    with pytest.raises(SceneError, match=r"no lidar 'top'\nKnown are up_lidar, down_lidar"):
        open_scene(log, lidars=["top"])


def test_a_column_that_nothing_holds_is_named(log: Path) -> None:
    write(sweeps_of(log)[0], {**SWEEP, "elongation": np.zeros(4, np.float32)})
    assert open_scene(log)[0].points().ignored_fields == ("elongation",)


def test_a_sweep_without_points_is_an_empty_cloud(log: Path) -> None:
    write(sweeps_of(log)[0], {name: column[:0] for name, column in SWEEP.items()})
    assert len(open_scene(log)[0].points()) == 0


def test_cameras_have_their_calibration_without_distortion(written: Path, recorded: Recording) -> None:
    scene = open_scene(written)
    for camera, expected in zip(scene.cameras, recorded.cameras, strict=True):
        assert (camera.name, camera.index) == (expected.name, recorded.cameras.index(expected))
        inside = camera.intrinsics
        assert (inside.fx, inside.fy, inside.cx, inside.cy) == (expected.fx, expected.fy, expected.cx, expected.cy)
        assert (inside.width, inside.height) == (expected.width, expected.height)
        assert inside.distortion.nonzero() == {}
    assert any("k1, k2 and k3 of intrinsics.feather are not applied" in note for note in scene.notes)
    for frame, recorded_frame in zip(scene, recorded.frames, strict=True):
        for image, expected in zip(frame.images, recorded.cameras, strict=True):
            assert image.path is not None
            assert image.path.read_bytes() == recorded_frame.pictures[expected.name]
            assert image.world_from_camera is not None
            np.testing.assert_allclose(
                image.world_from_camera.matrix, recorded_frame.world_from_ego @ expected.ego_from_camera, atol=1e-9
            )


def test_an_image_is_posed_where_the_vehicle_was_when_it_was_taken(log: Path, recorded: Recording) -> None:
    first, second = recorded.frames[:2]
    taken = first.timestamp + 30_000_000
    folder = log / "sensors/cameras/left_camera"
    (folder / f"{first.timestamp}.jpg").rename(folder / f"{taken}.jpg")
    scene = open_scene(log)
    image = next(image for image in scene[0].images if image.camera.name == "left_camera")
    assert image.timestamp == taken
    rotations = Rotation.from_matrix([first.world_from_ego[:3, :3], second.world_from_ego[:3, :3]])
    world_from_ego = np.eye(4)
    world_from_ego[:3, :3] = Slerp([0, 1], rotations)(0.3).as_matrix()
    world_from_ego[:3, 3] = 0.7 * first.world_from_ego[:3, 3] + 0.3 * second.world_from_ego[:3, 3]
    assert image.world_from_camera is not None
    expected = world_from_ego @ recorded.cameras[1].ego_from_camera
    np.testing.assert_allclose(image.world_from_camera.matrix, expected, atol=1e-9)
    near = open_scene(log, image_tolerance=0.02)
    assert len(near[0].images) == 2
    assert "camera left_camera: 1 of 3 frames have no image within 0.02 s (--image-tolerance)" in near.notes


def test_poses_may_be_many_in_any_order_and_doubled(log: Path, recorded: Recording) -> None:
    start = recorded.frames[0].timestamp
    times = start + np.arange(-1000, 4000) * 100_000
    rows = np.zeros((5000, 7))
    rows[:, 0] = -1  # the same rotation as 1
    rows[:, 4] = np.arange(5000)
    order = np.random.default_rng(4).permutation(5000)
    write_poses(log, [*times[order], times[0]], [*rows[order], rows[0]])
    scene = open_scene(log)
    assert scene.trajectory is not None
    assert len(scene.trajectory) == 5000
    assert f"{POSES}: 1 rows have the time of an earlier one; they are left out" in scene.notes
    assert scene[1].world_from_ego is not None
    np.testing.assert_array_equal(scene[1].world_from_ego.translation, [2000, 0, 0])


def test_a_frame_beyond_the_poses_has_none_and_is_noted(log: Path, recorded: Recording) -> None:
    times = [frame.timestamp for frame in recorded.frames]
    write_poses(log, times[1:], [[1, 0, 0, 0, 0, 0, 0]] * 2)
    scene = open_scene(log)
    assert [frame.world_from_ego is None for frame in scene] == [True, False, False]
    assert any("1 of 3 frames have no pose" in note for note in scene.notes)


def test_one_of_several_logs_is_named(log: Path) -> None:
    shutil.copytree(log, log.parent / "other")
    with pytest.raises(SceneError, match=rf"holds 2 logs\nName one with --scene-name NAME: {LOG}, other"):
        open_scene(log.parent)
    assert len(open_scene(log.parent, scene="other")) == 3
    assert len(open_scene(log, scene=LOG)) == 3
    with pytest.raises(SceneError, match="holds no log 'third'"):
        open_scene(log.parent, scene="third")
    with pytest.raises(SceneError, match="is one log, and not 'other'"):
        open_scene(log, scene="other")


def test_a_log_without_cameras_needs_no_calibration(log: Path) -> None:
    shutil.rmtree(log / "sensors/cameras")
    shutil.rmtree(log / "calibration")
    scene = open_scene(log)
    assert scene.cameras == ()
    assert len(scene[0].points())


def test_a_camera_without_calibration_is_left_out_and_named(log: Path) -> None:
    # Some published logs lack the intrinsics of their stereo cameras.
    table = pd.read_feather(log / INTRINSICS)
    table[table.sensor_name != "left_camera"].reset_index(drop=True).to_feather(log / INTRINSICS)
    scene = open_scene(log)
    assert [(camera.name, camera.index) for camera in scene.cameras] == [("front_camera", 0), ("right_camera", 2)]
    (finding,) = scene.findings
    assert (finding.code, finding.severity, finding.subject.name) == ("camera-left-out", "note", "left_camera")
    with pytest.raises(SceneError, match="no extrinsics or no intrinsics of left_camera"):
        open_scene(log, cameras=["left_camera"])


def test_misnamed_folders_are_a_warning(log: Path) -> None:
    (log / "sensors/cameras").rename(log / "sensors/camera")
    (finding,) = open_scene(log).findings
    assert (finding.code, finding.found, finding.expected) == ("folder-not-read", "camera", "cameras")


def test_only_the_cameras_asked_for_are_read(written: Path) -> None:
    scene = open_scene(written, cameras=["right_camera"])
    assert [(camera.name, camera.index) for camera in scene.cameras] == [("right_camera", 2)]
    assert [image.camera.name for image in scene[0].images] == ["right_camera"]
    with pytest.raises(SceneError, match="no camera 'ring_front_center'"):
        open_scene(written, cameras=["ring_front_center"])


def test_opening_reads_no_points_and_frames_can_be_sent_elsewhere(log: Path) -> None:
    read_points = pickle.loads(pickle.dumps(open_scene(log)[0].read_points))
    assert len(read_points())
    sweep = sweeps_of(log)[0]
    whole = sweep.read_bytes()
    for size in (0, 5, len(whole) // 2, len(whole) - 1):
        sweep.write_bytes(whole[:size])
        scene = open_scene(log)
        with pytest.raises(FormatError, match="no Feather table that can be read"):
            scene[0].points()
    sweep.unlink()
    with pytest.raises(FormatError, match="no such file"):
        scene[0].points()


@pytest.mark.parametrize("name", [POSES, EXTRINSICS, INTRINSICS])
def test_a_missing_or_damaged_table_is_named(log: Path, name: str) -> None:
    path = log / name
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:-1], b"x" * 500):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=rf"{path.name}: no Feather table that can be read"):
            open_scene(log)
    path.unlink()
    with pytest.raises(FormatError, match=rf"{path.name}: no such file"):
        open_scene(log)


def test_a_damaged_byte_is_an_error_or_a_table(log: Path) -> None:
    path = log / POSES
    whole = path.read_bytes()
    random = np.random.default_rng(5)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[int(random.integers(len(whole)))] ^= int(random.integers(1, 256))
        path.write_bytes(damaged)
        with contextlib.suppress(FormatError):  # a flipped digit of a position is still a position
            assert len(open_scene(log)) == 3


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    (POSES, {"qw": None}, "no qw; expected timestamp_ns, qw"),
    (POSES, {"qw": 2.0}, "is not unit"),
    (POSES, {"tx_m": np.inf}, "not finite"),
    (POSES, {"tx_m": "here"}, "column 'tx_m': object; expected numbers"),
    (POSES, {"timestamp_ns": 1.5}, "column 'timestamp_ns': float64; expected integers"),
    (POSES, {"timestamp_ns": [None, 1, 2]}, "column 'timestamp_ns': a missing value"),
    (EXTRINSICS, {"sensor_name": None}, "no sensor_name"),
    (EXTRINSICS, {"qx": 3.0}, "the row of front_camera: a quaternion"),
    (EXTRINSICS, {"tz_m": None}, "no tz_m"),
    (EXTRINSICS, {"sensor_name": "up_lidar"}, "the row of up_lidar: another row of that sensor"),
    (INTRINSICS, {"sensor_name": "left_camera"}, "the row of left_camera: another row of that sensor"),
    (INTRINSICS, {"fx_px": 0.0}, "the row of front_camera: intrinsics: focal lengths"),
    (INTRINSICS, {"width_px": 0}, "the row of front_camera: an image of 0"),
    (INTRINSICS, {"height_px": None}, "no height_px"),
]


@pytest.mark.parametrize(("name", "columns", "message"), FAULTS, ids=[f"{f[0]} {f[1]}" for f in FAULTS])
def test_a_table_that_makes_no_sense_is_named(log: Path, name: str, columns: dict[str, Any], message: str) -> None:
    change(log / name, **columns)
    with pytest.raises(FormatError, match=message):
        open_scene(log)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"z": None}, "no z; expected x, y, z"),
        ({"offset_ns": None}, "no offset_ns"),
        ({"laser_number": 64}, "row 0, column 'laser_number': 64; expected 0 to 63"),
        ({"laser_number": -1}, "expected 0 to 63"),
        ({"laser_number": 0.5}, "column 'laser_number': float64; expected integers"),
        ({"x": "far"}, "field 'x'"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_named(log: Path, columns: dict[str, Any], message: str) -> None:
    change(sweeps_of(log)[0], **columns)
    scene = open_scene(log)
    with pytest.raises(FormatError, match=message):
        scene[0].points()


def test_a_name_that_is_no_time_is_an_error(log: Path) -> None:
    sweep = sweeps_of(log)[0]
    sweep.rename(sweep.with_name("first.feather"))
    with pytest.raises(FormatError, match=r"first\.feather: a name that is no time"):
        open_scene(log)


def test_a_log_without_sweeps_is_an_error(log: Path) -> None:
    for sweep in sweeps_of(log):
        sweep.unlink()
    with pytest.raises(SceneError, match="holds no sweep"):
        open_scene(log)


def test_options_without_use_are_refused_or_noted(written: Path, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="has its own poses"):
        open_scene(written, poses=tmp_path / "poses.txt")
    assert any(note.endswith("ignored: --all-sweeps") for note in open_scene(written, all_sweeps=True).notes)
    scene = open_scene(written, points_frame="world")
    assert scene.points_frame == scene[0].points().frame == "world"


def test_other_folders_are_no_log(tmp_path: Path) -> None:
    (tmp_path / "sensors/lidar").mkdir(parents=True)
    (tmp_path / "sensors/lidar/1.ply").touch()
    assert argoverse2.detect(tmp_path) is None
    assert argoverse2.detect(tmp_path / "sensors/lidar/1.ply") is None
    assert argoverse2.detect(tmp_path / "missing") is None
    with pytest.raises(SceneError, match="holds no log\nExpected is an Argoverse 2 log"):
        open_scene(tmp_path, layout="argoverse2")


def test_without_pyarrow_the_extra_is_named(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"Argoverse 2 logs.*\npip install 'lidarprep\[tables\]'"):
        open_scene(written)


def test_a_folder_that_may_not_be_looked_into_does_not_hide_the_logs(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk's lost+found belongs to root; what is in it cannot even be asked for."""
    (tmp_path / "lost+found").mkdir()
    shutil.copytree(written, tmp_path / "train")
    access, is_dir = os.access, Path.is_dir

    def refused(path: Path) -> bool:
        if path.parent.name == "sensors" and "lost+found" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return is_dir(path)

    monkeypatch.setattr(os, "access", lambda path, mode: "lost+found" not in str(path) and access(path, mode))
    monkeypatch.setattr(Path, "is_dir", refused)
    assert open_scene(tmp_path).layout == "argoverse2"
