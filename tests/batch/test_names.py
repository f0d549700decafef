"""Scenes are named by as little of their recordings' paths as tells them apart."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lidarprep as lp
from lidarprep.batch.names import require_name, shortest_names


@pytest.mark.parametrize(
    ("recordings", "names"),
    [
        (["/data/a.mcap", "/data/b.mcap"], ["a", "b"]),
        (["s3://b/2026/a/scene.mcap", "s3://b/2026/b/scene.mcap", "s3://b/other"], ["a-scene", "b-scene", "other"]),
        (["/data/a.mcap", "/data/a.bag"], ["a.mcap", "a.bag"]),
        (["/data/2026.03.01", "/data/2026.03.02"], ["2026.03.01", "2026.03.02"]),
        (["/data/my drive (1)"], ["my_drive_1_"]),
        (["https://host/x/a.las", "https://host/y/A.las"], ["x-a", "y-A"]),
        (["/data/drive.bag.zst/"], ["drive"]),
    ],
)
def test_names_are_the_shortest_that_tell_recordings_apart(recordings: list[str], names: list[str]) -> None:
    assert shortest_names(recordings) == names


def test_a_recording_that_is_listed_twice_is_refused() -> None:
    with pytest.raises(lp.RecipeError, match="/data/a is listed twice") as error:
        shortest_names(["/data/a", "/data/b", "/data/../data/a"])
    assert "a name" in str(error.value.fix)


PARTS = st.sampled_from(["a", "B", "b", "scene.mcap", "scene.bag", "scène", "x y", "2026.01", "_", "-"])


@given(st.lists(st.lists(PARTS, min_size=1, max_size=4).map(tuple), min_size=1, max_size=8, unique=True))
def test_names_are_distinct_and_safe_whatever_the_paths(paths: list[tuple[str, ...]]) -> None:
    # Paths that differ only in case, or in what keys should not have, cannot be told apart.
    if len({re.sub("[^a-z0-9.]", "", "".join(path).lower()) for path in paths}) < len(paths):
        return
    names = shortest_names(["s3://bucket/" + "/".join(path) for path in paths])
    assert len({name.lower() for name in names}) == len(names)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
        assert require_name(name) == name


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "ä", "-a", "x" * 300])
def test_a_name_that_keys_should_not_have_is_refused(name: str) -> None:
    with pytest.raises(lp.RecipeError, match="characters"):
        require_name(name)
