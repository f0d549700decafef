"""One scene of nuScenes, put together from the tables: what each sensor recorded, where it sat, and where ego was.

| table             | what is taken from it                                                                          |
|-------------------|------------------------------------------------------------------------------------------------|
| scene             | token, name, nbr_samples                                                                       |
| sample            | the keyframes: token, scene_token                                                              |
| sample_data       | token, sample_token, ego_pose_token, calibrated_sensor_token, timestamp, is_key_frame,         |
|                   | filename, and a picture's width and height                                                     |
| ego_pose          | rotation (w, x, y, z) and translation, the world (a map's frame) from ego                      |
| calibrated_sensor | sensor_token, rotation and translation, ego from sensor; camera_intrinsic, 3×3                 |
| sensor            | channel and modality: lidar, camera or radar                                                   |

Timestamps are in microseconds. Reference: the schema in the nuScenes development kit (docs/schema_nuscenes.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np

from lidarprep.datasets.asked_for import inside
from lidarprep.datasets.nuscenes.records import (
    Record,
    by_token,
    check_found,
    flag,
    matrix,
    nanoseconds,
    numbers,
    place_of,
    records,
    text,
)
from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Intrinsics, Pose, Trajectory

TABLES = ("scene", "sample", "sample_data", "ego_pose", "calibrated_sensor", "sensor")

Modality = Literal["lidar", "camera", "radar"]


@dataclass(frozen=True)
class Reading:
    """What one sensor recorded at one time, a record of sample_data.

    Args:
        token: The record's token.
        path: The file.
        timestamp: Nanoseconds since the Unix epoch.
        is_key_frame: Whether it belongs to a sample, which is what nuScenes annotates; else it is of a sweep between.
    """

    token: str
    path: Path
    timestamp: int
    is_key_frame: bool


@dataclass(frozen=True)
class Channel:
    """A sensor, and all that it recorded in the scene.

    Args:
        name: LIDAR_TOP, CAM_FRONT, RADAR_FRONT, …
        modality: What kind of sensor it is.
        ego_from_sensor: Its pose on the vehicle. A camera's frame is that of its optics.
        intrinsics: A camera's; else None. The pictures are rectified, so there is no distortion.
        readings: In the order of time.
    """

    name: str
    modality: Modality
    ego_from_sensor: Pose
    intrinsics: Intrinsics | None
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class SceneTables:
    """What the tables say of one scene.

    Args:
        channels: The sensors, in the order of their names.
        trajectory: world_from_ego at the time of every reading of every sensor.
        notes: What was odd, a sentence each.
    """

    channels: tuple[Channel, ...]
    trajectory: Trajectory
    notes: tuple[str, ...]


def read_scene(tables: Path, root: Path, scene: Record) -> SceneTables:
    """Everything that a scene's sensors recorded, without the files' content.

    Args:
        tables: The folder of the tables.
        root: The folder that file names in the tables start from.
        scene: The record of the table scene.

    Raises:
        FormatError: A table is missing or damaged, a record lacks something, a token points nowhere, a pose is none.
    """
    samples = {
        text(tables / "sample.json", sample, "token")
        for sample in records(tables / "sample.json", "scene_token", {scene["token"]})
    }
    sample_data = tables / "sample_data.json"
    readings = records(sample_data, "sample_token", samples)
    if not readings:
        raise FormatError(
            sample_data,
            found=f"nothing of scene {scene['name']}, which has {len(samples)} samples",
            expected="a record for each file that its sensors recorded",
        )
    readings.sort(key=lambda reading: nanoseconds(sample_data, reading))
    notes = []
    if scene.get("nbr_samples", len(samples)) != len(samples):
        notes.append(f"scene.json promises {scene['nbr_samples']} samples; sample.json has {len(samples)} of them")
    channels = _channels(tables, root, readings)
    trajectory, doubled = _trajectory(tables, readings)
    if doubled:
        notes.append(f"ego_pose.json has several poses at {doubled} times; of each the first is taken")
    return SceneTables(channels, trajectory, tuple(notes))


def _channels(tables: Path, root: Path, readings: list[Record]) -> tuple[Channel, ...]:
    sample_data, calibration = tables / "sample_data.json", tables / "calibrated_sensor.json"
    calibrated = by_token(calibration, {text(sample_data, one, "calibrated_sensor_token") for one in readings})
    check_found(sample_data, readings, "calibrated_sensor_token", calibrated, "calibrated_sensor")
    sensors = by_token(tables / "sensor.json", {text(calibration, one, "sensor_token") for one in calibrated.values()})
    check_found(calibration, calibrated.values(), "sensor_token", sensors, "sensor")
    recorded: dict[str, list[Record]] = {}
    for one in readings:
        sensor = sensors[calibrated[one["calibrated_sensor_token"]]["sensor_token"]]
        recorded.setdefault(sensor["token"], []).append(one)
    channels = [_channel(tables, root, sensors[token], calibrated, ones) for token, ones in recorded.items()]
    names = [channel.name for channel in channels]
    for name in names:
        if names.count(name) > 1:
            raise FormatError(
                tables / "sensor.json", found=f"{names.count(name)} sensors of the channel {name}", expected="one"
            )
    return tuple(sorted(channels, key=lambda channel: channel.name))


def _channel(
    tables: Path, root: Path, sensor: Record, calibrated: dict[str, Record], readings: list[Record]
) -> Channel:
    sensor_table, sample_data = tables / "sensor.json", tables / "sample_data.json"
    name, modality = text(sensor_table, sensor, "channel"), text(sensor_table, sensor, "modality")
    if modality not in get_args(Modality):
        raise FormatError(
            sensor_table, place=place_of(sensor), found=f"the modality {modality!r}", expected="lidar, camera or radar"
        )
    calibration = _one_calibration(tables / "calibrated_sensor.json", name, calibrated, readings)
    return Channel(
        name=name,
        modality=cast(Modality, modality),
        ego_from_sensor=_pose(tables / "calibrated_sensor.json", calibration),
        intrinsics=_intrinsics(tables, calibration, readings[0]) if modality == "camera" else None,
        readings=tuple(
            Reading(
                token=text(sample_data, one, "token"),
                path=inside(root, text(sample_data, one, "filename"), sample_data, place_of(one)),
                timestamp=nanoseconds(sample_data, one),
                is_key_frame=flag(sample_data, one, "is_key_frame"),
            )
            for one in readings
        ),
    )


def _one_calibration(table: Path, name: str, calibrated: dict[str, Record], readings: list[Record]) -> Record:
    """A channel's calibration, which holds for a whole scene: records that differ by their token alone are one."""
    tokens = list(dict.fromkeys(one["calibrated_sensor_token"] for one in readings))
    first = calibrated[tokens[0]]
    for token in tokens[1:]:
        if any(calibrated[token].get(key) != first.get(key) for key in ("rotation", "translation", "camera_intrinsic")):
            raise FormatError(
                table,
                place=place_of(calibrated[token]),
                found=f"another calibration of {name} than {place_of(first)}, both within the scene",
                expected="one a sensor and scene",
            )
    return first


