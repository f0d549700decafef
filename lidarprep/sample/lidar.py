"""A spinning lidar of 64 beams: one sweep of it, column by column, from the pose that the car has at each."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray

from lidarprep.sample.drive import FRAME_SECONDS, Drive
from lidarprep.sample.materials import column
from lidarprep.sample.world import Hits, Moment

# Dense about the horizon, where things are far; sparse below and above. Radians.
ELEVATIONS = np.radians(
    np.concatenate((np.linspace(-25.0, -7.0, 19), np.linspace(-6.5, 2.5, 37), np.linspace(3.5, 14.0, 8)))
)
MAX_RANGE_M = 120.0
RANGE_NOISE_M = 0.02

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
    looks ahead at the sweep's middle, when the pictures are taken."""
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
    """One sweep, whose middle is `seconds` into the drive.

    Args:
        moment: The world at that second.
        drive: Where the car is, and how it moves on while the lidar turns.
        seconds: Of the sweep's middle.
        rng: For noise and lost returns.
        columns: How often the lidar fires in a turn.
        motion_compensated: Points in ego at the sweep's middle; otherwise left in ego at their own second.
    """
    beams = beam_directions(columns)
    when = column_seconds(columns)
    rotations, translations = drive.poses(seconds + when)
    directions = np.einsum("cij,cbj->cbi", rotations, beams).reshape(-1, 3)
    origins = np.repeat(translations, len(ELEVATIONS), axis=0)
    when = np.repeat(when, len(ELEVATIONS))

    hits = moment.cast(origins, directions, when, MAX_RANGE_M)
    cosine = np.abs(np.einsum("ij,ij->i", hits.normal, directions))
    # The noise is drawn for every ray, hit or not: what one ray meets then changes nothing about the others.
    lucky, noise, flicker = rng.random(len(when)), rng.normal(size=len(when)), rng.normal(size=len(when))
    returned = lucky < _return_probability(hits, cosine)
    distance = np.where(returned, hits.distance, 0.0) + RANGE_NOISE_M * noise

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
