"""The sensors of the car: a spinning lidar of 64 beams, three cameras and a radar.

Each is given a `Moment`: the street at one instant, ready for rays to be cast in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, radians

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lidarprep.kernels.raycast import cast_rays, in_shadow
from lidarprep.sample._solids import GAMMA, Solids, build_tree, column, linear_colours
from lidarprep.sample._street import FRAME_SECONDS, Drive, Reflector
from lidarprep.scene import Distortion, Intrinsics, Pose

# Rays are cast at most this long before or after the moment: half a sweep, and a little.
SPAN_SECONDS = 0.06


@dataclass(frozen=True, eq=False)
class Hits:
    """Hits of rays, as columns of equal length.

    Args:
        distance: (N,) float64 metres, infinite where nothing was hit.
        normal: (N, 3) float32 outward unit normal of the surface, world.
        material: (N,) int16 number of its material, or NOTHING.
        solid: (N,) int32 row of the moment's solids, or GROUND or NOTHING.
    """

    distance: NDArray[np.float64]
    normal: NDArray[np.float32]
    material: NDArray[np.int16]
    solid: NDArray[np.int32]


class Moment:
    """The world at one instant, and for a twentieth of a second before and after it, seen from about `eye` (3,).

    `self.solids` has the solids, everything but the ground, in another order, which `Hits.solid` counts in.
    """

    def __init__(self, solids: Solids, eye: NDArray[np.float64]) -> None:
        self.solids, self._tree = build_tree(solids, eye, SPAN_SECONDS)
        self._rows = self.solids.rows()

    def cast(
        self, origins: ArrayLike, directions: ArrayLike, seconds: ArrayLike = 0.0, max_range: float = np.inf
    ) -> Hits:
        """The first hit of each ray, by its origin and unit direction (N, 3), or (3,) for all, in the world.

        `seconds` (N,), or one for all, are at most SPAN_SECONDS from the moment.
        """
        directions = np.ascontiguousarray(directions, dtype=np.float64)
        origins = np.ascontiguousarray(np.broadcast_to(np.asarray(origins, dtype=np.float64), directions.shape))
        seconds = np.ascontiguousarray(np.broadcast_to(np.asarray(seconds, dtype=np.float64), directions.shape[:1]))
        return Hits(*cast_rays(self._rows, self._tree, origins, directions, seconds, float(max_range)))

    def in_shadow(
        self, points: NDArray[np.float64], normals: NDArray[np.float32], towards_light: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """(N,) bool: which points (N, 3) of surfaces with these normals (N, 3) the light (3,) does not reach."""
        dark: NDArray[np.bool_] = in_shadow(self._rows, self._tree, points, normals, towards_light)
        return dark


# ---- lidar -----------------------------------------------------------------------------------------------------------

# Dense about the horizon, where things are far; sparse below and above. Radians.
ELEVATIONS = np.radians(
    np.concatenate((np.linspace(-25.0, -7.0, 19), np.linspace(-6.5, 2.5, 37), np.linspace(3.5, 14.0, 8)))
)
LIDAR_RANGE_M = 120.0
LIDAR_NOISE_M = 0.02

# How likely a return is: 1 - exp(-gain), with the gain this at 30 m on a white wall that is met head on.
_GAIN_AT_30_M = 80.0
# The intensity that a white wall has head on, nearby, and the range by which it has halved.
_WHITE, _HALVED_AT_M = 230.0, 90.0
_INTENSITY_NOISE = 0.04


@dataclass(frozen=True, eq=False)
class Sweep:
    """The points of one sweep, in the order they were measured, as columns of equal length.

    Args:
        positions: (N, 3) float32 metres, in ego: at the sweep's middle if the motion is compensated, otherwise at
            each point's own second.
        intensity: (N,) float32 whole numbers from 0 to 255.
        seconds: (N,) float64 when each was measured, from the sweep's middle.
        material: (N,) int16 number of the material that was hit.
    """

    positions: NDArray[np.float32]
    intensity: NDArray[np.float32]
    seconds: NDArray[np.float64]
    material: NDArray[np.int16]


def column_seconds(columns: int) -> NDArray[np.float64]:
    """(C,) float64 when each column of a sweep is measured, from the sweep's middle."""
    return FRAME_SECONDS * ((np.arange(columns) + 0.5) / columns - 0.5)


