"""What an attachment cannot hold is refused by name, and nothing is written in its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lidarprep.attachments import FORMATS, frame_json, lidar_frame
from lidarprep.errors import EncodingError
from lidarprep.scene import Camera, Distortion, Frame, Intrinsics, PointCloud, Pose, RadarPoints
from tests.attachments.frames import camera_image, world_frame

BOTH = pytest.mark.parametrize("encode", [frame_json.encode, lidar_frame.encode], ids=["json", "protobuf"])
ONES = np.ones((3, 3), np.float32)


@BOTH
@pytest.mark.parametrize("frame", ["ego", "sensor"])
def test_points_that_are_not_in_the_world_are_refused(encode: Any, frame: str) -> None:
    with pytest.raises(EncodingError, match=f"in the {frame} frame"):
        encode(world_frame(ONES, frame=frame))


@BOTH
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 2])
def test_a_coordinate_that_is_not_finite_is_refused_by_its_row(encode: Any, value: float, row: int) -> None:
    positions = ONES.copy()
    positions[row, 1] = value
    with pytest.raises(EncodingError, match=f"1 of 3 points .* row {row}"):
        encode(world_frame(positions))


@BOTH
def test_a_float64_coordinate_beyond_float32_is_refused(encode: Any) -> None:
    cloud = PointCloud(np.array([[1e39, 0.0, 0.0]]), frame="world")
    with pytest.raises(EncodingError, match="not a finite float32"):
        encode(world_frame().with_data(cloud))


@BOTH
def test_large_finite_coordinates_whose_sum_overflows_are_written(encode: Any) -> None:
    assert encode(world_frame(np.full((1000, 3), 3.4e38)))


@BOTH
@pytest.mark.parametrize("value", [-1e-6, 1.0001, 255.0])
def test_intensity_outside_0_to_1_is_refused(encode: Any, value: float) -> None:
    with pytest.raises(EncodingError, match="0 to 1") as caught:
        encode(world_frame(ONES, intensity=np.array([0.5, value, 0.5])))
    assert "--intensity-scale" in str(caught.value)


@BOTH
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_intensity_that_is_not_finite_is_refused(encode: Any, value: float) -> None:
    with pytest.raises(EncodingError, match="intensity"):
        encode(world_frame(ONES, intensity=np.array([0.5, value, 0.5], np.float32)))


@BOTH
def test_intensity_of_0_and_of_1_is_written(encode: Any) -> None:
    assert encode(world_frame(ONES, intensity=np.array([0, 1, 1], np.uint8)))


@BOTH
def test_a_frame_without_a_device_pose_is_refused(encode: Any) -> None:
    with pytest.raises(EncodingError, match="no device pose"):
        encode(world_frame(world_from_ego=None))


@BOTH
def test_an_image_without_url_or_pose_is_refused(encode: Any) -> None:
    with pytest.raises(EncodingError, match="front has no URL"):
        encode(world_frame(images=(camera_image(url=None),)))
    with pytest.raises(EncodingError, match="front has no pose"):
        encode(world_frame(images=(camera_image(world_from_camera=None),)))


@BOTH
def test_radar_that_is_not_in_the_world_is_refused(encode: Any) -> None:
    with pytest.raises(EncodingError, match="radar points are in the ego frame"):
        encode(world_frame(radar=RadarPoints(np.zeros((1, 3)))))


@pytest.mark.parametrize(
    ("intrinsics", "what"),
    [
        (Intrinsics(1, 1, 0, 0, model="cylindrical"), "the camera model cylindrical"),
        (Intrinsics(1, 1, 0, 0, model="equirectangular"), "the camera model equirectangular"),
        *[
            (Intrinsics(1, 1, 0, 0, distortion=Distortion(**{name: 0.1})), f"brown_conrady's {name}")
            for name in ("k4", "k5", "k6", "lx", "ly")
        ],
        *[
            (
                Intrinsics(1, 1, 0, 0, model="omnidirectional", distortion=Distortion(**{n: 0.1})),
                f"omnidirectional's {n}",
            )
            for n in ("k4", "lx", "ly")
        ],
    ],
)
def test_a_model_that_the_schema_lacks_is_refused_by_name_and_json_is_named(intrinsics: Intrinsics, what: str) -> None:
    frame = world_frame(images=(camera_image(intrinsics),))
    with pytest.raises(EncodingError, match=what) as caught:
        lidar_frame.encode(frame)
    assert "--format json" in str(caught.value)
    back = frame_json.decode(frame_json.encode(frame)).images[0]
    assert back.camera.intrinsics == intrinsics


HUGE = Pose.identity().translated((1e39, 0, 0))


@pytest.mark.parametrize(
    "frame",
    [
        world_frame(world_from_ego=HUGE),
        world_frame(images=(camera_image(world_from_camera=HUGE),)),
        world_frame(images=(camera_image(Intrinsics(1e39, 1, 0, 0)),)),
        world_frame(images=(camera_image(scale_factor=1e39),)),
        world_frame(radar=RadarPoints(np.array([[1e39, 0, 0]]), frame="world")),
        world_frame(radar=RadarPoints(np.zeros((1, 3)), sizes=np.array([1e39]), frame="world")),
        world_frame(images=(camera_image(priority=2**31),)),
        world_frame(images=(replace(camera_image(), camera=Camera("far", 2**31, Intrinsics(1, 1, 0, 0))),)),
        world_frame(images=(camera_image(url="\ud800"),)),
    ],
)
def test_a_number_or_text_beyond_the_schemas_types_is_refused(frame: Frame) -> None:
    with pytest.raises(EncodingError, match="frame 7"):
        lidar_frame.encode(frame)


@pytest.mark.parametrize(
    "frame",
    [
        world_frame(images=(camera_image(priority=2**64),)),
        world_frame(images=(camera_image(metadata={"a": object()}),)),
        world_frame(images=(camera_image(url="\ud800"),)),
    ],
)
def test_what_is_no_json_is_refused(frame: Frame) -> None:
    with pytest.raises(EncodingError, match="frame 7"):
        frame_json.encode(frame)


def frame_of(cloud: PointCloud) -> Frame:
    return Frame("7", 0, lambda: cloud, world_from_ego=Pose.identity())


def test_losses_are_told_with_their_figure() -> None:
    json, protobuf = FORMATS["json"], FORMATS["protobuf"]
    cloud = PointCloud(
        np.array([[2e5, 0.0, 0.0]]), timestamp=np.array([1_700_000_000 * 10**9]), ring=np.zeros(1, np.uint16)
    )
    assert set(json.losses(frame_of(cloud))) == {"unheld fields", "rounded coordinates"}
    assert "ring" in json.losses(frame_of(cloud))["unheld fields"]
    assert "0.016 m" in json.losses(frame_of(cloud))["rounded coordinates"]
    assert "256 ns" in protobuf.losses(frame_of(cloud))["rounded timestamps"]
    assert json.losses(frame_of(PointCloud(np.array([[-1e5, 1e5, 0.0]])))) == {}
    assert "200000 m" in json.losses(frame_of(PointCloud(np.array([[0, -2e5, 0.0]]))))["rounded coordinates"]
    stamped = Frame("7", 0, lambda: PointCloud(np.zeros((1, 3))), timestamp=1_700_000_000_123_456_789)
    assert "256 ns" in protobuf.losses(stamped)["rounded timestamps"]
    assert json.losses(stamped) == {}
