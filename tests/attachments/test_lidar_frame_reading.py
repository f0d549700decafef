"""LidarFrames as protobuf allows them to be written: read and refused as the official parser does."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from lidarprep.attachments import lidar_frame_pb2 as pb
from lidarprep.attachments.lidar_frame import decode, encode
from lidarprep.errors import FormatError
from lidarprep.scene import Frame
from tests.attachments.frames import assert_same_points
from tests.attachments.mutations import (
    END_GROUP,
    FIXED32,
    FIXED64,
    GROUP,
    LENGTH,
    POSITION,
    VARINT,
    XYZ,
    field,
    mutated,
    point,
    varint,
)
from tests.attachments.official import assert_as_the_official_class_reads, parsed
from tests.attachments.valid import SMALL_FRAME

GROUPED = field(9, GROUP, field(4, LENGTH, b"")) + field(9, END_GROUP)


def refused(data: bytes) -> FormatError:
    with pytest.raises(FormatError) as caught:
        decode(data, source="a.pb")
    assert caught.value.path == "a.pb"
    return caught.value


def assert_as_official(data: bytes) -> Frame:
    """Read as the official class reads it; but for the points' t, which has to be a number."""
    message = parsed(data)
    assert message is not None
    frame = decode(data)
    assert_as_the_official_class_reads(frame.points(), message)
    return frame


def fields_of(data: bytes) -> list[bytes]:
    """The top-level fields of a message, each as it stands on the wire: cut at where a prefix parses."""
    cuts = [n for n in range(len(data) + 1) if pb_parses(data[:n])]
    return [data[a:b] for a, b in pairwise(cuts)]


def pb_parses(data: bytes) -> bool:
    try:
        pb.LidarFrame().ParseFromString(data)
    except Exception:  # noqa: BLE001  whatever it is, it is not read
        return False
    return True


def test_fields_in_any_order_and_points_split_by_others() -> None:
    parts = fields_of(encode(SMALL_FRAME))
    assert len(parts) == 9
    ordered_points = [part for part in parts if part[0] == 0x22]
    for seed in range(20):
        rng = random.Random(seed)
        others = [part for part in parts if part[0] != 0x22] + [
            GROUPED,
            field(2000, LENGTH, b"x"),
            field(9, VARINT, b"\1"),
        ]
        rng.shuffle(others)
        places = sorted(rng.choices(range(len(others) + 1), k=len(ordered_points)), reverse=True)
        for place, part in zip(places, reversed(ordered_points), strict=True):
            others.insert(place, part)
        frame = assert_as_official(b"".join(others))
        assert_same_points(frame.points(), SMALL_FRAME.points())
        assert frame.gps == SMALL_FRAME.gps


def test_fields_of_a_point_in_any_order_the_last_of_each_counts() -> None:
    one = np.float32(1.5).tobytes()
    body = (
        field(7, VARINT, b"\x01")
        + field(5, VARINT, varint(300))
        + field(3, FIXED32, one)
        + XYZ
        + field(5, VARINT, b"\x07")
    )
    cloud = assert_as_official(POSITION + field(4, LENGTH, body + field(2, FIXED32, one))).points()
    assert cloud.positions.tolist() == [[0, 1.5, 0]]
    assert cloud.device is not None
    assert cloud.device.tolist() == [7]


