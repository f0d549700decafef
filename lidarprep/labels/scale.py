"""Results of Scale's tasks to columns, in the world of the attachments.

Scale's cuboids: a box's own axes are x right, y forward, z up; `dimensions` are along them, so `dimensions.y` is the
length; at yaw 0 it looks along the world's +y. `pitch` turns about its own x, `roll` about its own y. Ours look along
+x: the yaw is a quarter turn more, the pitch changes its sign, sizes are (y, x, z).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from lidarprep.errors import FormatError
from lidarprep.scene import Boxes2D, Cuboids, Shapes
from lidarprep.scene.labels import UNKNOWN, wrapped

QUARTER_TURN = math.pi / 2

# The keys of labels of points, as the reference's example and its prose call them.
_POINT_KEYS = (b"point_objects", b"point_labels")
_OBJECT_KEYS = ("objects", "labels")


def read_json(content: bytes, source: str) -> Any:
    """Parse a fetched file.

    Raises:
        FormatError: It is not JSON.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise FormatError(source, found=f"no JSON ({error})"[:200], expected="the result of a task") from None


# ---- cuboids -------------------------------------------------------------------------------------------------------


def cuboids(content: Any, rows: Sequence[int], source: str) -> Cuboids:
    """Read the cuboids of a lidar task: a list with an object for each frame.

    Args:
        content: The parsed file.
        rows: Row of `Labels.frames` of each of its frames.
        source: Names it in errors.

    Raises:
        FormatError: A cuboid lacks a value, or has one of another kind; names frame, cuboid and value.
    """
    found: list[dict[str, Any]] = []
    for number, (frame, row) in enumerate(zip(content, rows, strict=True)):
        listed = _listed(frame, "cuboids", f"frame {number}", source)
        found += [
            _cuboid(one, row, _Place(source, f"frame {number}, cuboid {at}", one)) for at, one in enumerate(listed)
        ]
    columns = Cuboids.of_rows(found)
    yaw = wrapped(columns.yaw + QUARTER_TURN)
    return Cuboids(**{**vars(columns), "yaw": yaw})


def _cuboid(one: Any, row: int, place: _Place) -> dict[str, Any]:
    place.require_object()
    stationary = one.get("stationary")
    size = place.vector("dimensions")
    return {
        "track": place.text("uuid"),
        "label": place.text("label"),
        "frame": row,
        "position": place.vector("position"),
        "size": (size[1], size[0], size[2]),
        "yaw": place.number("yaw"),
        "pitch": -place.number("pitch", 0.0) + 0.0,
        "roll": place.number("roll", 0.0),
        "stationary": int(stationary) if isinstance(stationary, bool) else UNKNOWN,
        "camera": int(place.number("camera_used", UNKNOWN)),
        "points": int(place.number("numberOfPoints", UNKNOWN)),
        "attributes": _attributes(one),
    }


def to_scale(columns: Cuboids, row: int) -> dict[str, Any]:
    """Return one row as Scale writes a cuboid, positions as they are."""
    length, width, height = columns.size[row].tolist()
    written = {
        "uuid": columns.track[row],
        "label": columns.label[row],
        "position": dict(zip("xyz", columns.position[row].tolist(), strict=True)),
        "dimensions": {"x": width, "y": length, "z": height},
        "yaw": float(wrapped(columns.yaw[row : row + 1] - QUARTER_TURN)[0]),
        "attributes": dict(columns.attributes[row]),
    }
    if columns.pitch[row] or columns.roll[row]:
        written |= {"pitch": -float(columns.pitch[row]), "roll": float(columns.roll[row])}
    if columns.stationary[row] != UNKNOWN:
        written["stationary"] = bool(columns.stationary[row])
    if columns.camera[row] != UNKNOWN:
        written["camera_used"] = int(columns.camera[row])
    if columns.points[row] != UNKNOWN:
        written["numberOfPoints"] = int(columns.points[row])
    return written


# ---- boxes of linking, top-down shapes -----------------------------------------------------------------------------


