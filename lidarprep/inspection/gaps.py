"""What looks odd about frames once all of them are read: what cannot be read, and what is not there."""

from __future__ import annotations

from collections.abc import Sequence

from lidarprep.checks import Finding, Sample
from lidarprep.checks import recipe_option
from lidarprep.errors import RecipeError
from lidarprep.inspection.results import CameraInspection, FrameInspection
from lidarprep.scene import Scene
from lidarprep.steps.intensity import guess_intensity_scale

# So many frames that cannot be read are findings of their own; the others are counted.
BAD_FRAMES_NAMED = 20


def bad_frames(frames: Sequence[FrameInspection]) -> list[Finding]:
    """Frames that cannot be read, one by one unless they are many."""
    settle = recipe_option("--skip-bad-frames", "skip_bad_frames", "True")
    bad = [frame for frame in frames if frame.error is not None]
    findings = [
        Finding("bad-frame", f"frame {frame.id} cannot be read: {frame.error}", settle)
        for frame in bad[:BAD_FRAMES_NAMED]
    ]
    more = len(bad) - BAD_FRAMES_NAMED
    return [*findings, Finding("bad-frame", f"{more} more frames cannot be read", settle)] if more > 0 else findings


def gaps(scene: Scene, frames: Sequence[FrameInspection], cameras: Sequence[CameraInspection]) -> list[Finding]:
    """What frames lack: points, poses, pictures."""
    findings = []
    empty = [frame.id for frame in frames if frame.points == frame.not_finite and frame.error is None]
    if empty:
        findings.append(
            Finding(
                "empty-frames",
                f"{len(empty)} of {len(frames)} frames have no points, the first is {empty[0]}",
                "mend or remove them, or choose frames: prepare --frames A:B:S (frames='A:B:S' in a recipe)",
            )
        )
    without = [frame.id for frame in frames if frame.position is None]
    if without and scene.points_frame == "ego":
        findings.append(
            Finding(
                "poses-missing",
                f"{len(without)} of {len(frames)} frames have no pose, the first is {without[0]}",
                "give a poses file, --poses FILE (poses=FILE in open_scene), or say --points-frame world "
                "(points_frame='world') if the points are in the world already",
            )
        )
    findings += [
        Finding(
            "pictures-missing",
            f"camera {camera.name} has pictures for {camera.pictures} of {len(frames)} frames",
            "leave it out by naming the others, --camera NAME (cameras=[NAME] in open_scene); where pictures are "
            "matched by time, allow more, --image-tolerance S (image_tolerance=S)",
        )
        for camera in cameras
        if camera.pictures < len(frames)
    ]
    return findings


def intensity_scale(samples: Sequence[Sample]) -> list[Finding]:
    """Intensities whose scale `prepare` would not guess."""
    try:
        guess_intensity_scale([sample.points for sample in samples])
    except RecipeError as error:
        settle = recipe_option("--intensity-scale S", "intensity_scale", "S")
        return [Finding("intensity-scale", error.message, f"say which value is full intensity: {settle}")]
    return []
