"""Points that are no objects of their own: repeated ones, and those on the device itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lidarprep.checks._samples import Sample, SceneSamples, finite
from lidarprep.scene import Finding, Frame, Pose, Subject

# So many points that lie exactly where another one does, as a part of a frame, are worth a note.
REPEATED = 0.01

# Points on the device lie within the first distance of its origin, above the lowest ones round it by more than the
# second, and in the same place of it in every frame, though the device has moved by the third at least.
ON_DEVICE_M, ABOVE_GROUND_M, MOVED_M = 2.5, 0.4, 1.0
CELL_M = 0.15
FEWEST = 20

# A wall along the way stays where it is, too. It goes on ahead or behind between these distances, where a vehicle has
# ended: then more than this part of the points is there.
BEYOND_M, GOES_ON = (3.5, 5.0), 0.1

# The ground is the height that this part of the points within this distance is below.
GROUND_SHARE, GROUND_M = 0.05, 15.0

Positions = NDArray[np.float64]  # (N, 3) metres


def no_objects(samples: SceneSamples) -> list[Finding]:
    """Find repeated points and hits on the device itself, by all points of the frame in the middle."""
    if not samples.frames:
        return []
    frame = samples.frames[len(samples.frames) // 2]
    points = samples.points(frame)
    if points is None:
        return []
    no_return = points.no_return_rows(frame.world_from_ego)
    positions = finite(np.delete(points.positions, no_return, axis=0) if no_return.size else points.positions)
    return [*repeated_points(frame, positions), *points_on_device(frame, points.frame, positions, samples)]


def repeated_points(frame: Frame, positions: NDArray[np.floating]) -> list[Finding]:
    """Find points (N, 3) of a frame that lie exactly where another one does."""
    repeated = count_repeated(positions)
    if repeated <= REPEATED * len(positions):
        return []
    return [
        Finding(
            "repeated-points",
            f"frame {frame.id}: {repeated} of {len(positions)} points lie exactly where another one does "
            f"({repeated / len(positions):.1%})",
            "nothing, if the lidar gives two returns a ray; else look for sweeps that were put together twice; "
            "--voxel M keeps one point in each cube of M metres",
            "note",
            subject=Subject("frame", frame.id),
            found=round(repeated / len(positions), 4),
            expected=f"at most {REPEATED:g}",
        )
    ]


def count_repeated(positions: NDArray[np.floating]) -> int:
    """Count the points (N, 3) that lie exactly where an earlier one does."""
    if len(positions) < 2:
        return 0
    # Their bits, mixed into one number: sorting numbers is many times as fast as sorting rows. -0 is 0.
    bits = np.ascontiguousarray(positions + 0.0).view(np.uint32 if positions.dtype == np.float32 else np.uint64)
    x, y, z = bits.astype(np.uint64).reshape(-1, 3).T
    mixed = x * np.uint64(0x9E3779B97F4A7C15)
    mixed = ((mixed ^ (mixed >> np.uint64(29))) + y) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = ((mixed ^ (mixed >> np.uint64(32))) + z) * np.uint64(0x94D049BB133111EB)
    mixed.sort()
    return int((mixed[1:] == mixed[:-1]).sum())


def points_on_device(
    frame: Frame, points_frame: str, positions: NDArray[np.floating], samples: SceneSamples
) -> list[Finding]:
    """Find points (N, 3) near the device that stay where they are on it while it moves: hits on the vehicle itself."""
    if frame.world_from_ego is None:
        return []
    others = [sample for sample in samples.usual if _is_elsewhere(sample.frame, frame)]
    if len(others) < 2 or not _is_elsewhere(others[0].frame, others[-1].frame):
        return []
    staying = _above_ground(_in_ego(frame.world_from_ego, points_frame, positions))
    for sample in others:
        seen = _in_ego(sample.frame.world_from_ego, sample.points.frame, sample.finite)
        staying = staying[_in_same_cells(staying, seen)]
    near = staying[np.hypot(staying[:, 0], staying[:, 1]) <= ON_DEVICE_M]
    if len(near) < FEWEST or _goes_on(near, staying, _direction(frame.world_from_ego, others)):
        return []
    lowest, highest = near.min(axis=0), near.max(axis=0)
    return [
        Finding(
            "points-on-device",
            f"frame {frame.id}: {len(near)} points lie on the device itself, where they lie in other frames, too: x "
            f"{lowest[0]:.1f} to {highest[0]:.1f}, y {lowest[1]:.1f} to {highest[1]:.1f}, z {lowest[2]:.1f} to "
            f"{highest[2]:.1f} m on it",
            "nothing, or take them out of the recording: they are no objects to label",
            "note",
            subject=Subject("frame", frame.id),
            found=float(len(near)),
            expected=f"fewer than {FEWEST}",
        )
    ]


def _is_elsewhere(one: Frame, two: Frame) -> bool:
    if one.world_from_ego is None or two.world_from_ego is None:
        return False
    return float(np.linalg.norm(one.world_from_ego.translation - two.world_from_ego.translation)) >= MOVED_M


def _in_ego(world_from_ego: Pose | None, frame: str, positions: NDArray[np.floating]) -> Positions:
    if frame != "world" or world_from_ego is None:
        return positions.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates
        return world_from_ego.inverse().apply(positions)


def _direction(world_from_ego: Pose, others: Sequence[Sample]) -> NDArray[np.float64]:
    """Return the horizontal unit vector (2,) on the device along which it goes from the first to the last sample."""
    first, last = (sample.frame.world_from_ego or world_from_ego for sample in (others[0], others[-1]))
    way = world_from_ego.inverse().rotate(last.translation - first.translation)[:2]
    unit: NDArray[np.float64] = way / max(float(np.linalg.norm(way)), 1e-9)
    return unit


def _goes_on(near: Positions, staying: Positions, direction: NDArray[np.float64]) -> bool:
    """Tell whether points ahead or behind, beyond a vehicle's ends, go on where the near ones are across the way."""
    across = np.array([-direction[1], direction[0]])
    lowest, highest = (near[:, :2] @ across).min(), (near[:, :2] @ across).max()
    aside = staying[:, :2] @ across
    in_line = (aside >= lowest - CELL_M) & (aside <= highest + CELL_M)
    beyond = np.abs(staying[:, :2] @ direction) >= BEYOND_M[0]
    return int((in_line & beyond).sum()) > GOES_ON * len(near)


