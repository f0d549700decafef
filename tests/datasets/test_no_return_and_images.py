"""Rays without a return, and images that are cut, small or unsized, in several layouts, written without our code."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import lidarprep as lp
from lidarprep.datasets.image_sizes import shrunk_by
from lidarprep.inspect import inspect_scene
from lidarprep.storage import kept_points
from tests.datasets.generated import Recording, generated
from tests.datasets.write_folder import write_toolkit
from tests.datasets.write_kitti_raw import write_kitti_raw
from tests.datasets.write_nuscenes import EGO_FROM_LIDAR, write_nuscenes
from tests.datasets.write_pandaset import write_pandaset
from tests.datasets.write_ros import ego_from_lidar, write_ros1_bag, write_ros2_mcap_bag


@dataclass(frozen=True)
class Layout:
    """How it is written, where its lidar is on the device, and how many cameras it holds."""

    write: Callable[[Recording, Path], Path]
    lidar: tuple[float, float, float] = (0.0, 0.0, 0.0)
    cameras: int = 3


def place(matrix: Any) -> tuple[float, float, float]:
    x, y, z = matrix[:3, 3].tolist()
    return (x, y, z)


LAYOUTS = {
    "toolkit": Layout(write_toolkit),
    "kitti-raw": Layout(write_kitti_raw, cameras=1),
    "nuscenes": Layout(write_nuscenes, place(EGO_FROM_LIDAR)),
    "pandaset": Layout(write_pandaset),
    "ros1-bag": Layout(write_ros1_bag, place(ego_from_lidar())),
    "ros2-mcap": Layout(write_ros2_mcap_bag, place(ego_from_lidar())),
}
each_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return generated(tmp_path_factory.mktemp("generated"))


def with_pictures(recording: Recording, change: Callable[[int, bytes], bytes]) -> Recording:
    """The recording with other pictures; `change` gets the number of the frame and the picture."""
    frames = [
        replace(frame, pictures={name: change(k, data) for name, data in frame.pictures.items()})
        for k, frame in enumerate(recording.frames)
    ]
    return replace(recording, frames=tuple(frames))


@each_layout
def test_rays_without_a_return_are_dropped_and_labels_find_their_points(
    layout: Layout, recording: Recording, tmp_path: Path
) -> None:
    def without(positions: NDArray[np.float32]) -> NDArray[np.float32]:
        changed = positions.copy()
        changed[::7] = layout.lidar
        return changed

    planted = replace(
        recording, frames=tuple(replace(one, positions=without(one.positions)) for one in recording.frames)
    )
    scene = lp.open_scene(layout.write(planted, tmp_path / "recording"))
    found = inspect_scene(scene)
    manifest = lp.prepare(scene, lp.Recipe(), tmp_path / "out")
    for frame, one, looked in zip(manifest.frames, planted.frames, found.frames, strict=True):
        rows = np.arange(len(one.positions))
        count = len(rows[::7])
        assert (frame.dropped.no_return, looked.no_return) == (count, count)
        assert frame.points_out == frame.points_in - count == len(rows) - count
        assert frame.kept is not None
        kept = kept_points.decode((tmp_path / "out" / frame.kept.url).read_bytes(), frame.points_in).rows
        assert len(kept) == frame.points_out
        if scene.layout in ("toolkit", "pandaset", "kitti-raw"):  # whose files have the points in this order
            np.testing.assert_array_equal(kept, rows[rows % 7 != 0])
    (note,) = [note for note in found.notes if "rays without a return" in note]
    assert note.startswith(f"{sum(one.no_return for one in found.frames)} points")


@each_layout
@pytest.mark.parametrize("format", ["json", "sfs"])
def test_an_image_that_cannot_be_decoded_leaves_its_frame_alone(
    layout: Layout, format: Any, recording: Recording, tmp_path: Path
) -> None:
    def cut(k: int, data: bytes) -> bytes:
        return data[: len(data) // 2] if k == 1 else data

    if layout.write is write_kitti_raw:  # which writes its own PNG of the picture
        folder = write_kitti_raw(recording, tmp_path / "recording")
        image = sorted(folder.glob("*/image_02/data/*.png"))[1]
        image.write_bytes(cut(1, image.read_bytes()))
    else:
        folder = layout.write(with_pictures(recording, cut), tmp_path / "recording")
    scene = lp.open_scene(folder)
    manifest = lp.prepare(scene, lp.Recipe(format=format), tmp_path / "out")
    assert [len(frame.images_left_out) for frame in manifest.frames] == [0, layout.cameras, 0]
    assert [frame.points_out for frame in manifest.frames] == [len(one.positions) for one in recording.frames]
    found = [finding for finding in manifest.findings if finding.code == "image-unreadable"]
    assert len(found) == layout.cameras
    assert all(f"in frame {scene[1].id}" in finding.message and "cut off" in finding.message for finding in found)
    if format == "json":
        frames = [json.loads((tmp_path / "out" / one.url).read_bytes()) for one in manifest.attachments]
        assert [len(frame.get("images", [])) for frame in frames] == [layout.cameras, 0, layout.cameras]
        assert len(manifest.images) == 2 * layout.cameras
    looked = [one for one in inspect_scene(scene).findings if one.code == "image-unreadable"]
    assert [one.subject for one in looked] == [one.subject for one in found]


@each_layout
def test_calibrations_without_a_size_get_that_of_the_images(
    layout: Layout, recording: Recording, tmp_path: Path
) -> None:
    scene = lp.open_scene(layout.write(recording, tmp_path / "recording"))
    for camera, expected in zip(scene.cameras, recording.cameras[: layout.cameras], strict=True):
        assert (camera.intrinsics.width, camera.intrinsics.height) == (expected.width, expected.height)
    assert all(
        image.camera.intrinsics.width == recording.cameras[0].width and image.scale_factor == 1
        for frame in scene
        for image in frame.images
    )


@pytest.mark.parametrize("write", [write_nuscenes, write_ros2_mcap_bag], ids=["nuscenes", "ros2-mcap"])
def test_images_shrunk_by_a_simple_fraction_get_it_as_scale_factor(
    write: Callable[[Recording, Path], Path], recording: Recording, tmp_path: Path
) -> None:
    def half(_: int, data: bytes) -> bytes:
        out = io.BytesIO()
        with Image.open(io.BytesIO(data)) as image:
            image.resize((image.width // 2, image.height // 2)).save(out, "JPEG")
        return out.getvalue()

    scene = lp.open_scene(write(with_pictures(recording, half), tmp_path / "recording"))
    camera = recording.cameras[0]
    notes = [note for note in scene.notes if "shrunk 2 times" in note]
    assert len(notes) == 3
    assert f"{camera.width // 2} × {camera.height // 2}" in notes[0]
    assert f"{camera.width} × {camera.height}" in notes[0]
    assert "image-size" not in {finding.code for finding in inspect_scene(scene).findings}
    manifest = lp.prepare(scene, lp.Recipe(), tmp_path / "out")
    frame = json.loads((tmp_path / "out" / manifest.attachments[0].url).read_bytes())
    for image in frame["images"]:
        assert image["scale_factor"] == 2
        assert any(image["fx"] == pytest.approx(one.fx) for one in recording.cameras)


@pytest.mark.parametrize(
    ("calibrated", "stored", "factor"),
    [
        ((1280, 720), (640, 360), 2),
        ((1920, 1080), (1280, 720), 1.5),
        ((1280, 960), (960, 720), 4 / 3),
        ((1921, 1081), (960, 541), 2),  # rounded down and up
        ((4000, 3000), (250, 188), 16),
        ((640, 480), (640, 480), None),
        ((640, 480), (1280, 960), None),  # larger: not shrunk
        ((1280, 720), (640, 480), None),  # another shape
        ((1920, 1080), (1910, 1074), None),  # cropped by a little
        ((1000, 1000), (613, 613), None),
    ],
)
def test_only_simple_fractions_of_both_sides_are_taken_for_shrinking(
    calibrated: tuple[int, int], stored: tuple[int, int], factor: float | None
) -> None:
    assert shrunk_by(calibrated, stored) == factor
