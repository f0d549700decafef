"""Small recordings in the toolkit layout, written by plyfile and json: what pipeline and command line are tried on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from plyfile import PlyData, PlyElement
from scipy.spatial.transform import Rotation

# Axes of a level camera that looks along x: z forward, x right, y down.
OPTICAL = Rotation.from_matrix([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def write_toolkit_scene(
    folder: Path, *, frames: int = 3, points: int = 500, cameras: tuple[str, ...] = ("front", "left"), seed: int = 0
) -> Path:
    """Random points with poses, cameras and radar; N starts at 9, so that sorting it as text would be wrong."""
    rng = np.random.default_rng(seed)
    for name in ("pointcloud", "poses", "radar_points", *(f"cameras/{camera}" for camera in cameras)):
        (folder / name).mkdir(parents=True)
    for camera in cameras:
        turned = Rotation.from_euler("xyz", rng.uniform(-0.2, 0.2, 3)) * OPTICAL
        write_json(folder / f"cameras/{camera}/extrinsics.json", pose_json(turned, rng.uniform(-1, 1, 3)))
        write_json(folder / f"cameras/{camera}/intrinsics.json", {"fx": 500.0, "fy": [501.0], "cx": 32.0, "cy": 24.0})
    for n in range(9, 9 + frames):
        xyz = rng.uniform(-40, 40, (points, 3)).astype(np.float32)
        write_ply(folder / f"pointcloud/{n}.ply", xyz, rng.integers(0, 256, points))
        heading = Rotation.from_euler("xyz", [0.01, -0.02, 0.3 + 0.1 * n])
        write_json(folder / f"poses/{n}.json", pose_json(heading, np.array([2.0 * n, 0.5 * n, 0.1])))
        rows = np.column_stack((rng.uniform(-20, 20, (4, 3)), rng.uniform(-1, 1, (4, 3)), rng.uniform(0, 2, 4)))
        (folder / f"radar_points/{n}.txt").write_text("\n".join(", ".join(map(repr, row.tolist())) for row in rows))
        for camera in cameras:
            pixels = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"cameras/{camera}/{n}.jpg")
    return folder


def write_ply(path: Path, xyz: NDArray[np.float32], intensity: NDArray[Any]) -> None:
    rows = np.empty(len(xyz), dtype=[("x", "f4"), ("y", "f4"), ("z", "f4"), ("i", "f4")])
    rows["x"], rows["y"], rows["z"], rows["i"] = *xyz.T, intensity
    PlyData([PlyElement.describe(rows, "vertex")], byte_order="<").write(path)


def read_ply(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows = PlyData.read(path)["vertex"].data
    return np.column_stack((rows["x"], rows["y"], rows["z"])), rows["i"]


def pose_json(rotation: Rotation, position: NDArray[np.float64]) -> dict[str, list[float]]:
    return {"heading": rotation.as_quat(scalar_first=True).tolist(), "position": position.tolist()}


def read_pose(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(3, 3) rotation and (3,) translation, by SciPy."""
    pose = json.loads(path.read_text())
    rotation = Rotation.from_quat(pose["heading"], scalar_first=True).as_matrix()
    return rotation, np.array(pose["position"])


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))
