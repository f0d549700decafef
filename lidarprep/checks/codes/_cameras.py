"""Codes of findings about cameras: calibration, images."""

from __future__ import annotations

from lidarprep.checks.codes._code import Code

CODES = {
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
        severity="error or warning",
        meaning="Two cameras have each other's poses, or each other's images: a task would show what is behind the "
        "device as what is before it.",
        measured="Where the images of two cameras agree with the points nowhere near their own poses, each is tried "
        "at the pose of the other, with its own intrinsics and with the other's. They are named if both agree there "
        "within 0.7°, and score better than at their own. An error if both score 4 or more there, and at most 0.6 of "
        "that at their own.",
        cure="Mend the recording; or write the exchanged values with `lidarprep inspect SCENE --write-calibration "
        "FILE`, and prepare with `--calibration FILE`.",
        example="cameras front and back look as if their poses were exchanged: the images of each agree with the "
        "points at the other's pose (score 13.4 and 12.3), and not at its own (-0.7 and 0.4)",
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
}
