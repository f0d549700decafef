"""Saves the generated recording in KITTI's odometry layout, with NumPy and Pillow."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from tests.datasets.generated import Matrix, RecordedCamera, Recording

# Where camera 0 sits beside the camera that is written as image_2, in the axes that the two share.
CAMERA_2_FROM_CAMERA_0 = np.array([0.06, -0.002, 0.003])


def write_kitti_odometry(recording: Recording, folder: Path) -> Path:
    """Writes sequence 00; returns the dataset's folder.

    The layout holds rectified images of cameras that are turned alike: of the recording's cameras it gets the first
    one, without its distortion, as image_2. Reflectance is 0 to 1.
    """
    sequence = folder / "sequences" / "00"
    (sequence / "velodyne").mkdir(parents=True)
    (sequence / "image_2").mkdir()
    (folder / "poses").mkdir()
    camera = recording.cameras[0]
    camera_0_from_ego = camera_0(camera)
    first = recording.frames[0].timestamp
    poses, times = [], []
    for k, frame in enumerate(recording.frames):
        write_points(sequence / "velodyne" / f"{k:06d}.bin", frame.positions, frame.intensity)
        write_png(sequence / "image_2" / f"{k:06d}.png", frame.pictures[camera.name])
        poses.append(camera_0_from_ego @ frame.world_from_ego @ np.linalg.inv(camera_0_from_ego))
        times.append((frame.timestamp - first) / 1e9)
    lines = [f"P{k}: {row(projection(camera, k == 2))}" for k in range(4)] + [f"Tr: {row(camera_0_from_ego[:3])}"]
    (sequence / "calib.txt").write_text("\n".join(lines) + "\n")
    (sequence / "times.txt").write_text("".join(f"{time:.9e}\n" for time in times))
    (folder / "poses" / "00.txt").write_text("".join(row(pose[:3]) + "\n" for pose in poses))
    return folder


def camera_0(camera: RecordedCamera) -> Matrix:
    """(4, 4) camera 0 from ego."""
    camera_0_from_camera = np.eye(4)
    camera_0_from_camera[:3, 3] = -CAMERA_2_FROM_CAMERA_0
    matrix: Matrix = camera_0_from_camera @ np.linalg.inv(camera.ego_from_camera)
    return matrix


def projection(camera: RecordedCamera, beside: bool) -> Matrix:
    """(3, 4) pixels from camera 0: of the camera beside it, or of one in its place."""
    k = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    return np.column_stack((k, k @ CAMERA_2_FROM_CAMERA_0 if beside else np.zeros(3)))


def write_points(path: Path, positions: Matrix, intensity: Matrix) -> None:
    np.column_stack((positions, intensity / np.float32(255))).astype("<f4").tofile(path)


def write_png(path: Path, picture: bytes) -> None:
    with Image.open(io.BytesIO(picture)) as image:
        image.save(path)


def row(matrix: Matrix) -> str:
    return " ".join(f"{number:.17e}" for number in np.ravel(matrix))
