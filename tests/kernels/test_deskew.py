"""The kernel and the pieces of motion that it goes by, against SciPy's rotations, point by point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from lidarprep.kernels.deskew import EXTRAPOLATED, FURTHEST, OUTSIDE, deskew
from lidarprep.scene import Trajectory
from lidarprep.steps.deskew import BASE_NS, EXTRAPOLATED_NS, MAX_GAP_NS, Motion

Array = NDArray[np.float64]
EPOCH = 1_700_000_000_000_000_000
MS = 1_000_000


def path_of(times: NDArray[np.int64], rng: np.random.Generator, *, place: Array, turn: float = 0.3) -> Trajectory:
    """Poses of a device that wanders and tumbles, `turn` radians from one to the next at most."""
    rotations = [Rotation.random(rng=rng)]
    for _ in times[1:]:
        axis = rng.normal(size=3)
        rotations.append(rotations[-1] * Rotation.from_rotvec(axis / np.linalg.norm(axis) * rng.uniform(0, turn)))
    quaternions = Rotation.concatenate(rotations).as_quat(scalar_first=True)
    quaternions *= rng.choice([-1.0, 1.0], len(times))[:, None]  # the same rotations
    return Trajectory(times, quaternions, place + np.cumsum(rng.uniform(-2, 2, (len(times), 3)), axis=0))


def poses_by_scipy(path: Trajectory, times: NDArray[np.int64]) -> tuple[Rotation, Array]:
    """World from ego at each time between the poses; seconds from the first, so that floats hold them."""
    knots = (path.timestamps - path.timestamps[0]) / 1e9
    seconds = (times - path.timestamps[0]) / 1e9
    rotations = Slerp(knots, Rotation.from_quat(path.quaternions, scalar_first=True))(seconds)
    return rotations, np.column_stack([np.interp(seconds, knots, axis) for axis in path.translations.T])


def moved(
    path: Trajectory, reference: int, positions: NDArray[np.floating], times: NDArray[np.int64], count_from: int = 0
) -> tuple[NDArray[np.floating], list[int]]:
    out, found = np.full_like(positions, np.nan), np.zeros(3, np.int64)
    both = times + count_from
    motion = Motion.around(path, min(int(both.min()), reference), max(int(both.max()), reference))
    rows = motion.seen_from(reference)
    assert rows is not None
    deskew(positions, times, count_from, motion.since, motion.until, motion.begins, rows, out, found)
    return out, found.tolist()


@given(
    seed=st.integers(0, 2**32 - 1),
    poses=st.integers(2, 12),
    order=st.sampled_from(["measured", "any", "columns"]),
    turn=st.sampled_from([0.0, 1e-9, 0.02, 3.0]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_points_go_where_scipy_puts_them(seed: int, poses: int, order: str, turn: float, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    times = EPOCH + np.cumsum(rng.integers(1, 200 * MS, poses))
    path = path_of(times, rng, place=rng.uniform(-100, 100, 3), turn=turn)
    measured = rng.integers(times[0], times[-1] + 1, 300)
    measured[:2] = times[0], times[-1]  # the very first and the very last are inside
    if order != "any":
        measured.sort()
    if order == "columns":
        measured = np.repeat(measured[::10], 10)[:300]
    reference = int(rng.integers(times[0], times[-1] + 1))
    positions = rng.uniform(-120, 120, (300, 3)).astype(dtype)
    out, found = moved(path, reference, positions, measured)

    rotations, places = poses_by_scipy(path, measured)
    rotation, place = poses_by_scipy(path, np.array([reference]))
    world = rotations.apply(positions) + places
    expected = rotation[0].inv().apply(world - place[0])
    assert out.dtype == dtype
    np.testing.assert_allclose(out, expected, atol=2e-5 if dtype is np.float32 else 1e-9, rtol=0)
    assert found == [0, 0, 0]


def test_a_device_that_stands_still_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    times = EPOCH + np.arange(4) * 100 * MS
    quaternions = np.tile(Rotation.random(rng=rng).as_quat(scalar_first=True), (4, 1))
    path = Trajectory(times, quaternions, np.tile([4.5e5, 5.4e6, 300.0], (4, 1)))
    positions = rng.uniform(-100, 100, (1000, 3))
    out, found = moved(path, int(times[1]) + 7, positions, rng.integers(times[0] - 90 * MS, times[-1], 1000))
    np.testing.assert_allclose(out, positions, rtol=0, atol=1e-12)
    assert found[OUTSIDE] == 0
    single, _ = moved(path, int(times[1]), positions.astype(np.float32), np.full(1000, times[2]))
    np.testing.assert_allclose(single, positions.astype(np.float32), rtol=2e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_projected_coordinates_lose_nothing(dtype: type) -> None:
    """What the points are moved by is a difference of poses; where in the world those are must not matter."""
    times = EPOCH + np.arange(5) * 100 * MS
    here, there = (
        path_of(times, np.random.default_rng(2), place=np.array(place)) for place in ((0.0, 0, 0), (4.5e5, 5.4e6, 300))
    )
    rng = np.random.default_rng(3)
    positions, measured = rng.uniform(-100, 100, (500, 3)).astype(dtype), rng.integers(times[0], times[-1], 500)
    near, _ = moved(here, int(times[2]), positions, measured)
    far, _ = moved(there, int(times[2]), positions, measured)
    np.testing.assert_allclose(near, far, rtol=0, atol=1e-5 if dtype is np.float32 else 3e-9)


def test_times_may_count_from_the_reference() -> None:
    rng = np.random.default_rng(4)
    times = EPOCH + np.arange(5) * 100 * MS
    path = path_of(times, rng, place=np.zeros(3))
    positions, measured = rng.uniform(-50, 50, (200, 3)), np.sort(rng.integers(times[1], times[2], 200))
    absolute, _ = moved(path, int(times[1]), positions, measured)
    offsets, _ = moved(path, int(times[1]), positions, measured - times[1], count_from=int(times[1]))
    np.testing.assert_array_equal(absolute, offsets)


def test_points_that_are_not_finite_remain_so_and_the_others_are_moved_all_the_same() -> None:
    times = EPOCH + np.arange(3) * 100 * MS
    path = path_of(times, np.random.default_rng(5), place=np.zeros(3))
    positions = np.array([[1.0, 2, 3], [np.nan, 2, 3], [np.inf, -np.inf, 0], [1, 2, 3]])
    out, _ = moved(path, int(times[1]), positions, np.full(4, times[0] + 5))
    assert np.isfinite(out).all(axis=1).tolist() == [True, False, False, True]
    np.testing.assert_array_equal(out[0], out[3])


class TestBeyondThePoses:
    """a motion goes on as it was, for a while, and is counted."""

    def steady(self, step_ns: int = 100 * MS, poses: int = 5, gap_ns: int = 0) -> Trajectory:
        """5 m/s ahead and 0.5 rad/s to the left, with a gap after half of the poses."""
        times = EPOCH + np.arange(poses) * step_ns
        times[poses // 2 :] += gap_ns
        seconds = (times - EPOCH) / 1e9
        quaternions = Rotation.from_rotvec(np.outer(0.5 * seconds, [0, 0, 1])).as_quat(scalar_first=True)
        return Trajectory(times, quaternions, np.column_stack((5 * seconds, 0 * seconds, 0 * seconds)))

    def expected(self, seconds: float) -> Array:
        """Where a point 10 m ahead is, measured so many seconds after EPOCH, as seen at EPOCH."""
        ahead: Array = Rotation.from_rotvec([0, 0, 0.5 * seconds]).apply([10.0, 0, 0]) + np.array([5 * seconds, 0, 0])
        return ahead

    def test_before_the_first_and_after_the_last(self) -> None:
        seconds = np.array([-0.15, -0.05, 0.0, 0.2, 0.4, 0.43, 0.55])
        times = EPOCH + np.rint(seconds * 1e9).astype(np.int64)
        out, found = moved(self.steady(), EPOCH, np.tile([10.0, 0, 0], (7, 1)), times)
        np.testing.assert_allclose(out, [self.expected(s) for s in seconds], atol=1e-9)
        assert found[EXTRAPOLATED] == 4
        assert found[FURTHEST] == EXTRAPOLATED_NS == 150 * MS
        assert found[OUTSIDE] == 0

    def test_no_further_than_that(self) -> None:
        edge = EPOCH - EXTRAPOLATED_NS
        times = np.array([edge - 1, edge, EPOCH + 400 * MS + EXTRAPOLATED_NS, EPOCH + 400 * MS + EXTRAPOLATED_NS + 1])
        out, found = moved(self.steady(), EPOCH, np.ones((4, 3)), times)
        assert found[OUTSIDE] == 2
        assert np.isnan(out).all(axis=1).tolist() == [True, False, False, True]

    def test_a_gap_is_no_bridge_and_both_its_sides_are_ends(self) -> None:
        path = self.steady(poses=8, gap_ns=2 * MAX_GAP_NS)
        a, b = int(path.timestamps[3]), int(path.timestamps[4])
        limit = EXTRAPOLATED_NS
        times = np.array([a, a + limit, a + limit + 1, (a + b) // 2, b - limit - 1, b - limit, b])
        out, found = moved(path, a, np.ones((7, 3)), times)
        assert np.isnan(out).all(axis=1).tolist() == [False, False, True, True, True, False, False]
        assert found == [2, limit, 3]

    def test_the_widest_gap_is_bridged(self) -> None:
        path = self.steady(step_ns=MAX_GAP_NS, poses=2)
        _, found = moved(path, EPOCH, np.ones((1, 3)), np.array([EPOCH + MAX_GAP_NS // 2]))
        assert found == [0, 0, 0]
        motion = Motion.around(self.steady(step_ns=MAX_GAP_NS + 1, poses=2), EPOCH, EPOCH)
        assert motion.seen_from(EPOCH) is None

    def test_the_noise_of_dense_poses_does_not_grow(self) -> None:
        """1 mm of noise at 1 kHz is 1 m/s: taken from two neighbours, 0.1 s later it would be off by 10 cm."""
        rng = np.random.default_rng(6)
        smooth = self.steady(step_ns=MS, poses=400)
        noisy = Trajectory(
            smooth.timestamps, smooth.quaternions, smooth.translations + rng.normal(0, 1e-3, smooth.translations.shape)
        )
        measured = smooth.timestamps[[0, -1]] + np.array([-100 * MS, 100 * MS])
        wanted, _ = moved(smooth, EPOCH, np.zeros((2, 3)), measured)
        out, found = moved(noisy, EPOCH, np.zeros((2, 3)), measured)
        assert np.abs(out - wanted).max() < 5e-3 * 100 * MS / BASE_NS
        assert found[EXTRAPOLATED] == 2

    def test_a_single_pose_tells_of_no_motion(self) -> None:
        path = Trajectory(np.array([EPOCH]), np.array([[1.0, 0, 0, 0]]), np.zeros((1, 3)))
        assert Motion.around(path, EPOCH, EPOCH).seen_from(EPOCH) is None


def test_only_the_poses_nearby_are_handed_to_the_kernel() -> None:
    times = EPOCH + np.arange(100_000) * 10 * MS
    path = Trajectory(times, np.tile([1.0, 0, 0, 0], (100_000, 1)), np.zeros((100_000, 3)))
    for row in (0, 5, 50_000, 99_999):
        around = int(times[row])
        motion = Motion.around(path, around - 50 * MS, around + 50 * MS)
        assert 10 < len(motion.since) < 60
        assert motion.seen_from(around) is not None
        assert (np.diff(motion.since) > 0).all()
