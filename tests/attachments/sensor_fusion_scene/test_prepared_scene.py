"""`prepare` with the format sfs: one scene of all frames, which holds what their Frame JSON and images hold."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scale_json_binary

import lidarprep as lp
from lidarprep.storage.manifest import FrameRecord
from tests.attachments.sensor_fusion_scene.rules import broken_rules
from tests.attachments.sensor_fusion_scene.scenes import sensor
from tests.scenes import write_toolkit_scene

REGION = lp.RegionOfInterest3D(position=(20.0, 5.0, 0.0), length=50.0, width=60.0, rotation=0.3)


@pytest.fixture
def scene_folder(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "recording", frames=4)


def read(path: Path) -> dict[str, Any]:
    return scale_json_binary.read_file(str(path))  # type: ignore[no-any-return]


def row(vector: dict[str, float], axes: str = "xyz") -> list[float]:
    return [vector[axis] for axis in axes]


def plain(frame: FrameRecord) -> dict[str, Any]:
    """A frame's record without what depends on the format."""
    return frame.model_dump(exclude={"fingerprint", "notes"})


def scene_file(out: Path) -> Path:
    (path,) = out.glob("scene-*.sfs")
    return path


def require_same_as_frame_json(recording: Path, recipe: dict[str, Any], folder: Path) -> None:
    """Compares a scene, as the reference package reads it, with the frames that Frame JSON makes of the same recipe."""
    scene = lp.open_scene(recording)
    frames_manifest = lp.prepare(scene, lp.Recipe(**recipe), folder / "json")
    manifest = lp.prepare(scene, lp.Recipe(**recipe, format="sfs"), folder / "sfs")
    assert [plain(frame) for frame in manifest.frames] == [plain(frame) for frame in frames_manifest.frames]
    document = read(folder / "sfs" / manifest.attachments[0].key)
    assert broken_rules(document) == []
    lidar, radar = sensor(document, "lidar"), sensor(document, "radar")
    cameras = [one for one in document["sensors"] if one["type"] == "camera"]
    times = [sweep["timestamp"] for sweep in lidar["frames"]]
    assert lidar["poses"]["timestamps"] == times
    assert len(times) == len(frames_manifest.attachments)
    for n, attachment in enumerate(frames_manifest.attachments):
        frame = json.loads((folder / "json" / attachment.url).read_bytes())
        points = lidar["frames"][n]["points"]
        xyz = np.array([row(point) for point in frame["points"]], dtype=np.float32)
        assert np.array_equal(points["positions"], xyz)
        levels = np.array([point["i"] for point in frame["points"]]) * 255
        assert np.array_equal(points["intensities"], np.rint(levels).astype(np.uint8))
        pose = row(frame["device_position"]) + row(frame["device_heading"], "xyzw")
        assert lidar["poses"]["values"][n] == pytest.approx(pose, abs=1e-12)
        returns = radar["frames"][n]["points"]
        expected = np.array([row(point["position"]) for point in frame["radar_points"]], dtype=np.float32)
        assert np.array_equal(returns["positions"], expected)
        expected = np.array([row(point["direction"]) for point in frame["radar_points"]], dtype=np.float32)
        assert np.array_equal(returns["directions"], expected)
        assert len(frame["images"]) == len(cameras)
        for camera, image in zip(cameras, frame["images"], strict=True):
            pose = row(image["position"]) + row(image["heading"], "xyzw")
            assert camera["poses"]["values"][n] == pytest.approx(pose, abs=1e-12)
            assert [camera["intrinsics"][key] for key in ("fx", "fy", "cx", "cy")] == [
                image[key] for key in ("fx", "fy", "cx", "cy")
            ]
            stored = (folder / "json" / image["image_url"]).read_bytes()
            assert camera["images"][n]["content"].tobytes() == stored


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"region_of_interest_3d": REGION, "device_height": 1.8, "height_band": (-20.0, 25.0)},
        {"voxel": 8.0, "frames": "1:"},
    ],
)
def test_a_scene_holds_what_frame_json_holds(scene_folder: Path, tmp_path: Path, recipe: dict[str, Any]) -> None:
    require_same_as_frame_json(scene_folder, recipe, tmp_path)


def test_a_scene_of_the_real_recording_holds_what_frame_json_holds(recording: Path, tmp_path: Path) -> None:
    require_same_as_frame_json(recording, {"voxel": 1.0}, tmp_path)
    document = read(scene_file(tmp_path / "sfs"))
    for camera in (one for one in document["sensors"] if one["type"] == "camera"):
        images = sorted((recording / "cameras" / camera["id"]).glob("*.jpg"), key=lambda path: int(path.stem))
        assert [image["content"].tobytes() for image in camera["images"]] == [path.read_bytes() for path in images]


def test_the_manifest_names_one_attachment_with_all_frames(scene_folder: Path, tmp_path: Path) -> None:
    manifest = lp.prepare(lp.open_scene(scene_folder), lp.Recipe(format="sfs"), tmp_path / "out")
    data = scene_file(tmp_path / "out").read_bytes()
    (record,) = manifest.attachments
    sha256 = hashlib.sha256(data).hexdigest()
    assert (record.url, record.bytes, record.sha256) == (f"scene-{sha256[:12]}.sfs", len(data), sha256)
    assert record.frames == [frame.id for frame in manifest.frames] == ["9", "10", "11", "12"]
    assert manifest.images == []
    assert any("100 ms apart (4 times)" in note for note in manifest.notes)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["manifest.json", record.key]
    assert lp.load_manifest(tmp_path / "out").model_dump() == manifest.model_dump()


