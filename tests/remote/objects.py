"""Objects in a bucket behind a proxy, as paths; and how requests of obstore are hurried."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from tenacity import wait_fixed

from lidarprep.remote import RemotePath, retries, store
from lidarprep.remote.options import AccessOptions
from tests.emulators.proxy import Fault, Proxy, Request
from tests.storage.conftest import BUCKET, server


@cache
def proxy() -> Proxy:
    """The proxy before the server of S3, one a process."""
    return Proxy(server())


def path(key: str, **options: Any) -> RemotePath:
    """Return the path of an object or a folder in the bucket, by the proxy."""
    given = {"endpoint_url": proxy().url} | options
    return RemotePath(f"s3://{BUCKET}/{key}", AccessOptions(**given))


def fill(bucket: Any, objects: Mapping[str, bytes]) -> None:
    """Store objects by boto's own client."""
    for key, data in objects.items():
        bucket.put_object(Key=key, Body=data)


@contextmanager
def asked(fault: Fault | None = None) -> Iterator[list[Request]]:
    """Record what the bucket is asked for, and let some requests fail."""
    with proxy().recording(fault) as sent:
        yield sent


def lines(sent: list[Request]) -> list[str]:
    """Method and path in the bucket of each request; listings with what they list."""
    return [f"{one.method} {one.url.removeprefix(f'/{BUCKET}').removeprefix('/')}".strip() for one in sent]


def gets(key: str) -> Callable[[Request], bool]:
    """Tell the requests for an object's content."""
    return lambda request: request.method == "GET" and request.path == f"/{BUCKET}/{key}"


def answered(code: str, status: int, message: str = "No.", **when: Any) -> Fault:
    """The store says so, in place of doing what it is asked for."""
    return Fault(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode(), **when)


def hurry(monkeypatch: pytest.MonkeyPatch, read_timeout: str = "1s") -> None:
    """Wait for nothing between two attempts, and not for long for a byte."""
    monkeypatch.setattr(retries, "wait_random_exponential", lambda **_: wait_fixed(0.001))
    monkeypatch.setitem(store.RETRIES, "backoff", {"init_backoff": timedelta(milliseconds=1), "base": 2})
    monkeypatch.setitem(store._TIMES, "read_timeout", read_timeout)
    monkeypatch.setattr("lidarprep.remote.stores._stores", OrderedDict())
