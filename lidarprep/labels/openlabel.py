"""ASAM OpenLABEL 1.0.0, one JSON file.

A cuboid is [x, y, z, qx, qy, qz, qw, sx, sy, sz]: its centre, a quaternion with w LAST, and its sizes along its own
axes, here length, width, height with x ahead. Each names its coordinate system: "world", or "ego", whose pose in the
world each frame has as the transform ego_to_world. Objects are keyed by numbers, with the track's id as their name, or
by the id itself where it is a UUID. Labels of points have no place in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import orjson

from lidarprep.errors import FormatError, SceneError
from lidarprep.scene import Cuboids, LabelledFrame, Labels, Pose
from lidarprep.scene.labels import euler_angles
from lidarprep.scene.pose import matrices

_UID = re.compile(r"-?[0-9]+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def write_openlabel(labels: Labels) -> Iterator[tuple[str, bytes]]:
    """Yield labels.openlabel.json."""
    own = "ego" if labels.frame == "ego" else "world"
    objects: dict[str, dict[str, Any]] = {}
    frames: dict[str, dict[str, Any]] = {str(row): _frame(labels, row) for row in range(len(labels.frames))}
    uids: dict[str, str] = {}
    seen: dict[str, set[int]] = {}

    def uid_of(track: str, label: str) -> str:
        if track not in uids:
            uids[track] = track if _UID.fullmatch(track) and "-" in track[1:] else str(len(uids))
            objects[uids[track]] = {"name": track, "type": label}
        return uids[track]

    def put(uid: str, row: int, kind: str, value: dict[str, Any]) -> None:
        here = frames[str(row)].setdefault("objects", {}).setdefault(uid, {"object_data": {}})
        here["object_data"].setdefault(kind, []).append(value)
        seen.setdefault(uid, set()).add(row)

    cuboids, boxes, cameras = labels.cuboids, labels.boxes, set()
    for row in range(0 if cuboids is None else len(cuboids)):
        assert cuboids is not None  # noqa: S101
        w, x, y, z = cuboids.quaternion[row].tolist()
        values = [*cuboids.position[row].tolist(), x, y, z, w, *cuboids.size[row].tolist()]
        uid = uid_of(cuboids.track[row], cuboids.label[row])
        put(uid, int(cuboids.frame[row]), "cuboid", _data("cuboid", values, own, cuboids.attributes[row]))
    for row in range(0 if boxes is None else len(boxes)):
        assert boxes is not None  # noqa: S101
        left, top, width, height = boxes.box[row].tolist()
        camera = f"camera_{boxes.camera[row]}"
        cameras.add(camera)
        track = boxes.track[row] or f"camera {boxes.camera[row]} box {row}"
        values = [left + width / 2, top + height / 2, width, height]
        put(uid_of(track, boxes.label[row]), int(boxes.frame[row]), "bbox", _data(camera, values, camera, {}))
    for uid, rows in seen.items():
        objects[uid]["frame_intervals"] = _intervals(rows)
    systems: dict[str, dict[str, Any]] = {
        "world": {"type": "scene_cs", "parent": "", "children": ["ego"]},
        "ego": {"type": "local_cs", "parent": "world", "children": sorted(cameras)},
    }
    systems |= {camera: {"type": "sensor_cs", "parent": "ego", "children": []} for camera in sorted(cameras)}
    content: dict[str, Any] = {
        "metadata": {"schema_version": "1.0.0", "annotator": "Scale", "comment": __doc__.split("\n\n")[1]},
        "coordinate_systems": systems,
    }
    if objects:
        content["objects"] = objects
    if frames:
        content["frame_intervals"] = _intervals(set(range(len(frames))))
        content["frames"] = frames
    yield "labels.openlabel.json", orjson.dumps({"openlabel": content}, option=orjson.OPT_INDENT_2) + b"\n"


def _frame(labels: Labels, row: int) -> dict[str, Any]:
    frame = labels.frames[row]
    properties: dict[str, Any] = {"lidarprep_frame": frame.id}
    if frame.timestamp is not None:
        properties["timestamp"] = f"{frame.timestamp // 10**9}.{frame.timestamp % 10**9:09}"
    if frame.world_from_ego is not None:
        pose = frame.world_from_ego
        if labels.frame == "attachment":
            pose = pose.translated(-np.array(labels.world_offset))
        matrix = {"matrix4x4": pose.matrix.ravel().tolist()}
        properties["transforms"] = {"ego_to_world": {"src": "ego", "dst": "world", "transform_src_to_dst": matrix}}
    return {"frame_properties": properties}


def _data(name: str, values: list[float], system: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "val": values, "coordinate_system": system}
    listed: dict[str, list[dict[str, Any]]] = {}
    for key, value in attributes.items():
        kind = {bool: "boolean", int: "num", float: "num", str: "text"}.get(type(value), "text")
        written = value if isinstance(value, bool | int | float | str) else orjson.dumps(value).decode()
        listed.setdefault(kind, []).append({"name": key, "val": written})
    return found | ({"attributes": listed} if listed else {})


def _intervals(rows: set[int]) -> list[dict[str, int]]:
    found: list[dict[str, int]] = []
    for row in sorted(rows):
        if found and found[-1]["frame_end"] == row - 1:
            found[-1]["frame_end"] = row
        else:
            found.append({"frame_start": row, "frame_end": row})
    return found


def read_openlabel(content: bytes, name: str) -> Labels:
    """Read the cuboids of an OpenLABEL file, in "ego" where they all are, else in the world.

    Raises:
        FormatError: It is no OpenLABEL, or a cuboid has other values.
        SceneError: Cuboids are in both coordinate systems, and a frame has no ego_to_world.
    """
    try:
        root = orjson.loads(content)["openlabel"]
        listed = root.get("frames", {}).items()
        objects = root.get("objects", {})
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise FormatError(name, found="no OpenLABEL", expected='JSON with "openlabel"') from None
    frames: list[LabelledFrame] = []
    rows: list[dict[str, Any]] = []
    systems: list[str] = []
    for row, (number, frame) in enumerate(sorted(listed, key=lambda one: int(one[0]))):
        frames.append(_read_frame(frame, int(number)))
        for uid, one in frame.get("objects", {}).items():
            about = objects.get(uid, {})
            for cuboid in one.get("object_data", {}).get("cuboid", []):
                place = f"frame {number}, object {uid}"
                rows.append(_read_cuboid(cuboid, row, uid, about, FormatErrorAt(name, place)))
                systems.append(cuboid.get("coordinate_system") or about.get("coordinate_system") or "world")
    columns = Cuboids.of_rows(rows)
    in_ego = np.array(
        [system in ("ego", "vehicle-iso8855", "base_link", "iso8855-1") for system in systems], dtype=bool
    )
    if in_ego.any() and not in_ego.all():
        moved = Labels(tuple(frames), frame="ego", cuboids=columns.take(in_ego)).in_frame("world").cuboids
        if moved is None:
            raise SceneError(f"{name}: cuboids cannot be brought to the world")
        kept = columns.take(~in_ego)
        both = {key: np.concatenate((getattr(kept, key), getattr(moved, key))) for key in vars(kept)}
        columns, in_ego = Cuboids(**both), np.zeros(0, dtype=bool)
    return Labels(tuple(frames), frame="ego" if in_ego.any() else "world", cuboids=columns)


class FormatErrorAt:
    """Makes FormatErrors of one place in a file."""

    def __init__(self, name: str, place: str) -> None:
        self.name, self.place = name, place

    def refuse(self, found: str, expected: str) -> FormatError:
        """Return the error."""
        return FormatError(self.name, place=self.place, found=found, expected=expected)


def _read_frame(frame: Mapping[str, Any], number: int) -> LabelledFrame:
    properties = frame.get("frame_properties", {})
    transform = properties.get("transforms", {}).get("ego_to_world", {}).get("transform_src_to_dst", {})
    pose = Pose.from_matrix(np.reshape(transform["matrix4x4"], (4, 4))) if "matrix4x4" in transform else None
    timestamp = properties.get("timestamp")
    nanoseconds = None
    if isinstance(timestamp, str) and re.fullmatch(r"\d+\.\d{9}", timestamp):
        nanoseconds = int(timestamp.replace(".", ""))
    return LabelledFrame(str(properties.get("lidarprep_frame", "")), number, nanoseconds, pose)


def _read_cuboid(
    cuboid: Mapping[str, Any], row: int, uid: str, about: Mapping[str, Any], place: FormatErrorAt
) -> dict[str, Any]:
    values = cuboid.get("val")
    if (
        not isinstance(values, list)
        or len(values) not in (9, 10)
        or not all(type(one) in (int, float) for one in values)
    ):
        raise place.refuse(f"val {str(values)[:80]}", "9 or 10 numbers")
    if len(values) == 10:
        x, y, z, w = values[3:7]
        norm = float(np.linalg.norm((x, y, z, w)))
        if not abs(norm - 1) < 1e-3:
            raise place.refuse(f"a quaternion of norm {norm:g}", "a unit quaternion (x, y, z, w)")
        yaw, pitch, roll = (float(one[0]) for one in euler_angles(matrices(np.array([[w, x, y, z]]) / norm)))
    else:
        roll, pitch, yaw = map(float, values[3:6])
    attributes = {
        one["name"]: one["val"]
        for listed in (cuboid.get("attributes") or {}).values()
        for one in listed
        if isinstance(one, dict) and "name" in one and "val" in one
    }
    return {
        "track": str(about.get("name") or uid),
        "label": str(about.get("type") or "object"),
        "frame": row,
        "position": values[:3],
        "size": values[-3:],
        "yaw": yaw,
        "pitch": pitch,
        "roll": roll,
        "attributes": attributes,
    }
