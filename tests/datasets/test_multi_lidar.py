"""Several lidars that see at different times, on a device at 20 m/s that turns: what they see must stay where it is.

Landmarks that stand still are seen by each lidar from where it is at the time, by NumPy alone. However the clouds are
put together, the landmarks must come out at their places in the world.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lidarprep.datasets import open_scene
from lidarprep.pointfiles import write_points
from lidarprep.scene import PointCloud, Scene
from lidarprep.steps import StepReport
from lidarprep.steps.deskew import Deskew
from tests.datasets.generated import quaternion
from tests.datasets.test_ros_poses import MS, T0, matrix, tf, written
from tests.datasets.write_ros import Message, point_cloud

Matrix = np.ndarray[Any, Any]

LANDMARKS = np.array([[30.0, 4, 1], [12, -7, 0.5], [25, 1, 3], [8, 9, -1]])
EGO_FROM = {"left": matrix(1.2, 0.5, 0.8, 1.5), "top": matrix(-0.4, 1.0, 0.0, 2.0)}
# Of three frames, relative to T0: the left lidar sees 50 ms after the top one.
STAMPS = {"top": [0, 100, 200], "left": [50, 150, 250]}


def world_from_ego(ms: float) -> Matrix:
    """20 m/s along x and 0.6 rad/s to the left: straight and steady, so that interpolation is exact."""
    return matrix(0.6 * ms / 1000, 20 * ms / 1000)


def seen(name: str, times_ms: Sequence[float]) -> Matrix:
    """(N, 3) float32: each landmark in the lidar's frame at the time when that lidar saw it."""
    rows = [
        np.linalg.inv(world_from_ego(ms) @ EGO_FROM[name]) @ [*landmark, 1]
        for ms, landmark in zip(times_ms, LANDMARKS, strict=True)
    ]
    return np.array(rows, dtype=np.float32)[:, :3]


def cloud_message(name: str, ms: int, *, timed: bool) -> Message:
    """The landmarks seen all at the message's time; or, with times, one each 10 ms from there on."""
    offsets = np.arange(4) * 10 if timed else np.zeros(4)
    points = np.zeros(4, dtype=[("x", "f4"), ("y", "f4"), ("z", "f4"), *([("t", "u4")] if timed else [])])
    points["x"], points["y"], points["z"] = seen(name, ms + offsets).T
    if timed:
        points["t"] = offsets * MS
    stamp = T0 + ms * MS
    return Message(f"/{name}", "sensor_msgs/msg/PointCloud2", stamp, point_cloud(stamp, name, points))


def bag(
    folder: Path, *, timed: Sequence[str] = (), poses_ms: Sequence[int] = range(-50, 351, 50), container: str = "mcap"
) -> Path:
    messages = [tf(T0 - 60 * MS, "base_link", name, pose, "/tf_static") for name, pose in EGO_FROM.items()]
    messages += [tf(T0 + ms * MS, "odom", "base_link", world_from_ego(ms)) for ms in poses_ms]
    messages += [cloud_message(name, ms, timed=name in timed) for name, stamps in STAMPS.items() for ms in stamps]
    return written(folder, messages, container)


def open_bag(path: Path, **options: Any) -> Scene:
    return open_scene(path, lidars=["/top", "/left"], **options)


def in_world(scene: Scene, cloud: PointCloud, index: int) -> Matrix:
    pose = scene[index].world_from_ego
    assert pose is not None
    assert cloud.frame == "ego"
    np.testing.assert_allclose(pose.matrix, world_from_ego(100 * index), atol=1e-9)
    return pose.apply(cloud.positions.astype(np.float64))


def deskewed(scene: Scene, index: int) -> PointCloud:
    path = scene.device_path()
    assert path is not None
    return Deskew(path)(scene[index], StepReport()).points()


def notes_on(scene: Scene, what: str) -> list[str]:
    return [note for note in scene.notes if "from their frame" in note and what in note]


