"""The generated recording in every kind of bag, and bags as other writers leave them."""

from __future__ import annotations

import pickle
import shutil
import sqlite3
import struct
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lz4.frame
import numpy as np
import pytest

from lidarprep.datasets import known_layouts, open_scene
from lidarprep.errors import FormatError, MissingExtraError
from lidarprep.scene import Pose
from tests.datasets import write_ros
from tests.datasets.generated import Recording, generated
from tests.datasets.test_ros_poses import CLOUDS
from tests.datasets.write_ros import ROS1, ROS2, Message, recorded_messages, write_bag

WRITERS: dict[str, Callable[[Recording, Path], Path]] = {
    "ros1": write_ros.write_ros1_bag,
    "ros2 sqlite3": write_ros.write_ros2_sqlite3_bag,
    "ros2 mcap": write_ros.write_ros2_mcap_bag,
    "mcap": write_ros.write_mcap,
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return generated(tmp_path_factory.mktemp("sample"), motion_compensated=False)


@pytest.fixture(scope="module")
def bags(recorded: Recording, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bags")
    return {name: write(recorded, folder) for name, write in WRITERS.items()}


def check_scene(path: Path, recorded: Recording, layout: str) -> None:
    scene = open_scene(path)
    assert scene.layout == layout
    assert [frame.timestamp for frame in scene] == [frame.timestamp for frame in recorded.frames]
    assert [camera.name for camera in scene.cameras] == [camera.name for camera in recorded.cameras]
    for frame, expected in zip(scene, recorded.frames, strict=True):
        cloud = frame.points()
        assert cloud.frame == "ego"
        assert cloud.positions.dtype == np.float32
        assert cloud.intensity is not None
        assert frame.world_from_ego is not None
        assert frame.world_from_ego.almost_equals(Pose.from_matrix(expected.world_from_ego))
        np.testing.assert_allclose(frame.world_from_ego.apply(cloud.positions), expected.in_world, atol=1e-4)
        np.testing.assert_array_equal(cloud.intensity, expected.intensity)
        if expected.point_times is not None:
            assert cloud.timestamp is not None
            np.testing.assert_array_equal(cloud.timestamp, expected.point_times)
        images = {image.camera.name: image.content() for image in frame.images if image.content}
        assert images == expected.pictures
        for image, camera in zip(frame.images, recorded.cameras, strict=True):
            world_from_camera = Pose.from_matrix(expected.world_from_ego @ camera.ego_from_camera)
            assert image.world_from_camera is not None
            assert image.world_from_camera.almost_equals(world_from_camera)
            intrinsics = image.camera.intrinsics
            found = (intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy, intrinsics.width, intrinsics.height)
            assert found == (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
            assert intrinsics.distortion.nonzero() == camera.distortion


@pytest.mark.parametrize("name", WRITERS)
def test_a_drive_reads_as_it_was_recorded(bags: dict[str, Path], recorded: Recording, name: str) -> None:
    check_scene(bags[name], recorded, name.split()[0])


@pytest.mark.parametrize(
    ("container", "compression"),
    [
        ("ros1", None),
        ("ros1", "bz2"),
        ("sqlite3", "message"),
        ("sqlite3", "file"),
        ("mcap", "message"),
        ("mcap", "file"),
    ],
)
def test_every_compression_is_read(
    recorded: Recording, tmp_path: Path, container: write_ros.Container, compression: str | None
) -> None:
    name = "drive.bag" if container == "ros1" else "drive"
    path = write_bag(tmp_path / name, container, recorded_messages(recorded), compression)
    check_scene(path, recorded, "ros1" if container == "ros1" else "ros2")


def test_each_bag_is_taken_by_one_layout_only(bags: dict[str, Path]) -> None:
    for name, path in bags.items():
        assert [layout for layout, module in known_layouts().items() if module.detect(path)] == [name.split()[0]]


def test_the_db3_file_of_a_bag_can_be_opened_by_itself(bags: dict[str, Path], recorded: Recording) -> None:
    (file,) = bags["ros2 sqlite3"].glob("*.db3")
    check_scene(file, recorded, "ros2")


def test_a_folder_without_metadata_is_opened_by_its_only_file(
    bags: dict[str, Path], recorded: Recording, tmp_path: Path
) -> None:
    (tmp_path / "drive.mcap").write_bytes(bags["mcap"].read_bytes())
    check_scene(tmp_path, recorded, "ros2")
    assert any("no metadata.yaml" in note for note in open_scene(tmp_path).notes)
    (tmp_path / "more.mcap").write_bytes(b"")
    with pytest.raises(FormatError, match="2 files of messages"):
        open_scene(tmp_path)


def test_a_split_bag_reads_as_one(recorded: Recording, tmp_path: Path) -> None:
    messages = recorded_messages(recorded)
    half = len(messages) // 2
    whole = write_bag(tmp_path / "whole", "sqlite3", messages[:half])
    second = write_bag(tmp_path / "second", "sqlite3", messages[half:])
    (second / "second.db3").rename(whole / "later.db3")
    metadata = whole / "metadata.yaml"
    # As a reader of the listed files alone needs it: counts in the metadata are not looked at.
    text = metadata.read_text()
    metadata.write_text(text.replace("- whole.db3\n", "- whole.db3\n  - later.db3\n", 1))
    assert "later.db3" in metadata.read_text()
    check_scene(whole, recorded, "ros2")
    assert source_names(whole) == ["whole.db3", "later.db3"]


def test_frames_can_be_read_in_another_process_and_by_many_threads(bags: dict[str, Path]) -> None:
    for path in bags.values():
        scene = open_scene(path)
        expected = [frame.points().positions for frame in scene]
        again = pickle.loads(pickle.dumps([frame.read_points for frame in scene]))
        with ThreadPoolExecutor(8) as threads:
            for positions, cloud in zip(expected * 8, threads.map(lambda read: read(), again * 8), strict=True):
                np.testing.assert_array_equal(cloud.positions, positions)


def source_names(path: Path) -> list[str]:
    scene = open_scene(path)
    assert all(frame.sources is scene[0].sources for frame in scene)
    for source in scene[0].sources:
        assert source.bytes == Path(source.location).stat().st_size
        assert source.version == str(Path(source.location).stat().st_mtime_ns)
    return [Path(source.location).name for source in scene[0].sources]


def test_the_sources_of_all_frames_are_the_files_of_the_bag(
    bags: dict[str, Path], recorded: Recording, tmp_path: Path
) -> None:
    assert source_names(bags["ros1"]) == ["drive.bag"]
    assert source_names(bags["mcap"]) == ["drive_alone.mcap"]
    assert source_names(bags["ros2 mcap"]) == ["drive_mcap.mcap"]
    compressed = write_bag(tmp_path / "packed", "sqlite3", recorded_messages(recorded), "file")
    assert source_names(compressed) == ["packed.db3.zstd"]
    path = Path(shutil.copytree(bags["ros2 sqlite3"], tmp_path / "drive"))
    (path / "drive_sqlite3.db3-wal").write_bytes(b"")
    assert source_names(path) == ["drive_sqlite3.db3", "drive_sqlite3.db3-wal"]


@pytest.mark.parametrize("readable", [True, False])
def test_messages_in_the_write_ahead_log_of_a_killed_recorder_are_read(tmp_path: Path, readable: bool) -> None:
    path = write_bag(tmp_path / "drive", "sqlite3", CLOUDS)
    writer = sqlite3.connect(path / "drive.db3", isolation_level=None)
    last = writer.execute("SELECT * FROM messages ORDER BY timestamp DESC LIMIT 1").fetchone()
    writer.execute("DELETE FROM messages WHERE id = ?", last[:1])
    writer.execute("PRAGMA journal_mode = wal")
    writer.execute(f"INSERT INTO messages VALUES ({', '.join('?' * len(last))})", last)
    for name in ("drive.db3", "drive.db3-wal", "metadata.yaml"):
        (tmp_path / "killed").mkdir(exist_ok=True)
        shutil.copy(path / name, tmp_path / "killed")
    writer.close()
    if not readable:  # as in a read-only folder, SQLite cannot make the log's index
        (tmp_path / "killed" / "drive.db3-shm").symlink_to("gone")
    scene = open_scene(tmp_path / "killed")
    assert len(scene) == (3 if readable else 2)
    assert len(scene[-1].read_points()) > 0
    assert any("drive.db3: messages in its write-ahead log" in note for note in scene.notes) != readable


def test_a_file_of_a_bag_that_changed_is_read_again(tmp_path: Path) -> None:
    path = write_bag(tmp_path / "drive", "mcap", CLOUDS)
    assert len(open_scene(path)) == 3
    other = write_bag(tmp_path / "other", "mcap", CLOUDS[:2])
    (other / "other.mcap").replace(path / "drive.mcap")
    assert len(open_scene(path)) == 2


def test_opening_reads_no_points(bags: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("points were read")

    monkeypatch.setattr("lidarprep.datasets.ros._clouds.read_cloud", refuse)
    scene = open_scene(bags["ros1"])
    with pytest.raises(AssertionError, match="points were read"):
        scene[0].points()


def test_every_topic_is_listed_with_its_count_and_use(bags: dict[str, Path], recorded: Recording) -> None:
    for path in bags.values():
        streams = {stream.name: stream for stream in open_scene(path, cameras=[recorded.cameras[0].name]).streams}
        assert streams["/velodyne_points"].messages == len(recorded.frames)
        assert streams["/velodyne_points"].kind == "sensor_msgs/msg/PointCloud2"
        used = {name for name, stream in streams.items() if stream.used}
        camera = recorded.cameras[0].name
        assert used == {
            "/velodyne_points", "/tf", "/tf_static", f"/{camera}/image_raw/compressed", f"/{camera}/camera_info",
        }  # fmt: skip


@pytest.mark.parametrize("encoding", ["cdr", "ros1"])
@pytest.mark.parametrize("chunks", [None, "", "lz4"])
def test_an_mcap_file_without_summary_is_read_by_its_records(
    recorded: Recording, tmp_path: Path, encoding: str, chunks: str | None
) -> None:
    """As recorders without chunks write them, and as `mcap convert` makes them of ROS 1 bags."""
    path = tmp_path / "plain.mcap"
    path.write_bytes(plain_mcap(recorded_messages(recorded), encoding, chunks))
    check_scene(path, recorded, "mcap")


@pytest.mark.parametrize(
    ("name", "missing"), [("ros1", "rosbags.rosbag1"), ("ros1", "lz4.frame"), ("mcap", "backports"), ("mcap", "lz4")]
)
def test_a_library_that_is_missing_names_its_extra(
    recorded: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, missing: str
) -> None:
    path = WRITERS[name](recorded, tmp_path)
    monkeypatch.delitem(sys.modules, "lidarprep.datasets.ros._ros1", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    if missing == "lz4":  # of no use to a file compressed with Zstandard
        assert len(open_scene(path)) == len(recorded.frames)
        return
    if missing == "backports" and sys.version_info >= (3, 14):
        pytest.skip("Python has its own")
    with pytest.raises(MissingExtraError, match=r"lidarprep\[ros\]"):
        open_scene(path)


def plain_mcap(messages: list[Message], encoding: str, chunks: str | None) -> bytes:
    """An MCAP file without any index, after the specification: in chunks of ten messages, or in none."""

    def text(value: str) -> bytes:
        return struct.pack("<I", len(value)) + value.encode()

    def record(op: int, body: bytes) -> bytes:
        return struct.pack("<BQ", op, len(body)) + body

    def chunk(records: list[bytes]) -> bytes:
        data = b"".join(records)
        stored = lz4.frame.compress(data) if chunks == "lz4" else data
        head = struct.pack("<QQQI", 0, 0, len(data), 0) + text(chunks or "")
        return record(0x06, head + struct.pack("<Q", len(stored)) + stored)

    channels: dict[str, int] = {}
    records: list[bytes] = []
    for message in messages:
        if message.topic not in channels:
            key = channels[message.topic] = len(channels) + 1
            kind = message.kind if encoding == "cdr" else message.kind.replace("/msg/", "/")
            records.append(record(0x03, struct.pack("<H", key) + text(kind) + text("ros2msg") + text("")))
            ends = text(message.topic) + text(encoding) + struct.pack("<I", 0)
            records.append(record(0x04, struct.pack("<HH", key, key) + ends))
        store = ROS2 if encoding == "cdr" else ROS1
        made = write_ros.made(store, message.kind, message.fields)
        data = (store.serialize_cdr if encoding == "cdr" else store.serialize_ros1)(made, message.kind)
        head = struct.pack("<HIQQ", channels[message.topic], 0, message.time, message.time)
        records.append(record(0x05, head + bytes(data)))
    if chunks is not None:
        records = [chunk(records[start : start + 10]) for start in range(0, len(records), 10)]
    magic = b"\x89MCAP0\r\n"
    begin = magic + record(0x01, text("") + text("test"))
    return begin + b"".join(records) + record(0x0F, bytes(4)) + record(0x02, bytes(20)) + magic
