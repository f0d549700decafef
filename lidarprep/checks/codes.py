"""The codes of findings: what each means, how it is measured, and what to do.

`lidarprep findings` prints them, and docs/findings.md is made of them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """One kind of finding.

    Args:
        severity: "error", "warning" or "note"; and when, where it depends on the figure.
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
    "bad-frame": Code(
        "warning",
        "A frame cannot be read. Without it the scene has a gap, in which objects seem to jump.",
        "`inspect` reads every frame; `prepare` ends at the first that it cannot read, or leaves it out.",
        "Write the file again, or leave bad frames out with `--skip-bad-frames`: the manifest lists them.",
        "frame 3 cannot be read: pointcloud/3.ply, byte 41,203: the file ends within the points",
    ),
    "bag-parts-not-read": Code(
        "warning or note",
        "Files of messages lie beside those of a bag, and are not read: further parts of a recording that was "
        "split, which its metadata.yaml does not list; or, where one file was opened, files whose names differ in "
        "the number alone.",
        "By the names: .db3 and .mcap files in the bag's folder that metadata.yaml does not list (warning); files "
        "NAME_1.mcap beside NAME_0.mcap, where that one is opened (note).",
        "Let `ros2 bag reindex FOLDER` write the metadata of all parts, or move away what is not part of it.",
        "2 files of messages in drive are not in its metadata.yaml, and are not read: drive_1.db3, drive_2.db3",
    ),
    "calibration-missing": Code(
        severity="warning",
        meaning="Some frames of a KITTI object dataset have no calibration, or a damaged one. Where their points "
        "appear in the image is not known, so the image is left out of the frame. The frames' points are not touched.",
        measured="For each image, calib/N.txt of its frame's number is read: P, R0_rect and Tr_velo_to_cam of the "
        "camera. The finding counts the images of a camera whose frame's file lacks one of them or is not there.",
        cure="Add the missing files: KITTI's archive data_object_calib has one for each frame.",
        example="camera image_2: 3 of 7481 images are left out, since their frames have no sound calibration; the "
        "first: training/calib/000012.txt is missing",
    ),
    "camera-delay": Code(
        "warning or note",
        "The images of a camera are half a frame or more from their sweeps, always by the same time. A camera may "
        "be triggered so. Otherwise its clock is late, its messages are stamped when they arrive, or its images are "
        "numbered from another frame on; then what moves is beside itself in the images.",
        "The median of the image's time less the frame's, over all frames; constant if half of them are within 15 % "
        "of the time between frames. In a bag also the times in the headers against the times of recording, "
        "compared with those of the clouds. A warning from a whole frame on, or if headers are later than their "
        "recording; else a note.",
        "See by something that moves whether images and points agree; if not, shift the camera's times by the delay.",
        "the images of camera front are 100.0 ms after their sweeps, always: 1 of the 100 ms between frames",
    ),
    "camera-left-out": Code(
        severity="warning; note in Argoverse 2, some of whose published logs lack the calibration of a camera",
        meaning="A camera has images, and no calibration that can be used: a file of it is missing or damaged. "
        "Everything else is read, but annotators do not see this camera.",
        measured="The calibration of each camera is read on opening. A camera that is named by --camera is refused in "
        "place of being left out.",
        cure="Mend the calibration that the message names. To go without the camera on purpose, name the others: "
        "--camera NAME.",
        example="camera left is left out: camera left has no calibration: rec/cameras/left/intrinsics.json is missing "
        "(intrinsic.json is there: is that it?)",
    ),
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
    "clock-offset": Code(
        "warning",
        "Two streams have different clocks. GPS time is 18 s ahead of UTC, and TAI 37 s; time zones are whole hours "
        "apart. Poses of another clock put each frame where the device was at another time.",
        "Streams a second or more apart: in a bag by the times of recording, which one clock gives to all messages; "
        "points with times since the Unix epoch against their frames; poses that begin and end as much before the "
        "frames, or after them, if that is a usual difference of clocks.",
        "Give both streams one clock: shift the times of one by the difference that is named.",
        "/camera/front/compressed: the times in its headers are 37.00 s ahead of those of the clouds, by the times "
        "of recording, as TAI and UTC are",
    ),
    "device-drives-odd": Code(
        "note",
        "The device always drives sideways or backwards, by the heading that its poses give. Robots may do so; most "
        "often x is not ahead in the frame that the poses are of.",
        "The angle between heading and travel over steps of 0.5 m, five or more: the same for all (mean resultant "
        "length above 0.97) and more than 45°.",
        "Look whether the poses are of the points' own frame, with x ahead.",
        "the device always drives sideways: 90° to the left of its x axis, over 12 steps",
    ),
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
    "empty-frames": Code(
        "warning",
        "A frame has no points, or none with finite coordinates. There is nothing to label in it.",
        "The number of points of each frame.",
        "Choose other frames with `--frames A:B:S`, or mend the recording.",
        "1 of 4 frames have no points, the first is 2",
    ),
    "extrinsics-body-axes": Code(
        "warning",
        "A camera's pose is that of a body (x forward, z up). Scale wants its optical frame (z forward, y down)."
        " Its image would show the sky.",
        "The camera looks more than 60° upwards as given, and read as a body it sees no fewer points.",
        "Give the pose of the optical frame.",
        "camera front looks 90° upwards, as if its pose were in the axes of a body; 0 of 20,000 points that were "
        "looked at fall into its image of 1920 × 1080 pixels",
    ),
    "extrinsics-inverted": Code(
        "warning",
        "A camera's extrinsics are camera from ego, where ego from camera is meant. Points and cuboids would appear at "
        "the wrong place of its image.",
        "As given the image is turned by more than 60°, or rolled by more than 10°; inverted it is upright and sees "
        "points.",
        "Open the recording with `--invert-extrinsics CAMERA`.",
        "the extrinsics of camera left look inverted: as given, its image is 90° from upright and 0.2% of the points "
        "fall into it; inverted, its image is 1° from upright and 20.5% of the points fall into it",
    ),
    "extrinsics-see-little": Code(
        "warning",
        "Hardly a point falls into a camera's image, although points lie all round the device. Its extrinsics or "
        "intrinsics are wrong, often by their unit (millimetres).",
        "Fewer than 2 % of the points that would fall into the image if they were spread evenly round the horizon.",
        "Mend the pose of the camera's optical frame on the device, in metres.",
        "camera rear sees too little: 3 of 20,000 points that were looked at fall into its image of 1920 × 1080 "
        "pixels, though there are points all round the device",
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
    "field-of-view": Code(
        severity="warning",
        meaning=(
            "A camera's focal length does not fit the width of its images: so wide or so narrow a view has no "
            "camera of this kind. Mostly fx and fy are in another unit than pixels, or a decimal point was lost."
        ),
        measured=(
            "The angle across the image, 2·atan(width / 2fx) for a pinhole, width / fx for fisheye, cylindrical "
            "and equirectangular images; odd below 3°, above 170° for a pinhole and above 360° for the others. "
            "Omnidirectional cameras are left out: their focal length does not say it."
        ),
        cure="Check fx and fy; they are in pixels of the image that the calibration is for.",
        example="camera front: its field of view is 177.6° across 1920 pixels, by fx = 19.7",
    ),
    "focal-lengths-differ": Code(
        severity="warning",
        meaning=(
            "fx and fy of a camera differ. Pixels are about square, so the two are alike unless the images were "
            "stretched."
        ),
        measured=("The larger of fx and fy over the smaller, above 1.2; pinhole, fisheye and omnidirectional cameras."),
        cure="Check fx and fy; if the images were stretched, nothing.",
        example="camera front: its focal lengths, fx 1970 and fy 1100 pixels, differ by more than 20%",
    ),
    "folder-not-read": Code(
        severity="warning; note where the folder of the right name is there, too",
        meaning="Something lies in the recording's folder that looks as if it belonged to the recording, and is not "
        "read: a folder or a file with almost the name that the layout expects, a folder whose files are all of "
        "another kind, or what an export of a labelling tool holds beside its points. The task may lack images, radar "
        "or poses because of it.",
        measured="Names are compared without capitals, hyphens and padding of numbers. They are near if 85 % of their "
        "letters are common, in order, or if both are usual names of one kind of folder: images and cameras, pose and "
        "poses, lidar and pointcloud. Empty folders do not count. Folders with other names are only noted.",
        cure="Rename the folder as the message says. If it is something else, leave it: nothing of it is read.",
        example="the folder camera/ is not read: a toolkit folder has cameras/ in its place",
    ),
    "frame-rate": Code(
        "warning or note",
        "Frames come more often than any lidar turns, or very seldom and regularly: their times have another unit "
        "than the layout states, or they are another number altogether.",
        "The median time between frames without doubled ones: a warning below 5 ms (200 Hz); a note from 50 s on if "
        "no step differs from it by a fifth, and a smaller unit gives a usual rate. The unit that is named gives "
        "steps from 4 ms to 4 s; there is never more than one.",
        "Say the unit with --time-unit UNIT, where the layout takes it; or write the times in the stated unit.",
        "frames come 10,000 times a second: their times look like microseconds, and were read as nanoseconds; the "
        "first is at 1.7e+06 s, no date of today",
    ),
    "frames-doubled": Code(
        "warning",
        "Frames share a timestamp. A frame may have been recorded twice; or the times are rounded to whole seconds "
        "or milliseconds, and each frame was at another time.",
        "Equal timestamps. Rounded: all of them are whole seconds, or milliseconds, and more than a fifth are shared.",
        "Where they are rounded, give finer times. Else --frame-order time keeps the first of them. Where the unit "
        "is in doubt (frame-rate), that comes first.",
        "1 of 4 frames have the timestamp of an earlier one: 2 has that of 1, 1700000000100000000 ns",
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
    "frames-out-of-order": Code(
        "warning",
        "A frame is earlier than the one before it. Scale takes frames as they are listed, so objects would jump back.",
        "A timestamp below that of the frame before.",
        "--frame-order time sorts them; where the unit is in doubt (frame-rate), that comes first.",
        "1 of 4 frames are earlier than the one before them: the first is 2, 50.000 ms before 1",
    ),
    "frames-unrelated": Code(
        severity="warning",
        meaning="The recording is a collection of single moments, taken from many drives: KITTI object and what comes "
        "in its layout. There are no poses, so each frame has a world of its own with the lidar at its origin. In one "
        "task, they would look like one drive in which the device stands still and everything else jumps.",
        measured="By the layout, where it holds more than one frame.",
        cure="Make a task of each frame: --frames N:N+1.",
        example="the 7481 frames are moments of many drives, without poses: each has a world of its own, with the "
        "lidar at its origin",
    ),
    "image-orientation": Code(
        severity="warning",
        meaning=(
            "The images say in their EXIF data that they are to be turned when they are shown. The intrinsics are "
            "applied to the pixels as they are stored. A viewer that obeys the EXIF data shows them turned, and "
            "the points beside what they belong to."
        ),
        measured="The EXIF orientation of up to 20 images a camera; anything but 1.",
        cure=(
            "Turn the pixels and take the orientation out (exiftool -Orientation= ), or only take it out, "
            "whichever fits the calibration."
        ),
        example=(
            "camera front: 20 of 20 images that were looked at say in their EXIF data that they are to be turned "
            "(orientation 6); …"
        ),
    ),
    "image-size": Code(
        severity="warning",
        meaning=(
            "The images of a camera are not of the size that its calibration is for, and were not simply shrunk: "
            "points are drawn at the wrong pixels. Images that were shrunk by a simple fraction (2, 3/2, 4/3 …) "
            "on both sides are no finding: they get that fraction as their scale_factor, which is a note."
        ),
        measured=(
            "Width and height by the headers of up to 20 images a camera, times the scale factor, against those "
            "of the calibration; a pixel of rounding is allowed."
        ),
        cure="Give the calibration of these images, or images of its size.",
        example=("camera front: its images have a size of 800 × 600 pixels, and its calibration is for 1280 × 720"),
    ),
    "image-sizes-differ": Code(
        severity="warning",
        meaning=(
            "The images of one camera differ in size. A camera has one calibration, so points are drawn at the "
            "wrong pixels of some of them; a Sensor Fusion Scene refuses them."
        ),
        measured="Width and height by the headers of up to 20 images a camera, spread over the recording.",
        cure="Give images of one size, or the images of each size as a camera of its own.",
        example=(
            "camera front: its images differ in size: 18 of 1280 × 720, 2 of 640 × 360 pixels among 20 that were "
            "looked at; …"
        ),
    ),
    "image-too-large": Code(
        severity="warning",
        meaning="An image has more pixels a side than Scale takes.",
        measured="Width and height by the headers of up to 20 images a camera; above 10,000.",
        cure="Shrink the images, and divide fx, fy, cx and cy by as much.",
        example="camera top: an image has 12000 × 9000 pixels; Scale takes 10,000 a side",
    ),
    "image-unreadable": Code(
        severity="warning",
        meaning=(
            "Images are empty, cut off, damaged, or of a format that Scale does not take (it takes JPEG, PNG, "
            "BMP, GIF and TIFF). `prepare` never stores such an image: it leaves it out of its frame, and the "
            "rest of the frame goes on. The manifest names each (`images_left_out`)."
        ),
        measured=(
            "A JPEG has its end behind its last scan, a PNG all of its chunks with the right checksums; whatever "
            "fails that, and all other formats, is decoded. `prepare` looks at every image, `inspect` at up to 20 "
            "a camera, with --checks quick at their headers only."
        ),
        cure="Record or copy them again; or go on without them.",
        example=(
            "camera front: 1 image cannot be decoded; its image, in frame 12 (cameras/front/12.jpg), is cut off "
            "or damaged (image file is truncated …)"
        ),
    ),
    "images-missing": Code(
        "warning",
        "A camera has no image in some frames. Labellers see these frames without it.",
        "Frames with an image of each camera, after images were matched with frames.",
        "Allow more time between a frame and its image, `--image-tolerance S`, or leave the camera out.",
        "camera front has images for 3 of 4 frames",
    ),
    "images-unposed": Code(
        severity="warning",
        meaning="Points are taken to be in the world, as asked for, so frames need no pose. Their images do: without "
        "the pose of the device, where a camera was is not known. These images are left out of the task.",
        measured="The images without a pose in the world are counted, where points are in the world.",
        cure="Give the poses of the device, if the images are wanted.",
        example="6 of 15 images are left out: their frames have no pose, so where their cameras were in the world is "
        "not known",
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
    "lidar-turned": Code(
        "warning or error",
        "The points look as if they were in the frame of a lidar that is turned on the device: its extrinsics were "
        "left out. A lidar that is only moved on the device, and not turned, shows in bends alone and is not found.",
        "As `poses-misread`, for turns about the vertical; the turn must fit 1.4 times as well as every reading.",
        "Give the lidar's extrinsics, ego from lidar: `lidars/NAME/extrinsics.json`; in a bag, transforms.",
        "the lidar looks turned by about 90° on the device, as if its extrinsics were left out: so turned, 48% of the "
        "occupied voxels of 4 pairs of frames coincide, as given 6%",
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
    "messages-missing": Code(
        "warning",
        "A ROS 2 bag has fewer messages than its metadata.yaml counts: a file was cut, or copied without the "
        "write-ahead log beside it.",
        "The messages in all its files, against message_count.",
        "Copy its files once more, with a .db3-wal beside a .db3; or find the parts that are missing.",
        "drive has 960 messages, where its metadata.yaml counts 1000",
    ),
    "names-not-alike": Code(
        "warning",
        "Most point files are named by their times, and some are not, or in another way.",
        "Names of 13, 16 or 19 digits, or of seconds with decimals. Others are left out if they are one, or one in "
        "ten; times of several kinds are read if they are all of one day. Else no name is read as a time.",
        "Name all of them by their times in one way, or move those away that are no frames.",
        "1 of 100 files in pointcloud are not named by a time, as the others are, and are left out: map",
    ),
    "point-time-unit": Code(
        "warning or note",
        "The times of the points within a sweep do not fit the time between frames: they have another unit than the "
        "one they were read in, or are shares of a sweep from 0 to 1. --deskew then does nothing, or far too much, "
        "and the points' times in the attachments are wrong.",
        "The span of the times in sample frames, without the outermost hundredths, against the median time between "
        "frames: below a 300th of it or above 30 times. A warning where another unit gives from half to 1.2 times "
        "of it, or where it is too long; a note where another unit gives a fiftieth at least.",
        "Say the unit with --time-unit points=UNIT; multiply shares of a sweep by its duration.",
        "the points' times span 0.099 ms in a sweep, and frames are 100 ms apart: they look like microseconds, and "
        "were read as nanoseconds",
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
    "principal-point": Code(
        severity="warning",
        meaning=(
            "A camera's principal point is outside its images, or far from their centre. Mostly the calibration "
            "is for images of another size, or cx and cy are swapped."
        ),
        measured=(
            "cx and cy against width and height: more than a quarter of a side from the centre. Where both are "
            "the same multiple of their half, the message says what size the calibration seems to be for."
        ),
        cure="Check cx and cy, and the size of the images that the calibration is for.",
        example=(
            "camera front: its principal point (640.0, 360.0) lies outside the image of 640 × 360 pixels, as if "
            "the calibration were for images 2 times as large"
        ),
    ),
    "recording-not-read": Code(
        severity="warning; note for a single file, for stray files beside a recording, and where --layout or --poses "
        "says that the part is meant",
        meaning="What was opened is a part of something larger, or lies beside it: the folder of points of a whole "
        "recording, whose images, poses and calibration are then not read; or a folder of point files in which a whole "
        "recording lies as well.",
        measured="The folders above, up to three, are looked at: does one hold a recording of a layout that keeps its "
        "points in such a folder? Folders in a plain folder of point files are looked at likewise.",
        cure="Open the folder that the message names.",
        example="only velodyne/ of a part of KITTI object is opened: nothing else of data/kitti/training "
        "(kitti-object) is read",
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
    "rotation-not-unit": Code(
        "warning",
        "A quaternion or rotation matrix is off unit by more than rounding explains. It was normalised, which may hide "
        "a wrong number.",
        "The deviation of its norm from 1: above 0.0001 it is said, above 0.001 it is refused.",
        "Mend it in the recording.",
        "the pose of frame 2: the quaternion or matrix is off unit by 0.0007; it was normalised",
    ),
    "stamps-unset": Code(
        "warning or note",
        "Messages or poses have no time: 0, not a number, or half a day from all others, as a sensor writes it that "
        "has not got the time yet. Their times are estimated; all others stay as they are.",
        "A stamp of 0, but for a clock that begins at 0; or one 12 h from the median of the others, against the "
        "time of recording in a bag. A message's time is estimated from when it was recorded, less the delay of "
        "those beside it; if none has a time, the times of recording are taken (warning). A pose's is between those "
        "of the rows beside it, and it is left out of the device's path.",
        "Mostly nothing. Where no message has a time, let the driver stamp them: recordings are late by transport.",
        "/points: 1 of 10 messages have a header without a time (0, or half a day from the others); their times are "
        "estimated from when they were recorded",
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
    "topic-not-read": Code(
        "note or warning",
        "A topic of clouds or images is not read: it has no messages, or messages of a type that is not read, such "
        "as raw packets of a lidar or video.",
        "By the type. A warning for images if no other topic of images is read.",
        "Convert it with what is named, if it is wanted.",
        "topic /livox/lidar is not read: its 600 messages are of livox_ros_driver2/msg/CustomMsg, which is not read",
    ),
}


def as_markdown() -> str:
    """Return docs/findings.md: `python -m lidarprep.checks.codes > docs/findings.md`."""
    parts = [_HEAD]
    for name, one in sorted(CODES.items()):
        parts.append(
            f"## {name}\n\n{one.severity}. {one.meaning}\n\n- **Measured:** {one.measured}\n"
            f"- **What to do:** {one.cure}\n"
            f"- **What it looks like:**\n\n      {one.severity.split()[0]}: {one.example} [{name}]\n"
        )
    return "\n".join(parts)


_HEAD = """# Findings

The checks judge a recording by its own points, poses, times and images. A finding has a code, a severity, a subject (a
frame, a camera, a topic, a file), the figure found, what was expected, and the option that settles it. Findings are in
`inspect`'s output and its `--json`, in the manifest (`findings`), and are said again before a task is submitted.

- **error**: it would ruin a task. `prepare`, `run` and `submit` end with exit code 2, unless `--accept CODE` says that
  it is meant; the manifest records what was accepted.
- **warning**: it may. `--strict` ends `inspect`, `prepare` and `run` with exit code 2 on a warning, too.
- **note**: it is as well to know.

`--checks quick` leaves out what reads images. `lidarprep findings CODE` prints the text below. In Python:
`scene.check()` and `manifest.findings`.
"""


if __name__ == "__main__":
    print(as_markdown(), end="")
