"""Frame JSON as any conforming writer may write it, against what the standard json module reads."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.attachments.frame_json import decode
from lidarprep.scene import PointCloud
from tests.attachments.frames import bits

POSITION = '"device_position":{"x":0,"y":0,"z":0}'
KEYS = ("x", "y", "z", "i", "d", "t", "is_ground")

NUMBER_STYLES = [
    repr,
    lambda v: f"{v:.17g}",
    lambda v: f"{v:.9e}",
    lambda v: f"{v:.20E}",
    lambda v: f"{v:.25f}",
    lambda v: f"{v:.0f}",
    lambda v: f"{v:.3e}".replace("e+", "e+000").replace("e-", "E-000"),
    lambda v: f"{v:.40f}0000",
]
SPACES = ["", "", " ", "\n", "\t", "\r\n  "]
STRANGERS = [
    '"ring":12',
    '"X":{"x":[1,{"y":2}],"s":"}]\\"{"}',
    '"":null',
    '"is_ground ":true',
    '"points":[{"x":1}]',
    '"\\\\":"\\\\\\""',
    '"note":"\\u00e4\\"}],\\"points\\":[ä"',
    '"e":[[],{},"",-0.5e-3,false,[[[]]]]',
]


class Writer:
    """Writes points as JSON in all the ways that JSON allows."""

    def __init__(self, seed: int) -> None:
        self.choose = random.Random(seed)

    def space(self) -> str:
        return self.choose.choice(SPACES)

    def number(self, value: float) -> str:
        return self.choose.choice(NUMBER_STYLES)(value)

    def value(self, key: str, value: Any) -> str:
        return self.number(value) if key in "xyzi" else json.dumps(value)

    def joined(self, parts: list[str]) -> str:
        return f"{self.space()},{self.space()}".join(parts)

    def point(self, point: dict[str, Any]) -> str:
        entries = [f'"{k}"{self.space()}:{self.space()}{self.value(k, v)}' for k, v in point.items()]
        entries += self.choose.sample(STRANGERS, self.choose.choice([0, 0, 0, 1, 2]))
        self.choose.shuffle(entries)
        return f"{{{self.space()}{self.joined(entries)}{self.space()}}}"

    def frame(self, points: list[dict[str, Any]]) -> bytes:
        array = f"[{self.space()}{self.joined([self.point(point) for point in points])}{self.space()}]"
        entries = [POSITION, f'"points"{self.space()}:{self.space()}{array}']
        entries += self.choose.sample([s for s in STRANGERS if 'points":' not in s[:9]], self.choose.choice([0, 1, 3]))
        self.choose.shuffle(entries)
        return f"{self.space()}{{{self.space()}{self.joined(entries)}{self.space()}}}{self.space()}".encode()


def by_json(data: bytes) -> dict[str, np.ndarray]:
    """Columns as the standard json module and NumPy read them; but -0 is minus zero, as JavaScript has it."""
    points = json.loads(data, parse_int=lambda text: -0.0 if text == "-0" else int(text))["points"]
    columns: dict[str, np.ndarray] = {}
    for key in KEYS:
        values = [point.get(key, False) for point in points]
        if any(key in point for point in points):
            columns[key] = np.array(values, np.float64).astype(np.float32) if key in "xyzi" else np.array(values)
    return columns


def assert_as_json_reads(data: bytes) -> PointCloud:
    cloud, expected = decode(data).points(), by_json(data)
    for axis, key in enumerate("xyz"):
        if key in expected:
            assert np.array_equal(bits(cloud.positions[:, axis]), bits(expected[key]))
    for key, name in (("i", "intensity"), ("d", "device"), ("t", "timestamp"), ("is_ground", "is_ground")):
        found = getattr(cloud, name)
        assert (found is None) == (key not in expected), name
        if found is not None:
            assert np.array_equal(found, expected[key]), name
    return cloud


moderate = st.floats(-(2.0**127), 2.0**127, width=32) | st.floats(-300, 300) | st.integers(-(10**15), 10**15).map(float)
OPTIONAL = {
    "i": st.floats(0, 1),
    "d": st.integers(0, 2**32 - 1),
    "t": st.integers(-(2**63), 2**63 - 1),
    "is_ground": st.booleans(),
}


@st.composite
def point_lists(draw: st.DrawFn) -> list[dict[str, Any]]:
    optional = draw(st.sets(st.sampled_from(sorted(OPTIONAL))))
    points = []
    for _ in range(draw(st.integers(0, 6))):
        point: dict[str, Any] = {key: draw(moderate) for key in "xyz"}
        point |= {key: draw(OPTIONAL[key]) for key in sorted(optional)}
        if "is_ground" in point and draw(st.booleans()):
            del point["is_ground"]  # false by default
        points.append(point)
    return points


@given(point_lists(), st.integers(0, 2**32))
def test_any_way_of_writing_reads_as_json_reads_it(points: list[dict[str, Any]], seed: int) -> None:
    assert_as_json_reads(Writer(seed).frame(points))


def frame_with(points: str) -> bytes:
    return f'{{{POSITION},"points":[{points}]}}'.encode()


@pytest.mark.parametrize(
    "number",
    [
        *["0", "-0", "0.0", "-0.0", "-0e5", "0e999", "0.000e-999", "1E5", "1e+5", "1e-5", "123456789012345678"],
        *["9007199254740993", "0.1", "1e22", "1e23", "1e-22", "1e-23", "3.4028235e38", "1.4e-45", "1e-46", "7e-46"],
        *["0.30000001192092896", "16777217", "16777216.99999999999999999999", "1" + "0" * 38, "0." + "0" * 44 + "2"],
        *["1.00000005960464477539062500000000001", "1.00000005960464477539062499999999999", "7.0385307e-26"],
        *["0.10000000000000000000000000000000000000000000000000000001", "1e-400", "12345678901234567890e-19"],
        "1234567890" * 30 + "e-290",
    ],
)
def test_a_number_is_what_json_makes_of_it(number: str) -> None:
    assert_as_json_reads(frame_with(f'{{"x":{number},"y":-{number.lstrip("-")},"z":1,"i":0.5}}'))


@pytest.mark.parametrize("count", [1, 63, 64, 65, 66, 500, 3000])
def test_any_number_of_long_numbers_is_read_exactly(count: int) -> None:
    rng = np.random.default_rng(count)
    rows = rng.normal(scale=1e3, size=(count, 4)).tolist()
    points = ",".join(f'{{"x":{x:.25f},"y":{y:.30e},"z":{z},"i":{i:.22g}}}' for x, y, z, i in rows)
    cloud = assert_as_json_reads(frame_with(points))
    assert len(cloud) == count


def test_the_word_points_within_strings_and_other_objects_is_not_the_points() -> None:
    decoys = [
        r'"a":"\"points\":[{\"x\":9}]"',
        r'"b":{"points":[{"x":9,"y":9,"z":9}]}',
        r'"c":"points"',
        r'"points ":[{"x":9}]',
        r'"d":["points",{"points":1}]',
        r'"e\\":"\\"',
    ]
    points = '"points":[{"x":1,"y":2,"z":3}]'
    for entries in (
        [POSITION, *decoys, points],
        [points, *decoys, POSITION],
        [*decoys[:3], points, POSITION, *decoys[3:]],
    ):
        cloud = assert_as_json_reads(("{" + ",".join(entries) + "}").encode())
        assert cloud.positions.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("extreme", [2**63 - 1, -(2**63), 0, -1, 1_700_000_000_123_456_789])
def test_nanoseconds_are_whole_int64s(extreme: int) -> None:
    cloud = assert_as_json_reads(frame_with(f'{{"x":1,"y":2,"z":3,"t":{extreme}}},{{"t":7,"z":1,"y":1,"x":1}}'))
    assert cloud.timestamp is not None
    assert cloud.timestamp.tolist() == [extreme, 7]


def test_ground_is_false_where_it_is_left_out() -> None:
    cloud = decode(frame_with('{"x":1,"y":2,"z":3},{"x":1,"y":2,"z":3,"is_ground":true}')).points()
    assert cloud.is_ground is not None
    assert cloud.is_ground.tolist() == [False, True]


def test_no_points_are_a_frame_too() -> None:
    for text in ("", " ", "\n\t\r "):
        assert len(decode(frame_with(text)).points()) == 0


def test_optional_parts_may_be_null_or_left_out() -> None:
    frame = decode(
        b'{"points":[],"device_heading":null,"timestamp":null,"device_gps_pose":null,' + POSITION.encode() + b"}"
    )
    assert frame.world_from_ego is not None
    assert frame.world_from_ego.quaternion.tolist() == [1, 0, 0, 0]
    assert (frame.timestamp, frame.gps, frame.images, frame.radar()) == (None, None, (), None)


def test_an_image_needs_only_its_required_keys() -> None:
    image = (
        b'{"image_url":"u","position":{"x":1,"y":2,"z":3},"heading":{"w":1,"x":0,"y":0,"z":0},'
        b'"fx":1,"fy":2,"cx":3,"cy":4}'
    )
    frame = decode(b'{"points":[],"images":[' + image + b"," + image + b"]," + POSITION.encode() + b"}")
    assert [found.camera.index for found in frame.images] == [0, 1]
    assert {found.camera.intrinsics.model for found in frame.images} == {"brown_conrady"}
    assert {found.scale_factor for found in frame.images} == {1.0}
