"""`lidarprep batch submit|wait|results`: what is said, what is asked for first, and how it ends."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import lidarprep as lp
from lidarprep.sandbox import Sandbox
from tests.cli.conftest import Run, run, sandbox, shared_sandbox
from tests.scenes import write_toolkit_scene

__all__ = ["run", "sandbox", "shared_sandbox"]

TASK = ("--type", "lidarannotation", "--param", "callback_url=https://example.com/c", "--param", 'labels=["car"]')


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drives")
    for seed, name in enumerate("abc"):
        write_toolkit_scene(folder / name, frames=1, points=40, cameras=(), seed=seed)
    return folder


@pytest.fixture
def fleet(drives: Path, tmp_path: Path) -> Path:
    """A fleet of three that is prepared; its name is the test's own, and so are its tasks."""
    root = tmp_path / "fleet"
    list(lp.prepare_many([str(drives / "*")], lp.Recipe(checks="quick"), f"{root}/{{name}}"))
    return root


def test_a_fleet_goes_from_recordings_to_labels(run: Run, sandbox: Sandbox, drives: Path, tmp_path: Path) -> None:
    task = (*TASK, "--param", "project=whole")
    root = tmp_path / "fleet"
    ended = run("batch", drives / "*", "--out", f"{root}/{{name}}", "--submit", *task, "--batch-size", "2")
    assert ended.code == 0, ended.err
    made = [json.loads(line) for line in (root / "batch.jsonl").read_text().splitlines()]
    for line in made:
        sandbox.lifecycle.complete(line["task"])
    waited = run("batch", "wait", root)
    assert (waited.code, "3 tasks completed, 0 canceled" in waited.err) == (0, True)
    written = run("batch", "results", root, "--out", tmp_path / "labels", "--json")
    assert written.code == 0, written.err
    assert [one["task"] for one in json.loads(written.out)] == [line["task"] for line in made]
    assert {path.name for path in (tmp_path / "labels").iterdir()} == set("abc")


def test_a_dry_run_prints_the_requests_line_by_line_and_sends_nothing(run: Run, sandbox: Sandbox, fleet: Path) -> None:
    before = sandbox.store.page(limit=1).total
    ended = run("batch", "submit", fleet, *TASK, "--param", "project=dry", "--dry-run")
    assert ended.code == 0, ended.err
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["scene"] for line in lines] == list("abc")
    assert {line["body"]["batch"][:10] for line in lines} == {"fleet-0001"}
    assert len({line["body"]["unique_id"] for line in lines}) == 3
    assert sandbox.store.page(limit=1).total == before
    assert not [batch for batch in sandbox.store.projects.batches() if batch["project"] == "dry"]


def test_a_live_key_must_be_meant(run: Run, sandbox: Sandbox, fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALE_API_KEY", "live_key_0f_n0b0dy")
    monkeypatch.setenv("SCALE_API_URL", "https://api.example.com/v1")
    for words in (("submit", fleet, *TASK), ("submit", fleet, "--finalize")):
        ended = run("batch", *words)
        assert ended.code == 2
        assert "live" in ended.err


def test_what_is_missing_is_said_before_batches_are_finalized(
    run: Run, sandbox: Sandbox, drives: Path, tmp_path: Path
) -> None:
    root = tmp_path / "fleet"
    (tmp_path / "bad").mkdir()
    task = (*TASK, "--param", "project=missing", "--submit")
    ended = run("batch", drives / "a", tmp_path / "bad", "--out", f"{root}/{{name}}", *task)
    assert ended.code == 2
    assert "1 scene failed" in ended.err
    assert re.search(r"batch fleet-0001-\w+ is not finalized: 1 task; 1 scene without a task: bad\n", ended.err)
    assert "batch submit … --finalize" in ended.err
    waited = run("batch", "wait", root)
    assert (waited.code, "--finalize" in waited.err) == (1, True)
    closed = run("batch", "submit", root, "--finalize")
    assert closed.code == 0, closed.err
    said = re.search(r"batch (fleet-0001-\w+) is not finalized: 1 task; 1 scene without a task: bad\n", closed.err)
    assert said is not None
    assert f"batch {said[1]} is finalized" in closed.err
    assert sandbox.store.projects.batch(said[1])["status"] == "in_progress"


def test_a_batch_file_goes_to_labels_although_its_recordings_are_archived(
    run: Run, sandbox: Sandbox, tmp_path: Path
) -> None:
    drive = write_toolkit_scene(tmp_path / "drives/a", frames=2, points=40, cameras=(), seed=7)
    params = {"project": "archived", "callback_url": "https://example.com/c", "labels": ["car"]}
    file = tmp_path / "fleet.json"
    described = {"scenes": [f"{tmp_path}/drives/*"], "split": 1, "out": f"{tmp_path}/fleet/{{name}}"}
    described |= {"recipe": {"checks": "quick"}, "task": {"type": "lidarannotation", "params": params}}
    file.write_text(json.dumps(described))
    ended = run("batch", file)
    assert ended.code == 0, ended.err
    drive.rename(tmp_path / "archive")
    submitted = run("batch", "submit", file)
    assert (submitted.code, "2 tasks submitted, 0 failed" in submitted.err) == (0, True), submitted.err
    before = (tmp_path / "fleet/batch.jsonl").read_bytes()
    for line in before.splitlines():
        sandbox.lifecycle.complete(json.loads(line)["task"])
    assert "2: 2 submitted" in run("batch", "status", file).err
    assert "2 scenes" in run("batch", "report", file, "--out", tmp_path / "i.html", "--no-thumbnails").err
    assert (tmp_path / "fleet/batch.jsonl").read_bytes() == before
    assert run("batch", "wait", file).code == 0
    written = run("batch", "results", file, "--out", tmp_path / "labels", "--json")
    assert (written.code, len(json.loads(written.out))) == (0, 2), written.err


def test_submitting_needs_a_type(run: Run, sandbox: Sandbox, fleet: Path) -> None:
    ended = run("batch", "submit", fleet)
    assert ended.code == 2
    assert "--type" in ended.err


def test_waiting_ends_with_1_where_a_task_is_canceled(run: Run, sandbox: Sandbox, fleet: Path) -> None:
    assert run("batch", "submit", fleet, *TASK, "--param", "project=canceled").code == 0
    ids = [json.loads(line)["task"] for line in (fleet / "batch.jsonl").read_text().splitlines()]
    run("tasks", "cancel", ids[0])
    for task in ids[1:]:
        sandbox.lifecycle.complete(task)
    ended = run("batch", "wait", fleet)
    assert ended.code == 1
    assert "2 tasks completed, 1 canceled or in error" in ended.err
    assert f"a: task {ids[0]} is canceled" in ended.err
    left = run("batch", "results", fleet, "--out", fleet / "labels")
    assert (left.code, "labels of 2 scenes" in left.err) == (1, True)
