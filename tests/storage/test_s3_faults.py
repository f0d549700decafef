"""S3 on a bad day: what is tried again and for how long, and what each error says."""

from __future__ import annotations

import logging
import os
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, SSLError
from botocore.parsers import ResponseParserError

from lidarprep.errors import StorageError
from lidarprep.remote import retries
from lidarprep.remote.boto_faults import is_passing, reported, retry_budget
from lidarprep.storage.store import MANIFEST_KEY
from tests.storage.s3 import (
    Fault,
    answered,
    body,
    cut,
    network,
    no_waiting,
    opened,
    put,
    requests,
    small_parts,
    unreachable,
)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    no_waiting(monkeypatch)
    small_parts(monkeypatch)


class Clock:
    """A clock that stands still but for what is waited."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 10_000.0
        monkeypatch.setattr(retries, "time", SimpleNamespace(monotonic=lambda: self.now))

    def tick(self, seconds: float) -> bool:
        self.now += seconds
        return False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize(
    "fault",
    [
        answered(500, "InternalError"),
        answered(503, "SlowDown", "Please reduce your request rate."),
        answered(400, "BadDigest"),
        answered(400, "RequestTimeout"),
        answered(400, "XAmzContentSHA256Mismatch"),
        answered(429, "TooManyRequests"),
        cut,
        unreachable,
    ],
)
def test_a_request_that_fails_longer_than_boto_tries_succeeds_in_the_end(bucket: Any, fault: Fault) -> None:
    with network(fault, times=9, method="PUT") as sent:
        put(opened(give_up_after=60), "a.json")
    assert requests(sent) == ["PUT run/a.json"] * 10
    assert bucket.Object("run/a.json").get()["Body"].read() == b"[1]"


def test_of_a_large_object_a_part_that_failed_is_sent_again_alone(bucket: Any) -> None:
    data = os.urandom(2**20) * 11
    with network(answered(500, "InternalError"), times=2, method="PUT") as sent:
        put(opened(), "large.pb", data)
    assert [request.method for request in sent].count("PUT") == 3 + 2
    assert bucket.Object("run/large.pb").get()["Body"].read() == data
    with network(answered(400, "BadDigest"), times=2, method="PUT"):  # which boto does not try again: from the start
        put(opened(), "large.pb", data[::-1])
    assert bucket.Object("run/large.pb").get()["Body"].read() == data[::-1]
    assert list(bucket.multipart_uploads.all()) == []


def test_a_body_that_is_cut_or_damaged_on_its_way_is_fetched_again() -> None:
    store = opened()
    put(store, "a.json", b"[1, 2, 3]")
    with network(body(b"[1, ", length=9), times=3, method="GET") as sent:
        assert store.get("a.json") == b"[1, 2, 3]"
    assert len(sent) == 4

    def damaged(request: Any) -> Any:
        answer = body(b"[1, 2, 4]")(request)
        answer.headers["x-amz-checksum-sha256"] = "0000"
        return answer

    with network(damaged, times=2, method="GET"):
        assert store.get("a.json") == b"[1, 2, 3]"


@pytest.mark.parametrize(("fault", "said"), [(answered(503, "SlowDown", "Please reduce"), "SlowDown"), (cut, "closed")])
def test_a_store_that_only_fails_is_given_up_in_the_time_that_was_said(bucket: Any, fault: Fault, said: str) -> None:
    expected = rf"s3://scenes/run/a\.json cannot be stored: [\s\S]*{said}[\s\S]*\(tried for \d+\.\d seconds\)"
    with network(fault) as sent, pytest.raises(StorageError, match=expected):
        put(opened(give_up_after=0.001), "a.json")
    assert sent


def test_the_budget_counts_from_the_beginning_and_of_long_requests_from_their_first_failure(clock: Clock) -> None:
    failed: list[float] = []

    def failing() -> None:
        clock.now += 25.0
        failed.append(clock.now)
        raise ResponseParserError("x")

    with pytest.raises(ResponseParserError):
        retry_budget(1.0, "https://s3.example.com").call(failing)
    assert failed == [10_025.0, 10_050.0, 10_075.0]  # the last begins within the minute
    failed.clear()
    with pytest.raises(ResponseParserError):
        retry_budget(1.0, "https://s3.example.com").call(failing, is_long=True)
    assert failed == [10_100.0, 10_125.0, 10_150.0, 10_175.0]  # the first may take as long as it takes
    failed.clear()
    with pytest.raises(ResponseParserError):
        retry_budget(1.0, "https://s3.example.com").call(failing, at_most_s=30)
    assert len(failed) == 2


@pytest.mark.parametrize(
    ("endpoint", "longest_s"),
    [("http://127.0.0.1:1", 5), ("http://localhost:1", 5), ("http://[::1]:1", 5), ("https://s3.example.com", 600)],
)
def test_only_a_server_on_this_machine_that_refuses_is_given_up_after_seconds_and_others_are_told_of_once(
    clock: Clock, endpoint: str, longest_s: int, caplog: pytest.LogCaptureFixture
) -> None:
    def refused() -> None:
        clock.now += 1.0 if longest_s == 5 else 4.0
        return unreachable(SimpleNamespace(url=endpoint))  # type: ignore[arg-type,return-value]

    budget, begun = retry_budget(10, endpoint), clock.now
    with pytest.raises(BotoCoreError, match=r"Could not connect"), caplog.at_level(logging.WARNING):
        budget.call(refused)
    assert clock.now - begun == pytest.approx(longest_s + 4, abs=4)
    told = [record.getMessage() for record in caplog.records]
    if longest_s == 5:
        assert told == []
    else:
        assert len(told) == 1
        assert told[0].startswith(f"{endpoint} fails (Could not connect")
        assert told[0].endswith("trying for 9.93 minutes more (--give-up-after)")


def test_a_port_where_nothing_listens_says_so(clock: Clock) -> None:
    """Boto says that it cannot connect; the budget on loopback is of seconds, whatever was given."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    expected = pytest.raises(StorageError, match=r"cannot be fetched: Could not connect[\s\S]*Check --endpoint-url")
    with network(when=lambda request: clock.tick(2)) as sent, expected:
        opened(endpoint_url=url).read_current(MANIFEST_KEY)
    assert 3 <= len(sent) <= 6


