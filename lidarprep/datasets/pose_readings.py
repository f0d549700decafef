"""Poses read in another way than a layout reads them: inverted, with another order of the quaternion, and so on.

`--poses-are` applies one reading to all poses of a recording, whatever its layout. The checks score the same readings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import SceneError
from lidarprep.scene import CameraImage, Frame, Pose, Scene, Trajectory
from lidarprep.scene.pose import conjugate, multiply, rotate

Quaternions = NDArray[np.float64]  # (M, 4) w, x, y, z
Translations = NDArray[np.float64]  # (M, 3) metres
Reading = Callable[[Quaternions, Translations], tuple[Quaternions, Translations]]

# Ego (x forward, y left, z up) from the optical axes of a camera that looks forward (z forward, x right, y down).
EGO_FROM_OPTICAL = Pose(np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.zeros(3))

# How near a frame's pose is to the trajectory's at its time, if it was interpolated there; metres, and in matrices.
_SAME_POSE = 1e-6


def _inverted(quaternions: Quaternions, translations: Translations) -> tuple[Quaternions, Translations]:
    back = conjugate(quaternions)
    return back, -rotate(back, translations)


def _optical(quaternions: Quaternions, translations: Translations) -> tuple[Quaternions, Translations]:
    to_ego = EGO_FROM_OPTICAL.quaternion
    return multiply(multiply(to_ego, quaternions), conjugate(to_ego)), EGO_FROM_OPTICAL.rotate(translations)


# What each value of --poses-are makes of poses as they were read. "degrees" and "radians" are not among them: the
# angles of a table are read so from the start.
READINGS: Mapping[str, Reading] = MappingProxyType(
    {
        "inverted": _inverted,
        # The four numbers were read in the order w, x, y, z, and are in the order x, y, z, w; and the reverse.
        "xyzw": lambda quaternions, translations: (quaternions[:, [3, 0, 1, 2]], translations),
        "wxyz": lambda quaternions, translations: (quaternions[:, [1, 2, 3, 0]], translations),
        "transposed": lambda quaternions, translations: (conjugate(quaternions), translations),
        "optical": _optical,
    }
)


def reread_pose(pose: Pose, reading: str) -> Pose:
    """Return a pose read in another way, by the reading's name."""
    quaternions, translations = READINGS[reading](pose.quaternion[None], pose.translation[None])
    return replace(Pose.from_quaternion(quaternions[0], translations[0]), normalised_by=pose.normalised_by)


def reread_trajectory(trajectory: Trajectory, reading: str | None) -> Trajectory:
    """Return a trajectory read in another way; as it is where that is no reading of poses."""
    if reading is None or reading not in READINGS:
        return trajectory
    quaternions, translations = READINGS[reading](trajectory.quaternions, trajectory.translations)
    return Trajectory(trajectory.timestamps, quaternions, translations, trajectory.normalised_by)


def with_poses_read(scene: Scene, reading: str) -> Scene:
    """Return the scene with the poses of its device read in another way, and those of its cameras to match.

    A pose that was interpolated on the trajectory is interpolated on the new one. The pose of an image whose camera has
    extrinsics keeps its place relative to the device at the image's time.

    Raises:
        SceneError: No frame has a pose.
    """
    if all(frame.world_from_ego is None for frame in scene):
        raise SceneError(
            f"{scene.source} has no poses that could be read as {reading}",
            fix="Give the poses, or leave --poses-are out.",
        )
    old = scene.trajectory
    new = None if old is None else reread_trajectory(old, reading)

    def at_time(pose: Pose, timestamp: int | None) -> Pose:
        if old is not None and new is not None and timestamp is not None:
            interpolated, other = old.at(timestamp), new.at(timestamp)
            if interpolated is not None and other is not None and interpolated.almost_equals(pose, _SAME_POSE):
                return other
        return reread_pose(pose, reading)

    def image_of(image: CameraImage, frame: Frame) -> CameraImage:
        if image.world_from_camera is None or image.camera.ego_from_camera is None:
            return image
        device = None
        if old is not None and image.timestamp is not None:
            device = old.at(image.timestamp)
        device = frame.world_from_ego if device is None else device
        if device is None:
            return image
        changed = at_time(device, image.timestamp)
        return replace(image, world_from_camera=changed @ (device.inverse() @ image.world_from_camera))

    def frame_of(frame: Frame) -> Frame:
        if frame.world_from_ego is None:
            return frame
        images = tuple(image_of(image, frame) for image in frame.images)
        return replace(frame, world_from_ego=at_time(frame.world_from_ego, frame.timestamp), images=images)

    note = f"the device's poses are read as {reading}, as asked for"
    return replace(scene, frames=tuple(map(frame_of, scene)), trajectory=new, notes=(*scene.notes, note))
