"""Codes of findings about the recording as a whole: what of it is read, and which frames it has."""

from __future__ import annotations

from lidarprep.checks.codes._code import Code

CODES = {
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
    "topic-not-read": Code(
        "note or warning",
        "A topic of clouds or images is not read: it has no messages, or messages of a type that is not read, such "
        "as raw packets of a lidar or video.",
        "By the type. A warning for images if no other topic of images is read.",
        "Convert it with what is named, if it is wanted.",
        "topic /livox/lidar is not read: its 600 messages are of livox_ros_driver2/msg/CustomMsg, which is not read",
    ),
}