@pytest.mark.parametrize("container", ["mcap", "ros1"])
def test_clouds_of_a_bag_without_times_are_moved_to_their_frames_timestamp(tmp_path: Path, container: str) -> None:
    scene = open_bag(bag(tmp_path, container=container))
    for index, frame in enumerate(scene):
        cloud = pickle.loads(pickle.dumps(frame.read_points))()
        np.testing.assert_allclose(in_world(scene, cloud, index), np.tile(LANDMARKS, (2, 1)), atol=1e-4)
        # No time is made up: --deskew says that there are none.
        assert cloud.timestamp is None
        assert cloud.device.tolist() == [0] * 4 + [1] * 4
    expected = "clouds of /left are up to 50 ms from their frame; they are moved by the device's motion"
    assert notes_on(scene, "") == [expected]


def test_clouds_with_times_are_left_for_deskewing(tmp_path: Path) -> None:
    scene = open_bag(bag(tmp_path, timed=("top", "left")))
    raw = seen("left", 50 + np.arange(4) * 10) @ EGO_FROM["left"][:3, :3].T + EGO_FROM["left"][:3, 3]
    np.testing.assert_allclose(scene[0].points().positions[4:], raw, atol=1e-5)
    np.testing.assert_allclose(in_world(scene, deskewed(scene, 1), 1), np.tile(LANDMARKS, (2, 1)), atol=1e-4)
    assert notes_on(scene, "") == [
        "clouds of /left are up to 50 ms from their frame; their points have times of their own: --deskew moves them"
    ]


@pytest.mark.parametrize("timed", ["top", "left"])
def test_points_without_times_beside_others_get_their_frames_and_can_be_deskewed(tmp_path: Path, timed: str) -> None:
    scene = open_bag(bag(tmp_path, timed=(timed,)))
    cloud = scene[1].points()
    assert cloud.timestamp is not None
    assert "timestamp" not in cloud.ignored_fields
    untimed = slice(4, 8) if timed == "top" else slice(0, 4)
    assert set(cloud.timestamp[untimed].tolist()) == {T0 + 100 * MS}
    np.testing.assert_allclose(in_world(scene, deskewed(scene, 1), 1), np.tile(LANDMARKS, (2, 1)), atol=1e-4)


def test_clouds_of_an_unknown_motion_are_not_moved_and_it_is_said(tmp_path: Path) -> None:
    scene = open_bag(bag(tmp_path, poses_ms=()))
    raw = seen("left", [50] * 4) @ EGO_FROM["left"][:3, :3].T + EGO_FROM["left"][:3, 3]
    np.testing.assert_allclose(scene[0].points().positions[4:], raw, atol=1e-5)
    assert notes_on(scene, "") == [
        "clouds of /left are up to 50 ms from their frame; no poses are known for their times: they are not moved"
    ]


def test_clouds_beyond_the_poses_or_in_a_gap_of_them_are_counted(tmp_path: Path) -> None:
    # The last cloud of the left lidar is at 250 ms.
    scene = open_bag(bag(tmp_path, poses_ms=range(0, 201, 50)))
    assert notes_on(scene, "")[0].endswith("motion, but for 1 of 3, for whose times no poses are known")
    np.testing.assert_allclose(in_world(scene, scene[1].points(), 1), np.tile(LANDMARKS, (2, 1)), atol=1e-4)
    scene = open_bag(bag(tmp_path / "gap", poses_ms=[0, 100, 200]), max_pose_gap=0.05)
    assert notes_on(scene, "no poses are known")


def test_a_cloud_that_cannot_be_moved_costs_the_frame_its_times(tmp_path: Path) -> None:
    scene = open_bag(bag(tmp_path, timed=("top",), poses_ms=range(0, 201, 50)))
    cloud = scene[2].points()
    assert cloud.timestamp is None
    assert "timestamp" in cloud.ignored_fields


def test_points_in_the_world_are_not_moved_whatever_their_times(tmp_path: Path) -> None:
    scene = open_bag(bag(tmp_path), points_frame="world")
    np.testing.assert_array_equal(scene[0].points().positions[4:], seen("left", [50] * 4))
    assert not notes_on(scene, "")


def pose_json(pose: Matrix, **more: int) -> str:
    return json.dumps({"heading": quaternion(pose), "position": pose[:3, 3].tolist(), **more})


