"""What a recording is, in figures: frames, points, fields, bounds, intensity, poses, cameras, and what looks odd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lidarprep.errors import RecipeError
from lidarprep.scene import Frame, PointCloud, Scene
from lidarprep.scene.points import LARGEST_EXACT_M
from lidarprep.steps.intensity import guess_intensity_scale
from lidarprep.steps.recentre import scene_offset


@dataclass(frozen=True)
class Bounds:
    """The extent of points, metres, in the recording's own frame of reference.

    Args:
        lowest, highest: (x, y, z).
    """

    lowest: tuple[float, float, float]
    highest: tuple[float, float, float]


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
    """

    id: str
    timestamp: int | None
    points: int
    not_finite: int
    radar_points: int
    images: int
    position: tuple[float, float, float] | None


@dataclass(frozen=True)
class CameraInspection:
    """One camera in figures.

    Args:
        name: Its name.
        model: Its projection.
        pictures: How many frames have a picture of it.
        points_in_view: Share of the first such frame's points that fall into its picture, or None.
    """

    name: str
    model: str
    pictures: int
    points_in_view: float | None


@dataclass(frozen=True)
class Inspection:
    """A recording in figures.

    Args:
        source: Where it lies.
        layout: What it was opened as.
        points_frame: The frame of reference of its points.
        frames: Its frames that were looked at.
        points: Points of all of them.
        fields: Names of the columns that the points have.
        ignored_fields: Names of the fields that have no column.
        bounds: The extent of all finite points; None where there are none.
        intensity: (lowest, highest), or None.
        cameras: Its cameras.
        distance_m: How far the device travels, or None where it has no poses.
        notes: What opening it guessed.
        warnings: What looks odd, with what settles it.
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
    distance_m: float | None
    notes: list[str]
    warnings: list[str]

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return asdict(self)


def inspect_scene(scene: Scene, *, on_frame: Callable[[int, int], None] | None = None) -> Inspection:
    """Looks at every frame of a recording; `on_frame` is told (frames done, frames in all).

    Raises:
        FormatError: A file of it is not what it claims to be.
    """
    frames: list[FrameInspection] = []
    samples: list[PointCloud] = []
    fields: dict[str, None] = {}
    ignored: dict[str, None] = {}
    lowest, highest = np.full(3, np.inf), np.full(3, -np.inf)
    intensities: list[float] = []
    kept_samples = {0, len(scene) // 2, len(scene) - 1}
    for row, frame in enumerate(scene):
        cloud = frame.points()
        finite = np.isfinite(cloud.positions).all(axis=1)
        if finite.any():
            positions = cloud.positions[finite]
            lowest, highest = np.minimum(lowest, positions.min(axis=0)), np.maximum(highest, positions.max(axis=0))
        if cloud.intensity is not None:
            known = cloud.intensity[np.isfinite(cloud.intensity)]
            intensities += [float(known.min()), float(known.max())] if known.size else []
        fields |= dict.fromkeys(["positions", *cloud.columns])
        ignored |= dict.fromkeys(cloud.ignored_fields)
        frames.append(_figures(frame, cloud, int((~finite).sum())))
        if row in kept_samples:
            samples.append(cloud)
        if on_frame is not None:
            on_frame(row + 1, len(scene))
    cameras = _cameras(scene)
    return Inspection(
        source=scene.source,
        layout=scene.layout,
        points_frame=scene.points_frame,
        frames=frames,
        points=sum(frame.points for frame in frames),
        fields=list(fields),
        ignored_fields=list(ignored),
        bounds=Bounds(_triple(lowest), _triple(highest)) if np.isfinite(lowest).all() else None,
        intensity=(min(intensities), max(intensities)) if intensities else None,
        cameras=cameras,
        distance_m=_distance(frames),
        notes=list(scene.notes),
        warnings=_warnings(scene, frames, samples, cameras),
    )


def _figures(frame: Frame, cloud: PointCloud, not_finite: int) -> FrameInspection:
    radar = frame.radar()
    return FrameInspection(
        id=frame.id,
        timestamp=frame.timestamp,
        points=len(cloud),
        not_finite=not_finite,
        radar_points=0 if radar is None else len(radar),
        images=len(frame.images),
        position=None if frame.world_from_ego is None else _triple(frame.world_from_ego.translation),
    )


def _triple(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return (x, y, z)


def _cameras(scene: Scene) -> list[CameraInspection]:
    inspections = []
    for camera in scene.cameras:
        having = [(frame, image) for frame in scene for image in frame.images if image.camera.name == camera.name]
        share = None
        if having and having[0][1].world_from_camera is not None:
            frame, image = having[0]
            cloud = frame.points()
            world_points = cloud.positions
            if cloud.frame != "world" and frame.world_from_ego is not None:
                world_points = frame.world_from_ego.apply(cloud.positions)
            _, seen = image.project(world_points)
            share = float(seen.mean()) if len(cloud) else None
        inspections.append(
            CameraInspection(
                name=camera.name, model=camera.intrinsics.model, pictures=len(having), points_in_view=share
            )
        )
    return inspections


def _distance(frames: Sequence[FrameInspection]) -> float | None:
    places = [frame.position for frame in frames]
    if any(place is None for place in places):
        return None
    return float(np.linalg.norm(np.diff(np.array(places, dtype=np.float64), axis=0), axis=1).sum())


def _warnings(
    scene: Scene, frames: Sequence[FrameInspection], samples: Sequence[PointCloud], cameras: Sequence[CameraInspection]
) -> list[str]:
    warnings = []
    empty = [frame.id for frame in frames if not frame.points]
    if empty:
        warnings.append(f"{len(empty)} frames have no points, the first is {empty[0]}")
    not_finite = sum(frame.not_finite for frame in frames)
    if not_finite:
        warnings.append(f"{not_finite} points have a coordinate that is not a finite number: prepare drops them")
    without = [frame.id for frame in frames if frame.position is None]
    if without and scene.points_frame == "ego":
        warnings.append(
            f"{len(without)} frames have no pose, the first is {without[0]}: give a poses file, or say "
            "--points-frame world if the points are in the world already"
        )
    offset = scene_offset(scene.frames, samples[0] if samples else None)
    if any(offset):
        warnings.append(
            f"coordinates reach beyond {LARGEST_EXACT_M:g}, where float32 rounds: prepare takes {offset} from them"
        )
    try:
        guess_intensity_scale(samples)
    except RecipeError as error:
        warnings.append(f"{error.message}: say --intensity-scale")
    for camera in cameras:
        if camera.pictures < len(frames):
            warnings.append(f"camera {camera.name} has pictures for {camera.pictures} of {len(frames)} frames")
        if camera.points_in_view == 0:
            warnings.append(f"no point falls into the picture of camera {camera.name}: check its extrinsics")
    return warnings
