"""The region of interest: one that fits a recording, and what is odd about a given one.

A region that is proposed is the box round the device's path, with a margin on each side that most of the points near
the device lie within. It is turned along the path where that makes it smaller: along a street it is long and narrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import atan2, ceil, cos, degrees, hypot, radians, sin

import numpy as np
from numpy.typing import NDArray

from lidarprep.checks._samples import Sample
from lidarprep.scene import Finding, Frame, RegionOfInterest3D, Subject
from lidarprep.scene.finding import Option, recipe_option

# Points beyond are too sparse to label: they don't count for the margin.
NEAR_M = 80.0

# The margin holds this share of the near points' distances from the device, along and across; in whole steps.
FILLED, MARGIN_STEP_M, LEAST_MARGIN_M = 0.95, 5.0, 10.0

# A region is turned if it gets smaller than this share of one that is not. A path shorter than this has no direction.
SMALLER, SHORTEST_PATH_M = 0.9, 1.0

# A crop that keeps less than this share of all points is odd; and a frame that keeps less than this share of its own.
LEAST_KEPT, LEAST_KEPT_OF_A_FRAME = 0.05, 0.01

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ProposedRegion:
    """A region of interest that fits a recording.

    Args:
        region: The region, in the recording's world frame.
        share: Share of the points that were looked at that it holds.
    """

    region: RegionOfInterest3D
    share: float

    @property
    def option(self) -> Option:
        """The option that crops to it: --roi X,Y,LENGTH,WIDTH[,DEGREES]."""
        region = self.region
        x, y, length, width = (
            f"{value:.1f}".removesuffix(".0") for value in (*region.position[:2], region.length, region.width)
        )
        turned = round(degrees(region.rotation))
        python = f"RegionOfInterest3D(({x}, {y}, 0), {length}, {width}" + (f", radians({turned}))" if turned else ")")
        flag = f"--roi {x},{y},{length},{width}" + (f",{turned}" if turned else "")
        return recipe_option(flag, "region_of_interest_3d", python)


def device_places(frames: Iterable[Frame]) -> Array:
    """(N, 3) places of the device in the world, metres, of the frames that have a pose."""
    places = [frame.world_from_ego.translation for frame in frames if frame.world_from_ego is not None]
    return np.array(places, dtype=np.float64).reshape(-1, 3)


def propose_region(frames: Iterable[Frame], samples: Sequence[Sample]) -> ProposedRegion | None:
    """Propose a region of interest round the device's path; None without poses or points."""
    path = device_places(frames)[:, :2]
    clouds, offsets = [], []
    with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates
        for sample in samples:
            pose, points = sample.frame.world_from_ego, sample.finite
            if pose is not None and len(points):
                clouds.append(points if sample.points.frame == "world" else pose.apply(points))
                from_device = clouds[-1][:, :2] - pose.translation[:2]
                offsets.append(from_device[np.hypot(*from_device.T) <= NEAR_M])
    near = np.concatenate(offsets) if offsets else np.empty((0, 2))
    if not len(near):
        return None
    level = _region_along(0.0, path, near)
    turned = _region_along(radians(round(degrees(_heading(path, samples)))), path, near)
    region = turned if turned.length * turned.width < SMALLER * level.length * level.width else level
    return ProposedRegion(region, float(region.contains(np.concatenate(clouds)).mean()))


def _heading(path: Array, samples: Sequence[Sample]) -> float:
    """Direction of a path (N, 2), from -90° to 90°; that of the device where it hardly moves. Radians."""
    centred = path - path.mean(axis=0)
    if hypot(*np.ptp(path, axis=0)) >= SHORTEST_PATH_M:
        dx, dy = np.linalg.svd(centred, full_matrices=False)[2][0]
    else:
        dx, dy = next(pose.rotation[:2, 0] for sample in samples if (pose := sample.frame.world_from_ego) is not None)
    return atan2(dy, dx) if dx >= 0 else atan2(-dy, -dx)


