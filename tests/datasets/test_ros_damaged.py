"""Bags that are cut, damaged or something else end in one clear error, or in what can still be read."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lidarprep.datasets import open_scene
from lidarprep.datasets.ros._bag import Bag
from lidarprep.errors import FormatError, LidarprepError, SceneError
from tests.datasets.test_ros_cameras import MOVING, OPTICAL, image_message, info_message
from tests.datasets.test_ros_poses import CLOUDS, STATIC
from tests.datasets.write_ros import Container, Message, write_bag

MESSAGES = sorted(
    [STATIC, OPTICAL, *MOVING, *CLOUDS, info_message("/front/camera_info"), image_message("/front/image/compressed")],
    key=lambda message: message.time,
)
WRITTEN: dict[str, tuple[Container, str | None]] = {
    "plain.bag": ("ros1", None),
    "lz4.bag": ("ros1", "lz4"),
    "bz2.bag": ("ros1", "bz2"),
    "plain.db3": ("sqlite3", None),
    "plain.mcap": ("mcap", None),
    "zstd.mcap": ("mcap", "storage"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of a bag of each kind."""
    folder = tmp_path_factory.mktemp("sound")
    found = {}
    for name, (container, compression) in WRITTEN.items():
        stem, suffix = name.split(".")
        path = write_bag(folder / (name if suffix == "bag" else f"{stem}_{suffix}"), container, MESSAGES, compression)
        found[name] = (path if path.is_file() else path / f"{path.name}.{suffix}").read_bytes()
    return found


def read_all(path: Path) -> None:
    """Reads whatever the file at this path has, or ends in an error of ours."""
    with suppress(LidarprepError):
        scene = open_scene(path)
        for frame in scene:
            frame.points()
            for image in frame.images:
                assert image.content is not None
                image.content()


@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_cut_anywhere_is_refused_or_read(files: dict[str, bytes], name: str, tmp_path: Path) -> None:
    data = files[name]
    path = tmp_path / name
    for length in sorted({*range(0, 64), *range(64, len(data), max(1, len(data) // 60)), len(data) - 1}):
        path.write_bytes(data[:length])
        read_all(path)


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=40)
@given(data=st.data())
def test_damaged_bytes_are_refused_or_read(
    files: dict[str, bytes], name: str, tmp_path: Path, data: st.DataObject
) -> None:
    damaged = bytearray(files[name])
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / name
    path.write_bytes(damaged)
    read_all(path)


@pytest.mark.parametrize(
    ("name", "tool"),
    [("plain.bag", "rosbag reindex"), ("plain.mcap", "mcap recover"), ("plain.db3", "ros2 bag reindex")],
)
def test_a_recording_that_crashed_names_the_tool_that_mends_it(
    files: dict[str, bytes], name: str, tool: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(files[name][: len(files[name]) // 2])
    with pytest.raises(FormatError) as error:
        open_scene(path)
    assert tool in str(error.value)
    assert str(path) in str(error.value)


def test_a_bag_without_index_is_told_from_a_damaged_one(files: dict[str, bytes], tmp_path: Path) -> None:
    data = files["plain.bag"]
    at = data.index(b"index_pos=") + len(b"index_pos=")
    path = tmp_path / "drive.bag.active"
    path.write_bytes(data[:at] + struct.pack("<Q", 0) + data[at + 8 :])
    with pytest.raises(FormatError, match="not indexed"):
        open_scene(path)


@pytest.mark.parametrize("name", ["other.bag", "other.mcap", "other.db3"])
@pytest.mark.parametrize("content", [b"", b"something else entirely, of no known kind at all" * 10])
def test_other_files_of_these_names_are_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=name):
        open_scene(tmp_path / name)


def test_a_chunk_that_claims_to_be_huge_is_not_believed(files: dict[str, bytes], tmp_path: Path) -> None:
    bag = files["lz4.bag"]
    at = (
        bag.index(b"\x0d\x00\x00\x00size=") + 4 + len(b"size=")
        if b"\x0d\x00\x00\x00size=" in bag
        else bag.index(b"size=") + 5
    )
    path = tmp_path / "huge.bag"
    path.write_bytes(bag[:at] + b"\xff\xff\xff\xff" + bag[at + 4 :])
    with pytest.raises(FormatError, match="claims to hold 4294967295"):
        open_scene(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rosbag2_bagfile_information: 7", "expected a dict"),
        ("rosbag2_bagfile_information: {relative_file_paths: []}", "expected names of files"),
        ("rosbag2_bagfile_information: {relative_file_paths: [gone.db3]}", "gone.db3, which is not there"),
        ("rosbag2_bagfile_information: {relative_file_paths: [a], compression_mode: FILE}", "compression None"),
        ("rosbag2_bagfile_information: [", "no YAML"),
    ],
)
def test_metadata_that_cannot_be_used_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text(text)
    with pytest.raises(FormatError, match=message):
        open_scene(tmp_path)


def test_files_of_the_metadata_are_looked_for_in_the_folder_only(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    (tmp_path / "secret.db3").write_bytes(b"")
    text = "rosbag2_bagfile_information: {relative_file_paths: [../secret.db3]}"
    (tmp_path / "bag" / "metadata.yaml").write_text(text)
    with pytest.raises(FormatError, match=r"secret\.db3, which is not there"):
        open_scene(tmp_path / "bag")


def test_a_topic_of_two_types_is_listed_and_not_read(tmp_path: Path) -> None:
    first = write_bag(tmp_path / "bag", "sqlite3", [Message("/points", STATIC.kind, STATIC.time, STATIC.fields)])
    second = write_bag(tmp_path / "second", "sqlite3", CLOUDS)
    (second / "second.db3").rename(first / "second.db3")
    metadata = first / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("- bag.db3\n", "- bag.db3\n  - second.db3\n", 1))
    topic = Bag(first).topics["/points"]
    assert (topic.kind, topic.messages, topic.wire) == (f"{STATIC.kind} and {CLOUDS[0].kind}", 4, None)
    with pytest.raises(SceneError, match="no messages of sensor_msgs/msg/PointCloud2"):
        open_scene(first)
