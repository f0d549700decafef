"""The sensors of a scene, as its header lists them, from what is kept of each frame that was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lidarprep.attachments.sensor_fusion_scene.clock import LATEST_START_US, FrameTime, require_valid_times
from lidarprep.attachments.sensor_fusion_scene.container import ArraySpec, BlockWriter
from lidarprep.attachments.sensor_fusion_scene.notes import Notes
from lidarprep.attachments.sensor_fusion_scene.point_blocks import Points
from lidarprep.attachments.sensor_fusion_scene.pose_path import path_of


@dataclass(frozen=True)
class Picture:
    """What is kept of a picture: its camera's facts, and where its bytes are."""

    camera: str
    index: int
    intrinsics: dict[str, Any]
    time_us: int
    pose: list[float]
    content: ArraySpec
    path: Path | None


@dataclass(frozen=True)
class FrameRecord:
    """What is kept of a frame: the header's part of it; its clouds by device, as `write_clouds` gives them."""

    id: str
    time: FrameTime
    pose: list[float]
    clouds: list[tuple[int | None, Points]]
    radar: Points | None
    pictures: list[Picture]


@dataclass
class _Sensor:
    """A lidar or radar, as its frames are gathered."""

    times_us: list[int] = field(default_factory=list)
    points: list[Points] = field(default_factory=list)

    def add(self, time_us: int, points: Points) -> None:
        self.times_us.append(time_us)
        self.points.append(points)


def sensors_of(
    records: Sequence[FrameRecord], blocks: BlockWriter, notes: Notes, *, odometry: bool
) -> list[dict[str, Any]]:
    """The header's list of sensors: lidars by device id, cameras by index, the radar, and odometry if asked for.

    Args:
        records: What is known of the frames, in time order, at least one.
        blocks: Where the frames' arrays are.
        notes: Told of sensors that could not have the id that was meant for them.
        odometry: Whether to give the device's poses as a sensor of their own.

    Raises:
        EncodingError: The times of a sensor are not what the format allows.
    """
    device_times = [record.time.device_us for record in records]
    require_valid_times(device_times, "the device's poses")
    device_poses = path_of(device_times, [record.pose for record in records])
    lidars = _lidars(records)
    cameras = _cameras(records)
    taken = {str(device) for device in lidars if device is not None}
    names = {name: _distinct(name, taken, notes) for name in cameras}
    radar = _Sensor()
    for record in records:
        if record.radar is not None:
            radar.add(record.time.start_us, record.radar)
    for sensor in (*lidars.values(), radar):
        if sensor.times_us and sensor.times_us[0] > LATEST_START_US:
            # A list of timestamps must begin within 100 s: a sensor that sees its first point later saw none at first.
            sensor.times_us.insert(0, records[0].time.start_us)
            sensor.points.insert(0, {"positions": blocks.append("float32", (0, 3), [])})
    sensors = [
        _describe("lidar", _distinct("lidar", taken, notes) if device is None else device, device_poses, lidar)
        for device, lidar in lidars.items()
    ]
    sensors += [_describe_camera(names[name], pictures) for name, pictures in cameras.items()]
    if radar.points:
        sensors.append(_describe("radar", _distinct("radar", taken, notes), device_poses, radar))
    if odometry:
        sensors.append({"id": _distinct("odometry", taken, notes), "type": "odometry", "poses": device_poses})
    return sensors


def _lidars(records: Sequence[FrameRecord]) -> dict[int | None, _Sensor]:
    """The lidar sensors by device id, ascending, the one without an id first."""
    lidars: dict[int | None, _Sensor] = {}
    clouds = [cloud for record in records for cloud in record.clouds]
    devices = {device for device, _ in clouds if device is not None}
    nameless = any(points["positions"].nbytes for device, points in clouds if device is None)
    order: list[int | None] = [None] if nameless or not devices else []
    order += sorted(devices)
    for device in order:
        lidars[device] = _Sensor()
    for record in records:
        for device, points in record.clouds:
            if device in lidars:
                lidars[device].add(record.time.start_us, points)
            else:  # a frame without points, in a scene whose sensors all have ids
                lidars[order[0]].add(record.time.start_us, {"positions": points["positions"]})
    return lidars


def _cameras(records: Sequence[FrameRecord]) -> dict[str, list[Picture]]:
    """Each camera's pictures, in the order of the cameras' indices."""
    cameras: dict[str, list[Picture]] = {}
    for record in records:
        for picture in record.pictures:
            cameras.setdefault(picture.camera, []).append(picture)
    return dict(sorted(cameras.items(), key=lambda entry: (entry[1][0].index, entry[0])))


def _distinct(name: str, taken: set[str], notes: Notes) -> str:
    """A sensor id that is not taken: the name, or the name and a number."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    if candidate != name:
        notes.once(f"renamed {name}", f"a sensor is named {candidate!r}, since {name!r} is another's id")
    return candidate


def _describe(kind: str, sensor_id: int | str, poses: Any, sensor: _Sensor) -> dict[str, Any]:
    require_valid_times(sensor.times_us, f"the frames of {kind} {sensor_id}")
    return {
        "id": sensor_id,
        "type": kind,
        "coordinates": "world",
        "poses": poses,
        "frames": [
            {"timestamp": time, "points": points} for time, points in zip(sensor.times_us, sensor.points, strict=True)
        ],
    }


def _describe_camera(sensor_id: str, pictures: Sequence[Picture]) -> dict[str, Any]:
    times_us = [picture.time_us for picture in pictures]
    require_valid_times(times_us, f"the pictures of camera {sensor_id}")
    return {
        "id": sensor_id,
        "type": "camera",
        "poses": path_of(times_us, [picture.pose for picture in pictures]),
        "intrinsics": pictures[0].intrinsics,
        "images": [{"timestamp": picture.time_us, "content": picture.content} for picture in pictures],
    }
