"""A Sensor Fusion Scene to frames of the world: the header is checked at once, points are made on demand."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lidarprep.attachments._frame import Node
from lidarprep.attachments.sensor_fusion_scene._container import Buffer, read_container
from lidarprep.attachments.sensor_fusion_scene._conventions import NS_PER_US
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import (
    Camera,
    CameraImage,
    CameraModel,
    Distortion,
    Frame,
    Intrinsics,
    PointCloud,
    Pose,
    RadarPoints,
    Scene,
    Trajectory,
)
from lidarprep.scene.camera import MODEL_COEFFICIENTS

# Offset and time together stay within int64 nanoseconds.
LARGEST_TIME_US = (2**63 - 1) // NS_PER_US // 2

# Arrays of a lidar's and of a radar's points: type, and numbers a point.
_LIDAR_ARRAYS = {
    "positions": ("float32", 3),
    "intensities": ("uint8", 1),
    "timestamps": ("uint32", 1),
    "colors": ("uint8", 3),
}
_RADAR_ARRAYS = {
    "positions": ("float32", 3),
    "directions": ("float32", 3),
    "lengths": ("float32", 1),
    "timestamps": ("uint32", 1),
}
_NOT_READ = ("attributes", "metadata")


def decode(data: Buffer, source: str = "scene.sfs") -> Scene:
    """Decode a Sensor Fusion Scene as a recording in the world.

    A frame is made for each time at which a lidar has one. The lidars of that time become one cloud, with the sensors'
    ids in `device`: an integer id unchanged, another as the next free number. Images and radar returns go to the frame
    nearest in time. Points in "ego" coordinates are transformed to the world by their sensor's pose.

    Args:
        data: The whole file: bytes, or a memory map, which is read on demand. It must not change while the scene is
            in use.
        source: Names it in errors, and becomes the scene's `source`.

    Returns:
        The scene. Frames have timestamps in nanoseconds (`time_offset` added), and points with float32 positions,
        float32 intensity 0–1, int64 timestamps. Images give their encoded bytes by `content`. Its notes name what
        was left out: video, unknown camera models, annotations.

    Raises:
        FormatError: It is not a scene of version 1.0; names the place and its content.
    """
    document = Node(source, read_container(data, source))
    with document.checked():
        return SceneReader(document).read()


class SceneReader:
    """Reads sensors and frames of a scene's document."""

    def __init__(self, document: Node) -> None:
        self.document = document
        self.offset_us = 0
        self.notes: list[str] = []
        self.lidars: list[SweepingSensor] = []
        self.radars: list[SweepingSensor] = []
        self.device_poses: Trajectory | None = None
        self.cameras: list[Camera] = []
        self.images: list[tuple[int, CameraImage]] = []

    def read(self) -> Scene:
        """Read the scene."""
        document = self.document
        version, unit, offset = document["version"], document.get("time_unit"), document.get("time_offset")
        if not isinstance(version.value, str) or not version.value.startswith("1.0"):
            raise version.refuse('"1.0"')
        if unit is not None and unit.value != "microseconds":
            raise unit.refuse('"microseconds"')
        if offset is not None:
            self.offset_us = _time(offset)
        ids: set[str | int] = set()
        for sensor in document["sensors"].items():
            self.sensor(sensor, ids)
        if not self.lidars:
            raise document["sensors"].refuse("at least one", found="no lidar")
        unread = [key for key in _NOT_READ if document.value.get(key)]
        if unread:
            self.notes.append(f"the scene's {', '.join(unread)} are not read")
        if document.value.get("annotations"):
            self.notes.append(
                "the scene has annotations, which are no part of its frames: `read_annotations` reads them"
            )
        device_poses = self.device_poses or self.lidars[0].poses
        source = document.source
        frames = frames_of(source, self.offset_us, self.lidars, self.radars, self.images, device_poses, self.notes)
        return Scene(
            source=source,
            layout="sensor_fusion_scene",
            frames=frames,
            cameras=tuple(self.cameras),
            points_frame="world",
            notes=tuple(self.notes),
        )

    # ---- sensors ---------------------------------------------------------------------------------------------------

    def sensor(self, sensor: Node, ids: set[str | int]) -> None:
        sensor_id = sensor["id"].value
        if not isinstance(sensor_id, str | int) or isinstance(sensor_id, bool):
            raise sensor["id"].refuse("a string or an integer")
        if sensor_id in ids:
            raise sensor["id"].refuse("an id of its own")
        ids.add(sensor_id)
        if sensor.get("parent_id") is not None:
            self.notes.append(
                f"sensor {sensor_id!r} has a parent_id; its poses are taken to be in the world all the same"
            )
        match sensor["type"].value:
            case "lidar":
                self.lidars.append(_sweeping(sensor, _LIDAR_ARRAYS))
            case "radar":
                self.radars.append(_sweeping(sensor, _RADAR_ARRAYS))
            case "camera":
                self.camera(sensor)
            case "odometry":
                self.device_poses = self.device_poses or _poses(sensor)
            case "points":
                self.notes.append(f"sensor {sensor_id!r} holds points without a time, which are not read")
            case _:
                raise sensor["type"].refuse("lidar, camera, radar, odometry or points")

    def camera(self, sensor: Node) -> None:
        sensor_id, images = sensor["id"].value, sensor.get("images")
        if (images is None) == (sensor.get("video") is None):
            raise sensor.refuse(found="not exactly one of images and video")
        if images is None:
            self.notes.append(f"camera {sensor_id!r} holds a video, which is not read")
            return
        intrinsics = _intrinsics(sensor["intrinsics"])
        if isinstance(intrinsics, str):
            self.notes.append(f"camera {sensor_id!r} has the model {intrinsics!r}, which is not known: it is left out")
            return
        name, taken, number = str(sensor_id), {camera.name for camera in self.cameras}, 1
        while name in taken:  # 7 and "7" are two ids
            number += 1
            name = f"{sensor_id}_{number}"
        camera = Camera(name, len(self.cameras), intrinsics)
        self.cameras.append(camera)
        poses = _poses(sensor)
        times: list[int] = []
        contents: list[NDArray[np.uint8]] = []
        for node in images.items():
            content = node["content"].value
            if not isinstance(content, np.ndarray) or content.dtype != np.uint8:
                raise node["content"].refuse("an array of uint8", found=type(content).__name__)
            times.append(_time(node["timestamp"]))
            contents.append(content)
        _require_increasing(times, images)
        for time, pose, content in zip(times, _poses_at(poses, times), contents, strict=True):
            stamp = (self.offset_us + time) * NS_PER_US
            image = CameraImage(camera, world_from_camera=pose, timestamp=stamp, content=content.tobytes)
            self.images.append((time, image))


