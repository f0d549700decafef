"""Saves the generated recording as an Argoverse 2 log, its tables with pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import feather

from tests.datasets.generated import Matrix, Recording, quaternion

LOG = "01bb304d-7bd8-35f8-bbef-7086b688e35e"

# The two lidars, which a log always names, though points come in ego.
UP_LIDAR = [0.999996, 0.0, 0.0, -0.002848, 1.35018, 0.0, 1.64042]
DOWN_LIDAR = [-0.000089, -0.994497, 0.104767, 0.000243, 1.355162, 0.000133, 1.565252]

POSE_COLUMNS = ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")


def write_argoverse2(recording: Recording, folder: Path) -> Path:
    """Points are seen by both lidars in turn; what k1 to k3 say was undone before the pictures were stored."""
    log = folder / LOG
    for part in ("sensors/lidar", "calibration"):
        (log / part).mkdir(parents=True)
    for frame in recording.frames:
        columns: dict[str, Any] = {axis: frame.positions[:, k] for k, axis in enumerate("xyz")}
        offsets = np.zeros(len(frame.positions)) if frame.point_times is None else frame.point_times - frame.timestamp
        columns |= {
            "intensity": frame.intensity.astype(np.uint8),
            "laser_number": (np.arange(len(frame.positions)) % 64).astype(np.uint8),
            "offset_ns": offsets.astype(np.int32),
        }
        write(log / "sensors" / "lidar" / f"{frame.timestamp}.feather", columns)
        for name, picture in frame.pictures.items():
            file = log / "sensors" / "cameras" / name / f"{frame.timestamp}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(picture)
    times = np.array([frame.timestamp for frame in recording.frames])
    write_poses(log, times, [_row(frame.world_from_ego) for frame in recording.frames])
    rows = [_row(camera.ego_from_camera) for camera in recording.cameras]
    names = [camera.name for camera in recording.cameras]
    poses = zip(POSE_COLUMNS, np.array([*rows, UP_LIDAR, DOWN_LIDAR]).T, strict=True)
    write(
        log / "calibration" / "egovehicle_SE3_sensor.feather",
        {"sensor_name": [*names, "up_lidar", "down_lidar"], **dict(poses)},
    )
    intrinsics: dict[str, Any] = {"sensor_name": names}
    intrinsics |= {
        f"{key}_px": [getattr(camera, key) for camera in recording.cameras] for key in ("fx", "fy", "cx", "cy")
    }
    intrinsics |= {key: [camera.distortion.get(key, 0.0) for camera in recording.cameras] for key in ("k1", "k2", "k3")}
    intrinsics |= {f"{key}_px": [getattr(camera, key) for camera in recording.cameras] for key in ("height", "width")}
    write(log / "calibration" / "intrinsics.feather", intrinsics)
    return log


def write_poses(log: Path, times: Any, rows: Any) -> None:
    """The table of poses: a time and (qw, qx, qy, qz, tx, ty, tz) a row."""
    poses = zip(POSE_COLUMNS, np.array(rows).T, strict=True)
    write(log / "city_SE3_egovehicle.feather", {"timestamp_ns": np.asarray(times, dtype=np.int64), **dict(poses)})


def write(path: Path, columns: dict[str, Any]) -> None:
    feather.write_feather(pa.table(columns), str(path))


def _row(matrix: Matrix) -> list[float]:
    return [*quaternion(matrix), *matrix[:3, 3].tolist()]
