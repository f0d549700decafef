"""Transform to the world frame and crop to a region and a height band, in one pass over the points.

Points that come in chunks are cropped while they are read: only the kept ones are held.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import cos, inf, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import SceneError
from lidarprep.kernels.select import HEIGHT, NO_RETURN, NOT_FINITE, REGION, transform_and_select
from lidarprep.scene import Frame, PointCloud, Pose, RadarPoints, RegionOfInterest3D
from lidarprep.scene.region import EDGE_TOLERANCE_M
from lidarprep.steps import StepReport


@dataclass(frozen=True)
class HeightBand:
    """Heights above the ground that are kept, both ends included.

    A point with height z in the device's frame is z + device_height above the ground.

    Args:
        device_height: The device's height above the ground, metres.
        lowest, highest: The band, metres above the ground.
    """

    device_height: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class ToWorld:
    """Bring a frame's points, radar returns and images into one world frame, and drop unwanted points.

    A point that is dropped is counted once, by the first of these reasons: not_finite, no_return, region, height.

    Args:
        region: The region that is kept, in the recording's world frame; None keeps all.
        height: The band of heights that is kept; None keeps all.
        offset: (x, y, z) metres taken from every world position.
    """

    region: RegionOfInterest3D | None = None
    height: HeightBand | None = None
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __call__(self, frame: Frame, report: StepReport) -> Frame:
        """Return the frame in the world.

        Raises:
            SceneError: The frame has no pose, and its points are not in the world yet or a height is asked for.
        """
        if frame.world_from_ego is None and self.height is not None:
            raise SceneError(
                f"frame {frame.id} has no pose, so the height of its points above the ground is not known",
                fix="Give a poses file, or leave the device height out.",
            )
        offset = np.array(self.offset)
        dropped = np.zeros(4, dtype=np.int64)
        kept: list[PointCloud] = []
        rows: list[NDArray[np.int64]] = []
        for chunk in frame.chunks():
            # Every chunk is in the frame of reference of the first.
            world_from_ego = self._device_pose(frame, chunk)
            zones = chunk.no_return_zones(frame.world_from_ego)
            compact = frame.read_chunks is not None
            cloud, kept_rows = self._kept(chunk, world_from_ego, offset, zones, dropped, compact=compact)
            kept.append(cloud)
            rows.append(kept_rows + report.points_in if report.points_in else kept_rows)
            report.points_in += len(chunk)
            del chunk  # before the next one is read
        if sum(map(len, rows)) < report.points_in:
            report.keep(np.concatenate(rows))
        report.dropped |= {
            "region": int(dropped[REGION]),
            "height": int(dropped[HEIGHT]),
            "not_finite": int(dropped[NOT_FINITE]),
            "no_return": int(dropped[NO_RETURN]),
        }
        return replace(
            frame.with_data(PointCloud.concatenate(kept), self._radar(frame.radar(), world_from_ego)),
            world_from_ego=world_from_ego.translated(-offset),
            images=tuple(
                image
                if image.world_from_camera is None
                else replace(image, world_from_camera=image.world_from_camera.translated(-offset))
                for image in frame.images
            ),
        )

    def _device_pose(self, frame: Frame, points: PointCloud) -> Pose:
        """The device's pose; if it is unknown and the points are in the world, the origin of the shifted world."""
        if frame.world_from_ego is not None:
            return frame.world_from_ego
        if points.frame == "world":
            return Pose.identity().translated(self.offset)
        raise SceneError(
            f"frame {frame.id} has no pose, and its points are in the {points.frame} frame",
            fix="Give a poses file; go without such frames (--frames, or --skip-bad-frames); or say --points-frame "
            "world, if the points are in the world already.",
        )

    def _kept(
        self,
        points: PointCloud,
        world_from_ego: Pose,
        offset: NDArray[np.float64],
        no_return_zones: NDArray[np.float64],
        dropped: NDArray[np.int64],
        *,
        compact: bool,
    ) -> tuple[PointCloud, NDArray[np.int64]]:
        """Return the points that are kept, in the world, and their rows; add to `dropped` the others.

        `compact`: in no more memory than they need.
        """
        world_from_source = Pose.identity() if points.frame == "world" else world_from_ego
        positions = np.require(points.positions, requirements=("C", "W"))
        moved = np.empty_like(positions)
        kept = np.empty(len(points), dtype=np.int64)
        count = transform_and_select(
            positions,
            np.ascontiguousarray(world_from_source.matrix[:3]),
            offset,
            no_return_zones,
            self._region_parameters(),
            self._height_parameters(points, world_from_ego),
            moved,
            kept,
            dropped,
        )
        rows, moved = kept[:count], moved[:count]
        columns: dict[str, Any] = points.columns
        if count < len(points):
            columns = {name: column[rows] for name, column in columns.items()}
        positions = moved.copy() if compact else moved
        return replace(points, positions=positions, frame="world", origins=None, **columns), rows

    def _region_parameters(self) -> NDArray[np.float64]:
        if self.region is None:
            return np.array([0.0, 0.0, 1.0, 0.0, inf, inf])
        x, y, _ = self.region.position
        angle = self.region.rotation
        half_length, half_width = self.region.length / 2 + EDGE_TOLERANCE_M, self.region.width / 2 + EDGE_TOLERANCE_M
        return np.array([x, y, cos(angle), sin(angle), half_length, half_width])

    def _height_parameters(self, points: PointCloud, world_from_ego: Pose) -> NDArray[np.float64]:
        if self.height is None:
            return np.array([0.0, 0.0, 0.0, 0.0, -inf, inf])
        ego_from_source = world_from_ego.inverse() if points.frame == "world" else Pose.identity()
        above_ground = ego_from_source.matrix[2] + np.array([0.0, 0.0, 0.0, self.height.device_height])
        return np.array([*above_ground, self.height.lowest, self.height.highest])

    def _radar(self, radar: RadarPoints | None, world_from_ego: Pose) -> RadarPoints | None:
        if radar is None:
            return None
        world_from_source = Pose.identity() if radar.frame == "world" else world_from_ego
        return RadarPoints(
            positions=world_from_source.apply(radar.positions) - np.array(self.offset),
            directions=None if radar.directions is None else world_from_source.rotate(radar.directions),
            sizes=radar.sizes,
            frame="world",
        )
