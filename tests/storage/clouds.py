"""Buckets of S3, Google Cloud Storage and Azure behind a proxy, looked into by other ways than ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from tenacity import wait_fixed

import lidarprep as lp
from lidarprep.storage import Store, open_store
from tests.emulators import azurite
from tests.emulators.gcs import Bucket, GcsServer
from tests.emulators.proxy import Proxy
from tests.storage.conftest import BUCKET, server


@dataclass(frozen=True)
class Stored:
    """An object as its store has it; headers by names in small letters."""

    data: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Cloud:
    """An empty bucket, or container, of one cloud.

    Args:
        scheme: "s3", "gs" or "az".
        proxy: What requests of the store under test go through.
        stored: Returns an object by its key in the bucket.
        keys: Returns the keys of all objects.
        options: By which it is reached.
    """

    scheme: str
    proxy: Proxy
    stored: Callable[[str], Stored]
    keys: Callable[[], set[str]]
    options: dict[str, Any] = field(default_factory=dict)

    def url(self, key: str) -> str:
        """The URL of an object or a prefix, as users name it."""
        return f"{self.scheme}://{BUCKET}/{key}"

    def storage(self, **options: Any) -> lp.StorageOptions:
        """Options of a run that stores here."""
        return lp.StorageOptions(**(self.options | options))

    def open(self, prefix: str = "run", **options: Any) -> Store:
        """Open the store under test."""
        return open_store(self.url(prefix), self.storage(**options))


@cache
def gcs() -> GcsServer:
    """Start a server of Google Cloud Storage, one a process."""
    return GcsServer()


@cache
def _proxy(to: str) -> Proxy:
    return Proxy(to)


def s3_cloud(bucket: Any) -> Cloud:
    """S3, by moto's server and boto's own client."""

    def stored(key: str) -> Stored:
        answer = bucket.Object(key).get()
        return Stored(answer["Body"].read(), dict(answer["ResponseMetadata"]["HTTPHeaders"]))

    proxy = _proxy(server())
    return Cloud("s3", proxy, stored, lambda: {item.key for item in bucket.objects.all()}, {"endpoint_url": proxy.url})


def gs_cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """Google Cloud Storage, looked into in its server's memory."""
    bucket, proxy = Bucket(), _proxy(gcs().url)
    gcs().buckets, gcs().requires_token = {BUCKET: bucket}, False
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)

    def stored(key: str) -> Stored:
        found = bucket.objects[key]
        return Stored(found.data, found.headers)

    return Cloud("gs", proxy, stored, lambda: set(bucket.objects))


def az_cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """Azure, by Azurite and requests that no client makes."""
    base, _, account = azurite.server().rpartition("/")
    proxy = _proxy(base)
    azurite.make_empty(BUCKET)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", account)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", azurite.KEY)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"{proxy.url}/{account}")

    def stored(key: str) -> Stored:
        status, headers, data = azurite.request("GET", f"{BUCKET}/{key}")
        assert status == 200, data
        return Stored(data, headers)

    return Cloud("az", proxy, stored, lambda: azurite.keys(BUCKET))


def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be waited for between two attempts of obstore or of the budget."""
    short = {"max_retries": 0, "retry_timeout": timedelta(seconds=60)}
    monkeypatch.setattr("lidarprep.remote.clouds.RETRIES", short)
    monkeypatch.setattr("lidarprep.remote.retries.wait_random_exponential", lambda **_: wait_fixed(0.001))
