"""The command's flags, as they arrive at S3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lidarprep.cli import main
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
