"""Whether a recording hangs together: calibration, poses, time, and the frame of reference of its points.

A wrong pose or a swapped extrinsic ruins a labelling task without any error. Each check looks at few points and at no
pixel, says nothing on sound recordings, and gives with its finding the option that settles it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lidarprep.checks.extrinsics import odd_extrinsics
from lidarprep.checks.finding import WARNING, Finding, refuse, strictly
from lidarprep.checks.motion import motion_within_sweeps
from lidarprep.checks.order import out_of_order
from lidarprep.checks.points import FAR_COORDINATES, far_coordinates, wrong_points_frame, zero_intensity
from lidarprep.checks.poses import jumps, not_unit
from lidarprep.checks.samples import Sample, finite, thinned
from lidarprep.checks.views import CameraView, camera_views
from lidarprep.scene import Frame, PointCloud, Scene

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
    "refuse",
    "sample_of",
    "strictly",
    "thinned",
]


def sample_of(frame: Frame, points: PointCloud) -> Sample:
    """What the checks look at of a frame: few of its points, so that the frame itself can be let go."""
    return Sample(frame, thinned(points))


def check_scene(
    scene: Scene,
    samples: Sequence[Sample],
    *,
    max_speed: float,
    with_intensity: bool = True,
    views: Mapping[str, CameraView] | None = None,
    offset: tuple[float, float, float] | None = None,
) -> list[Finding]:
    """What is odd about a recording.

    Args:
        scene: The recording.
        samples: A few of its frames, the first among them, with few of their points: `sample_of` makes them.
        max_speed: Metres a second from which on the device's way is odd.
        with_intensity: Whether the intensities are used at all.
        views: What `camera_views` gives for the samples, if it is known already.
        offset: Metres that `prepare` takes from all coordinates, if they are known already.

    Returns:
        The findings, the gravest first; none for a sound recording.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # of coordinates beyond all measure
        findings = wrong_points_frame(scene, samples)
    if not findings:  # else what the cameras see says nothing
        views = camera_views(scene, samples) if views is None else views
        findings += [finding for view in views.values() if (finding := odd_extrinsics(view)) is not None]
    findings += not_unit(scene)
    findings += out_of_order(scene)
    findings += jumps(scene, max_speed)
    if with_intensity:
        findings += zero_intensity(samples)
    findings += far_coordinates(scene, samples, offset)
    return findings
