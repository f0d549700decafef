"""Labels of a scene as columns: cuboids, boxes in images, top-down shapes, labels of points.

Conventions, whatever they came from:

- A cuboid's own axes are x forward, y left, z up. Its `size` is (length, width, height), along these axes.
- Its rotation is Rz(yaw) Ry(pitch) Rx(roll), as `Pose.from_euler` has it: at yaw 0 the object looks along the +x axis
  of its frame of reference; yaw grows counterclockwise seen from above. Radians.
- Its `position` is its centre. Metres.
- Labels of points are numbers of objects: 0 is no object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import SceneError
from lidarprep.scene.pose import Pose, matrices

# The recording's own world, the device at each frame, or the world of the attachments: the recording's less an offset.
LabelsFrame = Literal["world", "ego", "attachment"]

UNKNOWN = -1


@dataclass(frozen=True)
class LabelledFrame:
    """A frame that labels belong to.

    Args:
        id: Its name in the recording.
        index: Its number in the recording, from 0.
        timestamp: Nanoseconds since the Unix epoch, or None.
        world_from_ego: The device's pose in the recording's own world; None where it is unknown.
    """

    id: str
    index: int
    timestamp: int | None = None
    world_from_ego: Pose | None = None


@dataclass(frozen=True, eq=False)
class _Columns:
    """Columns of equal length, checked against the first one."""

    def __post_init__(self) -> None:
        for one in fields(self):
            column = getattr(self, one.name)
            shape = (len(self), *_COLUMNS[one.name][1])
            if column.shape != shape:
                raise SceneError(f"column {one.name} has shape {column.shape}; expected {shape}")

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def take(self, rows: NDArray[Any]) -> Self:
        """Select rows by integer indices or a boolean mask."""
        return type(self)(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})

    @classmethod
    def of_rows(cls, rows: Sequence[Mapping[str, Any]]) -> Self:
        """Make columns of rows by the columns' names; a key left out takes the column's default.

        Raises:
            KeyError: A column without a default is missing from a row.
        """
        columns = {}
        for one in fields(cls):
            kind, width, default = _COLUMNS[one.name]
            values = [row[one.name] if default is _REQUIRED else row.get(one.name, default) for row in rows]
            columns[one.name] = _column(values, kind, width)
        return cls(**columns)


_REQUIRED = object()

# Of each column: its dtype, its numbers a row, and what stands for a value that is not given.
_COLUMNS: dict[str, tuple[Any, tuple[int, ...], Any]] = {
    "track": (object, (), _REQUIRED),
    "label": (object, (), _REQUIRED),
    "frame": (np.int64, (), _REQUIRED),
    "position": (np.float64, (3,), _REQUIRED),
    "size": (np.float64, (3,), _REQUIRED),
    "yaw": (np.float64, (), _REQUIRED),
    "pitch": (np.float64, (), 0.0),
    "roll": (np.float64, (), 0.0),
    "stationary": (np.int8, (), UNKNOWN),
    "camera": (np.int64, (), UNKNOWN),
    "points": (np.int64, (), UNKNOWN),
    "box": (np.float64, (4,), _REQUIRED),
    "not_in_lidar": (np.bool_, (), False),
    "type": (object, (), _REQUIRED),
    "vertices": (object, (), _REQUIRED),
    "attributes": (object, (), {}),
}


def _column(values: Sequence[Any], kind: Any, width: tuple[int, ...]) -> NDArray[Any]:
    if kind is not object:
        return np.array(values, dtype=kind).reshape(len(values), *width)
    column = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):  # NumPy would take a list for a dimension
        column[row] = value
    return column


@dataclass(frozen=True, eq=False)
class Cuboids(_Columns):
    """Boxes around objects, one row for each object and frame; see the module for the conventions.

    Args:
        track: (N,) text, the object's id, the same in all frames.
        label: (N,) text.
        frame: (N,) int64 row of `Labels.frames`.
        position: (N, 3) float64 centre, metres.
        size: (N, 3) float64 length, width, height, metres.
        yaw, pitch, roll: (N,) float64 radians.
        stationary: (N,) int8 1: does not move in the scene; 0: moves; -1: unknown.
        camera: (N,) int64 index of the camera that it was labelled with; -1: unknown.
        points: (N,) int64 number of lidar points in it; -1: unknown.
        attributes: (N,) mappings, values by the attributes' names.
    """

    track: NDArray[np.object_]
    label: NDArray[np.object_]
    frame: NDArray[np.int64]
    position: NDArray[np.float64]
    size: NDArray[np.float64]
    yaw: NDArray[np.float64]
    pitch: NDArray[np.float64]
    roll: NDArray[np.float64]
    stationary: NDArray[np.int8]
    camera: NDArray[np.int64]
    points: NDArray[np.int64]
    attributes: NDArray[np.object_]

    @property
    def quaternion(self) -> NDArray[np.float64]:
        """(N, 4) float64 unit quaternions (w, x, y, z) of the rotations, w ≥ 0."""
        (cy, sy), (cp, sp), (cr, sr) = (
            (np.cos(angle / 2), np.sin(angle / 2)) for angle in (self.yaw, self.pitch, self.roll)
        )
        q = np.stack(
            (
                cr * cp * cy + sr * sp * sy,
                sr * cp * cy - cr * sp * sy,
                cr * sp * cy + sr * cp * sy,
                cr * cp * sy - sr * sp * cy,
            ),
            axis=-1,
        )
        signed: NDArray[np.float64] = np.where(q[:, :1] < 0, -q, q)
        return signed

    @property
    def is_level(self) -> bool:
        """Whether none has a pitch or a roll."""
        return not (self.pitch.any() or self.roll.any())

    def shifted(self, offset: NDArray[np.float64]) -> Cuboids:
        """Add an offset (3,) metres to all positions."""
        return replace(self, position=self.position + offset)

    def moved(self, target_from_source: Sequence[Pose]) -> Cuboids:
        """Transform each cuboid by the pose of its frame; `target_from_source` has one for each of `Labels.frames`."""
        if not len(self):
            return self
        rotations = np.array([pose.rotation for pose in target_from_source])[self.frame]
        translations = np.array([pose.translation for pose in target_from_source])[self.frame]
        position = np.einsum("nij,nj->ni", rotations, self.position) + translations
        yaw, pitch, roll = euler_angles(rotations @ matrices(self.quaternion))
        return replace(self, position=position, yaw=yaw, pitch=pitch, roll=roll)


@dataclass(frozen=True, eq=False)
class Boxes2D(_Columns):
    """Boxes in images that belong to cuboids.

    Args:
        track: (N,) text, the id of the cuboid.
        label: (N,) text.
        frame: (N,) int64 row of `Labels.frames`.
        camera: (N,) int64 index of the camera.
        box: (N, 4) float64 left, top, width, height, pixels.
        not_in_lidar: (N,) bool: it has no cuboid.
        attributes: (N,) mappings.
    """

    track: NDArray[np.object_]
    label: NDArray[np.object_]
    frame: NDArray[np.int64]
    camera: NDArray[np.int64]
    box: NDArray[np.float64]
    not_in_lidar: NDArray[np.bool_]
    attributes: NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class Shapes(_Columns):
    """Shapes seen from above, of the whole scene.

    Args:
        track: (N,) text, the shape's id.
        label: (N,) text.
        type: (N,) text: polygon, line, point, …
        vertices: (N,) arrays (K, 3) float64, metres; z is NaN where it was not given.
        attributes: (N,) mappings.
    """

    track: NDArray[np.object_]
    label: NDArray[np.object_]
    type: NDArray[np.object_]
    vertices: NDArray[np.object_]
    attributes: NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class PointLabels:
    """Labels of points.

    Args:
        index: (K,) uint32 number of each object, above 0.
        label: (K,) text, the label of each object.
        instance: (K,) bool: it is one thing, and not all that the label names.
        values: For each of `Labels.frames` (N,) uint32 numbers of objects, one a point of the recording or of the
            attachment, 0 for none; None for a frame that is not labelled.
    """

    index: NDArray[np.uint32]
    label: NDArray[np.object_]
    instance: NDArray[np.bool_]
    values: tuple[NDArray[np.uint32] | None, ...]


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of a scene.

    Args:
        frames: The frames, in time order.
        frame: What the cuboids' coordinates count from; top-down shapes belong to no frame, and in "ego" stay in the
            recording's world.
        world_offset: (x, y, z) metres that the attachments' world is less than the recording's.
        cuboids, boxes, shapes, points: The labels; None where there are none of a kind.
        notes: What was assumed or left out, a sentence each.
    """

    frames: tuple[LabelledFrame, ...]
    frame: LabelsFrame = "world"
    world_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    cuboids: Cuboids | None = None
    boxes: Boxes2D | None = None
    shapes: Shapes | None = None
    points: PointLabels | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        kinds = ("cuboids", "boxes", "shapes")
        counts = [f"{len(found)} {kind}" for kind in kinds if (found := getattr(self, kind)) is not None]
        counts += ["labels of points"] if self.points is not None else []
        return f"Labels({len(self.frames)} frames, {', '.join(counts) or 'no labels'}, in {self.frame})"

    def in_frame(self, frame: LabelsFrame) -> Labels:
        """Return the labels with their coordinates in another frame of reference.

        Between "world" and "attachment" only the offset is added: angles and sizes stay as they are.

        Raises:
            SceneError: "ego" is wanted or left, and a frame with cuboids has no pose.
        """
        if frame == self.frame:
            return self
        offset = np.array(self.world_offset)
        cuboids, shapes = self.cuboids, self.shapes
        if cuboids is not None:
            if self.frame == "attachment":
                cuboids = cuboids.shifted(offset)
            elif self.frame == "ego":
                cuboids = cuboids.moved(self._poses(lambda pose: pose))
            if frame == "attachment":
                cuboids = cuboids.shifted(-offset)
            elif frame == "ego":
                cuboids = cuboids.moved(self._poses(Pose.inverse))
        if shapes is not None and "attachment" in (self.frame, frame):
            shift = -offset if frame == "attachment" else offset
            moved = [{"vertices": vertices + shift} for vertices in shapes.vertices]
            shapes = replace(shapes, vertices=_column([one["vertices"] for one in moved], object, ()))
        return replace(self, frame=frame, cuboids=cuboids, shapes=shapes)

    def _poses(self, of_pose: Callable[[Pose], Pose]) -> list[Pose]:
        used = set() if self.cuboids is None else set(self.cuboids.frame.tolist())
        poses = []
        for row, one in enumerate(self.frames):
            if one.world_from_ego is None and row in used:
                raise SceneError(
                    f"frame {one.id} has no pose: its labels cannot be brought between the world and ego",
                    fix="Take them in the world.",
                )
            poses.append(of_pose(one.world_from_ego or Pose.identity()))
        return poses


def euler_angles(
    rotations: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return yaw, pitch and roll (N,) of rotation matrices (N, 3, 3) = Rz(yaw) Ry(pitch) Rx(roll), radians.

    Where the pitch is ±90°, yaw and roll turn about one axis: the roll is then 0.
    """
    r = rotations
    pitch = np.arctan2(-r[:, 2, 0], np.hypot(r[:, 0, 0], r[:, 1, 0]))
    locked = np.hypot(r[:, 0, 0], r[:, 1, 0]) < 1e-9
    yaw = np.where(locked, np.arctan2(-r[:, 0, 1], r[:, 1, 1]), np.arctan2(r[:, 1, 0], r[:, 0, 0]))
    roll = np.where(locked, 0.0, np.arctan2(r[:, 2, 1], r[:, 2, 2]))
    return yaw, pitch, roll


def wrapped(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring angles to (-π, π]; one that is there stays as it is."""
    turns: NDArray[np.float64] = np.ceil((angles - np.pi) / (2 * np.pi))
    return np.where(turns == 0, angles, angles - turns * 2 * np.pi)