def _above_ground(positions: Positions) -> Positions:
    """Select points (N, 3) on the device that are near it, or a little beyond, and higher than the ground round it."""
    with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates
        away = np.hypot(positions[:, 0], positions[:, 1])
    round_about = positions[away <= GROUND_M, 2]
    if not len(round_about):
        return positions[:0]
    ground = np.quantile(round_about, GROUND_SHARE)
    chosen: Positions = positions[(away <= BEYOND_M[1]) & (positions[:, 2] > ground + ABOVE_GROUND_M)]
    return chosen


def _in_same_cells(positions: Positions, others: Positions) -> NDArray[np.bool_]:
    """Tell which points (N, 3) have one of the others (M, 3) in their cell, or in one next to it."""
    others = others[(np.abs(others) <= 2 * BEYOND_M[1]).all(axis=1)]
    steps = np.array([-1, 0, 1])
    next_to = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    occupied = (_cells(others)[:, None] + next_to).reshape(-1, 3)
    return np.isin(_cell_numbers(_cells(positions)), np.unique(_cell_numbers(occupied)))


def _cells(positions: Positions) -> NDArray[np.int64]:
    cells: NDArray[np.int64] = np.floor(np.clip(positions / CELL_M, -1e5, 1e5)).astype(np.int64)
    return cells


def _cell_numbers(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = (cells + 2**19) @ np.array([2**40, 2**20, 1])
    return numbers
