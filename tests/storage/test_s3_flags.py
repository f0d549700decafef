"""The options of S3: as flags that arrive there, and which of them make no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.cli import main
from lidarprep.errors import RecipeError
from lidarprep.storage import open_store
from tests.scenes import write_toolkit_scene
from tests.storage.conftest import BUCKET


def ended(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def test_every_flag_of_prepare_arrives(tmp_path: Path, bucket: Any, moto: str) -> None:
    recording = write_toolkit_scene(tmp_path / "recording")
    flags = ["--endpoint-url", moto, "--path-style", "--presign", "2", "--gzip", "--cache-control", "max-age=60"]
    flags += ["--sse", "aws:kms", "--kms-key", "alias/k", "--acl", "bucket-owner-full-control"]
    flags += ["--storage-class", "STANDARD_IA", "--tag", "team=maps", "--tag", "cost=a=b", "--requester-pays"]
    flags += ["--checksums", "crc32", "--give-up-after", "1"]
    assert ended("prepare", recording, "--out", f"s3://{BUCKET}/run", *flags) == 0
    client = bucket.meta.client
    found = client.head_object(Bucket=BUCKET, Key="run/frame-9.json", ChecksumMode="ENABLED")
    assert (found["ContentEncoding"], found["CacheControl"]) == ("gzip", "max-age=60")
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", "alias/k")
    assert found["StorageClass"] == "STANDARD_IA"
    tags = client.get_object_tagging(Bucket=BUCKET, Key="run/frame-9.json")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "maps", "cost": "a=b"}
    assert ended("verify", f"s3://{BUCKET}/run", "--endpoint-url", moto) == 0


def test_tags_of_a_recipe_file_stand_where_no_flag_is_given(tmp_path: Path, bucket: Any, moto: str) -> None:
    recording = write_toolkit_scene(tmp_path / "recording")
    recipe = tmp_path / "run.yaml"
    recipe.write_text(
        f"scene: {recording}\nout: s3://{BUCKET}/run\nstorage: {{endpoint_url: '{moto}', tags: {{team: maps}}}}\n"
    )
    assert ended("run", recipe) == 0
    tags = bucket.meta.client.get_object_tagging(Bucket=BUCKET, Key="run/frame-9.json")["TagSet"]
    assert tags == [{"Key": "team", "Value": "maps"}]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--sse", "rot13"], "sse is 'rot13'"),
        (["--tag", "team"], "KEY=VALUE"),
        (["--gzip"], "presign_hours"),
        (["--checksums", "md5"], "checksums is 'md5'"),
    ],
)
def test_flags_that_make_no_sense_are_refused_before_any_work(
    tmp_path: Path, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended("prepare", tmp_path, "--out", "s3://no-such-bucket/x", *flags) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_local_folder_cannot_heed_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording = write_toolkit_scene(tmp_path / "recording")
    assert ended("prepare", recording, "--out", tmp_path / "out", "--sse", "AES256") == 2
    assert "sse: that is for s3://bucket/prefix" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_what_a_local_folder_cannot_heed_is_refused(tmp_path: Any) -> None:
    with pytest.raises(RecipeError, match=r"sse, tags: that is for s3://bucket/prefix"):
        open_store(str(tmp_path), **lp.StorageOptions(sse="AES256", tags={"a": "b"}).model_dump())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kms_key": "k"}, "--sse aws:kms"),
        ({"sse": "AES256", "kms_key": "k"}, "--sse aws:kms"),
        ({"gzip": True}, "url_base or presign_hours"),
        ({"storage_class": "GLACIER"}, "cannot be fetched"),
        ({"acl": "public-read-write"}, "acl"),
        ({"tags": {"aws:x": "1"}}, "no tag"),
        ({"tags": ["x"]}, "KEY=VALUE"),
        ({"tags": ["x=1", "x=2"]}, "same key"),
        ({"tags": {str(number): "" for number in range(11)}}, "11 tags"),
        ({"give_up_after": 0}, "give_up_after"),
        ({"role_arn": "writer"}, "role_arn"),
        ({"cache_control": "a\nb"}, "cache_control"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        lp.StorageOptions(**options)


def test_storage_options_survive_being_dumped_and_can_be_compared() -> None:
    options = lp.StorageOptions(tags={"a": "b"})
    assert lp.StorageOptions(**options.model_dump()) == options
    assert hash(lp.StorageOptions(tags=["a=b"])) == hash(options)
