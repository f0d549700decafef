"""The device's height as the points show it: --device-height auto, and what a crop leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.checks import SceneSamples, ground_under
from lidarprep.errors import FindingsError
from lidarprep.recipe import TaskRecipe
from lidarprep.submit import check_task, unique_id_of
from tests.checks.rigs import at, scene_of
from tests.checks.test_ground import road
from tests.scenes import write_toolkit_scene

FRAMES = 3


@pytest.fixture(scope="module")
def scene() -> lp.Scene:
    rng = np.random.default_rng(8)
    posts = rng.uniform((-20, -20, -1.5), (20, 20, 12), (2000, 3))
    return scene_of(
        [np.concatenate((road(rng, 1.5), posts - [2.0 * row, 0, 0])) for row in range(FRAMES)],
        [at(2.0 * row) for row in range(FRAMES)],
    )


def test_auto_takes_what_the_points_show_and_says_it(scene: lp.Scene, tmp_path: Path) -> None:
    manifest = lp.prepare(scene, lp.Recipe(device_height="auto", drop_intensity=True), tmp_path / "auto")
    assert manifest.recipe["device_height"] == "auto"
    assert manifest.settings is not None
    height = manifest.settings.device_height
    assert height == pytest.approx(1.5, abs=0.03)
    proposed = ground_under(SceneSamples(scene).usual)
    assert proposed is not None
    assert height == proposed.device_height
    (note,) = [note for note in manifest.notes if "above the ground" in note]
    assert f"taken to be {height:g} m above the ground" in note
    assert "in 3 of 3 frames" in note
    for frame, record in zip(scene, manifest.frames, strict=True):
        above_ground = frame.points().positions[:, 2] + height
        assert record.points_out == int(((above_ground >= -1) & (above_ground <= 8)).sum())
    assert not [one for one in manifest.findings if one.code == "device-height"]
    again = lp.prepare(scene, lp.Recipe(device_height=height, drop_intensity=True), tmp_path / "said")
    assert [one.sha256 for one in again.attachments] == [one.sha256 for one in manifest.attachments]


def test_the_estimate_is_part_of_what_a_frame_depends_on(tmp_path: Path) -> None:
    from lidarprep.prepare.fingerprint import RunIdentity
    from lidarprep.prepare.plan import plan
    from lidarprep.storage.manifest import SettingsRecord
    from lidarprep.storage.options import StorageOptions

    scene = lp.open_scene(write_toolkit_scene(tmp_path / "recording"))
    recipe = lp.Recipe(device_height="auto")
    identity = RunIdentity.of(scene, recipe, StorageOptions(), plan(scene, recipe))
    digests = {identity.of_frame("9", SettingsRecord(device_height=height)) for height in (1.5, 1.6)}
    assert len(digests) == 2
    assert None not in digests


def test_what_cannot_be_estimated_is_one_clear_error(tmp_path: Path) -> None:
    scene = lp.open_scene(write_toolkit_scene(tmp_path / "recording"))  # points all over
    with pytest.raises(lp.RecipeError, match=r"cannot be estimated: 3 frames were looked at") as refused:
        lp.prepare(scene, lp.Recipe(device_height="auto"), tmp_path / "out")
    assert "--device-height M" in (refused.value.fix or "")
    under = scene_of([road(np.random.default_rng(0), -1.0)], [at(0.0)])
    with pytest.raises(lp.RecipeError, match=r"the ground is 1\.00 m above it in 1 of 1 frames"):
        lp.prepare(under, lp.Recipe(device_height="auto", drop_intensity=True), tmp_path / "under")


def test_a_topdown_task_has_the_estimate(scene: lp.Scene, tmp_path: Path) -> None:
    task = {
        "project": "p",
        "callback_url": "https://example.com/c",
        "geometries": {"line": {"objects_to_annotate": ["kerb"]}},
    }
    task["region_of_interest_3d"] = {"position": {"x": 0, "y": 0, "z": 0}, "length": 9, "width": 9, "rotation": 0}
    auto = lp.Recipe(device_height="auto", drop_intensity=True)
    check_task(auto, TaskRecipe(type="lidartopdown", params=task))  # before anything is estimated
    manifest = lp.prepare(scene, auto, tmp_path / "out")
    assert manifest.settings is not None
    said = lp.Recipe(device_height=manifest.settings.device_height, drop_intensity=True)
    same = manifest.model_copy(update={"recipe": said.model_dump(mode="json")})
    other = manifest.model_copy(
        update={"recipe": said.model_copy(update={"device_height": 4.0}).model_dump(mode="json")}
    )
    ids = [unique_id_of(one, "lidartopdown", task) for one in (manifest, same, other)]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("value", [True, "high", "1,8", "1.8m", -1, float("nan"), float("inf"), [1]])
def test_a_height_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(lp.RecipeError, match=r"device_height is .*: must be"):
        lp.Recipe(device_height=value)


def test_a_height_may_be_written_as_text() -> None:
    assert lp.Recipe(device_height="1.8").device_height == 1.8
    assert lp.Recipe(device_height=2).device_height == 2.0
    assert lp.Recipe(device_height="auto", height_band=(0, 3)).device_height == "auto"


def test_a_region_and_a_band_that_keep_next_to_nothing_are_findings(scene: lp.Scene, tmp_path: Path) -> None:
    region = lp.RegionOfInterest3D((49.0, 0.0, 0.0), 60, 60)
    manifest = lp.prepare(
        scene, lp.Recipe(region_of_interest_3d=region, drop_intensity=True), tmp_path / "off", workers=1
    )
    codes = {one.code for one in manifest.findings}
    assert {"region-off-path", "little-kept"} <= codes
    assert "points-in-world" not in codes
    sound = lp.RegionOfInterest3D((2.0, 0.0, 0.0), 60, 60)
    recipe = lp.Recipe(region_of_interest_3d=sound, device_height=1.5, drop_intensity=True, strict=True)
    assert lp.prepare(scene, recipe, tmp_path / "on").findings == []
    with pytest.raises(FindingsError, match="would ruin a task"):
        lp.prepare(scene, lp.Recipe(device_height=0.2, drop_intensity=True), tmp_path / "low")
    kept = lp.prepare(
        scene, lp.Recipe(device_height=0.2, drop_intensity=True, accept=("device-height",)), tmp_path / "accepted"
    )
    assert kept.accepted == ["device-height"]
