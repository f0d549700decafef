"""What stands in a scene that is written of frames, as the reference package reads it."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scale_json_binary

from lidarprep.attachments.sensor_fusion_scene import SceneWriter
from lidarprep.errors import EncodingError, FormatError
from lidarprep.scene import Distortion, Frame, GpsPose, Intrinsics, PointCloud, Pose
from tests.attachments.frames import encode_scene
from tests.attachments.sensor_fusion_scene.rules import broken_rules
from tests.attachments.sensor_fusion_scene.scenes import (
    INTRINSICS,
    STEP,
    T0,
    camera_image,
    cloud,
    frame,
    png,
    radar,
    sensor,
    written_to,
)


def written(*frames: Frame, odometry: bool = False) -> dict[str, Any]:
    """The scene of these frames; obeys every rule."""
    document: dict[str, Any] = scale_json_binary.loads(encode_scene(frames, odometry=odometry))
    assert broken_rules(document, odometry=odometry) == []
    return document


def notes_of(*frames: Frame) -> tuple[str, ...]:
    return written_to(BytesIO(), frames).notes


# ---- points --------------------------------------------------------------------------------------------------------


def test_points_without_device_are_one_lidar() -> None:
    points = cloud(5, intensity=True, colour=True)
    document = written(frame(points))
    assert [(one["id"], one["type"]) for one in document["sensors"]] == [("lidar", "lidar")]
    arrays = sensor(document, "lidar")["frames"][0]["points"]
    assert list(arrays) == ["positions", "intensities", "colors"]
    assert np.array_equal(arrays["positions"], points.positions)
    assert np.array_equal(arrays["colors"], points.colour)


def test_each_device_is_a_lidar_of_its_own_with_its_points_in_their_order() -> None:
    points = cloud(6, intensity=True, device=np.array([9, 2, 9, 2, 2, 9], np.uint32))
    document = written(frame(points))
    assert [one["id"] for one in document["sensors"]] == [2, 9]
    for device, rows in ((2, [1, 3, 4]), (9, [0, 2, 5])):
        arrays = sensor(document, device)["frames"][0]["points"]
        assert np.array_equal(arrays["positions"], points.positions[rows])
        assert np.array_equal(arrays["intensities"], np.rint(points.intensity[rows] * 255))


def test_a_device_has_frames_only_where_it_has_points() -> None:
    def of(index: int, *devices: int) -> Frame:
        return frame(cloud(len(devices), device=np.array(devices, np.uint32)), index=index)

    document = written(of(0, 1), of(1, 1, 5), of(2), of(3, 5))
    times = {one["id"]: [one["timestamp"] for one in one["frames"]] for one in document["sensors"]}
    assert times == {1: [0, 100_000, 200_000], 5: [100_000, 300_000]}  # the frame without points is the first one's
    assert len(sensor(document, 1)["frames"][2]["points"]["positions"]) == 0


def test_points_with_and_without_device_in_one_scene_are_kept_apart() -> None:
    document = written(frame(cloud(2), index=0), frame(cloud(2, device=True), index=1))
    assert "lidar" in [one["id"] for one in document["sensors"]]
    assert len(document["sensors"]) > 1


def test_a_device_that_first_sees_something_after_100_s_begins_with_an_empty_frame() -> None:
    late = frame(cloud(1, device=np.array([5], np.uint32)), index=1, timestamp=T0 + 200 * 10**9)
    document = written(frame(cloud(1, device=np.array([1], np.uint32))), late)
    frames = sensor(document, 5)["frames"]
    assert [(one["timestamp"], len(one["points"]["positions"])) for one in frames] == [(0, 0), (200_000_000, 1)]


def test_a_scene_without_any_point_is_written() -> None:
    columns = {"intensity": np.empty(0, np.float32), "device": np.empty(0, np.uint32)}
    document = written(frame(cloud(0, **columns, timestamp=np.empty(0, np.int64))), frame(cloud(0), index=1))
    assert [len(one["points"]["positions"]) for one in sensor(document, "lidar")["frames"]] == [0, 0]


@pytest.mark.parametrize(("value", "level"), [(0, 0), (1, 255), (0.5, 128), (0.4999 / 255, 0), (0.5001 / 255, 1)])
def test_intensities_are_rounded_to_the_nearest_of_255(value: float, level: int) -> None:
    for dtype in (np.float32, np.float64):
        document = written(frame(cloud(1, intensity=np.array([value], dtype))))
        assert sensor(document, "lidar")["frames"][0]["points"]["intensities"].tolist() == [level]


def test_float64_positions_become_the_nearest_float32() -> None:
    positions = np.random.default_rng(0).normal(size=(100_000, 3))  # more than one piece
    document = written(frame(PointCloud(positions, "world", device=np.arange(100_000, dtype=np.uint32) % 2)))
    for device in (0, 1):
        found = sensor(document, device)["frames"][0]["points"]["positions"]
        assert np.array_equal(found, positions[device::2].astype(np.float32))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"intensity": np.array([0.5, 1.1], np.float32)}, r"intensities reach from 0\.5 to 1\.1"),
        ({"intensity": np.array([0.5, -0.1], np.float32)}, r"from -0\.1 to 0\.5"),
        ({"intensity": np.array([0.5, np.nan], np.float32)}, "from nan to nan"),
        ({"frame": "ego"}, "its points are in the ego frame"),
    ],
)
def test_points_that_an_attachment_cannot_hold_are_refused(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(EncodingError, match=message):
        encode_scene([frame(cloud(2, **columns))])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_coordinates_that_are_not_finite_float32_are_refused(value: float) -> None:
    with pytest.raises(EncodingError, match="frame 0: a point's coordinate is not a finite float32"):
        encode_scene([frame(PointCloud(np.array([[0, value, 0]]), "world"))])


def test_a_frame_without_pose_is_refused() -> None:
    with pytest.raises(EncodingError, match="frame 0 has no device pose"):
        encode_scene([frame(world_from_ego=None)])


# ---- time ----------------------------------------------------------------------------------------------------------


def test_times_are_microseconds_from_the_first_thing_seen() -> None:
    points = cloud(2, timestamp=np.array([T0 - 30_000, T0 + 5_000]))
    document = written(frame(points, images=(camera_image(timestamp=T0 - 40_000),)))
    assert document["time_offset"] == T0 // 1000 - 40
    lidar = sensor(document, "lidar")
    assert lidar["poses"]["timestamps"] == [40]
    assert lidar["frames"][0]["timestamp"] == 10  # no later than its earliest point
    assert lidar["frames"][0]["points"]["timestamps"].tolist() == [10, 45]
    assert sensor(document, "front")["poses"]["timestamps"] == [0]


def test_all_sensors_of_a_frame_share_its_time() -> None:
    times = np.array([T0 + 7_000, T0 - 2_000])
    points = cloud(2, device=np.array([0, 1], np.uint32), timestamp=times)
    document = written(frame(points, radar=radar()))
    assert {one["frames"][0]["timestamp"] for one in document["sensors"]} == {0}


def test_frames_without_timestamps_are_put_100_ms_apart_which_is_said() -> None:
    frames = [frame(index=index, timestamp=None) for index in range(3)]
    assert [one["timestamp"] for one in sensor(written(*frames), "lidar")["frames"]] == [0, 100_000, 200_000]
    assert notes_of(*frames) == ("frames have no timestamps: they are put 100 ms apart (3 times)",)


def test_one_time_of_another_day_does_not_lose_the_others() -> None:
    times = T0 + np.arange(200) * 1000
    times[[0, 7]] += 86_400 * 10**9
    lidar = sensor(written(frame(cloud(200, timestamp=times))), "lidar")
    expected = np.arange(200)
    expected[[0, 7]] = 1, 6  # of the point before, or of the first that has one
    assert lidar["frames"][0]["points"]["timestamps"].tolist() == expected.tolist()


def test_points_of_frames_without_timestamps_keep_their_distances() -> None:
    times = [np.array([T0 + 3_000, T0 + 9_000]), np.array([T0 + 3_000, T0 + 4_000])]
    frames = [frame(cloud(2, timestamp=time), index=n, timestamp=None) for n, time in enumerate(times)]
    document = written(*frames)
    assert document["time_offset"] == T0 // 1000 + 3
    found = [one["points"]["timestamps"].tolist() for one in sensor(document, "lidar")["frames"]]
    assert found == [[0, 6], [100_000, 100_001]]
    assert any("counted from their frame's first point" in note for note in notes_of(*frames))


@pytest.mark.parametrize("times", [[0, 10**8], [T0, 5], [-(2**63), 2**63 - 1]])
def test_points_on_another_clock_than_their_frame_lose_their_times_which_is_said(times: list[int]) -> None:
    made = frame(cloud(2, timestamp=np.array(times)))
    assert "timestamps" not in sensor(written(made), "lidar")["frames"][0]["points"]
    (note,) = notes_of(made)
    assert "they are left out" in note


def test_points_beyond_uint32_microseconds_lose_their_times_which_is_said() -> None:
    late = T0 + 2**32 * 1000
    frames = [frame(), frame(cloud(1, timestamp=np.array([late])), index=1, timestamp=late)]
    assert "timestamps" not in sensor(written(*frames), "lidar")["frames"][1]["points"]
    assert any("71 minutes" in note for note in notes_of(*frames))
    held = [frame(), frame(cloud(1, timestamp=np.array([late - 1])), index=1, timestamp=late - 1)]
    assert sensor(written(*held), "lidar")["frames"][1]["points"]["timestamps"].tolist() == [2**32 - 1]


def test_nanoseconds_are_rounded_down_which_is_said() -> None:
    assert any("rounded down" in note for note in notes_of(frame(timestamp=T0 + 1)))
    assert any("rounded down" in note for note in notes_of(frame(cloud(1, timestamp=np.array([T0 + 999])))))
    assert notes_of(frame(cloud(1, timestamp=np.array([T0 + 1000])))) == ()


@pytest.mark.parametrize("step", [0, -STEP, 999])
def test_frames_that_are_not_later_than_the_one_before_are_refused(step: int) -> None:
    with pytest.raises(EncodingError, match=r"frame 1 is at .* strictly increasing in whole microseconds"):
        written(frame(), frame(index=1, timestamp=T0 + step))


def test_a_frame_whose_points_begin_before_the_frame_before_is_refused() -> None:
    points = cloud(1, timestamp=np.array([T0]))
    with pytest.raises(EncodingError, match="frame 1 begins at 0 µs"):
        written(frame(), frame(points, index=1))


def test_a_scene_either_has_timestamps_or_has_none() -> None:
    with pytest.raises(EncodingError, match="frame 1 has no timestamp, while the scene's first frame has one"):
        written(frame(), frame(index=1, timestamp=None))
    with pytest.raises(EncodingError, match="frame 1 has a timestamp, while the scene's first frame has none"):
        written(frame(timestamp=None), frame(index=1))


def test_more_than_100_frames_a_second_are_refused() -> None:
    with pytest.raises(EncodingError, match="come 101 times a second"):
        written(*(frame(index=index, timestamp=T0 + index * 9_900_000) for index in range(3)))
    written(*(frame(index=index, timestamp=T0 + index * 10_000_000) for index in range(3)))


def test_times_before_1970_are_refused() -> None:
    with pytest.raises(EncodingError, match="before 1970"):
        encode_scene([frame(timestamp=-5)])


def test_a_scene_of_no_frame_is_refused() -> None:
    with pytest.raises(EncodingError, match="at least one frame"):
        encode_scene([])


# ---- poses, images, radar ----------------------------------------------------------------------------------------


def test_poses_have_their_scalar_last() -> None:
    pose = Pose.from_quaternion((0.5, 0.5, -0.5, 0.5), (1, 2, 3))
    document = written(frame(world_from_ego=pose, images=(camera_image(world_from_camera=pose),)))
    for one in document["sensors"]:
        assert np.allclose(one["poses"]["values"], [[1, 2, 3, 0.5, -0.5, 0.5, 0.5]])


def test_a_camera_has_its_images_with_their_times_poses_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    path.write_bytes(png(20, 10))
    images = [
        camera_image(timestamp=T0 + 1_000_000, content=None, path=path),
        camera_image(timestamp=T0 + STEP, path=path),
    ]
    document = written(*(frame(index=n, images=(image,)) for n, image in enumerate(images[:1])))
    camera = sensor(document, "front")
    assert camera["images"][0]["timestamp"] == 1000
    assert camera["images"][0]["content"].tobytes() == path.read_bytes()
    assert (camera["intrinsics"]["width"], camera["intrinsics"]["height"]) == (20, 10)
    assert camera["intrinsics"]["distortion"] is None


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("brown_conrady", "k1 k2 p1 p2 k3 k4 k5 k6 lx ly"),
        ("fisheye", "k1 k2 k3 k4"),
        ("omnidirectional", "k1 k2 k3 k4 p1 p2 xi lx ly"),
        ("cylindrical", ""),
        ("equirectangular", ""),
    ],
)
def test_distortion_parameters_are_listed_in_the_formats_order(model: Any, names: str) -> None:
    distortion = Distortion(**{name: 0.1 + index for index, name in enumerate(names.split())})
    document = written(
        frame(images=(camera_image(intrinsics=replace(INTRINSICS, model=model, distortion=distortion)),))
    )
    expected = {"model": model, "params": [0.1 + index for index in range(len(names.split()))]}
    assert sensor(document, "front")["intrinsics"]["distortion"] == expected


def test_a_shrunk_image_has_the_intrinsics_of_the_small_one() -> None:
    document = written(frame(images=(camera_image(scale_factor=2.0),)))
    intrinsics = sensor(document, "front")["intrinsics"]
    assert [intrinsics[key] for key in ("fx", "fy", "cx", "cy")] == [450.0, 450.5, 2.0, 1.5]


def test_cameras_come_in_the_order_of_their_indices_after_the_lidars() -> None:
    images = (camera_image("left", 2), camera_image("right", 1))
    document = written(frame(cloud(2, device=np.array([3, 1], np.uint32)), images=images, radar=radar()))
    assert [one["id"] for one in document["sensors"]] == [1, 3, "right", "left", "radar"]


def test_sensors_of_one_name_get_ids_of_their_own() -> None:
    images = (camera_image("lidar", 0), camera_image("radar", 1))
    made = frame(images=images, radar=radar())
    assert {(one["id"], one["type"]) for one in written(made)["sensors"]} == {
        ("lidar", "camera"),
        ("radar", "camera"),
        ("lidar_2", "lidar"),
        ("radar_2", "radar"),
    }
    assert any("named 'lidar_2'" in note for note in notes_of(made))
    numbered = frame(cloud(1, device=np.array([7], np.uint32)), images=(camera_image("7"),))
    assert [one["id"] for one in written(numbered)["sensors"]] == [7, "7_2"]


def test_the_same_image_in_two_frames_is_written_once() -> None:
    image = camera_image(timestamp=T0 + STEP // 2)
    frames = [frame(images=(image,)), frame(index=1, images=(image,))]
    assert len(sensor(written(*frames), "front")["images"]) == 1
    assert any("again" in note for note in notes_of(*frames))


def test_a_image_on_another_clock_is_put_at_its_frames_time() -> None:
    frames = [frame(index=n, images=(camera_image(timestamp=n),)) for n in range(2)]
    assert [one["timestamp"] for one in sensor(written(*frames), "front")["images"]] == [0, 100_000]
    assert any("not on its frame's clock" in note for note in notes_of(*frames))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (camera_image(world_from_camera=None), "the image of front has no pose"),
        (camera_image(content=None), "the image of front has no file"),
        (camera_image(timestamp=T0 + 3 * STEP), r"frame 1: the image of front, at 300000 µs, is not later than"),
        (camera_image(intrinsics=Intrinsics(1, 1, 1, 1)), "one calibration"),
        (camera_image(content=lambda: png(9, 9)), "one calibration"),
    ],
)
def test_images_that_make_no_camera_are_refused(image: Any, message: str) -> None:
    first = camera_image(timestamp=T0 + 3 * STEP + 1000) if image.timestamp else camera_image()
    with pytest.raises(EncodingError, match=message):
        encode_scene([frame(images=(first,)), frame(index=1, images=(replace(image),))])


def test_a_image_that_is_none_or_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    with pytest.raises(FormatError, match=r"1\.jpg: the file cannot be read"):
        encode_scene([frame(images=(camera_image(content=None, path=path),))])
    path.write_bytes(b"not an image")
    with pytest.raises(FormatError, match=r"1\.jpg: an image that is no JPEG"):
        encode_scene([frame(images=(camera_image(content=None, path=path),))])


def test_radar_returns_have_a_sensor_of_their_own() -> None:
    returns = radar(3, directions=np.arange(9.0).reshape(3, 3), sizes=np.array([0.5, 1, 2]))
    document = written(frame(), frame(index=1, radar=returns), frame(index=2, radar=radar(0)))
    frames = sensor(document, "radar")["frames"]
    assert [one["timestamp"] for one in frames] == [100_000, 200_000]
    assert np.array_equal(frames[0]["points"]["positions"], returns.positions)
    assert np.array_equal(frames[0]["points"]["directions"], returns.directions)
    assert np.array_equal(frames[0]["points"]["lengths"], returns.sizes)
    assert len(frames[1]["points"]["positions"]) == 0
    with pytest.raises(EncodingError, match="radar points are in the ego frame"):
        encode_scene([frame(radar=replace(returns, frame="ego"))])


def test_odometry_is_written_only_when_asked_for() -> None:
    assert [one["type"] for one in written(frame())["sensors"]] == ["lidar"]
    document = written(frame(), frame(index=1), odometry=True)
    assert sensor(document, "odometry")["poses"] == sensor(document, "lidar")["poses"]


def test_what_a_scene_does_not_hold_is_said_once() -> None:
    skewed = camera_image(intrinsics=replace(INTRINSICS, skew=0.5), priority=1)
    frames = [frame(index=n, gps=GpsPose(1, 2, 3), images=(replace(skewed),)) for n in range(2)]
    assert notes_of(*frames) == (
        "a Sensor Fusion Scene does not hold GPS poses (2 times)",
        "camera front: a Sensor Fusion Scene does not hold its skew (2 times)",
        "camera front: a Sensor Fusion Scene holds no priority and no metadata (2 times)",
    )


# ---- the writer ----------------------------------------------------------------------------------------------------


def test_a_frame_that_is_refused_leaves_the_writer_as_it_was() -> None:
    file = BytesIO()
    writer = SceneWriter(file)
    writer.add(frame())
    before = file.getvalue()
    bad = frame(cloud(3, intensity=np.full(3, 2.0)), index=1, gps=GpsPose(1, 2, 3))
    with pytest.raises(EncodingError):
        writer.add(bad)
    assert file.getvalue() == before
    assert writer.notes == ()
    writer.add(frame(index=1))
    writer.finish()
    assert file.getvalue() == encode_scene([frame(), frame(index=1)])


def test_a_first_frame_that_is_refused_does_not_set_the_clock() -> None:
    file = BytesIO()
    writer = SceneWriter(file)
    with pytest.raises(EncodingError):
        writer.add(frame(cloud(1, frame="ego"), timestamp=5))
    writer.add(frame())
    writer.finish()
    assert file.getvalue() == encode_scene([frame()])


@pytest.mark.parametrize("expected_frames", [0, 1, 2, 30])
def test_the_room_that_is_left_for_the_header_does_not_change_the_scene(tmp_path: Path, expected_frames: int) -> None:
    frames = [frame(cloud(30_000, intensity=True), index=n, images=(camera_image(),)) for n in range(3)]
    with (tmp_path / "scene.sfs").open("w+b") as file:
        writer = SceneWriter(file, frames=expected_frames)
        for one in frames:
            writer.add(one)
        size = writer.finish()
        assert file.tell() == size
    found, expected = (tmp_path / "scene.sfs").read_bytes(), encode_scene(frames)
    assert len(found) == size
    assert found[found.index(0) :] == expected[expected.index(0) :]
    assert found.index(0) == max(expected.index(0), 2048 * expected_frames)
    assert scale_json_binary.loads(found).keys() == scale_json_binary.loads(expected).keys()
    assert found[: found.index(0)].replace(b" ", b"") == expected[: expected.index(0)].replace(b" ", b"")
