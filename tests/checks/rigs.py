"""Scenes in memory: points round a device, cameras on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lidarprep.scene import Camera, CameraImage, Frame, Intrinsics, PointCloud, Pose, Scene

OPTICAL = Pose(np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.zeros(3))
WIDE = Intrinsics(400.0, 400.0, 320.0, 240.0, width=640, height=480)

Array = NDArray[np.float64]


def level_camera(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> Pose:
    """Pose on the device of a camera that looks so; degrees, pitch downwards, roll about its own axis."""
    r, p, y = np.radians([roll, pitch, yaw])
    return Pose.from_euler(r, p, y, (0.3, 0.1, -0.2)) @ OPTICAL


def ring(count: int = 8000, *, degrees: tuple[float, float] = (-180.0, 180.0), seed: int = 0) -> Array:
    """(N, 3) points as a lidar on a car sees them: near ones on the road, far ones on what stands on it."""
    rng = np.random.default_rng(seed)
    angle = np.radians(rng.uniform(*degrees, count))
    distance = rng.uniform(3, 60, count)
    height = np.where(rng.random(count) < 0.5, -1.8, rng.uniform(-1.8, 6, count))
    return np.column_stack((distance * np.cos(angle), distance * np.sin(angle), height))


def scene_of(
    clouds: Sequence[Array],
    poses: Sequence[Pose | None],
    *,
    cameras: Sequence[Camera] = (),
    timestamps: Sequence[int] | None = None,
    points_frame: str = "ego",
    world_from_camera: Callable[[Pose, Camera], Pose] | None = None,
) -> Scene:
    """A frame a cloud; `world_from_camera` gives the cameras' poses in the world where they have no extrinsics."""
    frames = []
    for row, (cloud, pose) in enumerate(zip(clouds, poses, strict=True)):
        points = PointCloud(cloud, points_frame)  # type: ignore[arg-type]
        images = []
        for camera in cameras:
            image = CameraImage(camera)
            if world_from_camera is not None and pose is not None:
                image = replace(image, world_from_camera=world_from_camera(pose, camera))
            images.append(image)
        frames.append(
            Frame(
                id=f"{row}",
                index=row,
                read_points=lambda points=points: points,  # type: ignore[misc]
                world_from_ego=pose,
                timestamp=None if timestamps is None else timestamps[row],
                images=tuple(images),
            )
        )
    return Scene("memory", "memory", tuple(frames), tuple(cameras), points_frame)  # type: ignore[arg-type]


def at(x: float, y: float = 0.0, yaw: float = 0.0) -> Pose:
    return Pose.from_euler(0, 0, yaw, (x, y, 1.8))
