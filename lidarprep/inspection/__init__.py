"""What a recording is, in figures: frames, points, fields, bounds, intensity, poses, cameras, and what looks odd."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lidarprep.checks import CameraView, Sample, camera_views, check_scene, motion_within_sweeps
from lidarprep.errors import RecipeError, SceneError
from lidarprep.inspection.gaps import bad_frames, gaps, intensity_scale
from lidarprep.inspection.reading import FrameFigures, read_frames
from lidarprep.inspection.results import (
    Bounds,
    CameraInspection,
    FrameInspection,
    Inspection,
    LidarInspection,
    triple,
)
from lidarprep.recipe import DEFAULT_MAX_SPEED_M_S
from lidarprep.scene import Scene

__all__ = ["Bounds", "CameraInspection", "FrameInspection", "Inspection", "LidarInspection", "inspect_scene"]


def inspect_scene(
    scene: Scene,
    *,
    max_speed: float = DEFAULT_MAX_SPEED_M_S,
    on_frame: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Looks at every frame of a recording. One that cannot be read is a finding, and the others are looked at.

    Args:
        scene: The recording.
        max_speed: Metres a second from which on the device's way is odd.
        on_frame: Told in this thread (frames done, frames in all).

    Raises:
        RecipeError: The speed is not above 0.
        SceneError: None of the frames can be read.
        MissingExtraError: Reading it needs a library that is not installed.
    """
    if not max_speed > 0:
        raise RecipeError(f"max_speed is {max_speed:g}; it must be above 0, in metres a second")
    figures = []
    for row, read in enumerate(read_frames(scene)):
        figures.append(read)
        if on_frame is not None:
            on_frame(row + 1, len(scene))
    if figures and all(one.error is not None for one in figures):
        raise SceneError(
            f"none of the {len(figures)} frames can be read; the first: {figures[0].error}"
            if len(figures) > 1
            else f"{figures[0].error}",
            fix=figures[0].fix or "Write the file again, or open another; `lidarprep layouts` lists what is known.",
        )
    frames = [one.inspection(frame) for frame, one in zip(scene, figures, strict=True)]
    samples = [Sample(frame, one.sample) for frame, one in zip(scene, figures, strict=True) if one.sample is not None]
    views = camera_views(scene, samples)
    cameras = _cameras(scene, views)
    lowest = np.min([one.lowest for one in figures], axis=0, initial=np.inf)
    highest = np.max([one.highest for one in figures], axis=0, initial=-np.inf)
    intensities = [value for one in figures for value in one.intensities]
    findings = bad_frames(frames) + check_scene(scene, samples, max_speed=max_speed, views=views)
    hint = motion_within_sweeps(scene, samples)
    findings += gaps(scene, frames, cameras) + intensity_scale(samples)
    return Inspection(
        source=scene.source,
        layout=scene.layout,
        points_frame=scene.points_frame,
        frames=frames,
        points=sum(frame.points for frame in frames),
        fields=list(dict.fromkeys(name for one in figures for name in one.fields)),
        ignored_fields=list(dict.fromkeys(name for one in figures for name in one.ignored_fields)),
        bounds=Bounds(triple(lowest), triple(highest)) if np.isfinite(lowest).all() else None,
        intensity=(min(intensities), max(intensities)) if intensities else None,
        cameras=cameras,
        lidars=_lidars(scene, figures),
        streams=list(scene.streams),
        rate_hz=_rate(frames),
        distance_m=_distance(frames),
        notes=[*scene.notes, *([hint] if hint else []), *_not_finite(frames)],
        findings=findings,
    )


def _cameras(scene: Scene, views: Mapping[str, CameraView]) -> list[CameraInspection]:
    pictures = dict.fromkeys((camera.name for camera in scene.cameras), 0)
    for frame in scene:
        for name in {image.camera.name for image in frame.images}:
            pictures[name] = pictures.get(name, 0) + 1
    inspections = []
    for camera in scene.cameras:
        view = views.get(camera.name)
        inspections.append(
            CameraInspection(
                name=camera.name,
                model=camera.intrinsics.model,
                size=None if view is None else (view.width, view.height),
                pictures=pictures[camera.name],
                points_in_view=None if view is None else view.share,
            )
        )
    return inspections


def _lidars(scene: Scene, figures: Sequence[FrameFigures]) -> list[LidarInspection]:
    if len(scene.lidars) == 1:
        (lidar,) = scene.lidars
        return [LidarInspection(lidar.name, lidar.index, sum(one.points for one in figures))]
    known = any(one.by_device for one in figures)
    return [
        LidarInspection(
            lidar.name, lidar.index, sum(one.by_device.get(lidar.index, 0) for one in figures) if known else None
        )
        for lidar in scene.lidars
    ]


def _rate(frames: Sequence[FrameInspection]) -> float | None:
    """By the middle one of the steps in time, so that a gap does not count."""
    steps = np.diff(np.unique([frame.timestamp for frame in frames if frame.timestamp is not None]))
    return float(1e9 / np.median(steps)) if steps.size else None


def _distance(frames: Sequence[FrameInspection]) -> float | None:
    places = [frame.position for frame in frames]
    if not places or any(place is None for place in places):
        return None
    return float(np.linalg.norm(np.diff(np.array(places, dtype=np.float64), axis=0), axis=1).sum())


def _not_finite(frames: Sequence[FrameInspection]) -> list[str]:
    """A note and no finding: a lidar that keeps its grid has a point that is no number for every ray without return."""
    count = sum(frame.not_finite for frame in frames)
    return [f"{count} points have a coordinate that is not a finite number: prepare drops them"] if count else []
