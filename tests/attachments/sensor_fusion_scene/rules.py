"""What the format and its official validator ask of a scene, written down anew: nothing of lidarprep is used here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

PARAMETER_COUNTS = {"brown_conrady": 10, "fisheye": 4, "omnidirectional": 9, "cylindrical": 0, "equirectangular": 0}
LIDAR_ARRAYS = {"positions": (np.float32, 3), "intensities": (np.uint8, 0), "timestamps": (np.uint32, 0)}
LIDAR_ARRAYS |= {"colors": (np.uint8, 3)}
RADAR_ARRAYS = {"positions": (np.float32, 3), "directions": (np.float32, 3), "lengths": (np.float32, 0)}
RADAR_ARRAYS |= {"timestamps": (np.uint32, 0)}


def broken_rules(scene: dict[str, Any], *, odometry: bool = False) -> list[str]:
    """Every rule that a scene breaks, as scale_json_binary reads it."""
    return list(_broken(scene, odometry))


def _broken(scene: dict[str, Any], odometry: bool) -> Iterator[str]:
    if scene["version"] != "1.0":
        yield "version"
    if scene["time_unit"] != "microseconds":
        yield "time unit"
    if type(scene["time_offset"]) is not int or scene["time_offset"] < 0:
        yield "time offset"
    if not set(scene) <= {"version", "sensors", "annotations", "attributes", "metadata", "time_offset", "time_unit"}:
        yield "unknown key"
    ids = [sensor["id"] for sensor in scene["sensors"]]
    if len(set(map(str, ids))) < len(ids) or not all(type(one) in (str, int) for one in ids):
        yield "ids"
    for sensor in scene["sensors"]:
        yield from _poses(sensor)
        if sensor["type"] in ("lidar", "radar"):
            yield from _sweeps(sensor, LIDAR_ARRAYS if sensor["type"] == "lidar" else RADAR_ARRAYS)
        elif sensor["type"] == "camera":
            yield from _camera(sensor)
        elif not (odometry and sensor["type"] == "odometry" and set(sensor) == {"id", "type", "poses"}):
            yield f"a sensor of type {sensor['type']}"


def _times(times: list[int], what: str) -> Iterator[str]:
    if not times or not all(type(time) is int for time in times):
        yield f"{what}: times are not whole numbers"
        return
    if times[0] < 0:
        yield f"{what}: negative"
    if any(after <= before for before, after in pairwise(times)):
        yield f"{what}: not increasing"
    if times[0] > 100e6:
        yield f"{what}: begins later than 100 s"
    if len(times) > 1 and np.mean(np.diff(times)) < 10_000:
        yield f"{what}: more than 100 a second"


def _poses(sensor: dict[str, Any]) -> Iterator[str]:
    poses = sensor["poses"]
    yield from _times(poses["timestamps"], f"poses of {sensor['id']}")
    if len(poses["values"]) != len(poses["timestamps"]):
        yield "as many poses as timestamps"
    for value in poses["values"]:
        if len(value) != 7 or not all(type(number) is float and np.isfinite(number) for number in value):
            yield f"pose {value}"
        elif abs(np.linalg.norm(value[3:]) - 1) > 1e-6:
            yield f"quaternion {value}"


def _sweeps(sensor: dict[str, Any], arrays: dict[str, Any]) -> Iterator[str]:
    who = f"{sensor['type']} {sensor['id']}"
    if set(sensor) != {"id", "type", "coordinates", "poses", "frames"} or sensor["coordinates"] != "world":
        yield f"{who}: keys"
    yield from _times([frame["timestamp"] for frame in sensor["frames"]], who)
    for frame in sensor["frames"]:
        points = frame["points"]
        if "positions" not in points or not set(points) <= set(arrays):
            yield f"{who}: arrays {list(points)}"
        for name, array in points.items():
            dtype, width = arrays[name]
            count = len(points["positions"])
            if array.dtype != dtype or array.shape != ((count, width) if width else (count,)):
                yield f"{who}: {name} is {array.dtype} {array.shape}"
        if not np.isfinite(points["positions"]).all():
            yield f"{who}: not finite"
        # As the validator has it: an empty list of timestamps counts as 0.
        earliest = points.get("timestamps")
        if earliest is not None and frame["timestamp"] > (earliest.min() if len(earliest) else 0):
            yield f"{who}: a frame later than its earliest point"


def _camera(sensor: dict[str, Any]) -> Iterator[str]:
    who = f"camera {sensor['id']}"
    if set(sensor) != {"id", "type", "poses", "intrinsics", "images"}:
        yield f"{who}: keys"
    yield from _times([image["timestamp"] for image in sensor["images"]], who)
    for image in sensor["images"]:
        if set(image) != {"timestamp", "content"} or image["content"].dtype != np.uint8 or image["content"].ndim != 1:
            yield f"{who}: image"
    intrinsics = sensor["intrinsics"]
    if set(intrinsics) != {"fx", "fy", "cx", "cy", "width", "height", "distortion"}:
        yield f"{who}: intrinsics"
    if not all(type(intrinsics[key]) is float for key in ("fx", "fy", "cx", "cy")):
        yield f"{who}: focal lengths"
    if not all(type(intrinsics[key]) is int for key in ("width", "height")):
        yield f"{who}: size"
    distortion = intrinsics["distortion"]
    if distortion is not None and (
        PARAMETER_COUNTS[distortion["model"]] != len(distortion["params"])
        or not all(type(value) is float for value in distortion["params"])
    ):
        yield f"{who}: distortion"
