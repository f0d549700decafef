"""PointCloud2 of any layout, serialised by rosbags and held against the structured arrays that it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.datasets.ros._clouds import read_cloud
from lidarprep.datasets.ros._messages import Cursor, frame_name
from lidarprep.datasets.ros._storage import Wire
from lidarprep.errors import FormatError, LidarprepError
from lidarprep.scene import PointCloud
from tests.datasets.write_ros import ROS1, ROS2, STEPS, made, point_cloud

KIND = "sensor_msgs/msg/PointCloud2"
STAMP = 1_700_000_000_123_456_789
PATH = Path("drive.bag")


def serialised(fields: dict[str, Any], wire: Wire = "cdr") -> bytes:
    if wire == "ros1":
        return bytes(ROS1.serialize_ros1(made(ROS1, KIND, fields), KIND))
    return bytes(ROS2.serialize_cdr(made(ROS2, KIND, fields), KIND))


def cursor(data: bytes | bytearray, wire: Wire = "cdr") -> Cursor:
    return Cursor(PATH, "message 0", data, wire)


def read(points: np.ndarray[Any, Any], wire: Wire = "cdr", stamp: int = STAMP, **changes: Any) -> PointCloud:
    data = serialised(point_cloud(stamp, "/velodyne", points, **changes), wire)
    found, name = cursor(data, wire).header()
    assert (found, frame_name(name)) == (stamp, "velodyne")
    return read_cloud(cursor(data, wire))


def xyz(count: int, *more: tuple[str, str]) -> np.ndarray[Any, Any]:
    points = np.zeros(count, dtype=[("x", "<f4"), ("y", "<f4"), ("z", "<f4"), *more])
    for k, axis in enumerate("xyz"):
        points[axis] = np.arange(count) * 3 + k
    return points


@st.composite
def layouts(draw: st.DrawFn) -> np.dtype[Any]:
    """Fields in any order, with gaps anywhere, of any type, in either byte order."""
    order = draw(st.sampled_from("<>"))
    axis_type = draw(st.sampled_from(["f4", "f8", "i2"]))
    names = draw(st.permutations(["x", "y", "z", "intensity", "ring", "rgb", "extra", "_"]))
    formats, offsets, at = [], [], 0
    for name in names:
        at += draw(st.integers(0, 5))
        code = axis_type if name in "xyz" else draw(st.sampled_from(sorted(STEPS)))
        code = {"rgb": "f4", "ring": "u2"}.get(name, code)
        shape = draw(st.sampled_from([(), (3,)])) if name in ("extra", "_") else ()
        formats.append((order + code, shape))
        offsets.append(at)
        at += np.dtype(formats[-1]).itemsize
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": at + draw(st.integers(0, 7))})


@given(layouts(), st.integers(0, 7), st.integers(1, 3), st.integers(0, 2**32 - 1), st.sampled_from(["cdr", "ros1"]))
def test_any_layout_of_fields_is_read(dtype: np.dtype[Any], width: int, height: int, seed: int, wire: Wire) -> None:
    rng = np.random.default_rng(seed)
    points = np.zeros((height, width), dtype=dtype)
    for name in dtype.names or ():
        points[name] = rng.integers(0, 100, points[name].shape)
    cloud = read(points, wire)
    flat = points.reshape(-1)
    for k, axis in enumerate("xyz"):
        np.testing.assert_array_equal(cloud.positions[:, k], flat[axis])
    assert cloud.intensity is not None
    np.testing.assert_array_equal(cloud.intensity, flat["intensity"])
    assert cloud.intensity.dtype == flat["intensity"].dtype.newbyteorder("=")
    assert cloud.ring is not None
    np.testing.assert_array_equal(cloud.ring, flat["ring"])
    bits = np.ascontiguousarray(flat["rgb"]).astype("<f4").view("<u4")
    assert cloud.colour is not None
    np.testing.assert_array_equal(cloud.colour[:, 1], bits >> 8 & 255)
    assert set(cloud.ignored_fields) == {"extra", "_"}


def test_rows_of_organised_clouds_may_be_padded() -> None:
    points = xyz(6, ("intensity", "u1")).reshape(2, 3)
    rows = [row.tobytes() + b"padding" for row in points]
    data = np.frombuffer(b"".join(rows), dtype=np.uint8)
    cloud = read(points, data=data, row_step=len(rows[0]))
    np.testing.assert_array_equal(cloud.positions, np.arange(18).reshape(6, 3))
    # The last row's padding may be left out.
    cloud = read(points, data=data[:-7], row_step=len(rows[0]))
    np.testing.assert_array_equal(cloud.positions, np.arange(18).reshape(6, 3))


def test_a_row_step_of_the_whole_cloud_does_no_harm() -> None:
    points = xyz(6).reshape(2, 3)
    np.testing.assert_array_equal(read(points, row_step=72).positions, np.arange(18).reshape(6, 3))


def test_rows_of_nan_are_kept() -> None:
    points = xyz(4)
    points["x"][2] = np.nan
    cloud = read(points, is_dense=False)
    assert len(cloud) == 4
    assert np.isnan(cloud.positions[2, 0])


def test_an_empty_cloud_has_no_points() -> None:
    assert len(read(xyz(0))) == 0


@pytest.mark.parametrize(
    ("name", "dtype", "values", "offsets"),
    [
        ("t", "u4", [0, 50_000_000, 99_999_999], [0, 50_000_000, 99_999_999]),  # Ouster
        ("offset_time", "u4", [0, 1, 2], [0, 1, 2]),  # Livox
        ("time", "f4", [-0.5, -0.25, 0.0], [-500_000_000, -250_000_000, 0]),  # Velodyne
        ("timestamp", "f8", [1.7e9 + 0.125, 1.7e9 + 0.25, 1.7e9 + 0.5], None),  # Hesai: seconds since the epoch
        ("timestamp", "f8", [1.7e18, 1.7e18 + 2**20, 1.7e18 + 2**21], None),  # Livox: nanoseconds since the epoch
    ],
)
def test_times_of_points_are_absolute(name: str, dtype: str, values: list[float], offsets: list[int] | None) -> None:
    points = xyz(3, (name, dtype))
    points[name] = values
    cloud = read(points)
    factor = 1e9 if max(values) < 1e12 else 1
    expected = (
        [STAMP + offset for offset in offsets] if offsets else [int(value * 8) * int(factor) // 8 for value in values]
    )
    assert cloud.timestamp is not None
    assert cloud.timestamp.tolist() == expected


def test_times_of_a_simulation_that_began_at_zero_are_told_from_offsets() -> None:
    points = xyz(2, ("time", "f8"))
    points["time"] = [12.25, 12.3125]
    absolute = read(points, stamp=12_250_000_000).timestamp
    points["time"] = [0.0, 0.0625]
    offsets = read(points, stamp=12_250_000_000).timestamp
    assert absolute is not None
    assert offsets is not None
    assert absolute.tolist() == offsets.tolist() == [12_250_000_000, 12_312_500_000]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30, 5000.0])
def test_one_time_that_is_none_does_not_change_what_the_others_count_from(bad: float) -> None:
    points = xyz(5, ("time", "f8"))
    points["time"] = [0.0, 0.0625, bad, 0.125, 0.1875]
    times = read(points).timestamp
    assert times is not None
    assert np.delete(times, 2).tolist() == [STAMP + ns for ns in (0, 62_500_000, 125_000_000, 187_500_000)]


def test_unknown_types_and_second_fields_of_a_name_are_named_as_ignored() -> None:
    fields = point_cloud(STAMP, "velodyne", xyz(2, ("a", "f4"), ("b", "f4")))
    fields["fields"][3]["datatype"] = 99
    fields["fields"][4]["name"] = "x"
    cloud = read_cloud(cursor(serialised(fields)))
    assert cloud.ignored_fields == ("a", "x")


def test_a_count_of_zero_means_one() -> None:
    fields = point_cloud(STAMP, "velodyne", xyz(2))
    fields["fields"][0]["count"] = 0
    cloud = read_cloud(cursor(serialised(fields)))
    np.testing.assert_array_equal(cloud.positions[:, 0], [0, 3])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 3}, "24 bytes of data in rows of 36; expected 1 × 3 points of 12 bytes"),
        ({"width": 2**32 - 1, "height": 2**32 - 1}, "expected 4294967295 × 4294967295 points"),
        ({"point_step": 0}, "a point_step of 0"),
        ({"point_step": 8, "width": 3, "row_step": 24}, "field 'z': 1 values of 4 bytes from byte 8 on"),
        ({"height": 2, "width": 1, "row_step": 5, "data": np.zeros(50, dtype=np.uint8)}, "in rows of 5"),
        ({"fields": []}, "no x"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(xyz(2), **changes)


@pytest.mark.parametrize("wire", ["cdr", "ros1"])
def test_a_message_cut_anywhere_is_refused(wire: Wire) -> None:
    data = serialised(point_cloud(STAMP, "velodyne", xyz(3)), wire)
    for length in range(len(data) - 1):
        with pytest.raises(FormatError, match="message 0"):
            read_cloud(cursor(data[:length], wire))


@given(st.data())
def test_damaged_bytes_give_points_or_one_clear_error(data: st.DataObject) -> None:
    raw = bytearray(serialised(point_cloud(STAMP, "velodyne", xyz(5, ("intensity", "u1"), ("t", "u4")))))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        cloud = read_cloud(cursor(raw))
    except LidarprepError:
        return
    assert cloud.positions.shape[1] == 3
