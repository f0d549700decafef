"""What each camera would see of a scene's points: with its pose as given, the other way round, and read as a body's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from math import atan, cos, pi, radians, tau

import numpy as np
from numpy.typing import NDArray

from lidarprep.checks.samples import Sample
from lidarprep.scene import Camera, CameraImage, Intrinsics, Pose, Scene

# Optical axes (z forward, x right, y down) of a camera whose pose is that of a body: x forward, y left, z up.
BODY_FROM_OPTICAL = Pose(np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.zeros(3))

# A device may be tilted: up in the world counts beside its own z, if it is no further from that than this.
MOST_TILT_DEGREES = 60.0

# Points lie all round the device if this many of the sectors that its horizon is cut into have some of them.
SECTORS, SECTORS_WITH_POINTS, POINTS_IN_SECTOR = 36, 33, 3

Array = NDArray[np.float64]

# The device's own z axis, on the device.
OWN_UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class View:
    """One reading of a camera's pose.

    Args:
        pose: Pose of the optical frame on the device, by this reading.
        seen: How many of the points fall into the picture.
    """

    pose: Pose
    seen: int

    def down_degrees(self, up: Array = OWN_UP) -> float:
        """Angle between the picture's downward axis and down; `up` is a unit vector (3,) on the device."""
        return float(np.degrees(np.arccos(np.clip(-self.pose.rotation[:, 1] @ up, -1, 1))))

    def roll_degrees(self, up: Array = OWN_UP) -> float:
        """Angle between the picture's rows and the horizontal plane."""
        return float(np.degrees(np.arcsin(np.clip(abs(self.pose.rotation[:, 0] @ up), 0, 1))))

    @property
    def elevation_degrees(self) -> float:
        """How far the camera looks up, as the device has it."""
        return float(np.degrees(np.arcsin(np.clip(self.pose.rotation[2, 2], -1, 1))))


@dataclass(frozen=True, eq=False)
class CameraView:
    """What a camera would see of the samples.

    Args:
        camera: The camera.
        width, height: Size of its pictures, pixels.
        points: How many finite points were looked at.
        expected: How many would fall into the picture if it were level, and those of its height spread evenly round
            the horizon.
        surrounded: Whether points lie all round the device.
        ups: Unit vectors (3,) on the device that may point up: its z axis, and what is up in the world.
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
    ups: tuple[Array, ...]
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
        expected=_at_height_of(points, sized, height) * _angle_across(sized, sized.fx, sized.cx, width) / tau,
        surrounded=_all_round(points),
        ups=_ups(sample.frame.world_from_ego),
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


def _ups(world_from_ego: Pose | None) -> tuple[Array, ...]:
    """What may be up on a device: its own z axis, and the world's, unless that world's z is hardly up."""
    if world_from_ego is None:
        return (OWN_UP,)
    up: Array = world_from_ego.rotation[2]
    return (OWN_UP, up) if up[2] >= cos(radians(MOST_TILT_DEGREES)) else (OWN_UP,)


def _at_height_of(points: Array, intrinsics: Intrinsics, height: int) -> int:
    """How many points (N, 3) are no further above or below the horizon than half the height of a picture."""
    half = min(_angle_across(intrinsics, intrinsics.fy, intrinsics.cy, height) / 2, pi / 2)
    return int((np.abs(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))) <= half).sum())


def _angle_across(intrinsics: Intrinsics, focal: float, middle: float, pixels: int) -> float:
    """The angle that a picture covers along one of its sides, radians."""
    if intrinsics.model == "brown_conrady":
        # Half a picture each side of the principal point, wherever that lies.
        return float(np.clip(atan(middle / focal) + atan((pixels - middle) / focal), 0, pi))
    return min(pixels / focal, tau)


def _all_round(points: Array) -> bool:
    """Whether points (N, 3) lie in nearly every direction of the horizon, none of them on the device itself."""
    x, y = points[:, 0], points[:, 1]
    angles = np.arctan2(y, x)[np.hypot(x, y) > 1.0]
    counts, _ = np.histogram(angles, bins=SECTORS, range=(-pi, pi))
    return int((counts >= POINTS_IN_SECTOR).sum()) >= SECTORS_WITH_POINTS
