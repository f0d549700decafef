"""From every kind of file to every other: what both hold is kept, and what is dropped is named."""

from __future__ import annotations

from io import BytesIO
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scale_json_binary
from PIL import Image

import lidarprep as lp
from lidarprep.attachments import format_of_suffix
from tests.attachments.frames import encode_scene

T0 = 1_700_000_000_000_000_000  # nanoseconds; what float64, of LidarFrame protobuf, holds exactly
COUNT = 60

# The columns that each kind of file holds, beside the positions.
HOLDS = {
    ".json": {"intensity", "device", "timestamp", "is_ground"},
    ".pb": {"intensity", "device", "timestamp", "is_ground"},
    ".sfs": {"intensity", "device", "timestamp", "colour"},
    ".ply": {"intensity", "device", "timestamp", "is_ground", "colour"},
    ".pcd": {"intensity", "device", "timestamp", "is_ground", "colour"},
    ".npz": {"intensity", "device", "timestamp", "is_ground", "colour"},
}
ATTACHMENTS = (".json", ".pb", ".sfs")


def jpeg() -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 6), (100, 50, 0)).save(file, "JPEG")
    return file.getvalue()


def cloud(seed: int = 0) -> lp.PointCloud:
    """All columns, with values that every format holds; points in the order of their devices, as a scene has them."""
    rng = np.random.default_rng(seed)
    return lp.PointCloud(
        rng.normal(size=(COUNT, 3)).astype(np.float32),
        frame="world",
        intensity=(rng.integers(0, 256, COUNT) / 255).astype(np.float32),
        device=np.sort(rng.integers(0, 3, COUNT)).astype(np.uint32),
        timestamp=T0 + rng.integers(0, 700, COUNT) * 128_000,  # whole microseconds, and whole steps of float64
        is_ground=rng.integers(0, 2, COUNT).astype(bool),
        colour=rng.integers(0, 256, (COUNT, 3)).astype(np.uint8),
    )


def an_image(name: str = "front", **how: Any) -> lp.CameraImage:
    camera = lp.Camera(name, 0, lp.Intrinsics(500.0, 501.0, 4.0, 3.0))
    return lp.CameraImage(camera, world_from_camera=lp.Pose.from_euler(0.1, 0.2, 0.3, (1, 2, 3)), timestamp=T0, **how)


def frame(index: int = 0, **more: Any) -> lp.Frame:
    radar = lp.RadarPoints(np.ones((2, 3)) * index, np.eye(3)[:2], np.array([0.5, 2.0]), frame="world")
    made = lp.Frame(
        id=str(index),
        index=index,
        read_points=lambda: cloud(index),
        read_radar=lambda: radar,
        world_from_ego=lp.Pose.from_euler(0.0, 0.0, 0.5, (index, 0.25, 0.5)),
        timestamp=T0 + index * 10**8,
        **more,
    )
    return made if index == 0 else made.with_data(lp.PointCloud(cloud(index).positions, frame="world"), radar)


def write(path: Path, *frames: lp.Frame) -> Path:
    if path.suffix in ATTACHMENTS:
        known = format_of_suffix(path.suffix)
        data = encode_scene(frames) if path.suffix == ".sfs" else known.encode(frames[0])  # type: ignore[union-attr]
        path.write_bytes(data)
    else:
        lp.write_points(path, frames[0].points())
    return path


def read(path: Path) -> lp.Frame:
    if path.suffix == ".sfs":
        (only,) = lp.get_format("sfs").decode(path.read_bytes())
        return only
    if path.suffix in ATTACHMENTS:
        return format_of_suffix(path.suffix).decode(path.read_bytes())  # type: ignore[union-attr, return-value]
    points = lp.read_points(path, "world")
    return lp.Frame("0", 0, lambda: points)


def require_equal(
    found: lp.PointCloud, expected: lp.PointCloud, columns: set[str], *, time_tolerance_ns: int = 0
) -> None:
    np.testing.assert_array_equal(found.positions, expected.positions)
    for name in columns:
        column = getattr(found, name)
        assert column is not None, name
        if name == "timestamp":
            assert np.abs(column - getattr(expected, name)).max() <= time_tolerance_ns
        else:
            np.testing.assert_array_equal(column, getattr(expected, name), err_msg=name)


def time_tolerance_ns(before: str, after: str) -> int:
    """PLY has no 64-bit integers: its seconds as float64 are multiples of 238 ns, which a scene rounds to 1000 ns."""
    if ".ply" not in (before, after):
        return 0
    return 1000 if after == ".sfs" else 240


