"""Who signs the requests and URLs of S3, and until when these hold: never longer than the credentials."""

from __future__ import annotations

import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from lidarprep.errors import StorageError
from lidarprep.remote import aws
from lidarprep.storage import StorageOptions, open_store
from lidarprep.storage import _s3_session as session
from tests.storage.s3 import network, opened, put

ROLE = "arn:aws:iam::123456789012:role/writer"
HOURS = 24.0


@pytest.fixture(autouse=True)
def _no_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open all sessions again: those of other tests have other credentials."""
    monkeypatch.setattr(session, "_sessions", {})
    monkeypatch.setattr(aws, "_sessions", {})
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def expires_at(**options: Any) -> int | None:
    return open_store("s3://bucket/run", StorageOptions(presign_hours=HOURS, **options)).fetch_url("a").expires_at


def about(seconds: float) -> Any:
    return pytest.approx(time.time() + seconds, abs=60)


def signers(sent: list[Any]) -> list[str]:
    """The access keys that requests are signed with."""
    found = [re.search(r"Credential=(\w+)/", request.headers["Authorization"].decode()) for request in sent]
    return [match[1] for match in found if match is not None]


def test_a_role_is_assumed_and_its_credentials_sign(bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto)
    store = opened(role_arn=ROLE, region="us-east-1", presign_hours=HOURS)
    with network() as sent:
        put(store, "a.json")
    assert "x-amz-security-token" in {name.lower() for name in sent[0].headers}
    assert signers(sent) != ["testing"]
    assert store.fetch_url("a.json").expires_at == about(3600)  # as long as a role is assumed for


def test_a_role_is_assumed_again_before_its_credentials_expire(
    bucket: Any, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto)
    store = opened(role_arn=ROLE, region="us-east-1")
    with network() as sent:
        put(store, "a.json")
        put(store, "b.json")
        store._session.aws._role_expires_at = time.time() + 500
        put(store, "c.json")
        put(store, "d.json")
    keys = signers([request for request in sent if request.method == "PUT"])
    assert keys[0] == keys[1] != keys[2] == keys[3]


def test_a_role_that_may_not_be_assumed_is_one_clear_error(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto)
    from tests.storage.s3 import body

    refusal = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>No.</Message></Error></ErrorResponse>"
    with network(body(refusal, 403)), pytest.raises(StorageError, match=r"AccessDenied No\.[\s\S]*--role-arn"):
        opened(role_arn=ROLE, region="us-east-1")


def test_the_credentials_of_a_profile_are_used_and_fetched_again_before_they_expire(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    (tmp_path / "config").write_text(f"[profile maps]\ncredential_process = {sys.executable} -S {script}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    store = opened(profile="maps")
    with network() as sent:
        put(store, "1.json")
        put(store, "2.json")
    assert len(set(signers(sent))) == 2
    with pytest.raises(StorageError, match=r"nobody[\s\S]*--profile"):
        opened(profile="nobody")


def test_no_credentials_are_one_clear_error(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    for options in ({}, {"role_arn": ROLE, "region": "us-east-1"}):
        with pytest.raises(StorageError, match=r"there are no AWS credentials[\s\S]*AWS_ACCESS_KEY_ID"):
            opened(**options).check()  # type: ignore[arg-type]


def test_with_a_users_own_key_signed_urls_hold_as_long_as_was_asked_for() -> None:
    assert expires_at() == about(HOURS * 3600)


@pytest.mark.parametrize(("hours", "held"), [(3, 3), (9 * 24, HOURS)])
def test_they_hold_no_longer_than_temporary_credentials(
    monkeypatch: pytest.MonkeyPatch, hours: float, held: float
) -> None:
    end = datetime.fromtimestamp(time.time() + hours * 3600, UTC)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "temporary")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", end.isoformat())
    assert expires_at() == about(held * 3600)
    url = open_store("s3://bucket/run", StorageOptions(presign_hours=HOURS)).fetch_url("images/1.jpg").url
    assert parse_qs(urlsplit(url).query)["X-Amz-Security-Token"] == ["temporary"]


def test_credentials_that_have_expired_are_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", datetime.fromtimestamp(time.time() - 60, UTC).isoformat())
    with pytest.raises(StorageError, match=r"s3://bucket[\s\S]*(expired|run out)[\s\S]*Log in again"):
        expires_at()


def test_what_is_not_signed_does_not_expire(tmp_path: Path) -> None:
    assert open_store("s3://bucket/run").fetch_url("a").expires_at is None
    assert open_store(str(tmp_path)).fetch_url("a").expires_at is None


@pytest.mark.parametrize(
    ("endpoint", "said"), [("http://user:secret@127.0.0.1", "without user"), ("127.0.0.1:9000", "must be a URL")]
)
def test_an_endpoint_is_a_url_and_no_secret_shows_in_an_error(endpoint: str, said: str) -> None:
    with pytest.raises(Exception, match=said) as refused:
        StorageOptions(endpoint_url=endpoint)
    assert "secret" not in str(refused.value)


def test_secrets_show_in_no_error(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.storage.s3 import answered

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "tokensecret")
    with network(answered(403, "AccessDenied", "No.")), pytest.raises(StorageError) as refused:
        opened(presign_hours=1).get("a.json")
    assert not re.search("verysecret|tokensecret|Signature", f"{refused.value} {refused.value!r}")