def test_a_store_that_is_closed_tries_nothing_again(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "wait_random_exponential", lambda **_: lambda state: 300.0)
    store, failed, sends = opened(), list[StorageError](), threading.Event()

    def storing() -> None:
        with pytest.raises(StorageError) as raised:
            put(store, "a.json")
        failed.append(raised.value)

    with network(cut, when=lambda request: not sends.set()) as sent:
        thread = threading.Thread(target=storing)
        thread.start()
        assert sends.wait(30)
        store.close()
        thread.join(30)
        assert not thread.is_alive()
        assert "cannot be stored" in failed[0].message
        sent.clear()
        with pytest.raises(StorageError, match="closed"):
            store.get("a.json")
        assert len(sent) == 3  # boto's own attempts


def test_a_certificate_that_is_wrong_is_not_tried_for_minutes() -> None:
    assert not is_passing(SSLError(endpoint_url="x", error="[SSL: CERTIFICATE_VERIFY_FAILED]"))
    assert is_passing(SSLError(endpoint_url="x", error="[SSL: BAD_RECORD_MAC]"))


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (400, "ExpiredToken", r"have run out\. Log in again[\s\S]*the same command goes on"),
        (400, "TokenRefreshRequired", "have run out"),
        (400, "RequestExpired", "have run out"),
        (403, "RequestTimeTooSkewed", "clock is wrong"),
        (403, "InvalidAccessKeyId", "does not know the credentials"),
        (403, "SignatureDoesNotMatch", "secret key is not that"),
        (403, "AccessDenied", r"may not do that \(s3:PutObject\)"),
        (400, "AccessControlListNotSupported", "go without --acl"),
        (400, "KMS.NotFoundException", "--kms-key"),
        (400, "InvalidStorageClass", "--storage-class"),
        (501, "NotImplemented", "--checksums when_required --path-style"),
        (404, "NoSuchBucket", "no such bucket"),
        (301, "PermanentRedirect", "--region"),
        (400, "SomethingNew", "Check --region, --endpoint-url"),
        (405, "MethodNotAllowed", "Check the options"),
    ],
)
def test_what_the_store_refuses_is_asked_once_and_says_what_to_do(status: int, code: str, said: str) -> None:
    expected = rf"s3://scenes/run/a\.json cannot be stored: {code} No\.[\s\S]*{said}"
    with network(answered(status, code, "No."), method="PUT") as sent, pytest.raises(StorageError, match=expected):
        put(opened(), "a.json")
    assert [request.method for request in sent].count("PUT") == (2 if status == 301 else 1)  # boto asks for the region


