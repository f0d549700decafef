"""Saves the generated recording in PandaSet's layout, with pandas and json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from tests.datasets.generated import Matrix, RecordedFrame, Recording, quaternion


def write_pandaset(recording: Recording, folder: Path) -> Path:
    """Writes sequence 001; returns its folder. Cameras lose their distortion, which the layout has no place for."""
    sequence = folder / "001"
    lidar = sequence / "lidar"
    lidar.mkdir(parents=True)
    seconds = [frame.timestamp / 1e9 for frame in recording.frames]
    for k, frame in enumerate(recording.frames):
        points(frame).to_pickle(lidar / f"{k:02d}.pkl.gz", compression={"method": "gzip", "compresslevel": 1})
    save(lidar / "poses.json", [pose(frame.world_from_ego) for frame in recording.frames])
    save(lidar / "timestamps.json", seconds)
    for camera in recording.cameras:
        place = sequence / "camera" / camera.name
        place.mkdir(parents=True)
        for k, frame in enumerate(recording.frames):
            (place / f"{k:02d}.jpg").write_bytes(frame.pictures[camera.name])
        save(place / "poses.json", [pose(frame.world_from_ego @ camera.ego_from_camera) for frame in recording.frames])
        save(place / "timestamps.json", seconds)
        save(place / "intrinsics.json", {name: getattr(camera, name) for name in ("fx", "fy", "cx", "cy")})
    meta = sequence / "meta"
    meta.mkdir()
    save(meta / "gps.json", [{"lat": 37.776, "long": -122.4, "height": 2.9, "xvel": 0.0, "yvel": 5.0} for _ in seconds])
    save(meta / "timestamps.json", seconds)
    return sequence


def points(frame: RecordedFrame) -> pd.DataFrame:
    """The columns that PandaSet has, all float64 but for the device."""
    x, y, z = frame.in_world.T
    times = np.full(len(x), frame.timestamp) if frame.point_times is None else frame.point_times
    return pd.DataFrame(
        {"x": x, "y": y, "z": z, "i": frame.intensity.astype(float), "t": times / 1e9, "d": np.zeros(len(x), dtype=int)}
    )


def pose(matrix: Matrix) -> dict[str, dict[str, float]]:
    return {
        "position": dict(zip("xyz", matrix[:3, 3].tolist(), strict=True)),
        "heading": dict(zip("wxyz", quaternion(matrix), strict=True)),
    }


def save(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))
