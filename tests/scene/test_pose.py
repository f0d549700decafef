"""Pose against SciPy's Rotation, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from lidarprep.errors import SceneError
from lidarprep.scene import Pose
from lidarprep.scene.pose import matrices, matrix

numbers = st.floats(-1e3, 1e3)
vectors = st.tuples(numbers, numbers, numbers).map(np.array)
angles = st.floats(-np.pi, np.pi)


def _unit(q: tuple[float, ...]) -> np.ndarray:
    return np.array(q) / np.linalg.norm(q)


component = st.floats(-1, 1)
quaternions = (
    st.tuples(component, component, component, component).filter(lambda q: np.linalg.norm(q) > 0.1).map(_unit)
)  # (w, x, y, z)
poses = st.builds(Pose.from_quaternion, quaternions, vectors)


def scipy_rotation(q_wxyz: np.ndarray) -> Rotation:
    return Rotation.from_quat(np.roll(q_wxyz, -1))  # SciPy's are scalar last


def scipy_of(pose: Pose) -> Rotation:
    return Rotation.from_matrix(pose.rotation)


def assert_same_rotation(matrix: np.ndarray, rotation: Rotation) -> None:
    np.testing.assert_allclose(matrix, rotation.as_matrix(), atol=1e-12)


@given(quaternions, vectors)
def test_a_quaternion_gives_the_matrix_that_scipy_gives(q: np.ndarray, t: np.ndarray) -> None:
    pose = Pose.from_quaternion(q, t)
    assert_same_rotation(pose.rotation, scipy_rotation(q))
    assert np.array_equal(pose.translation, t)


@given(angles, angles, angles)
def test_euler_angles_are_roll_pitch_yaw_about_fixed_axes(roll: float, pitch: float, yaw: float) -> None:
    assert_same_rotation(Pose.from_euler(roll, pitch, yaw).rotation, Rotation.from_euler("xyz", [roll, pitch, yaw]))


@given(angles)
def test_yaw_is_the_heading_of_the_x_axis(yaw: float) -> None:
    pose = Pose.from_euler(0.0, 0.0, yaw)
    assert np.cos(pose.yaw) == pytest.approx(np.cos(yaw), abs=1e-12)
    assert np.sin(pose.yaw) == pytest.approx(np.sin(yaw), abs=1e-12)


@given(quaternions)
def test_the_quaternion_of_a_matrix_is_scipys_with_w_not_negative(q: np.ndarray) -> None:
    found = Pose(scipy_rotation(q).as_matrix(), np.zeros(3)).quaternion
    expected = np.roll(scipy_rotation(q).as_quat(), 1)
    assert found[0] >= 0
    assert abs(found @ expected) == pytest.approx(1.0, abs=1e-12)
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
@pytest.mark.parametrize("turn", [0.0, 1e-9, 90.0, 179.9999999, 180.0, 270.0])
def test_the_quaternion_is_accurate_near_half_turns(axis: str, turn: float) -> None:
    rotation = Rotation.from_euler(axis, turn, degrees=True)
    pose = Pose(rotation.as_matrix(), np.zeros(3))
    assert_same_rotation(Pose.from_quaternion(pose.quaternion).rotation, rotation)


@given(poses, poses, vectors)
def test_a_chain_applies_its_right_end_first(a_from_b: Pose, b_from_c: Pose, point: np.ndarray) -> None:
    a_from_c = a_from_b @ b_from_c
    expected = scipy_of(a_from_b).apply(scipy_of(b_from_c).apply(point) + b_from_c.translation) + a_from_b.translation
    np.testing.assert_allclose(a_from_c.apply(point), expected, atol=1e-8)
    np.testing.assert_allclose(a_from_c.matrix, a_from_b.matrix @ b_from_c.matrix, atol=1e-9)


@given(poses, vectors)
def test_the_inverse_goes_back(pose: Pose, point: np.ndarray) -> None:
    expected = scipy_of(pose).inv().apply(point - pose.translation)
    np.testing.assert_allclose(pose.inverse().apply(point), expected, atol=1e-8)
    assert (pose @ pose.inverse()).almost_equals(Pose.identity(), 1e-9)
    np.testing.assert_allclose(pose.inverse().matrix, np.linalg.inv(pose.matrix), atol=1e-8)


def test_many_points_and_one_point_are_moved_alike() -> None:
    pose = Pose.from_euler(0.1, -0.2, 2.0, (10, 20, 30))
    points = np.random.default_rng(1).normal(size=(100, 3)).astype(np.float32)
    moved = pose.apply(points)
    assert moved.dtype == np.float64
    np.testing.assert_allclose(moved, scipy_of(pose).apply(points) + np.array([10, 20, 30]), atol=1e-12)
    np.testing.assert_allclose(pose.apply(points[7]), moved[7], atol=1e-14)


@given(poses, vectors)
def test_directions_turn_and_are_not_moved(pose: Pose, direction: np.ndarray) -> None:
    np.testing.assert_allclose(pose.rotate(direction), scipy_of(pose).apply(direction), atol=1e-9)


def test_translated_adds_in_the_target_frame() -> None:
    pose = Pose.from_euler(0, 0, np.pi / 2, (1, 2, 3)).translated((10, 0, 0))
    np.testing.assert_allclose(pose.apply((1, 0, 0)), (11, 3, 3), atol=1e-12)


@given(quaternions, quaternions, st.floats(0, 1))
def test_interpolation_is_scipys_slerp(qa: np.ndarray, qb: np.ndarray, fraction: float) -> None:
    a, b = Pose.from_quaternion(qa, (0, 0, 0)), Pose.from_quaternion(qb, (10, -20, 30))
    between = a.interpolate(b, fraction)
    angle = (scipy_rotation(qa).inv() * scipy_rotation(qb)).magnitude()
    if angle < np.pi - 1e-6:  # at half a turn both ways are as short
        slerp = Slerp([0, 1], Rotation.concatenate([scipy_rotation(qa), scipy_rotation(qb)]))
        # arccos of a cosine near 1 has half the digits of a float64.
        assert (Rotation.from_matrix(between.rotation).inv() * slerp(fraction)).magnitude() < 1e-7
    np.testing.assert_allclose(between.translation, fraction * np.array([10, -20, 30]), atol=1e-12)


@given(poses, poses)
def test_interpolation_begins_and_ends_at_its_poses(a: Pose, b: Pose) -> None:
    assert a.interpolate(b, 0.0).almost_equals(a, 1e-9)
    assert a.interpolate(b, 1.0).almost_equals(b, 1e-9)
    assert a.interpolate(a, 0.37).almost_equals(a, 1e-9)


@given(quaternions, st.floats(0.9991, 1.0009))
def test_a_nearly_unit_quaternion_is_normalised(q: np.ndarray, factor: float) -> None:
    assert_same_rotation(Pose.from_quaternion(q * factor).rotation, scipy_rotation(q))


@given(quaternions, st.one_of(st.floats(0, 0.9989), st.floats(1.0011, 1e3)))
def test_a_quaternion_that_is_not_unit_is_refused(q: np.ndarray, factor: float) -> None:
    with pytest.raises(SceneError, match="not unit"):
        Pose.from_quaternion(q * factor)


@pytest.mark.parametrize("q", [(1, 0, 0), (1, 0, 0, 0, 0), (np.nan, 0, 0, 0), (np.inf, 0, 0, 0), (1e200, 1e200, 0, 0)])
def test_what_is_no_quaternion_is_refused(q: tuple[float, ...]) -> None:
    with pytest.raises(SceneError):
        Pose.from_quaternion(q)


MIRROR = np.diag([1.0, 1.0, -1.0])


@given(quaternions)
def test_one_quaternion_gives_the_very_matrix_that_many_give(q: np.ndarray) -> None:
    assert matrix(*q.tolist()).tolist() == matrices(np.stack((q, q)))[1].tolist()


SHEAR = np.array([[1, 0.1, 0], [0, 1, 0], [0, 0, 1.0]])
# R Rᵀ of this overflows to infinity minus infinity.
HUGE = np.array([[1e200, 1e200, 0], [1e200, -1e200, 0], [0, 0, 1]])


@pytest.mark.parametrize("rotation", [MIRROR, -np.eye(3), SHEAR, 2 * np.eye(3), np.zeros((3, 3)), HUGE])
def test_a_matrix_that_is_no_rotation_is_refused(rotation: np.ndarray) -> None:
    with pytest.raises(SceneError):
        Pose(rotation, np.zeros(3))


@given(quaternions, st.integers(0, 2**32 - 1))
def test_a_nearly_orthonormal_matrix_is_made_orthonormal(q: np.ndarray, seed: int) -> None:
    exact = scipy_rotation(q).as_matrix()
    noise = np.random.default_rng(seed).uniform(-1e-4, 1e-4, (3, 3))
    rotation = Pose(exact + noise, np.zeros(3)).rotation
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(rotation, exact, atol=1e-3)


@pytest.mark.parametrize(
    ("rotation", "translation"),
    [
        (np.eye(4), np.zeros(3)),
        (np.eye(3), np.zeros(4)),
        (np.eye(3), (0, 0, np.nan)),
        (np.full((3, 3), np.nan), np.zeros(3)),
        (np.eye(3), (np.inf, 0, 0)),
    ],
)
def test_wrong_shapes_and_numbers_that_are_not_finite_are_refused(rotation: np.ndarray, translation: object) -> None:
    with pytest.raises(SceneError):
        Pose(rotation, translation)  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [3, 4])
def test_a_matrix_of_three_or_four_rows_is_read(rows: int) -> None:
    pose = Pose.from_euler(0.1, 0.2, 0.3, (1, 2, 3))
    assert Pose.from_matrix(pose.matrix[:rows]).almost_equals(pose)


def test_other_matrices_are_refused() -> None:
    with pytest.raises(SceneError, match="3×4 or 4×4"):
        Pose.from_matrix(np.eye(3))
    projective = np.eye(4)
    projective[3, 0] = 0.5
    with pytest.raises(SceneError, match="0 0 0 1"):
        Pose.from_matrix(projective)


def test_a_pose_cannot_be_changed_nor_by_the_array_it_came_from() -> None:
    rotation, translation = np.eye(3), np.zeros(3)
    pose = Pose(rotation, translation)
    rotation[0, 0], translation[0] = 5, 5
    assert pose == Pose.identity()
    with pytest.raises(ValueError, match="read-only"):
        pose.translation[0] = 1.0


def test_poses_that_are_equal_have_one_hash() -> None:
    a, b = Pose(np.eye(3), np.array([0.0, 0.0, 0.0])), Pose(np.eye(3), np.array([-0.0, 0.0, 0.0]))
    assert a == b
    assert len({a, b, Pose.identity()}) == 1
    assert a != a.translated((0, 0, 1e-9))
