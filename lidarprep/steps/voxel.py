"""Fewer points: one measured point a voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lidarprep.errors import RecipeError
from lidarprep.kernels.voxel import voxel_rows
from lidarprep.scene import Frame
from lidarprep.steps import StepReport

# Voxels are counted in 32 bits along each axis.
_MOST_VOXELS = 2.0**31


@dataclass(frozen=True)
class VoxelDownsample:
    """Keeps one real, measured point of each voxel; never an average, which nobody measured.

    Args:
        size: Edge of a voxel, metres.
        keep: Which point of a voxel: the "first" in the order of the recording, or the "nearest" to its centre.
    """

    size: float
    keep: Literal["first", "nearest"] = "first"

    def __call__(self, frame: Frame, report: StepReport) -> Frame:
        """The frame with fewer points; those dropped are counted as "voxel".

        Raises:
            RecipeError: The voxels are too small for the extent of the points.
        """
        points = frame.points()
        if len(points) and float(np.abs(points.positions).max()) / self.size >= _MOST_VOXELS:
            raise RecipeError(
                f"voxels of {self.size:g} m are too small for frame {frame.id}: more than 2³¹ along an axis"
            )
        rows = np.empty(len(points), dtype=np.int64)
        count = voxel_rows(np.ascontiguousarray(points.positions), self.size, self.keep == "nearest", rows)
        report.dropped["voxel"] = len(points) - count
        return frame.with_data(points.take(rows[:count]), frame.radar())
