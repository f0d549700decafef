"""LidarFrame bytes: those of the official message class, and back."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from lidarprep.attachments import lidar_frame_pb2 as pb
from lidarprep.attachments.lidar_frame import decode, encode
from lidarprep.scene import Frame
from tests.attachments.frames import assert_same_points, assert_same_surroundings, frames, world_frame
from tests.attachments.official import official_bytes
from tests.attachments.valid import SMALL_FRAME


@given(frames())
def test_the_bytes_are_those_of_the_official_class(frame: Frame) -> None:
    assert encode(frame) == official_bytes(frame)


def test_the_bytes_of_a_frame_with_everything_are_those_of_the_official_class() -> None:
    assert encode(SMALL_FRAME) == official_bytes(SMALL_FRAME)


@pytest.mark.parametrize("present", list(itertools.product([False, True], repeat=4)))
def test_each_combination_of_columns(present: tuple[bool, ...]) -> None:
    # Device ids at the ends of each size of a varint.
    device = [0, 1, 127, 128, 2**14 - 1, 2**14, 2**21 - 1, 2**21, 2**28 - 1, 2**28, 2**31, 2**32 - 1]
    count = len(device)
    columns = {
        "intensity": np.linspace(0, 1, count, dtype=np.float32),
        "device": np.array(device, np.uint32),
        "timestamp": np.arange(count) * 256 + 1_700_000_000 * 10**9 // 256 * 256,
        "is_ground": np.arange(count) % 2 == 0,
    }
    columns = {name: column for (name, column), there in zip(columns.items(), present, strict=True) if there}
    for rows in (0, 1, count):
        kept = {name: column[:rows] for name, column in columns.items()}
        frame = world_frame(np.arange(3 * rows), **kept)
        data = encode(frame)
        assert data == official_bytes(frame)
        assert_same_points(decode(data).points(), frame.points())


@given(frames())
def test_what_is_written_reads_back_as_it_was(frame: Frame) -> None:
    cloud = frame.points()
    if cloud.timestamp is not None:  # float64 holds these as they are
        cloud = replace(cloud, timestamp=cloud.timestamp // 2**12 * 2**10)
        frame = frame.with_data(cloud, frame.radar())
    back = decode(encode(frame), source="7")
    assert back.id == "7"
    assert_same_points(back.points(), cloud)
    assert_same_surroundings(back, frame, 1e-6)


@given(frames())
def test_the_official_class_reads_the_bytes_and_serialises_them_again(frame: Frame) -> None:
    data = encode(frame)
    assert pb.LidarFrame.FromString(data).SerializeToString() == data


def test_nanoseconds_round_to_the_float64_next_to_them() -> None:
    taken = np.array([1_700_000_000_123_456_789, -5, 0])
    frame = world_frame(np.zeros((3, 3)), timestamp=taken)
    found = decode(encode(frame)).points().timestamp
    assert found is not None
    assert found.tolist() == [int(float(t)) for t in taken.tolist()]
    assert abs(found[0] - taken[0]) <= 128


def test_extreme_coordinates_survive_bit_for_bit() -> None:
    positions = np.array([-0.0, 1e-45, 3.4028235e38, -3.4028235e38, 1.1754942e-38, 0.1], np.float32).reshape(-1, 3)
    found = decode(encode(world_frame(positions))).points().positions
    assert found.tobytes() == positions.tobytes()
