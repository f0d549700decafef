"""How one frame becomes stored objects, compared with a plain NumPy and SciPy computation."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import laspy
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import lidarprep as lp
from lidarprep.attachments import get_format
from lidarprep.pointfiles import las
from tests.prepare.runs import REGION, assert_only_what_the_manifest_names, files, points_of, positions_of
from tests.scenes import read_ply, read_pose, write_json, write_ply, write_toolkit_scene

LINKED = lp.StorageOptions(link_images=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "recording")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def expected_points(
    folder: Path, n: int, region: lp.RegionOfInterest3D, device_height: float, band: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(M, 3) world positions and (M,) intensities that are to be kept, by NumPy."""
    xyz, intensity = read_ply(folder / f"pointcloud/{n}.ply")
    rotation, translation = read_pose(folder / f"poses/{n}.json")
    world = xyz.astype(np.float64) @ rotation.T + translation
    cos, sin = np.cos(region.rotation), np.sin(region.rotation)
    along, across = np.array([[cos, sin], [-sin, cos]]) @ (world[:, :2] - np.array(region.position[:2])).T
    above_ground = xyz[:, 2].astype(np.float64) + device_height
    kept = (np.abs(along) <= region.length / 2) & (np.abs(across) <= region.width / 2)
    kept &= (above_ground >= band[0]) & (above_ground <= band[1])
    return world[kept], intensity[kept] / 255


@pytest.mark.parametrize("format", ["json", "protobuf"])
def test_attachments_hold_what_numpy_keeps_of_a_recording(folder: Path, out: Path, format: Any) -> None:
    recipe = lp.Recipe(region_of_interest_3d=REGION, device_height=1.8, height_band=(-20.0, 25.0), format=format)
    manifest = lp.prepare(lp.open_scene(folder), recipe, out)
    assert [frame.id for frame in manifest.frames] == ["9", "10", "11"]
    for frame, attachment in zip(manifest.frames, manifest.attachments, strict=True):
        points = points_of(out, attachment, format)
        world, intensity = expected_points(folder, int(frame.id), REGION, 1.8, (-20.0, 25.0))
        assert frame.points_out == len(world) == len(points) > 0
        assert frame.points_in == frame.points_out + frame.dropped.region + frame.dropped.height
        np.testing.assert_allclose(points.positions, world, rtol=0, atol=4e-6)  # float32 at 40 m
        np.testing.assert_array_equal(points.intensity, intensity.astype(np.float32))


def test_the_real_recording_is_prepared_as_numpy_computes_it(recording: Path, out: Path) -> None:
    region = lp.RegionOfInterest3D(position=(5.0, -3.0, 0.0), length=80, width=60, rotation=0.3)
    recipe = lp.Recipe(region_of_interest_3d=region, device_height=0.2, height_band=(-0.5, 6.0))
    manifest = lp.prepare(lp.open_scene(recording), recipe, out)
    assert [frame.id for frame in manifest.frames] == ["1", "2", "3", "4", "5"]
    assert len(manifest.images) == 15
    for frame, attachment in zip(manifest.frames, manifest.attachments, strict=True):
        world, _ = expected_points(recording, int(frame.id), region, 0.2, (-0.5, 6.0))
        assert frame.points_out == len(world) > 50_000
        np.testing.assert_allclose(positions_of(out, attachment), world, rtol=0, atol=8e-6)


def test_radar_and_cameras_come_along_into_the_world(folder: Path, out: Path) -> None:
    manifest = lp.prepare(lp.open_scene(folder), lp.Recipe(), out)
    frame = json.loads((out / manifest.attachments[0].url).read_bytes())
    rotation, translation = read_pose(folder / "poses/9.json")
    rows = np.loadtxt(folder / "radar_points/9.txt", delimiter=",")
    positions = [[point["position"][axis] for axis in "xyz"] for point in frame["radar_points"]]
    directions = [[point["direction"][axis] for axis in "xyz"] for point in frame["radar_points"]]
    np.testing.assert_allclose(positions, rows[:, :3] @ rotation.T + translation, atol=1e-9)
    np.testing.assert_allclose(directions, rows[:, 3:6] @ rotation.T, atol=1e-9)
    for image, camera in zip(frame["images"], ("front", "left"), strict=True):
        _, in_ego = read_pose(folder / f"cameras/{camera}/extrinsics.json")
        position = [image["position"][axis] for axis in "xyz"]
        np.testing.assert_allclose(position, rotation @ in_ego + translation, atol=1e-9)
        assert image["fy"] == 501


