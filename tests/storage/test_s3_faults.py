"""S3 on a bad day: requests that fail a while, fail for good, or are answered in part."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError
from botocore.parsers import ResponseParserError

import lidarprep as lp
from lidarprep.errors import StorageError
from lidarprep.storage.s3 import retries
from lidarprep.storage.s3.errors import reported
from tests.storage.s3_faults import Fault, Raw, answered, cut, failing, unreachable
from tests.storage.s3_stores import JSON, opened


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "_wait", lambda attempts: 0.01)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.0)
    monkeypatch.setattr("botocore.retries.bucket.TokenBucket.acquire", lambda self, amount=1, block=True: True)


@pytest.mark.parametrize(
    "fault",
    [
        answered(500, "InternalError"),
        answered(400, "BadDigest"),
        answered(400, "RequestTimeout"),
        answered(400, "XAmzContentSHA256Mismatch"),
        answered(429, "TooManyRequests"),
        cut,
        unreachable,
    ],
)
def test_a_request_that_fails_longer_than_boto_tries_succeeds_in_the_end(bucket: Any, moto: str, fault: Fault) -> None:
    store = opened(moto)
    sent = failing(store, fault, times=9, method="PUT")
    store.put("a.json", b"[1]", JSON)
    assert sent.count("PUT") == 10
    assert bucket.Object("run/a.json").get()["Body"].read() == b"[1]"


def test_of_a_large_object_only_the_parts_that_failed_are_sent_again(bucket: Any, moto: str) -> None:
    store = opened(moto)
    data = os.urandom(2**20) * 20
    sent = failing(store, answered(400, "BadDigest"), times=7, method="PUT")
    store.put("large.pb", data, "application/octet-stream")
    assert sent.count("PUT") == 3 + 7
    assert sent.count("POST") == 2  # begun once, completed once
    assert bucket.Object("run/large.pb").get()["Body"].read() == data


def test_a_large_object_that_cannot_be_sent_leaves_no_parts(bucket: Any, moto: str) -> None:
    store = opened(moto)
    failing(store, answered(403, "AccessDenied"), method="PUT")
    with pytest.raises(StorageError, match="AccessDenied"):
        store.put("large.pb", b"x" * 17 * 2**20, "application/octet-stream")
    assert list(bucket.multipart_uploads.all()) == []


def test_a_body_that_is_cut_is_fetched_again(bucket: Any, moto: str) -> None:
    store = opened(moto)
    store.put("a.json", b"[1, 2, 3]", JSON)
    headers = {"Content-Length": "9"}
    sent = failing(store, lambda request: AWSResponse(request.url, 200, headers, Raw(b"[1, ")), times=3, method="GET")
    assert store.get("a.json") == b"[1, 2, 3]"
    assert sent.count("GET") == 4


def test_a_conditional_put_whose_answer_was_lost_stands_and_says_that_something_does(bucket: Any, moto: str) -> None:
    store = opened(moto)
    session = store.bucket.client._endpoint.http_session
    send, lost = session.send, list[Any]()

    def losing(request: Any) -> Any:
        answer = send(request)
        if request.method == "PUT" and not lost:
            lost.append(request)
            raise ConnectionClosedError(endpoint_url=request.url)
        return answer

    session.send = losing
    assert store.put_if(".lidarprep-run/lock", b"one", None) is None
    found = store.get_tagged(".lidarprep-run/lock")
    assert found is not None
    assert found.data == b"one"


def test_a_store_that_says_it_knows_no_conditions_is_asked_without(bucket: Any, moto: str) -> None:
    store, key = opened(moto), ".lidarprep-run/lock"
    session = store.bucket.client._endpoint.http_session
    refuse, send = answered(501, "NotImplemented", "no conditions"), session.send
    session.send = lambda request: (
        refuse(request) if {"If-None-Match", "If-Match"} & set(request.headers) else send(request)
    )
    tag = store.put_if(key, b"one", None)
    assert tag is not None
    assert store.put_if(key, b"two", None) not in (None, tag)
    store.discard_if(key, tag)
    assert store.get_tagged(key) is None


@pytest.mark.parametrize("code", ["ExpiredToken", "TokenRefreshRequired", "RequestExpired"])
def test_expired_credentials_are_one_clear_error_that_says_what_to_do(bucket: Any, moto: str, code: str) -> None:
    store = opened(moto)
    sent = failing(store, answered(400, code, "The provided token has expired."), method="PUT")
    with pytest.raises(StorageError, match=r"have run out\. Log in again[\s\S]*the same command goes on"):
        store.put("a.json", b"[1]", JSON)
    assert sent.count("PUT") == 1


def test_a_clock_that_is_wrong_is_said_so(bucket: Any, moto: str) -> None:
    store = opened(moto)
    failing(store, answered(403, "RequestTimeTooSkewed", "too large"), method="PUT")
    with pytest.raises(StorageError, match="clock is wrong"):
        store.put("a.json", b"[1]", JSON)


@pytest.mark.parametrize(
    ("method", "code", "said"),
    [
        ("PUT", "AccessDenied", "cannot take a probe: AccessDenied"),
        ("PUT", "AccessControlListNotSupported", "go without --acl"),
        ("PUT", "KMS.NotFoundException", "--kms-key"),
        ("GET", "AccessDenied", "cannot be reached: AccessDenied"),
        ("DELETE", "AccessDenied", "cannot delete what was stored: AccessDenied"),
    ],
)
def test_a_permission_that_is_lacking_shows_in_the_probe(
    bucket: Any, moto: str, method: str, code: str, said: str
) -> None:
    store = opened(moto)
    failing(store, answered(403, code), method=method)
    with pytest.raises(StorageError, match=said):  # noqa: PT012  # as a run does
        store.check()
        store.probe()


def test_uploads_that_may_not_be_seen_do_not_hinder_a_run(bucket: Any, moto: str) -> None:
    store = opened(moto)
    store.bucket.client.meta.events.register(
        "before-send.s3.ListMultipartUploads", lambda request, **_: answered(403, "AccessDenied")(request)
    )
    store.sweep()


def test_a_probe_that_a_killed_run_has_left_is_swept(bucket: Any, moto: str) -> None:
    store = opened(moto, acl="public-read")
    session = store.bucket.client._endpoint.http_session
    send = session.send

    def killed(request: Any) -> Any:
        if request.method != "PUT":
            raise KeyboardInterrupt
        return send(request)

    session.send = killed
    with pytest.raises(KeyboardInterrupt):
        store.probe()
    (left,) = bucket.objects.all()
    assert left.key == "run/.lidarprep-run/probe"
    grants = left.Acl().grants
    assert any(grant["Grantee"].get("URI", "").endswith("AllUsers") for grant in grants), "not as attachments are put"
    opened(moto).sweep()
    assert list(bucket.objects.all()) == []


def test_an_unknown_profile_is_one_clear_error() -> None:
    with pytest.raises(StorageError, match=r"nobody[\s\S]*--profile"):
        lp.storage.open_store("s3://b", profile="nobody")


def test_a_body_that_trickles_is_cut_short_and_fetched_again(
    bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lidarprep.storage.s3.download._LONGEST_PIECE_S", 0.3)
    connections: list[int] = []

    def served(listening: socket.socket) -> None:
        while True:
            with suppress(OSError), listening.accept()[0] as connection:
                connections.append(1)
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: x\r\nConnection: close\r\n\r\n")
                if len(connections) > 2:
                    connection.sendall(b"x" * 1000)
                    return
                for _ in range(1000):  # a byte at a time: for ever, by the time between two
                    connection.sendall(b"x")
                    time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=served, args=[listening])
        thread.start()
        store = opened(f"http://127.0.0.1:{listening.getsockname()[1]}")
        assert store.get("a") == b"x" * 1000
        thread.join()
    assert len(connections) == 3


def test_a_page_in_place_of_a_stores_answer_is_one_clear_error(bucket: Any, moto: str) -> None:
    store = opened(moto, give_up_after=0.001)
    page = b"<!doctype html><p>Log in to the hotel's network</br>"
    failing(store, lambda request: AWSResponse(request.url, 200, {"Content-Length": str(len(page))}, Raw(page)))
    with pytest.raises(StorageError, match=r"cannot be reached: 500 Internal Server Error[\s\S]*Check the network"):
        store.check()
    with pytest.raises(StorageError, match=r"is not that of a store[\s\S]*log in there"), reported("s3://b", "be read"):
        raise ResponseParserError("no element found")
