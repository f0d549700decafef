"""Wrong poses, planted into a sound scene in memory: `plant(scene, kind, rng)`.

Each kind is a mistake that people make when they write poses, made here with SciPy's rotations and not with the code
that is judged. `EXPECTED` has the code of the finding, and the option that settles it where there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from lidarprep.scene import Frame, PointCloud, Pose, Scene

# The code that each kind must be found with, and the value of the option that settles it.
EXPECTED: dict[str, tuple[str, str | None]] = {
    "inverted": ("poses-misread", "inverted"),
    "xyzw": ("poses-misread", "xyzw"),
    "wxyz": ("poses-misread", "wxyz"),
    "transposed": ("poses-misread", "transposed"),
    "optical": ("poses-misread", "optical"),
    "points in the world": ("points-in-world", "world"),
    "said to be in the world": ("points-in-ego", "ego"),
    "at rest": ("poses-at-rest", None),
    "sensor frame": ("lidar-turned", None),
}
KINDS = tuple(EXPECTED)

_OPTICAL_FROM_EGO = Rotation.from_matrix([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


def plant(scene: Scene, kind: str, rng: np.random.Generator) -> Scene:
    """Return a sound scene with wrong poses, or with points in another frame of reference than is said.

    Args:
        scene: A sound recording, points in ego, all frames with a pose. Its trajectory and the cameras' poses in the
            world are left out of the result.
        kind: One of `KINDS`.
        rng: Where the world's origin is: the whole path is moved and turned by it, as recordings start anywhere.
    """
    turn = Rotation.from_euler("z", rng.uniform(-np.pi, np.pi))
    reach = float(rng.choice([0.0, 3.0, 50.0, 2000.0]))
    offset = np.append(rng.uniform(-reach, reach, 2), rng.uniform(-2, 2))
    mount = Rotation.from_euler("z", float(rng.choice([-90.0, 90.0, 180.0, rng.uniform(30, 330)])), degrees=True)
    first: Frame = scene[0]
    assert first.world_from_ego is not None
    middle = first.world_from_ego.translation
    frames = []
    for frame in scene:
        assert frame.world_from_ego is not None
        rotation = turn * Rotation.from_matrix(frame.world_from_ego.rotation)
        place = turn.apply(frame.world_from_ego.translation - middle) + offset
        moved = Pose(rotation.as_matrix(), place)
        read = frame.read_points
        pose, points = moved, read
        if kind == "points in the world":
            points = _reader(read, rotation, place)
        elif kind == "sensor frame":
            points = _reader(read, mount.inv(), np.zeros(3))
        elif kind not in ("said to be in the world", "sound"):
            pose = _wrong(kind, rotation, place)
        frames.append(replace(frame, world_from_ego=pose, read_points=points, read_chunks=None, images=(), sources=()))
    wrong = replace(scene, frames=tuple(frames), cameras=(), trajectory=None)
    return wrong.with_points_in("world") if kind == "said to be in the world" else wrong


def _wrong(kind: str, rotation: Rotation, place: np.ndarray) -> Pose:
    if kind == "inverted":
        return Pose(rotation.inv().as_matrix(), -rotation.inv().apply(place))
    if kind == "xyzw":  # written x, y, z, w and read as w, x, y, z
        return Pose.from_quaternion(rotation.as_quat(scalar_first=False), place)
    if kind == "wxyz":  # written w, x, y, z and read as x, y, z, w
        x, y, z, w = rotation.as_quat(scalar_first=True)
        return Pose.from_quaternion([w, x, y, z], place)
    if kind == "transposed":
        return Pose(rotation.as_matrix().T, place)
    if kind == "optical":
        optical = _OPTICAL_FROM_EGO * rotation * _OPTICAL_FROM_EGO.inv()
        return Pose(optical.as_matrix(), _OPTICAL_FROM_EGO.apply(place))
    if kind == "at rest":
        return Pose.identity()
    raise ValueError(f"there is no kind {kind!r}")


def _reader(read: Callable[[], PointCloud], rotation: Rotation, offset: np.ndarray) -> Callable[[], PointCloud]:
    def moved() -> PointCloud:
        points = read()
        return replace(points, positions=rotation.apply(points.positions.astype(np.float64)) + offset)

    return moved
