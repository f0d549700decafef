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
