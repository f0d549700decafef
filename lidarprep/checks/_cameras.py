"""Extrinsics of cameras: inverted, in the axes of a body, or such that a camera sees too little.

Each camera's pose is read in three ways, as given, inverted and as a body's, and judged by its attitude and by the
points that fall into its image. Up is the device's z, or the world's on a device that is tilted: an inverted pose must
look so by both. A camera that looks to the right at a right angle has extrinsics whose rotation is its own inverse:
there, neither attitude nor points can tell one reading from the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import atan, cos, pi, radians, tau

import numpy as np
from numpy.typing import NDArray

from lidarprep._images import BadImageError
from lidarprep.checks._images import header_of
from lidarprep.checks._samples import Sample
from lidarprep.scene import Camera, CameraImage, Finding, Intrinsics, Pose, Scene, Subject
from lidarprep.scene.finding import opening_option

# Optical axes (z forward, x right, y down) of a camera whose pose is that of a body: x forward, y left, z up.
BODY_FROM_OPTICAL = Pose(np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.zeros(3))

# A device may be tilted by up to this: then up in the world counts beside the device's own z.
MOST_TILT_DEGREES = 60.0

# Points surround the device if so many of the sectors of its horizon have so many of them.
SECTORS, SECTORS_WITH_POINTS, POINTS_IN_SECTOR = 36, 33, 3

# An image is turned if its downward axis is further from down than the first angle, upright if nearer than the second.
TURNED_DEGREES, UPRIGHT_DEGREES = 60.0, 45.0

# An image that is rolled by more than the first angle, and inverted by less than the second, has inverted extrinsics:
# nobody mounts a camera askew such that its inverse is level.
ROLLED_DEGREES, LEVEL_DEGREES = 10.0, 3.0

# A camera whose z axis points higher than this has its pose in the axes of a body.
HIGHEST_ELEVATION_DEGREES = 60.0

# A camera sees too little if fewer points than this part of the expected ones fall into its image, and at least so many
# are expected.
TOO_LITTLE, FEWEST_EXPECTED = 0.02, 50.0

# A pose is not inverted if its inverse sees less than this part of what it sees as given.
WORSE_VIEW = 0.2

Array = NDArray[np.float64]

# The device's own z axis, on the device.
OWN_UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class View:
    """One reading of a camera's pose: the optical frame on the device, and how many points fall into the image."""

    pose: Pose
    seen: int

    def down_degrees(self, up: Array = OWN_UP) -> float:
        """Angle between the image's downward axis and down; `up` is a unit vector (3,) on the device."""
        return float(np.degrees(np.arccos(np.clip(-self.pose.rotation[:, 1] @ up, -1, 1))))

    def roll_degrees(self, up: Array = OWN_UP) -> float:
        """Angle between the image's rows and the horizontal plane."""
        return float(np.degrees(np.arcsin(np.clip(abs(self.pose.rotation[:, 0] @ up), 0, 1))))

    @property
    def elevation_degrees(self) -> float:
        """How far the camera looks up, as the device has it."""
        return float(np.degrees(np.arcsin(np.clip(self.pose.rotation[2, 2], -1, 1))))


@dataclass(frozen=True, eq=False)
class CameraView:
    """The points of a sample that a camera sees.

    Args:
        camera: The camera.
        width, height: Size of its images, pixels.
        points: How many finite points were looked at.
        expected: How many would fall into a level image, if the points at its height were spread evenly round the
            horizon.
        surrounded: Whether points lie all round the device.
        ups: Unit vectors (3,) on the device that may point up: its z axis, and the world's.
        given: With its pose as given.
        inverted: With its pose inverted: camera from ego, or camera from world.
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
        """Share of the points that fall into the image; None if there are no points."""
        return self.given.seen / self.points if self.points else None


def camera_views(scene: Scene, samples: Sequence[Sample]) -> dict[str, CameraView]:
    """Read each camera, by name, from the first sample in which it has an image and a pose."""
    views: dict[str, CameraView] = {}
    for sample in samples:
        for image in sample.frame.images:
            if image.camera.name not in views:
                with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates
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
    size = image_size(image)
    if size is None:
        return None
    width, height = size
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
    """Ego (else the world) from the points, and the camera's pose in it as given and inverted."""
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


def image_size(image: CameraImage) -> tuple[int, int] | None:
    """(width, height) in the pixels of the intrinsics: by the calibration, else by the image; None if neither says."""
    intrinsics = image.camera.intrinsics
    if intrinsics.width is not None and intrinsics.height is not None:
        return intrinsics.width, intrinsics.height
    try:
        size = header_of(image).size
    except BadImageError:
        return None
    return round(size[0] * image.scale_factor), round(size[1] * image.scale_factor)


