"""The checks on scenes in memory: what they must find, and what they must not take for a mistake."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lidarprep.checks import CheckOptions, check_scene, motion_within_sweeps, sample_of
from lidarprep.checks._cameras import image_size
from lidarprep.checks._samples import thinned
from lidarprep.errors import FindingsError, RecipeError
from lidarprep.scene import Camera, CameraImage, Finding, Frame, Intrinsics, Lidar, PointCloud, Pose, Scene, Trajectory
from lidarprep.scene.finding import refuse
from lidarprep.steps.intensity import guess_intensity_scale
from lidarprep.steps.recentre import scene_offset
from tests.checks.rigs import OPTICAL, WIDE, at, level_camera, ring, scene_of

AROUND = ring()
AHEAD = ring(degrees=(-60.0, 60.0))


# What these scenes lack on purpose.
_OF_RIGS = {"images-missing", "poses-missing", "repeated-points"}


def codes(scene: Scene, *, max_speed: float = 80.0, with_intensity: bool = True) -> list[str]:
    options = CheckOptions(max_speed=max_speed, with_intensity=with_intensity)
    return [finding.code for finding in check_scene(scene, options) if finding.code not in _OF_RIGS]


def seen_by(pose: Pose, *, points: np.ndarray = AROUND, intrinsics: Intrinsics = WIDE) -> list[str]:
    """What is found of one camera on a device at the origin."""
    return codes(scene_of([points], [at(0)], cameras=[Camera("camera", 0, intrinsics, pose)]))


degrees = st.floats(-180, 180)


@settings(max_examples=40)
@given(yaw=degrees, pitch=st.floats(-30, 40), roll=st.floats(-8, 8))
def test_a_camera_that_stands_level_is_sound_wherever_it_looks(yaw: float, pitch: float, roll: float) -> None:
    assert seen_by(level_camera(yaw, pitch, roll)) == []


@settings(max_examples=40)
@given(
    # Straight to the right the rotation of the extrinsics is its own inverse.
    yaw=degrees.filter(lambda yaw: abs(yaw + 90) > 15),
    pitch=st.floats(-20, 20),
    roll=st.floats(-2, 2),
)
def test_inverted_extrinsics_are_found_wherever_the_camera_looks(yaw: float, pitch: float, roll: float) -> None:
    assert seen_by(level_camera(yaw, pitch, roll).inverse()) == ["extrinsics-inverted"]


@given(yaw=degrees, pitch=st.floats(-20, 20))
def test_a_pose_in_the_axes_of_a_body_is_found(yaw: float, pitch: float) -> None:
    assert seen_by(level_camera(yaw, pitch) @ OPTICAL.inverse()) == ["extrinsics-body-axes"]


def test_a_camera_that_looks_straight_down_from_a_drone_is_sound() -> None:
    below = np.column_stack((np.random.default_rng(0).uniform(-40, 40, (5000, 2)), np.full(5000, -30.0)))
    assert seen_by(level_camera(0, 90), points=below) == []


@pytest.mark.parametrize("pitch", [0, 15, 50])
def test_a_camera_that_looks_ahead_from_a_drone_whose_lidar_looks_down_is_sound(pitch: float) -> None:
    below = np.column_stack((np.random.default_rng(0).uniform(-40, 40, (5000, 2)), np.full(5000, -40.0)))
    assert seen_by(level_camera(0, pitch), points=below) == []


@pytest.mark.parametrize("degrees", [15.0, 30.0])
@pytest.mark.parametrize("axis", ["roll", "pitch"])
def test_cameras_round_a_tilted_lidar_are_sound_and_inverted_ones_are_found(axis: str, degrees: float) -> None:
    """Where ego is the lidar: its own z is not up, the world's is."""
    angle = float(np.radians(degrees))
    tilted = Pose.from_euler(angle, 0, 0) if axis == "roll" else Pose.from_euler(0, angle, 0)
    for yaw in (0.0, -55.0, -90.0, -110.0, 180.0, 90.0):
        mounted = tilted @ level_camera(yaw)
        for pose, found in ((mounted, []), (mounted.inverse(), ["extrinsics-inverted"])):
            if found and yaw not in (0.0, 180.0):
                continue  # may be taken for askew by one of the two ways up
            scene = scene_of([tilted.apply(AROUND)], [at(0) @ tilted.inverse()], cameras=[Camera("c", 0, WIDE, pose)])
            assert codes(scene) == found


