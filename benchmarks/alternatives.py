"""What lidarprep is compared with: the same results as others would get them, written as well as they can be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from lidarprep.attachments import lidar_frame_pb2 as pb
from lidarprep.scene import Pose, Trajectory

Array = NDArray[Any]


# ---- protobuf and JSON ---------------------------------------------------------------------------------------------


def build_message(xyz: Array, intensity: Array) -> pb.LidarFrame:
    message = pb.LidarFrame(device_position=pb.Vector3(x=0, y=0, z=0))
    message.device_heading.w, message.device_heading.x, message.device_heading.y, message.device_heading.z = 1, 0, 0, 0
    add = message.points.add
    for (x, y, z), i in zip(xyz.tolist(), intensity.tolist(), strict=True):
        add(x=x, y=y, z=z, i=i)
    return message


def message_columns(message: pb.LidarFrame) -> Array:
    return np.array([(p.x, p.y, p.z, p.i) for p in message.points], dtype=np.float32)


def json_columns(points: list[dict[str, float]]) -> Array:
    return np.array([(p["x"], p["y"], p["z"], p["i"]) for p in points], dtype=np.float32)


# ---- selection -----------------------------------------------------------------------------------------------------


def transform_and_select(
    xyz: Array,
    intensity: Array,
    pose: Pose,
    *,
    region: tuple[float, float, float, float, float],
    device_height: float,
    band: tuple[float, float],
) -> tuple[Array, Array]:
    """World positions and intensity of the finite points within a rotated rectangle and a band of heights.

    Only what a step needs is computed, and only for the points that the steps before it kept; in float64, as
    coordinates of a world are.

    Args:
        xyz: (N, 3) float32 in the device's frame.
        intensity: (N,).
        pose: The device's.
        region: centre x, centre y, length, width, rotation in radians.
        device_height: The device's height above the ground.
        band: Lowest and highest height above the ground.
    """
    x, y, length, width, rotation = region
    height = xyz[:, 2] + device_height
    rows = np.flatnonzero((height >= band[0]) & (height <= band[1]) & np.isfinite(xyz[:, 0]) & np.isfinite(xyz[:, 1]))
    world = xyz[rows].astype(np.float64) @ pose.rotation.T
    world += pose.translation
    dx, dy = world[:, 0] - x, world[:, 1] - y
    c, s = np.cos(rotation), np.sin(rotation)
    inside = (np.abs(c * dx + s * dy) <= length / 2) & (np.abs(c * dy - s * dx) <= width / 2)
    return world[inside].astype(np.float32), intensity[rows[inside]]


def deskew(xyz: Array, times: NDArray[np.int64], path: Trajectory, reference: int) -> Array:
    """Points at their own times moved to the reference time: each pose by SciPy's Slerp and np.interp."""
    start = path.timestamps[0]
    known = (path.timestamps - start) / 1e9
    slerp = Slerp(known, Rotation.from_quat(path.quaternions, scalar_first=True))

    def at(seconds: Any) -> tuple[Any, Any]:
        positions = np.stack([np.interp(seconds, known, axis) for axis in path.translations.T], axis=-1)
        return slerp(seconds).as_matrix(), positions

    rotations, positions = at((times - start) / 1e9)
    rotation, position = at((reference - start) / 1e9)
    in_world = np.einsum("nij,nj->ni", rotations, xyz) + positions
    return ((in_world - position) @ rotation).astype(xyz.dtype)


def first_of_each_voxel(xyz: Array, intensity: Array, size: float) -> pd.DataFrame:
    voxels = np.floor(xyz.astype(np.float64) / size).astype(np.int32)
    table = pd.DataFrame(
        {
            **{f"v{axis}": voxels[:, k] for k, axis in enumerate("xyz")},
            **{axis: xyz[:, k] for k, axis in enumerate("xyz")},
            "i": intensity,
        }
    )
    return table.groupby(["vx", "vy", "vz"], sort=False).first()


# ---- Sensor Fusion Scenes ------------------------------------------------------------------------------------------


def scene_document(positions: list[Array], intensities: list[Array], times_us: list[int]) -> dict[str, Any]:
    """What scale-json-binary's writer is given for one lidar that stands still."""
    return {
        "version": "1.0",
        "sensors": [
            {
                "id": "lidar",
                "type": "lidar",
                "poses": {"timestamps": times_us, "values": [[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]] * len(times_us)},
                "coordinates": "world",
                "frames": [
                    {"timestamp": time, "points": {"positions": xyz, "intensities": levels}}
                    for time, xyz, levels in zip(times_us, positions, intensities, strict=True)
                ],
            }
        ],
        "time_offset": 0,
        "time_unit": "microseconds",
    }
