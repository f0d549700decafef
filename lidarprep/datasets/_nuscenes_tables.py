"""One scene of nuScenes from the tables: the readings of each sensor, its calibration, and the poses of ego.

| table             | fields that are read                                                                           |
|-------------------|------------------------------------------------------------------------------------------------|
| scene             | token, name, nbr_samples                                                                       |
| sample            | the keyframes: token, scene_token                                                              |
| sample_data       | token, sample_token, ego_pose_token, calibrated_sensor_token, timestamp, is_key_frame,         |
|                   | filename, and an image's width and height                                                      |
| ego_pose          | rotation (w, x, y, z) and translation, the world (a map's frame) from ego                      |
| calibrated_sensor | sensor_token, rotation and translation, ego from sensor; camera_intrinsic, 3×3                 |
| sensor            | channel and modality: lidar, camera or radar                                                   |

Tables are JSON lists of flat objects that name each other by tokens. Timestamps are in microseconds. Reference: the
schema in the nuScenes development kit (docs/schema_nuscenes.md).

The tables of all of nuScenes hold millions of records, of which a scene needs thousands: a table is read in parts, and
unwanted records are dropped before the next part is read.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import orjson

from lidarprep.datasets.poses import is_number, numbers, read_json, wrong_entry
from lidarprep.datasets.selection import inside
from lidarprep.errors import FormatError, SceneError, naming
from lidarprep.remote import AnyPath
from lidarprep.scene import Intrinsics, Pose, Trajectory

Record = dict[str, Any]

PART_BYTES = 1 << 24

MICROSECOND_NS = 1000

TABLES = ("scene", "sample", "sample_data", "ego_pose", "calibrated_sensor", "sensor")

Modality = Literal["lidar", "camera", "radar"]


@dataclass(frozen=True)
class Reading:
    """The data of one sensor at one time, a record of sample_data."""

    token: str
    path: AnyPath
    timestamp: int  # nanoseconds since the Unix epoch
    is_key_frame: bool  # it belongs to a sample, which nuScenes annotates; else it is of a sweep between


@dataclass(frozen=True)
class Channel:
    """A sensor, and all of its readings in the scene."""

    name: str  # LIDAR_TOP, CAM_FRONT, RADAR_FRONT, …
    modality: Modality
    ego_from_sensor: Pose  # a camera's frame is that of its optics
    intrinsics: Intrinsics | None  # a camera's; its images are rectified, so there is no distortion
    readings: tuple[Reading, ...]  # in the order of time


@dataclass(frozen=True)
class SceneTables:
    """One scene as the tables have it, and what was odd."""

    channels: tuple[Channel, ...]  # the sensors, in the order of their names
    trajectory: Trajectory  # world_from_ego at the time of every reading of every sensor
    notes: tuple[str, ...]


def read_scene(tables: AnyPath, root: AnyPath, scene: Record) -> SceneTables:
    """Read the readings of a scene's sensors, without the files' content.

    Args:
        tables: The folder of the tables.
        root: The folder that file names in the tables start from.
        scene: The record of the table scene.

    Raises:
        FormatError: A table is missing or damaged, a record lacks something, a token or a pose is wrong.
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
    notes: list[str] = []
    if scene.get("nbr_samples", len(samples)) != len(samples):
        notes.append(f"scene.json promises {scene['nbr_samples']} samples; sample.json has {len(samples)} of them")
    channels = _channels(tables, root, readings)
    trajectory, doubled = _trajectory(tables, readings)
    if doubled:
        notes.append(f"ego_pose.json has several poses at {doubled} times; of each the first is taken")
    return SceneTables(channels, trajectory, tuple(notes))


def _channels(tables: AnyPath, root: AnyPath, readings: list[Record]) -> tuple[Channel, ...]:
    calibrated = _referred(tables / "sample_data.json", readings, "calibrated_sensor")
    sensors = _referred(tables / "calibrated_sensor.json", calibrated.values(), "sensor")
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
    tables: AnyPath, root: AnyPath, sensor: Record, calibrated: dict[str, Record], readings: list[Record]
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
                is_key_frame=_is_key_frame(sample_data, one),
            )
            for one in readings
        ),
    )


def _is_key_frame(table: AnyPath, record: Record) -> bool:
    value = record.get("is_key_frame")
    if not isinstance(value, bool):
        raise wrong_entry(table, record, "is_key_frame", "true or false", place_of(record))
    return value


def _one_calibration(table: AnyPath, name: str, calibrated: dict[str, Record], readings: list[Record]) -> Record:
    """Return a channel's calibration for the whole scene: records that differ by their token alone are one."""
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


def _intrinsics(tables: AnyPath, calibration: Record, image: Record) -> Intrinsics:
    table = tables / "calibrated_sensor.json"
    if not _is_pinhole(calibration.get("camera_intrinsic")):
        expected = "3 rows of 3 numbers: [[fx, skew, cx], [0, fy, cy], [0, 0, 1]]"
        raise wrong_entry(table, calibration, "camera_intrinsic", expected, place_of(calibration))
    (fx, skew, cx), (_, fy, cy), _ = (map(float, row) for row in calibration["camera_intrinsic"])
    width, height = (
        size if type(size) is int and size > 0 else None for size in (image.get("width"), image.get("height"))
    )
    with naming(table, place_of(calibration)):
        return Intrinsics(fx, fy, cx, cy, skew, width=width, height=height)