@pytest.mark.parametrize("degrees", [15.0, 25.0])
def test_cameras_on_a_steep_hill_are_sound(degrees: float) -> None:
    """The device's own z tells it, where the world's would not."""
    uphill = Pose.from_euler(0, -float(np.radians(degrees)), 0)
    for yaw in (0.0, -90.0, 90.0, 180.0):
        assert codes(scene_of([AROUND], [uphill], cameras=[Camera("c", 0, WIDE, level_camera(yaw))])) == []


def test_a_camera_on_its_side_is_sound() -> None:
    assert seen_by(level_camera(0, 5) @ Pose.from_euler(0, 0, np.pi / 2)) == []


def test_a_long_lens_that_sees_few_points_is_sound() -> None:
    long = Intrinsics(6000.0, 6000.0, 320.0, 240.0, width=640, height=480)
    assert seen_by(level_camera(0), intrinsics=long) == []


def test_a_camera_where_the_lidar_does_not_look_is_sound() -> None:
    assert seen_by(level_camera(180), points=AHEAD) == []


def test_a_camera_far_from_its_device_sees_too_little() -> None:
    mounted = level_camera(0)
    assert seen_by(mounted.translated((900.0, 0, 0))) == ["extrinsics-see-little"]


@pytest.mark.parametrize("points_frame", ["ego", "world"])
@pytest.mark.parametrize("yaw", [0.0, 60.0, 150.0])
def test_cameras_with_poses_in_the_world_alone_are_judged_relative_to_the_device(points_frame: str, yaw: float) -> None:
    device = at(120, -60, yaw=1.1)
    points = device.apply(AROUND) if points_frame == "world" else AROUND
    camera = Camera("camera", 0, WIDE)

    def right(pose: Pose, _: Camera) -> Pose:
        return pose @ level_camera(yaw)

    def wrong(pose: Pose, _: Camera) -> Pose:
        return (pose @ level_camera(yaw)).inverse()

    sound = scene_of([points], [device], cameras=[camera], points_frame=points_frame, world_from_camera=right)
    assert codes(sound) == []
    inverted = scene_of([points], [device], cameras=[camera], points_frame=points_frame, world_from_camera=wrong)
    findings = check_scene(inverted)
    assert [finding.code for finding in findings] == ["extrinsics-inverted"]
    assert findings[0].option is None


def test_a_camera_without_any_pose_is_not_judged() -> None:
    camera = Camera("camera", 0, WIDE)
    assert codes(scene_of([AROUND], [at(0)], cameras=[camera])) == []
    assert codes(scene_of([AROUND], [None], cameras=[replace(camera, ego_from_camera=level_camera(0))])) == []


@settings(max_examples=8)
@given(x=st.floats(-300, 300), y=st.floats(-300, 300), yaw=st.floats(-3, 3), ahead=st.booleans())
def test_sound_points_are_right_wherever_the_device_is(x: float, y: float, yaw: float, ahead: bool) -> None:
    points = AHEAD if ahead else AROUND
    poses = [at(x + 2 * k, y + k, yaw) for k in range(3)]
    assert codes(scene_of([points] * 3, poses)) == []
    in_world = [pose.apply(points) for pose in poses]
    assert codes(scene_of(in_world, poses, points_frame="world")) == []


@settings(max_examples=20)
@given(angle=degrees, distance=st.floats(150, 5000), yaw=st.floats(-3, 3), ahead=st.booleans())
def test_points_in_the_other_frame_of_reference_are_found(
    angle: float, distance: float, yaw: float, ahead: bool
) -> None:
    points = AHEAD if ahead else AROUND
    x, y = distance * np.cos(np.radians(angle)), distance * np.sin(np.radians(angle))
    poses = [at(x + 2 * k, y + k, yaw) for k in range(3)]
    assert codes(scene_of([points] * 3, poses, points_frame="world")) == ["points-in-ego"]
    assert codes(scene_of([pose.apply(points) for pose in poses], poses)) == ["points-in-world"]


