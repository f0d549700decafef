"""The settings of a scene: what is estimated of a few frames for all of them, and what is read for that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.scene_settings import SceneSettings, steps_of
from tests.prepare.runs import counted, positions_of, read
from tests.scenes import write_json, write_toolkit_scene


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "recording", points=50)


def test_what_was_guessed_is_said(folder: Path, tmp_path: Path) -> None:
    manifest = lp.prepare(lp.open_scene(folder), lp.Recipe(), tmp_path / "out")
    assert any(note.startswith("opened as toolkit") for note in manifest.notes)
    assert any(note.startswith("intensity 255 is taken as 1") for note in manifest.notes)
    assert manifest.settings is not None
    assert manifest.settings.intensity_scale == 255
    assert manifest.settings.offset == manifest.world_offset == (0, 0, 0)


@pytest.mark.usefixtures("without_checks")
@pytest.mark.parametrize(
    "recipe", [{}, {"intensity_scale": 255}, {"drop_intensity": True}, {"frames": "1:", "drop_intensity": True}]
)
def test_no_frame_is_read_twice(folder: Path, tmp_path: Path, recipe: dict[str, Any]) -> None:
    """Whether it is looked at for the scale of its intensities, or by the checks alone."""
    lp.prepare(counted(lp.open_scene(folder)), lp.Recipe(**recipe), tmp_path / "out")
    assert sorted(read) == (["10", "11"] if "frames" in recipe else ["10", "11", "9"])


def test_points_that_were_read_are_not_held_where_their_frame_is_not_prepared(folder: Path) -> None:
    scene = lp.open_scene(folder).with_points_in("world")  # whose offset the first frame tells
    settings = SceneSettings.estimate(scene, lp.Recipe(frames="1:"), scene.frames[1:])
    assert sorted(settings.points) == ["10", "11"]


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
    for xyz, attachment in zip(world, manifest.attachments, strict=True):
        kept = xyz[(np.abs(xyz[:, :2] - utm[:2]) <= 30).all(axis=1)]
        found = positions_of(tmp_path / "out", attachment) + manifest.world_offset
        np.testing.assert_allclose(found, kept, atol=1e-5)
    still = lp.prepare(
        lp.open_scene(folder, points_frame="world"), lp.Recipe(recentre=False, points_frame="world"), tmp_path / "still"
    )
    assert still.world_offset == (0, 0, 0)


def test_the_offset_of_a_scene_does_not_depend_on_what_is_prepared_of_it(tmp_path: Path) -> None:
    folder = write_toolkit_scene(tmp_path / "recording", frames=6, points=20, cameras=())
    for n in range(9, 15):
        write_json(folder / f"poses/{n}.json", {"heading": [1, 0, 0, 0], "position": [400_000.0 + 300 * n, 5e6, 0]})
    scene = lp.open_scene(folder)
    offsets = {
        lp.prepare(scene, lp.Recipe(frames=frames), tmp_path / str(run)).world_offset
        for run, frames in enumerate((None, ":1", "4:"))
    }
    assert len(offsets) == 1
    assert offsets != {(0.0, 0.0, 0.0)}


def test_a_single_file_of_far_coordinates_is_shifted_whatever_its_frame_is_called(tmp_path: Path) -> None:
    utm = np.array([400_000.0, 5_000_000.0, 100.0]) + np.random.default_rng(0).uniform(0, 40, (50, 3))
    np.save(tmp_path / "utm.npy", utm)
    for points_frame in ("ego", "world"):
        out = tmp_path / points_frame
        manifest = lp.prepare(lp.open_scene(tmp_path / "utm.npy", points_frame=points_frame), lp.Recipe(), out)
        found = positions_of(out, manifest.attachments[0])
        assert np.abs(found).max() < 200
        np.testing.assert_allclose(found + manifest.world_offset, utm, atol=1e-5)
    assert b'"device_position":{"x":0' in (out / manifest.attachments[0].url).read_bytes()  # not known: not far away


def test_frames_without_poses_ask_for_one(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    for n in range(2):
        np.save(folder / f"{n}.npy", np.zeros((3, 3), dtype=np.float32))
    with pytest.raises(lp.SceneError, match="--points-frame world"):
        lp.prepare(lp.open_scene(folder), lp.Recipe(), tmp_path / "out")


@pytest.mark.usefixtures("without_checks")
def test_a_bad_frame_is_read_for_the_settings_no_more_than_once(tmp_path: Path) -> None:
    """The sample frames are 9, 12 and 14; for 12, 11 is read, the nearest that can be."""
    scene = lp.open_scene(write_toolkit_scene(tmp_path / "recording", frames=6, points=50, cameras=()))

    def bad(frame: lp.Frame) -> lp.Frame:
        def read_points() -> lp.PointCloud:
            raise lp.FormatError(f"{frame.id}.ply", found="bad")

        return replace(frame, read_points=read_points) if frame.id in ("9", "10", "12") else frame

    scene = counted(replace(scene, frames=tuple(map(bad, scene.frames))))
    manifest = lp.prepare(scene, lp.Recipe(skip_bad_frames=True), tmp_path / "out", workers=1)
    assert [frame.id for frame in manifest.frames] == ["11", "13", "14"]
    times = {frame_id: read.count(frame_id) for frame_id in set(read)}
    assert times == {**dict.fromkeys(("9", "10", "12"), 2), **dict.fromkeys(("11", "13", "14"), 1)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"points_frame": "world"}, "are in the world"),
        ({"motion_compensated": True}, "motion-compensated already"),
        ({}, "no pose with a time"),
    ],
)
def test_deskewing_is_refused_where_there_is_nothing_to_deskew_or_by(
    folder: Path, change: dict[str, Any], said: str
) -> None:
    scene = replace(lp.open_scene(folder), **change)
    recipe = lp.Recipe(deskew=True)
    with pytest.raises(lp.RecipeError, match=said):
        steps_of(scene, recipe, SceneSettings.estimate(scene, recipe, scene.frames).record)