@pytest.mark.parametrize(("before", "after"), list(permutations(HOLDS, 2)))
def test_the_columns_that_both_hold_are_kept_and_the_others_are_named(tmp_path: Path, before: str, after: str) -> None:
    source = write(tmp_path / f"a{before}", frame())
    there = read(source).points()
    conversion = lp.convert(source, tmp_path / f"b{after}", intensity_scale=1.0 if before not in ATTACHMENTS else None)
    assert conversion.points == COUNT
    found = read(tmp_path / f"b{after}")
    shared = HOLDS[before] & HOLDS[after] & set(there.columns)
    assert shared >= {"intensity", "timestamp"}
    require_equal(found.points(), cloud(), shared, time_tolerance_ns=time_tolerance_ns(before, after))
    for lost in HOLDS[before] - HOLDS[after]:
        assert any(lost in note for note in conversion.notes), (lost, conversion.notes)
    if before in ATTACHMENTS and after in ATTACHMENTS:
        require_same_surroundings(found, frame())
    elif before in ATTACHMENTS:
        (note,) = [note for note in conversion.notes if "holds points only" in note]
        assert note.endswith("dropped: the device's pose, the frame's timestamp, 2 radar points")


def require_same_surroundings(found: lp.Frame, expected: lp.Frame) -> None:
    assert found.timestamp == expected.timestamp
    assert found.world_from_ego is not None
    assert expected.world_from_ego is not None
    np.testing.assert_allclose(found.world_from_ego.matrix, expected.world_from_ego.matrix, atol=1e-6)
    radar, expected_radar = found.radar(), expected.radar()
    assert radar is not None
    assert expected_radar is not None
    for name in ("positions", "directions", "sizes"):
        np.testing.assert_array_equal(getattr(radar, name), getattr(expected_radar, name))


class TestImages:
    """are kept where both formats hold the same of them: a URL, or the bytes."""

    def test_urls_go_between_frame_json_and_protobuf(self, tmp_path: Path) -> None:
        source = write(tmp_path / "a.json", frame(images=(an_image(url="https://example.com/1.jpg"),)))
        assert not any("dropped" in note for note in lp.convert(source, tmp_path / "b.pb").notes)
        (image,) = read(tmp_path / "b.pb").images
        assert image.url == "https://example.com/1.jpg"

    @pytest.mark.parametrize("suffix", [".json", ".pb"])
    def test_those_with_a_url_only_are_dropped_from_a_scene_and_named(self, tmp_path: Path, suffix: str) -> None:
        source = write(tmp_path / f"a{suffix}", frame(images=(an_image(url="https://example.com/1.jpg"),)))
        notes = lp.convert(source, tmp_path / "b.sfs").notes
        assert any(note.startswith("1 images have a URL only") for note in notes)
        assert read(tmp_path / "b.sfs").images == ()

    @pytest.mark.parametrize("suffix", [".json", ".pb"])
    def test_those_in_a_scene_have_no_url_and_are_dropped_and_named(self, tmp_path: Path, suffix: str) -> None:
        source = write(tmp_path / "a.sfs", frame(images=(an_image(content=jpeg), an_image("left", content=jpeg))))
        notes = lp.convert(source, tmp_path / f"b{suffix}").notes
        assert any("2 images have no URL" in note and note.endswith("front, left") for note in notes)
        assert read(tmp_path / f"b{suffix}").images == ()

    def test_a_point_file_holds_none(self, tmp_path: Path) -> None:
        source = write(tmp_path / "a.sfs", frame(images=(an_image(content=jpeg),)))
        assert any("1 images" in note for note in lp.convert(source, tmp_path / "b.ply").notes)

    def test_a_scene_keeps_them_in_another_scene(self, tmp_path: Path) -> None:
        source = write(tmp_path / "a.sfs", frame(images=(an_image(content=jpeg),)))
        lp.convert(source, tmp_path / "b.sfs")
        (image,) = read(tmp_path / "b.sfs").images
        assert image.content is not None
        assert image.content() == jpeg()


