"""Saves the generated recording as a nuScenes dataset: tables with json, sweeps and radar files with NumPy."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.datasets.generated import Matrix, Recording, pose_matrix, quaternion

VERSION = "v1.0-mini"
SCENE = "scene-0061"

# As on the real vehicle: the lidar is turned by a quarter, the radars look ahead and back.
EGO_FROM_LIDAR = pose_matrix([0.7077955, -0.0064939, 0.0106463, -0.7063074], [0.943713, 0.0, 1.84023])
EGO_FROM_RADAR = {
    "RADAR_FRONT": pose_matrix([0.9999984, 0.0, 0.0, 0.0017849], [3.412, 0.0, 0.5]),
    "RADAR_BACK_LEFT": pose_matrix([0.0446, 0.0, 0.0, 0.999005], [-0.562, 0.628, 0.53]),
}

RADAR_RECORD = np.dtype(
    [
        *((name, "<f4") for name in ("x", "y", "z")),
        ("dyn_prop", "<i1"),
        ("id", "<i2"),
        *((name, "<f4") for name in ("rcs", "vx", "vy", "vx_comp", "vy_comp")),
        *((name, "<i1") for name in ("is_quality_valid", "ambig_state", "x_rms", "y_rms")),
        *((name, "<i1") for name in ("invalid_state", "pdh0", "vx_rms", "vy_rms")),
    ]
)

Record = dict[str, Any]


def token(*words: object) -> str:
    return hashlib.md5(" ".join(map(str, words)).encode(), usedforsecurity=False).hexdigest()


def write_nuscenes(recording: Recording, folder: Path) -> Path:
    """Each frame is a keyframe; radar returns go to the radar ahead or behind, whose files have no sizes."""
    tables: dict[str, list[Record]] = {
        name: [] for name in ("category", "attribute", "visibility", "instance", "sample_annotation")
    }
    tables["log"] = [
        {"token": token("log"), "logfile": "", "vehicle": "n008", "date_captured": "2018-08-01", "location": "boston"}
    ]
    tables["map"] = [
        {"token": token("map"), "log_tokens": [token("log")], "category": "", "filename": "maps/boston.png"}
    ]
    samples = [token("sample", frame.timestamp) for frame in recording.frames]
    tables["scene"] = [
        {
            "token": token(SCENE),
            "log_token": token("log"),
            "nbr_samples": len(samples),
            "first_sample_token": samples[0],
            "last_sample_token": samples[-1],
            "name": SCENE,
            "description": "a generated recording",
        }
    ]
    tables["sample"] = [
        {
            "token": samples[k],
            "timestamp": frame.timestamp // 1000,
            "prev": samples[k - 1] if k else "",
            "next": samples[k + 1] if k + 1 < len(samples) else "",
            "scene_token": token(SCENE),
        }
        for k, frame in enumerate(recording.frames)
    ]
    tables |= {"sensor": [], "calibrated_sensor": [], "sample_data": [], "ego_pose": []}

    _add_sensor(tables, "LIDAR_TOP", "lidar", EGO_FROM_LIDAR)
    for channel, ego_from_radar in EGO_FROM_RADAR.items():
        _add_sensor(tables, channel, "radar", ego_from_radar)
    for camera in recording.cameras:
        intrinsics = [[camera.fx, 0.0, camera.cx], [0.0, camera.fy, camera.cy], [0.0, 0.0, 1.0]]
        _add_sensor(tables, camera.name, "camera", camera.ego_from_camera, intrinsics)

    for k, frame in enumerate(recording.frames):
        _add_reading(
            tables, folder, k, "LIDAR_TOP", "pcd.bin", frame.timestamp, _lidar(frame.positions, frame.intensity)
        )
        ahead = frame.radar[:, 0] >= 0
        for channel, rows in (("RADAR_FRONT", ahead), ("RADAR_BACK_LEFT", ~ahead)):
            _add_reading(
                tables, folder, k, channel, "pcd", frame.timestamp, _radar(frame.radar[rows], EGO_FROM_RADAR[channel])
            )
        for camera in recording.cameras:
            reading = _add_reading(tables, folder, k, camera.name, "jpg", frame.timestamp, frame.pictures[camera.name])
            reading |= {"width": camera.width, "height": camera.height}
    for reading in tables["sample_data"]:
        index = samples.index(reading["sample_token"])
        tables["ego_pose"].append(
            {
                "token": reading["ego_pose_token"],
                "timestamp": reading["timestamp"],
                **_pose(recording.frames[index].world_from_ego),
            }
        )
    (folder / "maps").mkdir(parents=True)
    Image.new("L", (8, 8)).save(folder / "maps" / "boston.png")  # the kit loads no dataset without its maps
    (folder / VERSION).mkdir()
    for name, records in tables.items():
        (folder / VERSION / f"{name}.json").write_text(json.dumps(records, indent=0))
    return folder


def _pose(matrix: Matrix) -> Record:
    return {"rotation": quaternion(matrix), "translation": matrix[:3, 3].tolist()}


def _add_sensor(
    tables: dict[str, list[Record]],
    channel: str,
    modality: str,
    ego_from_sensor: Matrix,
    intrinsics: list[list[float]] | None = None,
) -> None:
    tables["sensor"].append({"token": token("sensor", channel), "channel": channel, "modality": modality})
    tables["calibrated_sensor"].append(
        {
            "token": token("calibrated", channel),
            "sensor_token": token("sensor", channel),
            **_pose(ego_from_sensor),
            "camera_intrinsic": intrinsics or [],
        }
    )


def _add_reading(
    tables: dict[str, list[Record]],
    folder: Path,
    index: int,
    channel: str,
    suffix: str,
    timestamp: int,
    content: bytes,
) -> Record:
    micros = timestamp // 1000
    file = folder / "samples" / channel / f"n008-2018-08-01-15-16-36-0400__{channel}__{micros}.{suffix}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    samples = tables["sample"]
    reading = {
        "token": token(channel, timestamp),
        "sample_token": samples[index]["token"],
        "ego_pose_token": token(channel, timestamp),
        "calibrated_sensor_token": token("calibrated", channel),
        "timestamp": micros,
        "fileformat": "jpg" if suffix == "jpg" else "pcd",
        "is_key_frame": True,
        "height": 0,
        "width": 0,
        "filename": file.relative_to(folder).as_posix(),
        "prev": token(channel, samples[index - 1]["timestamp"] * 1000) if index else "",
        "next": token(channel, samples[index + 1]["timestamp"] * 1000) if index + 1 < len(samples) else "",
    }
    tables["sample_data"].append(reading)
    return reading


def _lidar(positions: NDArray[np.float32], intensity: NDArray[np.float32]) -> bytes:
    lidar_from_ego = np.linalg.inv(EGO_FROM_LIDAR)
    in_lidar = positions.astype(np.float64) @ lidar_from_ego[:3, :3].T + lidar_from_ego[:3, 3]
    rings = np.arange(len(positions)) % 32
    return np.column_stack((in_lidar, intensity, rings)).astype("<f4").tobytes()


def _radar(returns: NDArray[np.float64], ego_from_radar: Matrix) -> bytes:
    """Rows of x, y, z, dx, dy, dz, size in ego as a binary PCD, with the byte at its end that the kit asks for.

    A file without a return has one of NaN.
    """
    radar_from_ego = np.linalg.inv(ego_from_radar)
    rows = np.zeros(max(len(returns), 1), RADAR_RECORD)
    rows["ambig_state"] = 3
    rows["id"] = np.arange(len(rows))
    if len(returns):
        positions = returns[:, :3] @ radar_from_ego[:3, :3].T + radar_from_ego[:3, 3]
        velocities = returns[:, 3:6] @ radar_from_ego[:3, :3].T
        for k, axis in enumerate("xyz"):
            rows[axis] = positions[:, k]
        rows["vx_comp"], rows["vy_comp"] = velocities[:, 0], velocities[:, 1]
        rows["vx"], rows["vy"] = rows["vx_comp"] - 5, rows["vy_comp"]
    else:
        for name in ("x", "y", "z", "rcs", "vx", "vy", "vx_comp", "vy_comp"):
            rows[name] = np.nan
    names = RADAR_RECORD.names or ()
    kinds = [RADAR_RECORD[name] for name in names]
    header = "\n".join(
        (
            "# .PCD v0.7 - Point Cloud Data file format",
            "VERSION 0.7",
            f"FIELDS {' '.join(names)}",
            f"SIZE {' '.join(str(kind.itemsize) for kind in kinds)}",
            f"TYPE {' '.join('F' if kind.kind == 'f' else 'I' for kind in kinds)}",
            f"COUNT {' '.join('1' for _ in names)}",
            f"WIDTH {len(rows)}",
            "HEIGHT 1",
            "VIEWPOINT 0 0 0 1 0 0 0",
            f"POINTS {len(rows)}",
            "DATA binary\n",
        )
    )
    return header.encode() + rows.tobytes() + b"\n"
