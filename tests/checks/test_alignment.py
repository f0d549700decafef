"""Cameras judged by their images: planted faults are named with the rotation, sound cameras are not."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from typer.testing import CliRunner

import lidarprep as lp
from benchmarks.plant.extrinsics import exchange_images, exchange_poses, late_images, plant, turn
from lidarprep.checks import CheckOptions, SceneSamples, _alignment, check_scene
from lidarprep.checks._alignment import misaligned_cameras
from lidarprep.cli import app
from lidarprep.sample import write_sample
from lidarprep.scene import CameraImage, Finding, Scene


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("street") / "recording", frames=3, seed=4, image_width=640).path


def judged(scene: Scene) -> list[Finding]:
    return misaligned_cameras(scene, SceneSamples(scene))


def only(scene: Scene, name: str) -> Scene:
    """The scene with one camera, which is the quicker to judge."""
    frames = [replace(f, images=tuple(i for i in f.images if i.camera.name == name)) for f in scene]
    return replace(scene, cameras=tuple(c for c in scene.cameras if c.name == name), frames=tuple(frames))


def edited(scene: Scene, edit: Callable[[Image.Image], Image.Image]) -> Scene:
    def changed(image: CameraImage) -> CameraImage:
        assert image.path is not None
        buffer = io.BytesIO()
        edit(Image.open(image.path)).save(buffer, "PNG")
        return replace(image, content=buffer.getvalue)

    return replace(scene, frames=tuple(replace(f, images=tuple(map(changed, f.images))) for f in scene))


def assert_turned_back(finding: Finding, scene: Scene, camera: str) -> None:
    """The calibration that the finding gives is the sound one, within half a degree."""
    assert finding.code == "camera-misaligned"
    assert finding.calibration is not None
    pose = finding.calibration["cameras"][camera]["ego_from_camera"]
    found = lp.Pose.from_quaternion(pose["quaternion"], pose["translation"])
    sound = next(one for one in scene.cameras if one.name == camera).ego_from_camera
    assert sound is not None
    np.testing.assert_allclose(found.translation, sound.translation, atol=1e-9)
    cosine = (np.trace(sound.rotation.T @ found.rotation) - 1) / 2
    assert np.degrees(np.arccos(min(cosine, 1))) < 0.5


def test_sound_cameras_are_not_named(street: Path) -> None:
    assert judged(lp.open_scene(street)) == []


def test_sound_cameras_of_a_real_recording_are_not_named(recording: Path) -> None:
    assert judged(lp.open_scene(recording)) == []


def test_a_turned_camera_of_a_real_recording_is_named_with_its_pose(recording: Path) -> None:
    camera = "front_left_camera"
    scene = lp.open_scene(recording)
    (finding,) = judged(plant(only(scene, camera), camera, (0.4, -0.7, 0.6), 1.5))
    assert finding.subject == lp.scene.Subject("camera", camera)
    assert_turned_back(finding, scene, camera)


@pytest.mark.parametrize(("axis", "degrees"), [((1, 0, 0), -1.2), ((0, 1, 0), 1.5), ((0.5, 0.5, -0.7), 2.5)])
def test_a_turned_camera_is_named_with_its_pose(street: Path, axis: tuple[float, ...], degrees: float) -> None:
    scene = lp.open_scene(street)
    (finding,) = judged(plant(only(scene, "left_camera"), "left_camera", axis, degrees))
    assert_turned_back(finding, scene, "left_camera")


def test_it_does_not_matter_in_what_frame_points_and_poses_are(street: Path) -> None:
    scene = plant(only(lp.open_scene(street), "left_camera"), "left_camera", (0, 1, 0), 1.5)
    frames = []
    for frame in scene:
        assert frame.world_from_ego is not None
        points = frame.points()
        there = replace(points, positions=frame.world_from_ego.apply(points.positions), frame="world")
        camera = replace(scene.cameras[0], ego_from_camera=None)
        images = tuple(replace(image, camera=camera) for image in frame.images)
        frames.append(replace(frame.with_data(there), images=images, world_from_ego=None))
    (finding,) = judged(replace(scene, frames=tuple(frames), cameras=(camera,), points_frame="world"))
    assert finding.calibration is not None
    pose = finding.calibration["cameras"]["left_camera"]["given_from_camera"]
    found = lp.Pose.from_quaternion(pose["quaternion"], pose["translation"])
    expected = turn((0, 1, 0), -1.5)
    cosine = (np.trace(expected.rotation.T @ found.rotation) - 1) / 2
    assert np.degrees(np.arccos(min(cosine, 1))) < 0.5


def test_shrunk_images_are_judged_by_the_intrinsics_of_the_whole(street: Path) -> None:
    scene = edited(only(lp.open_scene(street), "front_camera"), lambda image: image.reduce(2))
    frames = [replace(f, images=tuple(replace(i, scale_factor=2.0) for i in f.images)) for f in scene]
    scene = replace(scene, frames=tuple(frames))
    assert judged(scene) == []
    assert [finding.code for finding in judged(plant(scene, "front_camera", (1, 0, 0), 2))] == ["camera-misaligned"]


def calibrated_anew(scene: Scene) -> Scene:
    """As in KITTI object: no poses, and a camera with a calibration of its own in each frame, image size included."""
    frames = []
    for row, frame in enumerate(scene):
        turned, cut = turn((0, 0, 1), 6.0 * row), 24 * row
        cloud = frame.points()
        (image,) = frame.images
        assert image.path is not None
        pixels = Image.open(image.path)
        buffer = io.BytesIO()
        pixels.crop((cut, 0, *pixels.size)).save(buffer, "PNG")
        own = image.camera
        assert own.ego_from_camera is not None
        lens = replace(own.intrinsics, cx=own.intrinsics.cx - cut, width=pixels.size[0] - cut, height=pixels.size[1])
        camera = replace(own, intrinsics=lens, ego_from_camera=turned @ own.ego_from_camera)
        shot = CameraImage(camera, world_from_camera=camera.ego_from_camera, content=buffer.getvalue)
        moved = frame.with_data(replace(cloud, positions=turned.apply(cloud.positions)))
        frames.append(replace(moved, world_from_ego=None, images=(shot,)))
    return replace(scene, frames=tuple(frames), cameras=(frames[0].images[0].camera,), trajectory=None)


def test_a_camera_that_is_calibrated_anew_in_each_frame_is_judged_by_each(street: Path) -> None:
    scene = only(lp.open_scene(street), "left_camera")
    assert judged(calibrated_anew(scene)) == []
    (finding,) = judged(calibrated_anew(plant(scene, "left_camera", (0, 1, 0), 1.5)))
    assert finding.calibration is not None
    assert list(finding.calibration["cameras"]["left_camera"]) == ["given_from_camera"]


def test_an_image_that_the_recording_cannot_give_is_left_out(street: Path) -> None:
    def torn() -> bytes:
        raise lp.FormatError("drive.mcap", found="a chunk is cut off")

    scene = plant(only(lp.open_scene(street), "left_camera"), "left_camera", (0, 1, 0), 2)
    first, *others = scene.frames
    torn_image = replace(first.images[0], path=None, content=torn)
    scene = replace(scene, frames=(replace(first, images=(torn_image,)), *others))
    assert [one.code for one in check_scene(scene)] == ["image-unreadable"]  # two frames are not enough for more


def test_dark_black_and_blurred_images_say_nothing(street: Path) -> None:
    scene = plant(only(lp.open_scene(street), "right_camera"), "right_camera", (1, 0, 0), 2)
    assert judged(edited(scene, lambda image: image.point(lambda value: 0))) == []
    sound = only(lp.open_scene(street), "right_camera")
    assert judged(edited(sound, lambda image: image.point(lambda value: value * 0.05))) == []
    assert judged(edited(sound, lambda image: image.filter(ImageFilter.GaussianBlur(15)))) == []


def test_two_frames_are_not_enough(street: Path) -> None:
    scene = plant(only(lp.open_scene(street), "left_camera"), "left_camera", (0, 1, 0), 2)
    assert judged(replace(scene, frames=scene.frames[:2])) == []


def test_cameras_of_one_another_s_poses_are_named_together(street: Path) -> None:
    scene = lp.open_scene(street)
    (finding,) = judged(exchange_poses(scene, "front_camera", "left_camera"))
    assert (finding.code, finding.subject.name, finding.found) == ("cameras-swapped", "front_camera", "left_camera")
    assert finding.severity == "error"
    assert finding.calibration is not None
    for camera in scene.cameras[:2]:
        pose = finding.calibration["cameras"][camera.name]["ego_from_camera"]
        assert camera.ego_from_camera is not None
        np.testing.assert_allclose(pose["quaternion"], camera.ego_from_camera.quaternion, atol=1e-12)


def test_exchanged_cameras_of_a_real_recording_are_an_error(recording: Path) -> None:
    one, other = "front_camera", "front_left_camera"
    (finding,) = judged(exchange_poses(lp.open_scene(recording), one, other))
    assert (finding.code, finding.severity) == ("cameras-swapped", "error")
    assert {finding.subject.name, finding.found} == {one, other}


def test_cameras_of_a_stereo_pair_are_not_taken_for_one_another(street: Path) -> None:
    """A twin beside a turned camera agrees with its images as much as it does itself."""
    scene = plant(only(lp.open_scene(street), "left_camera"), "left_camera", (0, 1, 0), 1.5)
    frames = []
    for frame in scene:
        (image,) = frame.images
        twin = replace(image.camera, name="twin", index=1)
        frames.append(replace(frame, images=(image, replace(image, camera=twin))))
    scene = replace(scene, frames=tuple(frames), cameras=(scene.cameras[0], twin))
    assert [one.code for one in judged(scene)] == ["camera-misaligned"] * 2


def test_cameras_of_one_another_s_images_are_named_together(street: Path) -> None:
    (finding,) = judged(exchange_images(lp.open_scene(street), "front_camera", "left_camera"))
    assert (finding.code, finding.subject.name, finding.found) == ("cameras-swapped", "front_camera", "left_camera")


def test_images_out_of_time_are_named_as_such_or_not_at_all(street: Path) -> None:
    scene = only(lp.open_scene(street), "left_camera")
    late = late_images(replace(scene, frames=scene.frames * 2), "left_camera")
    assert all("or its images are out of time" in finding.message for finding in judged(late))


def test_a_quick_check_reads_no_image(street: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = plant(only(lp.open_scene(street), "left_camera"), "left_camera", (0, 1, 0), 2)
    assert [one.code for one in check_scene(scene)] == ["camera-misaligned"]
    assert check_scene(scene, CheckOptions(level="quick")) == []


def test_the_calibration_that_is_written_settles_the_finding(street: Path, tmp_path: Path) -> None:
    scene = lp.open_scene(street)
    turned = plant(scene, "left_camera", (0.5, 1, 0), 1.6).cameras[1].ego_from_camera
    assert turned is not None
    given, corrected = tmp_path / "given.json", tmp_path / "corrected.json"
    pose = {"quaternion": turned.quaternion.tolist(), "translation": turned.translation.tolist()}
    given.write_text(json.dumps({"cameras": {"left_camera": {"ego_from_camera": pose}}}))
    common = ["inspect", str(street), "--camera", "left_camera", "--calibration"]
    told = CliRunner().invoke(app, [*common, str(given), "--write-calibration", str(corrected)])
    assert told.exit_code == 0, told.output
    assert "camera-misaligned" in told.output
    settled = CliRunner().invoke(app, [*common, str(corrected), "--json"])
    assert json.loads(settled.stdout)["findings"] == []
    assert json.loads(settled.stdout)["calibration"] is None


def test_the_exchanged_poses_that_are_written_settle_the_finding(street: Path, tmp_path: Path) -> None:
    swapped, file = tmp_path / "swapped", tmp_path / "calibration.json"
    shutil.copytree(street, swapped)
    one, other = (swapped / f"cameras/{side}_camera/extrinsics.json" for side in ("front", "left"))
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)
    told = CliRunner().invoke(app, ["inspect", str(swapped), "--write-calibration", str(file), "--json"])
    assert [finding["code"] for finding in json.loads(told.stdout)["findings"]] == ["cameras-swapped"]
    settled = CliRunner().invoke(app, ["inspect", str(swapped), "--calibration", str(file), "--json"])
    assert json.loads(settled.stdout)["findings"] == []


def test_cameras_are_judged_by_compensated_points_where_these_are_prepared(
    street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = only(lp.open_scene(street), "left_camera")
    asked: list[bool] = []

    def points(self: _alignment._Check, frame: lp.scene.Frame, *, deskew: bool) -> lp.PointCloud:
        asked.append(deskew)
        return frame.points()

    monkeypatch.setattr(_alignment._Check, "_points", points)
    check_scene(scene, CheckOptions(deskew=True))
    assert asked == [True] * 3
