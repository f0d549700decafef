"""The plan: which frames are processed, and the stems that their objects are named by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.prepare.plan import plan
from tests.scenes import write_toolkit_scene


def scene_of(*ids: str) -> lp.Scene:
    cloud = lp.PointCloud(np.zeros((1, 3), dtype=np.float32), "world")
    return lp.Scene("made", "made", tuple(lp.Frame(name, row, lambda: cloud) for row, name in enumerate(ids)))


def test_frames_are_selected() -> None:
    scene = scene_of(*map(str, range(10)))
    assert [task.frame.id for task in plan(scene, lp.Recipe(frames="1::2"))] == ["1", "3", "5", "7", "9"]
    only = lp.Recipe(labeling_sample_rate=4, only_labelled=True)
    assert [task.frame.id for task in plan(scene, only)] == ["0", "4", "8", "9"]
    with pytest.raises(lp.RecipeError, match="20:"):
        plan(scene, lp.Recipe(frames="20:"))


def test_a_scene_without_frames_and_ids_that_come_twice_are_refused() -> None:
    with pytest.raises(lp.SceneError, match="made has no frames"):
        plan(scene_of(), lp.Recipe())
    with pytest.raises(lp.SceneError, match="two frames with the id 'b'"):
        plan(scene_of("a", "b", "b"), lp.Recipe())


def test_a_name_that_no_json_could_hold_is_refused_before_any_work_is_done() -> None:
    with pytest.raises(lp.SceneError, match=r"'b\\udcff' is not valid UTF-8"):
        plan(scene_of("ä", "b\udcff"), lp.Recipe())


def test_stems_are_sound_and_distinct() -> None:
    tasks = plan(scene_of("a", "A", "a/b", "a_b", "..", "x" * 300), lp.Recipe())
    stems = [task.stem for task in tasks]
    assert stems[:4] == ["a", "A-2", "a_b", "a_b-2"]
    assert len({stem.lower() for stem in stems}) == len(stems)
    assert max(map(len, stems)) < 200


def test_images_have_stems_where_they_are_stored_beside_the_attachment(tmp_path: Path) -> None:
    scene = lp.open_scene(write_toolkit_scene(tmp_path / "recording", frames=1, points=5))
    front, left = scene[0].images
    linked = replace(left, path=None, url="https://images.example.com/9.jpg")
    scene = replace(scene, frames=(replace(scene[0], images=(front, front, linked)),))
    assert plan(scene, lp.Recipe())[0].image_stems == ("images/front/9", "images/front/9.1", None)
    assert plan(scene, lp.Recipe(format="sfs"))[0].image_stems == ()
