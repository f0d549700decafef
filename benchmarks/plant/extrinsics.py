"""Faults of cameras: turned, exchanged with one another, late. Each returns a new scene; files stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from lidarprep.scene import Camera, CameraImage, Frame, Pose, Scene


def plant(scene: Scene, camera: str, axis: Sequence[float], degrees: float) -> Scene:
    """Turn a camera's extrinsics, and the poses of its images, about an axis (3,) of its own."""
    given_from_true = turn(axis, degrees)

    def turned(one: Camera) -> Camera:
        pose = one.ego_from_camera
        return replace(one, ego_from_camera=None if pose is None else pose @ given_from_true)

    def image_turned(image: CameraImage, frame: Frame) -> CameraImage:
        pose = image.world_from_camera
        return replace(
            image, camera=turned(image.camera), world_from_camera=None if pose is None else pose @ given_from_true
        )

    return _changed(scene, {camera: turned}, {camera: image_turned})


def turn(axis: Sequence[float], degrees: float) -> Pose:
    """Make the rotation about an axis (3,) by an angle."""
    unit = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    half = np.radians(degrees) / 2
    return Pose.from_quaternion([np.cos(half), *(np.sin(half) * unit)])


def exchange_poses(scene: Scene, one: str, other: str) -> Scene:
    """Give each of two cameras the other's extrinsics; both need them."""
    cameras = {camera.name: camera for camera in scene.cameras}
    poses = {one: cameras[other].ego_from_camera, other: cameras[one].ego_from_camera}

    def posed(camera: Camera) -> Camera:
        return replace(camera, ego_from_camera=poses[camera.name])

    def image_posed(image: CameraImage, frame: Frame) -> CameraImage:
        old, new, pose = image.camera.ego_from_camera, poses[image.camera.name], image.world_from_camera
        if pose is not None and old is not None and new is not None:
            pose = pose @ old.inverse() @ new
        return replace(image, camera=posed(image.camera), world_from_camera=pose)

    return _changed(scene, {one: posed, other: posed}, {one: image_posed, other: image_posed})


def exchange_images(scene: Scene, one: str, other: str) -> Scene:
    """Give each of two cameras the other's images, frame by frame."""
    other_of = {one: other, other: one}

    def shown(image: CameraImage, frame: Frame) -> CameraImage:
        source = next(found for found in frame.images if found.camera.name == other_of[image.camera.name])
        return replace(image, path=source.path, content=source.content)

    return _changed(scene, {}, {one: shown, other: shown})


def late_images(scene: Scene, camera: str, frames: int = 1) -> Scene:
    """Give a camera, in each frame, the image of a later frame; the last frames have none of it."""
    of_frames = {frame.index: image for frame in scene for image in frame.images if image.camera.name == camera}

    def shown(frame: Frame) -> tuple[CameraImage, ...]:
        later = of_frames.get(frame.index + frames)
        kept = []
        for image in frame.images:
            if image.camera.name != camera:
                kept.append(image)
            elif later is not None:
                kept.append(replace(image, path=later.path, content=later.content))
        return tuple(kept)

    return replace(scene, frames=tuple(replace(frame, images=shown(frame)) for frame in scene))


def _changed(
    scene: Scene,
    cameras: dict[str, Callable[[Camera], Camera]],
    images: dict[str, Callable[[CameraImage, Frame], CameraImage]],
) -> Scene:
    frames = tuple(
        replace(
            frame,
            images=tuple(
                images[image.camera.name](image, frame) if image.camera.name in images else image
                for image in frame.images
            ),
        )
        for frame in scene
    )
    changed = tuple(cameras[one.name](one) if one.name in cameras else one for one in scene.cameras)
    return replace(scene, cameras=changed, frames=frames)
