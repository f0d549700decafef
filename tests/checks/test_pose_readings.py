"""Poses judged by the cloud: each kind of mistake is named with the option that settles it, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import lidarprep as lp
from benchmarks.plant.drives import drive
from benchmarks.plant.poses import EXPECTED, KINDS, plant
from lidarprep.checks import SceneSamples, check_scene
from lidarprep.checks._pose_readings import judge_poses
from lidarprep.checks._surroundings import search, shares, surroundings
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.pose_readings import READINGS, reread_trajectory, with_poses_read
from lidarprep.scene import Camera, CameraImage, Frame, PointCloud, Pose, Scene, Trajectory
from tests.checks.rigs import WIDE, at, level_camera


@pytest.fixture(scope="module")
def sound_drive() -> Scene:
    return drive(np.random.default_rng(1), frames=8, columns=300)


def _codes(scene: Scene) -> list[str]:
    return [finding.code for finding in check_scene(scene) if finding.code != "far-coordinates"]


def _settled(scene: Scene, value: str) -> Scene:
    return scene.with_points_in(value) if value in ("ego", "world") else with_poses_read(scene, value)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_each_mistake_is_named_and_its_option_makes_the_world_right(sound_drive: Scene, kind: str, seed: int) -> None:
    code, value = EXPECTED[kind]
    wrong = plant(sound_drive, kind, np.random.default_rng(seed))
    (finding,) = [one for one in judge_poses(wrong, SceneSamples(wrong)).findings if one.code != "far-coordinates"]
    assert finding.code == code
    if value is None:
        assert finding.option is None
        return
    assert finding.option is not None
    assert finding.option.flag.split()[-1] == value
    # The same place of the world's origin, without the mistake.
    right = plant(sound_drive, "sound", np.random.default_rng(seed))
    settled = _settled(wrong, value)
    assert judge_poses(settled, SceneSamples(settled)).poses == "fit"
    if value not in ("ego", "world"):
        for one, other in zip(settled, right, strict=True):
            assert one.world_from_ego is not None
            assert other.world_from_ego is not None
            assert one.world_from_ego.almost_equals(other.world_from_ego, 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_each_mistake_is_named_in_the_real_recording(recording: object, kind: str) -> None:
    scene = lp.open_scene(str(recording))
    wrong = plant(scene, kind, np.random.default_rng(5))
    verdict = judge_poses(wrong, SceneSamples(wrong))
    assert [finding.code for finding in verdict.findings] == [EXPECTED[kind][0]]
    assert judge_poses(scene, SceneSamples(scene)).poses == "fit"


@pytest.mark.parametrize(
    ("motion", "points_frame"),
    [
        ("ahead", "ego"),
        ("ahead", "world"),
        ("backwards", "ego"),
        ("sideways", "world"),
        ("at rest", "ego"),
        ("spin", "world"),
    ],
)
def test_sound_recordings_are_let_be_however_the_device_moves(motion: str, points_frame: str) -> None:
    scene = drive(np.random.default_rng(3), motion, speed=12.0, columns=240)  # type: ignore[arg-type]
    if points_frame == "world":
        scene = plant(scene, "points in the world", np.random.default_rng(3)).with_points_in("world")
    found = {finding.code for finding in check_scene(scene) if finding.severity != "note"}
    assert found <= {"far-coordinates"}
    expected = "unknown" if motion == "at rest" else "fit"
    assert judge_poses(scene, SceneSamples(scene)).poses == expected


def test_a_device_that_drives_sideways_is_noted_and_no_more(sound_drive: Scene) -> None:
    sideways = drive(np.random.default_rng(3), "sideways", speed=12.0, columns=240)
    notes = [finding for finding in check_scene(sideways) if finding.severity == "note"]
    assert [finding.code for finding in notes] == ["device-drives-odd"]
    assert "90° to the right" in notes[0].message
    assert _codes(sound_drive) == []


@pytest.mark.parametrize("step", [0.0, 1.0, 5.0])
def test_featureless_ground_tells_nothing(step: float) -> None:
    rng = np.random.default_rng(0)
    frames = []
    for row in range(4):
        ground = np.column_stack((rng.uniform(-40, 40, (20_000, 2)), rng.normal(-1.8, 0.02, 20_000)))
        cloud = PointCloud(ground, "ego")
        frames.append(Frame(str(row), row, lambda cloud=cloud: cloud, world_from_ego=at(step * row)))  # type: ignore[misc]
    scene = Scene("memory", "memory", tuple(frames))
    for kind in ("sound", "inverted", "transposed", "at rest"):
        planted = plant(scene, kind, np.random.default_rng(0))
        assert judge_poses(planted, SceneSamples(planted)).findings == []


@pytest.mark.parametrize("slope", [0.0, 0.08])
def test_rings_on_open_ground_move_with_the_lidar_and_tell_nothing(slope: float) -> None:
    rng = np.random.default_rng(0)
    distance = np.repeat(1.8 / np.tan(np.radians(np.arange(3.0, 26.0, 1.0))), 450)
    angle = np.tile(np.radians(np.arange(0.0, 360.0, 0.8)), 23)
    x, y = distance * np.cos(angle), distance * np.sin(angle)
    frames = []
    for row in range(4):
        cloud = PointCloud(np.column_stack((x, y, slope * x - 1.8 + rng.normal(0, 0.02, len(x)))), "ego")
        frames.append(Frame(str(row), row, lambda cloud=cloud: cloud, world_from_ego=at(3.0 * row)))  # type: ignore[misc]
    scene = Scene("memory", "memory", tuple(frames))
    assert judge_poses(scene, SceneSamples(scene)).findings == []


@pytest.mark.parametrize("kind", ["xyzw", "wxyz"])
def test_a_device_at_rest_whose_quaternions_are_in_the_wrong_order_leans(kind: str) -> None:
    scene = drive(np.random.default_rng(3), "at rest", columns=180, frames=3)
    heading = Rotation.from_euler("z", 75, degrees=True)
    wrong = replace(
        scene,
        frames=tuple(replace(frame, world_from_ego=_written(kind, heading, np.zeros(3))) for frame in scene),
    )
    (finding,) = [one for one in check_scene(wrong) if one.code != "far-coordinates"]
    assert finding.code == "device-leans"
    assert "is the quaternion w, x, y, z?" in finding.message
    assert finding.option is not None
    assert finding.option.flag == f"--poses-are {kind}"
    settled = with_poses_read(wrong, kind)
    assert _codes(settled) == []


def test_scaled_poses_fit_nothing(sound_drive: Scene) -> None:
    frames = tuple(
        replace(frame, world_from_ego=Pose(pose.rotation, 0.4 * pose.translation))
        for frame in sound_drive
        if (pose := frame.world_from_ego) is not None
    )
    scene = replace(sound_drive, frames=frames, trajectory=None)
    assert _codes(scene) == ["poses-misfit"]


def test_shares_are_those_of_sets_of_voxels() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 5, (2000, 3)), rng.normal(0, 5, (1500, 3))
    second[:300] = first[:300]
    second[5] = np.nan
    second[6] = 1e300
    poses = [Pose.identity(), Pose.from_euler(0.1, -0.2, 1.0, (3.0, -1.0, 0.2)), Pose.from_euler(0, 0, 0.01)]
    found = shares(first, second, np.array([pose.matrix[:3] for pose in poses]), 0.5)
    for pose, share in zip(poses, found, strict=True):
        one = {tuple(voxel) for voxel in np.floor(first / 0.5).astype(int).tolist()}
        moved = np.delete(second, [5, 6], axis=0) @ pose.rotation.T + pose.translation
        other = {tuple(voxel) for voxel in np.floor(moved / 0.5).astype(int).tolist()}
        assert share == pytest.approx(len(one & other) / min(len(one), len(other)), abs=2e-3)
    assert shares(first[:0], second, np.eye(3, 4)[None]).tolist() == [0.0]


def test_a_search_finds_the_motion_between_two_frames(sound_drive: Scene) -> None:
    one, other = sound_drive[0], sound_drive[4]
    samples = SceneSamples(sound_drive)
    first, second = samples.sample(one), samples.sample(other)
    assert first is not None
    assert second is not None
    found = search(surroundings(first), surroundings(second), np.eye(3, 4))
    assert one.world_from_ego is not None
    assert other.world_from_ego is not None
    true = one.world_from_ego.inverse() @ other.world_from_ego
    assert np.linalg.norm(found.motion[:, 3] - true.translation) < 0.3
    assert found.share > 1.4 * found.share_at_start


# ---- the option ----------------------------------------------------------------------------------------------------


def _written(reading: str, rotation: Rotation, place: np.ndarray) -> Pose:
    """A pose as a file has it that needs the reading, by SciPy."""
    if reading == "inverted":
        return Pose(rotation.inv().as_matrix(), -rotation.inv().apply(place))
    if reading == "xyzw":
        return Pose.from_quaternion(rotation.as_quat(), place)
    if reading == "wxyz":
        return Pose.from_quaternion(np.roll(rotation.as_quat(scalar_first=True), 1), place)
    if reading == "transposed":
        return Pose(rotation.as_matrix().T, place)
    optical = Rotation.from_matrix([[0, -1, 0], [0, 0, -1], [1, 0, 0]])
    return Pose((optical * rotation * optical.inv()).as_matrix(), optical.apply(place))


@pytest.mark.parametrize("reading", READINGS)
def test_frames_cameras_and_trajectory_are_read_so(reading: str) -> None:
    rng = np.random.default_rng(0)
    rotations = [Rotation.from_euler("zyx", rng.uniform(-0.4, 0.4, 3)) for _ in range(5)]
    places = [np.array([500.0 + 2 * k, -80.0 + k, 3.0]) for k in range(5)]
    times = [1_000_000_000 * k for k in range(5)]
    right = [Pose(one.as_matrix(), place) for one, place in zip(rotations, places, strict=True)]
    wrong = [_written(reading, one, place) for one, place in zip(rotations, places, strict=True)]
    path, sound_path = Trajectory.from_poses(times, wrong), Trajectory.from_poses(times, right)
    mount = level_camera(40, 5)
    camera = Camera("front", 0, WIDE, mount)
    at_frame, at_image = 1_500_000_000, 1_700_000_000
    frame_pose, image_pose = path.at(at_frame), path.at(at_image)
    assert frame_pose is not None
    assert image_pose is not None
    image = CameraImage(camera, world_from_camera=image_pose @ mount, timestamp=at_image)
    placed = CameraImage(replace(camera, name="mapped", ego_from_camera=None), world_from_camera=at(1, 2))
    frame = Frame("1", 0, lambda: PointCloud(np.zeros((1, 3)), "ego"), world_from_ego=frame_pose, timestamp=at_frame)
    scene = Scene("here", "made", (replace(frame, images=(image, placed)),), (camera,), trajectory=path)
    read = with_poses_read(scene, reading)
    expected, expected_image = sound_path.at(at_frame), sound_path.at(at_image)
    assert expected is not None
    assert expected_image is not None
    assert read[0].world_from_ego is not None
    assert read[0].world_from_ego.almost_equals(expected, 1e-6)
    moved, untouched = (one.world_from_camera for one in read[0].images)
    assert moved is not None
    assert moved.almost_equals(expected_image @ mount, 1e-6)
    assert untouched == at(1, 2)
    assert read.trajectory is not None
    assert np.allclose(read.trajectory.translations, sound_path.translations, atol=1e-9)
    without = with_poses_read(
        replace(scene, trajectory=None, frames=(replace(frame, world_from_ego=wrong[2]),)), reading
    )
    assert without[0].world_from_ego is not None
    assert without[0].world_from_ego.almost_equals(right[2], 1e-9)
    assert f"read as {reading}" in read.notes[-1]


def test_clouds_that_are_merged_by_the_motion_are_moved_by_the_poses_as_they_are_read() -> None:
    from lidarprep.datasets.multi_lidar import cloud_transforms

    right = [Pose.from_euler(0, 0, 0.1 * k, (20.0 * k, 5.0, 0.0)) for k in range(3)]
    times = [0, 100_000_000, 200_000_000]
    written = Trajectory.from_poses(times, [pose.inverse() for pose in right])
    options = OpenOptions(poses_are="inverted")
    (one,) = cloud_transforms([200_000_000], [100_000_000], written, options)
    assert one.frame_from_cloud is not None
    assert one.frame_from_cloud.almost_equals(right[1].inverse() @ right[2], 1e-9)
    assert reread_trajectory(written, "degrees") is written
