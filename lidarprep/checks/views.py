"""What each camera would see of a scene's points: with its pose as given, the other way round, and read as a body's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from math import atan, pi, tau

import numpy as np
from numpy.typing import NDArray

from lidarprep.checks.samples import Sample
from lidarprep.scene import Camera, CameraImage, Intrinsics, Pose, Scene

# Optical axes (z forward, x right, y down) of a camera whose pose is that of a body: x forward, y left, z up.
BODY_FROM_OPTICAL = Pose(np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.zeros(3))

# Points lie all round the device if this many of the sectors that its horizon is cut into have some of them.
SECTORS, SECTORS_WITH_POINTS, POINTS_IN_SECTOR = 36, 33, 3

Array = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """One reading of a camera's pose.

    Args:
        pose: Pose of the optical frame on the device, by this reading.
        seen: How many of the points fall into the picture.
    """

    pose: Pose
    seen: int

    @property
    def down_degrees(self) -> float:
        """Angle between the picture's downward axis and down, -z of the device."""
        return float(np.degrees(np.arccos(np.clip(-self.pose.rotation[2, 1], -1, 1))))

    @property
    def roll_degrees(self) -> float:
        """Angle between the picture's rows and the horizontal plane."""
        return float(np.degrees(np.arcsin(np.clip(abs(self.pose.rotation[2, 0]), 0, 1))))

    @property
    def elevation_degrees(self) -> float:
        """How far the camera looks up."""
        return float(np.degrees(np.arcsin(np.clip(self.pose.rotation[2, 2], -1, 1))))


@dataclass(frozen=True)
class CameraView:
    """What a camera would see of the samples.

    Args:
        camera: The camera.
        width, height: Size of its pictures, pixels.
        points: How many finite points were looked at.
        expected: How many would fall into the picture if they were spread evenly round the horizon and the picture
            were as tall as they reach.
        surrounded: Whether points lie all round the device.
        given: With its pose as given.
        inverted: With its pose the other way round: camera from ego, or camera from world.
        as_body: With its pose taken for that of a body, x forward and z up.
    """

    camera: Camera
    width: int
    height: int
    points: int
    expected: float
    surrounded: bool
    given: View
    inverted: View
    as_body: View

    @property
    def share(self) -> float | None:
        """The share of the points that fall into the picture; None where there are no points."""
        return self.given.seen / self.points if self.points else None


def camera_views(scene: Scene, samples: Sequence[Sample]) -> dict[str, CameraView]:
    """By name, each camera that has a picture and a pose in one of the samples; of several, the first is taken."""
    views: dict[str, CameraView] = {}
    for sample in samples:
        for image in sample.frame.images:
            if image.camera.name not in views:
                with np.errstate(over="ignore", invalid="ignore"):  # of coordinates beyond all measure
                    view = _view(sample, image)
                if view is not None:
                    views[image.camera.name] = view
    return {camera.name: views[camera.name] for camera in scene.cameras if camera.name in views}


def _view(sample: Sample, image: CameraImage) -> CameraView | None:
    readings = _readings(sample, image)
    if readings is None:
        return None
    base_from_points, given, inverted = readings
    points = base_from_points.apply(sample.finite)
    width, height = picture_size(image)
    sized = replace(image.camera.intrinsics, width=width, height=height)

    def seen_from(pose: Pose) -> View:
        _, seen = sized.project(pose.inverse().apply(points))
        return View(pose, int(seen.sum()))

    return CameraView(
        camera=image.camera,
        width=width,
        height=height,
        points=len(points),
        expected=len(points) * _field_of_view(sized, width) / tau,
        surrounded=_all_round(points),
        given=seen_from(given),
        inverted=seen_from(inverted),
        as_body=seen_from(given @ BODY_FROM_OPTICAL),
    )


def _readings(sample: Sample, image: CameraImage) -> tuple[Pose, Pose, Pose] | None:
    """Ego (or else the world) from the points, and in it the camera's pose as given and the other way round."""
    world_from_ego, world_from_camera = sample.frame.world_from_ego, image.world_from_camera
    ego_from_camera = image.camera.ego_from_camera
    in_world = sample.points.frame == "world"
    if world_from_ego is None:
        if in_world and world_from_camera is not None:
            return Pose.identity(), world_from_camera, world_from_camera.inverse()
        if in_world or ego_from_camera is None:
            return None
        return Pose.identity(), ego_from_camera, ego_from_camera.inverse()
    ego_from_world = world_from_ego.inverse()
    ego_from_points = ego_from_world if in_world else Pose.identity()
    if ego_from_camera is not None:
        return ego_from_points, ego_from_camera, ego_from_camera.inverse()
    if world_from_camera is None:
        return None
    return ego_from_points, ego_from_world @ world_from_camera, ego_from_world @ world_from_camera.inverse()


def picture_size(image: CameraImage) -> tuple[int, int]:
    """(width, height) in the pixels of the intrinsics: as they say, else as the picture says, else guessed.

    Where neither says it, the principal point is taken for the picture's middle.
    """
    intrinsics = image.camera.intrinsics
    if intrinsics.width is not None and intrinsics.height is not None:
        return intrinsics.width, intrinsics.height
    size = _size_in_header(image)
    if size is None:
        return max(1, round(2 * intrinsics.cx)), max(1, round(2 * intrinsics.cy))
    return round(size[0] * image.scale_factor), round(size[1] * image.scale_factor)


def _size_in_header(image: CameraImage) -> tuple[int, int] | None:
    """What the encoded picture says; no pixel is decoded. None where there is no picture, or none that can be read."""
    from PIL import Image, UnidentifiedImageError  # only where a calibration leaves the size out

    source = image.path if image.content is None else BytesIO(image.content())
    if source is None:
        return None
    try:
        with Image.open(source) as picture:
            return picture.size
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None


def _field_of_view(intrinsics: Intrinsics, width: int) -> float:
    """The angle that a picture covers from left to right, radians."""
    if intrinsics.model == "brown_conrady":
        # Half a picture each side of the principal point, wherever that lies.
        left, right = intrinsics.cx / intrinsics.fx, (width - intrinsics.cx) / intrinsics.fx
        return float(np.clip(atan(left) + atan(right), 0, pi))
    return min(width / intrinsics.fx, tau)


def _all_round(points: Array) -> bool:
    """Whether points (N, 3) lie in nearly every direction of the horizon, none of them on the device itself."""
    x, y = points[:, 0], points[:, 1]
    angles = np.arctan2(y, x)[np.hypot(x, y) > 1.0]
    counts, _ = np.histogram(angles, bins=SECTORS, range=(-pi, pi))
    return int((counts >= POINTS_IN_SECTOR).sum()) >= SECTORS_WITH_POINTS
