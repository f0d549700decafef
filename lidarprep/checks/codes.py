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
    "images-unposed": Code(
        severity="warning",
        meaning="Points are taken to be in the world, as asked for, so frames need no pose. Their images do: without "
        "the pose of the device, where a camera was is not known. These images are left out of the task.",
        measured="The images without a pose in the world are counted, where points are in the world.",
        cure="Give the poses of the device, if the images are wanted.",
        example="6 of 15 images are left out: their frames have no pose, so where their cameras were in the world is "
        "not known",
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
}
