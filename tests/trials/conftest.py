"""What the trials share: a small recording, a server that forks children, and one that speaks S3.

Quick trials run with all the other tests; those marked `trial` are long, and run by `scripts/test --all`.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest

from tests.scenes import write_toolkit_scene
from tests.trials.children import ROOT, Bucket, Runner, s3_server
from tests.trials.proxy import Proxy, running_proxy

# With points that a region and voxels drop, so that there are kept points to store.
OPTIONS = ("--roi", "20,5,60,60", "--workers", "1")


@pytest.fixture(scope="session")
def _forks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small frames with one camera, and a server that has prepared them once."""
    recording = write_toolkit_scene(
        tmp_path_factory.mktemp("recording") / "scene", frames=3, points=300, cameras=("front",)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        patch.setenv("TRIAL_RECORDING", str(recording))
        multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.trials.warm"])
        forkserver.ensure_running()
    return recording


@pytest.fixture
def runner(_forks: Path, tmp_path: Path) -> Runner:
    """Starts runs of three small frames with one camera."""
    return Runner(_forks, tmp_path, OPTIONS)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(scope="session")
def _shared_proxy(server: str) -> Iterator[Proxy]:
    with running_proxy(server) as proxy:
        yield proxy


@pytest.fixture
def proxy(_shared_proxy: Proxy) -> Proxy:
    """A proxy that passes everything on until a test tells it otherwise."""
    _shared_proxy.reset()
    return _shared_proxy


@pytest.fixture
def bucket(server: str) -> Bucket:
    """An empty bucket."""
    return Bucket(server)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
