"""JSON files of a recording, and the poses in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Pose


@dataclass(frozen=True)
class StampedPose:
    """A pose, and its time in nanoseconds since the Unix epoch where the recording has it."""

    pose: Pose
    timestamp: int | None = None


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        FormatError: It is not JSON.
    """
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise FormatError(path, place=place, found=error.msg, expected="JSON") from error


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        FormatError: It is not JSON, or holds something else.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise FormatError(path, found=f"a JSON {type(value).__name__}", expected="an object")
    return value


def pose_of(path: Path, value: Any, place: str | None = None) -> StampedPose:
    """Read a pose from {"heading": [w, x, y, z], "position": [x, y, z]}, metres, and its "timestamp" if it has one.

    Args:
        path: The file, for errors.
        value: The object, as JSON has it.
        place: Its place in the file, for errors.

    Raises:
        FormatError: It is another object, the heading is not a unit quaternion, or the timestamp not an integer.
    """
    if not isinstance(value, dict):
        raise FormatError(
            path, place=place, found=f"a JSON {type(value).__name__}", expected='an object with "heading", "position"'
        )
    heading = _numbers(path, value, "heading", "w, x, y, z", place)
    position = _numbers(path, value, "position", "x, y, z", place)
    timestamp = value.get("timestamp")
    if timestamp is not None and not (type(timestamp) is int and -(2**63) <= timestamp < 2**63):
        raise FormatError(
            path,
            place=_field(place, "timestamp"),
            found=repr(timestamp),
            expected="an integer, nanoseconds since the Unix epoch",
            fix="Write it so, or leave the key out.",
        )
    try:
        return StampedPose(Pose.from_quaternion(heading, position), timestamp)
    except SceneError as error:
        raise FormatError(path, place=place, found=error.message, fix=error.fix) from error


def _numbers(path: Path, value: dict[str, Any], key: str, names: str, place: str | None) -> list[float]:
    numbers = value.get(key)
    expected = f"[{names}]"
    if key not in value:
        raise FormatError(path, place=place, found=f'no "{key}"', expected=expected)
    if not (
        isinstance(numbers, list)
        and len(numbers) == names.count(",") + 1
        and all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers)
    ):
        raise FormatError(path, place=_field(place, key), found=repr(numbers)[:80], expected=expected)
    return [float(number) for number in numbers]


def _field(place: str | None, key: str) -> str:
    return f"field '{key}'" if place is None else f"{place}, field '{key}'"
