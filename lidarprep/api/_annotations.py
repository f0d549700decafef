"""Annotations of a completed lidar task: cuboids, a list of them for each frame.

The task's response links to a JSON file by `response.annotations.url`. It is a list with an object for each frame, each
with a list `cuboids`. The format is that of Scale's page "Callback Format" of lidar annotation tasks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lidarprep.errors import FormatError

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Cuboid:
    """A box around an object, in one frame. Lengths in metres, angles in radians, in the attachments' world frame.

    Args:
        uuid: The object's id, the same in every frame: its cuboids form a track.
        label: Its label.
        position: Its centre (x, y, z).
        dimensions: Its extent along its own axes x, y and z; at yaw 0 these are the world's.
        yaw: Rotation about z, counter-clockwise seen from above. At 0 its front faces the world's +y.
        pitch: Rotation about its x axis, if the task asked for it.
        roll: Rotation about its y axis, if the task asked for it.
        stationary: It does not move in the whole scene.
        camera_used: Index of the camera whose image it was labelled with.
        number_of_points: Number of lidar points in it.
        distance_to_device: Its distance from the device.
        attributes: Values of the task's annotation_attributes.
        raw: Its object in the file, with keys that have no field here.
    """

    uuid: str
    label: str
    position: Vector
    dimensions: Vector
    yaw: float
    pitch: float | None = None
    roll: float | None = None
    stationary: bool | None = None
    camera_used: int | None = None
    number_of_points: int | None = None
    distance_to_device: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def track_id(self) -> str:
        """The same as `uuid`: all cuboids of one object share it."""
        return self.uuid


@dataclass(frozen=True)
class FrameAnnotations:
    """Annotations of one frame.

    Args:
        index: The frame's place in the task's attachments, from 0.
        cuboids: Its cuboids.
        raw: Its object in the file, with polygons for example.
    """

    index: int
    cuboids: tuple[Cuboid, ...]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


def read_json(content: bytes, source: str) -> Any:
    """Parse a fetched file as JSON.

    Raises:
        FormatError: It is not JSON.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as cause:
        raise FormatError(source, found=f"no JSON ({str(cause)[:100]})", expected="the task's annotations") from None


def read_frames(content: Any, source: str) -> tuple[FrameAnnotations, ...]:
    """Parse annotations by frame; `source` is their URL or task, for messages.

    Raises:
        FormatError: It is not a list of frames with cuboids.
    """
    if not isinstance(content, list):
        raise FormatError(source, found=_kind(content), expected="a list with an object for each frame")
    return tuple(_frame(frame, index, source) for index, frame in enumerate(content))


def _frame(frame: Any, index: int, source: str) -> FrameAnnotations:
    cuboids = frame.get("cuboids") if isinstance(frame, dict) else None
    if not isinstance(cuboids, list):
        raise FormatError(
            source,
            place=f"frame {index}",
            found=f"keys {', '.join(sorted(frame)) or '(none)'}" if isinstance(frame, dict) else _kind(frame),
            expected="a list `cuboids`, as lidarannotation tasks have",
            fix="Annotations of other task types: use annotations_json.",
        )
    return FrameAnnotations(
        index, tuple(_cuboid(c, f"frame {index}, cuboid {n}", source) for n, c in enumerate(cuboids)), frame
    )


def _cuboid(content: Any, place: str, source: str) -> Cuboid:
    if not isinstance(content, dict):
        raise FormatError(source, place=place, found=_kind(content), expected="an object")

    def required(name: str, kind: str, value: Any) -> Any:
        if value is None:
            found = f"{name} {json.dumps(content[name])[:80]}" if name in content else f"no {name}"
            raise FormatError(source, place=place, found=found, expected=f"{name}, {kind}")
        return value

    attributes = content.get("attributes")
    stationary = content.get("stationary")
    points, camera = _number(content.get("numberOfPoints")), _number(content.get("camera_used"))
    return Cuboid(
        uuid=required("uuid", "a text", _text(content.get("uuid"))),
        label=required("label", "a text", _text(content.get("label"))),
        position=required("position", "an object of numbers x, y and z", _vector(content.get("position"))),
        dimensions=required("dimensions", "an object of numbers x, y and z", _vector(content.get("dimensions"))),
        yaw=required("yaw", "a number", _number(content.get("yaw"))),
        pitch=_number(content.get("pitch")),
        roll=_number(content.get("roll")),
        stationary=stationary if isinstance(stationary, bool) else None,
        camera_used=None if camera is None else int(camera),
        number_of_points=None if points is None else int(points),
        distance_to_device=_number(content.get("distance_to_device")),
        attributes=attributes if isinstance(attributes, dict) else {},
        raw=content,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e300:  # nor NaN, infinite
        return None
    return float(value)


def _vector(value: Any) -> Vector | None:
    if not isinstance(value, dict):
        return None
    x, y, z = (_number(value.get(axis)) for axis in "xyz")
    return None if x is None or y is None or z is None else (x, y, z)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")
