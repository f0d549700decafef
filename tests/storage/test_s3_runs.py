"""Whole runs to S3: by every flag, stopped by faults, repeated, and with what their objects are stored."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.cli import main
from tests.scenes import write_toolkit_scene
from tests.storage.conftest import BUCKET
from tests.storage.s3 import answered, head, network, requests

RUN = f"s3://{BUCKET}/run"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toolkit_scene(tmp_path_factory.mktemp("scene") / "recording", points=50, cameras=("front",))


def ended(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def keys(bucket: Any) -> set[str]:
    return {item.key.removeprefix("run/") for item in bucket.objects.all()}


def tags_of(bucket: Any, key: str) -> dict[str, str]:
    tags = bucket.meta.client.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in tags}


def test_every_flag_of_prepare_arrives(recording: Path, bucket: Any, moto: str) -> None:
    flags = ["--endpoint-url", moto, "--path-style", "--presign", "2", "--gzip", "--cache-control", "max-age=60"]
    flags += ["--sse", "aws:kms", "--kms-key", "alias/k", "--acl", "bucket-owner-full-control"]
    flags += ["--storage-class", "STANDARD_IA", "--tag", "team=maps", "--tag", "cost=a=b", "--requester-pays"]
    flags += ["--checksums", "crc32", "--give-up-after", "1"]
    assert ended("prepare", recording, "--out", RUN, *flags) == 0
    (first, *_) = sorted(key for key in keys(bucket) if key.startswith("frames/9-"))
    found = head(bucket, f"run/{first}")
    assert (found["ContentEncoding"], found["CacheControl"]) == ("gzip", "max-age=60")
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", "alias/k")
    assert (found["StorageClass"], found["ContentType"]) == ("STANDARD_IA", "application/json")
    assert tags_of(bucket, f"run/{first}") == {"team": "maps", "cost": "a=b"}
    text = bucket.Object("run/manifest.json").get()["Body"].read()
    assert b"Signature" not in text
    assert json.loads(text)["attachments"][0]["url"] == f"{RUN}/{first}"


def test_tags_of_a_recipe_file_hold_where_no_flag_is_given(
    recording: Path, tmp_path: Path, bucket: Any, moto: str
) -> None:
    recipe = tmp_path / "run.yaml"
    recipe.write_text(f"scene: {recording}\nout: {RUN}\nstorage: {{endpoint_url: '{moto}', tags: {{team: maps}}}}\n")
    assert ended("run", recipe) == 0
    assert {tuple(tags_of(bucket, f"run/{key}").items()) for key in keys(bucket)} == {(("team", "maps"),)}


@pytest.mark.parametrize("format", ["json", "protobuf", "sfs"])
def test_a_run_stores_what_a_folder_gets_with_few_requests_and_a_second_one_stores_nothing(
    recording: Path, tmp_path: Path, bucket: Any, moto: str, format: str
) -> None:
    storage, recipe = lp.StorageOptions(endpoint_url=moto), lp.Recipe(format=format)
    with network() as sent:
        manifest = lp.prepare(lp.open_scene(recording), recipe, RUN, storage=storage)
    local = lp.prepare(lp.open_scene(recording), recipe, tmp_path / "local")
    named = {record.key: record for _, record in manifest.objects()}
    assert keys(bucket) == {"manifest.json", *named}
    for key in named:
        stored = bucket.Object(f"run/{key}").get()
        data = stored["Body"].read()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (named[key].bytes, named[key].sha256)
        if not key.startswith("frames/"):  # which hold URLs
            assert (tmp_path / "local" / key).read_bytes() == data
    assert manifest.world_offset == local.world_offset
    listings = [request for request in sent if "list-type" in request.url]
    assert len(listings) <= 8
    assert len(sent) <= 2 * (2 * 3 + 3) + 22  # objects, entries, their deletion; and a fixed number
    with network() as sent:
        assert lp.prepare(lp.open_scene(recording), recipe, RUN, storage=storage) == manifest
    assert {request.method for request in sent} == {"GET"}
    assert len(sent) <= 6


def test_what_is_refused_at_the_start_ends_the_run_before_any_frame(recording: Path, bucket: Any, moto: str) -> None:
    for method, said in (("PUT", "s3:PutObject"), ("DELETE", "s3:DeleteObject"), ("GET", "s3:ListBucket")):
        with network(answered(403, "AccessDenied"), method=method) as sent, pytest.raises(lp.StorageError, match=said):
            lp.prepare(lp.open_scene(recording), lp.Recipe(), RUN, storage=lp.StorageOptions(endpoint_url=moto))
        assert not [request for request in requests(sent) if "run/frames" in request]


def test_a_run_that_fails_leaves_no_manifest_and_the_next_one_ends_it(recording: Path, bucket: Any, moto: str) -> None:
    storage = lp.StorageOptions(endpoint_url=moto)
    refuse = network(answered(400, "ExpiredToken"), method="PUT", when=lambda request: "frames/11-" in request.url)
    said = r"frames/11-.* ExpiredToken[\s\S]*run the same command again"
    with refuse, pytest.raises(lp.StorageError, match=said):
        lp.prepare(lp.open_scene(recording), lp.Recipe(), RUN, storage=storage, workers=1)
    assert "manifest.json" not in keys(bucket)
    with network() as sent:
        manifest = lp.prepare(lp.open_scene(recording), lp.Recipe(), RUN, storage=storage)
    assert not [request for request in requests(sent) if request.startswith("PUT run/frames/9-")]
    assert keys(bucket) == {"manifest.json", *(key for key, _ in manifest.objects())}
