"""The main job from a recording to a manifest, compared with a plain NumPy and SciPy computation."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import laspy
import numpy as np
import pytest
from lidarprep.pipeline import in_flight
from lidarprep.pipeline.frame_work import BYTES_A_POINT
from lidarprep.pipeline.settling import Settling
from numpy.typing import NDArray

import lidarprep as lp
from lidarprep.attachments import get_format
from lidarprep.attachments import lidar_frame_pb2 as pb
from lidarprep.pointfiles import las
from lidarprep.storage import LocalFolder, StoredObject
from tests.scenes import read_ply, read_pose, write_json, write_ply, write_toolkit_scene

REGION = lp.RegionOfInterest3D(position=(20.0, 5.0, 0.0), length=50.0, width=30.0, rotation=0.3)


@pytest.fixture
def scene_folder(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "recording")


def expected_points(
    folder: Path, n: int, region: lp.RegionOfInterest3D, device_height: float, band: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(M, 3) world positions and (M,) intensities that are to be kept, by NumPy."""
    xyz, intensity = read_ply(folder / f"pointcloud/{n}.ply")
    rotation, translation = read_pose(folder / f"poses/{n}.json")
    world = xyz.astype(np.float64) @ rotation.T + translation
    centred = world[:, :2] - np.array(region.position[:2])
    turn = np.array(
        [[np.cos(region.rotation), np.sin(region.rotation)], [-np.sin(region.rotation), np.cos(region.rotation)]]
    )
    along, across = turn @ centred.T
    above_ground = xyz[:, 2].astype(np.float64) + device_height
    kept = (np.abs(along) <= region.length / 2) & (np.abs(across) <= region.width / 2)
    kept &= (above_ground >= band[0]) & (above_ground <= band[1])
    return world[kept], intensity[kept] / 255


