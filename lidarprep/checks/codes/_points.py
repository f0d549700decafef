"""Codes of findings about points: their frame of reference, their intensities, what is kept of them."""

from __future__ import annotations

from lidarprep.checks.codes._code import Code

CODES = {
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
    "empty-frames": Code(
        "warning",
        "A frame has no points, or none with finite coordinates. There is nothing to label in it.",
        "The number of points of each frame.",
        "Choose other frames with `--frames A:B:S`, or mend the recording.",
        "1 of 4 frames have no points, the first is 2",
    ),
    "far-coordinates": Code(
        "warning",
        "World coordinates are so large that float32, which Scale holds, rounds them: points would jump by centimetres "
        "to decimetres.",
        "A coordinate beyond 100 km.",
        "`prepare` takes one offset from all of them. Say `--recentre` to be told no more.",
        "coordinates reach beyond 100000, where float32 rounds: prepare takes (4500000.0, 0.0, 0.0) metres from all of "
        "them",
    ),
    "frames-emptied": Code(
        "warning",
        "The region or the height band drops every point of a frame that had some.",
        "The number of points that are kept of each frame.",
        "Widen the region or the band, or choose frames with `--frames A:B:S`.",
        "1 of 4 frames keep no point, the first is 9",
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
    "intensity-scale": Code(
        "warning",
        "Intensities have no scale that is known for certain. Taken wrongly, the cloud looks black or white.",
        "The lowest and highest intensity of three frames, and whether they are whole numbers.",
        "Say which value is full intensity, `--intensity-scale S`; `prepare` asks for it.",
        "intensities reach from 0 to 612, which is no scale that is known",
    ),
    "intensity-zero": Code(
        "warning",
        "Every intensity is 0: the field is there, but the driver did not fill it.",
        "The intensities of three frames.",
        "Leave them out, `--drop-intensity`.",
        "every intensity is 0, in 3 frames that were looked at",
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
    "points-in-ego": Code(
        "warning or error",
        "Points are taken to be in the world, and look as if they were in the device's frame: they would move along "
        "with it.",
        "The share of occupied voxels in common, read either way (as `poses-misread`). Where that does not tell: where "
        "the points of three frames lie, where they leave a lidar's blind hole, and how their median moves.",
        "Open the recording with `--points-frame ego`.",
        "points are taken to be in world, but look as if they were in ego: in frame 1 they leave a hole at the origin, "
        "and none at the device's place, (40.0, 5.0)",
    ),
    "points-in-world": Code(
        "warning or error",
        "Points are taken to be in the device's frame, and look as if they were in the world: they would be moved "
        "twice.",
        "The share of occupied voxels in common, read either way (as `poses-misread`). Where that does not tell: where "
        "the points of three frames lie, where they leave a lidar's blind hole, and how their median moves.",
        "Open the recording with `--points-frame world`.",
        "points are taken to be in ego, but look as if they were in world: in frame 1 they lie 40.2 m away from the "
        "device, and round its place in the world, (40.0, 5.0)",
    ),
    "points-on-device": Code(
        severity="note",
        meaning=(
            "Points on the vehicle itself: its roof, bonnet, mirrors, the mounting of the lidar. They are "
            "measured rightly, but are no objects to label."
        ),
        measured=(
            "Points of the frame in the middle that are within 2.5 m of the device's origin, over 0.4 m above the "
            "lowest 5 % within 15 m, and within a cell of 0.15 m or next to one in which the first and the last "
            "frame have a point, too; the three frames are at least 1 m apart. At least 20; none if a tenth of it "
            "goes on ahead or behind at 3.5 to 5 m, as a wall does."
        ),
        cure="Nothing; or take them out of the recording.",
        example=(
            "frame 3: 650 points lie on the device itself, where they lie in other frames, too: x -1.9 to 1.9, y …"
        ),
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
    "repeated-points": Code(
        severity="note",
        meaning=(
            "Many points lie exactly where another one does. Lidars that give two returns a ray do so where both "
            "are one; otherwise sweeps were put together twice. Labels take no harm, but each is counted, stored "
            "and loaded twice."
        ),
        measured="Exact x, y and z of all points of the frame in the middle; above 1 % of them.",
        cure="Nothing, or --voxel M, which keeps one point in each cube of M metres.",
        example="frame 3: 84000 of 169000 points lie exactly where another one does (49.7%)",
    ),
}
