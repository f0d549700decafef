"""Recordings that hold points which lidarprep does not decode, and the tools that convert them.

Packets as a sensor sent them, makers' own files, and archives: an error that names the way on is worth more than a list
of what would have been read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lidarprep.remote import AnyPath


class Undecoded(NamedTuple):
    """What something is, "a file of Livox Viewer", and the sentence that says how to convert it."""

    what: str
    cure: str


_PDAL = "Convert it with PDAL: pdal translate {name} {stem}.laz; or save it as LAS or E57 with CloudCompare."
_OUSTER = "Convert it with Ouster's SDK (pip install ouster-sdk): ouster-cli source {name} save {stem}.pcd"
_ARCHIVE = Undecoded("an archive", "Unpack it, and open what is in it.")

# By the end of a file's name, in lower case. {name} and {stem} are the file's.
_FILES: dict[str, Undecoded] = {
    ".pcap": Undecoded(
        "a capture of a lidar's packets, which are not decoded",
        "Convert it with the maker's tool. Velodyne: velodyne_decoder (pip install velodyne-decoder). Ouster: "
        "ouster-cli source {name} save {stem}.pcd (pip install ouster-sdk). Hesai and RoboSense: hesai_ros_driver and "
        "rslidar_sdk play it into a bag of PointCloud2.",
    ),
    ".osf": Undecoded("a recording of Ouster's SDK, which is not decoded", _OUSTER),
    ".lvx": Undecoded(
        "a recording of Livox Viewer, which is not decoded",
        "Convert it to a bag of PointCloud2 (xfer_format 0) with livox_ros_driver: roslaunch livox_ros_driver "
        "lvx_to_rosbag.launch lvx_file_path:={name}; or export it as LAS or CSV from Livox Viewer.",
    ),
    ".lvx2": Undecoded(
        "a recording of Livox Viewer 2, which is not decoded",
        "Export it as LAS or PCD from Livox Viewer 2; or let livox_ros_driver2 play it into a bag of PointCloud2.",
    ),
    ".e57": Undecoded("an E57 file, which is not decoded", _PDAL.replace(" or E57", "")),
    ".ptx": Undecoded("a PTX file of Leica Cyclone, which is not decoded", _PDAL),
    ".tfrecord": Undecoded(
        "TensorFlow records, as the Waymo Open Dataset has them, which are not decoded",
        "Convert them with waymo-open-dataset: frame_utils.convert_range_image_to_point_cloud gives points to save as "
        ".npz or .ply; or write them as KITTI's with mmdetection3d: tools/create_data.py waymo.",
    ),
    ".rcp": Undecoded("a project of Autodesk ReCap, which is not decoded", "Export it as E57 or PTS from ReCap."),
    ".rcs": Undecoded("a scan of Autodesk ReCap, which is not decoded", "Export it as E57 or PTS from ReCap."),
    ".fls": Undecoded("a scan of FARO SCENE, which is not decoded", "Export it as PTS, XYZ or E57 from SCENE."),
    **dict.fromkeys((".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".gz", ".zst"), _ARCHIVE),
}  # fmt: skip
_FILES[".pcapng"] = _FILES[".pcap"]
_FILES[".tfrecords"] = _FILES[".tfrecord"]

# The types of messages in bags: a word of their package's name, their own name, what they are, and their player.
_MESSAGES = (
    ("velodyne", "VelodyneScan", "packets of a Velodyne lidar", "velodyne_pointcloud's transform node"),
    ("velodyne", "VelodynePacket", "packets of a Velodyne lidar", "velodyne_pointcloud's transform node"),
    ("", "PandarScan", "packets of a Hesai lidar", "Hesai's driver (HesaiLidar_General_ROS) or Nebula"),
    ("", "PandarPacket", "packets of a Hesai lidar", "Hesai's driver (HesaiLidar_General_ROS) or Nebula"),
    ("hesai", "UdpFrame", "packets of a Hesai lidar", "hesai_ros_driver, with packets of ROS as its source"),
    ("ouster", "PacketMsg", "packets of an Ouster lidar", "ouster_ros (its replay.launch, with the sensor's metadata)"),
    ("rslidar", "RslidarPacket", "packets of a RoboSense lidar", "rslidar_sdk, with packets of ROS as its source"),
    ("rslidar", "rslidarScan", "packets of a RoboSense lidar", "RoboSense's ros_rslidar"),
    ("", "NebulaPackets", "packets of a lidar", "Nebula, TIER IV's driver"),
    ("livox", "CustomMsg", "points in Livox's own message", "livox_repub (of livox_mapping), which republishes them"),
)  # fmt: skip


def undecoded_file(path: AnyPath) -> Undecoded | None:
    """Say what a file is that holds points which are not decoded, by its name; None if it is no such file."""
    name = path.name.lower()
    suffix = max((suffix for suffix in _FILES if name.endswith(suffix) and name != suffix), key=len, default=None)
    if suffix is None:
        return None
    found = _FILES[suffix]
    return Undecoded(found.what, found.cure.format(name=path.name, stem=path.name[: -len(suffix)]))


def undecoded_messages(kinds: Iterable[str]) -> dict[str, Undecoded]:
    """Return the types of messages that hold a lidar's points which are not decoded: velodyne_msgs/msg/VelodyneScan."""
    found = {}
    for kind in kinds:
        package, _, name = kind.lower().partition("/")
        name = name.rpartition("/")[2]
        for word, message, what, player in _MESSAGES:
            if word in package and name == message.lower():
                cure = f"Play the bag through {player}; record the PointCloud2 that it publishes, and open that bag."
                found[kind] = Undecoded(f"{what}, which are not decoded", cure)
    return found
