"""A calibration file: poses and intrinsics of cameras that replace those of the recording.

    {"cameras": {"front": {
        "ego_from_camera": {"quaternion": [w, x, y, z], "translation": [x, y, z]},
        "intrinsics": {"fx": 1000.0, "k1": -0.1}}}}

Cameras and values that it leaves out stay as they are. A camera whose images have poses in the world only takes
`given_from_camera` in place of `ego_from_camera`: the pose of its optical frame in the one that the recording gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from os import PathLike
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, FiniteFloat, model_validator

from lidarprep.errors import RecipeError, SceneError
from lidarprep.models import CheckedModel
from lidarprep.remote import as_path
from lidarprep.scene import Camera, CameraImage, Frame, Intrinsics, Pose, Scene
from lidarprep.scene.camera import intrinsics_from_mapping
from lidarprep.yaml_files import parse_yaml


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CalibrationPose(_Part):
    """A pose: unit quaternion (w, x, y, z) and translation in metres."""

    quaternion: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]
    translation: tuple[FiniteFloat, FiniteFloat, FiniteFloat]

    @model_validator(mode="after")
    def _is_unit(self) -> Self:
        try:
            self.pose()
        except SceneError as error:
            raise ValueError(error.message) from None
        return self

    def pose(self) -> Pose:
        """Return it as a transform."""
        return Pose.from_quaternion(self.quaternion, self.translation)


class CameraCalibration(_Part):
    """What replaces a camera's own values.

    Args:
        ego_from_camera: The pose of its optical frame on the device.
        given_from_camera: The pose of its optical frame in the one that the recording gives.
        intrinsics: Its intrinsics by the keys of Frame JSON: fx, fy, cx, cy, skew, camera_model, width, height, k1 …
    """

    ego_from_camera: CalibrationPose | None = None
    given_from_camera: CalibrationPose | None = None
    intrinsics: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _has_one_pose(self) -> Self:
        if self.ego_from_camera is not None and self.given_from_camera is not None:
            raise ValueError("it has both ego_from_camera and given_from_camera; give one of them")
        return self


class CalibrationFile(CheckedModel):
    """The whole file: calibrations by the cameras' names."""

    nested_fields: ClassVar[tuple[str, ...]] = (*CameraCalibration.model_fields, *CalibrationPose.model_fields)

    cameras: dict[str, CameraCalibration]


def read_calibration(path: str | PathLike[str]) -> CalibrationFile:
    """Read a calibration file, JSON or YAML.

    Raises:
        SceneError: The file is missing, or does not hold a calibration.
    """
    path = as_path(path)
    try:
        data = parse_yaml(path.read_bytes(), path, "the calibration")
    except OSError as error:
        raise SceneError(f"{path}: the calibration cannot be read: {error.strerror or error}") from error
    except RecipeError as error:
        raise SceneError(error.message, fix=error.fix) from None
    try:
        return CalibrationFile(**data)
    except RecipeError as error:
        fix = (
            'A calibration is {"cameras": {NAME: {"ego_from_camera": {"quaternion": [w, x, y, z], "translation": …}}}}.'
        )
        raise SceneError(f"{path}: the calibration: {error.message}", fix=fix) from None


def with_calibration(scene: Scene, path: str | PathLike[str]) -> Scene:
    """Return the scene with the poses and intrinsics of a calibration file in place of its own.

    Raises:
        SceneError: The file is no calibration; it names a camera that the scene does not have; intrinsics make no
            sense together; a camera without extrinsics is given some, while its images have poses in the world.
    """
    given = read_calibration(path).cameras
    known = [camera.name for camera in scene.cameras]
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(known) or 'none'}."
            raise SceneError(f"{path}: {scene.source} has no camera {name!r}", fix=hint)

    @cache  # a camera may have another calibration in each frame
    def calibrated(camera: Camera) -> Camera:
        change = given.get(camera.name)
        try:
            return camera if change is None else _changed(camera, change)
        except SceneError as error:
            raise SceneError(f"{path}: camera {camera.name}: {error.message}", fix=error.fix) from None

    for frame in scene:
        for image in frame.images:
            name = image.camera.name
            in_world_only = image.camera.ego_from_camera is None and image.world_from_camera is not None
            if in_world_only and name in given and given[name].ego_from_camera is not None:
                raise SceneError(
                    f"{path}: camera {name}: the recording gives its images' poses in the world, and no extrinsics "
                    "that ego_from_camera could replace",
                    fix="Give given_from_camera: the pose of its optical frame in the one that the recording gives.",
                )

    def posed(image: CameraImage, frame: Frame) -> CameraImage:
        change = given.get(image.camera.name)
        if change is None:
            return image
        return replace(image, camera=calibrated(image.camera), world_from_camera=_world_pose(image, frame, change))

    cameras = tuple(map(calibrated, scene.cameras))
    frames = tuple(
        replace(frame, images=tuple(posed(image, frame) for image in frame.images)) if frame.images else frame
        for frame in scene
    )
    note = f"the calibration of {', '.join(name for name in known if name in given)} is that of {path}"
    return replace(scene, cameras=cameras, frames=frames, notes=(*scene.notes, note))


def _changed(camera: Camera, change: CameraCalibration) -> Camera:
    pose = camera.ego_from_camera
    if change.ego_from_camera is not None:
        pose = change.ego_from_camera.pose()
    elif change.given_from_camera is not None and pose is not None:
        pose = pose @ change.given_from_camera.pose()
    intrinsics = camera.intrinsics if change.intrinsics is None else _merged(camera.intrinsics, change.intrinsics)
    return replace(camera, ego_from_camera=pose, intrinsics=intrinsics)


def _merged(own: Intrinsics, change: Mapping[str, Any]) -> Intrinsics:
    """Return intrinsics with some values replaced; with another model, none of the old distortion stays."""
    values: dict[str, Any] = {name: getattr(own, name) for name in ("fx", "fy", "cx", "cy", "skew")}
    values |= {name: size for name in ("width", "height") if (size := getattr(own, name)) is not None}
    values["camera_model"] = own.model
    if change.get("camera_model", own.model) == own.model:
        values |= own.distortion.nonzero()
    return intrinsics_from_mapping(values | dict(change))


def _world_pose(image: CameraImage, frame: Frame, change: CameraCalibration) -> Pose | None:
    """Return the image's pose in the world: the device's at the time of the image, not of the frame."""
    own, world_from_camera = image.camera.ego_from_camera, image.world_from_camera
    if change.given_from_camera is not None:
        return None if world_from_camera is None else world_from_camera @ change.given_from_camera.pose()
    if change.ego_from_camera is None:
        return world_from_camera
    if world_from_camera is not None and own is not None:
        return world_from_camera @ own.inverse() @ change.ego_from_camera.pose()
    return None if frame.world_from_ego is None else frame.world_from_ego @ change.ego_from_camera.pose()
