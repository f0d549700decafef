"""Three cameras: where they are mounted, the ray behind each of their pixels, and the picture that they take."""

from __future__ import annotations

from dataclasses import dataclass
from math import radians

import numpy as np
from numpy.typing import NDArray

from lidarprep.sample.materials import GAMMA, column, linear_colours
from lidarprep.sample.world import Moment
from lidarprep.scene import Distortion, Intrinsics, Pose

ASPECT = 0.625  # 960 × 600

TOWARDS_SUN = np.array([-0.52, 0.48, 0.70]) / np.linalg.norm([-0.52, 0.48, 0.70])
_SUN = np.array([1.05, 0.98, 0.86], dtype=np.float32)
_SKY_LIGHT = np.array([0.44, 0.48, 0.54], dtype=np.float32)  # on what faces up
_GROUND_LIGHT = np.array([0.26, 0.25, 0.23], dtype=np.float32)  # on what faces down
_HORIZON = np.array([0.70, 0.77, 0.85], dtype=np.float32)
_ZENITH = np.array([0.16, 0.33, 0.66], dtype=np.float32)
_HAZE_M = 420.0  # distance by which haze has taken 63 % of a colour
_GRAIN_M = 0.06  # size of the specks that grain is made of
_BLOCK = 16384  # pixels shaded at a time, so that what is computed for them stays in the cache

# ego_from_camera turns the optical axes (z forward, x right, y down) into those of a level camera that looks along x.
_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])

# Name, position in ego (metres), yaw, pitch (down) and roll in degrees, focal length as a part of the picture's width,
# distortion. No two are alike and none is quite straight, as on a real car: a mix-up then shows.
_RIG = (
    ("front_camera", (0.42, 0.03, -0.11), (0.4, 2.0, -0.3), 0.66, Distortion(k1=-0.14, k2=0.035, p1=6e-4, p2=-4e-4)),
    ("left_camera", (0.15, 0.36, -0.13), (68.0, 3.1, 0.5), 0.61, Distortion(k1=-0.09, k2=0.018, p1=-3e-4, p2=5e-4)),
    ("right_camera", (0.13, -0.37, -0.14), (-70.5, 2.7, -0.6), 0.58, Distortion()),
)


@dataclass(frozen=True, eq=False)
class RigCamera:
    """One camera on the car.

    Args:
        name: Its name in the recording.
        intrinsics: How it maps its frame to pixels.
        ego_from_camera: Pose of its optical frame.
        rays: (H, W, 3) float64 the unit vector, in its frame, that each pixel looks along.
    """

    name: str
    intrinsics: Intrinsics
    ego_from_camera: Pose
    rays: NDArray[np.float64]


def camera_rig(width: int) -> tuple[RigCamera, ...]:
    """The cameras, for pictures of `width` by ASPECT × `width` pixels."""
    height = round(ASPECT * width)
    cameras = []
    for name, position, (yaw, pitch, roll), focal, distortion in _RIG:
        intrinsics = Intrinsics(
            fx=focal * width,
            fy=1.002 * focal * width,
            cx=0.503 * width,
            cy=0.494 * height,
            distortion=distortion,
        )
        mount = Pose.from_euler(radians(roll), radians(pitch), radians(yaw), position)
        optical = mount @ Pose(_OPTICAL, np.zeros(3))
        cameras.append(RigCamera(name, intrinsics, optical, pixel_rays(intrinsics, width, height)))
    return tuple(cameras)


