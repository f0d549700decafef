"""Checks that all attachment formats share, and a frame's points in the types that attachments hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import EncodingError, FormatError
from lidarprep.kernels.select import all_within
from lidarprep.kernels.wire import HAS_D, HAS_GROUND, HAS_I, HAS_T
from lidarprep.scene import Frame, PointCloud, Pose, ReferenceFrame


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
        """Convert and check the columns of `points`.

        Raises:
            EncodingError: They are not in the world frame, not finite as float32, or the intensity is not 0–1.
        """
        require_world("points", points.frame, frame_id)
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


class ReadColumns:
    """Columns for the points of an attachment that a kernel reads, before it is known which of them are there.

    Args:
        room: As many points as the attachment's bytes could hold; untouched pages take no memory.
        device, timestamp: The types that the kernel reads these as.
    """

    def __init__(self, room: int, *, device: type[Any], timestamp: type[Any]) -> None:
        self.positions = np.empty((room, 3), dtype=np.float32)
        self.intensity = np.zeros(room, dtype=np.float32)
        self.device = np.zeros(room, dtype=device)
        self.timestamp = np.zeros(room, dtype=timestamp)
        self.is_ground = np.zeros(room, dtype=np.bool_)

    @property
    def all(self) -> tuple[NDArray[Any], ...]:
        """The columns, in the order of the kernels."""
        return self.positions, self.intensity, self.device, self.timestamp, self.is_ground

    def cloud(
        self, count: int, any_seen: int, all_seen: int, source: str, ignored_fields: tuple[str, ...] = ()
    ) -> PointCloud:
        """Return the first `count` points, with the columns whose HAS_ bits are in `any_seen`.

        Raises:
            FormatError: A column belongs to some points (`any_seen`), but not to all (`all_seen`).
        """
        for bit, name in ((HAS_I, "i"), (HAS_D, "d"), (HAS_T, "t")):
            if any_seen & bit and not all_seen & bit:
                found = f"some points have {name!r}, others don't"
                raise FormatError(source, place="points", found=found, expected="all or none")
        return PointCloud(
            self.positions[:count],
            frame="world",
            intensity=self.intensity[:count] if any_seen & HAS_I else None,
            device=self.device[:count].astype(np.uint32, copy=False) if any_seen & HAS_D else None,
            timestamp=_nanoseconds(self.timestamp[:count], source) if any_seen & HAS_T else None,
            is_ground=self.is_ground[:count] if any_seen & HAS_GROUND else None,
            ignored_fields=ignored_fields,
        )


def _nanoseconds(values: NDArray[Any], source: str) -> NDArray[np.int64]:
    if values.dtype != np.int64:
        if not (np.isfinite(values).all() and (np.abs(values) < 2.0**63).all()):
            raise FormatError(source, place="points", found="a timestamp that is not a number of nanoseconds in int64")
        values = np.rint(values)
    return values.astype(np.int64, copy=False)


def require_world(what: str, reference: ReferenceFrame, frame_id: str) -> None:
    """Check that points or radar points are in the world frame.

    Raises:
        EncodingError: They are in another.
    """
    if reference != "world":
        raise EncodingError(f"frame {frame_id}: its {what} are in the {reference} frame; attachments want world")


def device_pose(frame: Frame) -> Pose:
    """Return the frame's device pose, which every attachment must have.

    Raises:
        EncodingError: It has none.
    """
    if frame.world_from_ego is None:
        raise EncodingError(f"frame {frame.id} has no device pose, and an attachment must have a device_position")
    return frame.world_from_ego


def _contiguous(column: NDArray[Any], dtype: type[Any]) -> NDArray[Any]:
    # Writeable, too: for read-only arrays Numba would compile every kernel again.
    return np.require(column, dtype, ("C", "W"))


def _require_finite(column: NDArray[np.float32], what: str, frame_id: str) -> None:
    largest = np.finfo(np.float32).max
    if not all_within(column.reshape(-1), -largest, largest):
        rows = np.flatnonzero(~np.isfinite(column.reshape(len(column), -1)).all(axis=1))
        raise EncodingError(
            f"frame {frame_id}: {rows.size} of {len(column)} points have a {what} that is not a finite float32, "
            f"the first in row {rows[0]}"
        )