def save_lidars(root: Path, *, timed: Sequence[str], absolute: bool) -> Path:
    # Numbered by name: left is the first, and so its sweeps are the frames.
    for name, pose in EGO_FROM.items():
        folder = root / "lidars" / name
        folder.mkdir(parents=True)
        (folder / "extrinsics.json").write_text(pose_json(pose))
        for ms in STAMPS[name]:
            stamp, offsets = T0 + ms * MS, np.arange(4) * 10 if name in timed else np.zeros(4)
            times = (offsets * MS).astype(np.int64) + (stamp if absolute else 0) if name in timed else None
            write_points(folder / f"{stamp}.ply", PointCloud(seen(name, ms + offsets), "sensor", timestamp=times))
    return root


def plain(root: Path) -> Path:
    rows = [
        " ".join(map(str, [f"{T0 // 10**9}.{ms:03}", *pose[:3, 3], *np.roll(quaternion(pose), -1)]))
        for ms in range(0, 351, 50)
        for pose in [world_from_ego(ms)]
    ]
    (root / "poses.tum").write_text("\n".join(rows))
    return root


def toolkit(root: Path) -> Path:
    (root / "poses").mkdir()
    for ms in STAMPS["left"]:
        (root / "poses" / f"{T0 + ms * MS}.json").write_text(pose_json(world_from_ego(ms)))
    return root


def check_landmarks(scene: Scene, read: Callable[[int], PointCloud], frames: Sequence[int]) -> None:
    for index in frames:
        pose = scene[index].world_from_ego
        assert pose is not None
        found = pose.apply(read(index).positions.astype(np.float64))
        np.testing.assert_allclose(found, np.tile(LANDMARKS, (2, 1)), atol=1e-4)


@pytest.mark.parametrize(("layout", "frames"), [("folder", [0, 1, 2]), ("toolkit", [1, 2])])
def test_sweeps_named_by_time_are_moved_to_their_frames_timestamp(
    tmp_path: Path, layout: str, frames: list[int]
) -> None:
    finish = plain if layout == "folder" else toolkit
    scene = open_scene(finish(save_lidars(tmp_path / "drive", timed=(), absolute=True)))
    assert scene.layout == layout
    check_landmarks(scene, lambda index: pickle.loads(pickle.dumps(scene[index].read_points))(), frames)
    # A toolkit folder has poses at its frames' times alone: the first sweep of the top lidar is before them.
    but = ", but for 1 of 3, for whose times no poses are known" if layout == "toolkit" else ""
    assert notes_on(scene, "lidar top") == [
        "sweeps of lidar top are up to 50 ms from their frame; those whose points have no times are moved by the "
        f"device's motion{but}; points with times of their own are moved by --deskew"
    ]
    assert not notes_on(scene, "lidar left")


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize("timed", [("left", "top"), ("left",), ("top",)])
def test_sweeps_with_times_beside_others_can_be_deskewed(
    tmp_path: Path, timed: tuple[str, ...], absolute: bool
) -> None:
    """Times that count from their own sweep's stamp are put on its clock: another sweep counts from another stamp."""
    scene = open_scene(plain(save_lidars(tmp_path / "drive", timed=timed, absolute=absolute)))
    check_landmarks(scene, lambda index: deskewed(scene, index), [0, 1, 2])


def test_sweeps_matched_by_number_are_taken_to_be_of_one_time(tmp_path: Path) -> None:
    root = tmp_path / "drive"
    for name, pose in EGO_FROM.items():
        (root / "lidars" / name).mkdir(parents=True)
        (root / "lidars" / name / "extrinsics.json").write_text(pose_json(pose))
        write_points(root / "lidars" / name / "0.ply", PointCloud(seen(name, [0] * 4), "sensor"))
    scene = open_scene(root)
    np.testing.assert_allclose(scene[0].points().positions, np.tile(LANDMARKS, (2, 1)), atol=1e-4)
    assert not notes_on(scene, "")


@pytest.mark.parametrize(("write", "pattern", "moved"), [(plain, "poses.*", [0, 1, 2]), (toolkit, "poses/*", [0, 1])])
def test_the_poses_that_move_sweeps_are_sources_of_their_frames(
    tmp_path: Path, write: Callable[[Path], Path], pattern: str, moved: list[int]
) -> None:
    path = write(save_lidars(tmp_path / "drive", timed=(), absolute=False))
    file = sorted(path.glob(pattern))[0]
    found = [str(file) in (source.location for source in frame.sources) for frame in open_scene(path)]
    assert [index for index, has_it in enumerate(found) if has_it] == moved
