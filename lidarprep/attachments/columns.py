"""What every attachment asks of a frame's points before they are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import EncodingError
from lidarprep.kernels.check import all_within
from lidarprep.scene import Frame, PointCloud, Pose


@dataclass(frozen=True)
class AttachmentColumns:
    """A frame's points in the types that attachments hold, contiguous, checked.

    Args:
        positions: (N, 3) float32 metres, in the world, finite.
        intensity: (N,) float32, 0–1; or None.
        device: (N,) uint32; or None.
        timestamp: (N,) int64 nanoseconds; or None.
        is_ground: (N,) bool; or None.
    """

    positions: NDArray[np.float32]
    intensity: NDArray[np.float32] | None
    device: NDArray[np.uint32] | None
    timestamp: NDArray[np.int64] | None
    is_ground: NDArray[np.bool_] | None

    @classmethod
    def of(cls, points: PointCloud, frame_id: str) -> AttachmentColumns:
        """The columns of `points`.

        Raises:
            EncodingError: They are not in the world frame, not finite as float32, or the intensity is not 0–1.
        """
        if points.frame != "world":
            raise EncodingError(f"frame {frame_id}: its points are in the {points.frame} frame; attachments want world")
        with np.errstate(over="ignore"):
            positions = _contiguous(points.positions, np.float32)
        _require_finite(positions, "coordinate", frame_id)
        intensity = None
        if points.intensity is not None:
            intensity = _contiguous(points.intensity, np.float32)
            if not all_within(intensity, np.float32(0), np.float32(1)):
                _require_finite(intensity, "intensity", frame_id)
                raise EncodingError(
                    f"frame {frame_id}: intensities reach from {intensity.min():g} to {intensity.max():g}; "
                    "an attachment holds 0 to 1",
                    fix="Normalise them: --intensity-scale says which value is 1.",
                )
        return cls(
            positions,
            intensity,
            None if points.device is None else _contiguous(points.device, np.uint32),
            None if points.timestamp is None else _contiguous(points.timestamp, np.int64),
            None if points.is_ground is None else _contiguous(points.is_ground, np.bool_),
        )


def device_pose(frame: Frame) -> Pose:
    """The frame's device pose, which every attachment must have.

    Raises:
        EncodingError: It has none.
    """
    if frame.world_from_ego is None:
        raise EncodingError(f"frame {frame.id} has no device pose, and an attachment must have a device_position")
    return frame.world_from_ego


def _contiguous(column: NDArray[Any], dtype: type[Any]) -> NDArray[Any]:
    # Writeable, too: for one that is not, Numba would compile every kernel once more.
    return np.require(column, dtype, ("C", "W"))


def _require_finite(column: NDArray[np.float32], what: str, frame_id: str) -> None:
    largest = np.finfo(np.float32).max
    if not all_within(column.reshape(-1), -largest, largest):
        rows = np.flatnonzero(~np.isfinite(column.reshape(len(column), -1)).all(axis=1))
        raise EncodingError(
            f"frame {frame_id}: {rows.size} of {len(column)} points have a {what} that is not a finite float32, "
            f"the first in row {rows[0]}"
        )
