"""Rigid transforms, named `target_from_source`, so that a chain reads `world_from_ego @ ego_from_camera`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import hypot, isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lidarprep.errors import SceneError

# How far a quaternion's norm, or a matrix's R Rᵀ, may be from unit before it is refused rather than normalised.
UNIT_TOLERANCE = 1e-3

Row = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Pose:
    """A rigid transform from a source frame to a target frame.

    Args:
        rotation: (3, 3) float64 rotation matrix, target from source.
        translation: (3,) float64 position of the source's origin in the target, metres.
        normalised_by: How far the quaternion's norm, or the matrix's R Rᵀ, that this pose was made from is off unit;
            at most, where it was made from several.

    Raises:
        SceneError: The rotation is not a rotation (by more than 1e-3; nearer ones are made orthonormal), or a number
            is not finite.
    """

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    normalised_by: float = 0.0

    def __post_init__(self) -> None:
        rotation = np.array(self.rotation, dtype=np.float64)
        translation = np.array(self.translation, dtype=np.float64)
        if rotation.shape != (3, 3) or translation.shape != (3,):
            raise SceneError(
                f"a pose has a (3, 3) rotation and a (3,) translation, not {rotation.shape} and {translation.shape}"
            )
        rows, position = rotation.tolist(), translation.tolist()
        if not all(map(isfinite, (*rows[0], *rows[1], *rows[2], *position))):
            raise SceneError(f"a pose has a number that is not finite: {rows}, {position}")
        deviation, determinant = _off_unit(*rows)
        if deviation > UNIT_TOLERANCE:
            raise SceneError(f"a rotation matrix is not orthonormal: R Rᵀ is off the identity by {deviation:.3g}")
        if determinant < 0:
            raise SceneError(
                "a rotation matrix mirrors (its determinant is -1)", fix="Check the handedness of the axes."
            )
        if deviation > 1e-12:
            u, _, vt = np.linalg.svd(rotation)
            rotation = u @ vt
            object.__setattr__(self, "normalised_by", max(self.normalised_by, deviation))
        rotation.flags.writeable = False
        translation.flags.writeable = False
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(self, "translation", translation)

    @classmethod
    def identity(cls) -> Pose:
        """The identity transform."""
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def of_rotation(
        cls, rotation: NDArray[np.float64], translation: NDArray[np.float64], normalised_by: float = 0.0
    ) -> Pose:
        """Make a pose from a matrix that is known to be a rotation, without checks.

        Args:
            rotation: (3, 3) float64; kept, and made read-only.
            translation: (3,) float64, metres; likewise.
            normalised_by: As the pose has it.
        """
        pose = object.__new__(cls)
        rotation.flags.writeable = translation.flags.writeable = False
        pose.__dict__.update(rotation=rotation, translation=translation, normalised_by=normalised_by)
        return pose

    @classmethod
    def from_quaternion(cls, quaternion: ArrayLike, translation: ArrayLike = (0.0, 0.0, 0.0)) -> Pose:
        """Make a pose from a quaternion (w, x, y, z) and a translation in metres.

        A norm within 1e-3 of 1 is normalised.

        Raises:
            SceneError: The norm is further from 1, or a number is not finite.
        """
        q = np.asarray(quaternion, dtype=np.float64)
        if q.shape != (4,):
            raise SceneError(f"a quaternion has 4 numbers (w, x, y, z), not {q.size}")
        norm = hypot(*q.tolist())
        if not abs(norm - 1.0) <= UNIT_TOLERANCE:
            raise SceneError(
                f"a quaternion (w, x, y, z) is not unit: {q.tolist()} has norm {norm:.6g}",
                fix="Normalise it, and check that its four numbers are in the order w, x, y, z.",
            )
        rotation = matrix(*(q / norm).tolist())
        return cls(rotation, np.asarray(translation, dtype=np.float64), float(abs(norm - 1.0)))

    @classmethod
    def from_matrix(cls, matrix: ArrayLike) -> Pose:
        """Make a pose from a (3, 4) or (4, 4) matrix [R | t], metres."""
        m = np.asarray(matrix, dtype=np.float64)
        if m.shape not in ((3, 4), (4, 4)):
            raise SceneError(f"a pose matrix is 3×4 or 4×4, not {'×'.join(map(str, m.shape))}")
        if m.shape == (4, 4) and not np.allclose(m[3], (0, 0, 0, 1)):
            raise SceneError(f"the last row of a 4×4 pose matrix is 0 0 0 1, not {m[3].tolist()}")
        return cls(m[:3, :3], m[:3, 3])

    @classmethod
    def from_euler(cls, roll: float, pitch: float, yaw: float, translation: ArrayLike = (0.0, 0.0, 0.0)) -> Pose:
        """Make a pose from angles in radians about fixed axes: roll about x, then pitch about y, then yaw about z.

        It is Rz(yaw) @ Ry(pitch) @ Rx(roll), the convention of REP 103 and of aircraft (z-y-x, intrinsic).
        """
        cr, sr = np.cos(roll), np.sin(roll)
        cp, sp = np.cos(pitch), np.sin(pitch)
        cy, sy = np.cos(yaw), np.sin(yaw)
        about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        return cls(about_z @ about_y @ about_x, np.asarray(translation, dtype=np.float64))

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """(4, 4) homogeneous matrix [R t; 0 1]."""
        m = np.eye(4)
        m[:3, :3] = self.rotation
        m[:3, 3] = self.translation
        return m

    @cached_property
    def quaternion(self) -> NDArray[np.float64]:
        """(4,) unit quaternion (w, x, y, z) with w ≥ 0.

        After Shepperd, "Quaternion from rotation matrix", 1978: divides by the largest of the four, so it is
        accurate for every rotation.
        """
        r = self.rotation
        trace = r[0, 0] + r[1, 1] + r[2, 2]
        squares = np.array([trace, r[0, 0], r[1, 1], r[2, 2]])
        largest = int(squares.argmax())
        if largest == 0:
            q = np.array([1 + trace, r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
        else:
            i = largest - 1
            j, k = (i + 1) % 3, (i + 2) % 3
            q = np.empty(4)
            q[0] = r[k, j] - r[j, k]
            q[1 + i] = 1 + r[i, i] - r[j, j] - r[k, k]
            q[1 + j] = r[i, j] + r[j, i]
            q[1 + k] = r[i, k] + r[k, i]
        q /= np.linalg.norm(q)
        return -q if q[0] < 0 else q

    @property
    def yaw(self) -> float:
        """Heading about z in radians, counterclockwise from the target's x axis."""
        return float(np.arctan2(self.rotation[1, 0], self.rotation[0, 0]))

    def __matmul__(self, other: Pose) -> Pose:
        """`a_from_b @ b_from_c` is `a_from_c`."""
        normalised_by = max(self.normalised_by, other.normalised_by)
        return Pose(self.rotation @ other.rotation, self.rotation @ other.translation + self.translation, normalised_by)

    def inverse(self) -> Pose:
        """Invert the transform: source from target."""
        return Pose(self.rotation.T, -self.rotation.T @ self.translation, self.normalised_by)

    def apply(self, points: ArrayLike) -> NDArray[np.float64]:
        """Transform points (N, 3) or one point (3,) of the source frame to float64 in the target frame."""
        return np.asarray(points, dtype=np.float64) @ self.rotation.T + self.translation

    def rotate(self, directions: ArrayLike) -> NDArray[np.float64]:
        """Rotate directions (N, 3) or one (3,) of the source frame to float64 in the target frame."""
        return np.asarray(directions, dtype=np.float64) @ self.rotation.T

    def translated(self, offset: ArrayLike) -> Pose:
        """Add `offset` (3,) metres, in the target frame, to the translation."""
        return Pose(self.rotation, self.translation + np.asarray(offset, dtype=np.float64), self.normalised_by)

    def interpolate(self, other: Pose, fraction: float) -> Pose:
        """Interpolate towards `other`: linear in translation, slerp in rotation (the shorter way)."""
        translation = self.translation + fraction * (other.translation - self.translation)
        quaternion = slerp(self.quaternion, other.quaternion, np.array(fraction))
        return Pose.of_rotation(matrices(quaternion), translation, max(self.normalised_by, other.normalised_by))

    def almost_equals(self, other: Pose, tolerance: float = 1e-9) -> bool:
        """Whether every entry of both matrices agrees within `tolerance`."""
        return bool(np.abs(self.matrix - other.matrix).max() <= tolerance)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Pose) and np.array_equal(self.matrix, other.matrix)

    def __hash__(self) -> int:
        return hash((self.matrix + 0.0).tobytes())  # -0.0 equals 0.0

    def __repr__(self) -> str:
        def numbers(values: Sequence[float]) -> str:
            return ", ".join(f"{v:.6g}" for v in values)

        q, t = numbers(self.quaternion.tolist()), numbers(self.translation.tolist())
        return f"Pose(quaternion=({q}), translation=({t}))"


