"""Points: in the wrong frame of reference, too far out for float32, or of zero intensity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lidarprep.checks._samples import Sample
from lidarprep.errors import RecipeError
from lidarprep.scene import Finding, Scene
from lidarprep.scene.finding import opening_option, recipe_option
from lidarprep.scene.points import LARGEST_EXACT_M
from lidarprep.steps.intensity import guess_intensity_scale
from lidarprep.steps.recentre import scene_offset

# A cloud lies round a place that is at most so far outside the box around most of its points: the origin of a lidar
# that looks one way is at the edge of its cloud. A place beyond that and beyond half the box's side is apart from it.
ROUND_M, APART_BOXES = 5.0, 0.5

# No lidar on the ground sees so far: points that all lie beyond have coordinates of the world.
BEYOND_REACH_M = 1000.0

# A lidar on a vehicle is blind round itself: at most STRAY_POINTS lie within the first radius. At the density within
# the second radius, which has points in every sector, at least EXPECTED would lie there. Such a hole at one of two
# places and MANY_POINTS at the other tell them apart, unless they are nearer to one another than the third distance.
BLIND_M, AROUND_M, TELLING_M = 1.5, 10.0, 4.0
STRAY_POINTS, MANY_POINTS, EXPECTED, SECTORS, POINTS_IN_SECTOR = 2, 10, 20, 8, 3

# A lidar sees about as much on each side of itself wherever it goes: seen from the device, the median of its points
# moves little. Points are in the wrong frame if their median moves by more than half of them are away from it, and in
# the other frame by less than STEADIER of that. Points of a map, or cropped to a region, keep their median too: their
# edges stay, to so many metres, on so many of four sides.
STEADIER, SAME_EDGE_M, SAME_EDGES = 1 / 3, 0.5, 2

Place = NDArray[np.float64]  # (2,) x, y in metres
Places = NDArray[np.float64]  # (N, 2)
Positions = NDArray[np.float64]  # (N, 3)
Offset = tuple[float, float, float]  # metres


def wrong_points_frame(scene: Scene, samples: Sequence[Sample]) -> list[Finding]:
    """Find points taken to be in ego that lie round the device's place in the world, or the reverse.

    It takes more than half of the frames in which the device is away from the origin of the world, or two frames
    between which the device has moved far enough.
    """
    if scene.points_frame_is_certain:
        return []
    looked_at = 0
    odd: list[str] = []
    for sample in samples:
        positions = sample.finite[:, :2]
        if sample.frame.world_from_ego is None or not len(positions):
            continue
        device = sample.frame.world_from_ego.translation[:2]
        reason = _why_in_world(positions, device) if scene.points_frame == "ego" else _why_in_ego(positions, device)
        looked_at += bool(reason) or float(np.linalg.norm(device)) >= TELLING_M
        odd += [f"in frame {sample.frame.id} they {reason}"] if reason else []
    why = odd[0] if 2 * len(odd) > looked_at else _unsteady(scene, samples)
    if why is None:
        return []
    other = "world" if scene.points_frame == "ego" else "ego"
    return [
        Finding(
            f"points-in-{other}",
            f"points are taken to be in {scene.points_frame}, but look as if they were in {other}: {why}",
            option=opening_option("--points-frame", other, "points_frame", repr(other)),
        )
    ]


def _why_in_world(positions: Places, device: Place) -> str | None:
    """Explain why points (N, 2) read as ego look like world; `device` (2,) is the device's place in the world."""
    from_origin, from_device, apart = _distances(positions, device)
    place = f"({device[0]:.1f}, {device[1]:.1f})"
    if from_origin > apart and from_device <= ROUND_M:
        return f"lie {from_origin:.1f} m away from the device, and round its place in the world, {place}"
    if from_origin > max(BEYOND_REACH_M, apart):
        return f"lie {from_origin:,.0f} m away from the device"
    if _blind_at(positions, device, not_at=np.zeros(2)):
        return f"leave a hole at the device's place in the world, {place}, and none at the origin"
    return None


def _why_in_ego(positions: Places, device: Place) -> str | None:
    """Explain why points (N, 2) read as world look like ego; `device` (2,) is the device's place in the world."""
    from_origin, from_device, apart = _distances(positions, device)
    place = f"({device[0]:.1f}, {device[1]:.1f})"
    if from_device > apart and from_origin <= ROUND_M:
        return f"lie {from_device:.1f} m away from the device's place, {place}, and round the origin"
    if _blind_at(positions, np.zeros(2), not_at=device):
        return f"leave a hole at the origin, and none at the device's place, {place}"
    return None


