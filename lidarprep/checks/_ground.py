"""The ground: its height under the device, by a plane through the lowest points near it.

Each cell of a grid round the device gives one low point, so that a wall of many points counts no more than a patch of
road. The plane is the one that most cells lie on and few lie below, near ones first. A ceiling, the roofs of parked
cars and what a wet road mirrors lose: cells lie below them, or too few on them. All points near the plane refine it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidarprep.checks._samples import Sample
from lidarprep.scene import Finding
from lidarprep.scene.finding import recipe_option

# Points that are looked at: beyond the device's own housing, and as far as a road is mostly a plane.
NEAREST_M, FARTHEST_M = 0.8, 20.0

# A cell counts half at this distance: the ground under the device is asked for. Lidars of 16 beams see their first ring
# of ground at 7 to 11 m.
HALF_WEIGHT_M = 10.0

CELL_M = 1.0

# The low point of a cell has this share of the cell's points below it, in case they are reflections.
LOW_SHARE = 0.1

# Triples of cells that a plane is laid through, and how large a triangle and how steep a plane may be: a device tilted
# by 5° on a hill of 12 %.
PLANES, SMALLEST_TRIANGLE_M2, STEEPEST = 250, 8.0, 0.25

# A cell lies on a plane within this height: kerbs, noise and ruts of a road.
ON_PLANE_M = 0.15

# The ground may fall away from a plane as over a crest of this radius: what lies lower is below it.
CREST_RADIUS_M = 150.0

# Of two planes that as many cells lie on, the level one: each metre a metre of slope costs this share of the cells. So
# the hill ahead is not the ground under the device.
COST_OF_SLOPE = 1.0

# Points that refine the plane lie within these heights of it, one after another.
REFINED_WITHIN_M = (0.2, 0.12, 0.08)

# A plane is the ground if so many cells and such a share of all cells, by weight, lie on it; if at most such a share of
# these is below it, each point a part of its cell; and if its height is known to so many metres (one sigma).
FEWEST_CELLS, LEAST_SHARE, MOST_BELOW, SURE_M = 20, 0.3, 0.4, 0.05

# A ground is a surface: the slab of ±SLAB_M on it holds so many times the points of one as thick above it. The floor of
# a volume that is evenly full of points does not.
SLAB_M, DENSER = 0.1, 2.0

# Heights of two frames agree within this.
AGREE_M = 0.3

# A ground so little above the device's origin is taken to be at it: an origin on the road, and no flat road.
MOST_ABOVE_M = 0.3

# A given height further off than this is a finding.
MOST_OFF_M = 0.3

# A ground is only said to lie outside a height band if it does by this much.
BAND_MARGIN_M = 0.15

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ground:
    """The ground under a device.

    Args:
        height: Metres from the ground up to the device's origin, along the device's z axis; the median of the frames
            that agree. Below 0 where the origin lies under the ground.
        spread: How far the frames that agree are apart, metres.
        frames: How many frames agree.
        looked_at: How many frames were looked at.
    """

    height: float
    spread: float
    frames: int
    looked_at: int

    @property
    def fits(self) -> bool:
        """Whether the device is above the ground, or at it: a device height is never below 0."""
        return self.height >= -MOST_ABOVE_M

    @property
    def device_height(self) -> float:
        """The height as an option takes it: whole centimetres, and none below 0."""
        return max(0.0, round(self.height, 2))

    def __str__(self) -> str:
        side = "below" if self.height >= 0 else "above"
        spread = f", {self.spread:.2f} m apart" if self.frames > 1 else ""
        return f"{abs(self.height):.2f} m {side} it in {self.frames} of {self.looked_at} frames{spread}"


def ground_under(samples: Sequence[Sample]) -> Ground | None:
    """Estimate the ground under the device; None where fewer than half of the frames show one, or they disagree."""
    with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates
        looked_at = [positions for sample in samples if (positions := _in_ego(sample)) is not None]
        heights = np.array([height for positions in looked_at if (height := ground_height(positions)) is not None])
    if not heights.size:
        return None
    agreeing = heights[np.abs(heights - np.median(heights)) <= AGREE_M]
    if 2 * len(agreeing) <= len(looked_at):
        return None
    return Ground(float(np.median(agreeing)), float(np.ptp(agreeing)), len(agreeing), len(looked_at))


def odd_device_height(
    samples: Sequence[Sample], given: float, band: tuple[float, float] | None = None
) -> list[Finding]:
    """Find a given height of the device that the points contradict.

    Args:
        samples: Frames that are looked at.
        given: The device's height above the ground, metres.
        band: (lowest, highest) metres above the ground that are kept, if any are. It is an error if it was meant to
            keep the ground and does not.
    """
    ground = ground_under(samples)
    if ground is None:
        return []
    seen_at = given - ground.height  # where the ground is counted to be
    if abs(seen_at) <= max(MOST_OFF_M, ground.spread):
        return []
    message = f"the device is said to be {given:g} m above the ground; the points show the ground {ground}"
    lowest, highest = band or (-np.inf, np.inf)
    ruins = lowest <= 0 <= highest and not lowest - BAND_MARGIN_M <= seen_at <= highest + BAND_MARGIN_M
    if ruins:
        message += f", so a band of {lowest:g} to {highest:g} m leaves the ground out"
    found = f"{ground.device_height:g}"
    return [
        Finding(
            "device-height",
            message,
            "or --device-height auto, which takes what the points show",
            severity="error" if ruins else "warning",
            found=given,
            expected=ground.device_height,
            option=recipe_option(f"--device-height {found}", "device_height", found),
        )
    ]


def _in_ego(sample: Sample) -> Array | None:
    """Finite points (N, 3) of a sample in the device's frame; None where their place on the device is not known."""
    if sample.points.frame == "ego":
        return sample.finite
    pose = sample.frame.world_from_ego
    return None if pose is None else pose.inverse().apply(sample.finite)


