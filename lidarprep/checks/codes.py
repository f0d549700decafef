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
    "device-height": Code(
        severity="warning or error",
        meaning="The height of the device above the ground that was given is not what the points show. The height "
        "band then lies too high or too low: it drops the road, or cuts off what stands on it. An error where the "
        "band was meant to keep the ground and leaves all of it out.",
        measured="A plane through the lowest points up to 20 m round the device, in the first, the middle and the last "
        "frame; its height under the device, along the device's z axis. More than half of the frames must agree to "
        "0.3 m. Odd if the given height differs by more than 0.3 m, or by more than the frames differ; an error if the "
        "ground lies 0.15 m or more outside a band that contains 0.",
        cure="Give the height that the points show, or --device-height auto. `lidarprep inspect` shows it.",
        example="the device is said to be 1.8 m above the ground; the points show the ground 0.21 m below it in 3 of "
        "3 frames, 0.03 m apart",
    ),
    "frames-nearly-emptied": Code(
        severity="warning",
        meaning="The region or the height band leaves next to nothing of some frames, often those in which the device "
        "has left the region. A labeller sees a few stray points there.",
        measured="Frames with a pose that keep some, but less than 1 % of their finite points; before voxels.",
        cure="Widen the region or the height band, or choose frames, --frames A:B:S.",
        example="3 of 50 frames keep less than 1% of their points; frame 49 keeps 212 of 168,751: 168,539 are outside "
        "the region",
    ),
    "little-kept": Code(
        severity="warning",
        meaning="The region and the height band together leave next to nothing of the recording: the region is "
        "probably elsewhere, or the device height wrong.",
        measured="Less than 5 % of the finite points of all frames with a pose are kept; before voxels. A survey "
        "without poses may be cropped to any part.",
        cure="`lidarprep inspect` proposes a region and a device height.",
        example="110 of 841,671 points are kept (0.01%): 841,561 are outside the region",
    ),
    "region-off-path": Code(
        severity="warning",
        meaning="The device is outside the region in every frame. Points are densest round the device, so the region "
        "holds few and far ones; often it was given in the device's frame, and not in the world.",
        measured="The place of the device in each frame that is prepared, against the rectangle.",
        cure="Give a region in the recording's world frame: the message proposes one round the device's path.",
        example="the device is outside the region in all of 5 frames, 242.5 m from it at the nearest; its path is at "
        "x 0.6 to 2.9 and y 0.6 to 2.9 in the world",
    ),
}
