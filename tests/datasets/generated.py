"""One generated recording as plain arrays, for the scripts that save it in every layout.

It is read from the sample's files with plyfile, json and scipy alone, so that no reader of lidarprep's is between the
recording and what a layout's script writes. Its world is moved so that the device starts at the origin, unturned: that
is the world which layouts have that keep no other one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import plyfile
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from lidarprep.sample import write_sample

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class RecordedCamera:
    """A camera: pixels, and the pose of its optical frame (z forward, x right, y down)."""

    name: str
    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    distortion: dict[str, float]
    ego_from_camera: Matrix


@dataclass(frozen=True)
class RecordedFrame:
    """A frame: positions (N, 3) float32 in ego, intensity (N,) float32 whole numbers 0–255, seconds by point."""

    timestamp: int
    world_from_ego: Matrix
    positions: NDArray[np.float32]
    intensity: NDArray[np.float32]
    point_times: NDArray[np.int64] | None
    radar: NDArray[np.float64]
    pictures: dict[str, bytes]

    @property
    def in_world(self) -> NDArray[np.float64]:
        """(N, 3) float64 positions in the world."""
        rotation, translation = self.world_from_ego[:3, :3], self.world_from_ego[:3, 3]
        moved: NDArray[np.float64] = self.positions.astype(np.float64) @ rotation.T + translation
        return moved


@dataclass(frozen=True)
class Recording:
    """The whole recording: cameras by name in the order of their names, frames 0.1 s apart."""

    cameras: tuple[RecordedCamera, ...]
    frames: tuple[RecordedFrame, ...]


def generated(
    folder: Path, *, frames: int = 3, columns: int = 90, image_width: int = 64, motion_compensated: bool = True
) -> Recording:
    """Makes a recording in `folder`, and reads it."""
    write_sample(folder, frames=frames, columns=columns, image_width=image_width, motion_compensated=motion_compensated)
    return read(folder)


def read(folder: Path) -> Recording:
    """A toolkit folder as plain arrays, its world moved to where the device starts."""
    numbers = sorted((path.stem for path in (folder / "pointcloud").iterdir()), key=int)
    cameras = tuple(_camera(path) for path in sorted((folder / "cameras").iterdir()))
    recorded = [_frame(folder, number, [camera.name for camera in cameras]) for number in numbers]
    start_from_world = np.linalg.inv(recorded[0].world_from_ego)
    return Recording(
        cameras, tuple(replace(one, world_from_ego=start_from_world @ one.world_from_ego) for one in recorded)
    )


def pose_matrix(heading: Any, position: Any) -> Matrix:
    """(4, 4) of a quaternion (w, x, y, z) and a position."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat(heading, scalar_first=True).as_matrix()
    matrix[:3, 3] = position
    return matrix


def quaternion(matrix: Matrix) -> list[float]:
    """(w, x, y, z) of a (4, 4) pose."""
    found: list[float] = Rotation.from_matrix(matrix[:3, :3]).as_quat(scalar_first=True).tolist()
    return found


def _camera(folder: Path) -> RecordedCamera:
    extrinsics = json.loads((folder / "extrinsics.json").read_text())
    values = {
        key: value[0] if isinstance(value, list) else value
        for key, value in json.loads((folder / "intrinsics.json").read_text()).items()
    }
    with Image.open(next(path for path in sorted(folder.iterdir()) if path.suffix in (".jpg", ".png"))) as picture:
        width, height = picture.size
    values.pop("camera_model", None)
    pinhole = {name: float(values.pop(name)) for name in ("fx", "fy", "cx", "cy")}
    return RecordedCamera(
        name=folder.name,
        **pinhole,
        width=width,
        height=height,
        distortion={name: float(value) for name, value in values.items() if value},
        ego_from_camera=pose_matrix(extrinsics["heading"], extrinsics["position"]),
    )


def _frame(folder: Path, number: str, cameras: list[str]) -> RecordedFrame:
    pose = json.loads((folder / "poses" / f"{number}.json").read_text())
    vertices = plyfile.PlyData.read(folder / "pointcloud" / f"{number}.ply")["vertex"]
    radar = folder / "radar_points" / f"{number}.txt"
    names = vertices.data.dtype.names
    intensity = next(name for name in ("intensity", "i") if name in names)
    return RecordedFrame(
        timestamp=int(pose.get("timestamp", 1_700_000_000_000_000_000 + int(number) * 100_000_000)),
        world_from_ego=pose_matrix(pose["heading"], pose["position"]),
        positions=np.column_stack([vertices[axis] for axis in "xyz"]).astype(np.float32),
        intensity=np.asarray(vertices[intensity], dtype=np.float32),
        point_times=np.asarray(vertices["t"]).astype(np.int64) if "t" in names else None,
        radar=np.loadtxt(radar, delimiter=",", ndmin=2) if radar.is_file() else np.zeros((0, 7)),
        pictures={
            name: next(path for path in (folder / "cameras" / name).iterdir() if path.stem == number).read_bytes()
            for name in cameras
        },
    )
