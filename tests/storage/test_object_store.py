"""What is of Google Cloud Storage and Azure alone: credentials, signed URLs, options, checksums."""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import obstore
import pytest
from obstore.exceptions import GenericError
from obstore.store import AzureStore

import lidarprep as lp
from lidarprep.errors import RecipeError, StorageError
from lidarprep.remote.address import StoreAddress
from lidarprep.remote.faults import is_passing, reported
from lidarprep.storage import open_store
from tests.emulators import azurite
from tests.emulators.proxy import Fault
from tests.storage.clouds import Cloud, az_cloud, gcs, gs_cloud, no_waiting
from tests.storage.conftest import BUCKET
from tests.storage.s3 import put

ATTACHMENT = "frames/1-0123456789ab.json"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("GOOGLE_", "AZURE_"))]:
        monkeypatch.delenv(name)
    no_waiting(monkeypatch)


@pytest.fixture
def gs(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return gs_cloud(monkeypatch)


@pytest.fixture
def az(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return az_cloud(monkeypatch)


@pytest.fixture(params=["gs", "az"])
def cloud(request: pytest.FixtureRequest) -> Cloud:
    found: Cloud = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def service_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The key file of the account that the server of Google Cloud Storage knows."""
    (tmp_path / "key.json").write_text(gcs().credentials())
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))


def test_a_service_account_signs_what_it_asks_for(gs: Cloud, service_account: None) -> None:
    gcs().requires_token = True
    store = gs.open()
    store.check()
    put(store, "a.json")
    assert gs.stored("run/a.json").data == b"[1]"


def test_without_credentials_what_needs_them_says_so(gs: Cloud) -> None:
    gcs().requires_token = True
    with pytest.raises(StorageError, match=r"run/a\.json cannot be stored: AuthenticationRequired") as refused:
        put(gs.open(), "a.json")
    assert "GOOGLE_APPLICATION_CREDENTIALS" in str(refused.value.fix)


@pytest.mark.parametrize(
    ("scheme", "host", "named"),
    [
        (
            "gs",
            "metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token",
            "GOOGLE_APPLICAT",
        ),
        ("az", "169.254.169.254/metadata/identity/oauth2/token", "AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
def test_where_not_even_the_machine_has_credentials_nothing_is_tried_for_minutes(
    scheme: str, host: str, named: str
) -> None:
    """As obstore says it where no cloud's machine runs; nothing is asked here."""
    found = GenericError(
        f"Error performing token request: Error performing GET http://{host}?x=y in 9s, after 3 retries"
    )
    assert not is_passing(found)
    address = StoreAddress(scheme, "scenes")
    with (
        pytest.raises(StorageError, match="there are no credentials") as refused,
        reported(address.url("run"), "be listed", address),
    ):
        raise found
    assert named in str(refused.value.fix)


def test_a_key_file_that_is_none_is_one_clear_error(gs: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(StorageError, match=r"gs://scenes[\s\S]*cannot be reached") as refused:
        put(gs.open(), "a.json")
    assert "GOOGLE_APPLICATION_CREDENTIALS" in str(refused.value.fix)


def test_a_signed_url_of_google_is_read_without_credentials_and_holds_for_its_hours(
    gs: Cloud, service_account: None
) -> None:
    gcs().requires_token = True
    store = gs.open("a run", presign_hours=2)
    put(store, ATTACHMENT)
    found = store.fetch_url(ATTACHMENT)
    assert httpx.get(found.url).text == "[1]"
    assert httpx.get(found.url.replace("Expires=7200", "Expires=7201")).status_code == 403
    assert httpx.get(found.url.partition("?")[0]).status_code == 401
    assert found.expires_at == pytest.approx(time.time() + 7200, abs=60)
    assert "Signature" not in repr(found)


def test_a_signed_url_of_azure_is_read_without_credentials_and_holds_for_its_hours(az: Cloud) -> None:
    store = az.open("fleet=1/a+b", presign_hours=2)
    put(store, ATTACHMENT)
    found = store.fetch_url(ATTACHMENT)
    direct = found.url.replace(az.proxy.url, azurite.server().rpartition("/")[0])
    assert httpx.get(direct).text == "[1]"
    assert httpx.get(direct.replace("sp=r", "sp=rw")).status_code == 403
    assert httpx.get(direct.partition("?")[0]).status_code in (403, 404, 409)
    assert found.expires_at == pytest.approx(time.time() + 7200, abs=60)
    with pytest.raises(RecipeError, match=r"URLs below az://scenes/a run cannot be signed[\s\S]*a-z"):
        az.open("a run", presign_hours=2)


def test_with_a_shared_access_signature_alone_objects_are_stored_and_nothing_is_signed(
    az: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = AzureStore(BUCKET, client_options={"allow_http": True})
    query = urlsplit(obstore.sign(account, "PUT", "run/a.json", timedelta(hours=1))).query
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_KEY")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", query)
    store = az.open(presign_hours=2)
    put(store, "a.json")
    assert az.stored("run/a.json").data == b"[1]"
    with pytest.raises(StorageError, match=r"run/a\.json cannot be signed for") as refused:
        store.fetch_url("a.json")
    assert "sig" not in f"{refused.value} {refused.value!r}".replace("signed", "")


def test_an_azure_account_is_found_by_a_connection_string_too(az: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = os.environ["AZURE_STORAGE_ENDPOINT"]
    for name in ("ACCOUNT_NAME", "ACCOUNT_KEY", "ENDPOINT"):
        monkeypatch.delenv(f"AZURE_STORAGE_{name}")
    text = f"AccountName={azurite.ACCOUNT};AccountKey={azurite.KEY};BlobEndpoint={endpoint};"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    put(az.open(), "a.json")
    assert az.stored("run/a.json").data == b"[1]"


def test_urls_are_those_that_scale_fetches(gs: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gs.open("a b").url("c.json") == gs.open("a b").fetch_url("c.json").url == f"gs://{BUCKET}/a b/c.json"
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "fleet")
    monkeypatch.setenv("AZURE_STORAGE_KEY", azurite.KEY)
    store = open_store("az://scenes/a b")
    assert store.url("c.json") == "https://fleet.blob.core.windows.net/scenes/a%20b/c.json"
    assert store.location("c.json") == "az://scenes/a b/c.json"
    given = lp.StorageOptions(url_base="https://data.example.com")
    assert open_store("az://scenes/a", given).url("c.json") == "https://data.example.com/c.json"
    china = f"AccountName=fleet;AccountKey={azurite.KEY};EndpointSuffix=core.chinacloudapi.cn"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", china)
    assert open_store("az://scenes").url("c.json") == "https://fleet.blob.core.chinacloudapi.cn/scenes/c.json"


def test_without_obstore_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(lp.MissingExtraError, match=r"destinations of gs://[\s\S]*lidarprep\[remote\]"):
        open_store("gs://scenes/run")


def test_without_an_account_azure_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match=r"az://scenes[\s\S]*cannot be reached") as refused:
        open_store("az://scenes/run")
    assert "AZURE_STORAGE_ACCOUNT_NAME" in str(refused.value.fix)


def test_the_storage_class_is_heeded_for_attachments_and_not_for_cache_entries(gs: Cloud, az: Cloud) -> None:
    store = gs.open(storage_class="NEARLINE")
    for key in (ATTACHMENT, ".lidarprep/0.json"):
        put(store, key)
    assert gs.stored(f"run/{ATTACHMENT}").headers["x-goog-storage-class"] == "NEARLINE"
    assert "x-goog-storage-class" not in gs.stored("run/.lidarprep/0.json").headers
    put(az.open(storage_class="COOL", tags=["team=maps"]), ATTACHMENT)
    _, headers, _ = azurite.request("HEAD", f"{BUCKET}/run/{ATTACHMENT}")
    assert (headers["x-ms-access-tier"], headers["x-ms-tag-count"]) == ("Cool", "1")


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint_url": "https://s3.example.com"},
        {"profile": "maps"},
        {"requester_pays": True},
        {"checksums": "crc32"},
        {"acl": "private"},
        {"sse": "aws:kms", "kms_key": "k"},
    ],
)
def test_what_only_s3_can_heed_is_refused(cloud: Cloud, options: dict[str, Any]) -> None:
    expected = rf"{', '.join(options)}: that is for s3://bucket/prefix, and {cloud.url('run')} is not on S3"
    with pytest.raises(RecipeError, match=expected):
        cloud.open(**options)


def test_tags_are_for_azure_and_archives_for_google_only(gs: Cloud, az: Cloud) -> None:
    with pytest.raises(RecipeError, match="tags: that is for s3"):
        gs.open(tags=["a=b"])
    gs.open(storage_class="ARCHIVE")  # which Google reads at once
    with pytest.raises(RecipeError, match=r"'ARCHIVE' is no storage_class of Azure[\s\S]*HOT, COOL, COLD"):
        az.open(storage_class="ARCHIVE")
    with pytest.raises(RecipeError, match="link_images"):
        az.open(link_images=True)


def test_bytes_that_google_has_got_damaged_are_an_error(gs: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    server, store = gcs(), gs.open()
    monkeypatch.setattr(server, "damages", True)
    with pytest.raises(StorageError, match=r"gs://scenes/run/a\.json was damaged on its way"):
        put(store, "a.json")
    monkeypatch.setattr(server, "damages", False)
    monkeypatch.setattr(server, "hides_md5", True)  # as with a key of the customer's own
    put(store, "a.json")


def test_a_large_file_that_cannot_be_sent_leaves_no_parts(gs: Cloud) -> None:
    store = gs.open(give_up_after=0.001)
    refuse = Fault(403, when=lambda request: "partNumber" in request.url)
    with store.temporary_file() as file:
        file.write(b"x" * (17 * 2**20))
        with gs.proxy.recording(refuse), pytest.raises(StorageError, match=r"scene\.sfs cannot be stored"):
            store.put_file("scene.sfs", file, "application/octet-stream", sha256="")
    assert gs.keys() == set()
    assert gcs().buckets[BUCKET].uploads == {}


def test_a_signature_shows_in_no_error(az: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_KEY")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", f"sv=2023-11-03&sp=rw&sr=c&sig={quote('very/secret', safe='')}")
    with pytest.raises(StorageError) as refused:
        az.open().get("a.json")
    assert "secret" not in f"{refused.value} {refused.value!r} {refused.value.__cause__} {az.open()!r}"
