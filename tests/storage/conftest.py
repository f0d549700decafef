"""A server of S3 on loopback, and buckets of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "scenes"


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The address of a server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(moto: str) -> Iterator[Any]:
    """An empty bucket, by boto's own client."""
    s3: Any = boto3.resource("s3", endpoint_url=moto, region_name="us-east-1")
    made = s3.create_bucket(Bucket=BUCKET)
    yield made
    for upload in made.multipart_uploads.all():
        upload.abort()
    made.objects.all().delete()
    made.delete()
