"""Saves the generated recording as plain folders with a poses file, and in the toolkit layout, with one lidar or two.

Points go through NumPy, plyfile and pypcd4; poses and calibration through json, csv and NumPy.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import plyfile
from numpy.typing import NDArray
from pypcd4.pypcd4 import Encoding
from pypcd4.pypcd4 import PointCloud as Pcd
from scipy.spatial.transform import Rotation, Slerp

from tests.datasets.generated import Matrix, Recording, pose_matrix, quaternion

# Where the two lidars of write_toolkit_lidars sit on the device.
EGO_FROM_LIDAR = {
    "roof": pose_matrix([0.9238795325112867, 0.0, 0.0, 0.3826834323650898], [0.5, -0.25, 1.5]),
    "side": pose_matrix([0.7071067811865476, 0.7071067811865476, 0.0, 0.0], [-1.0, 0.75, 0.5]),
}


def write_folder_kitti_poses(recording: Recording, folder: Path) -> Path:
    """Float32 rows named by their time in nanoseconds; poses.txt of 3 × 4 matrices, which has no times."""
    folder.mkdir(parents=True)
    for frame in recording.frames:
        np.column_stack((frame.positions, frame.intensity)).astype("<f4").tofile(folder / f"{frame.timestamp}.bin")
    np.savetxt(folder / "poses.txt", [frame.world_from_ego[:3].ravel() for frame in recording.frames], fmt="%.17g")
    return folder


def write_folder_tum(recording: Recording, folder: Path) -> Path:
    """PCD files named by their time in seconds; poses.tum in the folder above, without times of other frames."""
    clouds = folder / "clouds"
    clouds.mkdir(parents=True)
    rows = []
    for frame in recording.frames:
        seconds = f"{frame.timestamp // 10**9}.{frame.timestamp % 10**9:09}"
        write_pcd(clouds / f"{seconds}.pcd", frame.positions, frame.intensity)
        w, x, y, z = quaternion(frame.world_from_ego)
        rows.append(" ".join([seconds, *map(repr, [*frame.world_from_ego[:3, 3].tolist(), x, y, z, w])]))
    (folder / "poses.tum").write_text("# timestamp tx ty tz qx qy qz qw\n" + "\n".join(rows) + "\n")
    return clouds


def write_folder_json(recording: Recording, folder: Path) -> Path:
    """PLY files with numbers that are not padded; poses.json by the files' stems, with times."""
    folder.mkdir(parents=True)
    poses = {}
    for number, frame in enumerate(recording.frames, 8):
        write_ply(folder / f"scan_{number}.ply", frame.positions, frame.intensity)
        poses[f"scan_{number}"] = {**pose_json(frame.world_from_ego), "timestamp": frame.timestamp}
    (folder / "poses.json").write_text(json.dumps(poses))
    return folder


