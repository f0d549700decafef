"""A Sensor Fusion Scene to frames of the world: the header is checked at once, points are made on demand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lidarprep.attachments._columns import DocumentReader
from lidarprep.attachments.sensor_fusion_scene._container import Buffer, read_container
from lidarprep.attachments.sensor_fusion_scene._conventions import DISTORTION_PARAMETERS, NS_PER_US, PosePath
from lidarprep.attachments.sensor_fusion_scene._frames import Sweep, SweepingSensor, frames_of
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Camera, CameraImage, CameraModel, Distortion, Intrinsics, Scene

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
_NOT_READ = ("annotations", "attributes", "metadata")


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
    document = read_container(data, source)
    try:
        return _SceneReader(source).read(document)
    except SceneError as error:
        raise FormatError(source, found=error.message) from error


class _SceneReader(DocumentReader):
    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.offset_us = 0
        self.notes: list[str] = []
        self.lidars: list[SweepingSensor] = []
        self.radars: list[SweepingSensor] = []
        self.device_poses: PosePath | None = None
        self.cameras: list[Camera] = []
        self.images: list[tuple[int, CameraImage]] = []

    def read(self, document: dict[str, Any]) -> Scene:
        version = document.get("version")
        if not isinstance(version, str) or not version.startswith("1.0"):
            raise self.refuse("version", version, '"1.0"')
        if document.get("time_unit") not in (None, "microseconds"):
            raise self.refuse("time_unit", document["time_unit"], '"microseconds"')
        if document.get("time_offset") is not None:
            self.offset_us = self.time(document["time_offset"], "time_offset")
        ids: set[str | int] = set()
        for number, sensor in enumerate(self.listed(document.get("sensors"), "sensors")):
            self.sensor(self.mapping(sensor, f"sensors[{number}]"), f"sensors[{number}]", ids)
        if not self.lidars:
            raise FormatError(self.source, place="sensors", found="no lidar", expected="at least one")
        unread = [key for key in _NOT_READ if document.get(key)]
        if unread:
            self.notes.append(f"the scene's {', '.join(unread)} are not read")
        device_poses = self.device_poses or self.lidars[0].poses
        frames = frames_of(self.source, self.offset_us, self.lidars, self.radars, self.images, device_poses, self.notes)
        return Scene(
            source=self.source,
            layout="sensor_fusion_scene",
            frames=frames,
            cameras=tuple(self.cameras),
            points_frame="world",
            notes=tuple(self.notes),
        )

    # ---- sensors ---------------------------------------------------------------------------------------------------

    def sensor(self, sensor: dict[str, Any], place: str, ids: set[str | int]) -> None:
        sensor_id = sensor.get("id")
        if not isinstance(sensor_id, str | int) or isinstance(sensor_id, bool):
            raise self.refuse(f"{place}.id", sensor_id, "a string or an integer")
        if sensor_id in ids:
            raise self.refuse(f"{place}.id", sensor_id, "an id of its own")
        ids.add(sensor_id)
        if sensor.get("parent_id") is not None:
            self.notes.append(
                f"sensor {sensor_id!r} has a parent_id; its poses are taken to be in the world all the same"
            )
        kind = sensor.get("type")
        if kind == "lidar":
            self.lidars.append(self.sweeping(sensor, place, _LIDAR_ARRAYS))
        elif kind == "radar":
            self.radars.append(self.sweeping(sensor, place, _RADAR_ARRAYS))
        elif kind == "camera":
            self.camera(sensor, place)
        elif kind == "odometry":
            self.device_poses = self.device_poses or self.poses(sensor, place)
        elif kind == "points":
            self.notes.append(f"sensor {sensor_id!r} holds points without a time, which are not read")
        else:
            raise self.refuse(f"{place}.type", kind, "lidar, camera, radar, odometry or points")

    def sweeping(self, sensor: dict[str, Any], place: str, arrays: dict[str, tuple[str, int]]) -> SweepingSensor:
        coordinates = sensor.get("coordinates", "world")
        if coordinates not in ("world", "ego"):
            raise self.refuse(f"{place}.coordinates", coordinates, '"world" or "ego"')
        frames = self.listed(sensor.get("frames"), f"{place}.frames")
        if not frames:
            raise FormatError(self.source, place=f"{place}.frames", found="no frame", expected="at least one")
        poses = self.poses(sensor, place)
        if coordinates == "ego" and not len(poses.times_us):
            raise FormatError(self.source, place=f"{place}.poses", found="no pose", expected="one, for ego coordinates")
        sweeps = [self.sweep(frame, f"{place}.frames[{number}]", arrays) for number, frame in enumerate(frames)]
        self.require_increasing([sweep.time_us for sweep in sweeps], f"{place}.frames")
        return SweepingSensor(sensor["id"], poses, coordinates == "ego", sweeps)

    def sweep(self, frame: Any, place: str, arrays: dict[str, tuple[str, int]]) -> Sweep:
        mapping = self.mapping(frame, place)
        points = self.mapping(mapping.get("points"), f"{place}.points")
        if points.get("positions") is None:
            raise FormatError(self.source, place=f"{place}.points", found="no positions")
        found: dict[str, NDArray[Any]] = {}
        for name, (dtype, width) in arrays.items():
            array = points.get(name)
            if array is None:
                continue
            if not isinstance(array, np.ndarray) or array.dtype.name != dtype:
                what = array.dtype.name if isinstance(array, np.ndarray) else array
                raise self.refuse(f"{place}.points.{name}", what, f"an array of {dtype}")
            # The official reader takes rows of three numbers from a flat array, too.
            flat = width == 3 and array.ndim == 1 and array.size % 3 == 0
            if not flat and array.shape != ((len(array), 3) if width == 3 and array.ndim else (array.size,)):
                raise self.refuse(f"{place}.points.{name}", array.shape, "(N, 3)" if width == 3 else "(N,)")
            found[name] = array.reshape(-1, 3) if flat else array
            if len(found[name]) != len(found["positions"]):
                expected = f"{len(found['positions'])}, one a point"
                raise self.refuse(f"{place}.points.{name}", f"{len(found[name])} rows", expected)
        return Sweep(self.time(mapping.get("timestamp"), f"{place}.timestamp"), found)

    def poses(self, sensor: dict[str, Any], place: str) -> PosePath:
        place = f"{place}.poses"
        mapping = self.mapping(sensor.get("poses"), place)
        stamps = self.listed(mapping.get("timestamps"), f"{place}.timestamps")
        times = [self.time(time, f"{place}.timestamps[{n}]") for n, time in enumerate(stamps)]
        rows = self.listed(mapping.get("values"), f"{place}.values")
        if len(rows) != len(times):
            raise self.refuse(f"{place}.values", f"{len(rows)} poses", f"{len(times)}, one a timestamp")
        self.require_increasing(times, f"{place}.timestamps")
        for number, row in enumerate(rows):
            if len(self.listed(row, f"{place}.values[{number}]")) != 7 or not all(map(_is_number, row)):
                raise self.refuse(f"{place}.values[{number}]", row, "7 numbers: x, y, z, qx, qy, qz, qw")
        path = PosePath(np.array(times, dtype=np.int64), np.array(rows, dtype=np.float64).reshape(-1, 7))
        bad = path.first_bad()
        if bad is not None:
            raise self.refuse(f"{place}.values[{bad}]", rows[bad], "finite numbers, the last four a unit quaternion")
        return path

    def camera(self, sensor: dict[str, Any], place: str) -> None:
        if (sensor.get("images") is None) == (sensor.get("video") is None):
            raise FormatError(self.source, place=place, found="not exactly one of images and video")
        if sensor.get("images") is None:
            self.notes.append(f"camera {sensor['id']!r} holds a video, which is not read")
            return
        described = self.mapping(sensor.get("intrinsics"), f"{place}.intrinsics")
        distortion = described.get("distortion")
        model: Any = "brown_conrady"
        params: list[Any] = []
        if distortion is not None:
            mapping = self.mapping(distortion, f"{place}.intrinsics.distortion")
            model, params = (
                mapping.get("model"),
                self.listed(mapping.get("params"), f"{place}.intrinsics.distortion.params"),
            )
        if not isinstance(model, str):
            raise self.refuse(f"{place}.intrinsics.distortion.model", model, "a string")
        if model not in DISTORTION_PARAMETERS:
            self.notes.append(f"camera {sensor['id']!r} has the model {model!r}, which is not known: it is left out")
            return
        camera = self.add_camera(sensor["id"], described, model, params, f"{place}.intrinsics")
        poses = self.poses(sensor, place)
        times: list[int] = []
        for number, image in enumerate(self.listed(sensor["images"], f"{place}.images")):
            at = f"{place}.images[{number}]"
            mapping = self.mapping(image, at)
            content = mapping.get("content")
            if not isinstance(content, np.ndarray) or content.dtype != np.uint8:
                raise self.refuse(f"{at}.content", type(content).__name__, "an array of uint8")
            times.append(self.time(mapping.get("timestamp"), f"{at}.timestamp"))
            timestamp = (self.offset_us + times[-1]) * NS_PER_US
            pose = poses.at(times[-1])
            self.images.append(
                (times[-1], CameraImage(camera, world_from_camera=pose, timestamp=timestamp, content=content.tobytes))
            )
        self.require_increasing(times, f"{place}.images")

    def add_camera(
        self, sensor_id: str | int, described: dict[str, Any], model: str, params: list[Any], place: str
    ) -> Camera:
        for key in ("fx", "fy", "cx", "cy"):
            if not _is_number(described.get(key)):
                raise self.refuse(f"{place}.{key}", described.get(key), "a number")
        for key in ("width", "height"):
            if type(described.get(key)) is not int or described[key] < 1:
                raise self.refuse(f"{place}.{key}", described.get(key), "a whole number of pixels")
        names = DISTORTION_PARAMETERS[cast(CameraModel, model)]
        if len(params) > len(names) or not all(map(_is_number, params)):
            raise self.refuse(f"{place}.distortion.params", params, f"up to {len(names)} numbers for {model}")
        try:
            intrinsics = Intrinsics(
                **{key: float(described[key]) for key in ("fx", "fy", "cx", "cy")},
                model=cast(CameraModel, model),
                distortion=Distortion(**dict(zip(names, map(float, params), strict=False))),
                width=described["width"],
                height=described["height"],
            )
        except SceneError as error:
            raise FormatError(self.source, place=place, found=error.message) from error
        name, taken, number = str(sensor_id), {camera.name for camera in self.cameras}, 1
        while name in taken:  # 7 and "7" are two ids
            number += 1
            name = f"{sensor_id}_{number}"
        camera = Camera(name, len(self.cameras), intrinsics)
        self.cameras.append(camera)
        return camera

    # ---- values ----------------------------------------------------------------------------------------------------

    def time(self, value: Any, place: str) -> int:
        if type(value) is not int or not 0 <= value <= LARGEST_TIME_US:
            raise self.refuse(place, value, f"whole microseconds from 0 to {LARGEST_TIME_US}")
        return value

    def require_increasing(self, times: Sequence[int], place: str) -> None:
        for number in range(1, len(times)):
            if times[number] <= times[number - 1]:
                raise self.refuse(place, times[number], f"a time after {times[number - 1]}, the one before it")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
