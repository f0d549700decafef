"""Checks of a recording by its own points and images: calibration, poses, time, frames of reference.

A wrong pose or a swapped extrinsic ruins a labelling task without any error. Each check is a function of the scene,
samples of its frames and the options, and returns findings; none for a sound recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lidarprep.checks._alignment import misaligned_cameras
from lidarprep.checks._cameras import CameraView, camera_views, odd_extrinsics
from lidarprep.checks._finding import refuse, refused, why_refused
from lidarprep.checks._gaps import emptied_frames, empty_frames, missing_images, missing_poses
from lidarprep.checks._points import far_coordinates, wrong_points_frame, zero_intensity
from lidarprep.checks._poses import jumps, motion_within_sweeps, not_unit, out_of_order
from lidarprep.checks._samples import Sample, SceneSamples, finite, sample_of, thinned
from lidarprep.scene import Finding, RegionOfInterest3D, Scene

__all__ = [
    "CameraView",
    "CheckOptions",
    "Sample",
    "SceneSamples",
    "camera_views",
    "check_scene",
    "emptied_frames",
    "empty_frames",
    "finite",
    "motion_within_sweeps",
    "refuse",
    "refused",
    "sample_of",
    "thinned",
    "why_refused",
]

_GRAVEST_FIRST = ("error", "warning", "note")


@dataclass(frozen=True)
class CheckOptions:
    """What the checks judge a recording by, beside the recording itself.

    Args:
        level: "quick" leaves out what reads images.
        max_speed: Metres a second above which the device's speed is odd.
        with_intensity: Whether the intensities are used at all.
        device_height: The height above the ground that was given for the device, metres.
        region: The region of interest, in the recording's world frame.
        offset: Metres that `prepare` takes from all coordinates; None if that is not known yet.
        recentre: Whether an offset is taken, if the user has said so.
    """

    level: Literal["full", "quick"] = "full"
    max_speed: float = 80.0
    with_intensity: bool = True
    device_height: float | None = None
    region: RegionOfInterest3D | None = None
    offset: tuple[float, float, float] | None = None
    recentre: bool | None = None


def check_scene(
    scene: Scene, options: CheckOptions | None = None, *, samples: SceneSamples | None = None
) -> list[Finding]:
    """Find what is odd about a recording.

    Args:
        scene: The recording.
        options: What it is judged by.
        samples: Frames of it that were read already, and which of its frames are judged.

    Returns:
        The findings, the gravest first, with those of opening it; none for a sound recording.
    """
    options = options or CheckOptions()
    samples = samples or SceneSamples(scene)
    looked_at = samples.usual
    findings = list(scene.findings)
    with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates
        wrong_frame = wrong_points_frame(scene, looked_at)
    findings += wrong_frame
    if not wrong_frame:  # else the views of the cameras mean nothing
        views = camera_views(scene, looked_at)
        odd = [finding for view in views.values() if (finding := odd_extrinsics(view)) is not None]
        findings += odd
        if options.level == "full" and scene.cameras:
            findings += misaligned_cameras(scene, samples, besides={finding.subject.name for finding in odd})
    findings += not_unit(scene)
    findings += out_of_order(scene)
    findings += jumps(scene, options.max_speed)
    findings += missing_poses(scene)
    findings += missing_images(scene)
    if options.with_intensity:
        findings += zero_intensity(looked_at)
    if options.recentre is None:  # else the user has said what is to become of them
        findings += far_coordinates(scene, looked_at, options.offset)
    return sorted(findings, key=lambda finding: _GRAVEST_FIRST.index(finding.severity))