def beam_directions(columns: int) -> NDArray[np.float64]:
    """(C, 64, 3) float64 unit vectors in ego: from straight back, clockwise as seen from above, so that the lidar
    looks ahead at the sweep's middle, when the images are taken."""
    azimuth = -2 * pi * column_seconds(columns) / FRAME_SECONDS
    level = np.cos(ELEVATIONS)
    return np.stack(
        (
            np.outer(np.cos(azimuth), level),
            np.outer(np.sin(azimuth), level),
            np.broadcast_to(np.sin(ELEVATIONS), (columns, len(ELEVATIONS))),
        ),
        axis=2,
    )


def sweep(
    moment: Moment,
    drive: Drive,
    seconds: float,
    rng: np.random.Generator,
    *,
    columns: int,
    motion_compensated: bool,
) -> Sweep:
    """Measure one sweep, whose middle is `seconds` into the drive, with so many columns of 64 rays in a turn.

    Points are in ego at the sweep's middle if the motion is compensated; otherwise in ego at their own second.
    """
    beams = beam_directions(columns)
    when = column_seconds(columns)
    rotations, translations = drive.poses(seconds + when)
    directions = np.einsum("cij,cbj->cbi", rotations, beams).reshape(-1, 3)
    origins = np.repeat(translations, len(ELEVATIONS), axis=0)
    when = np.repeat(when, len(ELEVATIONS))

    hits = moment.cast(origins, directions, when, LIDAR_RANGE_M)
    cosine = np.abs(np.einsum("ij,ij->i", hits.normal, directions))
    # The noise is drawn for every ray, hit or not: what one ray meets then changes nothing about the others.
    lucky, noise, flicker = rng.random(len(when)), rng.normal(size=len(when)), rng.normal(size=len(when))
    returned = lucky < _return_probability(hits, cosine)
    distance = np.where(returned, hits.distance, 0.0) + LIDAR_NOISE_M * noise

    if motion_compensated:
        world_from_ego = drive.pose(seconds)
        positions = world_from_ego.inverse().apply(origins + distance[:, None] * directions)
    else:
        positions = beams.reshape(-1, 3) * distance[:, None]
    return Sweep(
        positions=positions[returned].astype(np.float32),
        intensity=_intensity(hits, cosine, flicker)[returned].astype(np.float32),
        seconds=when[returned],
        material=hits.material[returned],
    )


def _return_probability(hits: Hits, cosine: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) how likely each ray comes back: dark, slanted and far surfaces lose it. 0 where nothing was met."""
    gain = _GAIN_AT_30_M * _returned_light(hits, cosine) * (30.0 / np.maximum(hits.distance, 1.0)) ** 2
    return np.asarray(1.0 - np.exp(-gain))


def _intensity(hits: Hits, cosine: NDArray[np.float64], flicker: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) whole numbers from 0 to 255. Lidars even out most of the falloff with range; what is left is mild."""
    falloff = 1.0 / (1.0 + hits.distance / _HALVED_AT_M)
    value = _WHITE * _returned_light(hits, cosine) * falloff * (1.0 + _INTENSITY_NOISE * flicker)
    return np.clip(np.rint(value), 0.0, 255.0)


def _returned_light(hits: Hits, cosine: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) part of the light that goes back where it came from: Lambert's law, but not for retroreflectors."""
    met = hits.material >= 0
    number = np.where(met, hits.material, 0)
    angle = np.where(column("retroreflective")[number] > 0, 1.0, cosine)
    return np.where(met, column("reflectivity")[number] * angle, 0.0)


# ---- cameras ---------------------------------------------------------------------------------------------------------

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

