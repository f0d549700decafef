"""What goes wrong between a store and S3, put in place of what its session sends."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError
from lidarprep.storage.s3.prefix import S3Prefix

Fault = Callable[[Any], AWSResponse]


class Raw(io.BytesIO):
    def stream(self, *_: object) -> Iterator[bytes]:
        yield self.read()


def answered(status: int, code: str, message: str = "") -> Fault:
    """The store says so, in place of doing what it is asked for."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return lambda request: AWSResponse(request.url, status, {"Content-Length": str(len(body))}, Raw(body))


def cut(request: Any) -> AWSResponse:
    """The connection is reset."""
    raise ConnectionClosedError(endpoint_url=request.url)


def unreachable(request: Any) -> AWSResponse:
    """There is no network."""
    raise EndpointConnectionError(endpoint_url=request.url, error="no route")


def failing(store: S3Prefix, fault: Fault, *, times: int | None = None, method: str | None = None) -> list[str]:
    """Makes the store's requests fail, so many times or for ever; the methods of all that are sent."""
    session = store.bucket.client._endpoint.http_session
    send, sent, failed = session.send, list[str](), list[str]()

    def instead(request: Any) -> AWSResponse:
        sent.append(request.method)
        if method in (None, request.method) and (times is None or len(failed) < times):
            failed.append(request.method)
            return fault(request)
        answer: AWSResponse = send(request)
        return answer

    session.send = instead
    return sent
