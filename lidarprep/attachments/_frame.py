"""What the attachment formats share: points in the types that they hold, and the part of a frame around its points.

That part is a JSON object: Frame JSON holds it as it is, a LidarFrame nearly so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from lidarprep.errors import EncodingError, FormatError, SceneError
from lidarprep.kernels import HAS_D, HAS_GROUND, HAS_I, HAS_T
from lidarprep.kernels.select import all_within
from lidarprep.scene import Camera, CameraImage, Frame, GpsPose, PointCloud, Pose, RadarPoints, ReferenceFrame
from lidarprep.scene.camera import Distortion, intrinsics_from_mapping


def json_fault(text: bytes, error: orjson.JSONDecodeError) -> tuple[int, str]:
    """Return at which byte a text stops being JSON, and what is wrong there."""
    try:
        # The parser counts in characters.
        return len(text.decode()[: error.pos].encode()), f"malformed JSON ({error.msg})"
    except UnicodeDecodeError as not_utf8:
        return not_utf8.start, "text that is not UTF-8"


@dataclass(frozen=True)
class AttachmentColumns:
    """A frame's points in the types that attachments hold, contiguous, checked.

    Args:
        positions: (N, 3) float32 metres, in the world, finite.
        intensity: (N,) float32, 0–1; or None.
        device: (N,) uint32; or None.
        timestamp: (N,) int64 nanoseconds; or None.
        is_ground: (N,) bool; or None.
    """

    positions: NDArray[np.float32]
    intensity: NDArray[np.float32] | None
    device: NDArray[np.uint32] | None
    timestamp: NDArray[np.int64] | None
    is_ground: NDArray[np.bool_] | None

    @classmethod
    def of(cls, points: PointCloud, frame_id: str) -> AttachmentColumns:
        """Convert and check the columns of `points`.

        Raises:
            EncodingError: They are not in the world frame, not finite as float32, or the intensity is not 0–1.
        """
        require_world("points", points.frame, frame_id)
        with np.errstate(over="ignore"):
            positions = _contiguous(points.positions, np.float32)
        _require_finite(positions, "coordinate", frame_id)
        intensity = None
        if points.intensity is not None:
            intensity = _contiguous(points.intensity, np.float32)
            if not all_within(intensity, np.float32(0), np.float32(1)):
                _require_finite(intensity, "intensity", frame_id)
                raise EncodingError(
                    f"frame {frame_id}: intensities reach from {intensity.min():g} to {intensity.max():g}; "
                    "an attachment holds 0 to 1",
                    fix="Normalise them: --intensity-scale says which value is 1.",
                )
        return cls(
            positions,
            intensity,
            None if points.device is None else _contiguous(points.device, np.uint32),
            None if points.timestamp is None else _contiguous(points.timestamp, np.int64),
            None if points.is_ground is None else _contiguous(points.is_ground, np.bool_),
        )


class ReadColumns:
    """Columns for the points of an attachment that a kernel reads, before it is known which of them are there.

    `room` is as many points as the attachment's bytes could hold; untouched pages take no memory.
    """

    def __init__(self, room: int, *, device: type[Any], timestamp: type[Any]) -> None:
        self.positions = np.empty((room, 3), dtype=np.float32)
        self.intensity = np.zeros(room, dtype=np.float32)
        self.device = np.zeros(room, dtype=device)
        self.timestamp = np.zeros(room, dtype=timestamp)
        self.is_ground = np.zeros(room, dtype=np.bool_)

    @property
    def all(self) -> tuple[NDArray[Any], ...]:
        """The columns, in the order of the kernels."""
        return self.positions, self.intensity, self.device, self.timestamp, self.is_ground

    def cloud(
        self, count: int, any_seen: int, all_seen: int, source: str, ignored_fields: tuple[str, ...] = ()
    ) -> PointCloud:
        """Return the first `count` points, with the columns whose HAS_ bits are in `any_seen`.

        Raises:
            FormatError: A column belongs to some points (`any_seen`), but not to all (`all_seen`).
        """
        for bit, name in ((HAS_I, "i"), (HAS_D, "d"), (HAS_T, "t")):
            if any_seen & bit and not all_seen & bit:
                found = f"some points have {name!r}, others don't"
                raise FormatError(source, place="points", found=found, expected="all or none")
        return PointCloud(
            self.positions[:count],
            frame="world",
            intensity=self.intensity[:count] if any_seen & HAS_I else None,
            device=self.device[:count].astype(np.uint32, copy=False) if any_seen & HAS_D else None,
            timestamp=_nanoseconds(self.timestamp[:count], source) if any_seen & HAS_T else None,
            is_ground=self.is_ground[:count] if any_seen & HAS_GROUND else None,
            ignored_fields=ignored_fields,
        )


def _nanoseconds(values: NDArray[Any], source: str) -> NDArray[np.int64]:
    if values.dtype != np.int64:
        if not (np.isfinite(values).all() and (np.abs(values) < 2.0**63).all()):
            raise FormatError(source, place="points", found="a timestamp that is not a number of nanoseconds in int64")
        values = np.rint(values)
    return values.astype(np.int64, copy=False)


def require_world(what: str, reference: ReferenceFrame, frame_id: str) -> None:
    """Check that points or radar points are in the world frame.

    Raises:
        EncodingError: They are in another.
    """
    if reference != "world":
        raise EncodingError(f"frame {frame_id}: its {what} are in the {reference} frame; attachments want world")


def device_pose(frame: Frame) -> Pose:
    """Return the frame's device pose, which every attachment must have.

    Raises:
        EncodingError: It has none.
    """
    if frame.world_from_ego is None:
        raise EncodingError(f"frame {frame.id} has no device pose, and an attachment must have a device_position")
    return frame.world_from_ego


def _contiguous(column: NDArray[Any], dtype: type[Any]) -> NDArray[Any]:
    # Writeable, too: for read-only arrays Numba would compile every kernel again.
    return np.require(column, dtype, ("C", "W"))


def _require_finite(column: NDArray[np.float32], what: str, frame_id: str) -> None:
    largest = np.finfo(np.float32).max
    if not all_within(column.reshape(-1), -largest, largest):
        rows = np.flatnonzero(~np.isfinite(column.reshape(len(column), -1)).all(axis=1))
        raise EncodingError(
            f"frame {frame_id}: {rows.size} of {len(column)} points have a {what} that is not a finite float32, "
            f"the first in row {rows[0]}"
        )


# ---- around the points -------------------------------------------------------------------------------------------

# The keys that are read; all others are named as ignored.
_CALIBRATION_KEYS = frozenset({"fx", "fy", "cx", "cy", "skew", "camera_model", *Distortion.__dataclass_fields__})
_IMAGE_KEYS = _CALIBRATION_KEYS | {
    *("image_url", "position", "heading", "timestamp", "camera_index", "scale_factor", "priority", "metadata")
}
_RADAR_KEYS = frozenset({"position", "direction", "size"})
_FRAME_KEYS = frozenset(
    {"device_position", "device_heading", "device_gps_pose", "timestamp", "points", "radar_points", "images"}
)


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


class Node:
    """A value in a JSON document, checked as it is read; errors name the document and the place in it."""

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
