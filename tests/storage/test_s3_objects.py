"""What reaches S3: options, checksums, parts; what is skipped, and what is cleaned up. By boto's own client."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
from typing import Any
from urllib.request import urlopen

import pytest
from lidarprep.storage.s3.download import Download

from lidarprep.errors import StorageError
from tests.storage.conftest import BUCKET
from tests.storage.s3_stores import JSON, counted, head, opened


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
    store.bucket.client.meta.events.register(
        "before-send.s3.PutObject", lambda request, **_: sent.append(request.headers)
    )
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
    assert asked == ["ListObjectsV2", "HeadObject"] * 2


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


def test_what_is_decompressed_comes_in_pieces_however_much_it_is(
    bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"0" * 50_000_000
    bucket.put_object(Key="run/a.json", Body=gzip.compress(data), ContentEncoding="gzip")
    monkeypatch.setattr("lidarprep.storage.s3.download._PIECE", 10_000)
    store = opened(moto, gzip=True, presign_hours=1)
    sizes: list[int] = []
    Download(store.bucket, "a.json", lambda piece: sizes.append(len(piece))).go_on()
    assert max(sizes) <= 10_000
    measured = store.measure("a.json")
    assert measured is not None
    assert (measured.bytes, measured.sha256) == (len(data), hashlib.sha256(data).hexdigest())


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
    ask = store.bucket.client.list_objects_v2
    store.bucket.client.list_objects_v2 = lambda **arguments: ask(**arguments, MaxKeys=3)
    assert list(store.list("frame-")) == [f"frame-{number}.json" for number in range(7)]


@pytest.mark.parametrize("prefix", ["run", ""])
def test_uploads_that_a_dead_run_left_are_aborted_and_no_others(bucket: Any, moto: str, prefix: str) -> None:
    """In a bucket of others, too: another tool's upload may have a name like ours."""
    store = opened(moto, prefix=prefix)
    plan = ["scene.sfs", *(f"images/front/{number}.jpg" for number in range(9))]
    left = [plan[0], plan[1], f".lidarprep-run/staged/{plan[0]}"]
    for key in (*left, "images/team-backup.tar", "frame-1.json"):
        bucket.meta.client.create_multipart_upload(Bucket=BUCKET, Key=store.bucket.full_key(key))
    store.sweep(plan)
    kept = {store.bucket.full_key(key) for key in ("images/team-backup.tar", "frame-1.json")}
    assert {upload.object_key for upload in bucket.multipart_uploads.all()} == kept
