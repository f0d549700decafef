"""What a completed lidar task came to: cuboids, a list of them for each frame.

The task's response holds a link, `response.annotations.url`, to a JSON file: a list with an object for each frame, each
with a list `cuboids`. The format is that of Scale's page "Callback Format" of lidar annotation tasks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lidarprep.api.address import is_web_address
from lidarprep.api.task import Task
from lidarprep.errors import FormatError, ParameterError

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Cuboid:
    """A box around an object, in one frame. Lengths in metres, angles in radians, in the attachments' world frame.

    Args:
        uuid: The object's id, the same in every frame that it is seen in: what makes a track of its cuboids.
        label: What it is.
        position: Its centre (x, y, z).
        dimensions: Its extent along its own axes x, y and z; at yaw 0 these are the world's.
        yaw: Rotation about z, counter-clockwise seen from above. At 0 its front faces the world's +y.
        pitch: Rotation about its x axis, where the task asked for it.
        roll: Rotation about its y axis, where the task asked for it.
        stationary: It does not move in the whole scene.
        camera_used: Index of the camera whose image it was labelled with.
        number_of_points: How many lidar points lie in it.
        distance_to_device: How far it is from the device.
        attributes: What was asked for by annotation_attributes.
        raw: All that the file says of it, what has no field here included.
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
        """The same as `uuid`: cuboids of one object share it over the frames."""
        return self.uuid


@dataclass(frozen=True)
class FrameAnnotations:
    """What was labelled in one frame.

    Args:
        index: The frame's place in the task's attachments, from 0.
        cuboids: Its cuboids.
        raw: All that the file says of the frame, polygons for one.
    """

    index: int
    cuboids: tuple[Cuboid, ...]
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


def annotations_source(task: Task) -> str | list[Any]:
    """Where a completed task's annotations are: a URL, or the annotations themselves if they are in the response.

    Raises:
        ParameterError: The task is not completed, or has no annotations.
    """
    if task.status != "completed":
        raise ParameterError(f"task {task.id} is {task.status}: it has no annotations", fix=task.next_step)
    annotations = (task.response or {}).get("annotations")
    url = annotations.get("url") if isinstance(annotations, Mapping) else annotations
    if isinstance(url, list) or (isinstance(url, str) and is_web_address(url)):
        return url
    found = "holds no annotations" if url is None else "holds annotations that are no web address"
    raise ParameterError(
        f"the response of task {task.id} ({task.type}) {found}", fix="Read the task's `response` for what it does hold."
    )


def read_json(content: bytes, source: str) -> Any:
    """The JSON in a file that was fetched.

    Raises:
        FormatError: It is none.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as cause:
        raise FormatError(source, found=f"no JSON ({str(cause)[:100]})", expected="the task's annotations") from None


def read_frames(content: Any, source: str) -> tuple[FrameAnnotations, ...]:
    """Annotations by frame.

    Args:
        content: The file's JSON.
        source: Where it is from, for messages.

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
