"""Checks of a recording: calibration, poses, time, and the frame of reference of its points.

A wrong pose or a swapped extrinsic ruins a labelling task without any error. Each check reads few points and no
pixels, finds nothing in sound recordings, and gives its finding with a cure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lidarprep.checks._cameras import CameraView, camera_views, odd_extrinsics
from lidarprep.checks._finding import (
    WARNING,
    Finding,
    Sample,
    finite,
    recipe_option,
    refuse,
    sample_of,
    strictly,
    thinned,
)
from lidarprep.checks._points import FAR_COORDINATES, far_coordinates, wrong_points_frame, zero_intensity
from lidarprep.checks._poses import jumps, motion_within_sweeps, not_unit, out_of_order
from lidarprep.scene import Scene

__all__ = [
    "FAR_COORDINATES",
    "WARNING",
    "CameraView",
    "Finding",
    "Sample",
    "camera_views",
    "check_scene",
    "finite",
    "motion_within_sweeps",
    "recipe_option",
    "refuse",
    "sample_of",
    "strictly",
    "thinned",
]


def check_scene(
    scene: Scene,
    samples: Sequence[Sample],
    *,
    max_speed: float,
    with_intensity: bool = True,
    views: Mapping[str, CameraView] | None = None,
    offset: tuple[float, float, float] | None = None,
) -> list[Finding]:
    """Find what is odd about a recording.

    Args:
        scene: The recording.
        samples: A few of its frames, the first among them, as `sample_of` makes them.
        max_speed: Metres a second above which the device's speed is odd.
        with_intensity: Whether the intensities are used at all.
        views: The `camera_views` of the samples, if known already.
        offset: Metres that `prepare` takes from all coordinates, if known already.

    Returns:
        The findings, the gravest first; none for a sound recording.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # absurd coordinates
        findings = wrong_points_frame(scene, samples)
    if not findings:  # else the views of the cameras mean nothing
        views = camera_views(scene, samples) if views is None else views
        findings += [finding for view in views.values() if (finding := odd_extrinsics(view)) is not None]
    findings += not_unit(scene)
    findings += out_of_order(scene)
    findings += jumps(scene, max_speed)
    if with_intensity:
        findings += zero_intensity(samples)
    findings += far_coordinates(scene, samples, offset)
    return findings