def test_odometry_is_written_when_it_is_asked_for(scene_folder: Path, tmp_path: Path) -> None:
    for odometry in (False, True):
        out = tmp_path / str(odometry)
        lp.prepare(lp.open_scene(scene_folder), lp.Recipe(format="sfs", odometry=odometry), out)
        kinds = {one["type"] for one in read(scene_file(out))["sensors"]}
        assert kinds == {"lidar", "camera", "radar"} | ({"odometry"} if odometry else set())


def test_the_same_bytes_come_of_any_number_of_workers_and_of_processes(scene_folder: Path, tmp_path: Path) -> None:
    scene, recipe = lp.open_scene(scene_folder), lp.Recipe(format="sfs", region_of_interest_3d=REGION)
    lp.prepare(scene, recipe, tmp_path / "1", workers=1)
    lp.prepare(scene, recipe, tmp_path / "4", workers=4)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        lp.prepare(scene, recipe, tmp_path / "processes", executor=pool)
    one = {path.relative_to(tmp_path / "1"): path.read_bytes() for path in (tmp_path / "1").rglob("*.*")}
    for out in (tmp_path / "4", tmp_path / "processes"):
        assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*.*")} == one


def test_an_embedded_image_is_stored_beside_frame_json(scene_folder: Path, tmp_path: Path) -> None:
    """An image without a file of its own, as a scene that is read has them, can be prepared all the same."""
    scene = lp.open_scene(scene_folder)
    embedded = [
        replace(
            frame,
            images=tuple(replace(one, path=None, content=one.path.read_bytes) for one in frame.images if one.path),
        )
        for frame in scene
    ]
    manifest = lp.prepare(replace(scene, frames=tuple(embedded)), lp.Recipe(), tmp_path / "out")
    expected = lp.prepare(scene, lp.Recipe(), tmp_path / "files")
    assert [record.sha256 for record in manifest.images] == [record.sha256 for record in expected.images]


@pytest.mark.usefixtures("without_checks")
def test_memory_is_bounded_by_the_frames_in_flight(tmp_path: Path) -> None:
    frames, points = 30, 40_000
    scene = lp.open_scene(write_toolkit_scene(tmp_path / "recording", frames=frames, points=points, cameras=()))
    lp.prepare(scene, lp.Recipe(format="sfs", frames=":2"), tmp_path / "warm")  # compiles, and imports
    tracemalloc.start()
    try:
        manifest = lp.prepare(scene, lp.Recipe(format="sfs", intensity_scale=255), tmp_path / "out", workers=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size = manifest.attachments[0].bytes
    assert size > frames * points * 13
    # Two frames are in flight, each with what was read of it beside what becomes of it, and the three that were looked
    # at before wait for their turn; as much for 300 frames.
    assert peak < 10 * size / frames


class TestAFailedRun:
    """leaves nothing behind but the frames that are done, out of sight, and what stood there as it was."""

    def prepare(self, folder: Path, out: Path, **recipe: Any) -> lp.Manifest:
        made = lp.Recipe(**({"format": "sfs", "intensity_scale": 255} | recipe))
        return lp.prepare(lp.open_scene(folder), made, out, overwrite=True)

    def test_a_truncated_frame_in_the_middle(self, scene_folder: Path, tmp_path: Path) -> None:
        cut = scene_folder / "pointcloud/11.ply"
        cut.write_bytes(cut.read_bytes()[:-7])
        with pytest.raises(lp.FormatError, match=r"11\.ply"):
            self.prepare(scene_folder, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_region_that_keeps_no_point(self, scene_folder: Path, tmp_path: Path) -> None:
        nowhere = lp.RegionOfInterest3D(position=(1e4, 0, 0), length=1, width=1)
        with pytest.raises(lp.RecipeError, match="no point of 4 frames is kept: of 2000 points, 2000 outside the"):
            self.prepare(scene_folder, tmp_path / "out", region_of_interest_3d=nowhere)
        assert not (tmp_path / "out").exists()

    def test_what_is_no_image_is_not_published_as_one(self, scene_folder: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("root:x:0:0")
        (scene_folder / "cameras/front/10.jpg").unlink()
        (scene_folder / "cameras/front/10.jpg").symlink_to(tmp_path / "secret")
        manifest = self.prepare(scene_folder, tmp_path / "out")
        (left_out,) = manifest.frames[1].images_left_out
        assert (left_out.camera, left_out.file) == ("front", "cameras/front/10.jpg")
        assert b"root:x:0:0" not in (tmp_path / "out" / manifest.attachments[0].url).read_bytes()

    def test_an_earlier_run_stays_whole(self, scene_folder: Path, tmp_path: Path) -> None:
        self.prepare(scene_folder, tmp_path / "out")
        before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*")}
        (scene_folder / "pointcloud/12.ply").write_bytes(b"ply\n")
        with pytest.raises(lp.FormatError):
            self.prepare(scene_folder, tmp_path / "out")
        assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*")} == before

    def test_a_scene_replaces_frames_and_frames_a_scene(self, scene_folder: Path, tmp_path: Path) -> None:
        for name in ("json", "sfs", "protobuf"):
            manifest = self.prepare(scene_folder, tmp_path / "out", format=name)
            assert lp.load_manifest(tmp_path / "out").attachments == manifest.attachments
            assert not lp.verify(manifest).findings
