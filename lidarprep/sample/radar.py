"""A radar that sees cars, posts and signs, and how fast each comes nearer or goes away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lidarprep.sample.street import Reflector
from lidarprep.sample.world import Moment
from lidarprep.scene import Pose

MAX_RANGE_M = 80.0
MAX_RETURNS = 16
_RANGE_NOISE_M = 0.15
_ANGLE_NOISE = 0.006  # radians
# A reflector is seen if a ray to its middle meets something this near to it: its own surface.
_OWN_SURFACE_M = 3.0


def radar_returns(
    moment: Moment, reflectors: list[Reflector], world_from_ego: Pose, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The nearest reflectors in sight, at most MAX_RETURNS.

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
    seen = nearest[(clear & (ranges < MAX_RANGE_M))[nearest]][:MAX_RETURNS]

    velocities = np.array([r.velocity for r in reflectors]).reshape(-1, 3)[seen]
    radial = np.einsum("ij,ij->i", velocities, sight[seen])[:, None] * sight[seen]
    measured = offsets[seen] + _noise(rng, sight[seen], ranges[seen])
    sizes = np.array([reflectors[i].size for i in seen])
    return np.column_stack((measured @ world_from_ego.rotation, radial @ world_from_ego.rotation, sizes))


def _noise(rng: np.random.Generator, sight: NDArray[np.float64], ranges: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) errors in metres: along the line of sight, and across it on the level, growing with the range."""
    across = np.column_stack((-sight[:, 1], sight[:, 0], np.zeros(len(sight))))
    along = rng.normal(0, _RANGE_NOISE_M, (len(sight), 1))
    return along * sight + rng.normal(0, _ANGLE_NOISE, (len(sight), 1)) * ranges[:, None] * across