class TestASceneOfSeveralFrames:
    """gives one of them to a target that holds one."""

    @pytest.fixture
    def scene(self, tmp_path: Path) -> Path:
        return write(tmp_path / "scene.sfs", frame(0), frame(1), frame(2))

    @pytest.mark.parametrize("target", ["b.json", "b.pb", "b.ply"])
    def test_one_must_be_chosen(self, scene: Path, tmp_path: Path, target: str) -> None:
        with pytest.raises(
            lp.RecipeError, match=r"scene\.sfs has 3 frames, 0 to 2, and the target holds one[\s\S]*--fr"
        ):
            lp.convert(scene, tmp_path / target)
        assert not (tmp_path / target).exists()
        assert lp.convert(scene, tmp_path / target, frame="2").points == COUNT
        require_equal(read(tmp_path / target).points(), cloud(2), set())

    @pytest.mark.parametrize("frame", ["3", "-1", "last", ""])
    def test_one_that_is_not_there_is_refused(self, scene: Path, tmp_path: Path, frame: str) -> None:
        with pytest.raises(lp.RecipeError, match=r"has no frame .*; it has 3, 0 to 2"):
            lp.convert(scene, tmp_path / "b.json", frame=frame)

    def test_another_scene_takes_all_or_the_chosen_one(self, scene: Path, tmp_path: Path) -> None:
        assert lp.convert(scene, tmp_path / "all.sfs").points == 3 * COUNT
        assert len(lp.get_format("sfs").decode((tmp_path / "all.sfs").read_bytes())) == 3
        assert lp.convert(scene, tmp_path / "one.sfs", frame="1").points == COUNT
        document = scale_json_binary.read_file(str(tmp_path / "one.sfs"))
        assert len(document["sensors"][0]["frames"]) == 1


def test_what_a_scene_cannot_hold_is_said_with_its_reason(tmp_path: Path) -> None:
    odd = lp.Frame(
        "0", 0, lambda: cloud(), world_from_ego=lp.Pose.identity(), timestamp=T0 + 1, gps=lp.GpsPose(1.0, 2.0, 3.0)
    )
    notes = lp.convert(write(tmp_path / "a.json", odd), tmp_path / "b.sfs").notes
    assert any("GPS" in note for note in notes)
    assert any("is_ground" in note for note in notes)
    assert any("rounded down to the microsecond" in note for note in notes)


@pytest.mark.parametrize("data", [b"", b"{}", b"no scene", b"{" * 1000])
def test_a_broken_scene_is_one_clear_error_and_leaves_nothing(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.sfs").write_bytes(data)
    with pytest.raises(lp.FormatError, match=r"a\.sfs"):
        lp.convert(tmp_path / "a.sfs", tmp_path / "b.json")
    assert [path.name for path in tmp_path.iterdir()] == ["a.sfs"]


def test_a_scene_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "b.sfs").write_text("mine")
    np.save(tmp_path / "a.npy", np.full((3, 3), 1e300))
    with pytest.raises(lp.EncodingError):
        lp.convert(tmp_path / "a.npy", tmp_path / "b.sfs", overwrite=True)
    assert (tmp_path / "b.sfs").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("target", ["b.sfs", "b.pb", "b.ply"])
def test_precision_is_for_frame_json(tmp_path: Path, target: str) -> None:
    with pytest.raises(lp.RecipeError, match="precision is for Frame JSON"):
        lp.convert(write(tmp_path / "a.json", frame()), tmp_path / target, precision=2)


def test_what_a_frame_json_holds_beside_the_format_is_named_when_it_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '{"device_position":{"x":0,"y":0,"z":0},"weather":"rain",'
        '"points":[{"x":1,"y":2,"z":3,"velocity":4}],'
        '"images":[{"image_url":"s3://b/1.jpg","position":{"x":0,"y":0,"z":0},"heading":{"w":1,"x":0,"y":0,"z":0},'
        '"fx":1,"fy":1,"cx":0,"cy":0,"lens":"dirty","metadata":{"gain":3}}]}'
    )
    notes = " ".join(lp.convert(tmp_path / "a.json", tmp_path / "a.pb").notes)
    for dropped in ("velocity", "weather", "images.lens", "metadata"):
        assert dropped in notes


@pytest.mark.parametrize("target", ["b.json", "b.pb", "b.sfs", "b.ply"])
def test_what_is_there_is_replaced_only_if_that_is_said(tmp_path: Path, target: str) -> None:
    source = write(tmp_path / "a.json", frame())
    (tmp_path / target).write_text("mine")
    with pytest.raises(lp.RecipeError, match=r"b\.\w+ is there already\n.*--overwrite"):
        lp.convert(source, tmp_path / target)
    assert (tmp_path / target).read_text() == "mine"
    assert lp.convert(source, tmp_path / target, overwrite=True).points == COUNT
    assert len(read(tmp_path / target).points()) == COUNT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", target]


def test_a_link_to_nowhere_is_something_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "b.ply").symlink_to(tmp_path / "nowhere")
    with pytest.raises(lp.RecipeError, match="is there already"):
        lp.convert(write(tmp_path / "a.json", frame()), tmp_path / "b.ply")


def test_the_frames_of_a_scene_are_told_as_they_are_written(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    scene = write(tmp_path / "scene.sfs", frame(0), frame(1), frame(2))
    lp.convert(scene, tmp_path / "b.sfs", progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
