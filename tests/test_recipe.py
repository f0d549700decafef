"""Recipes as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

import lidarprep as lp


def test_a_slice_in_yaml_is_no_number_of_base_60(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("frames: 1:50\ndevice_height: 1.8\nlabeling_sample_rate: 10\n")
    recipe = lp.Recipe.from_yaml(tmp_path / "recipe.yaml")
    assert (recipe.frames, recipe.device_height, recipe.labeling_sample_rate) == ("1:50", 1.8, 10)


def test_a_region_may_name_its_position_as_the_api_does() -> None:
    written = {"position": {"x": 1, "y": 2, "z": 3}, "length": 4, "width": 5, "rotation": 0.5}
    assert lp.Recipe(region_of_interest_3d=written).region_of_interest_3d == lp.RegionOfInterest3D((1, 2, 3), 4, 5, 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "is a mapping"),
        ("a: [\n", "is not YAML"),
        ("device_height: true\n", "must be a number"),
        ("height_band: [-.inf, 8]\ndevice_height: 1\n", "finite"),
        ("region_of_interest_3d: {position: [0, 0, 0], length: 1, width: 1, wdith: 1}\n", "did you mean 'width'"),
        ("frames: 3\n", "frames is 3"),
    ],
)
def test_what_makes_no_sense_is_one_error_that_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(lp.RecipeError, match=message) as refused:
        lp.Recipe.from_yaml(tmp_path / "recipe.yaml")
    assert str(refused.value).startswith(str(tmp_path / "recipe.yaml"))
