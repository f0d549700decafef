"""A recording in figures, as plain data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from lidarprep.checks import Finding
from lidarprep.scene import Stream

Triple = tuple[float, float, float]


def triple(values: Iterable[Any]) -> Triple:
    """(x, y, z) as plain numbers."""
    x, y, z = (float(value) for value in values)
    return (x, y, z)


@dataclass(frozen=True)
class Bounds:
    """The extent of points, metres, in the recording's own frame of reference.

    Args:
        lowest, highest: (x, y, z).
    """

    lowest: Triple
    highest: Triple


@dataclass(frozen=True)
class FrameInspection:
    """One frame in figures.

    Args:
        id: Its name in the recording.
        timestamp: Nanoseconds since the Unix epoch, or None.
        points: How many points it has.
        not_finite: How many of them have a coordinate that is no finite number.
        radar_points: How many radar returns it has.
        images: How many pictures it has.
        position: (x, y, z) of the device in the world, metres, or None.
        error: Why it cannot be read, or None; then its figures are 0.
    """

    id: str
    timestamp: int | None
    points: int
    not_finite: int
    radar_points: int
    images: int
    position: Triple | None
    error: str | None = None


@dataclass(frozen=True)
class CameraInspection:
    """One camera in figures.

    Args:
        name: Its name.
        model: Its projection.
        size: (width, height) of its pictures in pixels, or None where it has none with a pose.
        pictures: How many frames have a picture of it.
        points_in_view: Share of a frame's points that fall into its picture, or None. It is of the points that the
            checks look at, of the first such frame among those that they look at.
    """

    name: str
    model: str
    size: tuple[int, int] | None
    pictures: int
    points_in_view: float | None


@dataclass(frozen=True)
class LidarInspection:
    """One lidar in figures.

    Args:
        name: Its name.
        index: The device id of its points.
        points: How many of the recording's points are its; None where they don't say whose they are.
    """

    name: str
    index: int
    points: int | None


@dataclass(frozen=True)
class Inspection:
    """A recording in figures.

    Args:
        source: Where it lies.
        layout: What kind of recording it is.
        points_frame: The frame of reference of its points.
        frames: Its frames that were looked at.
        points: Points of all of them.
        fields: Names of the columns that the points have.
        ignored_fields: Names of the fields that have no column.
        bounds: The extent of all finite points; None where there are none.
        intensity: (lowest, highest), or None.
        cameras: Its cameras.
        lidars: Its lidars, where it names them.
        streams: What there is to choose from, in a recording that holds streams, such as the topics of a bag.
        rate_hz: How many frames it has a second, or None where they have no timestamps.
        distance_m: How far the device travels, or None where it has no poses.
        notes: What opening it guessed.
        findings: What looks odd, with what settles it.
    """

    source: str
    layout: str
    points_frame: str
    frames: list[FrameInspection]
    points: int
    fields: list[str]
    ignored_fields: list[str]
    bounds: Bounds | None
    intensity: tuple[float, float] | None
    cameras: list[CameraInspection]
    lidars: list[LidarInspection]
    streams: list[Stream]
    rate_hz: float | None
    distance_m: float | None
    notes: list[str]
    findings: list[Finding]

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return asdict(self)
