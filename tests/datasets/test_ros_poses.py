"""Where the device is: by trees of transforms, odometry, poses and files, held against SciPy."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from lidarprep.datasets import open_scene
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Pose, Scene
from tests.datasets.write_ros import Message, header, odometry, point_cloud, pose, transform, transforms, write_bag

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
Matrix = np.ndarray[Any, Any]


def matrix(yaw: float, x: float, y: float = 0.0, z: float = 0.0, roll: float = 0.0) -> Matrix:
    made = np.eye(4)
    made[:3, :3] = Rotation.from_euler("zyx", [yaw, 0.0, roll]).as_matrix()
    made[:3, 3] = (x, y, z)
    return made


def cloud(time: int, frame: str = "velodyne", topic: str = "/points", shift: float = 0.0) -> Message:
    points = np.zeros(2, dtype=[("x", "f4"), ("y", "f4"), ("z", "f4")])
    points["x"] = [1 + shift, 2 + shift]
    return Message(topic, "sensor_msgs/msg/PointCloud2", time, point_cloud(time, frame, points))


def tf(time: int, parent: str, child: str, pose: Matrix, topic: str = "/tf") -> Message:
    return transforms(topic, time, [transform(time, parent, child, pose)])


def odom(time: int, pose: Matrix, child: str = "base_link", topic: str = "/odom") -> Message:
    return Message(topic, "nav_msgs/msg/Odometry", time, odometry(time, "odom", child, pose))


LIDAR = matrix(0.5, 1.0, z=2.0)
STATIC = tf(T0, "base_link", "velodyne", LIDAR, "/tf_static")
CLOUDS = [cloud(T0 + k * 100 * MS) for k in range(3)]


def written(folder: Path, messages: list[Message], container: Any = "mcap") -> Path:
    path = folder / ("bag.bag" if container == "ros1" else "bag")
    return write_bag(path, container, sorted(messages, key=lambda message: message.time))


def assert_poses(scene: Scene, expected: list[Matrix | None]) -> None:
    assert len(scene) == len(expected)
    for frame, wanted in zip(scene, expected, strict=True):
        if wanted is None:
            assert frame.world_from_ego is None
        else:
            assert frame.world_from_ego is not None
            np.testing.assert_allclose(frame.world_from_ego.matrix, wanted, atol=1e-6)


@pytest.mark.parametrize("container", ["ros1", "sqlite3", "mcap"])
def test_a_chain_of_transforms_is_interpolated_edge_by_edge(tmp_path: Path, container: Any) -> None:
    rng = np.random.default_rng(3)
    map_times = T0 - 200 * MS + np.arange(12) * 77 * MS
    odom_times = T0 - 190 * MS + np.arange(60) * 11 * MS
    maps = [matrix(*rng.uniform(-3, 3, 4), roll=0.3) for _ in map_times]
    odoms = [matrix(*rng.uniform(-3, 3, 4), roll=-0.2) for _ in odom_times]
    messages = [tf(int(t), "map", "odom", m) for t, m in zip(map_times, maps, strict=True)]
    messages += [tf(int(t), "/odom", "/base_link", m) for t, m in zip(odom_times, odoms, strict=True)]
    scene = open_scene(written(tmp_path, [STATIC, *messages, *CLOUDS], container))

    def at(times: Any, poses: list[Matrix], time: int) -> Matrix:
        made = np.eye(4)
        slerp = Slerp((times - T0) / 1e9, Rotation.from_matrix([p[:3, :3] for p in poses]))
        made[:3, :3] = slerp((time - T0) / 1e9).as_matrix()
        made[:3, 3] = [np.interp(time - T0, times - T0, [p[k, 3] for p in poses]) for k in range(3)]
        return made

    # Between two times of either edge the trajectory is interpolated as a whole: exact at the edges' own times.
    assert scene.trajectory is not None
    for time in (*map_times[3:6], *odom_times[10:20]):
        found = scene.trajectory.at(int(time))
        assert found is not None
        expected = at(map_times, maps, int(time)) @ at(odom_times, odoms, int(time))
        np.testing.assert_allclose(found.matrix, expected, atol=1e-9)
    assert any("the world is map" in note for note in scene.notes)


def test_transforms_out_of_order_and_doubled_are_sorted_and_the_first_is_kept(tmp_path: Path) -> None:
    times = [0, 200, 100, 100]
    poses = [matrix(0, 0), matrix(0, 2), matrix(0, 1), matrix(0, 9)]
    messages = [
        transforms("/tf", T0 + k, [transform(T0 + t * MS, "odom", "base_link", p)])
        for k, (t, p) in enumerate(zip(times, poses, strict=True))
    ]
    scene = open_scene(written(tmp_path, [STATIC, *messages, *CLOUDS]))
    assert_poses(scene, [matrix(0, 0), matrix(0, 1), matrix(0, 2)])


def test_several_transforms_of_one_message_and_gaps_of_other_bytes_are_read(tmp_path: Path) -> None:
    messages = [
        transforms(
            "/tf",
            T0 + k * 100 * MS,
            [
                transform(T0 + k * 100 * MS, "odom", "base_link", matrix(0, k)),
                transform(T0 + k * 100 * MS, "base_link", "wheel" if k else "wheels", matrix(k, 0)),
            ],
        )
        for k in range(3)
    ]
    scene = open_scene(written(tmp_path, [STATIC, *messages, *CLOUDS]))
    assert_poses(scene, [matrix(0, k) for k in range(3)])


def test_points_are_moved_into_the_device_frame(tmp_path: Path) -> None:
    scene = open_scene(written(tmp_path, [STATIC, *CLOUDS]))
    moved = LIDAR @ np.array([1.0, 0, 0, 1])
    np.testing.assert_allclose(scene[0].points().positions[0], moved[:3], atol=1e-6)
    assert scene.lidars[0].ego_from_lidar is not None
    assert scene.lidars[0].ego_from_lidar.almost_equals(Pose.from_matrix(LIDAR))
    assert any("no poses" in note for note in scene.notes)


def test_a_lidar_that_turns_on_the_device_is_placed_at_each_message_time(tmp_path: Path) -> None:
    arm = [tf(T0 + k * 50 * MS, "base_link", "velodyne", matrix(0, k)) for k in range(5)]
    scene = open_scene(written(tmp_path, [*arm, *CLOUDS]))
    assert [float(frame.points().positions[0, 0]) for frame in scene] == [1.0, 3.0, 5.0]
    # One that nobody placed is left out.
    scene = open_scene(written(tmp_path / "late", [*arm[:3], *CLOUDS]))
    assert len(scene) == 2
    assert any("1 clouds are left out" in note for note in scene.notes)


def test_a_static_transform_sent_again_and_again_counts_for_all_time(tmp_path: Path) -> None:
    again = [tf(T0 + k * MS, "base_link", "velodyne", LIDAR) for k in range(3)]
    scene = open_scene(written(tmp_path, [*again, *CLOUDS]))
    assert len(scene) == 3


def test_a_device_that_stands_still_has_one_pose_while_it_says_so(tmp_path: Path) -> None:
    still = [tf(T0 + k * 100 * MS, "odom", "base_link", matrix(1, 2)) for k in range(2)]
    scene = open_scene(written(tmp_path, [STATIC, *still, *CLOUDS]))
    assert_poses(scene, [matrix(1, 2), matrix(1, 2), None])


def test_gaps_of_any_edge_are_not_bridged(tmp_path: Path) -> None:
    messages = [tf(T0 + k * 50 * MS, "map", "odom", matrix(0, k)) for k in range(5)]
    messages += [tf(T0 + t * MS, "odom", "base_link", matrix(0, t)) for t in (0, 10, 190, 200)]
    path = written(tmp_path, [STATIC, *messages, *CLOUDS])
    assert open_scene(path)[1].world_from_ego is not None
    assert open_scene(path, max_pose_gap=0.1)[1].world_from_ego is None


def test_a_lidar_that_is_not_connected_is_one_error_that_shows_the_parts(tmp_path: Path) -> None:
    path = written(tmp_path, [tf(T0, "odom", "base_link", matrix(0, 1)), *CLOUDS])
    with pytest.raises(SceneError, match=r"no transform leads from velodyne to base_link; .*base_link, odom; velodyne"):
        open_scene(path)
    assert_poses(open_scene(path, ego_frame="velodyne"), [None] * 3)


def test_frames_that_are_asked_for_must_be_there(tmp_path: Path) -> None:
    path = written(tmp_path, [STATIC, *CLOUDS])
    with pytest.raises(SceneError, match="no frame 'robot'") as error:
        open_scene(path, ego_frame="robot")
    assert "base_link, velodyne" in str(error.value)
    with pytest.raises(SceneError, match="no frame 'moon'"):
        open_scene(path, world_frame="moon")


def test_transforms_in_a_circle_and_wrong_quaternions_are_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="a circle"):
        open_scene(written(tmp_path / "a", [STATIC, tf(T0, "velodyne", "base_link", LIDAR), *CLOUDS]))
    bad = transform(T0, "base_link", "velodyne", LIDAR)
    bad["transform"]["rotation"]["w"] = 7.0
    with pytest.raises(FormatError, match=r"the transform from velodyne to base_link: .*not unit"):
        open_scene(written(tmp_path / "b", [transforms("/tf_static", T0, [bad]), *CLOUDS]))


def test_the_only_odometry_gives_the_poses_through_static_transforms(tmp_path: Path) -> None:
    imu = matrix(0.2, 0.3)
    messages = [STATIC, tf(T0, "base_link", "imu", imu, "/tf_static")]
    ways = [odom(T0 + k * 100 * MS, matrix(0.1 * k, k), child="imu") for k in range(3)]
    scene = open_scene(written(tmp_path, [*messages, *ways, *CLOUDS]))
    assert_poses(scene, [matrix(0.1 * k, k) @ np.linalg.inv(imu) for k in range(3)])
    assert {stream.name for stream in scene.streams if stream.used} == {"/points", "/odom", "/tf_static"}


def test_without_transforms_odometry_of_the_lidar_itself_is_taken(tmp_path: Path) -> None:
    ways = [odom(T0 + k * 100 * MS, matrix(0.1 * k, k), child="velodyne") for k in range(3)]
    assert_poses(open_scene(written(tmp_path, [*ways, *CLOUDS])), [matrix(0.1 * k, k) for k in range(3)])


def test_without_transforms_odometry_of_another_frame_has_to_be_confirmed(tmp_path: Path) -> None:
    ways = [odom(T0 + k * 100 * MS, matrix(0, k)) for k in range(3)]
    path = written(tmp_path, [*ways, *CLOUDS])
    with pytest.raises(SceneError, match="the poses are of base_link, the points are in velodyne") as error:
        open_scene(path)
    assert "--ego-frame velodyne" in str(error.value)
    scene = open_scene(path, ego_frame="velodyne")
    assert_poses(scene, [matrix(0, k) for k in range(3)])
    assert any("taken as those of velodyne" in note for note in scene.notes)


def test_several_topics_of_odometry_are_left_to_choose_from(tmp_path: Path) -> None:
    ways = [odom(T0 + k * 100 * MS, matrix(0, k), topic=topic) for k in range(3) for topic in ("/a", "/b")]
    path = written(tmp_path, [STATIC, *ways, *CLOUDS])
    scene = open_scene(path)
    assert_poses(scene, [None] * 3)
    assert any("several topics (/a, /b): choose with --pose-topic" in note for note in scene.notes)
    assert_poses(open_scene(path, pose_topic="/b"), [matrix(0, k) for k in range(3)])
    with pytest.raises(SceneError, match="no topic /c with poses") as error:
        open_scene(path, pose_topic="/c")
    assert "/a, /b" in str(error.value)


@pytest.mark.parametrize("container", ["ros1", "sqlite3"])
@pytest.mark.parametrize("kind", ["PoseStamped", "PoseWithCovarianceStamped"])
def test_a_topic_of_poses_can_be_chosen_before_the_tree(tmp_path: Path, kind: str, container: Any) -> None:
    messages = [STATIC, *(tf(T0 + k * 100 * MS, "odom", "base_link", matrix(0, -k)) for k in range(3))]
    for k in range(3):
        fields = pose(matrix(0.3 * k, k))
        given = {"pose": fields, "covariance": np.zeros(36)} if "Covariance" in kind else fields
        stamped = {"header": header(T0 + k * 100 * MS, "utm"), "pose": given}
        messages.append(Message("/pose", f"geometry_msgs/msg/{kind}", T0 + k * 100 * MS, stamped))
    scene = open_scene(written(tmp_path, [*messages, *CLOUDS], container), pose_topic="/pose")
    assert_poses(scene, [matrix(0.3 * k, k) for k in range(3)])


def test_a_file_of_poses_is_taken_by_time_or_one_a_cloud(tmp_path: Path) -> None:
    path = written(tmp_path, [STATIC, *CLOUDS])
    (tmp_path / "poses.tum").write_text("1700000000.0 0 0 0 0 0 0 1\n1700000000.2 2 0 0 0 0 0 1\n")
    assert_poses(open_scene(path, poses=tmp_path / "poses.tum"), [matrix(0, k) for k in range(3)])
    rows = [" ".join(str(v) for v in matrix(0, 5 + k)[:3].ravel()) for k in range(3)]
    (tmp_path / "poses.txt").write_text("\n".join(rows))
    assert_poses(open_scene(path, poses=tmp_path / "poses.txt"), [matrix(0, 5 + k) for k in range(3)])
    (tmp_path / "poses.txt").write_text(rows[0])
    with pytest.raises(SceneError, match="1 poses without times, for 3 clouds"):
        open_scene(path, poses=tmp_path / "poses.txt")


def test_points_said_to_be_in_the_world_are_not_moved(tmp_path: Path) -> None:
    scene = open_scene(written(tmp_path, [STATIC, *CLOUDS]), points_frame="world")
    assert scene.points_frame == "world"
    cloud = scene[0].points()
    assert cloud.frame == "world"
    assert cloud.positions[:, 0].tolist() == [1.0, 2.0]


def test_several_lidars_are_merged_in_the_order_chosen(tmp_path: Path) -> None:
    rear = [cloud(T0 + k * 100 * MS + 20 * MS, "rear", "/rear", shift=10) for k in range(2)]
    messages = [STATIC, tf(T0, "base_link", "rear", matrix(0, -1), "/tf_static"), *CLOUDS, *rear]
    path = written(tmp_path, messages)
    with pytest.raises(SceneError, match="several topics of points") as error:
        open_scene(path)
    assert f"lidarprep inspect {path} --lidar /points" in str(error.value)
    scene = open_scene(path, lidars=["/rear", "/points"])
    assert [(lidar.name, lidar.index) for lidar in scene.lidars] == [("/rear", 0), ("/points", 1)]
    assert [frame.timestamp for frame in scene] == [T0 + 20 * MS, T0 + 120 * MS]
    merged = scene[0].points()
    assert merged.device is not None
    assert merged.device.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(merged.positions[0], [10, 0, 0], atol=1e-6)
    np.testing.assert_allclose(merged.positions[2], (LIDAR @ [1, 0, 0, 1])[:3], atol=1e-6)
    scene = open_scene(path, lidars=["/points", "/rear"])
    assert [len(frame.points()) for frame in scene] == [4, 4, 2]
    assert any("/rear: 1 of 3 frames have no cloud" in note for note in scene.notes)
    assert open_scene(path, lidars=["/rear"])[0].points().device is None
    with pytest.raises(SceneError, match="no topic /front"):
        open_scene(path, lidars=["/front"])


def test_topics_to_choose_from_are_listed_a_line_each_and_the_likeliest_is_named(tmp_path: Path) -> None:
    # The map has more messages than the lidar, and is none.
    clouds = [cloud(T0 + k * 50 * MS, "map", "/map_filtered") for k in range(7)]
    messages = [STATIC, tf(T0, "odom", "base_link", matrix(0, 0)), odom(T0, matrix(0, 0)), *clouds, *CLOUDS]
    path = written(tmp_path / "my drive", messages)
    with pytest.raises(SceneError) as error:
        open_scene(path)
    lines = str(error.value).splitlines()
    assert lines[0].endswith("has several topics of points; --lidar chooses one, or several to be merged. It has")
    assert [line.split(maxsplit=2) for line in lines[1:-2]] == [
        ["points", "/points", "3 messages, 10.0 Hz, frame velodyne"],
        ["points", "/map_filtered", "7 messages, 20.0 Hz, frame map"],
        ["poses", "/odom", "1 messages"],
        ["transforms", "/tf", "1 messages"],
        ["transforms", "/tf_static", "1 messages"],
    ]
    assert lines[-2:] == ["Most likely is", f"  lidarprep inspect '{path}' --lidar /points"]


def test_many_topics_are_counted_beyond_the_first(tmp_path: Path) -> None:
    path = written(tmp_path, [cloud(T0, "velodyne", f"/points_{k}") for k in range(50)])
    with pytest.raises(SceneError, match=r"/points_0(?s:.*)\n  and 10 more\n"):
        open_scene(path)


def test_where_there_is_nothing_to_choose_from_it_is_said_plainly(tmp_path: Path) -> None:
    path = written(tmp_path, [*CLOUDS])
    with pytest.raises(SceneError, match="It has no topics with poses"):
        open_scene(path, pose_topic="/odom")
    with pytest.raises(SceneError, match="No transforms were recorded"):
        open_scene(path, world_frame="map")
    path = written(tmp_path / "other", [odom(T0, matrix(0, 0))])
    with pytest.raises(SceneError, match="It has no topics with points"):
        open_scene(path, lidars=["/points"])


def test_an_empty_second_topic_of_points_needs_no_choice(tmp_path: Path) -> None:
    rear = cloud(T0, "rear", "/rear")
    path = written(tmp_path, [STATIC, *CLOUDS, rear], "sqlite3")
    with sqlite3.connect(path / "bag.db3") as database:
        database.execute("DELETE FROM messages WHERE topic_id = (SELECT id FROM topics WHERE name = '/rear')")
    database.close()
    scene = open_scene(path)
    assert len(scene) == 3
    assert [stream.messages for stream in scene.streams if stream.name == "/rear"] == [0]


def test_a_bag_without_points_lists_its_topics(tmp_path: Path) -> None:
    path = written(tmp_path, [STATIC])
    with pytest.raises(SceneError, match=r"no messages of sensor_msgs/msg/PointCloud2; .*/tf_static \(tf2_msgs"):
        open_scene(path)


def test_headers_without_time_take_that_of_the_recording(tmp_path: Path) -> None:
    unset = [Message(m.topic, m.kind, m.time, m.fields | {"header": header(0, "velodyne")}) for m in CLOUDS]
    scene = open_scene(written(tmp_path, [STATIC, *unset]))
    assert [frame.timestamp for frame in scene] == [m.time for m in CLOUDS]
    (finding,) = scene.findings
    assert (finding.code, finding.severity, finding.subject.kind) == ("stamps-unset", "warning", "topic")
    assert "no header of its 3 messages has a time" in finding.message
