"""Field names as people write them, and the units of their times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.pointfiles.fields import cloud_from_fields
from lidarprep.pointfiles.timestamps import FILLED_TIMES, to_nanoseconds
from lidarprep.scene import PointCloud

EPOCH_NS = 1_700_000_000_123_456_789


def cloud(**fields: Any) -> PointCloud:
    """A cloud of two points with these fields beside x, y and z."""
    xyz = {axis: np.zeros(2, np.float32) for axis in "xyz"}
    return cloud_from_fields(Path("a.ply"), {**xyz, **{name: np.asarray(f) for name, f in fields.items()}})


@pytest.mark.parametrize(
    "name", ["i", "I", "Intensity", "REFLECTIVITY", "reflectance", "remission", "scalar_Intensity"]
)
def test_intensity_is_found_by_its_names_and_keeps_its_type(name: str) -> None:
    found = cloud(**{name: np.array([1, 65535], np.uint16)})
    np.testing.assert_array_equal(found.intensity, [1, 65535])
    assert found.intensity is not None
    assert found.intensity.dtype == np.uint16


@pytest.mark.parametrize(
    ("name", "column"),
    [("ring", "ring"), ("laser_number", "ring"), ("channel", "ring"), ("d", "device"), ("device_id", "device")],
)
def test_ring_and_device_are_found_by_their_names(name: str, column: str) -> None:
    np.testing.assert_array_equal(getattr(cloud(**{name: np.array([0.0, 3.0])}), column), [0, 3])


def test_of_several_names_the_first_of_the_table_is_read_and_the_others_are_named() -> None:
    found = cloud(reflectivity=[7, 8], intensity=[1, 2], rgb=np.zeros(2, "f4"), r=[1, 1], g=[2, 2], b=[3, 3])
    np.testing.assert_array_equal(found.intensity, [1, 2])
    np.testing.assert_array_equal(found.colour, [[1, 2, 3]] * 2)
    assert found.ignored_fields == ("reflectivity", "rgb")


@pytest.mark.parametrize(
    "field",
    [
        {"d": [12.5, 80.0]},
        {"d": [-1, 0]},
        {"ring": [0, 70_000]},
        {"ring": [0.0, np.nan]},
        {"is_ground": [0, 2]},
        {"timestamp": [np.nan, np.inf]},
        {"timestamp": [2**64 - 1, 2**64 - 1]},
        {"s": [0.5, 1.0], "t": [0.25, 0.5]},
        {"time_sec": [2**40, 2**40], "time_nsec": [0, 0]},
        {"rgb": [0.0, 1.0]},
        {"intensity": ["high", "low"]},
        {"intensity": [[1, 2], [3, 4]]},
        {"curvature": [1.0, 2.0]},
    ],
)
def test_a_field_whose_values_do_not_fit_its_name_is_ignored_and_named(field: dict[str, Any]) -> None:
    found = cloud(**field)
    assert found.ignored_fields == tuple(field)
    assert found.columns == {}


def test_colours_of_another_scale_are_not_guessed() -> None:
    assert cloud(red=[0.5, 1], green=[0.5, 1], blue=[0.5, 1]).ignored_fields == ("red", "green", "blue")
    assert cloud(red=[65535, 1], green=[0, 0], blue=[0, 0]).colour is None


@pytest.mark.parametrize("dtype", ["u4", "i4", "f4"])
def test_packed_colour_is_read_from_its_bits(dtype: str) -> None:
    packed = np.array([0x00FF8001, 0x7F010203], np.uint32).view(dtype)
    np.testing.assert_array_equal(cloud(rgba=packed).colour, [[255, 128, 1], [1, 2, 3]])


def test_ground_flags_become_booleans() -> None:
    flags = cloud(is_ground=np.array([0, 1], np.uint8)).is_ground
    assert flags is not None
    assert flags.tolist() == [False, True]


@pytest.mark.parametrize(
    ("name", "values", "nanoseconds"),
    [
        ("t", np.array([0, 99_999_999], np.uint32), 99_999_999),
        ("time", np.array([0, 0.25], np.float32), 250_000_000),
        ("time_stamp", np.array([0, 99_999_999], np.uint32), 99_999_999),
        ("offset_ns", np.array([0, 99_999_999], np.int32), 99_999_999),
        ("gps_time", np.array([0, 1.5]), 1_500_000_000),
        ("t_us", np.array([0, 7], np.int32), 7000),
        ("timestamp_ns", np.array([0, 1_700_000_000_123], np.int64), 1_700_000_000_123),
        ("time_s", np.array([0, 3], np.uint8), 3_000_000_000),
    ],
)
def test_times_become_nanoseconds(name: str, values: Any, nanoseconds: int) -> None:
    found = cloud(**{name: values})
    assert found.timestamp is not None
    assert found.timestamp.dtype == np.int64
    assert found.timestamp.tolist() == [0, nanoseconds]
    assert found.notes == ()


@pytest.mark.parametrize(
    ("name", "values", "nanoseconds"),
    [
        ("timestamp", np.array([0, 1_700_000_000.5]), 1_700_000_000_500_000_000),
        ("Time_Stamp", np.array([0, 1_700_000_000.5]), 1_700_000_000_500_000_000),
        ("timestamp", np.array([0, 1_700_000_000_123], np.int64), 1_700_000_000_123_000_000),
        ("timestamp", np.array([0, 1_700_000_000_123.5]), 1_700_000_000_123_500_000),
        ("timestamp", np.array([0, 1_700_000_000_123_456], np.uint64), 1_700_000_000_123_456_000),
        ("timestamp", np.array([2**64 - 1, EPOCH_NS], np.uint64), EPOCH_NS),
        ("timestamp", np.array([np.nan, float(EPOCH_NS)]), int(float(EPOCH_NS))),
        ("timestamp", np.array([-np.inf, 1_700_000_000.5]), 1_700_000_000_500_000_000),
        ("timestamp", np.array([1e30, 1_700_000_000.5]), 1_700_000_000_500_000_000),
        ("timestamp", np.array([2.0**63, float(EPOCH_NS)]), int(float(EPOCH_NS))),
    ],
)
def test_a_time_that_is_none_leaves_the_others_as_they_are(name: str, values: Any, nanoseconds: int) -> None:
    for order in (values, values[::-1]):
        found = cloud(**{name: order})
        assert found.timestamp is not None
        assert found.timestamp.tolist() == [nanoseconds] * 2
        assert found.notes == (FILLED_TIMES,)


@given(st.lists(st.sampled_from((np.nan, np.inf, -np.inf, 1e300)), max_size=3), st.randoms(use_true_random=False))
def test_times_do_not_depend_on_those_that_are_none(bad: list[float], random: Any) -> None:
    good = 1_700_000_000 + np.arange(7) / 64
    rows = sorted(random.sample(range(7 + len(bad)), len(bad)))
    values = np.full(7 + len(bad), np.nan)
    values[rows] = bad
    values[np.delete(np.arange(len(values)), rows)] = good
    found = to_nanoseconds(values)
    assert found is not None
    alone = to_nanoseconds(good)
    assert alone is not None
    times, without = found
    np.testing.assert_array_equal(np.delete(times, rows), alone[0])
    assert without == len(bad)
    expected = alone[0][0]
    for row, time in enumerate(times):
        expected = expected if row in rows else time
        assert time == expected  # of the point before, or of the first


@pytest.mark.parametrize("names", [("time_sec", "time_nsec"), ("Time_Sec", "TIME_NSEC"), ("sec", "nanosec")])
def test_times_in_two_fields_are_put_together_exactly(names: tuple[str, str]) -> None:
    seconds, beyond = np.divmod(np.array([EPOCH_NS, EPOCH_NS + 1]), 10**9)
    found = cloud(**{names[0]: seconds.astype(np.uint32), names[1]: beyond.astype(np.uint32)})
    assert found.timestamp is not None
    assert found.timestamp.tolist() == [EPOCH_NS, EPOCH_NS + 1]
    assert found.ignored_fields == ()
    broken = cloud(**{names[0]: seconds, names[1]: np.array([beyond[0], 2**31])})
    assert broken.timestamp is not None
    assert broken.timestamp.tolist() == [EPOCH_NS] * 2
    assert broken.notes == (FILLED_TIMES,)


@given(st.integers(-(2**53), 2**53))
def test_seconds_are_rounded_to_the_nearest_nanosecond(steps: int) -> None:
    seconds = steps / 2**20  # exact in binary, so that the right answer is known in integers
    found = to_nanoseconds(np.array([seconds]), "s")
    assert found is not None
    assert abs(int(found[0][0]) * 2**20 - steps * 10**9) <= 2**19


@given(st.lists(st.floats(width=64) | st.integers(-(2**63), 2**64 - 1), max_size=5), st.sampled_from("fiu"))
def test_numbers_that_are_no_times_never_fail(values: list[float], kind: str) -> None:
    limits = {"f": (-np.inf, np.inf), "i": (-(2**63), 2**63 - 1), "u": (0, 2**64 - 1)}[kind]
    fitting = [v for v in values if kind == "f" or (isinstance(v, int) and limits[0] <= v <= limits[1])]
    array = np.array(fitting, dtype=f"{kind}8")
    found = to_nanoseconds(array)
    assert found is None or found[0].shape == array.shape
