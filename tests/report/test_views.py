"""Views of a scene: all points in one world, each with the fate that preparation gives it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.errors import RecipeError, SceneError
from lidarprep.report.views import Fate, SceneView

pytestmark = pytest.mark.usefixtures("without_checks")

RECIPE = lp.Recipe(
    region_of_interest_3d=lp.RegionOfInterest3D((10.0, 1.0, 0.0), 60, 30, 0.2),
    device_height=1.8,
    height_band=(-0.5, 3.0),
    voxel=0.3,
    labeling_sample_rate=2,
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> lp.Scene:
    folder = tmp_path_factory.mktemp("views") / "recording"
    lp.write_sample(folder, frames=3, columns=300, image_width=320)
    return lp.open_scene(folder)


def test_fates_are_what_prepare_counts(scene: lp.Scene, tmp_path: Path) -> None:
    manifest = lp.prepare(scene, RECIPE, tmp_path / "out")
    for view in (SceneView.of(scene, RECIPE), SceneView.of_prepared(scene, manifest)):
        for frame, record in zip(view.frames, manifest.frames, strict=True):
            counts = view.look(frame).counts()
            assert counts[Fate.KEPT] == record.points_out
            for fate in (Fate.REGION, Fate.HEIGHT, Fate.VOXEL, Fate.NO_RETURN, Fate.NOT_FINITE):
                assert counts.get(fate, 0) == getattr(record.dropped, fate.name.lower()), fate
        assert view.labelled == [True, False, True]


def test_bad_points_have_fates_of_their_own(scene: lp.Scene) -> None:
    points = scene[0].points()
    positions = points.positions.copy()
    positions[:3] = np.array([np.nan, np.inf, 0.0])[:, None]
    positions[1, 0] = 1.0  # one coordinate is enough
    bad = replace(scene, frames=(scene[0].with_data(replace(points, positions=positions)),))
    fate = SceneView.of(bad).look(bad[0]).fate
    assert fate[:3].tolist() == [Fate.NOT_FINITE, Fate.NOT_FINITE, Fate.NO_RETURN]
    assert not fate[3:].any()


def test_what_was_stored_is_seen_as_the_recording_is(scene: lp.Scene, tmp_path: Path) -> None:
    far = replace(
        scene,
        frames=tuple(
            replace(frame, world_from_ego=frame.world_from_ego.translated((300_000.0, 0.0, 0.0)), images=())
            for frame in scene
            if frame.world_from_ego is not None
        ),
    )
    recipe = replace_region(RECIPE, 300_010.0)
    manifest = lp.prepare(far, recipe, tmp_path / "out")
    assert manifest.world_offset[0] == 300_000.0
    recorded, stored = SceneView.of(far, recipe), SceneView.of(manifest)
    assert stored.region == recorded.region
    assert recorded.region is not None
    assert recorded.region.position[0] == 10.0
    assert stored.band == recorded.band
    for one, other in zip(recorded.frames, stored.frames, strict=True):
        before, after = recorded.look(one), stored.look(other)
        np.testing.assert_allclose(before.take(before.fate == Fate.KEPT).positions, after.positions, atol=1e-4)
        assert set(after.counts()) == {Fate.KEPT}
        assert before.world_from_ego is not None
        assert after.world_from_ego is not None
        assert before.world_from_ego.almost_equals(after.world_from_ego, 1e-6)
    np.testing.assert_allclose(recorded.path(), stored.path(), atol=1e-6)


def replace_region(recipe: lp.Recipe, x: float) -> lp.Recipe:
    region = lp.RegionOfInterest3D((x, 1.0, 0.0), 60, 30, 0.2)
    return recipe.model_copy(update={"region_of_interest_3d": region})


def test_frames_without_poses_are_seen_from_the_device(scene: lp.Scene) -> None:
    blind = replace(scene, frames=tuple(replace(frame, world_from_ego=None) for frame in scene))
    view = SceneView.of(blind)
    assert not view.has_poses
    np.testing.assert_array_equal(view.look(blind[1]).positions, scene[1].points().positions)


def test_intensities_of_no_known_scale_are_drawn_all_the_same(scene: lp.Scene) -> None:
    frames = tuple(
        frame.with_data(replace(points, intensity=np.linspace(-3.0, 90.0, len(points), dtype=np.float32)))
        for frame in scene
        for points in (frame.points(),)
    )
    view = SceneView.of(replace(scene, frames=frames))
    assert view.intensity_is_guessed
    intensity = view.look(view.frames[0]).intensity
    assert intensity is not None
    assert (intensity.min(), intensity.max()) == (0.0, 1.0)


def test_a_scene_without_frames_is_refused(scene: lp.Scene) -> None:
    with pytest.raises(SceneError, match="has no frames"):
        SceneView.of(replace(scene, frames=()))


def test_two_frames_of_one_id_are_refused(scene: lp.Scene) -> None:
    twins = replace(scene, frames=(scene[0], replace(scene[1], id=scene[0].id)))
    with pytest.raises(SceneError, match="two frames with the id '0'"):
        SceneView.of(twins)


def test_nothing_that_the_scene_is_read_from_is_replaced(scene: lp.Scene, tmp_path: Path) -> None:
    manifest = lp.prepare(scene, lp.Recipe(), tmp_path / "out")
    for source, target in (
        (scene, Path(scene.source) / "pointcloud" / "0.ply"),
        (manifest, tmp_path / "out" / "manifest.json"),
        (manifest, next((tmp_path / "out" / "frames").iterdir())),
    ):
        before = target.read_bytes()
        with pytest.raises(RecipeError, match="is part of the recording itself"):
            lp.write_report(source, target, findings=[])
        assert target.read_bytes() == before