@pytest.mark.parametrize("header", ["x-amz-sdk-checksum-algorithm", "x-amz-checksum-mode"])
@pytest.mark.parametrize(("status", "code"), [(400, "InvalidArgument"), (501, "NotImplemented")])
def test_a_store_that_knows_no_checksums_says_which_option_is_for_it(header: str, status: int, code: str) -> None:
    refuse = answered(status, code, f"Unsupported header '{header}' received for this API call.")
    with network(refuse), pytest.raises(StorageError) as raised:
        opened().read_current(MANIFEST_KEY)
    assert raised.value.fix is not None
    assert "--checksums when_required" in raised.value.fix
    assert "--region" not in raised.value.fix


def test_what_is_denied_names_the_permission_and_the_whole_key(bucket: Any) -> None:
    store = opened()
    with network(answered(403, "AccessDenied", "Access Denied")):
        for use, place, permission in (
            (store.check, r"s3://scenes/run cannot be listed", "s3:ListBucket on the bucket"),
            (lambda: store.get("a.json"), r"s3://scenes/run/a\.json cannot be fetched", "s3:GetObject, and s3:ListBu"),
            (
                lambda: store.read_current(MANIFEST_KEY),
                r"s3://scenes/run/manifest\.json cannot be fetched",
                "s3:GetObject, and s3:ListBu",
            ),
            (lambda: store.delete(["a.json"]), r"s3://scenes/run/a\.json cannot be deleted", "s3:DeleteObject"),
            (lambda: store.delete_unfinished(0.0), r"s3://scenes/run cannot be", "s3:ListBucketMultipartUploads"),
            (
                lambda: store.replace(MANIFEST_KEY, b"", if_version=None),
                r"s3://scenes/run/manifest\.json",
                "s3:PutObject",
            ),
        ):
            with pytest.raises(StorageError, match=rf"{place}[\s\S]*AccessDenied Access Denied[\s\S]*\({permission}"):
                use()
    for method, said in (
        ("PUT", r"\.lidarprep/check cannot be stored"),
        ("DELETE", r"\.lidarprep/check cannot be del"),
    ):
        with network(answered(403, "AccessDenied"), method=method), pytest.raises(StorageError, match=said):
            store.check()


def test_a_page_in_place_of_a_stores_answer_is_one_clear_error() -> None:
    page = b"<!doctype html><p>Log in to the hotel's network</br>"
    with network(body(page)), pytest.raises(StorageError, match=r"cannot be listed: [\s\S]*(network|log in)"):
        opened(give_up_after=0.0001).check()
    with pytest.raises(StorageError, match=r"is not that of a store[\s\S]*log in there"), reported("s3://b", "be read"):
        raise ResponseParserError("no element found")


def test_what_is_no_error_of_the_store_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="can't start new thread"), reported("s3://b", "be read"):
        raise RuntimeError("can't start new thread")


def test_a_bucket_that_is_not_there_is_one_clear_error(bucket: Any) -> None:
    bucket.delete()
    with pytest.raises(StorageError, match=r"s3://scenes/run cannot be listed: NoSuchBucket[\s\S]*no such bucket"):
        opened().check()
    with pytest.raises(StorageError, match="NoSuchBucket"):
        opened().get("a.json")