def ground_height(positions: Array) -> float | None:
    """Estimate how high the device is above the ground in one frame.

    Args:
        positions: (N, 3) float64 finite points in the device's frame, z up, metres.

    Returns:
        Metres from the ground up to the device's origin; None where no ground is seen.
    """
    distance = np.hypot(positions[:, 0], positions[:, 1])
    points = positions[(distance >= NEAREST_M) & (distance <= FARTHEST_M)]
    low, weights = _low_points(points)
    if len(low) < FEWEST_CELLS:
        return None
    plane = _most_covered(low, _weight(low))
    if plane is None:
        return None
    for within in REFINED_WITHIN_M:
        near = np.abs(_above(plane, points)) <= within
        if near.sum() < FEWEST_CELLS:
            return None
        plane = _fitted(points[near], weights[near])
    below = float(weights[_above(plane, points) < _crest(points)].sum())
    return -float(plane[2]) if _is_ground(plane, low, below) and _is_surface(plane, points) else None


def _weight(points: Array) -> Array:
    """(N,) weight of points by their distance from the device."""
    return 1 / (1 + (points[:, 0] ** 2 + points[:, 1] ** 2) / HALF_WEIGHT_M**2)


def _crest(points: Array) -> Array:
    """(N,) height, relative to a plane, below which points (N, 3) are below the ground as it may fall away; metres."""
    return -ON_PLANE_M - (points[:, 0] ** 2 + points[:, 1] ** 2) / (2 * CREST_RADIUS_M)


def _low_points(points: Array) -> tuple[Array, Array]:
    """The low point (C, 3) of each cell, and the weight (N,) of each point, so that cells of one distance are equal."""
    columns = np.floor(points[:, :2] / CELL_M).astype(np.int64)
    cells = columns[:, 0] * 1000 + columns[:, 1]
    order = np.lexsort((points[:, 2], cells))
    _, first, cell, count = np.unique(cells[order], return_index=True, return_inverse=True, return_counts=True)
    weights = np.empty(len(points))
    weights[order] = 1 / count[cell]
    low: Array = points[order[first + (LOW_SHARE * count).astype(np.int64)]]
    return low, weights * _weight(points)


def _most_covered(low: Array, weights: Array) -> Array | None:
    """The plane (a, b, c), z = a·x + b·y + c, that most cells lie on and fewest below; None if all are too steep."""
    rng = np.random.default_rng(0)  # the same points give the same plane
    corners = low[rng.choice(len(low), (PLANES, 3), p=weights / weights.sum())]
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]  # twice the triangle's, signed
    wide = np.abs(area) >= 2 * SMALLEST_TRIANGLE_M2
    one, two, area, corner = one[wide], two[wide], area[wide], corners[wide, 0]
    a = (one[:, 2] * two[:, 1] - two[:, 2] * one[:, 1]) / area
    b = (two[:, 2] * one[:, 0] - one[:, 2] * two[:, 0]) / area
    planes = np.column_stack((a, b, corner[:, 2] - a * corner[:, 0] - b * corner[:, 1]))
    planes = planes[np.hypot(a, b) <= STEEPEST]
    if not len(planes):
        return None
    above = low[:, 2] - planes @ np.column_stack((low[:, :2], np.ones(len(low)))).T  # (planes, cells)
    scores = (np.abs(above) <= ON_PLANE_M) @ weights - (above < _crest(low)) @ weights
    scores -= COST_OF_SLOPE * weights.sum() * np.hypot(planes[:, 0], planes[:, 1])
    best: Array = planes[scores.argmax()]
    return best


def _above(plane: Array, points: Array) -> Array:
    """(N,) metres that points (N, 3) are above a plane (a, b, c)."""
    above: Array = points[:, 2] - (points[:, 0] * plane[0] + points[:, 1] * plane[1] + plane[2])
    return above


def _fitted(points: Array, weights: Array) -> Array:
    """The plane (a, b, c) of least squares through weighted points (N, 3)."""
    rows = np.column_stack((points[:, :2], np.ones(len(points))))
    weighted = rows.T * weights
    return np.asarray(np.linalg.lstsq(weighted @ rows, weighted @ points[:, 2], rcond=None)[0], dtype=np.float64)


def _is_ground(plane: Array, low: Array, below: float) -> bool:
    """Whether enough of the cells lie on a plane, and few points below it, which weigh so much."""
    weights, above = _weight(low), _above(plane, low)
    on = np.abs(above) <= ON_PLANE_M
    if on.sum() < FEWEST_CELLS or np.hypot(plane[0], plane[1]) > STEEPEST:
        return False
    covered = float(weights[on].sum())
    if covered < LEAST_SHARE * weights.sum() or below > MOST_BELOW * covered:
        return False
    rows = np.column_stack((low[on, :2], np.ones(int(on.sum()))))
    sigma = float(above[on].std()) * np.sqrt(np.linalg.pinv(rows.T @ rows)[2, 2])
    return bool(sigma <= SURE_M)


def _is_surface(plane: Array, points: Array) -> bool:
    """Whether a plane has many more points (N, 3) on it than above it."""
    above = _above(plane, points)
    return bool((np.abs(above) <= SLAB_M).sum() >= DENSER * (np.abs(above - 3 * SLAB_M) <= SLAB_M).sum())