def _intrinsics(tables: Path, calibration: Record, picture: Record) -> Intrinsics:
    table = tables / "calibrated_sensor.json"
    (fx, skew, cx), (zero, fy, cy), last = matrix(table, calibration, "camera_intrinsic")
    if zero != 0 or last != [0, 0, 1]:
        raise FormatError(
            table,
            place=f"{place_of(calibration)}, field 'camera_intrinsic'",
            found=repr(calibration["camera_intrinsic"])[:120],
            expected="[[fx, skew, cx], [0, fy, cy], [0, 0, 1]]",
        )
    width, height = (
        size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None
        for size in (picture.get("width"), picture.get("height"))
    )
    try:
        return Intrinsics(fx, fy, cx, cy, skew, width=width, height=height)
    except SceneError as error:
        raise FormatError(table, place=place_of(calibration), found=error.message, fix=error.fix) from error


def _trajectory(tables: Path, readings: Sequence[Record]) -> tuple[Trajectory, int]:
    """world_from_ego at the readings' own times, which is what their tokens say; and how many times have several."""
    sample_data, table = tables / "sample_data.json", tables / "ego_pose.json"
    found = by_token(table, {text(sample_data, one, "ego_pose_token") for one in readings})
    check_found(sample_data, readings, "ego_pose_token", found, "ego_pose")
    first: dict[int, tuple[list[float], list[float]]] = {}
    tokens: list[Record] = []
    several: set[int] = set()
    for one in readings:
        time, record = nanoseconds(sample_data, one), found[one["ego_pose_token"]]
        pose = numbers(table, record, "rotation", 4), numbers(table, record, "translation", 3)
        if time not in first:
            first[time] = pose
            tokens.append(record)
        elif pose != first[time]:
            several.add(time)
    rotations, translations = (np.array(values) for values in zip(*first.values(), strict=True))
    try:
        return Trajectory(np.array(list(first), dtype=np.int64), rotations, translations), len(several)
    except SceneError:
        for record in tokens:  # names the one at fault
            _pose(table, record)
        raise


def _pose(table: Path, record: Record) -> Pose:
    rotation, translation = numbers(table, record, "rotation", 4), numbers(table, record, "translation", 3)
    try:
        return Pose.from_quaternion(rotation, translation)
    except SceneError as error:
        raise FormatError(table, place=place_of(record), found=error.message, fix=error.fix) from error
