"""The region of interest: a rectangle on the x–y plane that a scene is cropped to."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, isfinite, sin
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lidarprep.errors import RecipeError

# A point on the edge is inside. Rotating a point into the rectangle's axes rounds it, so an edge is a nanometre wide.
EDGE_TOLERANCE_M = 1e-9


@dataclass(frozen=True)
class RegionOfInterest3D:
    """A rectangle on the x–y plane of the recording's world frame, without limits in z, edges included.

    ASSUMED: Scale's public reference says that the object crops "to a rectangle on the XY plane centered around
    position with rotation counterclockwise to the z-axis", but does not print the names of its size fields. The names
    below, and `to_api`, are the one place of that assumption.

    Args:
        position: Centre (x, y, z) in metres; z is not used for cropping.
        length: Extent along the rectangle's own x axis, metres.
        width: Extent along the rectangle's own y axis, metres.
        rotation: Angle from the world's x axis to the rectangle's, radians, counterclockwise about z.

    Raises:
        RecipeError: A size is not positive, or a number is not finite.
    """

    position: tuple[float, float, float]
    length: float
    width: float
    rotation: float = 0.0

    def __post_init__(self) -> None:
        if len(self.position) != 3:
            raise RecipeError(f"region_of_interest_3d: position has 3 numbers (x, y, z), not {len(self.position)}")
        numbers = (*self.position, self.length, self.width, self.rotation)
        if not all(isfinite(n) for n in numbers):
            raise RecipeError(f"region_of_interest_3d: a number is not finite: {numbers}")
        for name in ("length", "width"):
            if getattr(self, name) <= 0:
                raise RecipeError(f"region_of_interest_3d: {name} is {getattr(self, name)}; it must be above 0 metres")

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """(N,) bool: whether each of the points (N, 2 or 3), in the recording's world frame, is in the rectangle."""
        xy = np.asarray(points, dtype=np.float64)[:, :2] - np.array(self.position[:2])
        c, s = cos(self.rotation), sin(self.rotation)
        with np.errstate(invalid="ignore"):  # infinite points are in no rectangle
            along = c * xy[:, 0] + s * xy[:, 1]
            across = c * xy[:, 1] - s * xy[:, 0]
        inside: NDArray[np.bool_] = (np.abs(along) <= self.length / 2 + EDGE_TOLERANCE_M) & (
            np.abs(across) <= self.width / 2 + EDGE_TOLERANCE_M
        )
        return inside

    def to_api(self) -> dict[str, Any]:
        """The object as the `region_of_interest_3d` parameter of a task."""
        x, y, z = self.position
        return {
            "position": {"x": x, "y": y, "z": z},
            "length": self.length,
            "width": self.width,
            "rotation": self.rotation,
        }
