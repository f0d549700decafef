"""A recording in figures: frames, points, fields, bounds, intensity, poses, cameras, and what looks odd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from lidarprep.checks import (
    CameraView,
    CheckOptions,
    Sample,
    SceneSamples,
    bad_frames,
    camera_views,
    check_scene,
    device_places,
    empty_frames,
    ground_under,
    motion_within_sweeps,
    propose_region,
    unknown_intensity_scale,
)
from lidarprep.errors import SceneError
from lidarprep.inspect._reading import Extent, FrameFigures, read_frames
from lidarprep.inspect._records import (
    Bounds,
    CameraInspection,
    FrameInspection,
    Inspection,
    LidarInspection,
    triple,
)
from lidarprep.inspect._sampling import rows_to_read, with_samples
from lidarprep.recipe import DEFAULT_MAX_SPEED_M_S
from lidarprep.scene import Scene
from lidarprep.scene.finding import gravest_first

__all__ = [
    "Bounds",
    "CameraInspection",
    "FrameInspection",
    "Inspection",
    "LidarInspection",
    "inspect_scene",
]


def inspect_scene(
    scene: Scene,
    *,
    max_speed: float = DEFAULT_MAX_SPEED_M_S,
    level: Literal["full", "quick"] = "full",
    every_frame: bool = False,
    on_frame: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Read the frames of a recording, and check what looks odd. An unreadable frame is a finding.

    Of a recording of more than 256 MB in a store, some frames are read, spread over it, and notes say which share.

    Args:
        scene: The recording.
        max_speed: Metres a second above which the device's speed is odd.
        level: "quick" leaves out the checks that read images.
        every_frame: Whether all frames are read wherever the recording lies.
        on_frame: Called in this thread with (frames done, frames that are read).

    Raises:
        RecipeError: The level is another, or the speed is not above 0.
        SceneError: None of the frames can be read.
        MissingExtraError: Reading it needs a library that is not installed.
    """
    options = CheckOptions(level=level, max_speed=max_speed)
    rows = list(range(len(scene))) if every_frame else rows_to_read(scene)
    scene, sampling_notes = (scene, []) if every_frame else with_samples(scene, rows)
    figures = [FrameFigures(is_read=False)] * len(scene)
    for done, (row, read) in enumerate(zip(rows, read_frames(scene, rows), strict=True), start=1):
        figures[row] = read
        if on_frame is not None:
            on_frame(done, len(rows))
    bad = [figures[row] for row in rows if figures[row].error is not None]
    if bad and len(bad) == len(rows):
        raise SceneError(
            f"none of the {len(bad)} frames can be read; the first: {bad[0].error}"
            if len(bad) > 1
            else f"{bad[0].error}",
            fix=bad[0].fix or "Write the file again, or open another; `lidarprep layouts` lists what is known.",
        )
    frames = [one.inspection(frame) for frame, one in zip(scene, figures, strict=True)]
    samples = SceneSamples(scene, [scene[row] for row in rows])
    for frame, one in zip(scene, figures, strict=True):
        if one.sample is not None or one.error is not None:
            samples.add(frame, None if one.sample is None else Sample(frame, one.sample))
    views = camera_views(scene, samples.usual)
    cameras = _cameras(scene, views)
    findings = check_scene(scene, options, samples=samples, views=views)
    frame_is_wrong = any(finding.code.startswith("points-in-") for finding in findings)
    to_propose_by = [] if frame_is_wrong else samples.usual
    intensities = [value for one in figures for value in one.intensities]
    hint = motion_within_sweeps(scene, samples.usual)
    return Inspection(
        source=scene.source,
        layout=scene.layout,
        points_frame=scene.points_frame,
        frames=frames,
        points=sum(frame.points for frame in frames),
        fields=list(dict.fromkeys(name for one in figures for name in one.fields)),
        ignored_fields=list(dict.fromkeys(name for one in figures for name in one.ignored_fields)),
        bounds=_bounds(one.extent for one in figures),
        world_bounds=_bounds(one.world_extent for one in figures),
        path=_bounds([Extent(place, place) for place in device_places(scene)]),
        ground=ground_under(to_propose_by),
        region=propose_region(scene, to_propose_by),
        intensity=(min(intensities), max(intensities)) if intensities else None,
        cameras=cameras,
        lidars=_lidars(scene, figures),
        streams=list(scene.streams),
        rate_hz=_rate(frames),
        distance_m=_distance(frames),
        notes=[
            *scene.notes,
            *sampling_notes,
            *dict.fromkeys(note for one in figures for note in one.notes),
            *([hint] if hint else []),
            *_dropped(frames),
        ],
        findings=gravest_first(
            [
                *bad_frames([(frame.id, frame.error) for frame in frames if frame.error is not None]),
                *empty_frames(
                    [one.id for one in frames if one.is_read and one.points == one.not_finite + one.no_return],
                    len(rows),
                ),
                *unknown_intensity_scale(samples.usual),
                *findings,
            ]
        ),
        samples=samples,
    )


def _bounds(extents: Iterable[Extent]) -> Bounds | None:
    """The bounds of several extents; None of none."""
    extents = list(extents)
    lowest = np.min([one.lowest for one in extents], axis=0, initial=np.inf)
    highest = np.max([one.highest for one in extents], axis=0, initial=-np.inf)
    return Bounds(triple(lowest), triple(highest)) if np.isfinite(lowest).all() else None


# ---- figures of the recording --------------------------------------------------------------------------------------


def _cameras(scene: Scene, views: Mapping[str, CameraView]) -> list[CameraInspection]:
    return [
        CameraInspection(
            name=camera.name,
            model=camera.intrinsics.model,
            size=(view.width, view.height) if (view := views.get(camera.name)) else None,
            images=sum(any(image.camera.name == camera.name for image in frame.images) for frame in scene),
            points_in_view=view.share if view else None,
        )
        for camera in scene.cameras
    ]


def _lidars(scene: Scene, figures: Sequence[FrameFigures]) -> list[LidarInspection]:
    if len(scene.lidars) == 1:
        (lidar,) = scene.lidars
        return [LidarInspection(lidar.name, lidar.index, sum(one.points for one in figures))]
    counts = Counter[int]()
    for one in figures:
        counts.update(one.by_device)
    return [LidarInspection(lidar.name, lidar.index, counts[lidar.index] if counts else None) for lidar in scene.lidars]


def _rate(frames: Sequence[FrameInspection]) -> float | None:
    """Frames a second by the median time step, so that a gap does not count."""
    steps = np.diff(np.unique([frame.timestamp for frame in frames if frame.timestamp is not None]))
    return float(1e9 / np.median(steps)) if steps.size else None


def _distance(frames: Sequence[FrameInspection]) -> float | None:
    places = [frame.position for frame in frames]
    if not places or any(place is None for place in places):
        return None
    return float(np.linalg.norm(np.diff(np.array(places, dtype=np.float64), axis=0), axis=1).sum())


def _dropped(frames: Sequence[FrameInspection]) -> list[str]:
    """Note points that are none. Not a finding: lidars that keep their grid have one for every lost return."""
    notes = []
    if count := sum(frame.not_finite for frame in frames):
        notes.append(f"{count} points have a coordinate that is not a finite number: prepare drops them")
    if count := sum(frame.no_return for frame in frames):
        notes.append(f"{count} points lie at their lidar's own place, rays without a return: prepare drops them")
    return notes
