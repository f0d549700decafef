"""The poses of a file as columns: world from ego, with their times and names where the file has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Pose, Trajectory
from lidarprep.scene.pose import UNIT_TOLERANCE

PosesKind = Literal["KITTI", "TUM", "CSV", "JSON"]


@dataclass(frozen=True, eq=False)
class PoseTable:
    """The poses of a file, world from ego, in the order of its rows.

    Args:
        path: The file.
        kind: The kind that it was read as.
        quaternions: (M, 4) float64 (w, x, y, z); norms within 1e-3 of 1 are normalised.
        translations: (M, 3) float64 metres.
        places: (M) the place of each in the file, for errors.
        timestamps: (M) nanoseconds, or None where the file has no times.
        names: (M) of the files or frames that the poses belong to, or None where the file has no names.
        notes: Guesses made in reading it, a sentence each.
        off_unit: (M,) how far each rotation was off unit before it was normalised; None: by the quaternions' norms.

    Raises:
        FormatError: A number is not finite, or a quaternion is not unit.
    """

    path: Path
    kind: PosesKind
    quaternions: NDArray[np.float64]
    translations: NDArray[np.float64]
    places: Sequence[str]
    timestamps: Sequence[int] | None = None
    names: Sequence[str] | None = None
    notes: tuple[str, ...] = ()
    off_unit: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            norms = np.linalg.norm(self.quaternions, axis=1)
            off = np.abs(norms - 1)
        sound = (off <= UNIT_TOLERANCE) & np.isfinite(self.translations).all(axis=1)
        if not sound.all():
            row = int(np.argmin(sound))
            try:
                Pose.from_quaternion(self.quaternions[row], self.translations[row])
            except SceneError as error:
                raise FormatError(self.path, place=self.places[row], found=error.message, fix=error.fix) from error
        object.__setattr__(self, "quaternions", self.quaternions / norms[:, None])
        if self.off_unit is None:
            object.__setattr__(self, "off_unit", off)

    def __len__(self) -> int:
        return len(self.quaternions)

    def pose(self, row: int) -> Pose:
        """Return the pose of a row."""
        pose = Pose.from_quaternion(self.quaternions[row], self.translations[row])
        return pose if self.off_unit is None else replace(pose, normalised_by=float(self.off_unit[row]))

    def trajectory(self) -> tuple[Trajectory, list[str]]:
        """Return the poses by time, and notes on those that were out of time order, or at the time of an earlier one.

        Raises:
            SceneError: There is no pose, or the poses have no times.
        """
        if self.timestamps is None or not len(self):
            raise SceneError(f"{self.path} has no poses with times")
        times = np.array(self.timestamps, dtype=np.int64)
        notes = []
        if (np.diff(times) < 0).any():
            notes.append(f"the poses in {self.path.name} are not in time order; they are sorted")
        kept_times, rows = np.unique(times, return_index=True)  # of equal times the first row
        doubled = len(times) - len(rows)
        if doubled:
            notes.append(f"{doubled} poses in {self.path.name} have the time of an earlier one; they are left out")
        worst = 0.0 if self.off_unit is None else float(self.off_unit[rows].max())
        return Trajectory(kept_times, self.quaternions[rows], self.translations[rows], worst), notes


def table_of_poses(
    path: Path,
    kind: PosesKind,
    poses: Sequence[Pose],
    places: Sequence[str],
    timestamps: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
) -> PoseTable:
    """Make a table of Pose objects."""
    return PoseTable(
        path,
        kind,
        np.array([pose.quaternion for pose in poses], dtype=np.float64).reshape(-1, 4),
        np.array([pose.translation for pose in poses], dtype=np.float64).reshape(-1, 3),
        places,
        timestamps,
        names,
        off_unit=np.array([pose.normalised_by for pose in poses], dtype=np.float64),
    )


def decimal_nanoseconds(text: str, factor: int) -> int | None:
    """Convert a decimal number of units of `factor` nanoseconds, as text, to nanoseconds; None if int64 cannot hold it.

    The text is read as a Decimal: a float of seconds since the epoch would be off by up to 238 ns.
    """
    try:
        number = Decimal(text)
        if not number.is_finite() or number.adjusted() > 19:
            return None
        nanoseconds = int((number * factor).to_integral_value(ROUND_HALF_EVEN))
    except (ArithmeticError, ValueError):
        return None
    return nanoseconds if abs(nanoseconds) < 2**63 else None
