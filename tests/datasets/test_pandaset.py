"""PandaSet: the generated recording comes back, and what is said of a sequence that does not hang together."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lidarprep.datasets import open_scene, pandaset
from lidarprep.errors import FormatError, LidarprepError, SceneError
from tests.datasets.generated import Recording
from tests.datasets.write_pandaset import write_pandaset


@pytest.fixture(scope="module")
def saved(recorded: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pandaset(recorded, tmp_path_factory.mktemp("saved"))


@pytest.fixture
def sequence(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "001"))


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Changes what a JSON file holds; `change` gives a new list, or changes the value in place."""
    value = json.loads(path.read_text())
    changed = change(value)
    path.write_text(json.dumps(changed if isinstance(changed, list) else value))


def test_the_recording_comes_back_in_its_own_world(recorded: Recording, saved: Path) -> None:
    scene = open_scene(saved)
    assert scene.layout == "pandaset"
    assert scene.points_frame == "world"
    assert [(lidar.name, lidar.index) for lidar in scene.lidars] == [("Pandar64", 0), ("PandarGT", 1)]
    for frame, truth in zip(scene, recorded.frames, strict=True):
        cloud = frame.points()
        assert cloud.frame == "world"
        assert frame.timestamp == truth.timestamp
        np.testing.assert_array_equal(cloud.positions, truth.in_world)
        assert cloud.intensity is not None
        np.testing.assert_array_equal(cloud.intensity, truth.intensity)
        assert cloud.device is not None
        assert not cloud.device.any()
        assert cloud.timestamp is not None
        assert np.abs(cloud.timestamp - truth.timestamp).max() < 500  # what float64 seconds hold
        assert cloud.ignored_fields == ()
        assert frame.world_from_ego is not None
        np.testing.assert_allclose(frame.world_from_ego.matrix, truth.world_from_ego, atol=1e-12)
    assert scene.trajectory is not None
    assert len(scene.trajectory) == len(scene)


def test_cameras_have_their_own_poses_in_the_world(recorded: Recording, saved: Path) -> None:
    scene = open_scene(saved)
    assert [camera.name for camera in scene.cameras] == [camera.name for camera in recorded.cameras]
    for frame, written in zip(scene, recorded.frames, strict=True):
        assert len(frame.images) == len(recorded.cameras)
        for image, truth in zip(frame.images, recorded.cameras, strict=True):
            assert image.camera.ego_from_camera is None
            assert (image.camera.intrinsics.fx, image.camera.intrinsics.cy) == (truth.fx, truth.cy)
            assert image.timestamp == written.timestamp
            assert image.path is not None
            assert image.path.read_bytes() == written.pictures[truth.name]
            assert image.world_from_camera is not None
            expected = written.world_from_ego @ truth.ego_from_camera
            np.testing.assert_allclose(image.world_from_camera.matrix, expected, atol=1e-12)


def test_times_are_read_as_they_are_written(sequence: Path) -> None:
    """1557539924.49981 as float64 is 40 ns off; its digits are not."""
    (sequence / "lidar/timestamps.json").write_text("[1557539924.49981, 1557539924.59982, 1557539924.7]")
    assert [frame.timestamp for frame in open_scene(sequence)] == [
        1557539924499810000,
        1557539924599820000,
        1557539924700000000,
    ]


def test_images_are_those_of_the_frames_number_whatever_their_time(sequence: Path) -> None:
    """As in the development kit: the back camera's image of a number is taken 0.1 s before the sweep ends."""
    camera = sequence / "camera/left_camera"
    edit(camera / "timestamps.json", lambda times: [time - 0.1 for time in times])
    scene = open_scene(sequence)
    left = [[image for image in frame.images if image.camera.name == "left_camera"] for frame in scene]
    assert [image.path.name for (image,) in left if image.path] == ["00.jpg", "01.jpg", "02.jpg"]
    times, poses = (json.loads((camera / name).read_text()) for name in ("timestamps.json", "poses.json"))
    for (image,), time, pose in zip(left, times, poses, strict=True):
        assert image.timestamp == round(time * 1e9) or abs(image.timestamp - time * 1e9) < 300
        assert image.world_from_camera is not None
        assert image.world_from_camera.translation[0] == pose["position"]["x"]
    assert any("up to 100.0 ms from its time" in note for note in scene.notes)


