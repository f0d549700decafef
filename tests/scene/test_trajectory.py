"""The device's way: poses by time, and between."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from lidarprep.errors import SceneError
from lidarprep.scene import Pose, Trajectory

SECOND = 10**9


def drive(count: int = 5, seed: int = 1) -> Trajectory:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.integers(SECOND // 20, SECOND // 5, count)) + 1_700_000_000 * SECOND
    turns = Rotation.random(count, rng=rng).as_quat(scalar_first=True)
    return Trajectory(times, turns, rng.normal(size=(count, 3)) * 50)


@given(fraction=st.floats(0, 1), seed=st.integers(0, 50))
def test_the_pose_between_two_is_what_scipy_interpolates(fraction: float, seed: int) -> None:
    way = drive(seed=seed)
    start, stop = (int(way.timestamps[k]) for k in (1, 2))
    time = start + round(fraction * (stop - start))
    share = (time - start) / (stop - start)
    pose = way.at(time)
    assert pose is not None
    turns = Rotation.from_quat(way.quaternions[1:3], scalar_first=True)
    expected = Slerp([0, 1], turns)(share).as_matrix()
    np.testing.assert_allclose(pose.rotation, expected, atol=1e-9)
    np.testing.assert_allclose(pose.translation, way.translations[1] * (1 - share) + way.translations[2] * share)


def test_at_a_pose_s_own_time_it_is_that_pose() -> None:
    way = drive()
    assert all(way.at(int(time)) == way.pose(row) for row, time in enumerate(way.timestamps))


def test_outside_and_in_wide_gaps_there_is_no_pose() -> None:
    way = drive()
    first, second, last = (int(way.timestamps[k]) for k in (0, 1, -1))
    assert way.at(first - 1) is None
    assert way.at(last + 1) is None
    assert way.at(first + 1, max_gap_ns=second - first) is not None
    assert way.at(first + 1, max_gap_ns=second - first - 1) is None


def test_composition_is_that_of_the_single_poses() -> None:
    way = drive()
    other = Pose.from_euler(0.1, -0.2, 2.5, (1, 2, 3))
    for row in range(len(way)):
        assert (way @ other).pose(row).almost_equals(way.pose(row) @ other, 1e-9)
        assert way.seen_from(other).pose(row).almost_equals(other @ way.pose(row), 1e-9)


@pytest.mark.parametrize(
    ("times", "quaternions", "message"),
    [
        ([1, 1], [[1, 0, 0, 0]] * 2, "pose 1 at 1 ns comes after one at 1 ns"),
        ([1, 2], [[1, 0, 0, 0], [1.1, 0, 0, 0]], "of pose 1 is not unit.*norm 1.1"),
        ([1, 2], [[1, 0, 0, 0], [np.nan, 0, 0, 0]], "not finite"),
        ([], np.zeros((0, 4)), "M ≥ 1 times"),
    ],
)
def test_what_is_no_trajectory_is_refused(times: list[int], quaternions: object, message: str) -> None:
    with pytest.raises(SceneError, match=message):
        Trajectory(np.array(times, dtype=np.int64), np.array(quaternions), np.zeros((len(times), 3)))


def test_how_far_quaternions_were_off_is_kept() -> None:
    way = Trajectory(np.array([1, 2]), np.array([[1.0005, 0, 0, 0], [1, 0, 0, 0]]), np.zeros((2, 3)))
    assert way.normalised_by == pytest.approx(5e-4)
    np.testing.assert_allclose(np.linalg.norm(way.quaternions, axis=1), 1)
