"""Until when signed URLs hold: as long as was asked for, but never longer than the credentials that sign them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.credentials import RefreshableCredentials
from lidarprep.storage.local import LocalFolder
from lidarprep.storage.s3.expiry import expiry_of_credentials

from lidarprep.errors import StorageError
from lidarprep.storage import open_store

HOURS = 24.0


def expire_at() -> int | None:
    return open_store("s3://bucket/run", presign_hours=HOURS).fetch_urls_expire_at()


@pytest.fixture
def now() -> float:
    return time.time()


def test_with_a_users_own_key_they_hold_as_long_as_was_asked_for(now: float) -> None:
    found = expire_at()
    assert found is not None
    assert 0 <= found - int(now + HOURS * 3600) <= 60


def test_they_end_with_temporary_credentials_of_the_environment(monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    end = datetime.fromtimestamp(int(now), UTC) + timedelta(hours=3)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "temporary")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", end.isoformat())
    assert expire_at() == int(end.timestamp())
    url = open_store("s3://bucket/run", presign_hours=HOURS).fetch_url("images/front/1.jpg")
    assert parse_qs(urlsplit(url).query)["X-Amz-Security-Token"] == ["temporary"]


def test_credentials_that_last_longer_do_not_lengthen_them(monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", datetime.fromtimestamp(now + 9 * 86400, UTC).isoformat())
    found = expire_at()
    assert found is not None
    assert 0 <= found - int(now + HOURS * 3600) <= 60


def test_credentials_that_are_about_to_end_are_fetched_anew_first(now: float) -> None:
    """As those of a role are: the end is that of the ones that sign."""
    old, new = (datetime.fromtimestamp(int(now), UTC) + timedelta(minutes=minutes) for minutes in (5, 60))
    renewed = {"access_key": "b", "secret_key": "b", "token": "b", "expiry_time": new.isoformat()}
    credentials = RefreshableCredentials("a", "a", "a", old, lambda: renewed, "assume-role")

    class Signer:
        _credentials = credentials

    class Client:
        _request_signer = Signer()

    assert expiry_of_credentials(Client()) == new.timestamp()


def test_credentials_that_have_ended_are_one_clear_error(monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    store = open_store("s3://bucket/run", presign_hours=HOURS)
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", datetime.fromtimestamp(now - 60, UTC).isoformat())
    assert store.fetch_urls_expire_at() is not None  # of the credentials that there were before
    with pytest.raises(StorageError, match="s3://bucket cannot"):
        expire_at()


def test_what_is_not_signed_does_not_end(tmp_path: Path) -> None:
    assert open_store("s3://bucket/run").fetch_urls_expire_at() is None
    assert LocalFolder(tmp_path).fetch_urls_expire_at() is None