def _ups(world_from_ego: Pose | None) -> tuple[Array, ...]:
    """Candidates for up on a device: its own z axis, and the world's, unless that is tilted too far."""
    if world_from_ego is None:
        return (OWN_UP,)
    up: Array = world_from_ego.rotation[2]
    return (OWN_UP, up) if up[2] >= cos(radians(MOST_TILT_DEGREES)) else (OWN_UP,)


def _at_height_of(points: Array, intrinsics: Intrinsics, height: int) -> int:
    """Count points (N, 3) that are no further above or below the horizon than half the height of an image."""
    half = min(_angle_across(intrinsics, intrinsics.fy, intrinsics.cy, height) / 2, pi / 2)
    return int((np.abs(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))) <= half).sum())


def _angle_across(intrinsics: Intrinsics, focal: float, middle: float, pixels: int) -> float:
    """Angle that an image covers along one of its sides, radians."""
    if intrinsics.model == "brown_conrady":
        # The principal point may lie off the centre.
        return float(np.clip(atan(middle / focal) + atan((pixels - middle) / focal), 0, pi))
    return min(pixels / focal, tau)


def _all_round(points: Array) -> bool:
    """Whether points (N, 3) lie in nearly every direction of the horizon, not counting those on the device."""
    x, y = points[:, 0], points[:, 1]
    angles = np.arctan2(y, x)[np.hypot(x, y) > 1.0]
    counts, _ = np.histogram(angles, bins=SECTORS, range=(-pi, pi))
    return int((counts >= POINTS_IN_SECTOR).sum()) >= SECTORS_WITH_POINTS


def odd_extrinsics(view: CameraView) -> Finding | None:
    """Find what is odd about a camera's pose."""
    shows_enough = view.inverted.seen >= WORSE_VIEW * view.given.seen
    if shows_enough and all(_upright_if_inverted(view, up) for up in view.ups):
        return _inverted(view)
    seen = (
        f"{view.given.seen} of {view.points} points that were looked at fall into its image of "
        f"{view.width} × {view.height} pixels"
    )
    if view.given.elevation_degrees > HIGHEST_ELEVATION_DEGREES and view.as_body.seen >= view.given.seen:
        return Finding(
            "extrinsics-body-axes",
            f"camera {view.camera.name} looks {view.given.elevation_degrees:.0f}° upwards, as if its pose were in the "
            f"axes of a body; {seen}",
            "give the pose of its optical frame: z forward, x right, y down",
            subject=Subject("camera", view.camera.name),
            found=round(view.given.elevation_degrees, 1),
            expected=f"at most {HIGHEST_ELEVATION_DEGREES:.0f}° upwards",
        )
    if view.surrounded and view.expected >= FEWEST_EXPECTED and view.given.seen < TOO_LITTLE * view.expected:
        return Finding(
            "extrinsics-see-little",
            f"camera {view.camera.name} sees too little: {seen}, though there are points all round the device",
            "mend its extrinsics: the pose on the device, metres, of its optical frame (z forward, x right, y down)",
            subject=Subject("camera", view.camera.name),
            found=view.given.seen,
            expected=f"about {view.expected:.0f} points",
        )
    return None


def _upright_if_inverted(view: CameraView, up: Array) -> bool:
    given, inverted = view.given, view.inverted
    if inverted.down_degrees(up) >= UPRIGHT_DEGREES:
        return False
    rolled = given.roll_degrees(up) > ROLLED_DEGREES and inverted.roll_degrees(up) < LEVEL_DEGREES
    return rolled or given.down_degrees(up) > TURNED_DEGREES


def _inverted(view: CameraView) -> Finding:
    name = view.camera.name
    on_device = view.camera.ego_from_camera is not None
    option = opening_option("--invert-extrinsics", name, "invert_extrinsics", f"[{name!r}]") if on_device else None
    return Finding(
        "extrinsics-inverted",
        f"the extrinsics of camera {name} look inverted: as given, {_attitude(view, view.given)}; "
        f"inverted, {_attitude(view, view.inverted)}",
        "" if on_device else "give its poses as world from camera",
        subject=Subject("camera", name),
        option=option,
    )


def _attitude(view: CameraView, reading: View) -> str:
    """The attitude of the image, and the share of points in it."""
    seen = f" and {reading.seen / view.points:.1%} of the points fall into it" if view.points else ""
    return f"its image is {reading.down_degrees():.0f}° from upright{seen}"
