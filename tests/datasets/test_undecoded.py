"""Recordings that are not decoded: the refusal names what they are and the tool that converts them."""

from __future__ import annotations

from pathlib import Path

import pytest
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Ros2Writer

import lidarprep as lp
from lidarprep.pointfiles import point_suffixes

FILES = [
    (
        "drive.pcap",
        "a capture of a lidar's packets",
        r"velodyne_decoder.*ouster-cli source drive\.pcap save drive\.pcd",
    ),
    ("DRIVE.PCAPNG", "a capture of a lidar's packets", "hesai_ros_driver"),
    ("a.osf", "a recording of Ouster's SDK", r"ouster-cli source a\.osf save a\.pcd"),
    ("a.lvx", "a recording of Livox Viewer,", r"lvx_to_rosbag\.launch lvx_file_path:=a\.lvx"),
    ("a.lvx2", "a recording of Livox Viewer 2", "livox_ros_driver2"),
    ("a.e57", "an E57 file", r"pdal translate a\.e57 a\.laz"),
    ("a.ptx", "a PTX file", r"pdal translate a\.ptx a\.laz"),
    ("segment-1.tfrecord", "TensorFlow records", "waymo-open-dataset"),
    ("a.rcp", "a project of Autodesk ReCap", "E57 or PTS"),
    ("2011_09_26.tar.gz", "an archive", "Unpack it"),
]

MESSAGES = [
    ("velodyne_msgs/msg/VelodyneScan", "packets of a Velodyne lidar.*velodyne_pointcloud"),
    ("pandar_msgs/msg/PandarScan", "packets of a Hesai lidar.*Nebula"),
    ("hesai_lidar/msg/PandarScan", "packets of a Hesai lidar.*HesaiLidar_General_ROS"),
    ("ouster_sensor_msgs/msg/PacketMsg", "packets of an Ouster lidar.*ouster_ros"),
    ("ouster_ros/msg/PacketMsg", "packets of an Ouster lidar.*ouster_ros"),
    ("rslidar_msg/msg/RslidarPacket", "packets of a RoboSense lidar.*rslidar_sdk"),
    ("nebula_msgs/msg/NebulaPackets", "packets of a lidar.*Nebula"),
    ("livox_ros_driver/msg/CustomMsg", "points in Livox's own message.*PointCloud2"),
    ("livox_ros_driver2/msg/CustomMsg", "points in Livox's own message.*PointCloud2"),
]


@pytest.mark.parametrize(("name", "what", "cure"), FILES)
def test_a_file_that_is_not_decoded_is_named_with_its_tool(tmp_path: Path, name: str, what: str, cure: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x01\x02\x03")
    with pytest.raises(lp.SceneError, match=rf"is {what}.*\n.*{cure}") as refused:
        lp.open_scene(path)
    assert "Looked for" not in str(refused.value)
    with pytest.raises(lp.SceneError, match=rf"it holds 1 file .* is {what}.*\n.*{cure}"):
        lp.open_scene(tmp_path)
    with pytest.raises(lp.FormatError, match=rf"{what}.*\n.*{cure}"):
        lp.convert(path, tmp_path / "a.ply")


def test_what_is_decoded_is_not_said_to_be_otherwise() -> None:
    from lidarprep.datasets.undecoded import undecoded_file

    for suffix in (*point_suffixes(named=True), ".bag", ".db3", ".mcap", ".json", ".pb", ".sfs"):
        assert undecoded_file(Path(f"a{suffix}")) is None


@pytest.mark.parametrize("container", ["ros1", "sqlite3", "mcap"])
@pytest.mark.parametrize(("kind", "message"), MESSAGES)
def test_a_bag_of_packets_names_the_driver(tmp_path: Path, kind: str, message: str, container: str) -> None:
    path = tmp_path / ("drive.bag" if container == "ros1" else "drive")
    if container == "ros1":
        with Ros1Writer(path) as bag:
            connection = bag.add_connection("/packets", kind, msgdef="uint8 data", md5sum="0" * 32)
            bag.write(connection, 1, b"\x00")
    else:
        plugin = StoragePlugin.SQLITE3 if container == "sqlite3" else StoragePlugin.MCAP
        with Ros2Writer(path, version=9, storage_plugin=plugin) as ros2:
            topic = ros2.add_connection("/packets", kind, msgdef="uint8 data", rihs01="RIHS01_" + "0" * 64)
            ros2.write(topic, 1, b"\x00\x01\x00\x00\x00")
    with pytest.raises(lp.SceneError, match=rf"no messages of sensor_msgs/msg/PointCloud2; .*\n{kind}: {message}"):
        lp.open_scene(path)
    with pytest.raises(lp.SceneError, match=rf"topic /packets has 1 messages of {kind}\nThey are {message}"):
        lp.open_scene(path, lidars="/packets")
