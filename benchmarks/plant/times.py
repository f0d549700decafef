"""Wrong times, planted into a written toolkit folder, or into a scene in memory where the layout has no such times."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import plyfile
from numpy.typing import NDArray

from lidarprep.scene import CameraImage, Frame, PointCloud, Scene, Trajectory

# What one nanosecond is in other units.
UNITS = {"us": 1e-3, "ms": 1e-6, "s": 1e-9}

# International Atomic Time, and GPS time, are so many seconds ahead of UTC.
CLOCKS_S = (18, 37)

Times = NDArray[np.int64]


def frames_in(folder: Path, unit: str, *, since_start: bool) -> None:
    """Write the frames' times in another unit than nanoseconds, since the epoch or since the first frame."""
    files = sorted((folder / "poses").iterdir(), key=lambda file: int(file.stem))
    poses = [json.loads(file.read_text()) for file in files]
    start = poses[0]["timestamp"] if since_start else 0
    for file, pose in zip(files, poses, strict=True):
        time = (pose["timestamp"] - start) * UNITS[unit]
        file.write_text(json.dumps(pose | {"timestamp": time if unit == "s" else round(time)}))


def points_in(folder: Path, unit: str, *, type_: str = "<f8") -> None:
    """Write the points' times `t` since their sweep began, in a unit, or as shares of the sweep ("share")."""
    for file in sorted((folder / "pointcloud").iterdir()):
        cloud = plyfile.PlyData.read(str(file), mmap=False)
        rows: NDArray[Any] = cloud["vertex"].data
        since = rows["t"] - rows["t"].min()
        names = [name for name in rows.dtype.names or () if name != "t"]
        written = np.empty(len(rows), dtype=[*((name, rows.dtype[name]) for name in names), ("t", type_)])
        for name in names:
            written[name] = rows[name]
        written["t"] = since / since.max() if unit == "share" else since * UNITS.get(unit, 1.0)
        plyfile.PlyData([plyfile.PlyElement.describe(written, "vertex")], byte_order="<").write(str(file))


def camera_late(scene: Scene, camera: str, seconds: float, rng: np.random.Generator) -> Scene:
    """Say that a camera's images were taken so long after their frames, give or take a millisecond."""

    def late(image: CameraImage, frame: Frame) -> CameraImage:
        if frame.timestamp is None:
            raise ValueError("the frames need times")
        delay = seconds if image.camera.name == camera else 0.0
        return replace(image, timestamp=frame.timestamp + round((delay + rng.normal(0, 1e-3)) * 1e9))

    return _frames(scene, lambda frame: replace(frame, images=tuple(late(image, frame) for image in frame.images)))


def points_of_clock(scene: Scene, seconds: float, rng: np.random.Generator) -> Scene:
    """Give the points times since the epoch by a clock so many seconds ahead of the frames'."""

    def timed(frame: Frame) -> PointCloud:
        cloud = frame.points()
        within: Times = np.sort(rng.integers(-50_000_000, 50_000_000, len(cloud)))
        return replace(cloud, timestamp=within + (frame.timestamp or 0) + round(seconds * 1e9))

    return _frames(scene, lambda frame: frame.with_data(timed(frame)))


def poses_of_clock(scene: Scene, seconds: float) -> Scene:
    """Give the device's path, a pose a frame, by a clock so many seconds ahead of the frames'."""
    posed = [frame for frame in scene if frame.world_from_ego is not None and frame.timestamp is not None]
    poses = [frame.world_from_ego for frame in posed if frame.world_from_ego is not None]
    times = np.array([frame.timestamp for frame in posed], dtype=np.int64) + round(seconds * 1e9)
    quaternions = np.array([pose.quaternion for pose in poses])
    return replace(scene, trajectory=Trajectory(times, quaternions, np.array([pose.translation for pose in poses])))


def _frames(scene: Scene, change: Callable[[Frame], Frame]) -> Scene:
    return replace(scene, frames=tuple(map(change, scene)))
