"""The operations of a store in S3: objects and their headers, checksums, parts, listings, the manifest, URLs."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
from typing import Any
from urllib.request import urlopen

import pytest

from lidarprep.errors import RecipeError, StorageError
from lidarprep.storage import open_store
from lidarprep.storage.content import read_content
from lidarprep.storage.store import MANIFEST_KEY
from tests.storage.conftest import BUCKET
from tests.storage.s3 import answered, body, cut, head, network, no_waiting, opened, put, requests, small_parts

LARGE = 6 * 2**20


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    small_parts(monkeypatch)


def tags_of(bucket: Any, key: str) -> dict[str, str]:
    tags = bucket.meta.client.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in tags}


def is_public(bucket: Any, key: str) -> bool:
    return any(grant["Grantee"].get("URI", "").endswith("AllUsers") for grant in bucket.Object(key).Acl().grants)


def test_cache_entries_are_encrypted_and_tagged_but_never_public_or_of_a_class(bucket: Any) -> None:
    store = opened(
        sse="AES256", storage_class="STANDARD_IA", acl="public-read", cache_control="max-age=9", tags=["a=b=c"]
    )
    put(store, ".lidarprep/0.json")
    found = head(bucket, "run/.lidarprep/0.json")
    assert found["ServerSideEncryption"] == "AES256"
    assert tags_of(bucket, "run/.lidarprep/0.json") == {"a": "b=c"}
    assert not {"StorageClass", "CacheControl"} & found.keys()
    assert not is_public(bucket, "run/.lidarprep/0.json")
    put(store, "frames/1-0123456789ab.json")
    assert is_public(bucket, "run/frames/1-0123456789ab.json")
    store.replace(MANIFEST_KEY, b"{}", if_version=None)
    assert "CacheControl" not in head(bucket, "run/manifest.json")


def test_a_key_of_kms_reaches_the_store_for_parts_too(bucket: Any) -> None:
    store = opened(sse="aws:kms", kms_key="alias/scenes", tags=["a=b=c"])
    put(store, "small.json", b"{}")
    put(store, "large.json", b" " * LARGE)
    for key in ("run/small.json", "run/large.json"):
        found = head(bucket, key)
        assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", "alias/scenes")
        assert tags_of(bucket, key) == {"a": "b=c"}


@pytest.mark.parametrize("checksums", ["sha256", "crc32", "when_required"])
def test_every_put_carries_a_checksum_that_the_store_can_verify(bucket: Any, checksums: str) -> None:
    store = opened(checksums=checksums)
    with network() as sent:
        put(store, "a.json", b"[1]")
    (request,) = sent
    names = {name.lower() for name in request.headers}
    match checksums:
        case "sha256":
            digest = base64.b64encode(hashlib.sha256(b"[1]").digest())
            assert request.headers["x-amz-checksum-sha256"] == digest
            assert head(bucket, "run/a.json")["ChecksumSHA256"].encode() == digest
        case "crc32":
            assert "x-amz-checksum-crc32" in names or b"crc32" in request.headers["x-amz-trailer"]
        case "when_required":
            assert request.headers["Content-MD5"] == base64.b64encode(hashlib.md5(b"[1]").digest())
            assert not [name for name in names if "checksum" in name]
    assert store.get("a.json") == b"[1]"


@pytest.mark.parametrize("checksums", ["sha256", "crc32", "when_required"])
def test_a_large_object_goes_in_parts_each_with_its_checksum(bucket: Any, checksums: str) -> None:
    store, data = opened(checksums=checksums), os.urandom(2**20) * 11
    with network() as sent:
        put(store, "large.pb", data)
    parts = [request for request in sent if request.method == "PUT"]
    assert len(parts) == 3
    if checksums != "when_required":
        assert all(
            any(checksums in str(name).lower() + str(request.headers[name]) for name in request.headers)
            for request in parts
        )
    assert bucket.Object("run/large.pb").get()["Body"].read() == data
    assert store.get("large.pb", 2**20, 2**20 + 5) == data[2**20 : 2**20 + 5]


def test_a_large_object_that_cannot_be_sent_leaves_no_parts(bucket: Any) -> None:
    with network(answered(403, "AccessDenied"), method="PUT"), pytest.raises(StorageError, match="AccessDenied"):
        put(opened(), "large.pb", b"x" * LARGE)
    assert list(bucket.multipart_uploads.all()) == []


def test_of_a_store_that_knows_no_ranges_a_part_is_fetched_all_the_same(bucket: Any) -> None:
    with network(body(b"0123456789")):
        assert opened().get("a.json", 3, 5) == b"34"


def test_listings_are_of_the_prefix_only_and_go_on_where_one_page_ends(bucket: Any) -> None:
    store = opened()
    keys = [f"frames/{number}-0123456789ab.json" for number in range(7)]
    for key in (*keys, "other.json"):
        put(store, key, b"12")
    bucket.put_object(Key="running/frames/8.json", Body=b"")  # another prefix that begins alike
    client = store._session.client
    with pytest.MonkeyPatch.context() as patched:
        ask = client.list_objects_v2
        patched.setattr(client, "list_objects_v2", lambda **arguments: ask(**arguments, MaxKeys=3))
        found = store.sizes("frames/")
    assert sorted(found) == keys
    assert {info.bytes for info in found.values()} == {2}
    assert sorted(opened(prefix="").sizes("run")) == sorted(
        ["running/frames/8.json", *(f"run/{key}" for key in (*keys, "other.json"))]
    )
    store.delete([*keys, "no.json"])
    store.delete([])
    assert list(store.sizes("")) == ["other.json"]


@pytest.mark.parametrize("prefix", ["run", ""])
def test_uploads_in_parts_that_are_ours_and_old_are_aborted_and_no_others(bucket: Any, prefix: str) -> None:
    store = opened(prefix=prefix)
    ours, theirs = f"{prefix}/scene-0123456789ab.sfs".lstrip("/"), f"{prefix}/images/backup.tar".lstrip("/")
    for key in (ours, theirs, "other/scene-0123456789ab.sfs"):
        bucket.meta.client.create_multipart_upload(Bucket=BUCKET, Key=key)
    store.delete_unfinished(0.0)
    assert len(list(bucket.multipart_uploads.all())) == 3
    store.delete_unfinished(1e12)
    left = {upload.object_key for upload in bucket.multipart_uploads.all()}
    assert left == {theirs, "other/scene-0123456789ab.sfs"}


def test_the_check_puts_with_the_options_of_the_run_and_leaves_nothing(bucket: Any) -> None:
    store = opened(sse="aws:kms", kms_key="k", tags={"a": "b"})
    with network() as sent:
        store.check()
    headers = sent[1].headers
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == b"k"
    assert headers["x-amz-tagging"] == b"a=b"
    assert [request.method for request in sent] == ["GET", "PUT", "DELETE"]
    assert list(bucket.objects.all()) == []
    with pytest.raises(StorageError, match=r"InvalidStorageClass[\s\S]*--storage-class"):
        opened(storage_class="NO_SUCH").check()


def test_every_request_says_that_the_requester_pays_and_signed_urls_do_by_themselves(bucket: Any) -> None:
    store = opened(requester_pays=True, presign_hours=1)
    with network() as sent:
        store.check()
        put(store, "large.json", b" " * LARGE)
        put(store, "small.json", b"{}")
        store.get("small.json")
        store.sizes("small")
        store.read_current(MANIFEST_KEY)
        store.replace(MANIFEST_KEY, b"{}", if_version=None)
        store.delete_unfinished(0.0)
        store.delete(["small.json"])
    assert {request.method for request in sent} == {"GET", "PUT", "POST", "DELETE"}
    assert [request.url for request in sent if request.headers.get("x-amz-request-payer") != b"requester"] == []
    url = store.fetch_url("large.json").url
    assert "x-amz-request-payer=requester" in url
    assert "X-Amz-SignedHeaders=host&" in url
    with urlopen(url) as answer:
        assert len(answer.read()) == LARGE


def test_path_style_addresses_put_the_bucket_into_the_path(bucket: Any, moto: str) -> None:
    by_name = moto.replace("127.0.0.1", "localhost")
    store = opened(endpoint_url=by_name, path_style=True)
    with network() as sent:
        put(store, "a.json")
    assert sent[0].url == f"{by_name}/{BUCKET}/run/a.json"


def test_compressed_objects_are_what_http_clients_decompress(bucket: Any) -> None:
    store, data = opened(gzip=True, presign_hours=1), b'{"points": []}' * 1000
    put(store, "a.json.gz", gzip.compress(data), encoding="gzip")
    assert head(bucket, "run/a.json.gz")["ContentEncoding"] == "gzip"
    with urlopen(store.fetch_url("a.json.gz").url) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(answer.read()) == data
    assert b"".join(read_content(store, "a.json.gz", is_compressed=True)) == data


@pytest.mark.parametrize(
    "change", [lambda data: data[:-9], lambda data: data + b"tail", lambda data: b"[1]", lambda data: data[:30]]
)
def test_what_is_not_compressed_as_it_says_is_an_error(bucket: Any, change: Any) -> None:
    store = opened()
    put(store, "a.json.gz", change(gzip.compress(b"0123456789" * 100)))
    with pytest.raises(StorageError, match="says that it is compressed, and"):
        list(read_content(store, "a.json.gz", is_compressed=True))


def test_urls_are_those_of_the_bucket_or_of_the_prefix_that_is_given(bucket: Any) -> None:
    for store in (opened("a/b"), opened("/a/b/")):
        assert (
            store.url("c.json")
            == store.location("c.json")
            == store.fetch_url("c.json").url
            == (f"s3://{BUCKET}/a/b/c.json")
        )
    assert opened("").url("c.json") == f"s3://{BUCKET}/c.json"
    assert opened(url_base="https://data.example.com/x/").url("c d.json") == "https://data.example.com/x/c%20d.json"
    assert repr(opened("a")) == f"S3Store(s3://{BUCKET}/a)"


@pytest.mark.parametrize(
    "destination", ["s3://", "s3:///prefix", "s3:/bucket", "az:/container", "ftp://host/x", "s3://b?x=1", ""]
)
def test_a_destination_that_is_none_is_refused(destination: str) -> None:
    with pytest.raises(RecipeError, match="s3://bucket/prefix"):
        open_store(destination)


@pytest.mark.parametrize("fault", [cut, answered(409, "ConditionalRequestConflict")])
def test_a_manifest_whose_answer_was_lost_is_written_all_the_same(
    bucket: Any, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_waiting(monkeypatch)
    store, version = opened(), None
    for data in (b"first", b"second"):
        with network(fault, method="PUT", times=1, after=True) as sent:
            store.replace(MANIFEST_KEY, data, if_version=version)
        assert requests(sent) == ["PUT run/manifest.json", "PUT run/manifest.json", "GET run/manifest.json"]
        found = store.read_current(MANIFEST_KEY)
        assert found is not None
        assert found[0] == data
        version = found[1]


@pytest.mark.parametrize("code", ["NotImplemented", "501"])
def test_a_store_that_says_it_knows_no_conditions_is_asked_without(bucket: Any, code: str) -> None:
    store = opened()
    store.replace(MANIFEST_KEY, b"1", if_version=None)
    refuse = answered(501, code, "no conditions")
    with network(refuse, when=lambda request: {"If-None-Match", "If-Match"} & set(request.headers)) as sent:
        store.replace(MANIFEST_KEY, b"2", if_version=None)
        store.replace(MANIFEST_KEY, b"3", if_version="stale")
    assert len(sent) == 4
    assert store.read_current(MANIFEST_KEY)[0] == b"3"  # type: ignore[index]
