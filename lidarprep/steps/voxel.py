"""Fewer points: one measured point a voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lidarprep.errors import RecipeError
from lidarprep.kernels.voxel import PACKED_REACH, first_rows, stand_ins_of, voxel_rows
from lidarprep.scene import Frame
from lidarprep.steps import StepReport

# Voxels are counted in 32 bits along each axis.
_MOST_VOXELS = 2.0**31


@dataclass(frozen=True)
class VoxelDownsample:
    """Keep one measured point of each voxel, never an average.

    Args:
        size: Edge of a voxel, metres.
        keep: Which point of a voxel: the "first" in the order of the recording, or the "nearest" to its centre.
    """

    size: float
    keep: Literal["first", "nearest"] = "first"

    def __post_init__(self) -> None:
        if not self.size > 0:
            raise RecipeError(f"voxels have an edge of {self.size} m; it must be above 0")

    def __call__(self, frame: Frame, report: StepReport) -> Frame:
        """Downsample the frame; dropped points are counted as "voxel".

        Raises:
            RecipeError: The voxels are too small for the extent of the points.
        """
        points = frame.points()
        # Voxels from the origin to the furthest point: decides which kernel can count them.
        reach = max(float(points.positions.max()), -float(points.positions.min())) / self.size if len(points) else 0.0
        if reach >= _MOST_VOXELS:
            raise RecipeError(
                f"voxels of {self.size:g} m are too small for frame {frame.id}: more than 2³¹ along an axis"
            )
        rows = np.empty(len(points), dtype=np.int64)
        positions = np.require(points.positions, requirements=("C", "W"))
        if self.keep == "first" and reach < PACKED_REACH - 1:
            count = first_rows(positions, self.size, rows)
        else:
            count = voxel_rows(positions, self.size, self.keep == "nearest", rows)
        report.dropped["voxel"] = len(points) - count
        if count < len(points):
            stand_ins = np.empty(len(points), dtype=np.uint32)
            stand_ins_of(positions, self.size, rows[:count], stand_ins)
            report.keep_for_others(rows[:count], stand_ins)
        return frame.with_data(points.take(rows[:count]), frame.radar())
