"""Mistakes that people make with recordings, planted one by one into a generated toolkit folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plyfile
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lidarprep.sample import write_sample

# Where the device starts: far enough from the origin that ego and world can't be mistaken for one another.
FAR = np.array([400.0, -300.0, 12.0])

Edit = Callable[[dict[str, Any]], dict[str, Any]]


def write_sound(folder: Path, *, frames: int = 4, seed: int = 0) -> Path:
    """A small generated recording, as it comes."""
    write_sample(folder, frames=frames, columns=180, image_width=96, seed=seed)
    return folder


def edit_json(path: Path, edit: Edit) -> None:
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))


def edit_points(folder: Path, edit: Callable[[str, NDArray[Any]], None]) -> None:
    """Every frame's vertices, by their number, changed in place."""
    for path in (folder / "pointcloud").iterdir():
        ply = plyfile.PlyData.read(path, mmap=False)
        edit(path.stem, ply["vertex"].data)
        ply.write(path)


def pose_of(path: Path) -> tuple[Rotation, NDArray[np.float64]]:
    values = json.loads(path.read_text())
    return Rotation.from_quat(values["heading"], scalar_first=True), np.array(values["position"])


def save_pose(path: Path, rotation: Rotation, position: NDArray[np.float64]) -> None:
    changed = {"heading": rotation.as_quat(scalar_first=True).tolist(), "position": position.tolist()}
    edit_json(path, lambda values: values | changed)


def stretch_quaternion(path: Path, by: float) -> None:
    edit_json(path, lambda values: values | {"heading": [(1 + by) * number for number in values["heading"]]})


def invert_extrinsics(folder: Path, camera: str) -> None:
    path = folder / "cameras" / camera / "extrinsics.json"
    rotation, position = pose_of(path)
    save_pose(path, rotation.inv(), -rotation.inv().apply(position))


def body_axes(folder: Path, camera: str) -> None:
    """The pose of the camera's body, x forward and z up, in place of that of its optics."""
    path = folder / "cameras" / camera / "extrinsics.json"
    rotation, position = pose_of(path)
    optical = Rotation.from_matrix([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    save_pose(path, rotation * optical.inv(), position)


def millimetres(folder: Path, camera: str) -> None:
    """Written for a roof 2 m high and 30 m ahead, so that it tells even in a narrow street."""
    edit_json(
        folder / "cameras" / camera / "extrinsics.json",
        lambda values: values | {"position": [1000 * number for number in values["position"]]},
    )


def set_timestamp(folder: Path, frame: str, timestamp: int | None) -> None:
    def edit(values: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in values.items() if key != "timestamp"}
        return kept if timestamp is None else kept | {"timestamp": timestamp}

    edit_json(folder / "poses" / f"{frame}.json", edit)


def timestamp(folder: Path, frame: str) -> int:
    value: int = json.loads((folder / "poses" / f"{frame}.json").read_text())["timestamp"]
    return value


def swap_timestamps(folder: Path, one: str, other: str) -> None:
    times = timestamp(folder, one), timestamp(folder, other)
    set_timestamp(folder, other, times[0])
    set_timestamp(folder, one, times[1])


def forget_timestamps(folder: Path) -> None:
    for path in (folder / "poses").iterdir():
        set_timestamp(folder, path.stem, None)


def move_device(folder: Path, by: NDArray[np.float64], frames: set[str] | None = None) -> None:
    for path in (folder / "poses").iterdir():
        if frames is None or path.stem in frames:
            rotation, position = pose_of(path)
            save_pose(path, rotation, position + by)


def points_to_world(folder: Path) -> None:
    def edit(number: str, vertices: NDArray[Any]) -> None:
        rotation, position = pose_of(folder / "poses" / f"{number}.json")
        moved = rotation.apply(np.column_stack([vertices[axis] for axis in "xyz"])) + position
        for axis, column in zip("xyz", moved.T, strict=True):
            vertices[axis] = column

    edit_points(folder, edit)


def scale_intensity(folder: Path, factor: float) -> None:
    def edit(_: str, vertices: NDArray[Any]) -> None:
        vertices["i"] *= factor

    edit_points(folder, edit)
