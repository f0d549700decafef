"""Runs of one recording by children, and what there is at a destination after one."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import boto3
from pydantic import ValidationError

import lidarprep as lp
from lidarprep.storage import open_store
from lidarprep.storage.manifest import FrameResult
from lidarprep.storage.store import CACHE_PREFIX, MANIFEST_KEY
from tests.trials.child import Child, Ended, Fate, start

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "scenes"
_numbers = itertools.count()


@dataclass(frozen=True)
class Place:
    """A destination: a folder, or a bucket past any proxy.

    Args:
        out: As the command line names it.
        storage: How this process reaches it.
    """

    out: str
    storage: lp.StorageOptions = field(default_factory=lp.StorageOptions)

    def manifest(self) -> lp.Manifest | None:
        """The manifest that is there, of which everything is as it says; the same at every destination."""
        found = open_store(self.out, self.storage).read_current(MANIFEST_KEY)
        if found is None:
            return None
        manifest = lp.load_manifest(self.out, self.storage)
        assert not lp.verify(manifest, self.storage).findings
        return manifest.at("")

    def objects(self) -> set[str]:
        """The keys of all content-named objects."""
        store = open_store(self.out, self.storage)
        return {key for prefix in ("frames/", "images/", "kept/", "scene-") for key in store.sizes(prefix)}

    def finished(self) -> set[str]:
        """Ids of the frames that a run which has not ended has finished."""
        store, ids = open_store(self.out, self.storage), set()
        for key in store.sizes(CACHE_PREFIX):
            try:
                ids.add(FrameResult.model_validate_json(store.get(key) or b"").record.id)
            except (ValidationError, AssertionError):
                continue  # damaged
        return ids

    def assert_only_what_the_manifest_names(self) -> None:
        manifest = self.manifest()
        assert manifest is not None
        lp.prune(self.out, self.storage, everything=True)
        assert self.objects() == {key for key, _ in manifest.objects()}
        assert not open_store(self.out, self.storage).sizes(CACHE_PREFIX)
        assert self.manifest() == manifest


@dataclass(frozen=True)
class Runner:
    """Starts runs of one recording.

    Args:
        recording: A toolkit folder.
        scratch: Where logs go.
        options: Given to every run.
    """

    recording: Path
    scratch: Path
    options: tuple[str, ...] = ()

    def start(self, out: str | Path | Place, *options: str, **fate: Any) -> Child:
        """Start `lidarprep prepare`; `fate` is that of child.Fate."""
        words = [*self.options, *options]
        if isinstance(out, Place):
            if out.storage.endpoint_url and "--endpoint-url" not in words:
                words += ["--endpoint-url", out.storage.endpoint_url]
            out = out.out
        words = ["prepare", str(self.recording), "--out", str(out), *words]
        return start(self.scratch / f"child-{next(_numbers)}", words, str(out), Fate(**fate))

    def run(self, out: str | Path | Place, *options: str, **fate: Any) -> Ended:
        """Run `lidarprep prepare` to its end."""
        return self.start(out, *options, **fate).end()

    def prepared(self, out: str | Path | Place, *options: str) -> Ended:
        """Run it, and check that it ends well."""
        ended = self.run(out, *options)
        assert ended.code == 0, ended.stderr
        return ended


def assert_one_clear_error(ended: Ended, code: int = 1) -> None:
    """One message that begins with what is wrong, and no traceback."""
    assert ended.code == code, (ended.code, ended.stderr)
    assert "Traceback" not in ended.stderr, ended.stderr
    assert sum(line.startswith("error: ") for line in ended.stderr.splitlines()) == 1, ended.stderr


class Bucket:
    """A bucket of a server, seen past the proxy."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.client: Any = boto3.client("s3", endpoint_url=server)
        self.reset()

    def reset(self) -> None:
        with urlopen(Request(f"{self.server}/moto-api/reset", method="POST")) as response:
            response.read()
        self.client.create_bucket(Bucket=BUCKET)

    def place(self, prefix: str = "runs/one") -> Place:
        return Place(f"s3://{BUCKET}/{prefix}", lp.StorageOptions(endpoint_url=self.server))

    def objects(self, prefix: str) -> dict[str, bytes]:
        """The bytes of everything below a prefix, by key."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return {key.removeprefix(prefix): self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def uploads_under_way(self) -> list[Any]:
        found: list[Any] = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return found


@contextmanager
def s3_server() -> Iterator[str]:
    """Give the URL of moto's server in another process, which nothing that a test does to its clients can harm."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env=os.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(1200):
            assert process.poll() is None, "moto's server ended at once"
            try:
                with urlopen(f"{url}/moto-api/data.json") as response:
                    response.read()
                break
            except URLError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait()