def linked_boxes(content: Any, rows: Sequence[int], source: str) -> Boxes2D:
    """Read the boxes of a linking task: for each frame the responses of its cameras. Arguments, errors: `cuboids`."""
    found: list[dict[str, Any]] = []
    for number, (frame, row) in enumerate(zip(content, rows, strict=True)):
        for camera in _listed(frame, "camera_responses", f"frame {number}", source):
            where = _Place(source, f"frame {number}, a camera", camera)
            where.require_object()
            used = int(where.number("camera_used", UNKNOWN))
            for at, one in enumerate(_listed(camera, "annotations", where.place, source)):
                place = _Place(source, f"frame {number}, camera {used}, annotation {at}", one)
                place.require_object()
                found.append(
                    {
                        "track": place.text("cuboid_uuid", ""),
                        "label": place.text("label"),
                        "frame": row,
                        "camera": used,
                        "box": [place.number(name) for name in ("left", "top", "width", "height")],
                        "not_in_lidar": bool(one.get("not_in_lidar")),
                        "attributes": _attributes(one),
                    }
                )
    return Boxes2D.of_rows(found)


def shapes(content: Any, source: str) -> Shapes:
    """Read top-down shapes: a list of objects with `vertices`.

    ASSUMED: the reference does not print this result. Vertices are taken to be metres in the attachments' world.

    Raises:
        FormatError: It is no such list.
    """
    if not isinstance(content, list):
        raise FormatError(source, found=_kind(content), expected="a list of shapes")
    found = []
    for at, one in enumerate(content):
        place = _Place(source, f"shape {at}", one)
        place.require_object()
        vertices = []
        for vertex in _listed(one, "vertices", f"shape {at}", source):
            corner = _Place(source, f"shape {at}, a vertex", vertex)
            corner.require_object()
            vertices.append((corner.number("x"), corner.number("y"), corner.number("z", math.nan)))
        found.append(
            {
                "track": place.text("uuid", str(at)),
                "label": place.text("label"),
                "type": place.text("type", "polygon"),
                "vertices": np.array(vertices, dtype=np.float64).reshape(-1, 3),
                "attributes": _attributes(one),
            }
        )
    return Shapes.of_rows(found)


def base_annotations(columns: Shapes) -> dict[str, Any]:
    """Return shapes as a topdown task begins with: `annotations`, in the form that `shapes` reads, as they are."""
    written = []
    for row in range(len(columns)):
        vertices = [dict(zip("xyz", vertex, strict=True)) for vertex in columns.vertices[row].tolist()]
        shape = {
            "uuid": columns.track[row],
            "label": columns.label[row],
            "type": columns.type[row],
            "vertices": [{axis: value for axis, value in one.items() if not math.isnan(value)} for one in vertices],
        }
        attributes = dict(columns.attributes[row])
        written.append(shape | ({"attributes": attributes} if attributes else {}))
    return {"annotations": written}


# ---- labels of points ----------------------------------------------------------------------------------------------


def point_labels(
    content: bytes, source: str
) -> tuple[NDArray[np.uint32], NDArray[np.object_], NDArray[np.bool_], list[NDArray[np.unsignedinteger[Any]]]]:
    """Read the labels of points of a segmentation task.

    {"objects": [{"label", "index", "instance"}], "point_objects": [[index of each point, 0 for none], …]}, a list for
    each frame. The lists are read by a kernel, without an object for each number.

    Returns:
        (K,) numbers of the objects, their labels, whether each is an instance; and for each frame (N,) of the
        smallest unsigned type that holds its numbers.

    Raises:
        FormatError: It is something else; names the place.
    """
    at = _start_of_rows(content)
    if at < 0:
        raise FormatError(source, found="no list point_objects", expected="the labels of points of a segmentation task")
    listed, behind = _read_rows(content, at, source)
    others = read_json(content[:at] + b"null" + content[behind:], source)
    if not isinstance(others, dict):
        raise FormatError(source, found=_kind(others), expected="an object")
    objects = next((others[key] for key in _OBJECT_KEYS if isinstance(others.get(key), list)), None)
    if objects is None:
        raise FormatError(source, found=f"keys {', '.join(others)}"[:100], expected="a list `objects`")
    named = [_Place(source, f"object {number}", one) for number, one in enumerate(objects)]
    for one in named:
        one.require_object()
    return (
        np.array([int(one.number("index", number)) for number, one in enumerate(named, 1)], dtype=np.uint32),
        np.array([one.text("label") for one in named], dtype=object),
        np.array([bool(one.content.get("instance")) for one in named], dtype=np.bool_),
        listed,
    )