def json_points(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    points = json.loads(path.read_bytes())["points"]
    xyz = np.array([(p["x"], p["y"], p["z"]) for p in points], dtype=np.float32)
    return xyz, np.array([p["i"] for p in points], dtype=np.float32)


def protobuf_points(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    points = pb.LidarFrame.FromString(path.read_bytes()).points
    xyz = np.array([(p.x, p.y, p.z) for p in points], dtype=np.float32)
    return xyz, np.array([p.i for p in points], dtype=np.float32)


@pytest.mark.parametrize(("format", "read"), [("json", json_points), ("protobuf", protobuf_points)])
def test_attachments_hold_what_numpy_keeps_of_a_recording(
    scene_folder: Path, tmp_path: Path, format: str, read: Any
) -> None:
    recipe = lp.Recipe(region_of_interest_3d=REGION, device_height=1.8, height_band=(-20.0, 25.0), format=format)
    manifest = lp.prepare(lp.open_scene(scene_folder), recipe, tmp_path / "out")
    assert [frame.id for frame in manifest.frames] == ["9", "10", "11"]
    for frame, attachment in zip(manifest.frames, manifest.attachments, strict=True):
        xyz, intensity = read(tmp_path / "out" / attachment.url)
        world, expected_intensity = expected_points(scene_folder, int(frame.id), REGION, 1.8, (-20.0, 25.0))
        assert frame.points_out == len(world) == len(xyz) > 0
        assert frame.points_in == frame.points_out + frame.dropped.region + frame.dropped.height
        np.testing.assert_allclose(xyz, world, rtol=0, atol=4e-6)  # float32 at 40 m
        np.testing.assert_array_equal(intensity, expected_intensity.astype(np.float32))


def test_the_real_recording_is_prepared_as_numpy_computes_it(recording: Path, tmp_path: Path) -> None:
    region = lp.RegionOfInterest3D(position=(5.0, -3.0, 0.0), length=80, width=60, rotation=0.3)
    for format, read in (("json", json_points), ("protobuf", protobuf_points)):
        recipe = lp.Recipe(region_of_interest_3d=region, device_height=0.2, height_band=(-0.5, 6.0), format=format)
        manifest = lp.prepare(lp.open_scene(recording), recipe, tmp_path / format)
        assert [frame.id for frame in manifest.frames] == ["1", "2", "3", "4", "5"]
        assert len(manifest.images) == 15
        for frame, attachment in zip(manifest.frames, manifest.attachments, strict=True):
            world, _ = expected_points(recording, int(frame.id), region, 0.2, (-0.5, 6.0))
            assert frame.points_out == len(world) > 50_000
            xyz, _ = read(tmp_path / format / attachment.url)
            np.testing.assert_allclose(xyz, world, rtol=0, atol=8e-6)


def test_radar_and_cameras_come_along_into_the_world(scene_folder: Path, tmp_path: Path) -> None:
    manifest = lp.prepare(lp.open_scene(scene_folder), lp.Recipe(), tmp_path / "out")
    frame = json.loads((tmp_path / "out" / manifest.attachments[0].url).read_bytes())
    rotation, translation = read_pose(scene_folder / "poses/9.json")
    rows = np.loadtxt(scene_folder / "radar_points/9.txt", delimiter=",")
    positions = [[point["position"][axis] for axis in "xyz"] for point in frame["radar_points"]]
    directions = [[point["direction"][axis] for axis in "xyz"] for point in frame["radar_points"]]
    np.testing.assert_allclose(positions, rows[:, :3] @ rotation.T + translation, atol=1e-9)
    np.testing.assert_allclose(directions, rows[:, 3:6] @ rotation.T, atol=1e-9)
    for image, camera in zip(frame["images"], ("front", "left"), strict=True):
        _, in_ego = read_pose(scene_folder / f"cameras/{camera}/extrinsics.json")
        position = [image["position"][axis] for axis in "xyz"]
        np.testing.assert_allclose(position, rotation @ in_ego + translation, atol=1e-9)
        assert image["fy"] == 501


def test_pictures_are_stored_beside_the_frames_and_found_by_their_url(scene_folder: Path, tmp_path: Path) -> None:
    manifest = lp.prepare(lp.open_scene(scene_folder), lp.Recipe(), tmp_path / "out")
    frame = json.loads((tmp_path / "out" / manifest.attachments[1].url).read_bytes())
    assert [image["image_url"] for image in frame["images"]] == ["images/front/10.jpg", "images/left/10.jpg"]
    assert [record.url for record in manifest.images if record.frame == "10"] == [
        "images/front/10.jpg",
        "images/left/10.jpg",
    ]
    stored = (tmp_path / "out/images/front/10.jpg").read_bytes()
    assert stored == (scene_folder / "cameras/front/10.jpg").read_bytes()


def test_two_pictures_of_one_camera_in_a_frame_are_stored_beside_one_another(
    scene_folder: Path, tmp_path: Path
) -> None:
    scene = lp.open_scene(scene_folder)
    first = scene[0]
    twice = replace(first, images=(*first.images, replace(first.images[0], path=scene[1].images[0].path)))
    manifest = lp.prepare(replace(scene, frames=(twice,)), lp.Recipe(), tmp_path / "out")
    assert [record.url for record in manifest.images] == [
        "images/front/9.jpg",
        "images/left/9.jpg",
        "images/front/9.1.jpg",
    ]
    assert len({record.sha256 for record in manifest.images}) == 3


def test_a_url_base_stands_before_every_url(scene_folder: Path, tmp_path: Path) -> None:
    storage = lp.StorageOptions(url_base="https://data.example.com/a scene/".replace(" ", "%20"))
    manifest = lp.prepare(lp.open_scene(scene_folder), lp.Recipe(), tmp_path / "out", storage=storage)
    assert manifest.urls[0] == "https://data.example.com/a%20scene/frame-9.json"
    frame = json.loads((tmp_path / "out/frame-9.json").read_bytes())
    assert frame["images"][0]["image_url"] == "https://data.example.com/a%20scene/images/front/9.jpg"


def test_the_manifest_records_sizes_and_hashes_of_what_is_stored(scene_folder: Path, tmp_path: Path) -> None:
    manifest = lp.prepare(lp.open_scene(scene_folder), lp.Recipe(), tmp_path / "out")
    for record in (*manifest.attachments, *manifest.images):
        data = (tmp_path / "out" / record.url).read_bytes()
        assert (record.bytes, record.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert lp.load_manifest(tmp_path / "out").model_dump() == manifest.model_dump()
    assert set(json.loads((tmp_path / "out/manifest.json").read_bytes())) >= {
        "lidarprep",
        "source",
        "format",
        "recipe",
        "world_offset",
        "attachments",
        "frames",
        "images",
    }


def test_the_same_input_and_recipe_give_the_same_bytes_wherever_they_are_stored(
    scene_folder: Path, tmp_path: Path
) -> None:
    recipe = lp.Recipe(region_of_interest_3d=REGION, format="json", precision=3)
    first = lp.prepare(lp.open_scene(scene_folder), recipe, tmp_path / "a", workers=1)
    second = lp.prepare(lp.open_scene(scene_folder), recipe, tmp_path / "b/c", workers=4)
    assert [a.sha256 for a in first.attachments] == [a.sha256 for a in second.attachments]
    assert (tmp_path / "a/manifest.json").read_bytes() == (tmp_path / "b/c/manifest.json").read_bytes()


def test_a_callers_executor_runs_the_frames_and_stays_open(scene_folder: Path, tmp_path: Path) -> None:
    names: set[str] = set()
    scene = lp.open_scene(scene_folder)
    with ThreadPoolExecutor(
        1, thread_name_prefix="mine", initializer=lambda: names.add(threading.current_thread().name)
    ) as pool:
        lp.prepare(scene, lp.Recipe(), tmp_path / "out", executor=pool)
        assert pool.submit(int, "7").result() == 7
    assert names == {"mine_0"}


def test_frames_are_selected_and_those_that_get_labelled_are_marked(scene_folder: Path, tmp_path: Path) -> None:
    scene = lp.open_scene(write_toolkit_scene(tmp_path / "long", frames=10, points=20, cameras=()))
    manifest = lp.prepare(scene, lp.Recipe(frames="1::2", labeling_sample_rate=3), tmp_path / "out")
    assert [frame.index for frame in manifest.frames] == [1, 3, 5, 7, 9]
    assert [frame.labelled for frame in manifest.frames] == [True, False, False, True, True]
    only = lp.prepare(scene, lp.Recipe(labeling_sample_rate=4, only_labelled=True), tmp_path / "only")
    assert [frame.index for frame in only.frames] == [0, 4, 8, 9]


def test_coordinates_beyond_100_km_are_shifted_by_one_offset_that_is_recorded(tmp_path: Path) -> None:
    folder = tmp_path / "utm"
    folder.mkdir()
    rng = np.random.default_rng(3)
    utm = np.array([456_789.123, 5_432_109.875, 311.5])
    world = [utm + rng.uniform(-50, 50, (200, 3)) for _ in range(2)]
    for n, xyz in enumerate(world):
        np.save(folder / f"{n}.npy", xyz)
    region = lp.RegionOfInterest3D(position=tuple(utm), length=60, width=60)
    recipe = lp.Recipe(points_frame="world", region_of_interest_3d=region)
    manifest = lp.prepare(lp.open_scene(folder, points_frame="world"), recipe, tmp_path / "out")
    assert np.abs(np.array(manifest.world_offset) - utm).max() < 200
    for n, xyz in enumerate(world):
        kept = xyz[(np.abs(xyz[:, :2] - utm[:2]) <= 30).all(axis=1)]
        points = json.loads((tmp_path / f"out/frame-{n}.json").read_bytes())["points"]
        found = np.array([(p["x"], p["y"], p["z"]) for p in points]) + manifest.world_offset
        np.testing.assert_allclose(found, kept, atol=1e-5)


def test_points_that_are_in_the_world_already_stay_where_they_are(tmp_path: Path) -> None:
    folder = write_toolkit_scene(tmp_path / "recording", frames=1)
    manifest = lp.prepare(lp.open_scene(folder), lp.Recipe(points_frame="world"), tmp_path / "out")
    xyz, _ = json_points(tmp_path / "out" / manifest.attachments[0].url)
    np.testing.assert_array_equal(xyz, read_ply(folder / "pointcloud/9.ply")[0])


def test_points_that_are_not_finite_are_dropped_and_counted(tmp_path: Path) -> None:
    folder = write_toolkit_scene(tmp_path / "recording", frames=1, points=100)
    xyz, intensity = read_ply(folder / "pointcloud/9.ply")
    xyz[3, 0], xyz[50, 2] = np.nan, -np.inf
    write_ply(folder / "pointcloud/9.ply", xyz, intensity)
    manifest = lp.prepare(lp.open_scene(folder), lp.Recipe(), tmp_path / "out")
    assert manifest.frames[0].dropped.not_finite == 2
    assert manifest.frames[0].points_out == 98


def test_what_was_guessed_is_said(scene_folder: Path, tmp_path: Path) -> None:
    manifest = lp.prepare(lp.open_scene(scene_folder), lp.Recipe(), tmp_path / "out")
    assert any(note.startswith("opened as toolkit") for note in manifest.notes)
    assert any(note.startswith("intensity 255 is taken as 1") for note in manifest.notes)


def test_the_offset_of_a_scene_does_not_depend_on_what_is_prepared_of_it(tmp_path: Path) -> None:
    folder = write_toolkit_scene(tmp_path / "recording", frames=6, points=20, cameras=())
    for n in range(9, 15):
        write_json(folder / f"poses/{n}.json", {"heading": [1, 0, 0, 0], "position": [400_000.0 + 300 * n, 5e6, 0]})
    scene = lp.open_scene(folder)
    manifests = [
        lp.prepare(scene, lp.Recipe(frames=frames), tmp_path / str(run))
        for run, frames in enumerate((None, ":1", "4:"))
    ]
    assert len({manifest.world_offset for manifest in manifests}) == 1


def test_a_single_file_of_far_coordinates_is_shifted_whatever_its_frame_is_called(tmp_path: Path) -> None:
    utm = np.array([400_000.0, 5_000_000.0, 100.0]) + np.random.default_rng(0).uniform(0, 40, (50, 3))
    np.save(tmp_path / "utm.npy", utm)
    for points_frame in ("ego", "world"):
        scene = lp.open_scene(tmp_path / "utm.npy", points_frame=points_frame)
        manifest = lp.prepare(scene, lp.Recipe(), tmp_path / points_frame)
        points = json.loads((tmp_path / points_frame / manifest.attachments[0].url).read_bytes())
        found = np.array([(p["x"], p["y"], p["z"]) for p in points["points"]])
        assert np.abs(found).max() < 200
        np.testing.assert_allclose(found + manifest.world_offset, utm, atol=1e-5)
    assert points["device_position"] == {"x": 0, "y": 0, "z": 0}  # not known: not thousands of kilometres away


def test_a_pool_of_processes_can_run_the_frames(scene_folder: Path, tmp_path: Path) -> None:
    scene = lp.open_scene(scene_folder)
    recipe = lp.Recipe(points_frame="ego", voxel=0.5)
    here = lp.prepare(scene, recipe, tmp_path / "here")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = lp.prepare(scene, recipe, tmp_path / "there", executor=pool)
    assert [a.sha256 for a in here.attachments] == [a.sha256 for a in there.attachments]
    assert (tmp_path / "here/manifest.json").read_bytes() == (tmp_path / "there/manifest.json").read_bytes()


@pytest.mark.parametrize(
    "recipe", [{}, {"intensity_scale": 255}, {"drop_intensity": True}, {"frames": "1:", "drop_intensity": True}]
)
def test_no_frame_is_read_twice(scene_folder: Path, tmp_path: Path, recipe: dict[str, Any]) -> None:
    """Whether it is looked at for the scale of its intensities, or by the checks alone."""
    scene = lp.open_scene(scene_folder)
    read: list[str] = []

    def counting(frame: lp.Frame) -> lp.Frame:
        return replace(frame, read_points=lambda: [read.append(frame.id), frame.read_points()][1])

    lp.prepare(replace(scene, frames=tuple(map(counting, scene.frames))), lp.Recipe(**recipe), tmp_path / "out")
    assert sorted(read) == (["10", "11"] if "frames" in recipe else ["10", "11", "9"])


def test_points_read_for_a_look_are_let_go_where_their_frame_is_not_prepared(scene_folder: Path) -> None:
    scene = lp.open_scene(scene_folder).with_points_in("world")  # whose offset the first frame tells
    settling = Settling(scene, lp.Recipe(frames="1:"))
    frames = scene.frames[1:]
    settling.steps(frames)
    assert "9" in settling.samples
    settling.check(frames)
    assert sorted(settling.samples) == ["10", "11"]


class TestAFailedRun:
    """shows nothing of itself, whatever failed, and says what it was; what is done is kept out of sight."""

    def test_a_truncated_frame_in_the_middle_leaves_no_file(self, scene_folder: Path, tmp_path: Path) -> None:
        cut = scene_folder / "pointcloud/11.ply"
        cut.write_bytes(cut.read_bytes()[:-7])
        with pytest.raises(lp.FormatError, match=r"11\.ply"):
            lp.prepare(lp.open_scene(scene_folder), lp.Recipe(intensity_scale=255), tmp_path / "out", workers=1)
        assert not (tmp_path / "out").exists()

    def test_a_region_that_keeps_no_point_leaves_no_file(self, scene_folder: Path, tmp_path: Path) -> None:
        nowhere = lp.RegionOfInterest3D(position=(1e4, 0, 0), length=1, width=1)
        with pytest.raises(
            lp.RecipeError, match="no point of 3 frames is kept: of 1500 points, 1500 outside the region"
        ):
            lp.prepare(lp.open_scene(scene_folder), lp.Recipe(region_of_interest_3d=nowhere), tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_what_was_there_before_stays(self, scene_folder: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out/notes.txt").write_text("mine")
        (scene_folder / "pointcloud/10.ply").write_bytes(b"ply\n")
        with pytest.raises(lp.FormatError):
            lp.prepare(lp.open_scene(scene_folder), lp.Recipe(), tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").rglob("*")] == ["notes.txt"]

    def test_an_earlier_run_is_replaced_only_when_asked_for(self, scene_folder: Path, tmp_path: Path) -> None:
        scene = lp.open_scene(scene_folder)
        lp.prepare(scene, lp.Recipe(), tmp_path / "out")
        with pytest.raises(lp.RecipeError, match="--overwrite"):
            lp.prepare(scene, lp.Recipe(precision=1), tmp_path / "out")
        manifest = lp.prepare(scene, lp.Recipe(precision=1), tmp_path / "out", overwrite=True)
        assert lp.load_manifest(tmp_path / "out").recipe == manifest.recipe

    def test_an_earlier_run_stays_whole_when_the_one_that_was_to_replace_it_fails(
        self, scene_folder: Path, tmp_path: Path
    ) -> None:
        lp.prepare(lp.open_scene(scene_folder), lp.Recipe(), tmp_path / "out")
        before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
        (scene_folder / "pointcloud/11.ply").write_bytes(b"ply\n")
        with pytest.raises(lp.FormatError):
            lp.prepare(
                lp.open_scene(scene_folder), lp.Recipe(intensity_scale=255), tmp_path / "out", overwrite=True, workers=1
            )
        assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before

    def test_nothing_of_an_earlier_run_is_left_over_when_it_is_replaced(
        self, scene_folder: Path, tmp_path: Path
    ) -> None:
        scene = lp.open_scene(scene_folder)
        lp.prepare(scene, lp.Recipe(), tmp_path / "out")
        lp.prepare(scene, lp.Recipe(format="protobuf", frames=":1"), tmp_path / "out", overwrite=True)
        files = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
        assert files == ["frame-9.pb", "images/front/9.jpg", "images/left/9.jpg", "manifest.json"]

    def test_a_folder_where_a_file_is_to_go_is_seen_before_anything_is_replaced(
        self, scene_folder: Path, tmp_path: Path
    ) -> None:
        scene = lp.open_scene(scene_folder)
        lp.prepare(scene, lp.Recipe(), tmp_path / "out")
        (tmp_path / "out/frame-10.json").unlink()
        (tmp_path / "out/frame-10.json").mkdir()
        before = (tmp_path / "out/frame-9.json").read_bytes()
        with pytest.raises(lp.StorageError, match=r"frame-10\.json is a folder"):
            lp.prepare(scene, lp.Recipe(precision=2), tmp_path / "out", overwrite=True)
        assert (tmp_path / "out/frame-9.json").read_bytes() == before

    def test_a_file_of_somebody_else_is_not_replaced_unasked(self, scene_folder: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out/frame-10.json").write_text("mine")
        with pytest.raises(lp.RecipeError, match=r"frame-10\.json is there already"):
            lp.prepare(lp.open_scene(scene_folder), lp.Recipe(), tmp_path / "out")
        assert (tmp_path / "out/frame-10.json").read_text() == "mine"

    def test_what_is_no_picture_is_not_published_as_one(self, scene_folder: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("root:x:0:0")
        (scene_folder / "cameras/front/10.jpg").unlink()
        (scene_folder / "cameras/front/10.jpg").symlink_to(tmp_path / "secret")
        with pytest.raises(lp.FormatError, match=r"10\.jpg, byte 0: neither a JPEG nor a PNG"):
            lp.prepare(lp.open_scene(scene_folder), lp.Recipe(), tmp_path / "out")
        files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
        assert all(".lidarprep-run" in path.parts for path in files)
        assert not any(b"root:x:0:0" in path.read_bytes() for path in files)

    def test_an_intensity_beyond_the_scale_of_the_scene_is_an_error(self, tmp_path: Path) -> None:
        folder = write_toolkit_scene(tmp_path / "recording", frames=1)
        with pytest.raises(lp.RecipeError, match="--intensity-scale"):
            lp.prepare(lp.open_scene(folder), lp.Recipe(intensity_scale=100), tmp_path / "out")

    def test_frames_without_poses_ask_for_one(self, tmp_path: Path) -> None:
        folder = tmp_path / "plain"
        folder.mkdir()
        for n in range(2):
            np.save(folder / f"{n}.npy", np.zeros((3, 3), dtype=np.float32))
        with pytest.raises(lp.SceneError, match="--points-frame world"):
            lp.prepare(lp.open_scene(folder), lp.Recipe(), tmp_path / "out")

    def test_a_camera_that_protobuf_cannot_hold_is_refused_by_name(self, scene_folder: Path, tmp_path: Path) -> None:
        write_json(
            scene_folder / "cameras/left/intrinsics.json",
            {"fx": 1.0, "fy": 1.0, "cx": 0.0, "cy": 0.0, "camera_model": "cylindrical"},
        )
        with pytest.raises(lp.EncodingError, match=r"camera left.*cylindrical[\s\S]*--format json"):
            lp.prepare(lp.open_scene(scene_folder), lp.Recipe(format="protobuf"), tmp_path / "out")
        assert lp.prepare(lp.open_scene(scene_folder), lp.Recipe(), tmp_path / "out").frames


@pytest.mark.parametrize("most_frames", [1, 3])
def test_memory_is_bounded_whatever_the_length_of_the_scene(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_frames: int
) -> None:
    """No more frames are read and not yet stored than there is memory for, however many workers there are."""
    points = 10
    monkeypatch.setattr(in_flight, "MOST_BYTES", most_frames * points * BYTES_A_POINT + 5_000)
    scene = lp.open_scene(write_toolkit_scene(tmp_path / "recording", frames=12, points=points, cameras=()))
    lock = threading.Lock()
    read: list[str] = []
    ahead: list[int] = []
    stored = 0

    def counting(frame: lp.Frame) -> lp.Frame:
        def read_points() -> lp.PointCloud:
            with lock:
                read.append(frame.id)
                ahead.append(len(read) - stored)
            return frame.read_points()

        return lp.Frame(frame.id, frame.index, read_points, None, frame.world_from_ego)

    class Told:
        def start(self, frames: int, done: int) -> None:
            assert frames == 12
            with lock:
                read.clear()  # what was looked at before is let go
                ahead.clear()

        def advance(self, frame: Any, stored_bytes: int) -> None:
            pass

    put = LocalFolder.put

    def put_and_count(store: LocalFolder, key: str, data: bytes, content_type: str) -> StoredObject:
        nonlocal stored
        with lock:
            stored += key.startswith("frame-")
        return put(store, key, data, content_type)

    monkeypatch.setattr(LocalFolder, "put", put_and_count)
    counted = lp.Scene(scene.source, scene.layout, tuple(map(counting, scene.frames)))
    lp.prepare(counted, lp.Recipe(intensity_scale=255), tmp_path / "out", workers=8, progress=Told())
    assert len(read) >= 9
    assert max(ahead) <= most_frames + 3  # those that were looked at wait with their points from the start


def test_intensities_can_be_left_out_and_no_scale_is_asked_for(tmp_path: Path) -> None:
    folder = write_toolkit_scene(tmp_path / "recording", frames=2, cameras=())
    xyz, intensity = read_ply(folder / "pointcloud/9.ply")
    write_ply(folder / "pointcloud/9.ply", xyz, intensity - 1000)  # no scale has these
    manifest = lp.prepare(lp.open_scene(folder), lp.Recipe(drop_intensity=True), tmp_path / "out")
    assert not any("intensity" in note for note in manifest.notes)
    for attachment in manifest.attachments:
        points = json.loads((tmp_path / "out" / attachment.url).read_bytes())["points"]
        assert {key for point in points for key in point} == {"x", "y", "z"}


def in_chunks(frame: lp.Frame, size: int, read: list[int]) -> lp.Frame:
    """The frame, its points to be had in chunks alone; `read` gets how many each had."""

    def chunks() -> Iterator[lp.PointCloud]:
        points = frame.read_points()
        for begin in range(0, len(points), size):
            read.append(min(size, len(points) - begin))
            yield points.take(np.arange(begin, begin + read[-1]))

    def read_points() -> lp.PointCloud:
        raise AssertionError("all points at once")

    return replace(frame, read_points=read_points, read_chunks=chunks)


def test_frames_in_chunks_give_the_same_attachments(scene_folder: Path, tmp_path: Path) -> None:
    scene = lp.open_scene(scene_folder)
    recipe = lp.Recipe(region_of_interest_3d=REGION, device_height=1.8, height_band=(-20.0, 25.0))
    expected = lp.prepare(scene, recipe, tmp_path / "whole")
    read: list[int] = []
    chunked = replace(scene, frames=tuple(in_chunks(frame, 120, read) for frame in scene))
    manifest = lp.prepare(chunked, recipe, tmp_path / "chunked")
    assert [record.sha256 for record in manifest.attachments] == [record.sha256 for record in expected.attachments]
    assert manifest.frames == expected.frames
    # For a look at the intensities, the first chunk of each of three frames; then all.
    assert sorted(read) == sorted([120] * 3 + [120, 120, 120, 120, 20] * 3)
    assert any(
        note.startswith("intensity 255 is taken as 1") and note.endswith("judged by their first points")
        for note in manifest.notes
    )


def test_a_large_file_of_far_coordinates_is_moved_by_its_first_chunk(tmp_path: Path) -> None:
    utm = np.array([400_000.0, 5_000_000.0, 100.0]) + np.random.default_rng(0).uniform(0, 40, (50, 3))
    np.save(tmp_path / "utm.npy", utm)
    scene = lp.open_scene(tmp_path / "utm.npy", points_frame="world")
    read: list[int] = []
    chunked = replace(scene, frames=(in_chunks(scene[0], 20, read),))
    manifest = lp.prepare(chunked, lp.Recipe(drop_intensity=True), tmp_path / "out")
    assert read == [20, 20, 20, 10]
    points = json.loads((tmp_path / "out" / manifest.attachments[0].url).read_bytes())["points"]
    found = np.array([(p["x"], p["y"], p["z"]) for p in points]) + manifest.world_offset
    np.testing.assert_allclose(found, utm, atol=1e-5)


def test_a_las_file_is_cropped_chunk_by_chunk_while_it_is_read(tmp_path: Path) -> None:
    """Written by laspy. Chunks of a file, so that none of this size needs more memory than another."""
    header = laspy.LasHeader(version="1.4", point_format=6)
    header.offsets, header.scales = (0.0, 0.0, 0.0), (1e-3, 1e-3, 1e-3)
    rng = np.random.default_rng(5)
    written = laspy.LasData(header)
    written.x, written.y, written.z = rng.uniform(-100, 100, (3, 20_000))
    written.intensity = rng.integers(0, 65_536, 20_000)
    written.write(tmp_path / "survey.las")
    xyz = np.column_stack((written.x, written.y, written.z))
    scene = lp.open_scene(tmp_path / "survey.las", points_frame="world")
    chunks = partial(las.read_chunks, tmp_path / "survey.las", "world", 3_000)
    scene = replace(scene, frames=(replace(scene[0], read_chunks=chunks),))
    region = lp.RegionOfInterest3D(position=(30.0, -10.0, 0.0), length=40, width=30)
    manifest = lp.prepare(scene, lp.Recipe(region_of_interest_3d=region), tmp_path / "out")
    kept = (np.abs(xyz[:, :2] - (30.0, -10.0)) <= (20, 15)).all(axis=1)
    assert (manifest.frames[0].points_in, manifest.frames[0].points_out) == (20_000, kept.sum())
    found, intensity = json_points(tmp_path / "out" / manifest.attachments[0].url)
    np.testing.assert_allclose(found, xyz[kept], atol=1e-5)
    np.testing.assert_allclose(intensity, np.asarray(written.intensity)[kept] / 65_535, atol=1e-6)


class TestPicturesByTheirUrl:
    """of which nothing else is known, as attachments have them, keep it; nothing is stored for them."""

    def scene(self, folder: Path) -> lp.Scene:
        scene = lp.open_scene(folder)

        def linked(frame: lp.Frame) -> lp.Frame:
            first, *others = frame.images
            url = f"https://pictures.example.com/{frame.id}.jpg"
            return replace(frame, images=(replace(first, path=None, url=url), *others))

        return replace(scene, frames=tuple(map(linked, scene.frames)))

    @pytest.mark.parametrize("format", ["json", "protobuf"])
    def test_beside_pictures_that_are_stored(self, scene_folder: Path, tmp_path: Path, format: Any) -> None:
        manifest = lp.prepare(self.scene(scene_folder), lp.Recipe(format=format), tmp_path / "out")
        assert [record.url for record in manifest.images] == [f"images/left/{n}.jpg" for n in (9, 10, 11)]
        assert sorted(path.name for path in (tmp_path / "out/images").iterdir()) == ["left"]
        decode = get_format(format).decode
        for frame, attachment in zip(manifest.frames, manifest.attachments, strict=True):
            read = decode((tmp_path / "out" / attachment.url).read_bytes())
            assert [image.url for image in read.images] == [
                f"https://pictures.example.com/{frame.id}.jpg",
                f"images/left/{frame.id}.jpg",
            ]
        note = "frame 9: of 1 picture only the URL is known; it is kept as it is (3 frames)"
        assert note in manifest.notes

    def test_a_sensor_fusion_scene_cannot_hold_them(self, scene_folder: Path, tmp_path: Path) -> None:
        with pytest.raises(lp.EncodingError, match="picture of front has no file"):
            lp.prepare(self.scene(scene_folder), lp.Recipe(format="sfs"), tmp_path / "out")

    def test_one_without_a_url_is_still_an_error(self, scene_folder: Path, tmp_path: Path) -> None:
        scene = lp.open_scene(scene_folder)
        bare = replace(scene[0], images=(replace(scene[0].images[0], path=None),))
        with pytest.raises(lp.SceneError, match="frame 9: the picture of front has no file"):
            lp.prepare(replace(scene, frames=(bare,)), lp.Recipe(), tmp_path / "out")
