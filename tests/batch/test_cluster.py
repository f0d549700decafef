"""Scenes on a Dask cluster: what is sent, what comes back, and what becomes of it when a part of the cluster is lost.

The clusters are in this process. Those of processes that are killed are in test_cluster_killed.py.
"""

from __future__ import annotations

import gc
import pickle
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Client, KilledWorker, LocalCluster

import lidarprep as lp
from lidarprep.batch import cluster as cluster_module
from lidarprep.batch.cluster import Cluster, Facts, require_fit
from lidarprep.errors import ClusterError, MissingExtraError, RecipeError
from tests.batch.fleet import QUICK, assert_ledger_equals_manifests, ledger_lines, write_drives
from tests.batch.machines import free_port

TASK = lp.TaskRecipe(
    type="lidarsegmentation", params={"project": "fleet", "callback_url": "https://example.com/cb", "labels": ["car"]}
)

# Dask leaves sockets of what it has lost to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()  # so that no other test is warned of them


@contextmanager
def local_cluster(port: int = 0, threads: int = 2) -> Iterator[LocalCluster]:
    """A scheduler and a worker in this process, reached by TCP."""
    with LocalCluster(
        n_workers=1,
        threads_per_worker=threads,
        processes=False,
        protocol="tcp",
        scheduler_port=port,
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        yield cluster


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    write_drives(tmp_path / "drives", 3)
    return tmp_path / "drives"


def test_a_dask_client_prepares_what_a_plain_loop_does(drives: Path, tmp_path: Path) -> None:
    patterns = [str(drives / "*")]
    with local_cluster() as cluster, Client(cluster) as client:
        records = list(lp.prepare_many(patterns, QUICK, f"{tmp_path}/cluster/{{name}}", executor=client))
        assert client.status == "running"
    assert sorted(record.name for record in records) == ["drive-0", "drive-1", "drive-2"]
    assert_ledger_equals_manifests(tmp_path / "cluster")
    for plain in lp.prepare_many(patterns, QUICK, f"{tmp_path}/plain/{{name}}"):
        there = next(record for record in records if record.name == plain.name)
        assert not there.error
        assert (there.state, there.fingerprint, there.bytes) == ("done", plain.fingerprint, plain.bytes)


def test_few_scenes_at_a_time_are_with_the_scheduler(tmp_path: Path) -> None:
    missing = [str(tmp_path / f"drive-{n}") for n in range(30)]
    most = 0
    with local_cluster() as cluster:
        for record in lp.prepare_many(
            missing, QUICK, f"{tmp_path}/out/{{name}}", executor=Cluster(cluster.scheduler_address)
        ):
            assert record.state == "failed"
            assert record.exit_code == 2
            most = max(most, len(cluster.scheduler.tasks))
    assert 0 < most < 24  # of those that have ended, some are not released yet
    assert len(ledger_lines(tmp_path / "out")) == 30


def test_a_restarted_scheduler_gets_what_the_one_before_it_had(
    drives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[None] = []
    may_go_on = threading.Event()

    def begin_worker() -> None:
        begun.append(None)
        if len(begun) == 2:  # so that the third scene is not begun before the first scheduler is gone
            may_go_on.wait(20)

    monkeypatch.setattr(cluster_module, "_begin_worker", begin_worker)
    port = free_port()
    executor = Cluster(f"tcp://127.0.0.1:{port}")
    records = lp.prepare_many([str(drives / "*")], QUICK, f"{tmp_path}/out/{{name}}", executor=executor)
    with local_cluster(port, threads=1):
        found = [next(records)]
        threading.Timer(0.5, may_go_on.set).start()  # closing waits for what is begun
    assert len(begun) == 2
    with local_cluster(port, threads=1):
        found += records
    assert sorted(record.name for record in found) == ["drive-0", "drive-1", "drive-2"]
    assert {(record.state, record.error) for record in found} == {("done", "")}
    assert_ledger_equals_manifests(tmp_path / "out")


def test_a_scheduler_that_does_not_come_back_ends_the_batch_with_a_clear_error(
    drives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "_RECONNECT_S", 0.5)
    port = free_port()
    executor = Cluster(f"tcp://127.0.0.1:{port}")
    records = lp.prepare_many([str(drives / "*")], QUICK, f"{tmp_path}/out/{{name}}", executor=executor)
    with local_cluster(port, threads=1):
        next(records)
    with pytest.raises(ClusterError, match=f"no scheduler answers at tcp://127.0.0.1:{port}"):
        list(records)


def test_what_is_sent_is_small_and_holds_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALE_API_KEY", "test_key_that_stays_here")
    batch = lp.BatchFile(scenes=("drives/one",), out=f"{tmp_path}/{{name}}", task=TASK).batch()
    sent = pickle.dumps(batch.scenes[0])
    assert len(sent) < 3000
    assert b"key_that_stays" not in sent


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        (Facts("0.0.1", True, 1), "the worker tcp://host:1 has lidarprep 0.0.1, and this process 9.9"),
        (Facts("9.9", False, 1), "SCALE_API_KEY is not set on the worker tcp://host:1"),
    ],
)
def test_a_worker_that_could_prepare_no_scene_is_named(worker: Facts, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        require_fit(worker, "tcp://host:1", "9.9", submit=True)


def test_workers_without_the_key_are_noticed_before_anything_is_prepared(
    drives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALE_API_KEY", "test_key_of_this_process")
    monkeypatch.setattr(cluster_module, "facts", lambda: Facts(cluster_module._version(), False, 1))
    options: dict[str, Any] = {"task": TASK, "submit": True}
    with local_cluster() as cluster, pytest.raises(ClusterError, match="SCALE_API_KEY is not set on the worker"):
        list(
            lp.prepare_many(
                [str(drives / "*")],
                QUICK,
                f"{tmp_path}/out/{{name}}",
                executor=Cluster(cluster.scheduler_address),
                **options,
            )
        )
    assert not list((tmp_path / "out").glob("*/manifest.json"))


def test_a_scene_whose_workers_die_is_failed_and_can_be_tried_again() -> None:
    worker: Any = SimpleNamespace(address="tcp://host:2")
    future = SimpleNamespace(status="error", exception=lambda: KilledWorker("lidarprep-a", worker, 3))
    job = cluster_module._Job(SimpleNamespace(name="a"), lp.SceneRecord("a", "drives/a", attempts=1))  # type: ignore[arg-type]
    record = cluster_module._record_of(future, job)  # type: ignore[arg-type]
    assert record is not None
    assert (record.state, record.attempts, record.exit_code) == ("failed", 2, 1)
    assert record.error.startswith("4 workers died that had it, the last at tcp://host:2")


def test_an_address_without_a_scheduler_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClusterError, match=r"no scheduler answers at tcp://127\.0\.0\.1:1"):
        Cluster("tcp://127.0.0.1:1").connect(0.5)
    with pytest.raises(RecipeError, match="'nonsense' is no address of a cluster"):
        Cluster("nonsense").connect(0.5)


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"lidarprep\[dask\]"):
        Cluster("tcp://127.0.0.1:1").connect(0.5)
