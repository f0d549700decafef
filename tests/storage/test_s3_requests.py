"""How S3 is asked: by whom requests are signed and paid, where they go, on what conditions, and what is not asked."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest

from lidarprep.errors import StorageError
from tests.storage.conftest import BUCKET
from tests.storage.s3_stores import JSON, opened


@pytest.mark.parametrize("size", [3, 17 * 2**20])
def test_the_sha256_that_vouches_for_a_body_is_what_signs_it(bucket: Any, moto: str, size: int) -> None:
    store = opened(moto)
    sent: list[tuple[Any, bytes]] = []

    def keep(request: Any, **_: Any) -> None:
        body = request.body if isinstance(request.body, bytes) else request.body.read()
        if not isinstance(request.body, bytes):
            request.body.seek(0)
        sent.append((request, body))

    for operation in ("PutObject", "UploadPart"):
        store.bucket.client.meta.events.register(f"before-send.s3.{operation}", keep)
    store.put("a.json", b"x" * size, JSON)
    assert len(sent) == (1 if size == 3 else 3)
    for request, body in sent:
        digest = hashlib.sha256(body).hexdigest()
        assert request.headers["X-Amz-Content-SHA256"].decode() == digest
        assert base64.b64decode(request.headers["x-amz-checksum-sha256"]).hex() == digest
    # Signed as botocore signs: the same request, signed by its own signer.
    request, body = sent[0]
    again = AWSRequest(request.method, request.url, {}, body)
    authorization = request.headers["Authorization"].decode()
    names = re.search("SignedHeaders=([^,]+)", authorization)
    assert names is not None
    for name in names[1].split(";"):
        if name != "host":
            again.headers[name] = request.headers[name].decode()
    again.context["timestamp"] = request.headers["X-Amz-Date"].decode()
    signer = S3SigV4Auth(boto3.Session().get_credentials(), "s3", "us-east-1")
    signature = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
    assert f"Signature={signature}" in authorization


@pytest.mark.parametrize(("size", "asks"), [(3, False), (2**20, False), (3 * 2**20, True)])
def test_only_before_a_large_body_the_store_is_asked_whether_it_wants_it(
    bucket: Any, moto: str, size: int, asks: bool
) -> None:
    store = opened(moto)
    sent: list[Any] = []
    store.bucket.client.meta.events.register("before-send.s3.PutObject", lambda request, **_: sent.append(request))
    store.put("a.json", b"x" * size, JSON)
    assert [request.headers.get("Expect") for request in sent] == [b"100-continue" if asks else None]
    assert bucket.Object("run/a.json").content_length == size


def test_what_is_put_on_a_condition_takes_the_place_of_what_that_names_and_of_nothing_else(
    bucket: Any, moto: str
) -> None:
    one, two, key = opened(moto), opened(moto), ".lidarprep-run/lock"
    first = one.put_if(key, b"one", None)
    assert first is not None
    assert two.put_if(key, b"two", None) is None
    second = one.put_if(key, b"one again", first)
    assert second not in (None, first)
    assert two.put_if(key, b"two", first) is None
    found = two.get_tagged(key)
    assert found is not None
    assert (found.data, found.tag) == (b"one again", second)
    assert 0 <= found.age < 60
    one.discard([key])
    assert two.get_tagged(key) is None
    assert two.put_if(key, b"two", second) is None
    assert list(bucket.objects.all()) == []


def test_of_a_bucket_full_of_others_objects_only_what_begins_like_ours_is_listed(bucket: Any, moto: str) -> None:
    for key in ("frame-1.json", "images/a/1.jpg", "recordings/1.bag", "manifest.json"):
        bucket.put_object(Key=key, Body=b"12")
    store = opened(moto, prefix="")
    prefixes: list[str] = []
    store.bucket.client.meta.events.register(
        "provide-client-params.s3.ListObjectsV2", lambda params, **_: prefixes.append(params["Prefix"])
    )
    keys = [f"frame-{number}.json" for number in range(9)] + ["images/a/1.jpg", "manifest.json"]
    assert store.sizes(keys) == {"frame-1.json": 2, "images/a/1.jpg": 2, "manifest.json": 2}
    assert sorted(prefixes) == ["frame-", "images/", "manifest."]
    store.put("frame-1.json", b"{}", JSON)
    store.put("frame-2.json", b"{}", JSON)
    assert sorted(prefixes) == ["frame-", "frame-", "images/", "manifest."]
    assert store.sizes([f"{number}x" for number in range(9)] + ["frame-2.json"]) == {"frame-2.json": 2}
    assert prefixes[4:] == [""]


def test_the_probe_puts_with_the_options_of_the_run_and_leaves_nothing(bucket: Any, moto: str) -> None:
    store = opened(moto, sse="aws:kms", kms_key="k", tags={"a": "b"}, requester_pays=True)
    sent: dict[str, dict[str, Any]] = {}
    store.bucket.client.meta.events.register(
        "before-send.s3", lambda request, **_: sent.update({request.method: request})
    )
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


def test_every_request_says_that_the_requester_pays(bucket: Any, moto: str) -> None:
    store = opened(moto, requester_pays=True, presign_hours=1)
    sent: list[Any] = []
    store.bucket.client.meta.events.register("before-send.s3", lambda request, **_: sent.append(request))
    store.check()
    store.sweep()
    store.put("small.json", b"{}", JSON)
    store.put("large.json", b" " * 17 * 2**20, JSON)
    store.get("small.json")
    store.sizes(["small.json"])
    store.put_if(".lidarprep-run/lock", b"{}", None)
    store.discard(["small.json"])
    assert {request.method for request in sent} == {"GET", "PUT", "POST", "HEAD", "DELETE"}
    unpaid = [request.url for request in sent if request.headers.get("x-amz-request-payer") != b"requester"]
    assert unpaid == []
    url = store.fetch_url("large.json")  # who fetches it need send no header
    assert "x-amz-request-payer=requester" in url
    assert "X-Amz-SignedHeaders=host&" in url
    with urlopen(url) as answer:
        assert len(answer.read()) == 17 * 2**20


def test_path_style_addresses_put_the_bucket_into_the_path(bucket: Any, moto: str) -> None:
    by_name = moto.replace("127.0.0.1", "localhost")
    store = opened(by_name, path_style=True)
    store.probe()
    urls: list[str] = []
    store.bucket.client.meta.events.register("before-send.s3", lambda request, **_: urls.append(request.url))
    store.put(".lidarprep-run/x", b"1", JSON)
    assert urls == [f"{by_name}/{BUCKET}/run/.lidarprep-run/x"]


def test_a_role_is_assumed_and_its_credentials_are_used(
    bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto)
    store = opened(moto, role_arn="arn:aws:iam::123456789012:role/writer", region="us-east-1")
    headers: list[Any] = []
    store.bucket.client.meta.events.register("before-send.s3", lambda request, **_: headers.append(request.headers))
    store.put(".lidarprep-run/x", b"1", JSON)
    assert "x-amz-security-token" in {name.lower() for name in headers[0]}
    assert b"Credential=testing/" not in headers[0]["Authorization"]


def test_the_credentials_of_a_profile_are_used_and_fetched_anew_before_they_run_out(
    bucket: Any, moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A program that gives another key each time, which lasts a minute: too short for another request.
    script = tmp_path / "credentials.py"
    script.write_text(
        "import datetime, json, pathlib\n"
        f"calls = pathlib.Path({str(tmp_path / 'calls')!r})\n"
        "calls.write_text(calls.read_text() + 'x' if calls.exists() else 'x')\n"
        "until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)\n"
        "key = f'AKIA{len(calls.read_text())}'\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': key, 'SecretAccessKey': 's', 'SessionToken': 't',"
        " 'Expiration': until.isoformat()}))\n"
    )
    (tmp_path / "config").write_text(f"[profile maps]\ncredential_process = {sys.executable} {script}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    store = opened(moto, profile="maps")
    signed: list[str] = []
    store.bucket.client.meta.events.register(
        "before-send.s3", lambda request, **_: signed.append(request.headers["Authorization"].decode())
    )
    for number in range(3):
        store.put(f".lidarprep-run/{number}", b"1", JSON)
    keys = [re.search("Credential=(AKIA[0-9]+)/", authorization) for authorization in signed]
    assert len({key[1] for key in keys if key is not None}) == 3


def test_no_credentials_are_one_clear_error(bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    for options in ({}, {"role_arn": "arn:aws:iam::123456789012:role/writer", "region": "us-east-1"}):
        with pytest.raises(StorageError, match=r"there are no AWS credentials[\s\S]*AWS_ACCESS_KEY_ID"):
            opened(moto, **options).check()
