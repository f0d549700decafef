"""A scene is named by the path or pattern that lists its recording, and by nothing else of the list."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lidarprep as lp
from lidarprep.batch.names import name_of, name_of_match, require_name


@pytest.mark.parametrize(
    ("recording", "name"),
    [
        ("/data/a.mcap", "a"),
        ("s3://b/2026/a/scene.mcap", "scene"),
        ("/data/2026.03.01", "2026.03.01"),
        ("/data/my drive (1)", "my_drive_1_"),
        ("https://host/x/A.las", "A"),
        ("/data/drive.bag.zst/", "drive"),
        ("s3://bucket", "bucket"),
    ],
)
def test_a_recording_that_is_listed_alone_has_the_name_of_its_last_part(recording: str, name: str) -> None:
    assert name_of(recording) == name


@pytest.mark.parametrize(
    ("pattern", "recording", "name"),
    [
        ("drives/*", "drives/a.mcap", "a"),
        ("drives/*/*.mcap", "drives/mon/drive_1.mcap", "mon-drive_1"),
        ("s3://b/drives/2026-*/scene/", "s3://b/drives/2026-03/scene", "2026-03-scene"),
        ("./[ab]/x", "a/x", "a-x"),
        ("/*", "/data", "data"),
    ],
)
def test_a_match_has_all_parts_from_the_first_wildcard_on_in_its_name(pattern: str, recording: str, name: str) -> None:
    assert name_of_match(pattern, recording) == name


PARTS = st.sampled_from(["a", "B", "scene.mcap", "scene.bag", "scène", "x y", "2026.01", "_", "-"])


@given(st.lists(PARTS, min_size=1, max_size=4))
def test_names_are_safe_whatever_the_path(parts: list[str]) -> None:
    path = "s3://bucket/" + "/".join(parts)
    for name in (name_of(path), name_of_match("s3://bucket/" + "/".join("*" * len(parts)), path)):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
        assert require_name(name) == name


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "ä", "-a", "x" * 300])
def test_a_name_that_keys_should_not_have_is_refused(name: str) -> None:
    with pytest.raises(lp.RecipeError, match="characters"):
        require_name(name)