def _sweeping(sensor: Node, arrays: dict[str, tuple[str, int]]) -> SweepingSensor:
    coordinates, frames = sensor.get("coordinates"), sensor["frames"]
    if coordinates is not None and coordinates.value not in ("world", "ego"):
        raise coordinates.refuse('"world" or "ego"')
    in_ego = coordinates is not None and coordinates.value == "ego"
    if not frames.items():
        raise frames.refuse("at least one", found="no frame")
    poses = _poses(sensor)
    if in_ego and poses is None:
        raise sensor["poses"].refuse("one, for ego coordinates", found="no pose")
    sweeps = [_sweep(frame, arrays) for frame in frames.items()]
    _require_increasing([sweep.time_us for sweep in sweeps], frames)
    return SweepingSensor(sensor["id"].value, poses, in_ego, sweeps)


def _sweep(frame: Node, arrays: dict[str, tuple[str, int]]) -> Sweep:
    points = frame["points"]
    found = {"positions": points["positions"].value}
    for name, (dtype, width) in arrays.items():
        node = points.get(name)
        if node is None:
            continue
        array = node.value
        if not isinstance(array, np.ndarray) or array.dtype.name != dtype:
            what = array.dtype.name if isinstance(array, np.ndarray) else array
            raise node.refuse(f"an array of {dtype}", found=f"{what!r}"[:80])
        # The official reader takes rows of three numbers from a flat array, too.
        flat = width == 3 and array.ndim == 1 and array.size % 3 == 0
        if not flat and array.shape != ((len(array), 3) if width == 3 and array.ndim else (array.size,)):
            raise node.refuse("(N, 3)" if width == 3 else "(N,)", found=f"{array.shape}")
        found[name] = array.reshape(-1, 3) if flat else array
        if len(found[name]) != len(found["positions"]):
            raise node.refuse(f"{len(found['positions'])}, one a point", found=f"{len(found[name])} rows")
    return Sweep(_time(frame["timestamp"]), found)


