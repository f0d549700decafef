"""Frames of a scene, gathered from its sensors; points are made on demand."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.attachments.sensor_fusion_scene._conventions import NS_PER_US, PosePath
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import CameraImage, Frame, PointCloud, Pose, RadarPoints


@dataclass(frozen=True)
class Sweep:
    """One frame of a lidar or radar: its time, and its arrays as views of the file."""

    time_us: int
    arrays: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.arrays["positions"])


@dataclass(frozen=True)
class SweepingSensor:
    """A lidar or radar.

    Args:
        id: Its id in the scene.
        poses: Its poses in the world.
        in_ego: Whether its points are in its own frame, and not in the world.
        sweeps: Its frames, in time order.
    """

    id: str | int
    poses: PosePath
    in_ego: bool
    sweeps: list[Sweep]


@dataclass(frozen=True)
class _Part:
    """One sensor's share of a frame; `world_from_source` is None if its points are in the world."""

    device: int
    sweep: Sweep
    world_from_source: Pose | None

    def positions(self) -> NDArray[np.floating[Any]]:
        positions = self.sweep.arrays["positions"]
        if self.world_from_source is None:
            return positions
        with np.errstate(invalid="ignore", over="ignore"):
            return self.world_from_source.apply(positions).astype(np.float32)


def frames_of(
    source: str,
    offset_us: int,
    lidars: Sequence[SweepingSensor],
    radars: Sequence[SweepingSensor],
    images: Sequence[tuple[int, CameraImage]],
    device_poses: PosePath,
    notes: list[str],
) -> tuple[Frame, ...]:
    """Return one frame for each time at which a lidar has one.

    Args:
        source: Names the scene in errors.
        offset_us: Origin of all times, microseconds since the Unix epoch.
        lidars, radars: The sensors, at least one lidar.
        images: The images of all cameras, each with its time.
        device_poses: The device's poses.
        notes: Gets a note for what could not be merged.

    Raises:
        FormatError: The id of a lidar is not a device id.
    """
    times = sorted({sweep.time_us for lidar in lidars for sweep in lidar.sweeps})
    clouds_at: dict[int, list[_Part]] = {time: [] for time in times}
    radars_at: dict[int, list[_Part]] = {time: [] for time in times}
    images_at: dict[int, list[CameraImage]] = {time: [] for time in times}
    for lidar, device in zip(lidars, _devices(lidars, source, notes), strict=True):
        for sweep in lidar.sweeps:
            clouds_at[sweep.time_us].append(_part(lidar, sweep, device))
    for radar in radars:
        for sweep in radar.sweeps:
            radars_at[_nearest(times, sweep.time_us)].append(_part(radar, sweep, 0))
    for time, image in images:
        images_at[_nearest(times, time)].append(image)
    for name in ("intensities", "timestamps", "colors"):
        count = sum(_in_part(clouds, name) for clouds in clouds_at.values())
        if count:
            notes.append(f"in {count} frames only some of the lidars have {name}, which are left out there")
    with_device = len(lidars) > 1 or isinstance(lidars[0].id, int)
    return tuple(
        Frame(
            id=str(index),
            index=index,
            read_points=partial(_cloud, clouds_at[time], offset_us, with_device),
            read_radar=partial(_radar, radars_at[time], source) if radars_at[time] else None,
            world_from_ego=device_poses.at(time),
            timestamp=(offset_us + time) * NS_PER_US,
            images=tuple(images_at[time]),
        )
        for index, time in enumerate(times)
    )


def _devices(lidars: Sequence[SweepingSensor], source: str, notes: list[str]) -> list[int]:
    """Return the device number of each lidar."""
    numbers = [lidar.id for lidar in lidars if isinstance(lidar.id, int)]
    if any(not 0 <= number < 2**32 for number in numbers):
        raise FormatError(
            source,
            place="sensors",
            found=f"lidars with the ids {numbers}"[:80],
            expected="integers from 0 to 2³²−1, the device ids of points",
        )
    taken, free = set(numbers), 0
    devices = []
    for lidar in lidars:
        if isinstance(lidar.id, int):
            devices.append(lidar.id)
            continue
        while free in taken:
            free += 1
        taken.add(free)
        devices.append(free)
        if len(lidars) > 1:
            notes.append(f"points of lidar {lidar.id!r} have the device id {free}")
    return devices


def _nearest(times: Sequence[int], time: int) -> int:
    after = bisect_left(times, time)
    candidates = times[max(0, after - 1) : after + 1]
    return min(candidates, key=lambda candidate: abs(candidate - time))


def _part(sensor: SweepingSensor, sweep: Sweep, device: int) -> _Part:
    return _Part(device, sweep, sensor.poses.at(sweep.time_us) if sensor.in_ego else None)


def _in_part(parts: Sequence[_Part], name: str) -> bool:
    """Return whether only some of the parts with points have that array."""
    having = [name in part.sweep.arrays for part in parts if len(part.sweep)]
    return any(having) and not all(having)


def _merged(parts: Sequence[_Part], name: str) -> NDArray[Any] | None:
    """Concatenate an array of all parts; None if a part with points lacks it."""
    arrays = [part.sweep.arrays.get(name) for part in parts if len(part.sweep)]
    present = [array for array in arrays if array is not None]
    if not arrays or len(present) < len(arrays):
        return None
    return present[0] if len(present) == 1 else np.concatenate(present)


def _positions(parts: Sequence[_Part]) -> NDArray[np.floating[Any]]:
    return parts[0].positions() if len(parts) == 1 else np.concatenate([part.positions() for part in parts])


def _cloud(parts: Sequence[_Part], offset_us: int, with_device: bool) -> PointCloud:
    positions = _positions(parts)
    intensities, timestamps = _merged(parts, "intensities"), _merged(parts, "timestamps")
    device = None
    if with_device and len(positions):
        sizes = [len(part.sweep) for part in parts]
        device = np.repeat(np.array([part.device for part in parts], dtype=np.uint32), sizes)
    return PointCloud(
        positions,
        frame="world",
        intensity=None if intensities is None else intensities.astype(np.float32) / np.float32(255),
        device=device,
        timestamp=None if timestamps is None else (timestamps.astype(np.int64) + offset_us) * NS_PER_US,
        colour=_merged(parts, "colors"),
    )


def _radar(parts: Sequence[_Part], source: str) -> RadarPoints:
    """Return the radar returns of one frame, of all its radars."""
    directions = [
        part.sweep.arrays["directions"]
        if part.world_from_source is None
        else part.world_from_source.rotate(part.sweep.arrays["directions"])
        for part in parts
        if "directions" in part.sweep.arrays and len(part.sweep)
    ]
    whole = _merged(parts, "directions") is not None
    lengths = _merged(parts, "lengths")
    try:
        return RadarPoints(
            _positions(parts).astype(np.float64),
            np.concatenate(directions).astype(np.float64) if whole else None,
            None if lengths is None else lengths.astype(np.float64),
            frame="world",
        )
    except SceneError as error:
        raise FormatError(source, place="radar", found=error.message) from error