def test_points_that_are_in_the_world_already_stay_where_they_are(folder: Path, out: Path) -> None:
    manifest = lp.prepare(lp.open_scene(folder), lp.Recipe(points_frame="world"), out)
    np.testing.assert_array_equal(positions_of(out, manifest.attachments[0]), read_ply(folder / "pointcloud/9.ply")[0])


def test_points_that_are_not_finite_are_dropped_and_counted(folder: Path, out: Path) -> None:
    xyz, intensity = read_ply(folder / "pointcloud/9.ply")
    xyz[3, 0], xyz[50, 2] = np.nan, -np.inf
    write_ply(folder / "pointcloud/9.ply", xyz, intensity)
    frame = lp.prepare(lp.open_scene(folder), lp.Recipe(), out).frames[0]
    assert (frame.dropped.not_finite, frame.points_out) == (2, 498)


def test_intensities_can_be_left_out(folder: Path, out: Path) -> None:
    xyz, intensity = read_ply(folder / "pointcloud/9.ply")
    write_ply(folder / "pointcloud/9.ply", xyz, intensity - 1000)  # no scale has these
    manifest = lp.prepare(lp.open_scene(folder), lp.Recipe(drop_intensity=True), out)
    assert not any("intensity" in note for note in manifest.notes)
    points = json.loads((out / manifest.attachments[0].url).read_bytes())["points"]
    assert {key for point in points for key in point} == {"x", "y", "z"}


def test_an_intensity_beyond_the_scale_of_the_scene_is_an_error(folder: Path, out: Path) -> None:
    with pytest.raises(lp.RecipeError, match="--intensity-scale"):
        lp.prepare(lp.open_scene(folder), lp.Recipe(intensity_scale=100), out)


def test_a_camera_that_protobuf_cannot_hold_is_refused_by_name(folder: Path, out: Path) -> None:
    write_json(
        folder / "cameras/left/intrinsics.json",
        {"fx": 1.0, "fy": 1.0, "cx": 0.0, "cy": 0.0, "camera_model": "cylindrical"},
    )
    with pytest.raises(lp.EncodingError, match=r"camera left.*cylindrical[\s\S]*--format json"):
        lp.prepare(lp.open_scene(folder), lp.Recipe(format="protobuf"), out)
    assert lp.prepare(lp.open_scene(folder), lp.Recipe(), out).frames


class TestFramesInChunks:
    @staticmethod
    def of(frame: lp.Frame, size: int, read: list[int]) -> lp.Frame:
        """The frame, its points to be had in chunks alone; `read` gets how many each had."""

        def chunks() -> Iterator[lp.PointCloud]:
            points = frame.read_points()
            for begin in range(0, len(points), size):
                read.append(min(size, len(points) - begin))
                yield points.take(np.arange(begin, begin + read[-1]))

        def read_points() -> lp.PointCloud:
            raise AssertionError("all points at once")

        return replace(frame, read_points=read_points, read_chunks=chunks)

    @pytest.mark.usefixtures("without_checks")
    def test_give_the_same_attachments(self, folder: Path, tmp_path: Path) -> None:
        scene = lp.open_scene(folder)
        recipe = lp.Recipe(region_of_interest_3d=REGION, device_height=1.8, height_band=(-20.0, 25.0))
        expected = lp.prepare(scene, recipe, tmp_path / "whole")
        read: list[int] = []
        chunked = replace(scene, frames=tuple(self.of(frame, 120, read) for frame in scene))
        manifest = lp.prepare(chunked, recipe, tmp_path / "chunked")
        assert manifest.attachments == expected.attachments
        assert manifest.frames == expected.frames
        # For the settings, the first chunk of each of three frames; then all.
        assert sorted(read) == sorted([120] * 3 + [120, 120, 120, 120, 20] * 3)
        assert any(note.endswith("judged by their first points") for note in manifest.notes)

    def test_of_far_coordinates_are_shifted_by_the_first_one(self, tmp_path: Path, out: Path) -> None:
        utm = np.array([400_000.0, 5_000_000.0, 100.0]) + np.random.default_rng(0).uniform(0, 40, (50, 3))
        np.save(tmp_path / "utm.npy", utm)
        scene = lp.open_scene(tmp_path / "utm.npy", points_frame="world")
        read: list[int] = []
        manifest = lp.prepare(
            replace(scene, frames=(self.of(scene[0], 20, read),)), lp.Recipe(drop_intensity=True), out
        )
        assert read == [20, 20, 20, 10]
        found = positions_of(out, manifest.attachments[0]) + manifest.world_offset
        np.testing.assert_allclose(found, utm, atol=1e-5)

    def test_of_a_las_file_are_cropped_while_it_is_read(self, tmp_path: Path, out: Path) -> None:
        """Written by laspy."""
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
        manifest = lp.prepare(scene, lp.Recipe(region_of_interest_3d=region), out)
        kept = (np.abs(xyz[:, :2] - (30.0, -10.0)) <= (20, 15)).all(axis=1)
        assert (manifest.frames[0].points_in, manifest.frames[0].points_out) == (20_000, kept.sum())
        points = points_of(out, manifest.attachments[0])
        np.testing.assert_allclose(points.positions, xyz[kept], atol=1e-5)
        np.testing.assert_allclose(points.intensity, np.asarray(written.intensity)[kept] / 65_535, atol=1e-6)


