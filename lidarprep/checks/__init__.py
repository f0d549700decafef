"""Checks of a recording by its own points and images: calibration, poses, time, frames of reference.

A wrong pose or a swapped extrinsic ruins a labelling task without any error. Each check is a function of the scene,
samples of its frames and the options, and returns findings; none for a sound recording.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lidarprep.checks._attitude import odd_attitude
from lidarprep.checks._cameras import CameraView, camera_views, odd_extrinsics
from lidarprep.checks._gaps import emptied_frames, empty_frames, missing_images, missing_poses
from lidarprep.checks._ground import Ground, ground_under, odd_device_height
from lidarprep.checks._images import (
    BadImage,
    encoded_bytes,
    header_of,
    odd_images,
    odd_intrinsics,
    unreadable_images,
)
from lidarprep.checks._no_objects import no_objects
from lidarprep.checks._points import far_coordinates, wrong_points_frame, zero_intensity
from lidarprep.checks._pose_readings import judge_poses
from lidarprep.checks._poses import jumps, motion_within_sweeps, not_unit
from lidarprep.checks._region import (
    CroppedFrame,
    ProposedRegion,
    device_places,
    little_kept,
    propose_region,
    region_off_path,
)
from lidarprep.checks._samples import Sample, SceneSamples, finite, sample_of, thinned
from lidarprep.checks._times import date_of, odd_times
from lidarprep.errors import RecipeError
from lidarprep.scene import Finding, RegionOfInterest3D, Scene
from lidarprep.scene.finding import gravest_first

__all__ = [
    "BadImage",
    "CameraView",
    "CheckOptions",
    "CroppedFrame",
    "Ground",
    "ProposedRegion",
    "Sample",
    "SceneSamples",
    "camera_views",
    "check_scene",
    "date_of",
    "device_places",
    "emptied_frames",
    "empty_frames",
    "encoded_bytes",
    "finite",
    "ground_under",
    "header_of",
    "little_kept",
    "motion_within_sweeps",
    "propose_region",
    "sample_of",
    "thinned",
    "unreadable_images",
]


@dataclass(frozen=True)
class CheckOptions:
    """What the checks judge a recording by, beside the recording itself.

    Args:
        level: "quick" leaves out what reads images.
        max_speed: Metres a second above which the device's speed is odd.
        with_intensity: Whether the intensities are used at all.
        device_height: The height above the ground that was given for the device, metres.
        height_band: (lowest, highest) metres above the ground that are kept, if a device height is given.
        region: The region of interest, in the recording's world frame.
        offset: Metres that `prepare` takes from all coordinates; None if that is not known yet.
        recentre: Whether an offset is taken, if the user has said so.
        deskew: Whether points are compensated for the device's motion before anything else.
        skip_bad_frames: Whether frames that cannot be prepared, those without a pose among them, are left out.
        unreadable_images: Whether images that cannot be decoded are looked for; a run judges all of its images itself.

    Raises:
        RecipeError: The level is another, or the speed is not above 0.
    """

    level: Literal["full", "quick"] = "full"
    max_speed: float = 80.0
    with_intensity: bool = True
    device_height: float | None = None
    height_band: tuple[float, float] | None = None
    region: RegionOfInterest3D | None = None
    offset: tuple[float, float, float] | None = None
    recentre: bool | None = None
    deskew: bool = False
    skip_bad_frames: bool = False
    unreadable_images: bool = True

    def __post_init__(self) -> None:
        if self.level not in ("full", "quick"):
            raise RecipeError(f"the level of the checks is {self.level!r}; it must be full or quick")
        if not self.max_speed > 0:
            raise RecipeError(f"max_speed is {self.max_speed:g}; it must be above 0, in metres a second")


@np.errstate(over="ignore", invalid="ignore")  # absurd coordinates
def check_scene(
    scene: Scene,
    options: CheckOptions | None = None,
    *,
    samples: SceneSamples | None = None,
    views: Mapping[str, CameraView] | None = None,
) -> list[Finding]:
    """Find what is odd about a recording.

    Args:
        scene: The recording.
        options: What it is judged by.
        samples: Frames of it that were read already, and which of its frames are judged.
        views: The `camera_views` of its usual samples, if they are known already.

    Returns:
        The findings, the gravest first, with those of opening it; none for a sound recording.
    """
    options = options or CheckOptions()
    samples = samples or SceneSamples(scene)
    looked_at = samples.usual
    judged = scene if len(samples.frames) == len(scene) else replace(scene, frames=samples.frames)
    # Frames that have nothing to do with one another are sound one by one.
    findings = [one for one in scene.findings if one.code != "frames-unrelated" or len(judged) > 1]
    verdict = judge_poses(scene, samples)
    findings += verdict.findings
    findings += odd_attitude(samples.frames, verdict.poses)
    wrong_frame = wrong_points_frame(scene, looked_at) if verdict.poses == "unknown" else []
    findings += wrong_frame
    of_images = odd_images(samples, decode=options.level == "full", unreadable=options.unreadable_images)
    of_images += odd_intrinsics(scene)
    if not (wrong_frame or verdict.points_frame_is_wrong):  # else the views of the cameras mean nothing
        views = camera_views(scene, looked_at) if views is None else views
        findings += [finding for view in views.values() if (finding := odd_extrinsics(view)) is not None]
        if options.level == "full" and scene.cameras:
            from lidarprep.checks._alignment import misaligned_cameras  # brings Numba

            odd = {one.subject.name for one in (*findings, *of_images) if one.subject.kind == "camera"}
            findings += misaligned_cameras(scene, samples, besides=odd, deskew=options.deskew)
        if options.device_height is not None:
            findings += odd_device_height(looked_at, options.device_height, options.height_band)
        if options.region is not None:
            findings += region_off_path(samples.frames, options.region, looked_at)
    findings += not_unit(judged)
    findings += odd_times(scene, looked_at)
    findings += jumps(judged, options.max_speed)
    if not options.skip_bad_frames:
        findings += missing_poses(judged)
    findings += missing_images(judged)
    findings += of_images
    findings += no_objects(samples)
    if options.with_intensity:
        findings += zero_intensity(looked_at)
    if options.recentre is None:  # else the user has said what is to become of them
        findings += far_coordinates(scene, looked_at, options.offset)
    return gravest_first(findings)
