"""Saves the generated recording in the layout of KITTI's object detection, with NumPy and Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.datasets.generated import Recording
from tests.datasets.write_kitti_odometry import camera_0, projection, row, write_png, write_points

# How rectification turns camera 0: about its x axis, a little.
RECTIFICATION = np.array([[1, 0, 0], [0, np.cos(0.01), -np.sin(0.01)], [0, np.sin(0.01), np.cos(0.01)]])


def write_kitti_object(recording: Recording, folder: Path, part: str = "training") -> Path:
    """Writes a part; returns the dataset's folder. The first camera, without its distortion, becomes image_2.

    The focal length of each frame is larger by a pixel than that of the frame before: calibration is of a frame.
    """
    top = folder / part
    for name in ("velodyne", "calib", "image_2", "label_2"):
        (top / name).mkdir(parents=True)
    camera = recording.cameras[0]
    rectified_from_ego = camera_0(camera)[:3]
    camera_0_from_ego = RECTIFICATION.T @ rectified_from_ego
    for k, frame in enumerate(recording.frames):
        write_points(top / f"velodyne/{k:06d}.bin", frame.positions, frame.intensity)
        write_png(top / f"image_2/{k:06d}.png", frame.pictures[camera.name])
        (top / f"label_2/{k:06d}.txt").write_text(
            "Car 0.00 0 -1.58 587 173 614 200 1.65 1.67 3.64 -0.65 1.71 46.7 -1.59\n"
        )
        of_frame = np.array(projection(camera, True))
        of_frame[0] += [k, 0, 0, k * 0.06]  # K and K·t of a focal length that is k larger
        lines = [f"P{n}: {row(of_frame if n == 2 else projection(camera, False))}" for n in range(4)]
        lines += [f"R0_rect: {row(RECTIFICATION)}", f"Tr_velo_to_cam: {row(camera_0_from_ego)}"]
        lines += [f"Tr_imu_to_velo: {row(np.eye(4)[:3])}", ""]
        (top / f"calib/{k:06d}.txt").write_text("\n".join(lines) + "\n")
    return folder
