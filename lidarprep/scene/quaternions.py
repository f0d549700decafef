"""Rotations of many poses at once, as unit quaternions (…, 4), w first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def matrices(quaternions: Array) -> Array:
    """Rotation matrices (…, 3, 3) of unit quaternions (…, 4)."""
    return np.moveaxis(np.array(_rows(*np.moveaxis(quaternions, -1, 0))), (0, 1), (-2, -1))


def matrix(w: float, x: float, y: float, z: float) -> Array:
    """Rotation matrix (3, 3) of one unit quaternion, from plain numbers: a tenth of the time."""
    return np.array(_rows(w, x, y, z))


def _rows(w: Any, x: Any, y: Any, z: Any) -> tuple[tuple[Any, Any, Any], ...]:
    """Rows of rotation matrices, from numbers or from arrays of them."""
    return (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )


def multiply(a: Array, b: Array) -> Array:
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


def rotate(quaternions: Array, vectors: Array) -> Array:
    """Rotate vectors (…, 3), each by its quaternion."""
    w, v = quaternions[..., :1], quaternions[..., 1:]
    crossed = 2 * np.cross(v, vectors)
    turned: Array = vectors + w * crossed + np.cross(v, crossed)
    return turned


def conjugate(quaternions: Array) -> Array:
    """Inverse rotations."""
    turned_back: Array = quaternions * np.array([1.0, -1.0, -1.0, -1.0])
    return turned_back


def slerp(a: Array, b: Array, fraction: Array) -> Array:
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
    unit: Array = mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)
    return unit