def pixel_rays(intrinsics: Intrinsics, width: int, height: int) -> NDArray[np.float64]:
    """What each pixel of a picture looks along: (H, W, 3) float64 unit vectors in the camera's frame.

    Distortion has no closed inverse. Each ray is corrected by what its projection misses the pixel by; as the
    distortion is mild, every round leaves a fraction of the miss, until it is below a thousandth of a pixel.
    """
    v, u = np.mgrid[0:height, 0:width]
    pixels = np.column_stack((u.ravel(), v.ravel())).astype(np.float64)
    focal = np.array([intrinsics.fx, intrinsics.fy])
    rays = np.ones((len(pixels), 3))
    rays[:, :2] = (pixels - (intrinsics.cx, intrinsics.cy)) / focal
    for _ in range(50):
        miss = pixels - intrinsics.project(rays)[0]
        if np.abs(miss).max() < 1e-3:
            rays /= np.linalg.norm(rays, axis=1, keepdims=True)
            return rays.reshape(height, width, 3)
        rays[:, :2] += miss / focal
    raise ValueError(f"the distortion {intrinsics.distortion} is too strong to be inverted")


def take_picture(moment: Moment, world_from_ego: Pose, camera: RigCamera) -> NDArray[np.uint8]:
    """What a camera sees when the car is at `world_from_ego`: (H, W, 3) uint8 red, green, blue (sRGB)."""
    world_from_camera = world_from_ego @ camera.ego_from_camera
    rays = camera.rays.reshape(-1, 3)
    picture = np.empty(rays.shape, dtype=np.uint8)
    for begin in range(0, len(rays), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        light = _look(moment, world_from_camera.translation, world_from_camera.rotate(rays[block]))
        picture[block] = np.rint(255 * np.clip(light, 0, 1) ** np.float32(1 / GAMMA))
    return picture.reshape(camera.rays.shape)


def _look(moment: Moment, eye: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N, 3) float32 linear light that reaches the eye (3,) from each of the directions (N, 3)."""
    hits = moment.cast(eye, directions)
    seen = _sky(directions)
    met = np.flatnonzero(hits.material >= 0)
    towards, normal, distance, material = directions[met], hits.normal[met], hits.distance[met], hits.material[met]
    points = eye + distance[:, None] * towards

    facing = normal @ TOWARDS_SUN.astype(np.float32)
    sunlit = np.where(moment.in_shadow(points, normal, TOWARDS_SUN), np.float32(0), facing)[:, None]
    upward = 0.5 + 0.5 * normal[:, 2:]
    light = sunlit * _SUN + upward * _SKY_LIGHT + (1 - upward) * _GROUND_LIGHT
    colour = linear_colours()[material] * light
    colour *= 1 + (column("grain").astype(np.float32)[material] * _specks(points))[:, None]

    gloss = column("gloss").astype(np.float32)[material]
    shiny = np.flatnonzero(gloss > 0)
    inwards = np.einsum("ij,ij->i", towards[shiny], normal[shiny])[:, None]
    mirrored = _sky(towards[shiny] - 2 * inwards * normal[shiny])
    colour[shiny] += gloss[shiny, None] * (mirrored - colour[shiny])

    haze = (1 - np.exp(-distance / _HAZE_M)).astype(np.float32)[:, None]
    seen[met] = colour + haze * (_HORIZON - colour)
    return seen


def _sky(directions: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N, 3) float32 linear colour of the sky: pale at the horizon, blue above, bright about the sun."""
    height = np.sqrt(np.clip(directions[:, 2:], 0, 1)).astype(np.float32)
    glow = np.clip(directions @ TOWARDS_SUN, 0, 1)[:, None].astype(np.float32) ** 24
    return np.asarray(_HORIZON + height * (_ZENITH - _HORIZON) + 0.5 * glow * _SUN, dtype=np.float32)


def _specks(points: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N,) float32 from -1 to 1, the same for all points of one small cube of the world: a hash of its indices."""
    cell = np.floor(points / _GRAIN_M).astype(np.int64).astype(np.uint32)
    mixed = cell[:, 0] * np.uint32(73856093) ^ cell[:, 1] * np.uint32(19349663) ^ cell[:, 2] * np.uint32(83492791)
    mixed = (mixed ^ (mixed >> np.uint32(13))) * np.uint32(1274126177)
    specks = ((mixed >> np.uint32(8)) & np.uint32(0xFFFF)).astype(np.float32)
    return np.asarray(specks / np.float32(32767.5) - 1, dtype=np.float32)
