"""Keys that are made of a recording's names and of contents; keys that are not ours."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lidarprep.storage.keys import KeyMaker, content_key, is_content_key, is_key, stem_of

SHA = hashlib.sha256(b"x").hexdigest()
SUFFIXES = st.sampled_from([".json", ".json.gz", ".pb"])


@given(st.lists(st.text(min_size=1), unique=True, max_size=20))
def test_stems_of_different_names_differ_even_where_case_does_not_count(names: list[str]) -> None:
    maker = KeyMaker()
    stems = [maker.stem("images", name, "1") for name in names]
    assert len({stem.lower() for stem in stems}) == len(names)
    assert [maker.stem("images", name, "1") for name in names] == stems


@given(st.text(), st.text(), st.binary(), SUFFIXES, st.text(max_size=50))
def test_every_key_of_a_run_stays_inside_and_is_known_as_one(
    camera: str, name: str, data: bytes, suffix: str, image_suffix: str
) -> None:
    maker, sha256 = KeyMaker(), hashlib.sha256(data).hexdigest()
    stem, image = maker.stem(name), maker.stem("images", camera, name)
    keys = {
        content_key(f"frames/{stem}", sha256, suffix): f"frames/{stem}",
        content_key(f"kept/{stem}", sha256, ".bits.gz"): f"kept/{stem}",
        content_key(image, sha256, f".{image_suffix}" if image_suffix else ""): image,
        content_key("scene", sha256, ".sfs"): "scene",
    }
    for key, its_stem in keys.items():
        assert is_content_key(key)
        assert is_key(key)
        assert key.isascii()
        assert max(map(len, key.split("/"))) <= 255
        assert sha256[:12] in key
        assert stem_of(key) == its_stem


def test_a_stem_may_look_like_a_digest_itself() -> None:
    stem = "frames/lidar-123456789012.5"
    assert stem_of(content_key(stem, hashlib.sha256(b"").hexdigest(), ".json")) == stem


@given(st.binary(), st.binary())
def test_other_contents_have_other_keys(one: bytes, other: bytes) -> None:
    keys = {content_key("frames/1", hashlib.sha256(data).hexdigest(), ".json") for data in (one, other)}
    assert len(keys) == len({one, other})


@pytest.mark.parametrize(
    "key",
    [
        "manifest.json",
        ".lidarprep/0123456789ab.json",
        "frame-9.json",  # as lidarprep 0.1 named them
        "images/front/9.jpg",
        "frames/9-0123456789ab.txt",
        "frames/9-0123456789AB.json",
        "frames/a/9-0123456789ab.json",
        "frames/../9-0123456789ab.json",
        "images/9-0123456789ab.jpg",
        "kept/9-0123456789ab.gz",
        "scene-0123456789ab.sfs.bak",
        "x/scene-0123456789ab.sfs",
        "frames/9-0123456789ab.json\n",
    ],
)
def test_what_is_not_named_by_its_content_is_not_ours(key: str) -> None:
    assert not is_content_key(key)


def test_long_names_that_differ_at_their_end_only_stay_apart() -> None:
    stems = {KeyMaker().stem("x" * 300 + end) for end in ("a", "b")}
    assert len(stems) == 2
    assert {len(stem) for stem in stems} == {160}
