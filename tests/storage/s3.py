"""Stores in a bucket, and what goes wrong between them and S3: put in place of what botocore sends."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError
from botocore.httpsession import URLLib3Session
from tenacity import wait_fixed

import lidarprep as lp
from lidarprep.remote import retries
from lidarprep.storage import open_store
from lidarprep.storage.s3 import S3Store
from tests.storage.conftest import BUCKET, server

JSON = "application/json"
Fault = Callable[[Any], AWSResponse]


def opened(prefix: str = "run", **options: Any) -> S3Store:
    """Open a store as the options of a run make it."""
    given = {"endpoint_url": server()} | options
    store = open_store(f"s3://{BUCKET}/{prefix}", lp.StorageOptions(**given))
    assert isinstance(store, S3Store)
    return store


def put(store: lp.storage.Store, key: str, data: bytes = b"[1]", content_type: str = JSON, **more: Any) -> None:
    store.put(key, data, content_type, sha256=hashlib.sha256(data).hexdigest(), **more)


def head(bucket: Any, key: str) -> dict[str, Any]:
    answer: dict[str, Any] = bucket.meta.client.head_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED")
    return answer


class _Raw(io.BytesIO):
    def stream(self, *_: object) -> Iterator[bytes]:
        yield self.read()


def body(data: bytes, status: int = 200, length: int | None = None) -> Fault:
    """The store answers that, whatever it is asked for."""
    headers = {"Content-Length": str(len(data) if length is None else length)}
    return lambda request: AWSResponse(request.url, status, headers, _Raw(data))


def answered(status: int, code: str, message: str = "") -> Fault:
    """The store says so, in place of doing what it is asked for."""
    return body(f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode(), status)


def cut(request: AWSPreparedRequest) -> AWSResponse:
    """The connection is reset."""
    raise ConnectionClosedError(endpoint_url=request.url)


def unreachable(request: AWSPreparedRequest) -> AWSResponse:
    """There is no network."""
    raise EndpointConnectionError(endpoint_url=request.url, error="no route")


@contextmanager
def network(
    fault: Fault | None = None,
    *,
    times: int | None = None,
    method: str | None = None,
    when: Callable[[Any], bool] = lambda request: True,
    after: bool = False,
) -> Iterator[list[Any]]:
    """Record all requests to S3, and let some fail: so many times or for ever; `after` the store has heeded them."""
    sent, failed, send = list[Any](), list[Any](), URLLib3Session.send

    def instead(session: URLLib3Session, request: Any) -> AWSResponse:
        sent.append(request)
        fails = method in (None, request.method) and when(request) and fault is not None
        if fails and (times is None or len(failed) < times):
            failed.append(request)
            if after:
                send(session, request)
            assert fault is not None
            return fault(request)
        answer: AWSResponse = send(session, request)
        return answer

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(URLLib3Session, "send", instead)
        yield sent


def requests(sent: list[Any]) -> list[str]:
    """Method and key of each request."""
    return [f"{request.method} {urlsplit(request.url).path.removeprefix(f'/{BUCKET}')[1:]}" for request in sent]


def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let objects be sent in parts from 6 MB on; S3 takes none of less than 5 MB."""
    monkeypatch.setattr("lidarprep.storage.s3._IN_PARTS_FROM", 6 * 2**20)
    monkeypatch.setattr("lidarprep.storage.s3._PART", 5 * 2**20)


def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be waited for between two attempts, neither by boto nor by the budget."""
    monkeypatch.setattr(retries, "wait_random_exponential", lambda **_: wait_fixed(0.001))
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.0)
    monkeypatch.setattr("botocore.retries.bucket.TokenBucket.acquire", lambda self, amount=1, block=True: True)