def test_images_without_a_frame_and_frames_without_an_image_are_counted(sequence: Path) -> None:
    (sequence / "camera/left_camera/00.jpg").unlink()
    (sequence / "lidar/02.pkl.gz").unlink()
    notes = open_scene(sequence).notes
    assert "camera left_camera: 1 of 2 frames have no image" in notes
    assert "camera left_camera: 1 of 2 images belong to no frame" in notes


def test_a_misnamed_folder_is_a_warning(sequence: Path) -> None:
    (sequence / "camera").rename(sequence / "cameras")
    (finding,) = open_scene(sequence).findings
    assert (finding.code, finding.found, finding.expected) == ("folder-not-read", "cameras", "camera")


def two_lidars(sequence: Path) -> None:
    for path in (sequence / "lidar").glob("*.pkl.gz"):
        frame = pd.read_pickle(path)
        frame["d"] = np.arange(len(frame)) % 2
        frame.to_pickle(path)


def test_lidars_are_told_apart_and_chosen_by_name(recorded: Recording, sequence: Path) -> None:
    two_lidars(sequence)
    whole = open_scene(sequence)[0].points()
    assert whole.device is not None
    assert whole.device.dtype == np.uint32
    np.testing.assert_array_equal(whole.device, np.arange(len(whole)) % 2)
    scene = open_scene(sequence, lidars=["PandarGT"])
    assert [(lidar.name, lidar.index) for lidar in scene.lidars] == [("PandarGT", 1)]
    np.testing.assert_array_equal(scene[0].points().positions, recorded.frames[0].in_world[1::2])
    with pytest.raises(SceneError, match="no lidar 'top'"):
        open_scene(sequence, lidars=["top"])


def test_a_lidar_cannot_be_chosen_where_points_do_not_say_theirs(sequence: Path) -> None:
    pd.DataFrame({"x": [1.0], "y": [2.0], "z": [3.0]}).to_pickle(sequence / "lidar/00.pkl.gz")
    assert len(open_scene(sequence)[0].points()) == 1
    with pytest.raises(FormatError, match="no column d"):
        open_scene(sequence, lidars=["Pandar64"])[0].points()


def test_plain_pickles_are_read_like_packed_ones(recorded: Recording, sequence: Path) -> None:
    for path in (sequence / "lidar").glob("*.pkl.gz"):
        pd.read_pickle(path).to_pickle(path.with_suffix(""))
        path.unlink()
    scene = open_scene(sequence)
    assert [frame.id for frame in scene] == ["00", "01", "02"]
    np.testing.assert_array_equal(scene[1].points().positions, recorded.frames[1].in_world)


def test_columns_that_no_cloud_has_are_named(sequence: Path) -> None:
    frame = pd.DataFrame({"x": [1.0], "y": [2.0], "z": [3.0], "echo": [1]})
    frame.to_pickle(sequence / "lidar/00.pkl.gz")
    assert open_scene(sequence)[0].points().ignored_fields == ("echo",)


