"""What reaches S3: options, checksums, parts; what is skipped, and what is cleaned up. By boto's own client."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
from typing import Any
from urllib.request import urlopen

import pytest

import lidarprep as lp
from lidarprep.errors import RecipeError, StorageError
from lidarprep.storage import open_store
from lidarprep.storage.s3 import S3Prefix
from tests.storage.conftest import BUCKET

JSON = "application/json"


def opened(moto: str, prefix: str = "run", **options: Any) -> S3Prefix:
    """A store as the options of a run make it."""
    given = lp.StorageOptions(endpoint_url=moto, **options)
    store = open_store(f"s3://{BUCKET}/{prefix}", **given.model_dump())
    assert isinstance(store, S3Prefix)
    return store


def head(bucket: Any, key: str) -> dict[str, Any]:
    answer: dict[str, Any] = bucket.meta.client.head_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED")
    return answer


def counted(store: S3Prefix) -> list[str]:
    """The names of the operations that the store asks for from now on."""
    asked: list[str] = []
    store._client.meta.events.register("before-call.s3", lambda model, **_: asked.append(model.name))
    return asked


def test_headers_tags_class_and_encryption_reach_the_store(bucket: Any, moto: str) -> None:
    store = opened(
        moto,
        cache_control="max-age=3600",
        sse="AES256",
        storage_class="STANDARD_IA",
        tags={"team": "maps", "cost centre": "a+b"},
        acl="public-read",
    )
    store.put("frame-1.pb", b"points", "application/octet-stream")
    found = head(bucket, "run/frame-1.pb")
    assert found["CacheControl"] == "max-age=3600"
    assert found["ServerSideEncryption"] == "AES256"
    assert found["StorageClass"] == "STANDARD_IA"
    client = bucket.meta.client
    tags = client.get_object_tagging(Bucket=BUCKET, Key="run/frame-1.pb")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "maps", "cost centre": "a+b"}
    grants = client.get_object_acl(Bucket=BUCKET, Key="run/frame-1.pb")["Grants"]
    assert any(grant["Grantee"].get("URI", "").endswith("AllUsers") for grant in grants)


def test_a_key_of_kms_reaches_the_store_for_parts_too(bucket: Any, moto: str) -> None:
    store = opened(moto, sse="aws:kms", kms_key="alias/scenes", tags=["a=b=c"])
    store.put("small.json", b"{}", JSON)
    store.put("large.json", b" " * 17 * 2**20, JSON)
    for key in ("run/small.json", "run/large.json"):
        found = head(bucket, key)
        assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", "alias/scenes")
        tags = bucket.meta.client.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
        assert tags == [{"Key": "a", "Value": "b=c"}]


def test_the_lock_and_journal_of_a_run_are_encrypted_but_never_public_or_of_a_class(bucket: Any, moto: str) -> None:
    store = opened(moto, sse="AES256", storage_class="STANDARD_IA", acl="public-read", cache_control="max-age=9")
    store.put(".lidarprep-run/lock", b"{}", JSON)
    found = head(bucket, "run/.lidarprep-run/lock")
    assert found["ServerSideEncryption"] == "AES256"
    assert "StorageClass" not in found
    assert "CacheControl" not in found
    grants = bucket.meta.client.get_object_acl(Bucket=BUCKET, Key="run/.lidarprep-run/lock")["Grants"]
    assert [grant["Grantee"]["Type"] for grant in grants] == ["CanonicalUser"]


@pytest.mark.parametrize("checksums", ["sha256", "crc32", "when_required"])
def test_every_put_carries_a_checksum_that_the_store_can_verify(bucket: Any, moto: str, checksums: str) -> None:
    store = opened(moto, checksums=checksums)
    sent: list[dict[str, Any]] = []
    store._client.meta.events.register("before-send.s3.PutObject", lambda request, **_: sent.append(request.headers))
    store.put("a.json", b"[1]", JSON)
    (headers,) = sent
    sha256 = base64.b64encode(hashlib.sha256(b"[1]").digest())
    md5 = base64.b64encode(hashlib.md5(b"[1]").digest())
    match checksums:
        case "sha256":
            assert headers["x-amz-checksum-sha256"] == sha256
            assert head(bucket, "run/a.json")["ChecksumSHA256"].encode() == sha256
        case "crc32":
            assert "x-amz-checksum-crc32" in headers or b"crc32" in headers["x-amz-trailer"]
        case "when_required":
            assert headers["Content-MD5"] == md5
            assert not [name for name in headers if "checksum" in name.lower()]
    assert store.get("a.json") == b"[1]"


@pytest.mark.parametrize("checksums", ["sha256", "crc32", "when_required"])
def test_a_large_object_goes_in_parts_each_with_its_checksum(bucket: Any, moto: str, checksums: str) -> None:
    store = opened(moto, checksums=checksums)
    data = os.urandom(2**20) * 20
    asked = counted(store)
    stored = store.put("large.pb", data, "application/octet-stream")
    assert asked.count("UploadPart") == 3
    assert (stored.bytes, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert bucket.Object("run/large.pb").get()["Body"].read() == data
    assert store.get("large.pb") == data
    assert store.measure("large.pb") == stored


def test_what_is_there_already_is_not_sent_again(bucket: Any, moto: str) -> None:
    large = b"x" * 17 * 2**20
    opened(moto).put("a.json", b"[1]", JSON)
    opened(moto).put("large.json", large, JSON)
    store = opened(moto)
    asked = counted(store)
    assert store.put("a.json", b"[1]", JSON).sha256 == hashlib.sha256(b"[1]").hexdigest()
    store.put("large.json", large, JSON)
    assert asked == ["ListObjectsV2", "HeadObject", "HeadObject"]


def test_what_only_looks_the_same_is_sent_again(bucket: Any, moto: str) -> None:
    # Of the same size: other bytes; the same bytes by another tool; the same bytes with other headers.
    opened(moto).put("bytes.json", b"[2]", JSON)
    bucket.put_object(Key="run/tool.json", Body=b"[1]")
    opened(moto, cache_control="no-store").put("headers.json", b"[1]", JSON)
    store = opened(moto)
    for key in ("bytes.json", "tool.json", "headers.json"):
        store.put(key, b"[1]", JSON)
        found = head(bucket, f"run/{key}")
        assert found["ContentType"] == JSON
        assert "CacheControl" not in found
        assert store.get(key) == b"[1]"


def test_what_was_deleted_since_is_sent_again(bucket: Any, moto: str) -> None:
    store = opened(moto)
    store.put("a.json", b"[1]", JSON)
    again = opened(moto)
    again.put("b.json", b"[1]", JSON)  # it has listed the prefix
    bucket.Object("run/a.json").delete()
    again.put("a.json", b"[1]", JSON)
    assert store.get("a.json") == b"[1]"


def test_compressed_json_is_what_http_clients_decompress_and_checks_go_by_the_content(bucket: Any, moto: str) -> None:
    store = opened(moto, gzip=True, presign_hours=1)
    data = b'{"points": []}' * 1000
    stored = store.put("frame-1.json", data, JSON)
    store.put("manifest.json", b"{}", JSON)
    store.put("frame-1.pb", b"pb", "application/octet-stream")
    assert (stored.bytes, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert head(bucket, "run/frame-1.json")["ContentEncoding"] == "gzip"
    assert head(bucket, "run/frame-1.json")["ContentLength"] < 200
    for key in ("manifest.json", "frame-1.pb"):
        assert "ContentEncoding" not in head(bucket, f"run/{key}")
    with urlopen(store.fetch_url("frame-1.json")) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(answer.read()) == data
    assert store.get("frame-1.json") == data
    assert store.measure("frame-1.json") == stored
    assert store.sizes(["frame-1.json", "no.json", *"12345"]) == {"frame-1.json": len(data)}
    again = opened(moto, gzip=True, presign_hours=1)
    asked = counted(again)
    again.put("frame-1.json", data, JSON)
    assert "PutObject" not in asked


def test_damage_is_noticed_when_an_object_is_fetched(bucket: Any, moto: str) -> None:
    store = opened(moto, give_up_after=0.001)
    store.put("a.json", b"[1]", JSON)
    metadata = head(bucket, "run/a.json")["Metadata"]
    bucket.put_object(Key="run/a.json", Body=b"[7]", Metadata=metadata)
    with pytest.raises(StorageError, match=r"cannot give a\.json: its SHA-256 is not"):
        store.get("a.json")
    measured = store.measure("a.json")
    assert measured is not None
    assert measured.sha256 == hashlib.sha256(b"[7]").hexdigest()
    assert store.measure("nothing.json") is None


def test_of_those_who_put_if_absent_one_succeeds(bucket: Any, moto: str) -> None:
    assert opened(moto).put_if_absent(".lidarprep-run/lock", b"one")
    assert not opened(moto).put_if_absent(".lidarprep-run/lock", b"two")
    assert opened(moto).put_if_absent(".lidarprep-run/lock", b"one")  # its own, whose answer was lost
    assert bucket.Object("run/.lidarprep-run/lock").get()["Body"].read() == b"one"


def test_keys_are_listed_without_those_of_a_run_unless_they_are_asked_for(bucket: Any, moto: str) -> None:
    store = opened(moto)
    for key in ("b/c.json", "a.json", ".lidarprep-run/journal/0", ".lidarprep-run/lock"):
        store.put(key, b"{}", JSON)
    bucket.put_object(Key="runaway/a.json", Body=b"")  # another prefix that begins alike
    assert list(store.list()) == ["a.json", "b/c.json"]
    assert list(store.list("b/")) == ["b/c.json"]
    assert list(store.list(".lidarprep-run/journal/")) == [".lidarprep-run/journal/0"]
    many = [f"{number}.json" for number in range(9)]
    assert store.existing(["a.json", "no.json"]) == {"a.json"}
    assert store.existing(["a.json", *many]) == {"a.json"}
    assert store.sizes(["a.json"]) == store.sizes(["a.json", *many]) == {"a.json": 2}
    store.discard(["a.json", "b/c.json", "no.json"])
    assert list(store.list()) == []


def test_more_keys_than_one_listing_holds_are_all_found(bucket: Any, moto: str) -> None:
    store = opened(moto)
    for number in range(7):
        store.put(f"frame-{number}.json", b"{}", JSON)
    ask = store._client.list_objects_v2
    store._client.list_objects_v2 = lambda **arguments: ask(**arguments, MaxKeys=3)
    assert list(store.list("frame-")) == [f"frame-{number}.json" for number in range(7)]


def test_uploads_that_a_dead_run_left_are_aborted_and_no_others(bucket: Any, moto: str) -> None:
    client = bucket.meta.client
    keys = ("run/scene.sfs", "run/frame-1.json", "run/images/front/1.jpg", "run/backup.tar", "other/scene.sfs")
    for key in keys:
        client.create_multipart_upload(Bucket=BUCKET, Key=key)
    opened(moto).sweep()
    assert {upload.object_key for upload in bucket.multipart_uploads.all()} == {"run/backup.tar", "other/scene.sfs"}


def test_the_probe_puts_with_the_options_of_the_run_and_leaves_nothing(bucket: Any, moto: str) -> None:
    store = opened(moto, sse="aws:kms", kms_key="k", tags={"a": "b"}, requester_pays=True)
    sent: dict[str, dict[str, Any]] = {}
    store._client.meta.events.register("before-send.s3", lambda request, **_: sent.update({request.method: request}))
    store.probe()
    headers: Any = sent["PUT"].headers  # type: ignore[attr-defined]
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == b"k"
    assert headers["x-amz-tagging"] == b"a=b"
    for method in ("PUT", "GET", "DELETE"):
        assert sent[method].headers["x-amz-request-payer"] == b"requester"  # type: ignore[attr-defined]
    assert list(bucket.objects.all()) == []


def test_the_probe_says_what_is_wrong_before_any_work(bucket: Any, moto: str) -> None:
    with pytest.raises(StorageError, match=r"cannot take a probe: InvalidStorageClass[\s\S]*--storage-class"):
        opened(moto, storage_class="NO_SUCH").probe()
    assert list(bucket.objects.all()) == []


def test_path_style_addresses_put_the_bucket_into_the_path(bucket: Any, moto: str) -> None:
    by_name = moto.replace("127.0.0.1", "localhost")
    store = opened(by_name, path_style=True)
    store.probe()
    urls: list[str] = []
    store._client.meta.events.register("before-send.s3", lambda request, **_: urls.append(request.url))
    store.put(".lidarprep-run/x", b"1", JSON)
    assert urls == [f"{by_name}/{BUCKET}/run/.lidarprep-run/x"]


def test_a_role_is_assumed_and_its_credentials_are_used(
    bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto)
    store = opened(moto, role_arn="arn:aws:iam::123456789012:role/writer", region="us-east-1")
    headers: list[Any] = []
    store._client.meta.events.register("before-send.s3", lambda request, **_: headers.append(request.headers))
    store.put(".lidarprep-run/x", b"1", JSON)
    assert "x-amz-security-token" in {name.lower() for name in headers[0]}
    assert b"Credential=testing/" not in headers[0]["Authorization"]


def test_no_credentials_are_one_clear_error(bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    for options in ({}, {"role_arn": "arn:aws:iam::123456789012:role/writer", "region": "us-east-1"}):
        with pytest.raises(StorageError, match=r"there are no AWS credentials[\s\S]*AWS_ACCESS_KEY_ID"):
            opened(moto, **options).check()


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
