"""A server of S3 on loopback, and a bucket of it."""

from __future__ import annotations

import atexit
from functools import cache
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "scenes"


@cache
def server() -> str:
    """Start a server of S3, one a process, and return its address."""
    made = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    made.start()
    atexit.register(made.stop)
    host, port = made.get_host_and_port()
    return f"http://{host}:{port}"


@cache
def _resource() -> Any:
    return boto3.resource("s3", endpoint_url=server(), region_name="us-east-1")


@pytest.fixture(scope="session")
def moto() -> str:
    """The address of a server of S3."""
    return server()


@pytest.fixture
def bucket(moto: str) -> Any:
    """An empty bucket, the only one of the server, by boto's own client."""
    urlopen(Request(f"{moto}/moto-api/reset", method="POST")).close()
    return _resource().create_bucket(Bucket=BUCKET)