def write_folder_csv(recording: Recording, folder: Path) -> Path:
    """PLY files named by their time in microseconds; poses.csv as a bag's table, ten poses for each that is used."""
    folder.mkdir(parents=True)
    for frame in recording.frames:
        write_ply(folder / f"lidar_{frame.timestamp // 1000}.ply", frame.positions, frame.intensity)
    times, matrices = dense_poses(recording)
    with (folder / "poses.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        axes = [f"field.pose.pose.position.{axis}" for axis in "xyz"]
        turns = [f"field.pose.pose.orientation.{axis}" for axis in "xyzw"]
        writer.writerow(
            ["%time", "field.header.seq", "field.header.stamp", *axes, *turns, "field.twist.twist.linear.x"]
        )
        for number, (time, matrix) in enumerate(zip(times, matrices, strict=True)):
            w, x, y, z = quaternion(matrix)
            writer.writerow([time + 12345, number, time, *matrix[:3, 3].tolist(), x, y, z, w, 1.0])
    return folder


def write_toolkit(recording: Recording, folder: Path) -> Path:
    """The toolkit layout, whole."""
    (folder / "pointcloud").mkdir(parents=True)
    for number, frame in enumerate(recording.frames, 1):
        write_pcd(folder / "pointcloud" / f"{number}.pcd", frame.positions, frame.intensity)
    write_beside(recording, folder)
    return folder


def write_toolkit_lidars(recording: Recording, folder: Path) -> Path:
    """The toolkit layout, with the points of every other row from either of two lidars, each in its own frame."""
    for index, (name, ego_from_lidar) in enumerate(EGO_FROM_LIDAR.items()):
        place = folder / "lidars" / name
        place.mkdir(parents=True)
        (place / "extrinsics.json").write_text(json.dumps(pose_json(ego_from_lidar)))
        lidar_from_ego = np.linalg.inv(ego_from_lidar)
        for number, frame in enumerate(recording.frames, 1):
            positions = frame.positions[index::2] @ lidar_from_ego[:3, :3].T + lidar_from_ego[:3, 3]
            write_pcd(place / f"{number}.pcd", positions.astype(np.float32), frame.intensity[index::2])
    write_beside(recording, folder)
    return folder


def write_beside(recording: Recording, folder: Path) -> None:
    """Poses, cameras and radar of the toolkit layout."""
    (folder / "poses").mkdir()
    (folder / "radar_points").mkdir()
    for number, frame in enumerate(recording.frames, 1):
        pose = {**pose_json(frame.world_from_ego), "timestamp": frame.timestamp}
        (folder / "poses" / f"{number}.json").write_text(json.dumps(pose))
        np.savetxt(folder / "radar_points" / f"{number}.txt", frame.radar, fmt="%.17g", delimiter=", ")
    for camera in recording.cameras:
        place = folder / "cameras" / camera.name
        place.mkdir(parents=True)
        (place / "extrinsics.json").write_text(json.dumps(pose_json(camera.ego_from_camera)))
        pixels = {key: getattr(camera, key) for key in ("fx", "fy", "cx", "cy")}
        (place / "intrinsics.json").write_text(json.dumps({**pixels, **camera.distortion}))
        for number, frame in enumerate(recording.frames, 1):
            (place / f"{number}.jpg").write_bytes(frame.pictures[camera.name])


def dense_poses(recording: Recording, between: int = 10) -> tuple[list[int], list[Matrix]]:
    """The recording's poses, and more between them by SciPy's slerp: times, and (4, 4) matrices."""
    stamps = [frame.timestamp for frame in recording.frames]
    turns = Slerp(
        range(len(stamps)), Rotation.from_matrix(np.array([frame.world_from_ego[:3, :3] for frame in recording.frames]))
    )
    places = np.array([frame.world_from_ego[:3, 3] for frame in recording.frames])
    times, matrices = [], []
    for step in range((len(stamps) - 1) * between + 1):
        row, rest = divmod(step, between)
        row, rest = (row - 1, between) if row == len(stamps) - 1 else (row, rest)
        matrix = np.eye(4)
        matrix[:3, :3] = turns(step / between).as_matrix()
        matrix[:3, 3] = places[row] + (places[row + 1] - places[row]) * rest / between
        times.append(stamps[row] + (stamps[row + 1] - stamps[row]) * rest // between)
        matrices.append(matrix)
    return times, matrices


def pose_json(matrix: Matrix) -> dict[str, Any]:
    return {"heading": quaternion(matrix), "position": matrix[:3, 3].tolist()}


def write_pcd(path: Path, positions: NDArray[np.float32], intensity: NDArray[np.float32]) -> None:
    rows = np.column_stack((positions, intensity)).astype(np.float32)
    Pcd.from_xyzi_points(rows).save(path, encoding=Encoding.BINARY_COMPRESSED)


def write_ply(path: Path, positions: NDArray[np.float32], intensity: NDArray[np.float32]) -> None:
    rows = np.empty(len(positions), dtype=[(name, "f4") for name in ("x", "y", "z", "intensity")])
    for name, column in zip("xyz", positions.T, strict=True):
        rows[name] = column
    rows["intensity"] = intensity
    plyfile.PlyData([plyfile.PlyElement.describe(rows, "vertex")]).write(path)
