"""Planted facts about the ground: other device heights, tilts, hills, sparse lidars, reflections below the road.

Each function takes a scene whose points are in ego, and returns another that tells of it; none writes a file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import radians

import numpy as np
from numpy.typing import NDArray

from lidarprep.scene import Frame, PointCloud, Pose, Scene

Array = NDArray[np.float64]

# Elevations of a lidar of 16 beams, degrees, and how far a beam of the denser lidar may be from one of them.
SIXTEEN_BEAMS, BEAM_WIDTH = np.arange(-15.0, 16.0, 2.0), 0.13


def origin_raised(scene: Scene, metres: float) -> Scene:
    """Put the device's origin higher, along its z axis; the world stays as it is."""
    return _ego_moved(scene, Pose(np.eye(3), np.array([0.0, 0.0, metres])))


def device_tilted(scene: Scene, roll_degrees: float, pitch_degrees: float) -> Scene:
    """Tilt the device about its origin; the world stays as it is."""
    return _ego_moved(scene, Pose.from_euler(radians(roll_degrees), radians(pitch_degrees), 0.0))


def on_a_crest(scene: Scene, radius_m: float) -> Scene:
    """Bend the ground round the device: it falls away from it, or rises where the radius is negative."""

    def bend(points: Array) -> Array:
        return points - np.outer((points[:, :2] ** 2).sum(axis=1) / (2 * radius_m), [0, 0, 1])

    return _points_changed(scene, bend)


def before_a_hill(scene: Scene, slope: float, begins_m: float = 8.0) -> Scene:
    """Let the ground ahead of the device climb from some distance on; `slope` is metres a metre."""

    def climb(points: Array) -> Array:
        return points + np.outer(slope * np.maximum(0, points[:, 0] - begins_m), [0, 0, 1])

    return _points_changed(scene, climb)


def sixteen_beams(scene: Scene) -> Scene:
    """Keep the points that a lidar of 16 beams at the origin would have seen."""

    def seen(points: Array) -> NDArray[np.bool_]:
        elevation = np.degrees(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])))
        kept: NDArray[np.bool_] = np.abs(elevation[:, None] - SIXTEEN_BEAMS).min(axis=1) <= BEAM_WIDTH
        return kept

    return _points_kept(scene, seen)


def half_of_points(scene: Scene, rng: np.random.Generator) -> Scene:
    """Keep half of the points, by chance."""
    return _points_kept(scene, lambda points: rng.random(len(points)) < 0.5)


def mirrored(scene: Scene, device_height: float, share: float, rng: np.random.Generator) -> Scene:
    """Mirror a share of the points below the ground, as a wet road does."""

    def mirror(points: Array) -> Array:
        below = points * [1, 1, -1] - [0, 0, 2 * device_height]
        return np.where((rng.random(len(points)) < share)[:, None], below, points)

    return _points_changed(scene, mirror)


def in_world(scene: Scene) -> Scene:
    """Give the points in the world in place of ego."""

    def placed(frame: Frame) -> Frame:
        cloud, pose = frame.points(), frame.world_from_ego or Pose.identity()
        return frame.with_data(replace(cloud, positions=pose.apply(cloud.positions), frame="world"))

    return replace(scene, frames=tuple(map(placed, scene)), points_frame="world")


def _ego_moved(scene: Scene, ego_from_new: Pose) -> Scene:
    moved = _points_changed(scene, ego_from_new.inverse().apply)
    frames = [
        replace(frame, world_from_ego=None if frame.world_from_ego is None else frame.world_from_ego @ ego_from_new)
        for frame in moved
    ]
    return replace(moved, frames=tuple(frames))


def _points_changed(scene: Scene, change: Callable[[Array], Array]) -> Scene:
    def changed(cloud: PointCloud) -> PointCloud:
        return replace(cloud, positions=change(cloud.positions.astype(np.float64)))

    return replace(scene, frames=tuple(frame.with_data(changed(frame.points())) for frame in scene))


def _points_kept(scene: Scene, keep: Callable[[Array], NDArray[np.bool_]]) -> Scene:
    def thinned(cloud: PointCloud) -> PointCloud:
        return cloud.take(keep(cloud.positions.astype(np.float64)))

    return replace(scene, frames=tuple(frame.with_data(thinned(frame.points())) for frame in scene))