def test_a_pickle_that_runs_a_command_is_refused_and_the_other_frames_are_read(sequence: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (sequence / "ran",)

    (sequence / "lidar/01.pkl.gz").write_bytes(pickle.dumps(Hostile()))
    scene = open_scene(sequence)
    with pytest.raises(
        FormatError, match=r"01\.pkl\.gz, byte \d+ of the pickle: refused to load (builtins\.getattr|pathlib\.)"
    ):
        scene[1].points()
    assert not (sequence / "ran").exists()
    assert len(scene[2].points()) > 0


def test_a_missing_pickle_is_an_error_of_its_frame_alone(sequence: Path) -> None:
    scene = open_scene(sequence)
    (sequence / "lidar/01.pkl.gz").unlink()
    with pytest.raises(FormatError, match=r"01\.pkl\.gz: the file cannot be read"):
        scene[1].points()


def test_frames_that_are_missing_keep_the_others_with_their_own_poses(saved: Path, sequence: Path) -> None:
    (sequence / "lidar/01.pkl.gz").unlink()
    scene, whole = open_scene(sequence), open_scene(saved)
    assert [frame.id for frame in scene] == ["00", "02"]
    assert scene[1].world_from_ego == whole[2].world_from_ego
    assert scene[1].timestamp == whole[2].timestamp
    assert any("1 of 3 poses belong to no frame" in note for note in scene.notes)


def test_a_sequence_is_chosen_by_name_or_number(sequence: Path) -> None:
    root = sequence.parent
    assert len(open_scene(root)) == 3
    shutil.copytree(sequence, root / "019")
    with pytest.raises(SceneError, match=r"holds 2 sequences\n.*--scene-name NAME: 001, 019"):
        open_scene(root)
    assert "019" in str(open_scene(root, scene="19")[0].images[0].path)
    assert "001" in str(open_scene(root, scene="001")[0].images[0].path)
    with pytest.raises(SceneError, match="no sequence '5'"):
        open_scene(root, scene="5")
    assert any("ignored: --scene" in note for note in open_scene(sequence, scene="5").notes)


def test_options_are_used_refused_or_noted(sequence: Path) -> None:
    (camera,) = open_scene(sequence, cameras=["left_camera"]).cameras
    assert (camera.name, camera.index) == ("left_camera", 1)
    with pytest.raises(SceneError, match="no camera 'front'"):
        open_scene(sequence, cameras=["front"])
    with pytest.raises(SceneError, match="has its own poses"):
        open_scene(sequence, poses=sequence / "poses.txt")
    scene = open_scene(sequence, points_frame="ego", pose_topic="/odom")
    assert scene.points_frame == scene[0].points().frame == "ego"
    assert any("--pose-topic" in note for note in scene.notes)
    assert any("gps.json has no heading" in note for note in scene.notes)


def test_frames_can_be_sent_to_another_process(saved: Path) -> None:
    read_points = pickle.loads(pickle.dumps(open_scene(saved)[0].read_points))
    assert len(read_points()) > 1000


def test_opening_reads_no_points_and_no_images(sequence: Path) -> None:
    for path in [*sequence.rglob("*.pkl.gz"), *sequence.rglob("*.jpg")]:
        path.write_bytes(b"")
    assert len(open_scene(sequence)) == 3


def test_other_folders_are_not_taken_for_a_sequence(tmp_path: Path) -> None:
    (tmp_path / "lidar").mkdir()
    (tmp_path / "lidar/poses.json").write_text("[]")
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file", tmp_path / "nothing", tmp_path / "lidar"):
        assert pandaset.detect(path) is None


def test_the_sources_of_a_frame_are_its_pickle_and_its_images(sequence: Path) -> None:
    frame = open_scene(sequence)[1]
    images = [image.path for image in frame.images if image.path is not None]
    files = [sequence / "lidar/01.pkl.gz", *images]
    assert len(files) > 1
    assert [(source.location, source.bytes) for source in frame.sources] == [
        (str(file), file.stat().st_size) for file in files
    ]
    os.utime(files[1], ns=(0, 1))
    assert [source.version == "1" for source in open_scene(sequence)[1].sources] == [file is files[1] for file in files]


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda sequence: (sequence / name).write_text(text)


def remove(name: str) -> Callable[[Path], object]:
    return lambda sequence: (sequence / name).unlink()


def change(name: str, how: Callable[[Any], Any]) -> Callable[[Path], object]:
    return lambda sequence: edit(sequence / name, how)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (remove("lidar/timestamps.json"), r"timestamps\.json is missing"),
        (write("lidar/poses.json", "{"), r"poses\.json, line 1"),
        (write("lidar/poses.json", "{}"), "a JSON dict; expected a list"),
        (write("lidar/poses.json", "[1, 2, 3]"), "entry 0: a JSON int"),
        (change("lidar/poses.json", lambda poses: poses[:2]), r"poses\.json has 2 entries, and there is a file 02"),
        (change("lidar/timestamps.json", lambda times: times[:1]), r"timestamps\.json has 1 entries"),
        (change("lidar/timestamps.json", lambda times: ["now", *times[1:]]), "entry 0: 'now'; expected seconds"),
        (change("lidar/timestamps.json", lambda times: [True, *times[1:]]), "entry 0: True"),
        (change("lidar/timestamps.json", lambda times: [1e300, *times[1:]]), r"entry 0: 1e\+300"),
        (change("lidar/poses.json", lambda poses: poses[1]["heading"].update(w=2.0)), "entry 1: .*not unit"),
        (change("lidar/poses.json", lambda poses: poses[1]["heading"].pop("w")), r"entry 1, field 'heading': \{"),
        (change("lidar/poses.json", lambda poses: poses[1]["position"].update(x="1")), "entry 1, field 'position'"),
        (change("lidar/poses.json", lambda poses: poses[1].pop("position")), 'entry 1: no "position"'),
        (change("lidar/poses.json", lambda poses: poses[1]["position"].update(x=None)), "entry 1, field 'position'"),
        (write("lidar/2.pkl", ""), "belong to the same frame"),
    ],
)
def test_a_spoilt_sequence_gets_one_clear_error(sequence: Path, spoil: Callable[[Path], object], said: str) -> None:
    spoil(sequence)
    with pytest.raises(LidarprepError, match=said):
        open_scene(sequence)