@pytest.mark.parametrize(
    "unknown",
    [
        field(8, VARINT, b"\xff" * 9 + b"\x01"),
        field(2**29 - 1, VARINT, b"\x00"),
        field(99, FIXED32, bytes(4)),
        field(99, FIXED64, bytes(8)),
        field(99, LENGTH, b""),
        field(99, LENGTH, point() * 3),
        GROUPED,
        field(4, GROUP, point()) + field(4, END_GROUP),
        field(1, VARINT, b"\x05"),  # a known number with another wire type is an unknown field
        field(1, FIXED64, bytes(8)),
        field(4, VARINT, b"\x05"),
        field(6, FIXED32, bytes(4)),
    ],
)
def test_unknown_fields_are_passed_over_around_points_and_within_them(unknown: bytes) -> None:
    data = unknown + point() + unknown + point(unknown) + POSITION + unknown
    assert len(assert_as_official(data).points()) == 2


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (b"\x00", 0),
        (b"\x80\x00", 0),
        (b"\xff\xff\xff\xff\x0f", 2**32 - 1),
        (b"\xff\xff\xff\xff\x7f", 2**32 - 1),
        (b"\xff" * 9 + b"\x01", 2**32 - 1),
        (b"\x85" + b"\x80" * 8 + b"\x7f", 5),
    ],
)
def test_a_varint_keeps_its_lowest_bits(device: bytes, expected: int) -> None:
    found = assert_as_official(POSITION + point(field(5, VARINT, device))).points().device
    assert found is not None
    assert found.tolist() == [expected]


@pytest.mark.parametrize("value", [b"\x00", b"\x01", b"\x02", b"\x80\x80\x80\x80\x80\x01", b"\x80" * 9 + b"\x00"])
def test_any_varint_but_0_is_ground(value: bytes) -> None:
    assert_as_official(POSITION + point(field(7, VARINT, value)))


def test_ground_is_false_where_it_is_left_out() -> None:
    found = assert_as_official(POSITION + point() + point(field(7, VARINT, b"\x01"))).points().is_ground
    assert found is not None
    assert found.tolist() == [False, True]


@pytest.mark.parametrize(
    ("number", "wire", "payload"), [(4, FIXED32, bytes(4)), (5, VARINT, b"\1"), (6, FIXED64, bytes(8))]
)
def test_a_column_that_only_some_points_have_is_refused(number: int, wire: int, payload: bytes) -> None:
    refused(POSITION + point() + point(field(number, wire, payload)))
    refused(POSITION + point(field(number, wire, payload)) + point())


def test_a_file_cut_anywhere_is_refused_or_read_as_the_official_parser_reads_it() -> None:
    data = encode(SMALL_FRAME)
    kept_whole = 0
    for cut in range(len(data)):
        if parsed(data[:cut]) is None:
            refused(data[:cut])
        else:  # between two fields a message may end
            assert_as_official(data[:cut])
            kept_whole += 1
    assert kept_whole == 8


def test_a_file_without_a_required_field_is_refused_by_its_name() -> None:
    assert "device_position" in str(refused(b""))
    assert "device_position" in str(refused(point()))
    assert "device_heading" in str(refused(POSITION + field(2, LENGTH, b"")))
    assert "position" in str(refused(POSITION + field(5, LENGTH, b"")))
    assert "image_url" in str(refused(POSITION + field(6, LENGTH, b"")))
    for axis in (1, 2, 3):
        lacking = b"".join(field(n, FIXED32, bytes(4)) for n in (1, 2, 3) if n != axis)
        assert "x, y or z" in str(refused(POSITION + field(4, LENGTH, lacking)))


def nested(depth: int) -> bytes:
    return field(9, GROUP) * depth + field(9, END_GROUP) * depth


@pytest.mark.parametrize(
    "wrong",
    [
        *[field(9, GROUP), field(9, END_GROUP), field(9, GROUP) + field(10, END_GROUP), nested(101), nested(5000)],
        *[b"\x00\x00", b"\x07", b"\x4e\x00", b"\x4f", b"\x48" + b"\xff" * 10 + b"\x01", b"\x48" + b"\x80" * 12],
        *[b"\xc8\x80\x80\x80\x80\x00\x00", b"\xf8\xff\xff\xff\x1f\x00"],  # tags of 6 bytes, and of more than 32 bits
        *[b"\x4a\x05abc", b"\x4a" + varint(2**31), b"\x4a" + varint(2**63)],
        *[b"\x4a" + b"\xff" * 9 + b"\x01", b"\x49" + bytes(7), b"\x4d" + bytes(3), b"\x48", b"\x48\x80", b"\xff"],
    ],
)
def test_what_the_official_parser_refuses_is_refused_around_points_and_within_them(wrong: bytes) -> None:
    for data in (
        POSITION + wrong,
        wrong + POSITION,
        POSITION + point(wrong),
        POSITION + point() + point(wrong) + point(),
    ):
        assert parsed(data) is None
        refused(data)


