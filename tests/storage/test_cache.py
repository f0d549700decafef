"""The frame cache: a finished frame is found in the manifest or in an entry, and only with all of its objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lidarprep.storage import StorageOptions, Store, open_store
from lidarprep.storage.cache import FrameCache, entry_key, listed, missing_keys, put_entry
from lidarprep.storage.manifest import FrameResult
from tests.storage.s3 import network, opened, put, requests
from tests.storage.test_manifest import manifest

RESULTS = manifest().results()
PRINTS = ["print-a", "print-s", "print-b"]
OBJECTS = {"frames/a-0.json": b"aaa", "frames/b-0.json": b"bbb", "images/x/b-0.jpg": b"xx", "kept/b-0.bits.gz": b"k"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """All objects, and an entry for each frame."""
    made = open_store(str(tmp_path / "out"), StorageOptions())
    fill(made)
    return made


def fill(store: Store) -> None:
    for key, data in OBJECTS.items():
        put(store, key, data)
    for fingerprint, result in zip(PRINTS, RESULTS, strict=True):
        put_entry(store, fingerprint, result)


def found(store: Store, **options: Any) -> list[str]:
    return list(FrameCache(store, None, **options).lookup(["never", None, *PRINTS]))


def test_results_are_found_in_entries_and_before_them_in_the_manifest(store: Store) -> None:
    assert FrameCache(store, None).lookup(PRINTS) == dict(zip(PRINTS, RESULTS, strict=True))
    store.delete([entry_key(name) for name in PRINTS])
    assert found(store) == []
    assert FrameCache(store, manifest()).lookup(PRINTS) == dict(zip(PRINTS, RESULTS, strict=True))


@pytest.mark.parametrize("key", OBJECTS)
def test_a_result_with_a_missing_object_or_one_of_another_size_does_not_count(store: Store, key: str) -> None:
    left = ["print-s", "print-b" if "a-0" in key else "print-a"]
    for change in (lambda: put(store, key, b"longer"), lambda: store.delete([key])):
        change()
        assert sorted(found(store)) == sorted(left)
        assert sorted(FrameCache(store, manifest()).lookup(PRINTS)) == sorted(left)


def test_a_result_with_a_distrusted_object_does_not_count(store: Store) -> None:
    assert sorted(found(store, distrusted=["images/x/b-0.jpg", "unknown"])) == ["print-a", "print-s"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\0\0", b"\xff"])
def test_a_damaged_entry_is_passed_over(store: Store, data: bytes) -> None:
    put(store, entry_key("print-a"), data)
    assert sorted(found(store)) == ["print-b", "print-s"]


@pytest.mark.parametrize("data", [b"{}", b'{"frame": {"id": 1}}', b'{"offset": [1, 2, 3]}'])
def test_an_entry_without_a_frame_is_damaged_too(store: Store, data: bytes) -> None:
    put(store, entry_key("print-a"), data)
    assert sorted(found(store)) == ["print-b", "print-s"]


def test_entries_that_a_manifest_names_are_dropped_and_those_of_other_runs_stay(store: Store) -> None:
    put_entry(store, "theirs", FrameResult(frame=RESULTS[0].frame))
    FrameCache(store, None).drop([*PRINTS, None, "never"])
    assert list(store.sizes(".lidarprep/")) == [entry_key("theirs")]


def test_what_is_stored_compressed_is_compared_by_its_stored_size(store: Store) -> None:
    record = manifest().attachments[0]
    assert missing_keys(store, [record]) == set()
    assert missing_keys(store, [record.model_copy(update={"stored_bytes": 2})]) == {record.key}
    assert missing_keys(store, [record.model_copy(update={"bytes": 100, "stored_bytes": 3})]) == set()


def test_of_a_bucket_full_of_others_objects_only_what_begins_like_ours_is_listed(bucket: Any) -> None:
    store = opened(prefix="")
    fill(store)
    bucket.put_object(Key="recordings/1.bag", Body=b"x")
    with network() as sent:
        assert sorted(found(store)) == sorted(PRINTS)
        assert "recordings/1.bag" not in listed(store, ["scene-0.sfs", "frame-3.json"])
    prefixes = [request.url.partition("prefix=")[2].partition("&")[0] for request in sent if "list-type" in request.url]
    assert prefixes == [".lidarprep%2F", "frames%2F", "images%2F", "kept%2F", "frame", "scene"]
    assert len(requests(sent)) == len(prefixes) + 3  # the entries
