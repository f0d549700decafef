"""One offset for a scene beyond float32's reach, none for any other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.scene import Frame, PointCloud, Pose
from lidarprep.steps.recentre import scene_offset

NOTHING = PointCloud(np.empty((0, 3)))
UNPLACED = Frame("1", 0, lambda: NOTHING)


def frames_at(*places: tuple[float, float, float]) -> list[Frame]:
    return [
        Frame(str(n), n, lambda: NOTHING, world_from_ego=Pose(np.eye(3), np.array(place)))
        for n, place in enumerate(places)
    ]


def test_a_scene_within_1e5_keeps_its_world() -> None:
    assert scene_offset(frames_at((1e5, -1e5, 0), (0, 0, 0))) == (0, 0, 0)
    assert scene_offset([]) == (0, 0, 0)
    assert scene_offset([UNPLACED], NOTHING) == (0, 0, 0)


def test_a_scene_beyond_it_is_moved_to_its_middle_in_whole_hundreds() -> None:
    assert scene_offset(frames_at((500_010, 4_000_220, 35), (500_490, 4_000_220, 35))) == (500_200, 4_000_200, 0)
    assert scene_offset(frames_at((0, 0, 100_001))) == (0, 0, 100_000)


def test_an_offset_is_settled_by_where_the_points_are_in_the_world() -> None:
    far = np.array([[700_000.0, 0, 0], [700_200.0, np.nan, 0], [np.inf, 0, 0], [700_400.0, 0, 0]])
    assert scene_offset([UNPLACED], PointCloud(far, frame="world")) == (700_200, 0, 0)
    assert scene_offset(frames_at((0, 300_000, 0)), PointCloud(far, frame="ego")) == (700_200, 300_000, 0)
    assert scene_offset(frames_at((0, 300_000, 0)), PointCloud(far, frame="world")) == (700_200, 0, 0)


def test_points_that_are_not_finite_settle_nothing() -> None:
    nowhere = PointCloud(np.full((3, 3), np.nan), frame="world")
    assert scene_offset([UNPLACED], nowhere) == (0, 0, 0)
    assert scene_offset(frames_at((0, 300_000, 0)), nowhere) == (0, 300_000, 0)


def test_no_offset_is_minus_zero() -> None:
    assert "-" not in repr(scene_offset(frames_at((2e5, -10, -10))))


far = st.tuples(st.floats(-1e7, 1e7), st.floats(-1e7, 1e7), st.floats(-1e4, 1e4))
steps = st.lists(st.tuples(*[st.floats(-500, 500)] * 3), min_size=1, max_size=5)


@given(far, steps)
def test_what_is_moved_ends_near_the_origin(start: tuple[float, float, float], drive: list[tuple[float, ...]]) -> None:
    places = np.array(start) + np.array(drive)
    offset = np.array(scene_offset(frames_at(*map(tuple, places.tolist()))))
    if np.abs(places).max() <= 1e5:
        assert offset.tolist() == [0, 0, 0]
    else:
        assert (offset % 100 == 0).all()
        assert np.abs(places - offset).max() <= 550.000001


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_offset_is_three_plain_floats(dtype: type) -> None:
    cloud = PointCloud(np.array([[2e5, 0, 0]], dtype), frame="world")
    offset = scene_offset([UNPLACED], cloud)
    assert offset == (200_000, 0, 0)
    assert all(type(value) is float for value in offset)