def drive(length: float, *, seed: int, view: float = 180.0) -> tuple[list[np.ndarray], list[Pose]]:
    """Three frames of a drive, each with points of its own that grow sparse with the distance."""
    rng = np.random.default_rng(seed)
    clouds = []
    for _ in range(3):
        angle, distance = np.radians(rng.uniform(-view, view, 6000)), 3 + rng.exponential(14, 6000)
        height = rng.uniform(-1.8, 4, 6000)
        clouds.append(np.column_stack((distance * np.cos(angle), distance * np.sin(angle), height)))
    return clouds, [at(length * k / 2, seed % 7, 0.1 * k) for k in range(3)]


@settings(max_examples=8)
@given(length=st.floats(40, 300), seed=st.integers(0, 1000), ahead=st.booleans())
def test_a_drive_through_a_town_is_enough_to_tell_the_frames_of_reference_apart(
    length: float, seed: int, ahead: bool
) -> None:
    """No longer than the points reach, so that the device never leaves the box around them."""
    clouds, poses = drive(length, seed=seed, view=60.0 if ahead else 180.0)
    in_world = [pose.apply(cloud) for pose, cloud in zip(poses, clouds, strict=True)]
    assert codes(scene_of(clouds, poses)) == []
    assert codes(scene_of(in_world, poses, points_frame="world")) == []
    assert codes(scene_of(clouds, poses, points_frame="world")) == ["points-in-ego"]
    assert codes(scene_of(in_world, poses)) == ["points-in-world"]


@pytest.mark.parametrize("length", [20.0, 60.0])
def test_points_cropped_to_a_region_of_the_world_are_sound_wherever_the_device_goes(length: float) -> None:
    """So is a map, the same in every frame."""
    _, poses = drive(length, seed=1)
    region = np.random.default_rng(0).uniform((-25, -15, -2), (25, 15, 3), (3, 6000, 3))
    assert codes(scene_of(list(region), poses, points_frame="world")) == []
    assert codes(scene_of([region[0]] * 3, poses, points_frame="world")) == []
    cropped = [pose.inverse().apply(points) for pose, points in zip(poses, region, strict=True)]
    assert codes(scene_of(cropped, poses)) == []


def test_a_device_that_turns_beside_a_wall_is_let_be() -> None:
    """It sees one side of the world, round its origin, first on its left and then on its right."""
    clouds, _ = drive(0, seed=2)
    poses = [at(0.5 * k, -8, np.pi * k / 2) for k in range(3)]
    in_world = [pose.apply(cloud) for pose, cloud in zip(poses, clouds, strict=True)]
    in_world = [points[points[:, 1] > -8 - 0.3 * k] for k, points in enumerate(in_world)]
    assert codes(scene_of(in_world, poses, points_frame="world")) == []
    in_ego = [pose.inverse().apply(points) for pose, points in zip(poses, in_world, strict=True)]
    assert codes(scene_of(in_ego, poses)) == []


@given(x=st.floats(-40, 40), y=st.floats(-40, 40), seed=st.integers(0, 1000), spread=st.floats(2, 40))
def test_points_that_leave_no_hole_round_the_device_are_let_be(x: float, y: float, seed: int, spread: float) -> None:
    """As those of a lidar in the hand, or on a drone."""
    points = np.random.default_rng(seed).normal(0, spread, (4000, 3))
    assert codes(scene_of([points], [at(x, y)])) == []
    assert codes(scene_of([at(x, y).apply(points)], [at(x, y)], points_frame="world")) == []


def test_a_file_of_projected_coordinates_is_in_the_world() -> None:
    utm = AROUND + np.array([448_262.0, 5_411_932.0, 300.0])
    assert codes(scene_of([utm], [Pose.identity()])) == ["points-in-world", "far-coordinates"]
    assert codes(scene_of([utm], [None], points_frame="world")) == ["far-coordinates"]


