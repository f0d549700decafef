"""What the trials share: a small recording, runs of it in processes of their own, and a server that speaks S3.

Quick trials run with all the other tests; LIDARPREP_TRIALS=full makes them long, with a hundred kills in place of few,
and LIDARPREP_TRIALS=20 with so many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest

from tests.scenes import write_toolkit_scene
from tests.trials.children import Runner, files_in, s3_server
from tests.trials.proxy import Proxy, running_proxy

FRAMES = 10
BUCKET = "scenes"
OUT = f"s3://{BUCKET}/runs/one"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "trial: runs that are killed, misled, or have their network and disk fail")


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Starts runs of a recording of ten small frames with two cameras; kernels are compiled already."""
    folder = tmp_path_factory.mktemp("trials")
    runner = Runner(write_toolkit_scene(folder / "recording", frames=FRAMES, points=300), folder)
    assert runner.run(folder / "warm").code == 0
    return runner


@pytest.fixture(scope="session")
def reference(runner: Runner) -> dict[str, str]:
    """SHA-256 of every file of a run that was never stopped."""
    ended = runner.run(runner.scratch / "reference")
    assert ended.code == 0, ended.stderr
    files = files_in(runner.scratch / "reference")
    assert len(files) == 3 * FRAMES + 1
    return files


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(scope="session")
def _shared_proxy(server: str) -> Iterator[Proxy]:
    with running_proxy(server) as proxy:
        yield proxy


@pytest.fixture
def proxy(_shared_proxy: Proxy, bucket: Bucket) -> Proxy:
    """A proxy that passes everything on until a test tells it otherwise, before an empty bucket."""
    _shared_proxy.reset()
    return _shared_proxy


class Bucket:
    """The bucket as it is, seen past the proxy."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.client: Any = boto3.client("s3", endpoint_url=server)

    def make_anew(self) -> None:
        with urlopen(Request(f"{self.server}/moto-api/reset", method="POST")) as response:
            response.read()
        self.client.create_bucket(Bucket=BUCKET)

    def objects(self) -> dict[str, bytes]:
        """The bytes of everything in it, by key below the destination."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        prefix = OUT.removeprefix(f"s3://{BUCKET}/") + "/"
        assert all(key.startswith(prefix) for key in keys), keys
        return {key.removeprefix(prefix): self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def uploads_under_way(self) -> list[Any]:
        found: list[Any] = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return found


@pytest.fixture
def bucket(server: str) -> Bucket:
    """An empty bucket."""
    bucket = Bucket(server)
    bucket.make_anew()
    return bucket


@pytest.fixture(scope="session")
def s3_reference(runner: Runner, server: str) -> dict[str, bytes]:
    """Every object of a run that was never stopped."""
    bucket = Bucket(server)
    bucket.make_anew()
    ended = runner.run(OUT, "--endpoint-url", server)
    assert ended.code == 0, ended.stderr
    objects = bucket.objects()
    assert len(objects) == 3 * FRAMES + 1
    return objects


@pytest.fixture(scope="session")
def many() -> bool:
    """Whether the trials are to be long."""
    return "LIDARPREP_TRIALS" in os.environ


@pytest.fixture(scope="session")
def kills() -> int | None:
    """How many kills are asked for; None for as few as show that it works."""
    asked = os.environ.get("LIDARPREP_TRIALS")
    return None if asked is None else 100 if asked == "full" else int(asked)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
