"""Poses by time, as columns, and the pose at any time between them; and what clocks differ by."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import SceneError
from lidarprep.scene.pose import UNIT_TOLERANCE, Pose, matrices, multiply, rotate, slerp

# What clocks mostly differ by, in seconds: neither GPS time nor TAI has leap seconds; and how near to it is it.
_KNOWN_OFFSETS_S = {18: "GPS time and UTC", 37: "TAI and UTC", 19: "TAI and GPS time"}
_NEAR_NS = 600_000_000


def named_offset(offset_ns: float) -> str:
    """Name the usual difference of clocks that an offset is near to, as a clause; "" if there is none."""
    seconds = abs(offset_ns) / 1e9
    for known, clocks in _KNOWN_OFFSETS_S.items():
        if abs(seconds - known) * 1e9 < _NEAR_NS:
            return f", as {clocks} are"
    hours = round(seconds / 3600)
    whole = 0 < hours <= 14 and abs(seconds - hours * 3600) * 1e9 < _NEAR_NS
    return f", as clocks of time zones {hours} h apart are" if whole else ""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Poses of a moving frame (mostly ego) in a fixed one (mostly the world), in time order.

    Args:
        timestamps: (M,) int64 nanoseconds since the Unix epoch, strictly increasing; M ≥ 1.
        quaternions: (M, 4) float64 (w, x, y, z), target from source; norms within 1e-3 of 1 are normalised.
        translations: (M, 3) float64 positions of the source's origin in the target, metres.
        normalised_by: How far the norm of a quaternion that it was made from is off 1, at most.

    Raises:
        SceneError: Shapes don't fit, there is no pose, times don't increase, a quaternion is not unit, or a number is
            not finite.
    """

    timestamps: NDArray[np.int64]
    quaternions: NDArray[np.float64]
    translations: NDArray[np.float64]
    normalised_by: float = 0.0

    def __post_init__(self) -> None:
        timestamps = np.array(self.timestamps, dtype=np.int64)
        quaternions = np.array(self.quaternions, dtype=np.float64)
        translations = np.array(self.translations, dtype=np.float64)
        n = len(timestamps)
        if n == 0 or quaternions.shape != (n, 4) or translations.shape != (n, 3):
            raise SceneError(
                f"a trajectory has M ≥ 1 times, (M, 4) quaternions and (M, 3) translations, "
                f"not {timestamps.shape}, {quaternions.shape} and {translations.shape}"
            )
        late = np.flatnonzero(np.diff(timestamps) <= 0)
        if late.size:
            k = int(late[0])
            raise SceneError(
                f"poses out of time order: pose {k + 1} at {timestamps[k + 1]} ns comes after one at {timestamps[k]} ns"
            )
        finite = np.isfinite(quaternions).all(axis=1) & np.isfinite(translations).all(axis=1)
        if not finite.all():
            raise SceneError(f"pose {int(finite.argmin())} of a trajectory has a number that is not finite")
        with np.errstate(over="ignore"):
            norms = np.linalg.norm(quaternions, axis=1)
        worst = int(np.abs(norms - 1).argmax())
        if abs(norms[worst] - 1) > UNIT_TOLERANCE:
            raise SceneError(
                f"the quaternion (w, x, y, z) of pose {worst} is not unit: {quaternions[worst].tolist()} "
                f"has norm {norms[worst]:.6g}",
                fix="Normalise it, and check that its four numbers are in the order w, x, y, z.",
            )
        quaternions /= norms[:, None]
        for name, values in (
            ("timestamps", timestamps),
            ("quaternions", quaternions),
            ("translations", translations),
        ):
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        object.__setattr__(self, "normalised_by", max(self.normalised_by, float(abs(norms[worst] - 1))))

    @classmethod
    def from_poses(cls, timestamps: Sequence[int], poses: Sequence[Pose]) -> Trajectory:
        """Make a trajectory from one pose a time.

        Raises:
            SceneError: The times don't strictly increase, or there is no pose.
        """
        quaternions = np.array([pose.quaternion for pose in poses], dtype=np.float64).reshape(-1, 4)
        translations = np.array([pose.translation for pose in poses], dtype=np.float64).reshape(-1, 3)
        normalised_by = max((pose.normalised_by for pose in poses), default=0.0)
        return cls(np.array(timestamps, dtype=np.int64), quaternions, translations, normalised_by)

    def __len__(self) -> int:
        return len(self.timestamps)

    def pose(self, row: int) -> Pose:
        """The pose of a row."""
        return Pose.from_quaternion(self.quaternions[row], self.translations[row])

    def at(self, timestamp: int, *, max_gap_ns: int | None = None) -> Pose | None:
        """Interpolate the pose at a time: linear in translation, slerp in rotation, between the poses around it.

        Args:
            timestamp: Nanoseconds since the Unix epoch.
            max_gap_ns: Poses further apart than this are not interpolated between.

        Returns:
            The pose; None before the first pose and after the last, or within too large a gap.
        """
        return self.at_each([timestamp], max_gap_ns=max_gap_ns)[0]

    def at_each(
        self, timestamps: Sequence[int], *, max_gap_ns: int | None = None, then: Pose | None = None
    ) -> list[Pose | None]:
        """Interpolate the poses at several times at once, as `at` does.

        Args:
            timestamps: Nanoseconds since the Unix epoch, in any order.
            max_gap_ns: Poses further apart than this are not interpolated between.
            then: source_from_other: the poses returned are target_from_other.
        """
        times = np.asarray(timestamps, dtype=np.int64)
        before = (np.searchsorted(self.timestamps, times, "right") - 1).clip(0)
        after = np.minimum(before + 1, len(self) - 1)
        since, gaps = times - self.timestamps[before], self.timestamps[after] - self.timestamps[before]
        known = (since == 0) | (
            (since > 0) & (since < gaps) & ((gaps <= max_gap_ns) if max_gap_ns is not None else True)
        )
        fractions = np.where(gaps > 0, since / np.maximum(gaps, 1), 0.0)
        quaternions = slerp(self.quaternions[before], self.quaternions[after], fractions)
        translations = self.translations[before] + fractions[:, None] * (
            self.translations[after] - self.translations[before]
        )
        normalised_by = self.normalised_by
        if then is not None:
            translations = translations + rotate(quaternions, then.translation)
            quaternions = multiply(quaternions, then.quaternion)
            normalised_by = max(normalised_by, then.normalised_by)
        rotations = matrices(quaternions)
        return [
            Pose.of_rotation(rotation, translation, normalised_by) if sound else None
            for rotation, translation, sound in zip(rotations, translations, known.tolist(), strict=True)
        ]

    def around(self, first: int, last: int) -> Trajectory:
        """Return the poses from `first` to `last`, nanoseconds, with the one before them and the one after them."""
        begin = max(0, int(np.searchsorted(self.timestamps, first)) - 1)
        rows = slice(begin, int(np.searchsorted(self.timestamps, last, "right")) + 1)
        part = copy(self)  # not by __init__: quaternions that are normalised twice differ in their last digits
        for name in ("timestamps", "quaternions", "translations"):
            values = getattr(self, name)[rows].copy()  # a view would keep the whole
            values.flags.writeable = False
            object.__setattr__(part, name, values)
        return part

    def __matmul__(self, source_from_other: Pose) -> Trajectory:
        """`world_from_a @ a_from_b` is `world_from_b`, at the same times."""
        rotated = rotate(self.quaternions, source_from_other.translation)
        quaternions = multiply(self.quaternions, source_from_other.quaternion)
        normalised_by = max(self.normalised_by, source_from_other.normalised_by)
        return Trajectory(self.timestamps, quaternions, self.translations + rotated, normalised_by)

    def seen_from(self, other_from_target: Pose) -> Trajectory:
        """Transform the trajectory to another fixed frame."""
        quaternions = multiply(other_from_target.quaternion, self.quaternions)
        normalised_by = max(self.normalised_by, other_from_target.normalised_by)
        return Trajectory(self.timestamps, quaternions, other_from_target.apply(self.translations), normalised_by)

    def __repr__(self) -> str:
        seconds = (int(self.timestamps[-1]) - int(self.timestamps[0])) / 1e9
        return f"Trajectory({len(self)} poses over {seconds:.3f} s)"