def _region_along(heading: float, path: Array, near: Array) -> RegionOfInterest3D:
    """The region in this direction round a path (P, 2) that most offsets (N, 2) of points from the device fill."""
    axes = np.array([[cos(heading), sin(heading)], [-sin(heading), cos(heading)]])  # (2, 2): along, across
    lowest, highest = (path @ axes.T).min(axis=0), (path @ axes.T).max(axis=0)
    reach = np.quantile(np.abs(near @ axes.T), FILLED, axis=0)
    margins = [max(LEAST_MARGIN_M, MARGIN_STEP_M * ceil(value / MARGIN_STEP_M)) for value in reach.tolist()]
    x, y = ((lowest + highest) / 2 @ axes).round(1).tolist()
    length, width = (float(ceil(side)) for side in highest - lowest + 2 * np.array(margins))
    return RegionOfInterest3D((x, y, 0.0), length, width, heading)


# ---- findings --------------------------------------------------------------------------------------------------------


def region_off_path(frames: Sequence[Frame], region: RegionOfInterest3D, samples: Sequence[Sample]) -> list[Finding]:
    """Find a region that the device is never in.

    Args:
        frames: The frames that are prepared.
        region: The given region.
        samples: Frames of it that were read, by which another region is proposed.
    """
    path = device_places(frames)
    if not len(path) or region.contains(path).any():
        return []
    (x0, y0), (x1, y1) = path[:, :2].min(axis=0), path[:, :2].max(axis=0)
    distance = float(_distances(path, region).min())
    fitting = propose_region(frames, samples)
    return [
        Finding(
            "region-off-path",
            f"the device is outside the region in all of {len(path)} frames, {distance:.1f} m from it at the nearest; "
            f"its path is at x {x0:.1f} to {x1:.1f} and y {y0:.1f} to {y1:.1f} in the world",
            "regions are in the recording's world frame, which `lidarprep inspect` shows",
            found=round(distance, 1),
            expected=0.0,
            option=None if fitting is None else fitting.option,
        )
    ]


def _distances(places: Array, region: RegionOfInterest3D) -> Array:
    """(N,) metres from places (N, 2 or 3) to a region; 0 inside."""
    c, s = cos(region.rotation), sin(region.rotation)
    x, y = (places[:, :2] - np.array(region.position[:2])).T
    along, across = np.abs(c * x + s * y) - region.length / 2, np.abs(c * y - s * x) - region.width / 2
    distances: Array = np.hypot(np.maximum(0, along), np.maximum(0, across))
    return distances


@dataclass(frozen=True)
class CroppedFrame:
    """What the region and the height band left of one frame.

    Args:
        id: The frame's id.
        points: Its finite points.
        region: How many of them were outside the region.
        height: How many of the others were outside the height band.
    """

    id: str
    points: int
    region: int
    height: int

    @property
    def kept(self) -> int:
        """How many are left."""
        return self.points - self.region - self.height


def little_kept(frames: Sequence[CroppedFrame]) -> list[Finding]:
    """Find a crop that keeps next to nothing of the sweeps round a device, or of some of them.

    Frames that keep nothing at all are a finding of their own; a survey that is cropped has no device to be round.

    Args:
        frames: The frames with a pose of the device.
    """
    points = sum(frame.points for frame in frames)
    kept = sum(frame.kept for frame in frames)
    if 0 < kept < LEAST_KEPT * points:
        return [
            Finding(
                "little-kept",
                f"{kept:,} of {points:,} points are kept ({kept / points:.2%}): {_dropped(frames)}",
                "`lidarprep inspect` proposes a region and a device height",
                found=round(kept / points, 4),
                expected=f"at least {LEAST_KEPT:.0%}",
            )
        ]
    poor = [frame for frame in frames if 0 < frame.kept < LEAST_KEPT_OF_A_FRAME * frame.points]
    if not poor:
        return []
    worst = min(poor, key=lambda frame: frame.kept / frame.points)
    share = worst.kept / worst.points
    return [
        Finding(
            "frames-nearly-emptied",
            f"{len(poor)} of {len(frames)} frames keep less than {LEAST_KEPT_OF_A_FRAME:.0%} of their points; frame "
            f"{worst.id} keeps {worst.kept:,} of {worst.points:,}: {_dropped([worst])}",
            "widen the region or the height band, or choose frames, --frames A:B:S",
            subject=Subject("frame", worst.id),
            found=round(share, 4),
            expected=f"at least {LEAST_KEPT_OF_A_FRAME:.0%}",
        )
    ]


def _dropped(frames: Sequence[CroppedFrame]) -> str:
    reasons = {
        "outside the region": sum(frame.region for frame in frames),
        "outside the height band": sum(frame.height for frame in frames),
    }
    return ", ".join(f"{count:,} are {reason}" for reason, count in reasons.items() if count)
