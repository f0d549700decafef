"""The options of opening: one declaration for `open_scene`, recipes and the command line."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.cli.options import OPENING, opening_flags
from lidarprep.datasets.options import OpenKeywords, OpenOptions, flag_of
from lidarprep.errors import SceneError

NAMES = [field.name for field in fields(OpenOptions)]


def test_open_scene_takes_each_option() -> None:
    assert list(OpenKeywords.__annotations__) == NAMES


def test_the_command_line_has_a_flag_for_each_option() -> None:
    # Of an annotation typer takes the first value, its "default", for the flag.
    flags = [annotation.__metadata__[0].default for name, annotation in OPENING.items() if name != "layout"]
    assert flags == [flag_of(name) for name in NAMES]
    assert {"--scene-name", "--lidar", "--camera", "--image-tolerance"} <= {flag_of(name) for name in NAMES}
    given = dict.fromkeys(OPENING) | {"scene_name": "7", "lidar": ["top"], "all_sweeps": True}
    assert OpenOptions(**opening_flags(given)) == OpenOptions(scene="7", lidars=("top",), all_sweeps=True)


def test_a_recipe_takes_each_option_and_names_an_unknown_one() -> None:
    recipe = lp.RunRecipe(scene="a", out="b", opening={"lidars": "top", "poses": "p.csv"})  # type: ignore[arg-type]
    assert recipe.opening == OpenOptions(lidars=("top",), poses=Path("p.csv"))
    with pytest.raises(lp.RecipeError, match="unknown keys lidar; known are points_frame, poses, columns, scene"):
        lp.RunRecipe(scene="a", out="b", opening={"lidar": "top"})  # type: ignore[arg-type]


def test_one_name_stands_for_a_list_of_one() -> None:
    options = OpenOptions(cameras="front", lidars=["a", "b"], poses="poses.csv")  # type: ignore[arg-type]
    assert options == OpenOptions(cameras=("front",), lidars=("a", "b"), poses=Path("poses.csv"))


def test_a_unit_without_use_is_named(tmp_path: Path) -> None:
    for k in range(2):
        np.savez(tmp_path / f"{k}.npz", positions=np.ones((3, 3)))
    scene = lp.open_scene(tmp_path, time_unit=["ms", "points=us"])
    assert "without use for this layout, and so ignored: --time-unit ms" in scene.notes
    assert scene[0].points().notes == ("--time-unit points=us is without use: the points have no times",)
    np.savez(tmp_path / "0.npz", positions=np.ones((3, 3)), timestamp_ns=np.arange(3))
    (note,) = scene[0].points().notes
    assert note == "--time-unit points=us is without use: the recording states the unit of its points' times"


def test_another_reading_of_poses_is_refused_where_there_are_none(tmp_path: Path) -> None:
    for k in range(2):
        np.save(tmp_path / f"{k}.npy", np.ones((3, 3)))
    with pytest.raises(SceneError, match="has no poses that could be read as inverted"):
        lp.open_scene(tmp_path, poses_are="inverted")


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e300, -1.0])
@pytest.mark.parametrize("name", ["image_tolerance", "max_pose_gap"])
def test_a_tolerance_that_no_recording_lasts_is_refused(name: str, seconds: float) -> None:
    with pytest.raises(SceneError, match=re.escape(f"{name} is {seconds}; it is seconds, from 0 to")):
        OpenOptions(**{name: seconds})  # type: ignore[arg-type]
    assert OpenOptions(**{name: 1e9}).image_tolerance_ns >= 0  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "expected"), [("points_frame", "ego, world"), ("frame_order", "recorded, time")])
def test_a_word_that_is_not_a_choice_is_refused(name: str, expected: str) -> None:
    with pytest.raises(SceneError, match=f"{name} is 'odd'; it is one of {expected}"):
        OpenOptions(**{name: "odd"})  # type: ignore[arg-type]
