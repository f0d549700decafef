"""Codes of findings about poses of the device and of its lidars."""

from __future__ import annotations

from lidarprep.checks.codes._code import Code

CODES = {
    "device-drives-odd": Code(
        "note",
        "The device always drives sideways or backwards, by the heading that its poses give. Robots may do so; most "
        "often x is not ahead in the frame that the poses are of.",
        "The angle between heading and travel over steps of 0.5 m, five or more: the same for all (mean resultant "
        "length above 0.97) and more than 45°.",
        "Look whether the poses are of the points' own frame, with x ahead.",
        "the device always drives sideways: 90° to the left of its x axis, over 12 steps",
    ),
    "device-jumps": Code(
        "warning",
        "The device moves faster than a vehicle can. Its poses are wrong, or their times are.",
        "The distance between neighbouring frames over the time between them, above `--max-speed` (80 m/s); steps of "
        "less than 1 m pass. Without timestamps: steps of more than 20 m and ten times the usual one.",
        "Mend the poses. If the device is as fast as that, say so with `--max-speed`.",
        "the device moves 120.0 m in 0.1 s, 1200 m/s, from frame 2 to 3; 2 of 4 steps are faster than 80 m/s",
    ),
    "device-leans": Code(
        "warning",
        "The device leans to one side in every frame, as if it were never upright. A quaternion in the wrong order "
        "looks so. A lidar may be mounted so; it is not said where the points fit the poses.",
        "The angle between the device's z axis and the world's: more than 30° in every frame.",
        "If the device is not mounted so: `--poses-are xyzw`, or what is named.",
        "the device leans by 45°, and by 44° or more in every frame; is the quaternion w, x, y, z? Read as xyzw, it is "
        "within 2° of upright",
    ),
    "lidar-turned": Code(
        "warning or error",
        "The points look as if they were in the frame of a lidar that is turned on the device: its extrinsics were "
        "left out. A lidar that is only moved on the device, and not turned, shows in bends alone and is not found.",
        "As `poses-misread`, for turns about the vertical; the turn must fit 1.4 times as well as every reading.",
        "Give the lidar's extrinsics, ego from lidar: `lidars/NAME/extrinsics.json`; in a bag, transforms.",
        "the lidar looks turned by about 90° on the device, as if its extrinsics were left out: so turned, 48% of the "
        "occupied voxels of 4 pairs of frames coincide, as given 6%",
    ),
    "pose-unreadable": Code(
        severity="warning",
        meaning="The file of a frame's pose in a toolkit folder is there, and damaged: no JSON, or no pose in it. The "
        "frame is treated as one without a pose; the others keep theirs.",
        measured="Each poses/N.json is read on opening. If none can be read, the recording is refused.",
        cure="Write the file again. --skip-bad-frames leaves the frame out.",
        example="a frame has no pose, since its file is damaged: rec/poses/9.json, line 1 column 1: unexpected end of "
        "data; expected JSON",
    ),
    "poses-at-rest": Code(
        "warning or error",
        "The poses do not move, but by its points the device does: identity poses are a placeholder. What stands "
        "still would move through the world.",
        "The best motion between two frames that a search finds, of up to 7 m and 20°, if it is more than 0.8 m (a "
        "turn counts at 15 m) and 1.4 times the share of occupied voxels coincides; an error from a share of 25 % on.",
        "Give the recording's poses, `--poses FILE`; or `--points-frame world` if the points were moved already.",
        "the poses do not move, but the device does: by its points, about 2.5 m from frame 0 to 3; so moved, 54% of "
        "the occupied voxels coincide, as given 30%",
    ),
    "poses-misfit": Code(
        "warning",
        "The motion that the poses give and the motion that the points show are not the same, and none of the usual "
        "mistakes explains it: poses of other frames or of another time, in another unit, or of another sensor.",
        "A search round the poses' motion, as for `poses-at-rest`, in two pairs of frames.",
        "Look whether the poses belong to these frames, are in metres, and are those of the points' frame.",
        "the poses do not fit the points: from frame 0 to 3 another motion, 5.0 m away, fits better: 47% of the "
        "occupied voxels coincide, as given 6%",
    ),
    "poses-misread": Code(
        "warning or error",
        "The poses are written otherwise than they are read: inverted, with the quaternion's numbers in another order, "
        "with rows for columns, or in a camera's axes. Every frame would be put in the wrong place.",
        "Up to four pairs of frames, between which the device moves 1.2 to 20 m: points 4 to 40 m from it, without the "
        "lowest third, in voxels of 0.3 m. Each reading is scored by the share of the smaller frame's occupied voxels "
        "that the other occupies, too. It is named if its share is 1.4 times the given one, and at least 12 %; an "
        "error if it is 1.8 times that and at least 25 %, in two pairs or more. A device at rest is not judged.",
        "Open the recording with `--poses-are` and the reading that is named.",
        "the poses look as if they were inverted: ego from world: so read, 50% of the occupied voxels of 3 pairs of "
        "frames coincide, as given 2%",
    ),
    "poses-missing": Code(
        "warning",
        "A frame has no pose, and its points are in the device's frame: its place in the world is unknown.",
        "The frames without a pose.",
        "Give poses, `--poses FILE`; or leave such frames out, `--skip-bad-frames`; or say `--points-frame world`.",
        "1 of 4 frames have no pose, the first is 3",
    ),
    "rotation-not-unit": Code(
        "warning",
        "A quaternion or rotation matrix is off unit by more than rounding explains. It was normalised, which may hide "
        "a wrong number.",
        "The deviation of its norm from 1: above 0.0001 it is said, above 0.001 it is refused.",
        "Mend it in the recording.",
        "the pose of frame 2: the quaternion or matrix is off unit by 0.0007; it was normalised",
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