def test_a_lidar_at_the_roadside_that_watches_a_place_apart_is_sound() -> None:
    watched = np.random.default_rng(0).uniform((40, -15, -4), (75, 15, 0), (4000, 3))
    assert codes(scene_of([watched], [Pose.identity()])) == []
    assert codes(scene_of([watched], [at(3000, 200)])) == []


def test_a_jump_is_judged_by_time_where_there_is_time() -> None:
    poses = [at(25.0 * k) for k in range(4)]
    clouds = [AROUND] * 4
    tenths = [k * 100_000_000 for k in range(4)]
    assert codes(scene_of(clouds, poses, timestamps=tenths)) == ["device-jumps"]
    assert codes(scene_of(clouds, poses, timestamps=tenths), max_speed=251) == []
    assert codes(scene_of(clouds, poses, timestamps=[10 * time for time in tenths])) == []
    assert codes(scene_of(clouds, poses)) == []


def test_jitter_in_no_time_is_no_jump() -> None:
    assert codes(scene_of([AROUND] * 2, [at(0), at(0.2)], timestamps=[0, 1000])) == ["frame-rate"]


def test_frames_out_of_order_are_not_taken_for_jumps() -> None:
    scene = scene_of([AROUND] * 3, [at(0), at(4), at(2)], timestamps=[0, 200_000_000, 100_000_000])
    assert codes(scene) == ["frames-out-of-order"]


def test_rounding_to_five_decimals_is_not_odd_and_more_is() -> None:
    sound = Pose.from_quaternion([0.70711, 0.70711, 0, 0])
    odd = Pose.from_quaternion([0.7072, 0.7072, 0, 0])
    scene = scene_of([AROUND], [at(0)])
    for pose, found in ((sound, []), (odd, ["rotation-not-unit"])):
        assert codes(replace(scene, lidars=(Lidar("top", 0, pose),))) == found
        assert codes(replace(scene, trajectory=Trajectory.from_poses([0], [pose]))) == found


def test_intensities_that_are_not_used_are_not_judged() -> None:
    scene = scene_of([AROUND], [at(0)])
    dark = replace(scene[0].points(), intensity=np.zeros(len(AROUND), dtype=np.uint8))
    scene = replace(scene, frames=(scene[0].with_data(dark),))
    assert codes(scene) == ["intensity-zero"]
    assert codes(scene, with_intensity=False) == []


@pytest.mark.parametrize("positions", [np.zeros((0, 3)), np.full((5, 3), np.nan)])
def test_a_frame_without_a_finite_point_is_let_be(positions: np.ndarray) -> None:
    assert codes(scene_of([positions], [at(0)], cameras=[Camera("camera", 0, WIDE, level_camera(0))])) == []


