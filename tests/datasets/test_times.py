"""Units of times, and times that are none: in JSON, tables, names and bags. One bad one changes no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.datasets import open_scene
from lidarprep.datasets.filenames import named_times
from lidarprep.datasets.ros._messages import usable_stamps
from lidarprep.datasets.time_units import judged_unit, times_of
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Scene
from lidarprep.scene.points import NANOSECONDS, TimeUnit
from tests.datasets.test_ros_cameras import CAMERA
from tests.datasets.test_ros_poses import CLOUDS, MS, STATIC, T0, cloud, matrix, odom, tf, written
from tests.datasets.write_ros import Message, camera_info, compressed_image, header, point_cloud, transform, transforms

UNITS: tuple[TimeUnit, ...] = ("s", "ms", "us", "ns")
CONTAINERS = ("ros1", "sqlite3", "mcap")


def codes(scene: Scene) -> list[str]:
    return [finding.code for finding in scene.findings]


# ---- units ---------------------------------------------------------------------------------------------------------


@given(
    unit=st.sampled_from(UNITS),
    step_ms=st.sampled_from((20, 50, 100, 500, 1000)),
    start=st.sampled_from((0, 1_262_304_000, 1_700_000_000, 1_950_000_000)),
    count=st.integers(3, 30),
    stated=st.sampled_from(UNITS),
)
def test_a_unit_is_recognised_from_the_numbers(
    unit: TimeUnit, step_ms: int, start: int, count: int, stated: TimeUnit
) -> None:
    exact = [(start * 10**9 + k * step_ms * 10**6, NANOSECONDS[unit]) for k in range(count)]
    texts = [str(Decimal(time) / factor) for time, factor in exact]
    # At 1 Hz in milliseconds, steps of 1000 are a plausible 1000 s: what is stated holds where it can.
    plausible = 5e-3 <= step_ms / 1e3 / NANOSECONDS[unit] * NANOSECONDS[stated] <= 1e3
    late = start * NANOSECONDS[stated] // NANOSECONDS[unit] >= 4_000_000_000  # after 2096
    expected = stated if plausible and not late else unit
    assert judged_unit([float(text) for text in texts], stated)[0] == expected
    found = times_of(texts, stated, "times", unit=unit)
    assert found is not None
    assert found.timestamps == [time for time, _ in exact]


def test_frames_of_two_days_keep_their_times() -> None:
    start, day = 1_700_000_000_000_000_000, 86_400 * 10**9
    stamps = [start + k * 10**8 for k in range(10)] + [start + day + k * 10**8 for k in range(3)]
    found = times_of([str(stamp) for stamp in stamps], "ns", "times")
    assert found is not None
    assert (found.timestamps, found.estimated, found.findings) == (stamps, (), ())
    # Times of a device that had no clock yet are none, however many they are.
    found = times_of([str(stamp) for stamp in (*range(0, 3 * 10**8, 10**8), *stamps[:10])], "ns", "times")
    assert found is not None
    assert found.estimated == (0, 1, 2)


@pytest.mark.parametrize("hertz", [1, 2, 5, 10, 20, 50, 100, 200])
@pytest.mark.parametrize("start", [0, 1_800, 86_400 * 20, 1_700_000_000])
def test_nanoseconds_at_any_rate_of_a_lidar_stay_nanoseconds(hertz: int, start: int) -> None:
    numbers = [start * 10**9 + k * 10**9 // hertz for k in range(50)]
    assert judged_unit(numbers, "ns") == ("ns", None)


def _toolkit_with(toolkit: Path, times: list[Any]) -> Path:
    for path, time in zip((toolkit / f"poses/{n}.json" for n in (8, 9, 10)), times, strict=True):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"timestamp": time}))
    return toolkit


@pytest.mark.parametrize(
    ("times", "expected", "said"),
    [
        ([T0 + k * 10**8 for k in range(3)], [T0 + k * 10**8 for k in range(3)], None),
        ([T0 // 1000 + k * 10**5 for k in range(3)], [T0 + k * 10**8 for k in range(3)], "microseconds"),
        ([T0 // 10**6 + k * 100 for k in range(3)], [T0 + k * 10**8 for k in range(3)], "milliseconds"),
        ([T0 / 1e9 + k * 0.125 for k in range(3)], [T0 + k * 125 * MS for k in range(3)], "seconds"),
        ([0, 100_000, 200_000], [0, 10**8, 2 * 10**8], "microseconds"),
        ([0.0, 0.1, 0.2], [0, 10**8, 2 * 10**8], "seconds"),
        ([0, 10**8, 2 * 10**8], [0, 10**8, 2 * 10**8], None),
    ],
)
def test_the_unit_of_poses_of_a_toolkit_folder(
    toolkit: Path, times: list[Any], expected: list[int], said: str | None
) -> None:
    scene = open_scene(_toolkit_with(toolkit, times))
    assert [frame.timestamp for frame in scene] == expected
    assert [note for note in scene.notes if "are taken as" in note] == [
        note for note in scene.notes if said is not None and f"timestamps in poses/ are taken as {said}: " in note
    ]
    assert any("are taken as" in note for note in scene.notes) == (said is not None)
    assert scene.findings == ()


def test_the_unit_that_is_given_is_not_judged(toolkit: Path) -> None:
    scene = open_scene(_toolkit_with(toolkit, [T0 // 1000 + k * 10**5 for k in range(3)]), time_unit="ns")
    assert [frame.timestamp for frame in scene] == [T0 // 1000 + k * 10**5 for k in range(3)]
    with pytest.raises(SceneError, match="time_unit is frames=us, us; it is s, ms, us or ns"):
        open_scene(toolkit, time_unit=["frames=us", "us"])
    with pytest.raises(SceneError, match="time_unit is minutes"):
        open_scene(toolkit, time_unit="minutes")


@pytest.mark.parametrize("wrong", [0, T0 + 86_400 * 10**9])
def test_one_frame_without_a_time_changes_no_other(toolkit: Path, wrong: int) -> None:
    scene = open_scene(_toolkit_with(toolkit, [T0, wrong, T0 + 200 * MS]))
    assert [frame.timestamp for frame in scene] == [T0, T0 + 100 * MS, T0 + 200 * MS]
    (finding,) = scene.findings
    assert (finding.code, finding.severity, finding.found) == ("stamps-unset", "warning", 1)
    assert f"'{wrong}', in row 1" in finding.message


ROW = "{time},{x},0,0,1,0,0,0\n"


@pytest.mark.parametrize("wrong", ["nan", "inf", "0", "", str(T0 + 86_400 * 10**9)])
@pytest.mark.parametrize("column", ["timestamp", "t_ns"])
def test_one_row_of_a_table_without_a_time_changes_no_other(tmp_path: Path, wrong: str, column: str) -> None:
    for k in range(4):
        (tmp_path / f"{T0 + k * 100 * MS}.ply").touch()
    times = [str(T0 + k * 50 * MS) for k in range(7)]
    times[3] = wrong
    rows = "".join(ROW.format(time=time, x=k) for k, time in enumerate(times))
    (tmp_path / "poses.csv").write_text(f"{column},x,y,z,qw,qx,qy,qz\n{rows}")
    scene = open_scene(tmp_path)
    assert [frame.world_from_ego and frame.world_from_ego.translation[0] for frame in scene] == [0, 2, 4, 6]
    assert scene.trajectory is not None
    assert scene.trajectory.timestamps.tolist() == [T0 + k * 50 * MS for k in (0, 1, 2, 4, 5, 6)]
    assert codes(scene) == ["stamps-unset"]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", ["poses.csv", "poses.tum", "poses.json"])
def test_tables_of_poses_in_any_unit_are_matched_to_the_files(tmp_path: Path, unit: TimeUnit, name: str) -> None:
    for k in range(3):
        (tmp_path / f"{T0 + k * 100 * MS}.ply").touch()
    times = [Decimal(T0 + k * 50 * MS) / NANOSECONDS[unit] for k in range(5)]
    if name == "poses.csv":
        text = "time,x,y,z,qw,qx,qy,qz\n" + "".join(ROW.format(time=time, x=k) for k, time in enumerate(times))
    elif name == "poses.tum":
        text = "".join(f"{time} {k} 0 0 0 0 0 1\n" for k, time in enumerate(times))
    else:
        numbers = [int(time) if time == int(time) else float(time) for time in times]
        poses = [{"heading": [1, 0, 0, 0], "position": [k, 0, 0], "timestamp": t} for k, t in enumerate(numbers)]
        text = json.dumps(poses)
    (tmp_path / name).write_text(text)
    scene = open_scene(tmp_path)
    places = [frame.world_from_ego.translation[0] for frame in scene if frame.world_from_ego is not None]
    np.testing.assert_allclose(places, [0, 2, 4], atol=1e-4)
    stated = {"poses.tum": "s", "poses.json": "ns"}.get(name)
    assert any("--time-unit" in note for note in scene.notes) == (stated not in (None, unit))


def test_poses_of_another_clock_are_named_where_no_frame_is_within_them(tmp_path: Path) -> None:
    for k in range(3):
        (tmp_path / f"{T0 + k * 100 * MS}.ply").touch()
    rows = "".join(ROW.format(time=T0 + 37 * 10**9 + k * 50 * MS, x=k) for k in range(5))
    (tmp_path / "poses.csv").write_text(f"t_ns,x,y,z,qw,qx,qy,qz\n{rows}")
    with pytest.raises(SceneError, match=r"they are 37\.0 s apart, as TAI and UTC are"):
        open_scene(tmp_path)


# ---- names ---------------------------------------------------------------------------------------------------------

TIMES = [T0 + 12_345 + k * 100 * MS for k in range(20)]


def test_one_name_without_a_time_is_left_out_and_told(tmp_path: Path) -> None:
    for time in TIMES:
        (tmp_path / f"{time}.ply").touch()
    (tmp_path / "map.ply").touch()
    scene = open_scene(tmp_path)
    assert [frame.timestamp for frame in scene] == TIMES
    assert codes(scene) == ["names-not-alike"]
    assert scene.findings[0].message.endswith("and are left out: map")


def test_names_with_times_of_several_kinds_are_read_if_they_are_of_one_day() -> None:
    mixed = [str(time // 1000) if k % 3 == 0 else str(time) for k, time in enumerate(TIMES)]
    found = named_times(mixed, "lidar")
    assert found.times == [time // 1000 * 1000 if k % 3 == 0 else time for k, time in enumerate(TIMES)]
    assert "several kinds" in found.notes[0]
    later = named_times([*map(str, TIMES), str((T0 + 3 * 86_400 * 10**9) // 1000)], "lidar")
    assert later.times is None
    assert [finding.code for finding in later.findings] == ["names-not-alike"]


def test_nanoseconds_that_are_not_padded_are_told_from_decimals() -> None:
    unpadded = [f"{time // 10**9}.{time % 10**9}" for time in TIMES]
    assert named_times(unpadded, "lidar").times == TIMES
    decimals = [f"{Decimal(time) / 10**9}".rstrip("0") for time in TIMES]
    assert named_times(decimals, "lidar").times == TIMES
    assert named_times(decimals, "lidar").notes == ()


@pytest.mark.parametrize("names", [["0", "1", "10"], ["a_1", "b_2"], ["000100", "000200"], ["20240101", "20240102"]])
def test_numbers_are_no_times(names: list[str]) -> None:
    assert named_times(names, "lidar") == named_times([], "lidar")


# ---- bags ----------------------------------------------------------------------------------------------------------


@given(
    stamps=st.lists(st.integers(1, 40), min_size=3, max_size=30).map(lambda steps: np.cumsum(steps) * 10 * MS + T0),
    bad=st.sets(st.integers(0, 29), max_size=1),
    wrong=st.sampled_from((0, 5_000_000_000, T0 - 86_400 * 10**9)),
)
def test_one_bad_stamp_changes_no_other(stamps: np.ndarray[Any, Any], bad: set[int], wrong: int) -> None:
    rows = [row for row in bad if row < len(stamps)]
    recorded = stamps + 80 * MS
    read = stamps.copy()
    read[rows] = wrong
    times, unset = usable_stamps(read, recorded)
    assert times.tolist() == stamps.tolist()  # the delay is constant, so the estimate is exact
    assert np.flatnonzero(unset).tolist() == sorted(rows)


@pytest.mark.parametrize("zeros", [1, 2])
@pytest.mark.parametrize("count", [2, 10])
def test_a_clock_that_begins_at_zero_is_a_clock(zeros: int, count: int) -> None:
    stamps = np.array([0] * (zeros - 1) + [k * 100 * MS for k in range(count)])
    times, unset = usable_stamps(stamps, T0 + stamps)
    assert times.tolist() == stamps.tolist()
    assert not unset.any()


def test_what_comes_before_the_first_time_of_a_simulation_is_estimated() -> None:
    stamps = np.array([0, 0, *(500 * 10**9 + k * 100 * MS for k in range(8))])
    times, unset = usable_stamps(stamps, T0 + np.arange(10) * 100 * MS)
    assert times.tolist() == [500 * 10**9 + k * 100 * MS for k in range(-2, 8)]
    assert unset.tolist() == [True, True] + [False] * 8


def _stamped(message: Message, stamp: int, frame: str = "velodyne") -> Message:
    return replace(message, fields=message.fields | {"header": header(stamp, frame)})


def _drive(stamp: Callable[[int], int]) -> list[Message]:
    return [
        transforms("/tf", T0 + k * 50 * MS, [transform(stamp(k), "odom", "base_link", matrix(0, k))])
        for k in range(-4, 12)
    ]


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_cloud_without_a_time_changes_no_other(tmp_path: Path, container: str) -> None:
    clouds = [replace(cloud(T0 + k * 100 * MS), time=T0 + k * 100 * MS + 80 * MS) for k in range(4)]
    clouds[2] = _stamped(clouds[2], 0)
    scene = open_scene(written(tmp_path, [STATIC, *_drive(lambda k: T0 + k * 50 * MS), *clouds], container))
    assert [frame.timestamp for frame in scene] == [T0 + k * 100 * MS for k in range(4)]
    assert [frame.world_from_ego and frame.world_from_ego.translation[0] for frame in scene] == [0, 2, 4, 6]
    (finding,) = scene.findings
    assert (finding.code, finding.severity, finding.subject.name) == ("stamps-unset", "note", "/points")


@pytest.mark.parametrize("container", CONTAINERS)
def test_transforms_without_times_are_placed_by_their_recording(tmp_path: Path, container: str) -> None:
    scene = open_scene(written(tmp_path, [STATIC, *_drive(lambda _: 0), *CLOUDS], container))
    assert [frame.world_from_ego and frame.world_from_ego.translation[0] for frame in scene] == [0, 2, 4]
    (finding,) = scene.findings
    assert (finding.code, finding.severity) == ("stamps-unset", "warning")
    assert finding.message.startswith("tf, base_link in odom: no header of its 16 transforms has a time")


def test_odometry_with_one_unset_header(tmp_path: Path) -> None:
    poses = [odom(T0 + k * 50 * MS, matrix(0, k)) for k in range(6)]
    poses[3] = _stamped(poses[3], 0, "odom")
    scene = open_scene(written(tmp_path, [STATIC, *poses, *CLOUDS]))
    assert [frame.world_from_ego and frame.world_from_ego.translation[0] for frame in scene] == [0, 2, 4]
    assert codes(scene) == ["stamps-unset"]


def _camera(stamps: dict[int, int], name: str = "front") -> list[Message]:
    info = camera_info(T0, "base_link", CAMERA)
    messages = [Message(f"/{name}/camera_info", "sensor_msgs/msg/CameraInfo", T0, info)]
    for time, stamp in stamps.items():
        image = compressed_image(stamp, "base_link", b"\xff\xd8\xff")
        messages.append(Message(f"/{name}/image_raw/compressed", "sensor_msgs/msg/CompressedImage", time, image))
    return messages


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    ("seconds", "clause"), [(18, "as GPS time and UTC are"), (-37, "as TAI and UTC are"), (7200, "zones 2 h apart are")]
)
def test_a_camera_of_another_clock_is_named(tmp_path: Path, container: str, seconds: int, clause: str) -> None:
    clouds = [cloud(T0 + k * 100 * MS) for k in range(5)]
    images = _camera({T0 + k * 100 * MS: T0 + k * 100 * MS + seconds * 10**9 for k in range(5)})
    scene = open_scene(written(tmp_path, [STATIC, *clouds, *images], container))
    (finding,) = scene.findings
    assert (finding.code, finding.severity, finding.found) == ("clock-offset", "warning", seconds)
    assert finding.message.endswith(clause)


def test_transforms_of_another_clock_are_named(tmp_path: Path) -> None:
    messages = [STATIC, *_drive(lambda k: T0 + k * 50 * MS - 18 * 10**9), *(cloud(T0 + k * 100 * MS) for k in range(4))]
    scene = open_scene(written(tmp_path, messages))
    (finding,) = scene.findings
    assert finding.code == "clock-offset"
    assert "base_link in odom: the times in its headers are 18.00 s behind" in finding.message


@pytest.mark.parametrize(
    ("delay", "severity"), [(50, "warning"), (250, "warning"), (-60, "note"), (40, None), (0, None)]
)
def test_a_camera_that_is_half_a_frame_late_is_named_with_its_delay(
    tmp_path: Path, delay: int, severity: str | None
) -> None:
    clouds = [cloud(T0 + k * 100 * MS) for k in range(6)]
    images = _camera({T0 + k * 100 * MS: T0 + (k * 100 + delay) * MS for k in range(6)})
    scene = open_scene(written(tmp_path, [STATIC, *clouds, *images]))
    assert [finding.severity for finding in scene.findings] == ([] if severity is None else [severity])
    for finding in scene.findings:
        assert (finding.code, finding.found) == ("camera-delay", delay)


def test_points_in_the_unit_that_is_given(tmp_path: Path) -> None:
    points = np.zeros(3, dtype=[("x", "f4"), ("y", "f4"), ("z", "f4"), ("t", "u4")])
    points["t"] = [0, 50_000, 99_000]
    message = Message("/points", "sensor_msgs/msg/PointCloud2", T0, point_cloud(T0, "velodyne", points))
    path = written(tmp_path, [STATIC, message])
    for unit, last in ((None, 99_000), ("points=us", 99 * MS), ("points=ns", 99_000)):
        scene = open_scene(path, **({} if unit is None else {"time_unit": unit}))  # type: ignore[arg-type]
        times = scene[0].points().timestamp
        assert times is not None
        assert (times - T0).tolist() == [0, last * 50 // 99, last]


def test_points_of_a_file_in_the_unit_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("x,y,z,t\n1,2,3,0.0\n1,2,3,50000.5\n1,2,3,99000.25\n")
    points = open_scene(tmp_path, time_unit=["points=us"])[0].points()
    assert points.timestamp is not None
    assert points.timestamp.tolist() == [0, 50_000_500, 99_000_250]
    (tmp_path / "1.csv").write_text("x,y,z,t\n1,2,3,0\n1,2,3,99000000000\n")
    scene = open_scene(tmp_path, time_unit="points=s")
    with pytest.raises(FormatError, match=r"1\.csv: the points' times reach to 99000000000 s, which no time does"):
        scene[0].points()


# ---- cameras and files of bags -------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    ("topics", "names"),
    [
        (("/camera/front", "/camera/left", "/camera/rear"), ["camera_front", "camera_left", "camera_rear"]),
        (("/zed/image_left", "/zed/image_right"), ["zed_image_left", "zed_image_right"]),
        (("/front/image_raw", "/front/image_rect_color"), ["front"]),
        (("/stereo/left/image_raw", "/stereo/right/image_raw"), ["stereo_left", "stereo_right"]),
        (("/camera_front/image_raw", "/camera/front"), ["camera/front", "camera_front"]),
        (("/front/picture",), ["front"]),
    ],
)
def test_cameras_by_their_topics(tmp_path: Path, container: str, topics: tuple[str, ...], names: list[str]) -> None:
    messages: list[Message] = [STATIC, *CLOUDS]
    for k, topic in enumerate(topics):
        place = topic if names != ["front"] and "stereo" not in topic else topic.rpartition("/")[0]
        if topic == "/camera_front/image_raw":
            place = "/camera_front"
        info = camera_info(T0, f"optical_{k}", CAMERA)
        messages.append(Message(f"{place}/camera_info", "sensor_msgs/msg/CameraInfo", T0, info))
        messages.append(tf(T0, "base_link", f"optical_{k}", matrix(0, 1, k), "/tf_static"))
        image = compressed_image(T0, f"optical_{k}", b"\xff\xd8\xff")
        messages.append(Message(f"{topic}/compressed", "sensor_msgs/msg/CompressedImage", T0, image))
    scene = open_scene(written(tmp_path, messages, container))
    assert [camera.name for camera in scene.cameras] == names
    if len(names) > 1 and "/camera_front/image_raw" not in topics:
        places = [camera.ego_from_camera.translation[1] for camera in scene.cameras if camera.ego_from_camera]
        assert places == list(range(len(names)))


@pytest.mark.parametrize("container", ["sqlite3", "mcap"])
def test_a_part_of_a_bag_that_its_metadata_does_not_list_is_named(tmp_path: Path, container: str) -> None:
    path = written(tmp_path, [STATIC, *CLOUDS], container)
    part = next(file for file in path.iterdir() if file.suffix in (".db3", ".mcap"))
    (path / f"bag_1{part.suffix}").write_bytes(part.read_bytes())
    scene = open_scene(path)
    assert codes(scene) == ["bag-parts-not-read"]
    assert scene.findings[0].message.endswith(f"bag_1{part.suffix}")


def test_further_parts_beside_a_single_file_are_named(tmp_path: Path) -> None:
    bag = written(tmp_path, [STATIC, *CLOUDS], "ros1")
    first = bag.rename(tmp_path / "drive_0.bag")
    assert codes(open_scene(first)) == []
    (tmp_path / "drive_1.bag").write_bytes(first.read_bytes())
    (tmp_path / "other_1.bag").write_bytes(b"")
    (finding,) = open_scene(first).findings
    assert (finding.code, finding.severity) == ("bag-parts-not-read", "note")
    assert finding.message.endswith(": drive_1.bag")


def test_fewer_messages_than_the_metadata_count_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, [STATIC, *CLOUDS], "sqlite3")
    metadata = path / "metadata.yaml"
    values = yaml.safe_load(metadata.read_text())
    assert values["rosbag2_bagfile_information"]["message_count"] == 4
    values["rosbag2_bagfile_information"]["message_count"] = 6
    metadata.write_text(yaml.safe_dump(values))
    (finding,) = open_scene(path).findings
    assert (finding.code, finding.found, finding.expected) == ("messages-missing", 4, 6)


def test_topics_that_are_not_read_are_named_with_the_reason(tmp_path: Path) -> None:
    scan = {"header": header(T0, "velodyne"), "points": [], "channels": []}
    messages = [STATIC, *CLOUDS, Message("/old", "sensor_msgs/msg/PointCloud", T0, scan)]
    scene = open_scene(written(tmp_path, messages))
    (finding,) = scene.findings
    assert (finding.code, finding.severity, finding.subject.name) == ("topic-not-read", "note", "/old")
    assert "1 messages are of sensor_msgs/msg/PointCloud, which is not read" in finding.message