def _unsteady(scene: Scene, samples: Sequence[Sample]) -> str | None:
    """Explain by how their median moves why points look as if they were in the other frame of reference."""
    middles = [middle for sample in samples if (middle := _middle_of(scene, sample)) is not None]
    for one, two in combinations(middles, 2):
        # In the device's axes and in the world's: beside a wall, a device that turns sees the same side of the world.
        as_said = float(np.linalg.norm(two.as_said - one.as_said, axis=1).min())
        otherwise = float(np.linalg.norm(two.otherwise - one.otherwise, axis=1).max())
        cropped = (np.abs(two.edges - one.edges) < SAME_EDGE_M).sum() >= SAME_EDGES
        if as_said > max(one.spread, two.spread) and otherwise < STEADIER * as_said and not cropped:
            return (
                f"from frame {one.frame_id} to frame {two.frame_id} their middle moves by {as_said:.1f} m as seen from "
                f"the device, and by {otherwise:.1f} m if they are read the other way"
            )
    return None


@dataclass(frozen=True, eq=False)
class _Middle:
    """Median of a frame's points as seen from the device, metres; `otherwise`: with the points read the other way.

    Args:
        as_said, otherwise: (2, 3) in the device's axes and in the world's.
        spread: Median distance of the points from it, in x and y.
        edges: (2, 2) the lowest and the highest coordinates, read the other way.
    """

    frame_id: str
    as_said: Positions
    otherwise: Positions
    spread: float
    edges: Places


def _middle_of(scene: Scene, sample: Sample) -> _Middle | None:
    positions, world_from_ego = sample.finite, sample.frame.world_from_ego
    if world_from_ego is None or not len(positions):
        return None
    said, other = positions, world_from_ego.inverse().apply(positions)
    if scene.points_frame == "world":
        said, other = other, said
    middle, other_middle = np.median(said, axis=0), np.median(other, axis=0)
    return _Middle(
        frame_id=sample.frame.id,
        as_said=np.stack((middle, world_from_ego.rotate(middle[None])[0])),
        otherwise=np.stack((other_middle, world_from_ego.rotate(other_middle[None])[0])),
        spread=float(np.median(np.hypot(*(said - middle)[:, :2].T))),
        edges=np.stack((other.min(axis=0), other.max(axis=0)))[:, :2],
    )


def _distances(positions: Places, device: Place) -> tuple[float, float, float]:
    """Distances of origin and device from the box of most points, and the least distance of a place apart; metres."""
    lowest, highest = np.percentile(positions, (1, 99), axis=0)
    apart = max(ROUND_M, APART_BOXES * float((highest - lowest).max()))
    return _outside(np.zeros(2), lowest, highest), _outside(device, lowest, highest), apart


def _blind_at(positions: Places, place: Place, *, not_at: Place) -> bool:
    """Whether the points leave a lidar's blind hole at one place and none at the other."""
    if np.linalg.norm(place - not_at) < TELLING_M:
        return False
    x, y = (positions - place).T
    distance = np.hypot(x, y)
    if (distance < BLIND_M).sum() > STRAY_POINTS:
        return False
    if (np.hypot(*(positions - not_at).T) < BLIND_M).sum() < MANY_POINTS:
        return False
    near = distance < AROUND_M
    if near.sum() * (BLIND_M / AROUND_M) ** 2 < EXPECTED:
        return False
    counts, _ = np.histogram(np.arctan2(y[near], x[near]), bins=SECTORS, range=(-np.pi, np.pi))
    return bool((counts >= POINTS_IN_SECTOR).all())


def _outside(place: Place, lowest: Place, highest: Place) -> float:
    """Distance of a place (2,) from a box, metres; 0 inside."""
    return float(np.linalg.norm(np.maximum(0, np.maximum(lowest - place, place - highest))))


def far_coordinates(scene: Scene, samples: Sequence[Sample], offset: Offset | None = None) -> list[Finding]:
    """Find coordinates that float32, which Scale holds, rounds; `offset` is the one that `prepare` takes, if known."""
    if offset is None:
        first = next((sample.points for sample in samples if sample.frame.id == scene[0].id), None)
        poses_say = scene.points_frame == "ego" and len(scene) > 1
        offset = scene_offset(scene.frames, None if poses_say else first)
    if not any(offset):
        return []
    return [
        Finding(
            "far-coordinates",
            f"coordinates reach beyond {LARGEST_EXACT_M:g}, where float32 rounds: prepare takes {offset} metres from "
            "all of them",
            "say it, to be told no more; the manifest records the offset (world_offset)",
            option=recipe_option("--recentre", "recentre", "True"),
        )
    ]


def zero_intensity(samples: Sequence[Sample]) -> list[Finding]:
    """Find intensities that are all 0."""
    columns = [sample.points.intensity for sample in samples if sample.points.intensity is not None]
    points = sum(len(column) for column in columns)
    if not points or any(column.any() for column in columns):
        return []
    return [
        Finding(
            "intensity-zero",
            f"every intensity is 0, in {len(columns)} frames that were looked at",
            option=recipe_option("--drop-intensity", "drop_intensity", "True"),
        )
    ]


def unknown_intensity_scale(samples: Sequence[Sample]) -> list[Finding]:
    """Find intensities whose scale `prepare` would not guess."""
    try:
        guess_intensity_scale([sample.points for sample in samples])
    except RecipeError as error:
        option = recipe_option("--intensity-scale S", "intensity_scale", "S")
        return [Finding("intensity-scale", error.message, "say which value is full intensity", option=option)]
    return []
