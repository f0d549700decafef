"""Frames and scenes. Both are lazy: a frame's points are read when they are asked for, and let go after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from typing import Literal

from lidarprep.errors import SceneError
from lidarprep.scene.camera import Camera, CameraImage
from lidarprep.scene.points import PointCloud, RadarPoints, ReferenceFrame
from lidarprep.scene.pose import Pose


@dataclass(frozen=True)
class GpsPose:
    """Where the device is on the Earth.

    Args:
        latitude: Degrees.
        longitude: Degrees.
        bearing: Degrees clockwise from north.

    Raises:
        SceneError: A number is not finite.
    """

    latitude: float
    longitude: float
    bearing: float

    def __post_init__(self) -> None:
        if not all(map(isfinite, (self.latitude, self.longitude, self.bearing))):
            raise SceneError(f"a GPS pose has a number that is not finite: {self}")


@dataclass(frozen=True, eq=False)
class Frame:
    """One sweep of the lidar, with what was recorded beside it.

    Args:
        id: Its name in the recording: a file's stem, a token.
        index: Its number in the recording, from 0, in time order.
        read_points: Reads the points anew at each call.
        read_radar: Reads the radar returns anew at each call; None where there is no radar.
        world_from_ego: The device's pose in the world; None where the recording has none.
        timestamp: Nanoseconds since the Unix epoch, or None.
        images: Pictures taken with the frame, in the order of their cameras.
        gps: Where the device is on the Earth, or None.
    """

    id: str
    index: int
    read_points: Callable[[], PointCloud]
    read_radar: Callable[[], RadarPoints] | None = None
    world_from_ego: Pose | None = None
    timestamp: int | None = None
    images: tuple[CameraImage, ...] = ()
    gps: GpsPose | None = None

    def points(self) -> PointCloud:
        """The frame's points; read at each call, never kept."""
        return self.read_points()

    def radar(self) -> RadarPoints | None:
        """The frame's radar returns, or None; read at each call, never kept."""
        return None if self.read_radar is None else self.read_radar()

    def with_data(self, points: PointCloud, radar: RadarPoints | None = None) -> Frame:
        """The same frame, with these points and radar returns in place of its recording's."""
        return replace(self, read_points=lambda: points, read_radar=None if radar is None else lambda: radar)


def _read_points_in(points_frame: ReferenceFrame, read_points: Callable[[], PointCloud]) -> PointCloud:
    return replace(read_points(), frame=points_frame)


@dataclass(frozen=True, eq=False)
class Scene:
    """A recording: frames in time order, and the cameras that saw them.

    Args:
        source: Where it was opened from, as the user wrote it.
        layout: What kind of recording it is: "toolkit", "folder", "file", …
        frames: The frames, in time order.
        cameras: The cameras, in the order of their indices.
        points_frame: The frame of reference that the recording's points are in.
        notes: What opening it guessed or found odd, a sentence each.
    """

    source: str
    layout: str
    frames: tuple[Frame, ...]
    cameras: tuple[Camera, ...] = ()
    points_frame: Literal["ego", "world"] = "ego"
    notes: tuple[str, ...] = ()

    def with_points_in(self, points_frame: Literal["ego", "world"]) -> Scene:
        """The same recording, with its points taken to be in that frame of reference."""

        frames = (
            replace(frame, read_points=partial(_read_points_in, points_frame, frame.read_points))
            for frame in self.frames
        )
        return replace(self, frames=tuple(frames), points_frame=points_frame)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Frame:
        return self.frames[index]

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)

    def __repr__(self) -> str:
        return f"Scene({self.source!r}: {self.layout}, {len(self)} frames, {len(self.cameras)} cameras)"
