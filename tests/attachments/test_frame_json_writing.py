"""Frame JSON as the standard json module reads it."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.attachments.frame_json import decode, encode
from lidarprep.errors import RecipeError
from lidarprep.scene import Distortion, Frame, GpsPose, Intrinsics, PointCloud, Pose, RadarPoints
from tests.attachments.frames import (
    SHARED_COEFFICIENTS,
    assert_same_points,
    assert_same_surroundings,
    bits,
    camera_image,
    frames,
    world_frame,
)

ALL_MODELS = SHARED_COEFFICIENTS | {
    "brown_conrady": ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2", "lx", "ly"),
    "cylindrical": (),
    "equirectangular": (),
}
KEYS = {"intensity": "i", "device": "d", "timestamp": "t", "is_ground": "is_ground"}


def parsed(frame: Frame, **how: Any) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    found: dict[str, Any] = json.loads(encode(frame, **how), parse_constant=refuse)
    return found


def float32_column(points: list[dict[str, Any]], key: str) -> np.ndarray:
    return np.array([float(point[key]) for point in points], dtype=np.float64).astype(np.float32)


@given(frames(ALL_MODELS))
def test_json_reads_every_column_back_bit_for_bit(frame: Frame) -> None:
    points, cloud = parsed(frame)["points"], frame.points()
    assert len(points) == len(cloud)
    expected_keys = ["x", "y", "z", *(KEYS[name] for name in cloud.columns)]
    assert all(list(point) == expected_keys for point in points)
    for axis, key in enumerate("xyz"):
        assert np.array_equal(bits(float32_column(points, key)), bits(cloud.positions[:, axis]))
    if cloud.intensity is not None:
        assert np.array_equal(bits(float32_column(points, "i")), bits(cloud.intensity))
    for name in ("device", "timestamp", "is_ground"):
        if name in cloud.columns:
            expected = cloud.columns[name].tolist()
            assert [point[KEYS[name]] for point in points] == expected
            assert [type(point[KEYS[name]]) for point in points] == [type(value) for value in expected]


@given(frames(ALL_MODELS))
def test_what_is_written_reads_back_as_it_was(frame: Frame) -> None:
    back = decode(encode(frame), source="7")
    assert back.id == "7"
    assert_same_points(back.points(), frame.points())
    assert_same_surroundings(back, frame, 1e-12)


@pytest.mark.parametrize("present", list(itertools.product([False, True], repeat=4)))
@pytest.mark.parametrize("count", [0, 1, 2])
def test_each_combination_of_columns(present: tuple[bool, ...], count: int) -> None:
    columns = {
        "intensity": np.linspace(0, 1, count, dtype=np.float32),
        "device": np.array([0, 2**32 - 1][:count], dtype=np.uint32),
        "timestamp": np.array([-(2**63), 2**63 - 1][:count]),
        "is_ground": np.array([True, False][:count]),
    }
    columns = {name: column for (name, column), there in zip(columns.items(), present, strict=True) if there}
    frame = world_frame(np.arange(3 * count), **columns)
    assert_same_points(decode(encode(frame)).points(), frame.points())
    assert len(parsed(frame)["points"]) == count


NUMBERS = [-0.0, 1e-45, -1e-45, 1.1754942e-38, 3.4028235e38, -3.4028235e38, 16777216.0, 0.1, 7.038531e-26]


def test_extreme_coordinates_survive_json_bit_for_bit() -> None:
    positions = np.array(NUMBERS, dtype=np.float32).reshape(-1, 3)
    found = np.column_stack([float32_column(parsed(world_frame(positions))["points"], key) for key in "xyz"])
    assert np.array_equal(bits(found), bits(positions))
    assert np.array_equal(bits(decode(encode(world_frame(positions))).points().positions), bits(positions))


@given(frames(), st.integers(0, 8))
def test_precision_writes_what_python_writes(frame: Frame, decimals: int) -> None:
    cloud = frame.points()
    moderate = np.clip(cloud.positions, -1e9, 1e9).astype(np.float32)
    frame = world_frame(moderate, **cloud.columns)
    texts = json.loads(encode(frame, precision=decimals), parse_float=str, parse_int=str)["points"]
    for row, point in enumerate(texts):
        values = [*moderate[row].tolist(), *([] if cloud.intensity is None else [float(cloud.intensity[row])])]
        assert [point[key] for key in ("x", "y", "z", "i") if key in point] == [f"{v:.{decimals}f}" for v in values]


@pytest.mark.parametrize("decimals", [-1, 9])
def test_a_precision_out_of_range_is_refused(decimals: int) -> None:
    with pytest.raises(RecipeError, match="precision"):
        encode(world_frame(), precision=decimals)


def test_positions_of_float64_are_rounded_to_float32_once() -> None:
    exact = np.array([[0.1, 1 / 3, 123456.789]])
    frame = world_frame().with_data(PointCloud(exact, frame="world"))
    found = np.column_stack([float32_column(parsed(frame)["points"], key) for key in "xyz"])
    assert np.array_equal(found, exact.astype(np.float32))


def test_every_field_has_its_name() -> None:
    """The table of formats.md."""
    intrinsics = Intrinsics(
        900.0, 901.0, 640.0, 360.0, 0.5, distortion=Distortion(k1=0.1, k2=0.2, p1=0.01, p2=0.02, k6=0.3, lx=1, ly=2)
    )
    heading = Pose.from_euler(0.1, 0.2, 0.3, (4.0, 5.0, 6.0))
    image = camera_image(
        intrinsics, world_from_camera=heading, timestamp=12, scale_factor=2.0, priority=3, metadata={"a": [1]}
    )
    frame = world_frame(
        world_from_ego=Pose.from_quaternion((0.5, 0.5, 0.5, 0.5), (1, 2, 3)),
        taken=1_700_000_000_123_456_789,
        gps=GpsPose(52.5, 13.4, 90.0),
        images=(image,),
        radar=RadarPoints(np.array([[1.0, 2, 3]]), np.array([[0.0, 1, 0]]), np.array([0.5]), frame="world"),
    )
    w, x, y, z = heading.quaternion.tolist()
    assert parsed(frame) == {
        "device_position": {"x": 1, "y": 2, "z": 3},
        "device_heading": pytest.approx({"w": 0.5, "x": 0.5, "y": 0.5, "z": 0.5}),
        "device_gps_pose": {"lat": 52.5, "lon": 13.4, "bearing": 90},
        "timestamp": 1_700_000_000_123_456_789,
        "points": [{"x": 1, "y": 2, "z": 3}],
        "radar_points": [
            {"position": {"x": 1, "y": 2, "z": 3}, "direction": {"x": 0, "y": 1, "z": 0}, "size": 0.5},
        ],
        "images": [
            {
                "image_url": "https://x/1.jpg",
                "position": {"x": 4, "y": 5, "z": 6},
                "heading": {"w": w, "x": x, "y": y, "z": z},
                "camera_index": 0,
                "camera_model": "brown_conrady",
                **{"fx": 900, "fy": 901, "cx": 640, "cy": 360, "skew": 0.5},
                **{"k1": 0.1, "k2": 0.2, "p1": 0.01, "p2": 0.02, "k6": 0.3, "lx": 1, "ly": 2},
                **{"timestamp": 12, "scale_factor": 2, "priority": 3, "metadata": {"a": [1]}},
            }
        ],
    }


def test_the_same_frame_gives_the_same_bytes() -> None:
    rng = np.random.default_rng(1)
    frame = world_frame(rng.normal(size=(100, 3)), intensity=rng.uniform(size=100).astype(np.float32))
    assert encode(frame) == encode(frame)
