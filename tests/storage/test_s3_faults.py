"""S3 on a bad day: requests that fail a while, fail for good, or are answered in part."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

import lidarprep as lp
from lidarprep.errors import StorageError
from lidarprep.storage import s3_retries
from lidarprep.storage.lock import locked
from lidarprep.storage.s3 import S3Prefix
from tests.storage.test_s3_objects import opened

JSON = "application/json"
Fault = Callable[[Any], AWSResponse]


class _Raw(io.BytesIO):
    def stream(self, *_: object) -> Iterator[bytes]:
        yield self.read()


def answered(status: int, code: str, message: str = "") -> Fault:
    """The store says so, in place of doing what it is asked for."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return lambda request: AWSResponse(request.url, status, {"Content-Length": str(len(body))}, _Raw(body))


def cut(request: Any) -> AWSResponse:
    """The connection is reset."""
    raise ConnectionClosedError(endpoint_url=request.url)


def unreachable(request: Any) -> AWSResponse:
    """There is no network."""
    raise EndpointConnectionError(endpoint_url=request.url, error="no route")


def failing(store: S3Prefix, fault: Fault, *, times: int | None = None, method: str | None = None) -> list[str]:
    """Makes the store's requests fail, so many times or for ever; the methods of all that are sent."""
    session = store._client._endpoint.http_session
    send, sent, failed = session.send, list[str](), list[str]()

    def instead(request: Any) -> AWSResponse:
        sent.append(request.method)
        if method in (None, request.method) and (times is None or len(failed) < times):
            failed.append(request.method)
            return fault(request)
        answer: AWSResponse = send(request)
        return answer

    session.send = instead
    return sent


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_retries, "_wait", lambda attempts: 0.01)
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
    sent = failing(store, lambda request: AWSResponse(request.url, 200, headers, _Raw(b"[1, ")), times=3, method="GET")
    assert store.get("a.json") == b"[1, 2, 3]"
    assert sent.count("GET") == 4


def test_an_answer_that_was_lost_is_not_taken_for_anothers_lock(bucket: Any, moto: str) -> None:
    store = opened(moto)
    session = store._client._endpoint.http_session
    send, lost = session.send, list[Any]()

    def losing(request: Any) -> Any:
        answer = send(request)
        if request.method == "PUT" and not lost:
            lost.append(request)
            raise ConnectionClosedError(endpoint_url=request.url)
        return answer

    session.send = losing
    assert store.put_if_absent(".lidarprep-run/lock", b"one")
    assert not store.put_if_absent(".lidarprep-run/lock", b"two")


def test_a_store_without_conditions_is_asked_first(bucket: Any, moto: str) -> None:
    for data, made in ((b"one", True), (b"two", False)):
        store = opened(moto)
        session = store._client._endpoint.http_session
        refuse, send = answered(501, "NotImplemented", "no conditions"), session.send
        session.send = lambda request, refuse=refuse, send=send: (
            refuse(request) if "If-None-Match" in request.headers else send(request)
        )
        assert store.put_if_absent(".lidarprep-run/lock", data) is made


@pytest.mark.parametrize(("fault", "said"), [(answered(503, "SlowDown", "Please reduce"), "SlowDown"), (cut, "closed")])
def test_a_store_that_only_fails_is_given_up_in_the_time_that_was_said(
    bucket: Any, moto: str, fault: Fault, said: str
) -> None:
    store = opened(moto, give_up_after=0.02)
    failing(store, fault)
    with pytest.raises(StorageError, match=rf"cannot take a\.json: [\s\S]*{said}[\s\S]*\(tried for 1\.2 seconds\)"):
        store.put("a.json", b"[1]", JSON)


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


def test_a_store_that_is_stopped_tries_nothing_again(bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(moto)
    monkeypatch.setattr(s3_retries, "_wait", lambda attempts: 300.0)
    failing(store, cut)
    failed: list[StorageError] = []

    def put() -> None:
        with pytest.raises(StorageError) as raised:
            store.put(".lidarprep-run/x", b"[1]", JSON)
        failed.append(raised.value)

    thread = threading.Thread(target=put)
    thread.start()
    store.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert "cannot take" in failed[0].message


def test_uploads_that_may_not_be_seen_do_not_hinder_a_run(bucket: Any, moto: str) -> None:
    store = opened(moto)
    store._client.meta.events.register(
        "before-send.s3.ListMultipartUploads", lambda request, **_: answered(403, "AccessDenied")(request)
    )
    store.sweep()


def test_a_probe_that_a_killed_run_has_left_is_swept(bucket: Any, moto: str) -> None:
    store = opened(moto, acl="public-read")
    session = store._client._endpoint.http_session
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


@pytest.mark.parametrize("keys", [["a"], [f"{n}" for n in range(40)]])
def test_what_is_only_tidiness_is_tried_for_seconds_also_side_by_side(
    bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch, keys: list[str]
) -> None:
    monkeypatch.setattr("lidarprep.storage.s3._TIDY_S", 0.0)
    store = opened(moto, give_up_after=60)
    sent = failing(store, cut)
    with pytest.raises(StorageError, match="tried for 0 seconds"), store.hurried():
        store.discard(keys)
    assert len(sent) <= len(keys)
    assert store._patience.seconds == 3600


def test_a_lock_of_a_store_that_is_gone_is_let_go_of_at_once(
    bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lidarprep.storage.s3._TIDY_S", 0.0)
    monkeypatch.setattr(s3_retries, "_wait", lambda attempts: 300.0)
    store = opened(moto, give_up_after=60)
    with locked(store):
        sent = failing(store, cut)
    assert len(sent) <= 2


def test_after_a_stop_nothing_is_tried_again_not_even_by_boto(bucket: Any, moto: str) -> None:
    store = opened(moto)
    store.stop()
    sent = failing(store, cut)
    with pytest.raises(StorageError, match="closed"):
        store.get("a.json")
    assert len(sent) == 1


def test_a_certificate_that_is_wrong_is_not_tried_for_minutes(bucket: Any, moto: str) -> None:
    from botocore.exceptions import SSLError

    assert not s3_retries.is_passing(SSLError(endpoint_url="x", error="[SSL: CERTIFICATE_VERIFY_FAILED]"))
    assert s3_retries.is_passing(SSLError(endpoint_url="x", error="[SSL: BAD_RECORD_MAC]"))


def test_an_unknown_profile_is_one_clear_error() -> None:
    with pytest.raises(StorageError, match=r"nobody[\s\S]*--profile"):
        lp.storage.open_store("s3://b", profile="nobody")
