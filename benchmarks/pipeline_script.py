"""A script from a toolkit folder to Frame JSON as teams write it: what the whole program is compared with.

    python benchmarks/pipeline_script.py open3d|plyfile RECORDING OUT

It reads each frame by open3d (or plyfile), moves it into the world by NumPy, writes its points by pandas' to_json and
the rest by json, and copies the pictures. It does what `lidarprep prepare` does, less the checks, the hashes, the
manifest and the care for what happens when it is stopped.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def read_by_open3d(path: Path) -> tuple[Any, Any]:
    cloud = open3d.t.io.read_point_cloud(str(path))
    return cloud.point.positions.numpy(), cloud.point.i.numpy()[:, 0]


def read_by_plyfile(path: Path) -> tuple[Any, Any]:
    vertices = PlyData.read(str(path))["vertex"]
    return np.column_stack([vertices[axis] for axis in "xyz"]), vertices["i"]


def rotation_of(quaternion: list[float]) -> Any:
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def product(a: list[float], b: list[float]) -> list[float]:
    (aw, ax, ay, az), (bw, bx, by, bz) = a, b
    return [
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    ]


def named(values: Any, names: str) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def number(value: Any) -> float:
    return float(value[0] if isinstance(value, list) else value)


def write_frame(recording: Path, out: Path, n: int, read: Any) -> None:
    positions, intensity = read(recording / f"pointcloud/{n}.ply")
    pose = json.loads((recording / f"poses/{n}.json").read_text())
    rotation, translation = rotation_of(pose["heading"]), np.array(pose["position"])
    world = positions @ rotation.T + translation
    points = pd.DataFrame({"x": world[:, 0], "y": world[:, 1], "z": world[:, 2], "i": intensity / 255})

    images = []
    for camera in sorted((recording / "cameras").iterdir()):
        extrinsics = json.loads((camera / "extrinsics.json").read_text())
        intrinsics = json.loads((camera / "intrinsics.json").read_text())
        target = out / "images" / camera.name / f"{n}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(camera / f"{n}.jpg", target)
        images.append(
            {
                "image_url": str(target.relative_to(out)),
                "position": named(rotation @ extrinsics["position"] + translation, "xyz"),
                "heading": named(product(pose["heading"], extrinsics["heading"]), "wxyz"),
                **{name: number(intrinsics[name]) for name in ("fx", "fy", "cx", "cy")},
            }
        )
    radar = []
    radar_file = recording / f"radar_points/{n}.txt"
    for row in np.loadtxt(radar_file, delimiter=",", ndmin=2) if radar_file.exists() else ():
        position, direction = rotation @ row[:3] + translation, rotation @ row[3:6]
        radar.append({"position": named(position, "xyz"), "direction": named(direction, "xyz"), "size": row[6]})
    frame = {
        "device_position": named(translation, "xyz"),
        "device_heading": named(pose["heading"], "wxyz"),
        "radar_points": radar,
        "images": images,
    }
    text = json.dumps(frame)[:-1] + ', "points": ' + points.to_json(orient="records") + "}"
    (out / f"frame-{n}.json").write_text(text)


def main() -> None:
    reader, recording, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    numbers = sorted(int(path.stem) for path in (recording / "pointcloud").iterdir())
    for n in numbers:
        write_frame(recording, out, n, read_by_open3d if reader == "open3d" else read_by_plyfile)


if __name__ == "__main__":
    if sys.argv[1] == "open3d":
        import open3d
    else:
        from plyfile import PlyData
    main()
