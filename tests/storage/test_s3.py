"""S3, against moto's server on loopback."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import boto3
import pytest
from lidarprep.submission import fetch_urls
from moto.server import ThreadedMotoServer

import lidarprep as lp
from lidarprep.sandbox import running_sandbox
from lidarprep.storage import open_store
from tests.scenes import write_toolkit_scene

BUCKET = "scenes"
TASK = {"labels": ["car"], "project": "street", "callback_url": "https://example.com/callback"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint: str) -> Any:
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket=BUCKET)
    yield client
    for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=item["Key"])
    client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def scene(tmp_path: Path) -> lp.Scene:
    return lp.open_scene(write_toolkit_scene(tmp_path / "recording"))


def keys(s3: Any) -> set[str]:
    return {item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}


@pytest.mark.parametrize(("format", "suffix"), [("json", "json"), ("protobuf", "pb")])
def test_a_run_to_s3_then_a_submit_then_get_task(
    scene: lp.Scene, s3: Any, endpoint: str, format: str, suffix: str
) -> None:
    storage = lp.StorageOptions(endpoint_url=endpoint)
    manifest = lp.prepare(scene, lp.Recipe(format=format), f"s3://{BUCKET}/runs/1", storage=storage)
    assert manifest.urls == [f"s3://{BUCKET}/runs/1/frame-{n}.{suffix}" for n in (9, 10, 11)]
    for record in (*manifest.attachments, *manifest.images):
        stored = s3.get_object(Bucket=BUCKET, Key=record.url.removeprefix(f"s3://{BUCKET}/"))["Body"].read()
        assert hashlib.sha256(stored).hexdigest() == record.sha256
        assert len(stored) == record.bytes
    loaded = lp.load_manifest(f"s3://{BUCKET}/runs/1/manifest.json", storage)
    with running_sandbox() as sandbox, lp.ScaleClient(api_key="test_key", api_url=sandbox.url) as client:
        made = lp.submit(loaded, "lidarannotation", TASK, client, storage=storage)
        task = client.get_task(made.id)
    assert task.params["attachments"] == manifest.urls
    assert task.params["attachment_type"] == format


def test_a_scene_to_s3_is_sent_from_a_file_and_becomes_a_multistage_task(
    tmp_path: Path, s3: Any, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spool"))
    (tmp_path / "spool").mkdir()
    # Larger than 8 MB, from where on the parts go one by one.
    recording = write_toolkit_scene(tmp_path / "recording", frames=4, points=200_000)
    storage = lp.StorageOptions(endpoint_url=endpoint)
    manifest = lp.prepare(lp.open_scene(recording), lp.Recipe(format="sfs"), f"s3://{BUCKET}/runs/1", storage=storage)
    assert manifest.urls == [f"s3://{BUCKET}/runs/1/scene.sfs"]
    assert keys(s3) == {"runs/1/scene.sfs", "runs/1/manifest.json"}
    answer = s3.get_object(Bucket=BUCKET, Key="runs/1/scene.sfs")
    assert answer["ContentType"] == "application/octet-stream"
    stored = answer["Body"].read()
    (record,) = manifest.attachments
    assert (record.bytes, record.sha256) == (len(stored), hashlib.sha256(stored).hexdigest())
    assert record.bytes > 8 * 2**20
    assert record.frames == ["9", "10", "11", "12"]
    local = lp.prepare(lp.open_scene(recording), lp.Recipe(format="sfs"), tmp_path / "local")
    assert local.attachments[0].sha256 == record.sha256
    assert list((tmp_path / "spool").iterdir()) == []
    with running_sandbox() as sandbox, lp.ScaleClient(api_key="test_key", api_url=sandbox.url) as client:
        made = lp.submit(
            manifest, "multistage", {k: v for k, v in TASK.items() if k != "labels"}, client, storage=storage
        )
        task = client.get_task(made.id)
    assert task.params["attachments"] == manifest.urls
    assert task.params["scene_format"] == "sensor_fusion"


def test_a_scene_that_cannot_be_sent_is_one_clear_error_and_leaves_nothing(
    scene: lp.Scene, s3: Any, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"s3://{BUCKET}", endpoint_url=endpoint)
    with store.spool("scene.sfs") as file:
        file.write(b"x" * 20_000_000)  # in parts
        s3.delete_bucket(Bucket=BUCKET)
        with pytest.raises(lp.StorageError, match=r"cannot take scene\.sfs: NoSuchBucket[\s\S]*no such bucket"):
            store.put_file("scene.sfs", file, "application/octet-stream")
    s3.create_bucket(Bucket=BUCKET)


def test_a_run_of_a_scene_that_fails_leaves_nothing_in_the_bucket(tmp_path: Path, s3: Any, endpoint: str) -> None:
    folder = write_toolkit_scene(tmp_path / "broken")
    (folder / "pointcloud/11.ply").write_bytes(b"no ply")
    with pytest.raises(lp.FormatError):
        lp.prepare(
            lp.open_scene(folder),
            lp.Recipe(intensity_scale=255, format="sfs"),
            f"s3://{BUCKET}/x",
            storage=lp.StorageOptions(endpoint_url=endpoint),
        )
    assert keys(s3) == set()


def test_content_types_are_set(scene: lp.Scene, s3: Any, endpoint: str) -> None:
    lp.prepare(scene, lp.Recipe(), f"s3://{BUCKET}", storage=lp.StorageOptions(endpoint_url=endpoint))
    types = {key: s3.head_object(Bucket=BUCKET, Key=key)["ContentType"] for key in keys(s3)}
    assert types["frame-9.json"] == types["manifest.json"] == "application/json"
    assert types["images/front/9.jpg"] == "image/jpeg"


def test_a_bucket_that_is_not_there_is_one_clear_error(scene: lp.Scene, endpoint: str) -> None:
    with pytest.raises(lp.StorageError, match=r"s3://no-such-bucket cannot be reached[\s\S]*no such bucket"):
        lp.prepare(scene, lp.Recipe(), "s3://no-such-bucket/x", storage=lp.StorageOptions(endpoint_url=endpoint))


def test_a_failed_run_leaves_nothing_in_the_bucket(tmp_path: Path, s3: Any, endpoint: str) -> None:
    folder = write_toolkit_scene(tmp_path / "broken")
    (folder / "pointcloud/11.ply").write_bytes(b"no ply")
    with pytest.raises(lp.FormatError):
        lp.prepare(
            lp.open_scene(folder),
            lp.Recipe(intensity_scale=255),
            f"s3://{BUCKET}/x",
            storage=lp.StorageOptions(endpoint_url=endpoint),
            workers=1,
        )
    assert keys(s3) == set()


def test_an_earlier_run_in_the_bucket_is_not_overwritten_unasked(scene: lp.Scene, s3: Any, endpoint: str) -> None:
    storage = lp.StorageOptions(endpoint_url=endpoint)
    lp.prepare(scene, lp.Recipe(), f"s3://{BUCKET}/x", storage=storage)
    with pytest.raises(lp.RecipeError, match="--overwrite"):
        lp.prepare(scene, lp.Recipe(precision=3), f"s3://{BUCKET}/x", storage=storage)


def test_signed_urls_fetch_the_objects_and_stand_in_no_manifest(scene: lp.Scene, s3: Any, endpoint: str) -> None:
    storage = lp.StorageOptions(endpoint_url=endpoint, presign_hours=2)
    manifest = lp.prepare(scene, lp.Recipe(), f"s3://{BUCKET}/signed", storage=storage)
    assert b"Signature" not in s3.get_object(Bucket=BUCKET, Key="signed/manifest.json")["Body"].read()
    assert all(url.startswith("s3://") for url in manifest.urls)
    for url, record in zip(fetch_urls(manifest, storage), manifest.attachments, strict=True):
        with urlopen(url) as answer:
            frame = answer.read()
        assert hashlib.sha256(frame).hexdigest() == record.sha256
        for image in json.loads(frame)["images"]:
            assert "X-Amz-Signature" in image["image_url"]
            with urlopen(image["image_url"]) as answer:
                assert answer.headers["Content-Type"] == "image/jpeg"


def test_credentials_show_in_no_repr(endpoint: str) -> None:
    store = open_store(f"s3://{BUCKET}/prefix", endpoint_url=endpoint)
    assert repr(store) == f"S3Prefix(s3://{BUCKET}/prefix)"


@pytest.mark.parametrize("destination", ["s3://", "s3:///prefix"])
def test_a_destination_without_bucket_is_refused(destination: str) -> None:
    with pytest.raises(lp.RecipeError, match="s3://bucket/prefix"):
        open_store(destination)


def test_urls_of_a_local_folder_cannot_be_signed(tmp_path: Path) -> None:
    with pytest.raises(lp.RecipeError, match="cannot be signed"):
        open_store(str(tmp_path), presign_hours=1)
