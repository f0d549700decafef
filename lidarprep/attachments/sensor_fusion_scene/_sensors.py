"""The sensors of a scene: their arrays of one frame, and their descriptions in the header.

Columns are converted and written in pieces small enough for a core's cache, so that a frame needs little memory beside
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.attachments._frame import require_world
from lidarprep.attachments.sensor_fusion_scene._container import ArraySpec, BlockWriter
from lidarprep.attachments.sensor_fusion_scene._conventions import (
    LATEST_START_US,
    NS_PER_US,
    FrameTime,
    path_of,
    require_valid_times,
)
from lidarprep.errors import EncodingError
from lidarprep.remote import AnyPath
from lidarprep.scene import PointCloud, RadarPoints

CHUNK_ROWS = 1 << 15
ROUNDED_TIMES = ("rounded times", "timestamps are rounded down to the microsecond")

# The arrays of one sensor's frame, by their names in a scene.
Points = dict[str, ArraySpec]


class Notes:
    """Findings about a scene for the user: by kind, the sentence of the first and the number of them."""

    def __init__(self, found: dict[str, tuple[str, int]] | None = None) -> None:
        self.found = dict(found or {})

    def add(self, kind: str, sentence: str) -> None:
        """Add a finding, and count it."""
        first, times = self.found.get(kind, (sentence, 0))
        self.found[kind] = first, times + 1

    def add_once(self, kind: str, sentence: str) -> None:
        """Add a finding that is not counted."""
        self.found.setdefault(kind, (sentence, 1))

    def sentences(self) -> tuple[str, ...]:
        """Return a sentence for each kind, in the order of their first findings."""
        return tuple(first if times == 1 else f"{first} ({times} times)" for first, times in self.found.values())


@dataclass(frozen=True)
class WrittenImage:
    """An image in the file: its camera's name, index and intrinsics, its time and pose, and its bytes' array."""

    camera: str
    index: int
    intrinsics: dict[str, Any]
    time_us: int
    pose: list[float]
    content: ArraySpec
    path: AnyPath | None


@dataclass(frozen=True)
class WrittenFrame:
    """A frame in the file, as the header needs it; its clouds by device, as `write_clouds` returns them."""

    id: str
    time: FrameTime
    pose: list[float]
    clouds: list[tuple[int | None, Points]]
    radar: Points | None
    images: list[WrittenImage]


# ---- arrays of one frame ----


def write_clouds(
    blocks: BlockWriter, points: PointCloud, points_from_us: int | None, frame_id: str, notes: Notes
) -> list[tuple[int | None, Points]]:
    """Write a frame's points, which are in the world; timestamps count from `points_from_us`, or are left out.

    Returns:
        Each device's id and arrays, in the points' order; the id None with all points if they have no device.

    Raises:
        EncodingError: A coordinate is not finite as float32, or an intensity is not 0–1.
    """
    if points.device is None or not len(points):
        return [(None, _write_cloud(blocks, points, None, points_from_us, frame_id, notes))]
    devices, counts = np.unique(points.device, return_counts=True)
    if len(devices) == 1:
        return [(int(devices[0]), _write_cloud(blocks, points, None, points_from_us, frame_id, notes))]
    order = np.argsort(points.device, kind="stable")
    ends = np.cumsum(counts).tolist()
    return [
        (int(device), _write_cloud(blocks, points, order[end - count : end], points_from_us, frame_id, notes))
        for device, count, end in zip(devices, counts.tolist(), ends, strict=True)
    ]


def _write_cloud(
    blocks: BlockWriter,
    points: PointCloud,
    rows: NDArray[np.int64] | None,
    points_from_us: int | None,
    frame_id: str,
    notes: Notes,
) -> Points:
    """Write the points of one sensor: those in `rows`, or all."""
    count = len(points) if rows is None else len(rows)

    def pieces(column: NDArray[Any], convert: Callable[[NDArray[Any]], NDArray[Any]]) -> Iterator[NDArray[Any]]:
        for start in range(0, count, CHUNK_ROWS):
            piece = slice(start, start + CHUNK_ROWS)
            yield convert(column[piece if rows is None else rows[piece]])

    positions = partial(_finite_float32, what=f"frame {frame_id}: a point's coordinate")
    intensities = partial(_to_uint8, frame_id=frame_id)

    def timestamps(piece: NDArray[Any]) -> NDArray[Any]:
        microseconds = piece // NS_PER_US
        if ROUNDED_TIMES[0] not in notes.found and (microseconds * NS_PER_US != piece).any():
            notes.add_once(*ROUNDED_TIMES)
        return (microseconds - points_from_us).astype(np.uint32)

    written = {"positions": blocks.append("float32", (count, 3), pieces(points.positions, positions))}
    if points.intensity is not None:
        written["intensities"] = blocks.append("uint8", (count,), pieces(points.intensity, intensities))
    # The official validator takes the first point of an empty frame to be at 0, and refuses the frame.
    if points.timestamp is not None and points_from_us is not None and count:
        written["timestamps"] = blocks.append("uint32", (count,), pieces(points.timestamp, timestamps))
    if points.colour is not None:
        colours = pieces(points.colour, lambda piece: np.ascontiguousarray(piece, dtype=np.uint8))
        written["colors"] = blocks.append("uint8", (count, 3), colours)
    return written


def write_radar(blocks: BlockWriter, radar: RadarPoints, frame_id: str) -> Points:
    """Write a frame's radar returns.

    Raises:
        EncodingError: They are not in the world, or a number is not finite as float32.
    """
    require_world("radar points", radar.frame, frame_id)
    # ASSUMED: the format's `lengths` are our sizes; its reference gives no unit for either.
    columns = {"positions": radar.positions, "directions": radar.directions, "lengths": radar.sizes}
    return {
        name: blocks.append("float32", column.shape, [_finite_float32(column, f"frame {frame_id}: radar {name}")])
        for name, column in columns.items()
        if column is not None
    }


def _finite_float32(values: NDArray[Any], what: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(converted).all():
        raise EncodingError(f"{what} is not a finite float32: {values[~np.isfinite(converted)].flat[0]:g}")
    return converted


def _to_uint8(intensity: NDArray[Any], frame_id: str) -> NDArray[np.uint8]:
    lowest, highest = intensity.min(), intensity.max()
    if not (lowest >= 0 and highest <= 1):  # also if one is NaN
        raise EncodingError(
            f"frame {frame_id}: intensities reach from {lowest:g} to {highest:g}; an attachment holds 0 to 1",
            fix="Normalise them: --intensity-scale says which value is 1.",
        )
    scaled: NDArray[np.float32] = np.multiply(intensity, 255, dtype=np.float32)
    scaled += np.float32(0.5)
    return scaled.astype(np.uint8)


# ---- the header ----


# The frames of a lidar or radar: times in microseconds, and arrays.
_Frames = list[tuple[int, Points]]


def sensors_of(
    frames: Sequence[WrittenFrame], blocks: BlockWriter, notes: Notes, *, odometry: bool
) -> list[dict[str, Any]]:
    """Return the header's list of sensors: lidars by device id, cameras by index, the radar, and odometry if wanted.

    The frames are in time order, at least one. Each sensor that is renamed is noted.

    Raises:
        EncodingError: The times of a sensor are not what the format allows.
    """
    device_times = [frame.time.device_us for frame in frames]
    require_valid_times(device_times, "the device's poses")
    device_poses = path_of(device_times, [frame.pose for frame in frames])
    lidars = _lidars(frames)
    cameras = _cameras(frames)
    taken = {str(device) for device in lidars if device is not None}
    names = {name: _distinct(name, taken, notes) for name in cameras}
    radar: _Frames = [(frame.time.start_us, frame.radar) for frame in frames if frame.radar is not None]
    for own_frames in (*lidars.values(), radar):
        if own_frames and own_frames[0][0] > LATEST_START_US:
            # A list of timestamps must begin within 100 s: a later sensor gets an empty frame at the start.
            own_frames.insert(0, (frames[0].time.start_us, {"positions": blocks.append("float32", (0, 3), [])}))
    sensors = [
        _describe("lidar", _distinct("lidar", taken, notes) if device is None else device, device_poses, lidar)
        for device, lidar in lidars.items()
    ]
    sensors += [_describe_camera(names[name], images) for name, images in cameras.items()]
    if radar:
        sensors.append(_describe("radar", _distinct("radar", taken, notes), device_poses, radar))
    if odometry:
        sensors.append({"id": _distinct("odometry", taken, notes), "type": "odometry", "poses": device_poses})
    return sensors


def _lidars(frames: Sequence[WrittenFrame]) -> dict[int | None, _Frames]:
    """Return the lidar sensors by device id, ascending, the one without an id first."""
    clouds = [cloud for frame in frames for cloud in frame.clouds]
    devices = {device for device, _ in clouds if device is not None}
    nameless = any(points["positions"].nbytes for device, points in clouds if device is None)
    order: list[int | None] = [None] if nameless or not devices else []
    order += sorted(devices)
    lidars: dict[int | None, _Frames] = {device: [] for device in order}
    for frame in frames:
        for device, points in frame.clouds:
            if device in lidars:
                lidars[device].append((frame.time.start_us, points))
            else:  # a frame without points, in a scene whose sensors all have ids
                lidars[order[0]].append((frame.time.start_us, {"positions": points["positions"]}))
    return lidars


def _cameras(frames: Sequence[WrittenFrame]) -> dict[str, list[WrittenImage]]:
    """Return each camera's images, in the order of the cameras' indices."""
    cameras: dict[str, list[WrittenImage]] = {}
    for frame in frames:
        for image in frame.images:
            cameras.setdefault(image.camera, []).append(image)
    return dict(sorted(cameras.items(), key=lambda entry: (entry[1][0].index, entry[0])))


def _distinct(name: str, taken: set[str], notes: Notes) -> str:
    """Return a sensor id that is free: the name, or the name and a number. The ids 7 and "7" count as equal."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    if candidate != name:
        notes.add_once(f"renamed {name}", f"a sensor is named {candidate!r}, since {name!r} is another's id")
    return candidate


def _describe(kind: str, sensor_id: int | str, poses: Any, frames: _Frames) -> dict[str, Any]:
    require_valid_times([time for time, _ in frames], f"the frames of {kind} {sensor_id}")
    return {
        "id": sensor_id,
        "type": kind,
        "coordinates": "world",
        "poses": poses,
        "frames": [{"timestamp": time, "points": points} for time, points in frames],
    }


def _describe_camera(sensor_id: str, images: Sequence[WrittenImage]) -> dict[str, Any]:
    times_us = [image.time_us for image in images]
    require_valid_times(times_us, f"the images of camera {sensor_id}")
    return {
        "id": sensor_id,
        "type": "camera",
        "poses": path_of(times_us, [image.pose for image in images]),
        "intrinsics": images[0].intrinsics,
        "images": [{"timestamp": image.time_us, "content": image.content} for image in images],
    }