def _is_pinhole(value: Any) -> bool:
    rows = value if isinstance(value, list) else []
    if len(rows) != 3 or not all(isinstance(row, list) and len(row) == 3 and all(map(is_number, row)) for row in rows):
        return False
    return bool(rows[1][0] == 0 and rows[2] == [0, 0, 1])


def _trajectory(tables: AnyPath, readings: Sequence[Record]) -> tuple[Trajectory, int]:
    """Return world_from_ego at the readings' own times, by their tokens; and the count of times with several poses."""
    sample_data, table = tables / "sample_data.json", tables / "ego_pose.json"
    found = _referred(sample_data, readings, "ego_pose")
    first: dict[int, tuple[list[float], list[float]]] = {}
    tokens: list[Record] = []
    several: set[int] = set()
    for one in readings:
        time, record = nanoseconds(sample_data, one), found[one["ego_pose_token"]]
        pose = _rotation_and_translation(table, record)
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


def _pose(table: AnyPath, record: Record) -> Pose:
    with naming(table, place_of(record)):
        return Pose.from_quaternion(*_rotation_and_translation(table, record))


def _rotation_and_translation(table: AnyPath, record: Record) -> tuple[list[float], list[float]]:
    place = place_of(record)
    return (
        numbers(table, record, "rotation", "w, x, y, z", place),
        numbers(table, record, "translation", "x, y, z", place),
    )


# ---- records ---------------------------------------------------------------------------------------------------------


def records(table: AnyPath, key: str = "token", wanted: Container[str] | None = None) -> list[Record]:
    """Read the records of a table whose `key`, a string, is among those wanted; None: all.

    Raises:
        FormatError: There is no such table, it is not a JSON list of objects, or a record lacks the key.
    """
    if not table.is_file():
        raise FormatError(
            table,
            found="the table is missing",
            expected="a JSON list of records",
            fix="Get the metadata again: each version's archive holds all tables of that version.",
        )
    try:
        return [record for part in _parts(table) for record in _matching(table, part, key, wanted)]
    except orjson.JSONDecodeError:  # a part is not whole where records hold objects; or the table is damaged
        return list(_matching(table, read_json(table), key, wanted))


def _referred(table: AnyPath, referring: Iterable[Record], target: str) -> dict[str, Record]:
    """Return by token the records of the table `target` that the records of another table refer to."""
    key = f"{target}_token"
    tokens = {text(table, record, key): record for record in referring}
    other = table.with_name(f"{target}.json")
    found: dict[str, Record] = {record["token"]: record for record in records(other, "token", tokens)}
    for token, record in tokens.items():
        if token not in found:
            raise FormatError(
                table,
                place=place_of(record),
                found=f"{key} {token!r}",
                expected=f"the token of a record in {other.name}",
                fix="The tables belong to different versions, or one was cut: get the metadata again.",
            )
    return found


def place_of(record: Record) -> str:
    """Return the place of a record in its table, for errors."""
    return f"record {record.get('token', '(without a token)')}"


def text(table: AnyPath, record: Record, key: str) -> str:
    """Return a string of a record; one that is missing or something else is an error."""
    value = record.get(key)
    if isinstance(value, str):  # at once, for millions of records
        return value
    raise wrong_entry(table, record, key, "a string", place_of(record))


def nanoseconds(table: AnyPath, record: Record) -> int:
    """Return a record's timestamp in nanoseconds; tables have microseconds, an integer or in some exports a float."""
    value = record.get("timestamp")
    if not is_number(value) or not 0 <= value < 2**63 // MICROSECOND_NS:
        raise wrong_entry(table, record, "timestamp", "microseconds since the Unix epoch", place_of(record))
    whole = int(value)  # apart from its fraction: a float holds no nanoseconds since the epoch
    fraction: float = value - whole
    return whole * MICROSECOND_NS + round(fraction * MICROSECOND_NS)


def _parts(table: AnyPath) -> Iterator[Any]:
    """Yield the table's records in parts.

    A part ends where one object ends and a comma follows. If that is within a record, neither part is JSON.
    """
    rest, first = b"", True
    with table.open("rb") as stream:
        while block := stream.read(PART_BYTES):
            rest += block
            end = rest.rfind(b"},")
            if end < 0:
                continue
            yield orjson.loads((b"" if first else b"[") + rest[: end + 1] + b"]")
            rest, first = rest[end + 2 :], False
    yield orjson.loads(rest if first else b"[" + rest)


def _matching(table: AnyPath, part: Any, key: str, wanted: Container[str] | None) -> Iterator[Record]:
    if not isinstance(part, list):
        raise FormatError(table, found=f"a JSON {type(part).__name__}", expected="a list of records")
    for record in part:
        if not isinstance(record, dict):
            raise FormatError(table, found=f"a {type(record).__name__} in the list", expected="records, JSON objects")
        value = text(table, record, key)
        if wanted is None or value in wanted:
            yield record
