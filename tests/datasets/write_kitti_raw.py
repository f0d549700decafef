"""Saves the generated recording in KITTI's raw layout, with NumPy, SciPy and Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from tests.datasets.generated import Matrix, Recording
from tests.datasets.write_kitti_odometry import camera_0, projection, row, write_png, write_points

DATE = "2011_09_26"
EARTH_RADIUS_M = 6378137.0
LATITUDE, LONGITUDE, ALTITUDE = 49.011212804408, 8.4228850417969, 112.83492279053


def write_kitti_raw(recording: Recording, folder: Path) -> Path:
    """Writes one drive; returns the folder of its day.

    The layout holds rectified images of cameras that are turned alike: of the recording's cameras it gets the first
    one, without its distortion, as image_02. Reflectance is 0 to 1.
    """
    day = folder / DATE
    drive = day / f"{DATE}_drive_0001_sync"
    camera = recording.cameras[0]
    for place in ("velodyne_points", "image_02", "oxts"):
        (drive / place / "data").mkdir(parents=True)
        times = [timestamp(frame.timestamp) for frame in recording.frames]
        (drive / place / "timestamps.txt").write_text("".join(f"{time}\n" for time in times))
    imu_from_velodyne = np.eye(4)
    imu_from_velodyne[:3, :3] = Rotation.from_euler("zyx", (0.0148, -0.002, 0.0008)).as_matrix()
    imu_from_velodyne[:3, 3] = 0.81, -0.32, 0.80
    velodyne_from_imu = np.linalg.inv(imu_from_velodyne)
    for k, frame in enumerate(recording.frames):
        name = f"{k:010d}"
        write_points(drive / "velodyne_points" / "data" / f"{name}.bin", frame.positions, frame.intensity)
        write_png(drive / "image_02" / "data" / f"{name}.png", frame.pictures[camera.name])
        packet = oxts(frame.world_from_ego @ velodyne_from_imu)
        (drive / "oxts" / "data" / f"{name}.txt").write_text(packet)
    rectifying = Rotation.from_euler("xyz", (0.01, -0.007, 0.009)).as_matrix()
    unrectified = camera_0(camera)[:3].copy()
    unrectified = rectifying.T @ unrectified
    (day / "calib_imu_to_velo.txt").write_text(calibration(velodyne_from_imu))
    (day / "calib_velo_to_cam.txt").write_text(calibration(unrectified) + "delta_f: 0 0\ndelta_c: 0 0\n")
    lines = ["calib_time: 09-Jan-2012 13:57:47", "corner_dist: 9.950000e-02"]
    for number in range(4):
        lines += [
            f"S_rect_{number:02d}: {camera.width:e} {camera.height:e}",
            f"R_rect_{number:02d}: {row(rectifying if number == 0 else np.eye(3))}",
            f"P_rect_{number:02d}: {row(projection(camera, number == 2))}",
        ]
    (day / "calib_cam_to_cam.txt").write_text("\n".join(lines) + "\n")
    return day


def timestamp(nanoseconds: int) -> str:
    """As KITTI writes it: 2011-09-26 13:02:25.964389445."""
    return str(np.datetime64(nanoseconds, "ns")).replace("T", " ")


def calibration(matrix: Matrix) -> str:
    return f"calib_time: 15-Mar-2012 11:37:16\nR: {row(matrix[:3, :3])}\nT: {row(matrix[:3, 3])}\n"


def oxts(world_from_imu: Matrix) -> str:
    """The 30 numbers of a packet; the world's axes are east, north and up, around a place in Karlsruhe."""
    scale = np.cos(np.radians(LATITUDE))
    east, north, up = world_from_imu[:3, 3]
    longitude = LONGITUDE + np.degrees(east / (scale * EARTH_RADIUS_M))
    mercator = np.log(np.tan(np.radians(90 + LATITUDE) / 2)) + north / (scale * EARTH_RADIUS_M)
    latitude = np.degrees(2 * np.arctan(np.exp(mercator))) - 90
    yaw, pitch, roll = Rotation.from_matrix(world_from_imu[:3, :3]).as_euler("ZYX")
    return row(np.array([latitude, longitude, ALTITUDE + up, roll, pitch, yaw])) + " 0" * 19 + " 4 5 5 6 6\n"
