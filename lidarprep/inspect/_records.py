"""What an inspection says: records of plain figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lidarprep.checks import Ground, ProposedRegion, SceneSamples
from lidarprep.scene import Finding, Stream

Triple = tuple[float, float, float]


def triple(values: Iterable[Any]) -> Triple:
    """Return three numbers as floats of Python."""
    x, y, z = (float(value) for value in values)
    return (x, y, z)


@dataclass(frozen=True)
class Bounds:
    """The extent of points or places, metres.

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
        points: Number of points.
        not_finite: Number of points with a coordinate that is not finite.
        no_return: Number of points at their lidar's own place: rays that nothing came back of.
        radar_points: Number of radar returns.
        images: Number of images.
        position: (x, y, z) of the device in the world, metres, or None.
        error: Why it cannot be read, or None.
        is_read: Whether it was read: not all frames are of a large recording in a store. Else the figures of its points
            are 0.
    """

    id: str
    timestamp: int | None
    points: int
    not_finite: int
    no_return: int
    radar_points: int
    images: int
    position: Triple | None
    error: str | None = None
    is_read: bool = True


@dataclass(frozen=True)
class CameraInspection:
    """One camera in figures.

    Args:
        name: Its name.
        model: Its projection.
        size: (width, height) of its images in pixels, or None if it has none with a pose.
        images: Number of frames with an image of it.
        points_in_view: Share of the sampled points that fall into its image, in the first sampled frame that has one;
            or None.
    """

    name: str
    model: str
    size: tuple[int, int] | None
    images: int
    points_in_view: float | None


@dataclass(frozen=True)
class LidarInspection:
    """One lidar in figures.

    Args:
        name: Its name.
        index: The device id of its points.
        points: Number of its points; None if points don't say which lidar they are of.
    """

    name: str
    index: int
    points: int | None


@dataclass(frozen=True)
class Inspection:
    """A recording in figures.

    Args:
        source: Its path or URL.
        layout: Its layout.
        points_frame: The frame of reference of its points.
        frames: Its frames.
        points: Number of points of all frames that are read.
        fields: Names of the columns that the points have.
        ignored_fields: Names of the fields that have no column.
        bounds: The extent of all finite points, in the frame of reference of the points; None if there are none.
        world_bounds: The same in the world; None if no frame has both points and a place in the world.
        path: The extent of the device's places in the world; None without poses.
        ground: The ground under the device, by the points of three frames; None if they show none.
        region: A region of interest round the path that most of the points near the device fill; None without poses.
        intensity: (lowest, highest), or None.
        cameras: Its cameras.
        lidars: Its lidars, if it names them.
        streams: Its streams, used or not, if it holds streams, such as the topics of a bag.
        rate_hz: Frames a second; None without timestamps.
        distance_m: Length of the device's path, metres; None without poses.
        notes: Guesses made on opening it.
        findings: What looks odd, the gravest first.
        samples: A few points of some frames, to draw them by; no part of the figures.
    """

    source: str
    layout: str
    points_frame: str
    frames: list[FrameInspection]
    points: int
    fields: list[str]
    ignored_fields: list[str]
    bounds: Bounds | None
    world_bounds: Bounds | None
    path: Bounds | None
    ground: Ground | None
    region: ProposedRegion | None
    intensity: tuple[float, float] | None
    cameras: list[CameraInspection]
    lidars: list[LidarInspection]
    streams: list[Stream]
    rate_hz: float | None
    distance_m: float | None
    notes: list[str]
    findings: list[Finding]
    samples: SceneSamples | None = field(default=None, compare=False)

    @property
    def calibration(self) -> dict[str, Any] | None:
        """What a file holds that `--calibration` takes to settle the findings of cameras' poses; None without any."""
        cameras: dict[str, Any] = {}
        for finding in self.findings:
            cameras |= (finding.calibration or {}).get("cameras", {})
        return {"cameras": cameras} if cameras else None

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        figures = asdict(replace(self, samples=None))
        del figures["samples"]
        return figures | {"calibration": self.calibration}

    def __repr__(self) -> str:
        odd = f"{len(self.findings)} finding{'' if len(self.findings) == 1 else 's'}"
        return f"Inspection({self.source!r}: {self.layout}, {len(self.frames)} frames, {self.points:,} points, {odd})"
