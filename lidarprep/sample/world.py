"""The street as rays see it: one moment of it, ready to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lidarprep.kernels.raycast import Solids, cast_rays, in_shadow
from lidarprep.sample.solids import build_tree

# Rays are cast at most this long before or after the moment: half a sweep, and a little.
SPAN_SECONDS = 0.06


@dataclass(frozen=True, eq=False)
class Hits:
    """What rays met, as columns of equal length.

    Args:
        distance: (N,) float64 metres, infinite where nothing was met.
        normal: (N, 3) float32 outward unit normal of the surface, world.
        material: (N,) int16 number of its material, or kernels.raycast.NOTHING.
        solid: (N,) int32 row of the moment's solids, or kernels.raycast.GROUND or NOTHING.
    """

    distance: NDArray[np.float64]
    normal: NDArray[np.float32]
    material: NDArray[np.int16]
    solid: NDArray[np.int32]


class Moment:
    """The world at one instant, and for a twentieth of a second before and after it.

    Args:
        solids: Everything but the ground; `Hits.solid` counts them as `self.solids` has them, in another order.
        eye: (3,) float64 where the rays will come from, about, in the world, metres.
    """

    def __init__(self, solids: Solids, eye: NDArray[np.float64]) -> None:
        self.solids, self._tree = build_tree(solids, eye, SPAN_SECONDS)

    def cast(
        self, origins: ArrayLike, directions: ArrayLike, seconds: ArrayLike = 0.0, max_range: float = np.inf
    ) -> Hits:
        """What each ray meets first.

        Args:
            origins: (N, 3), or (3,) for all: where the rays start, world, metres.
            directions: (N, 3) unit vectors, world.
            seconds: (N,), or one for all: when each is cast, at most SPAN_SECONDS from the moment.
            max_range: Metres.
        """
        directions = np.ascontiguousarray(directions, dtype=np.float64)
        origins = np.ascontiguousarray(np.broadcast_to(np.asarray(origins, dtype=np.float64), directions.shape))
        seconds = np.ascontiguousarray(np.broadcast_to(np.asarray(seconds, dtype=np.float64), directions.shape[:1]))
        return Hits(*cast_rays(self.solids, self._tree, origins, directions, seconds, float(max_range)))

    def in_shadow(
        self, points: NDArray[np.float64], normals: NDArray[np.float32], towards_light: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """(N,) bool: which points (N, 3) of surfaces with these normals (N, 3) the light (3,) does not reach."""
        dark: NDArray[np.bool_] = in_shadow(self.solids, self._tree, points, normals, towards_light)
        return dark