def _off_unit(x: Row, y: Row, z: Row) -> tuple[float, float]:
    """Deviation of R Rᵀ from the identity, and the determinant of R, from its rows of finite numbers.

    Plain Python: NumPy takes ten times as long for so few numbers, and a recording has thousands of poses.
    """
    deviation = max(
        # Squares come first: of huge numbers they are infinite, where a product may be NaN.
        abs(_dot(x, x) - 1.0),
        abs(_dot(y, y) - 1.0),
        abs(_dot(z, z) - 1.0),
        abs(_dot(x, y)),
        abs(_dot(y, z)),
        abs(_dot(z, x)),
    )
    (a, b, c), (d, e, f), (g, h, i) = x, y, z
    return deviation, a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _dot(one: Row, other: Row) -> float:
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


# ---- rotations of many poses at once, as unit quaternions (…, 4), w first ----


def matrices(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrices (…, 3, 3) of unit quaternions (…, 4)."""
    return np.moveaxis(np.array(_rows(*np.moveaxis(quaternions, -1, 0))), (0, 1), (-2, -1))


def matrix(w: float, x: float, y: float, z: float) -> NDArray[np.float64]:
    """Rotation matrix (3, 3) of one unit quaternion, from plain numbers: a tenth of the time."""
    return np.array(_rows(w, x, y, z))


def _rows(w: Any, x: Any, y: Any, z: Any) -> tuple[tuple[Any, Any, Any], ...]:
    """Rows of rotation matrices, from numbers or from arrays of them."""
    return (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )


def multiply(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hamilton products, row by row: rotation b, then rotation a."""
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack(
        (
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ),
        axis=-1,
    )


def rotate(quaternions: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotate vectors (…, 3), each by its quaternion."""
    w, v = quaternions[..., :1], quaternions[..., 1:]
    crossed = 2 * np.cross(v, vectors)
    turned: NDArray[np.float64] = vectors + w * crossed + np.cross(v, crossed)
    return turned


def conjugate(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse rotations."""
    turned_back: NDArray[np.float64] = quaternions * np.array([1.0, -1.0, -1.0, -1.0])
    return turned_back


def slerp(a: NDArray[np.float64], b: NDArray[np.float64], fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate between a and b (…, 4) at fractions (…) of the way, the shorter way round.

    After Shoemake, "Animating rotation with quaternion curves", 1985.
    """
    cosine = np.sum(a * b, axis=-1)
    b = np.where(cosine[..., None] < 0, -b, b)
    angle = np.arccos(np.minimum(np.abs(cosine), 1.0))
    near = angle < 1e-6  # sin(angle) would lose its digits; the chord is exact enough there
    sine = np.where(near, 1.0, np.sin(angle))
    of_a = np.where(near, 1 - fraction, np.sin((1 - fraction) * angle) / sine)
    of_b = np.where(near, fraction, np.sin(fraction * angle) / sine)
    mixed = of_a[..., None] * a + of_b[..., None] * b
    unit: NDArray[np.float64] = mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)
    return unit
