"""What goes into each frame of a nuScenes scene: sweeps of the lidars, pictures, and returns of the radars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lidarprep.datasets.matching import PictureSeries, nearest
from lidarprep.datasets.nuscenes.tables import Channel, Reading
from lidarprep.datasets.options import OpenOptions
from lidarprep.errors import FormatError
from lidarprep.pointfiles import bin_files, read_points
from lidarprep.scene import Camera, CameraImage, PointCloud, Pose, Trajectory

# One lidar's part of a frame: its file, the pose of its frame in the frame's ego, its number where there are several.
LidarPart = tuple[Path, Pose, int | None]

# One radar's, likewise.
RadarPart = tuple[Path, Pose]


def read_frame(parts: tuple[LidarPart, ...]) -> PointCloud:
    """The points of a frame's lidars together, in ego: positions float32, intensity as stored (0 to 255), ring.

    Raises:
        FormatError: A file is missing, or is not what it should be.
    """
    return PointCloud.concatenate([_read_part(*part) for part in parts])


def _read_part(path: Path, ego_from_lidar: Pose, device: int | None) -> PointCloud:
    if not path.is_file():
        raise FormatError(
            path,
            found="no such file, though sample_data.json names it",
            expected="a sweep of the lidar",
            fix="Get the archive of files that has it: each holds the files of a part of the scenes.",
        )
    try:
        # Whatever ends in .bin is rows of five here, also where no .pcd stands before it.
        is_rows = path.name.lower().endswith(".bin")
        cloud = bin_files.read_nuscenes(path, "sensor") if is_rows else read_points(path, "sensor")
    except OSError as error:
        raise FormatError(path, found=f"the file cannot be read ({error.strerror or error})") from error
    cloud = cloud.moved(ego_from_lidar, "ego")
    return cloud if device is None else replace(cloud, device=np.full(len(cloud), device, dtype=np.uint32))


def wanted(channel: Channel, options: OpenOptions) -> tuple[Reading, ...]:
    """The channel's keyframes; with all_sweeps all that it recorded."""
    return tuple(reading for reading in channel.readings if reading.is_key_frame or options.all_sweeps)


def lidar_parts(
    lidars: Mapping[int, Channel], readings: Sequence[Reading], trajectory: Trajectory, options: OpenOptions
) -> tuple[list[tuple[LidarPart, ...]], list[str]]:
    """For each reading of the first lidar: it, and the nearest in time of each other lidar; and notes on what lacks.

    Points of another lidar are moved from where ego was when they were seen to where it is at the frame's time.

    Args:
        lidars: The lidars by their numbers.
        readings: Of the first of them, one a frame.
        trajectory: world_from_ego at the times of all readings.
        options: For the tolerance.
    """
    (main, first), *others = lidars.items()
    device = main if others else None
    times = [reading.timestamp for reading in readings]
    parts: list[list[LidarPart]] = [[(reading.path, first.ego_from_sensor, device)] for reading in readings]
    notes = _missing_files(first.name, readings, "reading their points is an error")
    for device, lidar in others:
        candidates = wanted(lidar, options)
        notes += _missing_files(lidar.name, candidates, "reading their points is an error")
        matched = _nearest(times, candidates, options)
        for frame, other in enumerate(matched):
            if other is not None:
                pose = _ego_from_sensor(lidar, trajectory, times[frame], other.timestamp)
                parts[frame].append((other.path, pose, device))
        notes += _unmatched(lidar.name, "sweep", [other is None for other in matched], options)
    return [tuple(part) for part in parts], notes


def radar_parts(
    radars: Sequence[Channel], times: Sequence[int], trajectory: Trajectory, options: OpenOptions
) -> tuple[list[tuple[RadarPart, ...]], list[str]]:
    """For each frame the nearest file in time of each radar; and notes on what has none."""
    parts: list[list[RadarPart]] = [[] for _ in times]
    notes = []
    for radar in radars:
        candidates = wanted(radar, options)
        notes += _missing_files(radar.name, candidates, "they are left out")
        matched = _nearest(times, [one for one in candidates if one.path.is_file()], options)
        for frame, reading in enumerate(matched):
            if reading is not None:
                pose = _ego_from_sensor(radar, trajectory, times[frame], reading.timestamp)
                parts[frame].append((reading.path, pose))
        notes += _unmatched(radar.name, "file", [reading is None for reading in matched], options)
    return [tuple(part) for part in parts], notes


def picture_series(cameras: Mapping[int, Channel], options: OpenOptions) -> tuple[list[PictureSeries], list[str]]:
    """The pictures of each camera, by its number, that are on the disk; and notes on those that are not."""
    series, notes = [], []
    calibrated = [(index, one, one.intrinsics) for index, one in cameras.items() if one.intrinsics is not None]
    for index, channel, intrinsics in calibrated:
        camera = Camera(channel.name, index, intrinsics, channel.ego_from_sensor)
        readings = wanted(channel, options)
        notes += _missing_files(channel.name, readings, "they are left out")
        series.append(_series(camera, [reading for reading in readings if reading.path.is_file()]))
    return series, notes


def _series(camera: Camera, readings: Sequence[Reading]) -> PictureSeries:
    return PictureSeries(
        camera,
        [reading.timestamp for reading in readings],
        lambda row: CameraImage(camera, readings[row].path),
    )


def _nearest(times: Sequence[int], readings: Sequence[Reading], options: OpenOptions) -> list[Reading | None]:
    rows = nearest(times, [reading.timestamp for reading in readings], options.image_tolerance_ns)
    return [None if row < 0 else readings[row] for row in rows.tolist()]


def _ego_from_sensor(channel: Channel, trajectory: Trajectory, time: int, recorded: int) -> Pose:
    """The sensor's pose when it recorded, in ego as ego is at `time`: both are times of the trajectory."""
    if time == recorded:
        return channel.ego_from_sensor
    now, then = (trajectory.pose(row) for row in np.searchsorted(trajectory.timestamps, (time, recorded)).tolist())
    return now.inverse() @ then @ channel.ego_from_sensor


def _missing_files(name: str, readings: Sequence[Reading], consequence: str) -> list[str]:
    missing = [reading.path for reading in readings if not reading.path.is_file()]
    if not missing:
        return []
    return [
        f"{name}: {len(missing)} of {len(readings)} files that sample_data.json names are not there, such as "
        f"{missing[0]}; {consequence}"
    ]


def _unmatched(name: str, what: str, missing: Sequence[bool], options: OpenOptions) -> list[str]:
    if not any(missing):
        return []
    return [
        f"{name}: {sum(missing)} of {len(missing)} frames have no {what} within {options.image_tolerance:g} s "
        "(--image-tolerance)"
    ]
