"""How long S3 is tried: until patience ends, somebody stops it, or only a few seconds where it is for tidiness."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from lidarprep.storage.lock import locked

from lidarprep.errors import StorageError
from lidarprep.storage.s3 import retries
from tests.storage.s3_faults import Fault, answered, cut, failing
from tests.storage.s3_stores import JSON, opened


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "_wait", lambda attempts: 0.01)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.0)
    monkeypatch.setattr("botocore.retries.bucket.TokenBucket.acquire", lambda self, amount=1, block=True: True)


@pytest.mark.parametrize(("fault", "said"), [(answered(503, "SlowDown", "Please reduce"), "SlowDown"), (cut, "closed")])
def test_a_store_that_only_fails_is_given_up_in_the_time_that_was_said(
    bucket: Any, moto: str, fault: Fault, said: str
) -> None:
    store = opened(moto, give_up_after=0.02)
    failing(store, fault)
    with pytest.raises(StorageError, match=rf"cannot take a\.json: [\s\S]*{said}[\s\S]*\(tried for 1\.2 seconds\)"):
        store.put("a.json", b"[1]", JSON)


def test_a_store_that_is_stopped_tries_nothing_again(bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(moto)
    monkeypatch.setattr(retries, "_wait", lambda attempts: 300.0)
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


@pytest.mark.parametrize("keys", [["a"], [f"{n}" for n in range(40)]])
def test_what_is_only_tidiness_is_tried_for_seconds_also_side_by_side(
    bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch, keys: list[str]
) -> None:
    monkeypatch.setattr("lidarprep.storage.s3.prefix.TIDY_S", 0.0)
    store = opened(moto, give_up_after=60)
    sent = failing(store, cut)
    with pytest.raises(StorageError, match="tried for 0 seconds"), store.hurried():
        store.discard(keys)
    assert len(sent) <= len(keys)
    assert store.bucket.patience.seconds == 3600


def test_a_lock_of_a_store_that_is_gone_is_let_go_of_at_once(
    bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lidarprep.storage.s3.prefix.TIDY_S", 0.0)
    monkeypatch.setattr(retries, "_wait", lambda attempts: 300.0)
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

    assert not retries.is_passing(SSLError(endpoint_url="x", error="[SSL: CERTIFICATE_VERIFY_FAILED]"))
    assert retries.is_passing(SSLError(endpoint_url="x", error="[SSL: BAD_RECORD_MAC]"))


def test_patience_counts_from_the_first_failure_and_is_shared_by_all_of_an_errand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr(retries.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(retries, "_wait", lambda attempts: 0.0)
    patience = retries.Patience(1.0)
    failed: list[float] = []

    def inner() -> None:
        clock[0] += 25.0
        failed.append(clock[0])
        raise retries.DamagedError("x")

    clock[0] = 10_000.0  # however long it went well
    with pytest.raises(retries.DamagedError):
        patience.call(lambda: patience.call(inner))
    assert failed == [10_025.0, 10_050.0, 10_075.0, 10_100.0]


def test_a_stop_while_it_waits_is_the_end_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    patience, calls = retries.Patience(1.0), list[int]()

    def failing_once() -> None:
        calls.append(1)
        patience.end()
        raise retries.DamagedError("x")

    with pytest.raises(retries.DamagedError):
        patience.call(failing_once)
    assert calls == [1]