@pytest.mark.parametrize("points_frame", ["ego", "world"])
def test_coordinates_beyond_all_measure_raise_nothing(points_frame: str) -> None:
    beyond = np.array([[1e308, -1e308, 1e308], [-1e308, 1e308, 0.0], [1e-308, 0.0, 0.0]] * 5)
    camera = Camera("camera", 0, WIDE, level_camera(30, 20))
    assert codes(scene_of([beyond], [at(5, yaw=1)], cameras=[camera], points_frame=points_frame)) == ["far-coordinates"]


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["uint8", "whole", "fraction", "one fraction", "nan"]))
def test_few_points_of_a_cloud_tell_its_scale_and_offset_as_all_of_them_do(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    positions = rng.normal(0, 1e5, (3000, 3))
    positions[rng.integers(0, 3000, 20)] = np.nan
    intensity: np.ndarray = {
        "uint8": rng.integers(0, 256, 3000).astype(np.uint8),
        "whole": rng.integers(0, 256, 3000).astype(np.float32),
        "fraction": rng.random(3000),
        "one fraction": np.where(np.arange(3000) == rng.integers(3000), 7.5, 200.0),
        "nan": np.where(rng.random(3000) < 0.9, np.nan, rng.integers(0, 256, 3000)),
    }[kind]
    cloud = PointCloud(positions, "world", intensity=intensity)
    few = thinned(cloud, most=50)
    assert 50 <= len(few) <= 70
    scene = scene_of([positions], [None], points_frame="world")
    assert scene_offset(scene.frames, few) == scene_offset(scene.frames, cloud)

    def guess(points: PointCloud) -> object:
        try:
            return guess_intensity_scale([points])
        except RecipeError as error:
            return error.message

    assert guess(few) == guess(cloud)


def test_few_points_are_of_every_laser() -> None:
    """Whose points come in turns."""
    rings = np.tile(np.arange(64, dtype=np.uint16), 2000)
    few = thinned(PointCloud(np.zeros((len(rings), 3)), ring=rings), most=2000)  # one of 64 rows
    assert few.ring is not None
    assert len(np.unique(few.ring)) == 64


def test_the_size_of_a_image_is_its_calibrations_or_its_own(tmp_path: Path) -> None:
    unsized = Camera("camera", 0, Intrinsics(400.0, 400.0, 319.5, 239.6))
    encoded = io.BytesIO()
    Image.new("RGB", (320, 200)).save(encoded, "PNG")
    (tmp_path / "a.png").write_bytes(encoded.getvalue())
    (tmp_path / "b.png").write_bytes(b"no image")
    assert image_size(CameraImage(replace(unsized, intrinsics=WIDE), tmp_path / "a.png")) == (640, 480)
    assert image_size(CameraImage(unsized, tmp_path / "a.png")) == (320, 200)
    assert image_size(CameraImage(unsized, content=encoded.getvalue)) == (320, 200)
    assert image_size(CameraImage(unsized, tmp_path / "a.png", scale_factor=2.0)) == (640, 400)
    for unreadable in (tmp_path / "b.png", tmp_path / "c.png", None):
        assert image_size(CameraImage(unsized, unreadable)) is None


def test_a_strict_run_ends_with_every_finding() -> None:
    refuse([])
    findings = [Finding("one-thing", "this is odd", "mend it"), Finding("another", "so is that", "heal it")]
    refuse(findings)
    with pytest.raises(FindingsError) as ended:
        refuse([*findings, Finding("as-well", "by the way", severity="note")], strict=True)
    assert ended.value.message == "2 warnings are errors, as --strict asks"
    assert ended.value.codes == ("one-thing", "another")
    for finding in findings:
        assert f"{finding.code}: {finding.message}\n  {finding.cure}" in str(ended.value)
    refuse(findings, accept=["one-thing", "another"], strict=True)


def test_an_error_ends_a_run_unless_it_is_accepted() -> None:
    findings = [Finding("one-thing", "this is wrong", severity="error"), Finding("another", "this is odd")]
    with pytest.raises(FindingsError, match="1 finding would ruin a task") as ended:
        refuse(findings)
    assert "--accept one-thing" in str(ended.value)
    assert "another" not in str(ended.value)
    refuse(findings, accept=["one-thing"])
    with pytest.raises(FindingsError, match="1 warning is an error"):
        refuse(findings, accept=["one-thing"], strict=True)


def test_motion_within_sweeps_is_told_where_points_have_times_and_the_device_moves() -> None:
    start, tenth = 1_700_000_000_000_000_000, 100_000_000
    times = start + np.linspace(0, tenth, 50).astype(np.int64)

    def hint(speed: float, *, timed: bool = True, **fields: Any) -> str | None:
        cloud = PointCloud(np.ones((50, 3), np.float32), timestamp=times if timed else None)
        frames = tuple(
            Frame(str(k), k, lambda: cloud, world_from_ego=at(speed * k / 10), timestamp=start + k * tenth)
            for k in (0, 1)
        )
        return motion_within_sweeps(Scene("", "", frames, **fields), [sample_of(frames[0], cloud)])

    assert "takes 100 ms, in which the device moves 2.00 m" in str(hint(20))
    assert hint(0) is None
    assert hint(20, timed=False) is None
    assert hint(20, motion_compensated=True) is None
    assert hint(20, points_frame="world") is None


def test_nobody_doubts_the_frame_of_reference_that_a_format_itself_gives() -> None:
    scene = scene_of([AROUND], [at(150)], points_frame="world")
    assert codes(scene) == ["points-in-ego"]
    assert codes(replace(scene, points_frame_is_certain=True)) == []
