"""The part of a frame around its points, as a JSON object: Frame JSON holds it as it is, a LidarFrame nearly so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.attachments._columns import device_pose, require_world
from lidarprep.errors import EncodingError, FormatError, SceneError
from lidarprep.scene import Camera, CameraImage, Frame, GpsPose, PointCloud, Pose, RadarPoints
from lidarprep.scene.camera import Distortion, intrinsics_from_mapping

# The keys that are read; all others are named as ignored.
_CALIBRATION_KEYS = frozenset({"fx", "fy", "cx", "cy", "skew", "camera_model", *Distortion.__dataclass_fields__})
_IMAGE_KEYS = _CALIBRATION_KEYS | {
    *("image_url", "position", "heading", "timestamp", "camera_index", "scale_factor", "priority", "metadata")
}
_RADAR_KEYS = frozenset({"position", "direction", "size"})
_FRAME_KEYS = frozenset(
    {"device_position", "device_heading", "device_gps_pose", "timestamp", "points", "radar_points", "images"}
)


# ---- writing -------------------------------------------------------------------------------------------------------


def describe(frame: Frame) -> dict[str, Any]:
    """Describe a frame without its points.

    Raises:
        EncodingError: It has no device pose, its radar points are not in the world, or an image lacks URL or pose.
    """
    pose, gps, radar = device_pose(frame), frame.gps, frame.radar()
    described: dict[str, Any] = {"device_position": _vector(pose.translation), "device_heading": _quaternion(pose)}
    if gps is not None:
        described["device_gps_pose"] = {"lat": gps.latitude, "lon": gps.longitude, "bearing": gps.bearing}
    if frame.timestamp is not None:
        described["timestamp"] = frame.timestamp
    if radar is not None:
        require_world("radar points", radar.frame, frame.id)
        described["radar_points"] = points = [{"position": _vector(position)} for position in radar.positions]
        for key, column in (("direction", radar.directions), ("size", radar.sizes)):
            for point, value in zip(points, () if column is None else column, strict=column is not None):
                point[key] = float(value) if key == "size" else _vector(value)
    if frame.images:
        described["images"] = [_image(image, frame.id) for image in frame.images]
    return described


def _vector(values: NDArray[np.float64]) -> Any:
    return dict(zip("xyz", values.tolist(), strict=True))


def _quaternion(pose: Pose) -> Any:
    return dict(zip("wxyz", pose.quaternion.tolist(), strict=True))


def _image(image: CameraImage, frame_id: str) -> dict[str, Any]:
    intrinsics = image.camera.intrinsics
    if image.url is None or image.world_from_camera is None:
        lacking = "URL" if image.url is None else "pose"
        raise EncodingError(f"frame {frame_id}: the image of {image.camera.name} has no {lacking}")
    described: dict[str, Any] = {
        "image_url": image.url,
        "camera_index": image.camera.index,
        "position": _vector(image.world_from_camera.translation),
        "heading": _quaternion(image.world_from_camera),
        "camera_model": intrinsics.model,
        **{key: getattr(intrinsics, key) for key in ("fx", "fy", "cx", "cy")},
        "skew": intrinsics.skew or None,
        **intrinsics.distortion.nonzero(),
        "timestamp": image.timestamp,
        "scale_factor": None if image.scale_factor == 1.0 else image.scale_factor,
        "priority": image.priority,
        "metadata": None if image.metadata is None else dict(image.metadata),
    }
    return {key: value for key, value in described.items() if value is not None}


# ---- reading -------------------------------------------------------------------------------------------------------


class Node:
    """A value in a JSON document, checked as it is read; errors name its place.

    Args:
        source: Names the document in errors.
        value: The value.
        place: Its place: "images[0].position".
    """

    def __init__(self, source: str, value: Any, place: str = "") -> None:
        self.source, self.value, self.place = source, value, place

    def refuse(self, expected: str | None = None, found: str | None = None) -> FormatError:
        """Return the error of an unexpected value."""
        found = f"{self.value!r}"[:80] if found is None else found
        return FormatError(self.source, place=self.place or "the frame", found=found, expected=expected)

    @contextmanager
    def checked(self) -> Iterator[None]:
        """Turn what the scene's types refuse into a FormatError."""
        try:
            yield
        except SceneError as error:
            raise self.refuse(found=error.message) from error

    def mapping(self) -> dict[str, Any]:
        """Return a value that must be an object."""
        if not isinstance(self.value, dict):
            raise self.refuse("an object")
        return self.value

    def get(self, key: str) -> Node | None:
        """Return the value of a key of an object; None if it is null or missing."""
        return None if self.mapping().get(key) is None else self[key]

    def __getitem__(self, key: str) -> Node:
        if key not in self.mapping():
            raise self.refuse(found=f"no {key!r}")
        return Node(self.source, self.value[key], f"{self.place}.{key}" if self.place else key)

    def items(self) -> list[Node]:
        """Return the values of an array."""
        if not isinstance(self.value, list):
            raise self.refuse("an array")
        return [Node(self.source, value, f"{self.place}[{number}]") for number, value in enumerate(self.value)]

    def number(self) -> float:
        """Return a value that must be a number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.refuse("a number")
        return float(self.value)

    def whole(self) -> int:
        """Return a value that must be a whole number; 1.0 is one."""
        if isinstance(self.value, float) and self.value.is_integer():
            return int(self.value)
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.refuse("a whole number")
        return self.value


def read_frame(source: str, described: Any, points: PointCloud) -> Frame:
    """Read a described frame; `source` names it in errors and becomes its id.

    Raises:
        FormatError: A key is missing, or its value makes no sense.
    """
    node = Node(source, described)
    cloud = replace(points, ignored_fields=(*points.ignored_fields, *_ignored(node)))
    gps = node.get("device_gps_pose")
    images, radar = (node[key] if key in described else None for key in ("images", "radar_points"))
    with node.checked():
        frame = Frame(
            id=source,
            index=0,
            read_points=lambda: cloud,
            world_from_ego=_read_pose(node["device_position"], node.get("device_heading")),
            timestamp=_read_timestamp(node.get("timestamp")),
            images=() if images is None else tuple(map(_read_image, images.items(), range(len(images.value)))),
            gps=None if gps is None else GpsPose(*(gps[key].number() for key in ("lat", "lon", "bearing"))),
        )
    return frame if radar is None else frame.with_data(cloud, _read_radar(radar))


def _ignored(frame: Node) -> list[str]:
    """Return the names of keys that are not read."""
    names = set(frame.mapping()) - _FRAME_KEYS
    for key, known in (("images", _IMAGE_KEYS), ("radar_points", _RADAR_KEYS)):
        rows = frame.value.get(key)
        for row in rows if isinstance(rows, list) else ():
            names |= {f"{key}.{name}" for name in set(row) - known} if isinstance(row, dict) else set()
    return sorted(names)


def _read_vector(node: Node) -> list[float]:
    return [node[axis].number() for axis in "xyz"]


def _read_pose(position: Node, heading: Node | None) -> Pose:
    quaternion = [1.0, 0.0, 0.0, 0.0] if heading is None else [heading[axis].number() for axis in "wxyz"]
    with (heading or position).checked():
        return Pose.from_quaternion(quaternion, _read_vector(position))


def _read_timestamp(node: Node | None) -> int | None:
    if node is None:
        return None
    if not -(2**63) <= node.whole() < 2**63:
        raise node.refuse("nanoseconds in int64")
    return node.whole()


def _read_radar(node: Node) -> RadarPoints:
    rows = node.items()
    for key in ("direction", "size"):
        if sum(key in row.mapping() for row in rows) not in (0, len(rows)):
            raise node.refuse(found=f"some have {key!r}, others don't")
    with node.checked():
        return RadarPoints(
            np.array([_read_vector(row["position"]) for row in rows], dtype=np.float64).reshape(-1, 3),
            np.array([_read_vector(row["direction"]) for row in rows])
            if rows and "direction" in rows[0].value
            else None,
            np.array([row["size"].number() for row in rows]) if rows and "size" in rows[0].value else None,
            frame="world",
        )


def _read_image(node: Node, number: int) -> CameraImage:
    url, index, scale, priority, metadata = (
        node["image_url"],
        *(node.get(key) for key in ("camera_index", "scale_factor", "priority", "metadata")),
    )
    if not isinstance(url.value, str):
        raise url.refuse("a string")
    camera_index = number if index is None else index.whole()
    with node.checked():
        intrinsics = intrinsics_from_mapping({key: node.value[key] for key in node.value if key in _CALIBRATION_KEYS})
        return CameraImage(
            camera=Camera(name=str(camera_index), index=camera_index, intrinsics=intrinsics),
            world_from_camera=_read_pose(node["position"], node["heading"]),
            timestamp=_read_timestamp(node.get("timestamp")),
            url=url.value,
            scale_factor=1.0 if scale is None else scale.number(),
            priority=None if priority is None else priority.whole(),
            metadata=None if metadata is None else metadata.mapping(),
        )