def _poses(sensor: Node) -> Trajectory | None:
    stamps, values = sensor["poses"]["timestamps"], sensor["poses"]["values"]
    times, rows = [_time(time) for time in stamps.items()], values.items()
    if len(rows) != len(times):
        raise values.refuse(f"{len(times)}, one a timestamp", found=f"{len(rows)} poses")
    _require_increasing(times, stamps)
    for row in rows:
        if not isinstance(row.value, list) or len(row.value) != 7 or not all(map(_is_number, row.value)):
            raise row.refuse("7 numbers: x, y, z, qx, qy, qz, qw")
    if not times:
        return None
    columns = np.array(values.value, dtype=np.float64)
    with values.checked():
        return Trajectory(_nanoseconds(times), columns[:, [6, 3, 4, 5]], columns[:, :3])


def _nanoseconds(times_us: Sequence[int]) -> NDArray[np.int64]:
    return np.array(times_us, dtype=np.int64) * NS_PER_US


def _poses_at(path: Trajectory | None, times_us: Sequence[int]) -> list[Pose | None]:
    """Return the poses at these times: interpolated between poses, constant before the first and after the last."""
    if path is None:
        return [None] * len(times_us)
    return path.at_each(np.clip(_nanoseconds(times_us), path.timestamps[0], path.timestamps[-1]).tolist())


def _intrinsics(described: Node) -> Intrinsics | str:
    """Return intrinsics, or the name of a camera model that is not known."""
    distortion = described.get("distortion")
    model: Any = "brown_conrady" if distortion is None else distortion["model"].value
    params: list[Any] = [] if distortion is None else [param.value for param in distortion["params"].items()]
    if distortion is not None and not isinstance(model, str):
        raise distortion["model"].refuse("a string")
    if model not in MODEL_COEFFICIENTS:
        return str(model)
    sizes = [described[key] for key in ("width", "height")]
    for size in sizes:
        if type(size.value) is not int or size.value < 1:
            raise size.refuse("a whole number of pixels")
    names = MODEL_COEFFICIENTS[cast(CameraModel, model)]
    if distortion is not None and (len(params) > len(names) or not all(map(_is_number, params))):
        raise distortion["params"].refuse(f"up to {len(names)} numbers for {model}")
    with described.checked():
        return Intrinsics(
            **{key: described[key].number() for key in ("fx", "fy", "cx", "cy")},
            model=model,
            distortion=Distortion(**dict(zip(names, map(float, params), strict=False))),
            width=sizes[0].value,
            height=sizes[1].value,
        )


# ---- values --------------------------------------------------------------------------------------------------------


def _time(node: Node) -> int:
    if type(node.value) is not int or not 0 <= node.value <= LARGEST_TIME_US:
        raise node.refuse(f"whole microseconds from 0 to {LARGEST_TIME_US}")
    return node.value


def _require_increasing(times: Sequence[int], node: Node) -> None:
    for before, time in pairwise(times):
        if time <= before:
            raise node.refuse(f"a time after {before}, the one before it", found=f"{time}")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


# ---- frames ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sweep:
    """One frame of a lidar or radar: its time, and its arrays as views of the file."""

    time_us: int
    arrays: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.arrays["positions"])


@dataclass(frozen=True)
class SweepingSensor:
    """A lidar or radar: its poses and its frames, in time order; `in_ego`: its points are in its own frame."""

    id: str | int
    poses: Trajectory | None
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
    device_poses: Trajectory | None,
    notes: list[str],
) -> tuple[Frame, ...]:
    """Return one frame for each time at which a lidar has one.

    All times are microseconds from `offset_us`; there is at least one lidar. What could not be merged is noted.

    Raises:
        FormatError: The id of a lidar is not a device id.
    """
    times = sorted({sweep.time_us for lidar in lidars for sweep in lidar.sweeps})
    clouds_at: dict[int, list[_Part]] = {time: [] for time in times}
    radars_at: dict[int, list[_Part]] = {time: [] for time in times}
    images_at: dict[int, list[CameraImage]] = {time: [] for time in times}
    for lidar, device in zip(lidars, _devices(lidars, source, notes), strict=True):
        for part in _parts(lidar, device):
            clouds_at[part.sweep.time_us].append(part)
    for radar in radars:
        for part in _parts(radar, 0):
            radars_at[_nearest(times, part.sweep.time_us)].append(part)
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
            world_from_ego=pose,
            timestamp=(offset_us + time) * NS_PER_US,
            images=tuple(images_at[time]),
        )
        for index, (time, pose) in enumerate(zip(times, _poses_at(device_poses, times), strict=True))
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


def _parts(sensor: SweepingSensor, device: int) -> Iterator[_Part]:
    poses = _poses_at(sensor.poses if sensor.in_ego else None, [sweep.time_us for sweep in sensor.sweeps])
    for sweep, pose in zip(sensor.sweeps, poses, strict=True):
        yield _Part(device, sweep, pose)


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
