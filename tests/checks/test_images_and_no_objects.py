"""Each fault of images, calibration and points that are none is found where it is planted, and nowhere else."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import lidarprep as lp
from benchmarks.plant import images, points
from lidarprep.checks import CheckOptions, SceneSamples, check_scene
from lidarprep.checks._images import odd_images, odd_intrinsics
from lidarprep.checks._no_objects import count_repeated, no_objects
from lidarprep.checks.codes import CODES
from lidarprep.sample import write_sample
from lidarprep.scene import Camera, Finding, Frame, Intrinsics, PointCloud, Pose, Scene


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "recording"
    write_sample(folder, frames=5, columns=120, image_width=320)
    return folder


def of_images(folder: Path) -> list[Finding]:
    scene = lp.open_scene(folder)
    return [*odd_images(SceneSamples(scene), decode=True, unreadable=True), *odd_intrinsics(scene)]


def test_a_sound_recording_has_none(sound: Path) -> None:
    assert of_images(sound) == []
    assert no_objects(SceneSamples(lp.open_scene(sound))) == []


def test_the_real_recording_has_but_a_note_on_its_own_roof(recording: Path) -> None:
    assert of_images(recording) == []
    (finding,) = no_objects(SceneSamples(lp.open_scene(recording)))
    assert (finding.code, finding.severity) == ("points-on-device", "note")
    assert isinstance(finding.found, float)
    assert 550 < finding.found < 750


@pytest.mark.parametrize("plant", images.PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_of_images_is_found_at_its_camera(sound: Path, tmp_path: Path, plant: images.Plant) -> None:
    folder = tmp_path / "recording"
    shutil.copytree(sound, folder)
    camera = images.camera_names(folder)[-1]
    code = plant(folder, camera)
    (finding,) = of_images(folder)
    assert (finding.code, finding.subject.name, finding.severity) == (code, camera, CODES[code].severity)


def test_the_message_names_both_sizes_and_the_file(sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    shutil.copytree(sound, folder)
    one, two, three = images.camera_names(folder)[:3]
    images.calibration_of_another_shape(folder, one)
    images.calibration_of_another_size(folder, two)
    images.cut_image(folder, three)
    said = {finding.subject.name: finding.message for finding in of_images(folder)}
    assert "size of 320 × 200 pixels, and its calibration is for 320 × 241" in said[one]
    assert "as if the calibration were for images 2 times as large" in said[two]
    assert "1 image of the 5 that were looked at cannot be decoded" in said[three]
    assert str(folder / "cameras" / three) in said[three]


def test_quick_checks_read_headers_alone(sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    shutil.copytree(sound, folder)
    one, two = images.camera_names(folder)[:2]
    images.cut_image(folder, one)
    images.empty_image(folder, two)
    samples = SceneSamples(lp.open_scene(folder))
    assert [one.subject.name for one in odd_images(samples, decode=False, unreadable=True)] == [two]
    found = check_scene(lp.open_scene(folder), CheckOptions(unreadable_images=False))
    assert "image-unreadable" not in {finding.code for finding in found}


@pytest.mark.parametrize(
    ("intrinsics", "codes"),
    [
        (Intrinsics(1000, 1000, 960, 540, width=1920, height=1080), []),
        (Intrinsics(721.5, 721.5, 609.6, 172.9, width=1242, height=375), []),  # KITTI
        (Intrinsics(300, 300, 640, 480, model="fisheye", width=1280, height=960), []),  # 244°
        (Intrinsics(19.7, 19.7, 960, 540, width=1920, height=1080), ["field-of-view"]),
        (Intrinsics(90_000, 90_000, 960, 540, width=1920, height=1080), ["field-of-view"]),
        (Intrinsics(100, 100, 640, 480, model="fisheye", width=1280, height=960), ["field-of-view"]),
        (Intrinsics(1000, 1300, 960, 540, width=1920, height=1080), ["focal-lengths-differ"]),
        (Intrinsics(1000, 1300, 960, 540, model="cylindrical", width=1920, height=1080), []),
        (Intrinsics(1000, 1000, 1500, 540, width=1920, height=1080), ["principal-point"]),
        (Intrinsics(1000, 1000, 960, -3, width=1920, height=1080), ["principal-point"]),
        (Intrinsics(19.7, 19.7, -960, 540), []),  # of no known size
    ],
)
def test_intrinsics_go_with_their_images(intrinsics: Intrinsics, codes: list[str]) -> None:
    scene = Scene("here", "toolkit", (), (Camera("front", 0, intrinsics),))
    assert [finding.code for finding in odd_intrinsics(scene)] == codes


@pytest.mark.parametrize("plant", [points.repeated_points, points.roof], ids=["repeated", "roof"])
def test_planted_points_that_are_none_are_counted(sound: Path, plant: object) -> None:
    assert callable(plant)
    scene, code = plant(lp.open_scene(sound), 3)
    (finding,) = no_objects(SceneSamples(scene))
    assert (finding.code, finding.severity) == (code, "note")
    if code == "points-on-device":
        assert finding.found == 500
    else:
        middle = scene[2].points().positions
        assert finding.message.startswith(f"frame {scene[2].id}: {len(middle) - len(np.unique(middle, axis=0))} of")


@given(hnp.arrays(np.float32, st.integers(0, 30).map(lambda n: (n, 3)), elements=st.sampled_from([0.0, -0.0, 1.5, -2])))
def test_repeated_points_are_those_that_numpy_finds(positions: NDArray[np.float32]) -> None:
    expected = len(positions) - len(np.unique(positions + 0.0, axis=0))
    assert count_repeated(positions) == count_repeated(positions.astype(np.float64)) == expected


def test_a_wall_along_the_way_is_not_on_the_device() -> None:
    rng = np.random.default_rng(0)
    along = rng.uniform(-40, 60, 60_000)
    wall = np.column_stack((along, np.full(len(along), 1.5), rng.uniform(-1.5, 1.5, len(along))))
    ground = np.column_stack((rng.uniform(-40, 60, 20_000), rng.uniform(-1.4, 1.4, 20_000), np.full(20_000, -1.8)))
    world = np.vstack((wall, ground))

    def frame(k: int) -> Frame:
        pose = Pose.from_euler(0, 0, 0, (3.0 * k, 0, 0))
        return Frame(str(k), k, lambda: PointCloud(pose.inverse().apply(world)), world_from_ego=pose)

    scene = Scene("here", "toolkit", tuple(frame(k) for k in range(3)))
    assert no_objects(SceneSamples(scene)) == []