# Name, position in ego (metres), yaw, pitch (down) and roll in degrees, focal length as a part of the image's width,
# distortion. No two are alike and none is quite straight, as on a real car: a mix-up then shows.
_RIG = (
    ("front_camera", (0.42, 0.03, -0.11), (0.4, 2.0, -0.3), 0.66, Distortion(k1=-0.14, k2=0.035, p1=6e-4, p2=-4e-4)),
    ("left_camera", (0.15, 0.36, -0.13), (68.0, 3.1, 0.5), 0.61, Distortion(k1=-0.09, k2=0.018, p1=-3e-4, p2=5e-4)),
    ("right_camera", (0.13, -0.37, -0.14), (-70.5, 2.7, -0.6), 0.58, Distortion()),
)


@dataclass(frozen=True, eq=False)
class RigCamera:
    """One camera on the car; `rays` (H, W, 3) are float64 unit vectors, in its frame, that the pixels look along."""

    name: str
    intrinsics: Intrinsics
    ego_from_camera: Pose
    rays: NDArray[np.float64]


def camera_rig(width: int) -> tuple[RigCamera, ...]:
    """The cameras, for images of `width` by ASPECT × `width` pixels."""
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
    """Rays of the pixels of an image: (H, W, 3) float64 unit vectors in the camera's frame.

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


def take_image(moment: Moment, world_from_ego: Pose, camera: RigCamera) -> NDArray[np.uint8]:
    """Render the image of a camera with the car at `world_from_ego`: (H, W, 3) uint8 red, green, blue (sRGB)."""
    world_from_camera = world_from_ego @ camera.ego_from_camera
    rays = camera.rays.reshape(-1, 3)
    image = np.empty(rays.shape, dtype=np.uint8)
    for begin in range(0, len(rays), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        light = _look(moment, world_from_camera.translation, world_from_camera.rotate(rays[block]))
        image[block] = np.rint(255 * np.clip(light, 0, 1) ** np.float32(1 / GAMMA))
    return image.reshape(camera.rays.shape)


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


# ---- radar -----------------------------------------------------------------------------------------------------------

RADAR_RANGE_M = 80.0
RADAR_RETURNS = 16
_RADAR_NOISE_M = 0.15
_ANGLE_NOISE = 0.006  # radians
# A reflector is seen if a ray to its middle meets something this near to it: its own surface.
_OWN_SURFACE_M = 3.0


def radar_returns(
    moment: Moment, reflectors: list[Reflector], world_from_ego: Pose, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The nearest reflectors in sight, at most RADAR_RETURNS.

    Returns:
        (N, 7) float64, in ego: position in metres; velocity over ground along the line of sight, metres a second, as
        radars report it once the device's own motion is taken out; width in metres.
    """
    eye = world_from_ego.translation
    offsets = np.array([r.position - eye for r in reflectors]).reshape(-1, 3)
    ranges = np.linalg.norm(offsets, axis=1)
    sight = offsets / ranges[:, None]
    clear = moment.cast(eye, sight).distance > ranges - _OWN_SURFACE_M
    nearest = np.argsort(ranges, kind="stable")
    seen = nearest[(clear & (ranges < RADAR_RANGE_M))[nearest]][:RADAR_RETURNS]

    velocities = np.array([r.velocity for r in reflectors]).reshape(-1, 3)[seen]
    radial = np.einsum("ij,ij->i", velocities, sight[seen])[:, None] * sight[seen]
    measured = offsets[seen] + _noise(rng, sight[seen], ranges[seen])
    sizes = np.array([reflectors[i].size for i in seen])
    return np.column_stack((measured @ world_from_ego.rotation, radial @ world_from_ego.rotation, sizes))


def _noise(rng: np.random.Generator, sight: NDArray[np.float64], ranges: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) errors in metres: along the line of sight, and across it on the level, growing with the range."""
    across = np.column_stack((-sight[:, 1], sight[:, 0], np.zeros(len(sight))))
    along = rng.normal(0, _RADAR_NOISE_M, (len(sight), 1))
    return along * sight + rng.normal(0, _ANGLE_NOISE, (len(sight), 1)) * ranges[:, None] * across
