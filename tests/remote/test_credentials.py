"""S3 is read with the credentials, region and endpoint that the AWS tools would use, which are renewed in time."""

from __future__ import annotations

import re
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lidarprep.errors import StorageError
from lidarprep.remote import RemotePath, aws
from lidarprep.remote.options import AccessOptions
from tests.emulators.proxy import Request
from tests.remote.objects import answered, asked, fill, hurry, path, proxy

ROLE = "arn:aws:iam::123456789012:role/reader"
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open all stores and sessions again: those of other tests have other credentials."""
    hurry(monkeypatch)
    monkeypatch.setattr(aws, "_sessions", {})
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def stored(bucket: Any) -> str:
    fill(bucket, {"rec/a.txt": b"a"})
    return "rec/a.txt"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration of the AWS tools, and no credentials in the environment."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    for name in (*_KEYS, "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    return tmp_path / "config"


def signer(request: Request) -> tuple[str, str]:
    """The access key and the region that a request is signed with; empty for none."""
    found = re.search(r"Credential=(\w+)/\d+/([\w-]+)/", headers(request).get("authorization", ""))
    return (found[1], found[2]) if found else ("", "")


def headers(request: Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def test_those_of_the_environment(stored: str) -> None:
    with asked() as sent:
        assert path(stored).read_bytes() == b"a"
    assert signer(sent[0]) == ("testing", "us-east-1")


def test_a_profile_with_its_region_and_its_endpoint(stored: str, config: Path) -> None:
    config.write_text(
        "[profile fleet]\naws_access_key_id = FLEET\naws_secret_access_key = s\nregion = eu-central-1\n"
        f"endpoint_url = {proxy().url}\n"
    )
    with asked() as sent:
        assert RemotePath(f"s3://scenes/{stored}", AccessOptions(profile="fleet")).read_bytes() == b"a"
    assert signer(sent[0]) == ("FLEET", "eu-central-1")
    with pytest.raises(StorageError, match=r"nobody[\s\S]*--profile"):
        path(stored, profile="nobody").read_bytes()


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_the_endpoint_of_the_environment_and_the_option_before_it(
    stored: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, proxy().url)
    assert RemotePath(f"s3://scenes/{stored}").read_bytes() == b"a"
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert path(stored).read_bytes() == b"a"


def test_a_region_that_is_named_signs(stored: str) -> None:
    with asked() as sent:
        assert path(stored, region="ap-south-1").read_bytes() == b"a"
    assert signer(sent[0]) == ("testing", "ap-south-1")


def test_who_pays_for_requests_says_so(stored: str) -> None:
    with asked() as sent:
        assert path("rec", requester_pays=True).is_dir()
        assert path(stored, requester_pays=True).read_bytes() == b"a"
    assert [headers(request)["x-amz-request-payer"] for request in sent] == ["requester"] * 2


def test_a_role_is_assumed_and_again_before_it_expires(stored: str, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto)
    with asked() as sent:
        for _ in range(2):
            assert path(stored, role_arn=ROLE).read_bytes() == b"a"
    keys = [signer(request)[0] for request in sent]
    assert keys[0] == keys[1] != "testing"
    assert all("x-amz-security-token" in headers(request) for request in sent)
    session = aws.shared_aws_session(AccessOptions(role_arn=ROLE))
    used = aws.Credentials(session)
    session._role_expires_at = datetime.now(UTC).timestamp() + 500
    assert used()["access_key_id"] != keys[0]


def test_a_role_that_may_not_be_assumed_is_one_clear_error(stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", proxy().url)
    refusal = answered("AccessDenied", 403)
    refusal.body = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>No.</Message></Error></ErrorResponse>"
    with asked(refusal), pytest.raises(StorageError, match=r"AccessDenied No\.[\s\S]*--role-arn"):
        path(stored, role_arn=ROLE).read_bytes()


def test_credentials_that_run_out_are_fetched_again_before(stored: str, config: Path, tmp_path: Path) -> None:
    # A program that gives another key each time, which lasts a minute.
    script = tmp_path / "credentials.py"
    script.write_text(
        "import datetime, json, pathlib\n"
        f"calls = pathlib.Path({str(tmp_path / 'calls')!r})\n"
        "calls.write_text(calls.read_text() + 'x' if calls.exists() else 'x')\n"
        "until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': f'KEY{len(calls.read_text())}', 'SecretAccessKey': 's',"
        " 'SessionToken': 't', 'Expiration': until.isoformat()}))\n"
    )
    config.write_text(f"[profile maps]\ncredential_process = {sys.executable} -S {script}\nregion = us-east-1\n")
    with asked() as sent:
        assert path(stored, profile="maps").read_bytes() == b"a"
        time.sleep(0.2)  # obstore asks for credentials ten times a second at most
        assert path(stored, profile="maps").read_bytes() == b"a"
    assert len({signer(request)[0] for request in sent}) == 2


def test_a_token_that_expires_in_the_middle_is_replaced_by_one_that_can_be_had(
    stored: str, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto)
    one = path(stored, role_arn=ROLE)
    with asked() as sent:
        assert one.read_bytes() == b"a"
    old = signer(sent[0])
    expired = answered("ExpiredToken", 400, when=lambda request: signer(request) == old)
    with asked(expired) as sent:
        assert [one.read_bytes() for _ in range(3)] == [b"a"] * 3
    assert expired.failed == 1


def test_credentials_that_cannot_be_renewed_any_more_are_one_clear_error(
    stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = path(stored)
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", (datetime.now(UTC) - timedelta(minutes=1)).isoformat())
    with pytest.raises(StorageError, match=r"(?s)(expired|run out).*Log in again"):
        one.read_bytes()


def test_without_credentials_a_public_bucket_is_read_and_a_refusal_says_that_there_are_none(
    bucket: Any, stored: str, config: Path
) -> None:
    bucket.Object(stored).Acl().put(ACL="public-read")
    with asked() as sent:
        assert path(stored).read_bytes() == b"a"
    assert signer(sent[0]) == ("", "")
    refusal = answered("AccessDenied", 403)
    with asked(refusal), pytest.raises(StorageError, match=r"AccessDenied[\s\S]*no AWS credentials[\s\S]*AWS_ACCESS"):
        path(stored).read_bytes()


def test_secrets_show_in_no_error(stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "tokensecret")
    with asked(answered("AccessDenied", 403)), pytest.raises(StorageError) as refused:
        path(stored).read_bytes()
    assert not re.search("verysecret|tokensecret|Signature", f"{refused.value} {refused.value!r}")
