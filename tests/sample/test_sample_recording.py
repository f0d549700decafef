"""The generated recording as its readers find it: files, bytes and errors."""

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import plyfile
import pytest
from PIL import Image

from lidarprep.errors import RecipeError, StorageError
from lidarprep.sample import DEVICE_HEIGHT_M, SampleSummary, write_sample
from lidarprep.scene import Pose
from lidarprep.scene.camera import intrinsics_from_mapping

SMALL = {"columns": 60, "image_width": 64}
CAMERAS = ("front_camera", "left_camera", "right_camera")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleSummary:
    return write_sample(tmp_path_factory.mktemp("sample") / "recording", frames=3, **SMALL)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def read_points(path: Path) -> np.ndarray:
    return plyfile.PlyData.read(path)["vertex"].data


def test_it_is_a_toolkit_folder(sample: SampleSummary) -> None:
    expected = {f"{folder}/{n}.{end}" for n in range(3) for folder, end in (("pointcloud", "ply"), ("poses", "json"))}
    expected |= {f"radar_points/{n}.txt" for n in range(3)}
    for camera in CAMERAS:
        expected |= {f"cameras/{camera}/{n}.jpg" for n in range(3)}
        expected |= {f"cameras/{camera}/{name}trinsics.json" for name in ("in", "ex")}
    assert set(digests(sample.path)) == expected


def test_the_summary_says_what_was_written(sample: SampleSummary) -> None:
    clouds = [read_points(sample.path / "pointcloud" / f"{n}.ply") for n in range(3)]
    assert sample.points == sum(map(len, clouds))
    assert (sample.frames, sample.cameras, sample.device_height) == (3, CAMERAS, DEVICE_HEIGHT_M)


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(sample: SampleSummary, tmp_path: Path) -> None:
    again = write_sample(tmp_path / "again", frames=3, seed=0, **SMALL)
    other = write_sample(tmp_path / "other", frames=3, seed=1, **SMALL)
    first = digests(sample.path)
    assert digests(again.path) == first
    differing = {name for name, digest in digests(other.path).items() if first[name] != digest}
    assert {f"pointcloud/{n}.ply" for n in range(3)} <= differing
    assert {f"cameras/front_camera/{n}.jpg" for n in range(3)} <= differing


def test_points_are_floats_with_intensity_from_0_to_255(sample: SampleSummary) -> None:
    points = read_points(sample.path / "pointcloud" / "1.ply")
    assert points.dtype == np.dtype([(name, "<f4") for name in ("x", "y", "z", "i")])
    assert np.isfinite(points["x"]).all()
    assert points["i"].min() >= 0
    assert points["i"].max() == 255
    assert np.array_equal(points["i"], np.rint(points["i"]))


def test_points_left_as_measured_carry_their_own_time(tmp_path: Path) -> None:
    raw = write_sample(tmp_path / "raw", frames=2, motion_compensated=False, **SMALL)
    points = read_points(raw.path / "pointcloud" / "1.ply")
    assert points.dtype["t"] == np.float64
    timestamp = json.loads((raw.path / "poses" / "1.json").read_text())["timestamp"]
    offset = points["t"].astype(np.int64) - timestamp
    assert (np.diff(offset) >= 0).all()
    assert -50_000_000 <= offset.min() < -45_000_000
    assert 45_000_000 < offset.max() <= 50_000_000
    # A point that is straight ahead was measured at the frame's timestamp.
    ahead = (np.abs(points["y"]) < 0.12 * points["x"]) & (points["x"] > 2)
    assert np.abs(offset[ahead]).max() < 3_000_000


def test_poses_follow_the_drive(sample: SampleSummary) -> None:
    values = [json.loads((sample.path / "poses" / f"{n}.json").read_text()) for n in range(3)]
    poses = [Pose.from_quaternion(value["heading"], value["position"]) for value in values]
    steps = [b.translation - a.translation for a, b in pairwise(poses)]
    assert [float(np.linalg.norm(step)) for step in steps] == pytest.approx([0.8, 0.8], abs=0.05)
    # The car drives forwards, along its own x axis.
    for pose, step in zip(poses, steps, strict=False):
        assert (pose.rotation.T @ step)[0] / np.linalg.norm(step) > 0.99
    assert np.diff([value["timestamp"] for value in values]).tolist() == [100_000_000] * 2
    assert all(pose.translation[2] == DEVICE_HEIGHT_M for pose in poses)


def test_calibration_is_readable_and_looks_the_right_way(sample: SampleSummary) -> None:
    looks = {}
    for camera in CAMERAS:
        folder = sample.path / "cameras" / camera
        intrinsics_from_mapping(json.loads((folder / "intrinsics.json").read_text()))
        values = json.loads((folder / "extrinsics.json").read_text())
        ego_from_camera = Pose.from_quaternion(values["heading"], values["position"])
        looks[camera] = ego_from_camera.rotate((0, 0, 1))
        assert ego_from_camera.rotate((0, 1, 0))[2] < -0.9  # down in the image is down on the road
    assert looks["front_camera"][0] > 0.9
    assert looks["left_camera"][1] > 0.8
    assert looks["right_camera"][1] < -0.8


def test_images_have_the_size_asked_for(sample: SampleSummary) -> None:
    with Image.open(sample.path / "cameras" / "left_camera" / "2.jpg") as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 40))


def test_radar_lines_have_seven_numbers(sample: SampleSummary) -> None:
    lines = (sample.path / "radar_points" / "0.txt").read_text().splitlines()
    assert len(lines) >= 4
    assert all(len([float(number) for number in line.split(", ")]) == 7 for line in lines)


def test_progress_counts_up_to_the_number_of_frames(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_sample(tmp_path / "out", frames=3, on_frame=lambda done, total: seen.append((done, total)), **SMALL)
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    "wrong", [{"frames": 0}, {"frames": -3}, {"seed": -1}, {"columns": 0}, {"image_width": 1}], ids=str
)
def test_numbers_out_of_range_are_refused_by_name(tmp_path: Path, wrong: dict[str, int]) -> None:
    (name, value), *_ = wrong.items()
    with pytest.raises(RecipeError, match=rf"{name} is {value}"):
        write_sample(tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RecipeError, match="Choose another folder"):
        write_sample(tmp_path, **SMALL)
    with pytest.raises(RecipeError, match="not an empty folder"):
        write_sample(tmp_path / "notes.txt", **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled_and_stays_the_same_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    before = out.stat().st_ino
    write_sample(out, frames=1, **SMALL)
    assert out.stat().st_ino == before
    assert {path.name for path in out.iterdir()} == {"cameras", "pointcloud", "poses", "radar_points"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    assert write_sample(tmp_path / "a" / "b", frames=1, **SMALL).path == tmp_path / "a" / "b"


def test_an_interrupted_recording_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample(tmp_path / "out", frames=4, on_frame=interrupt, **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_sample(tmp_path / "file" / "out", frames=1, **SMALL)
