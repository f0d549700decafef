"""Eight shards of one list at once, two of them the same by mistake: nothing is stored, listed or submitted twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.storage.options import StorageOptions
from tests.batch.fleet import QUICK, assert_ledger_equals_manifests, ledger_lines, write_drives
from tests.prepare.runs import files
from tests.storage.conftest import BUCKET

# Shard 3 is there twice, and shard 7 is not.
SHARDS = [0, 1, 2, 3, 3, 4, 5, 6]
DRIVES = 16


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    write_drives(tmp_path / "drives", DRIVES)
    return tmp_path / "drives"


def assert_nothing_is_there_twice(root: Path, drives: Path, alone: Path, prepare: Callable[[], Any]) -> None:
    """What is stored is, file by file, what each scene alone stores; the rest is waiting, and then done."""
    states = [line["state"] for line in ledger_lines(root).values()]
    assert (states.count("done"), states.count("waiting")) == (DRIVES - 2, 2)
    assert_ledger_equals_manifests(root)
    prepare()
    assert_ledger_equals_manifests(root)
    lines = ledger_lines(root)
    assert {line["attempts"] for line in lines.values()} == {1}
    for drive in drives.iterdir():
        lp.prepare(lp.open_scene(drive), QUICK, alone / drive.name)
        assert files(root / drive.name) == files(alone / drive.name)
    assert set(files(root)) == {"batch.jsonl", *(f"{name}/{key}" for name in lines for key in files(root / name))}


def test_in_a_folder(drives: Path, tmp_path: Path) -> None:
    def prepare(shard: str = "0/1") -> list[lp.SceneRecord]:
        return list(lp.prepare_many([str(drives / "*")], QUICK, f"{tmp_path}/out/{{name}}", shard=shard))

    with ThreadPoolExecutor(len(SHARDS)) as machines:
        told = list(machines.map(prepare, [f"{shard}/8" for shard in SHARDS]))
    assert all(record.state == "done" for records in told for record in records)
    assert_nothing_is_there_twice(tmp_path / "out", drives, tmp_path / "alone", prepare)


def test_in_a_bucket(drives: Path, tmp_path: Path, bucket: Any, moto: str) -> None:
    storage = StorageOptions(endpoint_url=moto)

    def prepare(shard: str = "0/1") -> None:
        out = f"s3://{BUCKET}/fleet/{{name}}"
        list(lp.prepare_many([str(drives / "*")], QUICK, out, storage=storage, shard=shard))

    with ThreadPoolExecutor(len(SHARDS)) as machines:
        list(machines.map(prepare, [f"{shard}/8" for shard in SHARDS]))
    prepare()
    lines = [json.loads(line) for line in bucket.Object("fleet/batch.jsonl").get()["Body"].read().splitlines()]
    assert sorted((line["name"], line["state"], line["attempts"]) for line in lines) == sorted(
        (drive.name, "done", 1) for drive in drives.iterdir()
    )
    keys = {item.key for item in bucket.objects.all()} - {"fleet/batch.jsonl"}
    expected = set()
    for drive in drives.iterdir():
        manifest = lp.prepare(lp.open_scene(drive), QUICK, tmp_path / "alone" / drive.name)
        names = ["manifest.json", *(key for key, _ in manifest.objects())]
        expected |= {f"fleet/{drive.name}/{name}" for name in names}
    assert keys == expected


@pytest.mark.trial
def test_by_processes(drives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [sys.executable, "-m", "lidarprep", "batch", "drives/*", "--out", "out/{name}", "--checks", "quick"]

    def prepare(shard: str = "0/1") -> subprocess.Popen[bytes]:
        return subprocess.Popen([*words, "--shard", shard], cwd=tmp_path, env=os.environ)

    machines = [prepare(f"{shard}/8") for shard in SHARDS]
    assert [machine.wait() for machine in machines] == [0] * len(SHARDS)
    monkeypatch.chdir(tmp_path)
    assert_nothing_is_there_twice(Path("out"), Path("drives"), tmp_path / "alone", lambda: prepare().wait())
