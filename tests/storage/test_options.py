"""The options of a store: which make sense together, and how a manifest's run is gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.errors import FormatError, RecipeError
from lidarprep.storage import Manifest, StorageOptions, load_manifest
from lidarprep.storage.open import options_of
from tests.storage.conftest import BUCKET


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kms_key": "k"}, "--sse aws:kms"),
        ({"sse": "AES256", "kms_key": "k"}, "--sse aws:kms"),
        ({"sse": "rot13"}, "sse is 'rot13'"),
        ({"gzip": True}, "url_base or presign_hours"),
        ({"url_base": "https://x.example.com", "presign_hours": 1}, "exclude one another"),
        ({"url_base": "https://x.example.com/?a=b"}, "without user, password, query"),
        ({"storage_class": "GLACIER"}, "cannot be fetched"),
        ({"acl": "public-read-write"}, "acl"),
        ({"checksums": "md5"}, "checksums is 'md5'"),
        ({"tags": {"aws:x": "1"}}, "no tag"),
        ({"tags": ["x"]}, "KEY=VALUE"),
        ({"tags": ["x=1", "x=2"]}, "same key"),
        ({"tags": {str(number): "" for number in range(11)}}, "11 tags"),
        ({"give_up_after": 0}, "give_up_after"),
        ({"presign_hours": 200}, "presign_hours"),
        ({"role_arn": "writer"}, "role_arn"),
        ({"cache_control": "a\nb"}, "cache_control"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        StorageOptions(**options)


def test_options_survive_being_dumped_and_can_be_compared() -> None:
    options = StorageOptions(tags={"a": "b"})
    assert StorageOptions(**options.model_dump()) == options
    assert hash(StorageOptions(tags=["a=b"])) == hash(options)


def test_how_a_store_is_reached_is_not_recorded() -> None:
    options = StorageOptions(
        endpoint_url="https://s.example.com",
        profile="mine",
        region="eu-west-1",
        role_arn="arn:aws:iam::1:role/r",
        path_style=True,
        requester_pays=True,
        checksums="crc32",
        presign_hours=2,
        sse="aws:kms",
        kms_key="k",
        gzip=True,
    )
    assert options.shown() == {"presign_hours": 2.0, "sse": "aws:kms", "kms_key": "k", "gzip": True}
    assert StorageOptions().shown() == {}


def manifest(location: str = f"s3://{BUCKET}/run/manifest.json", **values: Any) -> Manifest:
    recipe = lp.Recipe().model_dump(mode="json")
    made = Manifest(source="drive", format="json", recipe=recipe, attachments=[], frames=[], **values)
    return made.at(location)


def test_a_run_is_gone_on_with_as_it_was_stored_and_reached_as_is_said_now() -> None:
    storage = {"gzip": True, "presign_hours": 2.0, "acl": "private", "unknown": 1}
    options = options_of(manifest(storage=storage, presign_hours=2.0), StorageOptions(endpoint_url="https://x.org"))
    assert options.shown() == {"gzip": True, "presign_hours": 2.0, "acl": "private"}
    assert options.endpoint_url == "https://x.org"
    given = StorageOptions(cache_control="no-store")
    assert options_of(manifest(storage=None), given, to_write=True) == given  # older than what is recorded


@pytest.mark.parametrize(
    ("kept", "given", "named"),
    [
        ({"acl": "public-read"}, {"acl": "private"}, "acl is 'private', and the run stored its objects with 'public"),
        ({}, {"cache_control": "no-store"}, "cache_control is 'no-store', and the run stored its objects without it"),
        ({"acl": "everybody"}, {}, "acl"),
    ],
)
def test_options_that_the_run_did_not_store_with_are_refused_where_something_is_written(
    kept: dict[str, Any], given: dict[str, Any], named: str
) -> None:
    with pytest.raises(RecipeError, match=named):
        options_of(manifest(storage=kept), StorageOptions(**given), to_write=True)
    if given:
        assert options_of(manifest(storage=kept), StorageOptions(**given)).shown() == kept


def test_a_copy_in_a_folder_is_not_stored_as_the_bucket_was() -> None:
    storage = {"gzip": True, "presign_hours": 2.0, "sse": "AES256"}
    copied = manifest("file:///copy/manifest.json", storage=storage, presign_hours=2.0)
    assert options_of(copied) == StorageOptions()


@pytest.mark.parametrize("name", ["", "/manifest.json", "/"])
def test_a_manifest_is_found_by_its_destination_or_its_own_name(bucket: Any, moto: str, name: str) -> None:
    storage = StorageOptions(endpoint_url=moto)
    with pytest.raises(FormatError, match="nothing is there"):
        load_manifest(f"s3://{BUCKET}/run{name}", storage)
    bucket.put_object(Key="run/manifest.json", Body=manifest().to_json())
    found = load_manifest(f"s3://{BUCKET}/run{name}", storage)
    assert found == manifest()


def test_a_manifest_in_a_folder_is_found_by_both_too(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(manifest().to_json())
    assert load_manifest(tmp_path).location == load_manifest(tmp_path / "manifest.json").location
    with pytest.raises(FormatError, match=r"cannot be read \(No such file"):
        load_manifest(tmp_path / "nothing")
