"""Checks that all attachment formats share, and a frame's points in the types that attachments hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import EncodingError, FormatError
from lidarprep.kernels.select import all_within
from lidarprep.scene import CameraImage, Frame, PointCloud, Pose, ReferenceFrame


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


class DocumentReader:
    """Checks the types of values in a JSON document; errors name the place.

    Args:
        source: Names the document in errors.
    """

    def __init__(self, source: str) -> None:
        self.source = source

    def refuse(self, place: str, found: Any, expected: str) -> FormatError:
        """Return the error of an unexpected value."""
        return FormatError(self.source, place=place, found=f"{found!r}"[:80], expected=expected)

    def listed(self, value: Any, place: str) -> list[Any]:
        """Return a value that must be an array."""
        if not isinstance(value, list):
            raise self.refuse(place, value, "an array")
        return value

    def mapping(self, value: Any, place: str) -> dict[str, Any]:
        """Return a value that must be an object."""
        if not isinstance(value, dict):
            raise self.refuse(place, value, "an object")
        return value


def require_world(what: str, reference: ReferenceFrame, frame_id: str) -> None:
    """Check that points or radar points are in the world frame.

    Raises:
        EncodingError: They are in another.
    """
    if reference != "world":
        raise EncodingError(f"frame {frame_id}: its {what} are in the {reference} frame; attachments want world")


def linked_image(image: CameraImage, frame_id: str) -> tuple[str, Pose]:
    """Return an image's URL and pose in the world, which an attachment that links to it needs.

    Raises:
        EncodingError: It lacks one.
    """
    if image.url is None or image.world_from_camera is None:
        lacking = "URL" if image.url is None else "pose"
        raise EncodingError(f"frame {frame_id}: the image of {image.camera.name} has no {lacking}")
    return image.url, image.world_from_camera


def require_all_or_none(any_seen: int, all_seen: int, bits: Mapping[int, str], source: str) -> None:
    """Check that each column belongs to all points of an attachment, or to none.

    Args:
        any_seen, all_seen: Bits of the columns that any point, and that every point has.
        bits: The columns' names in attachments, by their bits.
        source: Names the attachment in the error.

    Raises:
        FormatError: Only some points have it.
    """
    for bit, name in bits.items():
        if any_seen & bit and not all_seen & bit:
            raise FormatError(
                source, place="points", found=f"some points have {name!r}, others don't", expected="all or none"
            )


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
