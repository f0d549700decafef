"""Stores on a bad day: what passes is waited for, what does not is one clear error, and a change is noticed."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from lidarprep.errors import SourceChangedError, StorageError
from lidarprep.remote import RemotePath, faults
from lidarprep.remote.options import AccessOptions
from tests.emulators.proxy import Fault, Request
from tests.remote.objects import answered, asked, fill, gets, hurry, lines, path

KEY = "rec/large.bin"
DATA = bytes(range(256)) * 8192
OTHER = DATA[::-1]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


@pytest.fixture
def large(bucket: Any) -> RemotePath:
    fill(bucket, {KEY: DATA, "rec/small.txt": b"small"})
    return path(KEY)


def whole(one: RemotePath) -> bytes:
    return one.read_bytes()


def by_ranges(one: RemotePath) -> bytes:
    with one.open() as file:
        return file.read(1000) + file.read()


def copied(one: RemotePath) -> bytes:
    return one.local_copy().read_bytes()


WAYS = [whole, by_ranges, copied]


@pytest.mark.parametrize("read", WAYS)
@pytest.mark.parametrize(
    "fault",
    [
        answered("SlowDown", 503, times=9),
        answered("TooManyRequests", 429, times=9),
        answered("InternalError", 500, times=9),
        Fault(times=9),  # the connection is cut before the answer
        Fault(cut_after=1000, times=9),
        Fault(cut_after=200, stall_s=1.5, times=2),
    ],
    ids=["503", "429", "500", "reset", "cut in its middle", "stalled"],
)
def test_what_passes_is_tried_again_until_all_is_there(
    large: RemotePath, read: Callable[[RemotePath], bytes], fault: Fault
) -> None:
    fault.failed, fault.when = 0, gets(KEY)
    with asked(fault):
        assert read(large) == DATA
    assert fault.failed == fault.times


@pytest.mark.parametrize("read", WAYS)
def test_an_object_that_was_replaced_after_it_was_listed_is_noticed(
    bucket: Any, large: RemotePath, read: Callable[[RemotePath], bytes]
) -> None:
    one = path("rec") / "large.bin"
    assert one.stat().st_size == len(DATA)
    fill(bucket, {KEY: OTHER})
    with pytest.raises(SourceChangedError, match=r"s3://scenes/rec/large\.bin has changed"):
        read(one)


@pytest.mark.parametrize("read", WAYS)
def test_an_object_that_is_gone_since_it_was_listed_is_a_change(
    bucket: Any, large: RemotePath, read: Callable[[RemotePath], bytes]
) -> None:
    one = path("rec") / "large.bin"
    assert one.is_file()
    bucket.Object(KEY).delete()
    with pytest.raises(SourceChangedError, match="has changed"):
        read(one)


@pytest.mark.parametrize("is_heeded", [True, False])
def test_an_object_that_is_replaced_between_two_ranges_is_noticed(
    bucket: Any, large: RemotePath, monkeypatch: pytest.MonkeyPatch, is_heeded: bool
) -> None:
    if not is_heeded:  # a store that ignores conditions
        monkeypatch.setattr("lidarprep.remote.store._get_options", _without_condition)
    with large.open_ranged() as file:
        assert file.pread(100, 0) == DATA[:100]
        fill(bucket, {KEY: OTHER})
        assert file.pread(100, 0) == DATA[:100]  # held
        with pytest.raises(SourceChangedError, match="has changed"):
            file.pread(100, 10**6)


def _without_condition(expected: Any, start: int = 0, stop: int | None = None) -> dict[str, Any] | None:
    return None if stop is None else {"range": (start, stop)}


@pytest.mark.parametrize("is_known", [True, False])
def test_an_object_that_is_replaced_while_its_body_is_cut_is_never_half_of_each(
    bucket: Any, large: RemotePath, is_known: bool
) -> None:
    assert not is_known or large.exists()
    begun: list[Request] = []

    def fails(request: Request) -> bool:
        begun.extend([request] if gets(KEY)(request) else [])
        if len(begun) == 2:
            fill(bucket, {KEY: OTHER})
        return len(begun) == 1

    with asked(Fault(cut_after=1000, times=1, when=fails)):
        try:
            found = large.read_bytes()
        except SourceChangedError:
            return
    assert not is_known
    assert found == OTHER


def test_nothing_is_tried_for_longer_than_the_budget_and_the_error_says_so(large: RemotePath) -> None:
    with asked(answered("SlowDown", 503, "Reduce your rate.")), pytest.raises(StorageError) as refused:
        path(KEY, give_up_after=0.005).read_bytes()
    said = str(refused.value)
    assert "s3://scenes/rec/large.bin cannot be fetched: SlowDown Reduce your rate. (tried for" in said


def test_a_store_that_fails_is_told_of_once(
    large: RemotePath, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lidarprep.remote.retries._SAY_AFTER_S", 0.0)
    with asked(answered("SlowDown", 503, times=30)), caplog.at_level(logging.WARNING, "lidarprep"):
        assert large.read_bytes() == DATA
    said = [record.getMessage() for record in caplog.records if record.name.startswith("lidarprep")]
    assert len(said) == 1
    assert "SlowDown No." in said[0]
    assert "--give-up-after" in said[0]


@pytest.mark.parametrize("url", ["s3://scenes/a.txt", "http://127.0.0.1:9/a.txt?Signature=hidden"])
def test_a_port_of_this_machine_that_is_closed_is_not_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lidarprep.remote.retries._LOOPBACK_BUDGET_S", 0.05)
    one = RemotePath(url, AccessOptions(endpoint_url="http://127.0.0.1:9"))
    with pytest.raises(StorageError, match=r"a\.txt cannot be fetched: the connection is refused") as refused:
        one.read_bytes()
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (answered("AccessDenied", 403), "AccessDenied No.*s3:GetObject"),
        (answered("InvalidAccessKeyId", 403), "does not know the credentials"),
        (answered("SignatureDoesNotMatch", 403), "secret key is not that of the access key"),
        (answered("RequestTimeTooSkewed", 403), "clock is wrong"),
        (answered("NoSuchBucket", 404), "no such bucket"),
        (answered("InvalidObjectState", 403), "archive: restore it"),
        (answered("ExpiredToken", 400), "have run out. Log in again"),
    ],
)
def test_a_refusal_is_one_clear_error_at_once(large: RemotePath, fault: Fault, said: str) -> None:
    fault.failed = 0
    with asked(fault) as sent, pytest.raises(StorageError, match=rf"(?s){said}"):
        path(KEY).read_bytes()
    assert lines(sent) == ["GET rec/large.bin"]


def test_a_listing_that_is_refused_names_its_permission(large: RemotePath) -> None:
    with (
        asked(answered("AccessDenied", 403)),
        pytest.raises(StorageError, match=r"cannot be listed[\s\S]*s3:ListBucket"),
    ):
        path("rec").is_dir()


def test_an_error_of_a_store_is_the_same_from_another_process(large: RemotePath) -> None:
    with asked(answered("AccessDenied", 403)), pytest.raises(StorageError) as refused:
        path(KEY).read_bytes()
    again = pickle.loads(pickle.dumps(refused.value))
    assert (str(again), again.exit_code) == (str(refused.value), 1)


def test_a_malformed_answer_is_no_failed_connection() -> None:
    class GenericError(Exception):
        __module__ = "obstore.exceptions"

    assert not faults.is_passing(GenericError("Generic HTTP error: Failed to parse header content-range"))
    assert faults.is_passing(GenericError("Generic HTTP error: inner: Http(HttpError { kind: Interrupted"))