class TestImages:
    def test_are_stored_beside_the_frames_and_found_by_their_url(self, folder: Path, out: Path) -> None:
        manifest = lp.prepare(lp.open_scene(folder), lp.Recipe(), out)
        frame = json.loads((out / manifest.attachments[1].url).read_bytes())
        own = [record for record in manifest.images if record.frame == "10"]
        assert [image["image_url"] for image in frame["images"]] == [record.url for record in own]
        for record, camera in zip(own, ("front", "left"), strict=True):
            data = (folder / f"cameras/{camera}/10.jpg").read_bytes()
            assert record.key == f"images/{camera}/10-{hashlib.sha256(data).hexdigest()[:12]}.jpg"
            assert (out / record.url).read_bytes() == data

    def test_of_one_camera_in_a_frame_are_stored_beside_one_another(self, folder: Path, out: Path) -> None:
        scene = lp.open_scene(folder)
        first = scene[0]
        twice = replace(first, images=(*first.images, replace(first.images[0], path=scene[1].images[0].path)))
        manifest = lp.prepare(replace(scene, frames=(twice,)), lp.Recipe(), out)
        stems = [record.key.rpartition("-")[0] for record in manifest.images]
        assert stems == ["images/front/9", "images/left/9", "images/front/9.1"]
        assert len({record.sha256 for record in manifest.images}) == 3

    def test_of_odd_names_are_stored_under_sound_ones(self, folder: Path, out: Path) -> None:
        scene = lp.open_scene(folder)
        odd = folder / "cameras/front" / "ein Bild, größer.JPG"
        shutil.copy(folder / "cameras/front/9.jpg", odd)
        png = folder / "cameras/left/plain"
        Image.new("RGB", (64, 48)).save(png, format="PNG")
        frame = scene[0]
        camera = replace(frame.images[0].camera, name="../vorn / links")
        images = (
            replace(frame.images[0], path=odd, camera=camera),
            replace(frame.images[1], path=png),
            replace(frame.images[1], path=None, content=png.read_bytes),
        )
        manifest = lp.prepare(replace(scene, frames=(replace(frame, id="a/b c", images=images),)), lp.Recipe(), out)
        one, two, three = [record.key for record in manifest.images]
        assert one.startswith("images/_vorn_links/a_b_c-")
        assert one.endswith(".jpg")
        assert two.startswith("images/left/a_b_c-")
        assert "." not in two.partition("left/")[2]
        assert three.startswith("images/left/a_b_c.1-")
        assert three.endswith(".png")
        assert_only_what_the_manifest_names(manifest, out)

    def test_a_prefix_comes_before_every_url(self, folder: Path, out: Path) -> None:
        storage = lp.StorageOptions(url_base="https://data.example.com/a%20scene/")
        manifest = lp.prepare(lp.open_scene(folder), lp.Recipe(), out, storage=storage)
        assert manifest.urls[0] == f"https://data.example.com/a%20scene/{manifest.attachments[0].key}"
        frame = json.loads((out / manifest.attachments[0].key).read_bytes())
        assert frame["images"][0]["image_url"] == f"https://data.example.com/a%20scene/{manifest.images[0].key}"

    @pytest.mark.parametrize("format", ["json", "protobuf"])
    def test_of_which_only_the_url_is_known_keep_it(self, folder: Path, out: Path, format: Any) -> None:
        manifest = lp.prepare(by_url(folder), lp.Recipe(format=format), out)
        assert {record.camera for record in manifest.images} == {"left"}
        assert [path.name for path in (out / "images").iterdir()] == ["left"]
        decode = get_format(format).decode
        for frame, attachment, image in zip(manifest.frames, manifest.attachments, manifest.images, strict=True):
            found = decode((out / attachment.url).read_bytes()).images
            assert [one.url for one in found] == [f"https://images.example.com/{frame.id}.jpg", image.url]
        note = "frame 9: of 1 image only the URL is known; it is kept as it is (3 frames)"
        assert note in manifest.notes

    def test_of_which_only_the_url_is_known_fit_no_sensor_fusion_scene(self, folder: Path, out: Path) -> None:
        with pytest.raises(lp.EncodingError, match="of front has no file"):
            lp.prepare(by_url(folder), lp.Recipe(format="sfs"), out)

    def test_without_file_and_url_are_an_error(self, folder: Path, out: Path) -> None:
        scene = lp.open_scene(folder)
        bare = replace(scene[0], images=(replace(scene[0].images[0], path=None),))
        with pytest.raises(lp.SceneError, match="frame 9: the image of front has no file"):
            lp.prepare(replace(scene, frames=(bare,)), lp.Recipe(), out)

    def test_that_are_none_are_not_published(self, folder: Path, out: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("root:x:0:0")
        (folder / "cameras/front/10.jpg").unlink()
        (folder / "cameras/front/10.jpg").symlink_to(tmp_path / "secret")
        manifest = lp.prepare(lp.open_scene(folder), lp.Recipe(), out)
        assert [image.file for image in manifest.frames[1].images_left_out] == ["cameras/front/10.jpg"]
        assert not any(b"root:x:0:0" in data for data in files(out).values())


def by_url(folder: Path) -> lp.Scene:
    """The recording, of whose first image of each frame only the URL is known."""
    scene = lp.open_scene(folder)

    def linked(frame: lp.Frame) -> lp.Frame:
        first, *others = frame.images
        url = f"https://images.example.com/{frame.id}.jpg"
        return replace(frame, images=(replace(first, path=None, url=url), *others))

    return replace(scene, frames=tuple(map(linked, scene.frames)))


class TestLinkedImages:
    """Hard links to the recording's images: the same run, but for the space that they take."""

    @pytest.mark.parametrize("format", ["json", "sfs"])
    def test_give_the_same_objects_and_the_same_manifest(self, folder: Path, tmp_path: Path, format: Any) -> None:
        recipe = lp.Recipe(format=format)
        lp.prepare(lp.open_scene(folder), recipe, tmp_path / "copied")
        manifest = lp.prepare(lp.open_scene(folder), recipe, tmp_path / "linked", storage=LINKED)
        assert files(tmp_path / "linked") == files(tmp_path / "copied")
        for image in manifest.images:
            original = folder / "cameras" / image.camera / f"{image.frame}.jpg"
            assert (tmp_path / "linked" / image.url).samefile(original)
        # Asked for otherwise, it is still the same run: nothing is to be done.
        assert lp.prepare(lp.open_scene(folder), recipe, tmp_path / "linked") == manifest

    def test_leave_the_recording_as_it_is_when_their_run_is_replaced(self, folder: Path, out: Path) -> None:
        before = files(folder)
        for precision in (None, 3, 2):
            recipe, storage = lp.Recipe(precision=precision), None if precision == 2 else LINKED
            lp.prepare(lp.open_scene(folder), recipe, out, storage=storage, overwrite=True)
        lp.prune(out, everything=True)
        assert files(folder) == before

    def test_are_refused_for_a_bucket(self, folder: Path) -> None:
        with pytest.raises(lp.RecipeError, match=r"link_images \(--link-images\) is for a local folder") as refused:
            lp.prepare(lp.open_scene(folder), lp.Recipe(), "s3://bucket/scene", storage=LINKED)
        assert refused.value.fix == "Leave that out."