def test_a_file_without_a_number_is_noted(sequence: Path) -> None:
    (sequence / "lidar/backup.pkl").write_bytes(b"")
    assert any("lidar: 1 files there have no number, such as backup.pkl" in note for note in open_scene(sequence).notes)


def test_times_and_poses_of_images_belong_to_their_numbers(sequence: Path, recorded: Recording) -> None:
    (sequence / "camera/left_camera/00.jpg").unlink()
    first, *others = open_scene(sequence)
    assert "left_camera" not in [image.camera.name for image in first.images]
    ego_from_camera = next(camera for camera in recorded.cameras if camera.name == "left_camera").ego_from_camera
    for frame, truth in zip(others, recorded.frames[1:], strict=True):
        (image,) = (image for image in frame.images if image.camera.name == "left_camera")
        assert image.path == sequence / "camera/left_camera" / f"{frame.id}.jpg"
        assert image.timestamp == truth.timestamp
        assert image.world_from_camera is not None
        np.testing.assert_allclose(image.world_from_camera.matrix, truth.world_from_ego @ ego_from_camera, atol=1e-6)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (remove("camera/left_camera/intrinsics.json"), "camera left_camera has no calibration"),
        (remove("camera/left_camera/poses.json"), r"left_camera.poses\.json is missing"),
        (remove("camera/left_camera/timestamps.json"), r"left_camera.timestamps\.json is missing"),
        (change("camera/left_camera/intrinsics.json", lambda values: values.pop("fx")), "intrinsics lack fx"),
        (change("camera/left_camera/intrinsics.json", lambda values: values.update(fx=-1)), "focal lengths"),
        (change("camera/left_camera/poses.json", lambda poses: poses[:1]), r"poses\.json has 1 entries"),
    ],
)
def test_a_spoilt_camera_is_left_out_or_refused_where_it_is_named(
    sequence: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(sequence)
    scene = open_scene(sequence)
    assert "left_camera" not in [camera.name for camera in scene.cameras]
    assert {image.camera.name for frame in scene for image in frame.images} == {c.name for c in scene.cameras}
    (finding,) = scene.findings
    assert (finding.code, finding.subject.name) == ("camera-left-out", "left_camera")
    assert re.search(said, finding.message)
    with pytest.raises(LidarprepError, match=said):
        open_scene(sequence, cameras=["left_camera"])