def test_groups_nest_as_deep_as_the_official_parser_follows() -> None:
    for depth in (98, 99, 100, 101):
        for data in (POSITION + nested(depth), POSITION + point(nested(depth))):
            if parsed(data) is None:
                refused(data)
            else:
                assert_as_official(data)


def test_a_length_that_lies_is_refused_and_takes_no_memory() -> None:
    for length in (16, 127, 10**9, 2**31 - 1, 2**31, 2**32, 2**63, 2**64 - 1):
        refused(POSITION + b"\x22" + varint(length) + XYZ)


def changed(change: Any) -> bytes:
    message = pb.LidarFrame.FromString(encode(SMALL_FRAME))
    change(message)
    data: bytes = message.SerializePartialToString()
    return data


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300, 2.0**63])
def test_a_time_that_is_no_number_of_nanoseconds_is_refused(value: float) -> None:
    refused(changed(lambda message: setattr(message, "timestamp", value)))
    refused(changed(lambda message: setattr(message.images[0], "timestamp", value)))
    refused(changed(lambda message: [setattr(p, "t", value) for p in message.points]))


@pytest.mark.parametrize(
    "change",
    [
        lambda message: message.images[0].ClearField("brown_conrady"),
        lambda message: setattr(message.images[0].brown_conrady, "fx", 0.0),
        lambda message: setattr(message.images[0].brown_conrady, "k1", float("nan")),
        lambda message: setattr(message.images[0].heading, "w", 3.0),
        lambda message: setattr(message.images[0], "scale_factor", float("nan")),
        lambda message: setattr(message.device_position, "x", float("inf")),
        lambda message: setattr(message.device_gps_pose, "lat", float("nan")),
        lambda message: setattr(message.radar_points[0], "size", float("nan")),
        lambda message: message.radar_points.add().position.CopyFrom(message.device_position),
    ],
)
def test_values_that_make_no_sense_are_refused(change: Any) -> None:
    refused(changed(change))


def test_a_url_that_is_no_text_is_refused() -> None:
    data = encode(SMALL_FRAME)
    refused(data.replace(b"https://x/1.jpg", b"https://x/\xff.jpg"))


def test_changed_files_are_refused_and_read_as_the_official_parser_does() -> None:
    read, refusals = 0, 0
    for data in mutated(6000, seed=1):
        message = parsed(data)
        try:
            frame = decode(data)
        except FormatError as error:
            refusals += 1
            if message is not None:
                assert_has_reason(message, error)
            continue
        assert message is not None, data
        assert_as_the_official_class_reads(frame.points(), message)
        read += 1
    assert read > 500
    assert refusals > 500


def assert_has_reason(message: Any, error: FormatError) -> None:
    """What the official parser reads is refused only for its values: mixed columns, numbers that make no sense.

    And for field number 0, which the encoding forbids; the runtime's parser lets it pass within an unknown group.
    """
    points = message.points
    mixed = any(0 < sum(p.HasField(name) for p in points) < len(points) for name in ("i", "d", "t"))
    radar = message.radar_points
    mixed |= any(0 < sum(r.HasField(name) for r in radar) < len(radar) for name in ("direction", "size"))
    senseless = any(
        word in error.found
        for word in (
            "not finite",
            "not unit",
            "intrinsics",
            "not a number",
            "timestamp",
            "not UTF-8",
            "scale_factor",
            "number 0",
        )
    )
    assert mixed or senseless, error
