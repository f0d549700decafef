"""The codes of findings: what each means, how it is measured, and what to do.

`lidarprep findings` prints them, and docs/findings.md is made of them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """One kind of finding.

    Args:
        severity: "error", "warning" or "note"; "warning or error" where it depends on the figure.
        meaning: What it means, for a person who prepares a recording.
        measured: How it is measured, with the thresholds.
        cure: What to do.
        example: What it looks like: a message of it.
    """

    severity: str
    meaning: str
    measured: str
    cure: str
    example: str


CODES: dict[str, Code] = {
    "camera-misaligned": Code(
        severity="warning",
        meaning="The edges of a camera's images and of the points agree better if the camera is turned a little: its "
        "extrinsics are off, or its images were taken at another time than their timestamps say. Cuboids then lie "
        "beside the objects in the images.",
        measured="Depth edges of the points, and steps of their intensity, are looked up in the gradients of up to 5 "
        "images of the camera, at the pose as given and at rotations of up to 4° about each axis. The camera is named "
        "if the best rotation is at least 0.7°, scores well above all others, the given pose scores at most 0.9 of "
        "it, and 70 % of the frames and 60 % of the strips of the image gain by it. With fewer than 3 frames, or in "
        "images that show too little, nothing is said. A wrong position of 10 cm is not seen.",
        cure="Write the pose that was found with `lidarprep inspect SCENE --write-calibration FILE`, look at it, and "
        "prepare with `--calibration FILE`. If several cameras are named, or the device moves fast, first check the "
        "clocks of cameras and lidar, and whether the sweeps are compensated for motion.",
        example="camera front is turned by 1.5°, or its images are out of time: edges of images and points agree best "
        "if it is turned by +1.5° about x, +0.1° about y, -0.1° about z of its axes (x right, y down, z forward), in 5 "
        "frames; score 9.6 there, 3.1 as given",
    ),
    "cameras-swapped": Code(
        severity="warning",
        meaning="Two cameras have each other's poses, or each other's images: a task would show what is behind the "
        "device as what is before it.",
        measured="Where the images of two cameras agree with the points nowhere near their own poses, each is tried "
        "at the pose of the other, with its own intrinsics and with the other's. They are named if both agree there "
        "within 0.7°.",
        cure="Mend the recording; or write the exchanged values with `lidarprep inspect SCENE --write-calibration "
        "FILE`, and prepare with `--calibration FILE`.",
        example="cameras front and back look as if their poses were exchanged: the images of each agree with the "
        "points at the other's pose, and not at its own",
    ),
    "sweeps-not-compensated": Code(
        severity="warning",
        meaning="The device moves while the lidar turns once, and the points are not moved to where they were at their "
        "frame's time. Objects are bent and beside their images.",
        measured="Only where points have times of their own and the device moves: a camera seems turned, as "
        "camera-misaligned is measured, and no longer does once the points are compensated.",
        cure="Prepare with --deskew.",
        example="edges of images and points agree only once the points are compensated for the device's motion during "
        "a sweep: of left, right",
    ),
}
