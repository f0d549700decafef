"""What frames lack: points, poses, images."""

from __future__ import annotations

from collections.abc import Sequence

from lidarprep.scene import Finding, Scene, Subject
from lidarprep.scene.finding import opening_option, recipe_option

# So many unreadable frames are findings of their own; the others are counted.
BAD_FRAMES_NAMED = 20


def bad_frames(errors: Sequence[tuple[str, str]]) -> list[Finding]:
    """Name unreadable frames, or count them beyond BAD_FRAMES_NAMED.

    Args:
        errors: The id of each, and why it cannot be read.
    """
    option = recipe_option("--skip-bad-frames", "skip_bad_frames", "True")
    named = [(frame, f"frame {frame} cannot be read: {error}") for frame, error in errors[:BAD_FRAMES_NAMED]]
    if len(errors) > BAD_FRAMES_NAMED:
        named.append(("", f"{len(errors) - BAD_FRAMES_NAMED} more frames cannot be read"))
    return [Finding("bad-frame", message, subject=Subject("frame", frame), option=option) for frame, message in named]


def empty_frames(empty: Sequence[str], frames: int) -> list[Finding]:
    """Find frames that have no points.

    Args:
        empty: Their ids.
        frames: How many frames there are.
    """
    if not empty:
        return []
    return [
        Finding(
            "empty-frames",
            f"{len(empty)} of {frames} frames have no points, the first is {empty[0]}",
            "to choose others; or mend or remove them",
            subject=Subject("frame", empty[0]),
            found=len(empty),
            expected=0,
            option=recipe_option("--frames A:B:S", "frames", "'A:B:S'"),
        )
    ]


def emptied_frames(emptied: Sequence[str], frames: int) -> list[Finding]:
    """Find frames of which no point is kept.

    Args:
        emptied: Their ids.
        frames: How many frames there are.
    """
    if not emptied:
        return []
    return [
        Finding(
            "frames-emptied",
            f"{len(emptied)} of {frames} frames keep no point, the first is {emptied[0]}",
            "widen the region or the height band, or choose frames, --frames A:B:S",
            subject=Subject("frame", emptied[0]),
            found=len(emptied),
            expected=0,
        )
    ]


def missing_poses(scene: Scene) -> list[Finding]:
    """Find frames without a pose whose points are in ego: they have no place in the world."""
    without = [frame.id for frame in scene if frame.world_from_ego is None]
    if not without or scene.points_frame != "ego":
        return []
    if len(without) < len(scene):  # layouts with poses of their own take no file of others
        option, cure = recipe_option("--skip-bad-frames", "skip_bad_frames", "True"), "or give the poses that lack"
    else:
        option = opening_option("--poses", "FILE", "poses", "FILE")
        cure = "or --points-frame world (points_frame='world') if the points are in the world already"
    return [
        Finding(
            "poses-missing",
            f"{len(without)} of {len(scene)} frames have no pose, the first is {without[0]}",
            cure,
            subject=Subject("frame", without[0]),
            found=len(without),
            expected=0,
            option=option,
        )
    ]


def missing_images(scene: Scene) -> list[Finding]:
    """Find cameras that have no image in some of the frames."""
    findings = []
    for camera in scene.cameras:
        images = sum(any(image.camera.name == camera.name for image in frame.images) for frame in scene)
        if images == len(scene):
            continue
        findings.append(
            Finding(
                "images-missing",
                f"camera {camera.name} has images for {images} of {len(scene)} frames",
                "leave it out by naming the others, --camera NAME (cameras=[NAME]); where images are matched by time, "
                "allow more, --image-tolerance S (image_tolerance=S)",
                subject=Subject("camera", camera.name),
                found=images,
                expected=len(scene),
            )
        )
    return findings