def _read_rows(content: bytes, start: int, source: str) -> tuple[list[NDArray[np.unsignedinteger[Any]]], int]:
    """Read the list of lists at an offset: an array for each, as narrow as its numbers are, and the offset behind all.

    Raises:
        FormatError: It is something else; names the byte and the frame.
    """
    from lidarprep.kernels.label_rows import CUT_SHORT, OK, read_row  # brings Numba

    text = np.frombuffer(content, dtype=np.uint8)
    # Room for as many as there could be; memory is only taken for those of the longest row.
    values = np.empty(len(text) // 2 + 1, dtype=np.uint32)
    rows: list[NDArray[np.unsignedinteger[Any]]] = []

    def refuse(at: int) -> FormatError:
        found = repr(content[at : at + 20].decode("utf-8", "replace")) if at < len(content) else "the file ends there"
        place = f"byte {at} (frame {len(rows)})"
        return FormatError(source, place=place, found=found, expected="whole numbers, a list a frame")

    separator = re.compile(rb"\s*([,\]])\s*")
    at = start + 1 + len(content[start + 1 : start + 65]) - len(content[start + 1 : start + 65].lstrip())
    if content[at : at + 1] == b"]":
        return rows, at + 1
    while True:
        status, at, count = read_row(text, at, values)
        if status != OK:
            raise refuse(len(content) if status == CUT_SHORT else at)
        largest = int(values[:count].max(initial=0))
        rows.append(values[:count].astype(np.min_scalar_type(largest)))  # a quarter of the memory, mostly
        found = separator.match(content, at)
        if found is None:
            raise refuse(at)
        if found[1] == b"]":
            return rows, found.end(1)
        at = found.end()


def _start_of_rows(content: bytes) -> int:
    """Return the offset of the lists; -1 if there are none. A key within a text would have escaped quotes."""
    for key in _POINT_KEYS:
        if found := re.search(rb'"%s"\s*:\s*\[' % key, content):
            return found.end() - 1
    return -1


# ---- values --------------------------------------------------------------------------------------------------------


class _Place:
    """An object in a result, and where it is: its values, or a FormatError that names them."""

    def __init__(self, source: str, place: str, content: Any) -> None:
        self.source, self.place, self.content = source, place, content

    def require_object(self) -> None:
        if not isinstance(self.content, dict):
            raise self.refuse(_kind(self.content), "an object")

    def refuse(self, found: str, expected: str) -> FormatError:
        return FormatError(self.source, place=self.place, found=found, expected=expected)

    def text(self, name: str, default: str | None = None) -> str:
        value = self.content.get(name, default)
        if not isinstance(value, str):
            raise self.refuse(self._shown(name), f"{name}, a text")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        value = self.content.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e300:
            raise self.refuse(self._shown(name), f"{name}, a number")
        return float(value)

    def vector(self, name: str) -> tuple[float, float, float]:
        value = self.content.get(name)
        inner = _Place(self.source, f"{self.place}, {name}", value)
        if not isinstance(value, dict):
            raise self.refuse(self._shown(name), f"{name}, an object of numbers x, y and z")
        return inner.number("x"), inner.number("y"), inner.number("z")

    def _shown(self, name: str) -> str:
        if name not in self.content:
            return f"no {name}"
        return f"{name} {orjson.dumps(self.content[name]).decode()[:80]}"


def _listed(content: Any, name: str, place: str, source: str) -> list[Any]:
    """Return a list of an object; none for null or {}, which a frame without labels may be."""
    if content is None or content == {}:
        return []
    found = content.get(name) if isinstance(content, dict) else None
    if not isinstance(found, list):
        keys = ", ".join(sorted(content)) if isinstance(content, dict) else _kind(content)
        raise FormatError(source, place=place, found=f"keys {keys}"[:120], expected=f"a list `{name}`")
    return found


def _attributes(one: Mapping[str, Any]) -> Mapping[str, Any]:
    attributes = one.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")
