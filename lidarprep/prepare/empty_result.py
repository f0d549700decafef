"""A recipe that keeps no point: the error, and where the points are, so that its user sees what to change."""

from __future__ import annotations

from collections.abc import Sequence
from math import degrees

import numpy as np
from numpy.typing import NDArray

from lidarprep.checks import finite
from lidarprep.errors import LidarprepError, RecipeError
from lidarprep.recipe import DEFAULT_HEIGHT_BAND, Recipe
from lidarprep.scene import Frame, Pose, RegionOfInterest3D
from lidarprep.storage.manifest import FrameRecord


class EmptyResultError(RecipeError):
    """No point of any frame is kept."""


def require_points(frames: Sequence[FrameRecord]) -> None:
    """Check that some frame keeps a point.

    Raises:
        EmptyResultError: None does.
    """
    if any(frame.points_out for frame in frames):
        return
    total = sum(frame.points_in for frame in frames)
    reasons = {
        "outside the region of interest": sum(frame.dropped.region for frame in frames),
        "outside the height band": sum(frame.dropped.height for frame in frames),
        "not finite": sum(frame.dropped.not_finite for frame in frames),
        "without a return": sum(frame.dropped.no_return for frame in frames),
    }
    dropped = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
    raise EmptyResultError(
        f"no point of {len(frames)} frames is kept: of {total} points, {dropped or 'none were there'}"
    )


def explain_empty_result(frames: Sequence[Frame], recipe: Recipe) -> str | None:
    """Return where the points of one frame are, against what the recipe keeps; None where that cannot be said.

    The frame in the middle is read again, or the first part of it. The recipe says the device's height, not "auto".
    """
    frame = frames[len(frames) // 2]
    try:
        points = next(frame.chunks())
    except (LidarprepError, StopIteration):
        return None
    positions = finite(points.positions).astype(np.float64)
    if not len(positions):
        return None
    pose = frame.world_from_ego or Pose.identity()
    in_world = positions if points.frame == "world" else pose.apply(positions)
    said = []
    if recipe.region_of_interest_3d is not None:
        said.append(
            f"The points of frame {frame.id} are at {_bounds(in_world)} in the world; "
            f"the region is {_region(recipe.region_of_interest_3d)}."
        )
    if isinstance(recipe.device_height, float):
        in_ego = positions if points.frame == "ego" else pose.inverse().apply(positions)
        above_ground = in_ego[:, 2] + recipe.device_height
        lowest, highest = recipe.height_band or DEFAULT_HEIGHT_BAND
        said.append(
            f"The points of frame {frame.id} are {above_ground.min():.1f} to {above_ground.max():.1f} m above the "
            f"ground, if the device is {recipe.device_height:g} m above it; the band is {lowest:g} to {highest:g} m."
        )
    return "\n".join(said) or None


def _bounds(positions: NDArray[np.float64]) -> str:
    (x0, y0), (x1, y1) = positions[:, :2].min(axis=0), positions[:, :2].max(axis=0)
    return f"x {x0:.1f} to {x1:.1f} and y {y0:.1f} to {y1:.1f}"


def _region(region: RegionOfInterest3D) -> str:
    x, y, _ = region.position
    turned = f", turned by {degrees(region.rotation):g}°" if region.rotation else ""
    return f"{region.length:g} × {region.width:g} m around x {x:g} and y {y:g}{turned}"
