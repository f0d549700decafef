"""No task is paid for twice: the same again finds its task, and all that costs money is said and asked for before."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

import lidarprep as lp
from lidarprep.api import ScaleClient
from lidarprep.errors import TaskEndedError
from lidarprep.sandbox import Sandbox, running_sandbox
from tests.cli.conftest import Run
from tests.scenes import write_toolkit_scene

PARAMS = {"project": "street", "callback_url": "https://example.com/c", "labels": ["car", {"choice": "person"}]}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    scene = lp.open_scene(write_toolkit_scene(folder / "recording"))
    lp.prepare(scene, lp.Recipe(labeling_sample_rate=2), str(folder / "out"))
    return folder / "out"


@pytest.fixture
def words(out: Path, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[object, ...]:
    """A submission that no other test makes."""
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(PARAMS | {"tags": [request.node.name[:60]]}))
    return "submit", out, "--type", "lidarannotation", "--params", tmp_path / "task.yaml"


def tasks(sandbox: Sandbox) -> int:
    return sandbox.store.page(limit=1).total


def test_submit_twice_and_run_three_times_make_one_task_each(
    run: Run, sandbox: Sandbox, words: tuple[object, ...], out: Path, tmp_path: Path
) -> None:
    before = tasks(sandbox)
    for _ in range(2):
        assert run(*words).code == 0
    assert tasks(sandbox) == before + 1
    recipe = {
        "scene": str(out.parent / "recording"),
        "out": str(tmp_path / "out"),
        "task": {"type": "lidarannotation", "params": PARAMS},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(recipe))
    ended = [run("run", tmp_path / "run.yaml") for _ in range(3)]
    assert [one.code for one in ended] == [0, 0, 0]
    assert ["submitted before" in one.err for one in ended] == [False, True, True]
    assert tasks(sandbox) == before + 2


def test_python_finds_its_task_again_too(client: ScaleClient, out: Path) -> None:
    made = [lp.submit(lp.load_manifest(out), "lidarannotation", PARAMS | {"tags": ["python"]}, client) for _ in "ab"]
    assert made[0].id == made[1].id


@pytest.mark.parametrize("none", ["none", None])
def test_without_a_unique_id_the_same_again_is_another_task(client: ScaleClient, out: Path, none: str | None) -> None:
    loaded = lp.load_manifest(out)
    made = [lp.submit(loaded, "lidarannotation", PARAMS, client, unique_id=none) for _ in range(2)]
    assert made[0].id != made[1].id
    assert made[0].unique_id is None


@pytest.mark.parametrize("end", ["canceled", "error"])
def test_a_task_that_has_ended_is_an_error_until_it_is_made_again(
    run: Run, sandbox: Sandbox, client: ScaleClient, words: tuple[object, ...], end: str
) -> None:
    first = json.loads(run(*words, "--json").out)["task_id"]
    if end == "canceled":
        client.cancel_task(first)
    else:
        assert run("sandbox", "error", first, "--api-url", sandbox.url).code == 0
    before = tasks(sandbox)
    refused = run(*words)
    assert refused.code == 1
    said = " ".join(refused.err.split())
    assert f"has its task already, {first}, and that is {'canceled' if end == 'canceled' else 'in error'}" in said
    assert "again with --resubmit" in said
    assert tasks(sandbox) == before
    second = json.loads(run(*words, "--resubmit", "--json").out)
    assert second["task_id"] != first
    assert second["status"] == "pending"
    assert tasks(sandbox) == before + 1
    assert json.loads(run(*words, "--resubmit", "--json").out)["task_id"] == second["task_id"]


def test_an_ended_task_is_an_error_in_python_with_its_id_and_status(client: ScaleClient, out: Path) -> None:
    loaded, params = lp.load_manifest(out), PARAMS | {"tags": ["ended"]}
    first = lp.submit(loaded, "lidarannotation", params, client)
    first.cancel()
    with pytest.raises(TaskEndedError) as ended:
        lp.submit(loaded, "lidarannotation", params, client)
    assert (ended.value.task_id, ended.value.task_status, ended.value.exit_code) == (first.id, "canceled", 1)
    again = lp.submit(loaded, "lidarannotation", params, client, resubmit=True)
    assert again.id != first.id
    assert again.unique_id == first.unique_id


def test_a_dry_run_prints_the_request_and_sends_nothing_and_needs_no_key(
    run: Run, words: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCALE_API_KEY", raising=False)
    monkeypatch.setenv("SCALE_API_URL", "http://127.0.0.1:9/v1")  # nobody listens there
    ended = run(*words, "--dry-run")
    assert ended.code == 0, ended.err
    sent = json.loads(ended.out)
    assert (sent["method"], sent["url"]) == ("POST", "http://127.0.0.1:9/v1/task/lidarannotation")
    body = sent["body"]
    assert body["labels"] == PARAMS["labels"]
    assert body["unique_id"].startswith("auto-")
    assert body["labeling_sample_rate"] == 2
    assert len(body["attachments"]) == 3
    assert "nothing is sent" in ended.err


def test_a_dry_run_is_refused_as_the_submission_would_be(
    run: Run, words: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCALE_API_URL", raising=False)
    ended = run(*words, "--dry-run")
    assert (ended.code, ended.out) == (2, "")
    assert "can't fetch files from this machine" in ended.err


def test_a_dry_run_of_a_whole_run_prepares_and_submits_nothing(
    run: Run, sandbox: Sandbox, out: Path, tmp_path: Path
) -> None:
    recipe = {
        "scene": str(out.parent / "recording"),
        "out": str(tmp_path / "out"),
        "task": {"type": "lidarannotation", "params": PARAMS | {"tags": ["dry"]}},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(recipe))
    before = tasks(sandbox)
    ended = run("run", tmp_path / "run.yaml", "--dry-run")
    assert ended.code == 0, ended.err
    urls = json.loads(ended.out)["body"]["attachments"]
    assert urls == lp.load_manifest(tmp_path / "out").urls
    assert tasks(sandbox) == before


def test_what_is_sent_is_summed_up_before(run: Run, sandbox: Sandbox, words: tuple[object, ...]) -> None:
    said = run(*words).err
    rows = {
        cells[1].strip(): cells[2].strip()
        for line in said.partition("to submit")[2].splitlines()
        if len(cells := line.split("│")) == 4
    }
    assert rows["project"] == "street"
    assert rows["type"] == "lidarannotation"
    assert (rows["frames"], rows["labelled frames"]) == ("3", "2")
    assert rows["labels"] == "car, person"
    assert rows["key"] == "test"
    assert said.index("to submit") < said.index("task ")


def test_a_task_says_which_manifest_it_is_of(client: ScaleClient, out: Path) -> None:
    loaded = lp.load_manifest(out)
    task = lp.submit(loaded, "lidarannotation", PARAMS | {"metadata": {"drive": 7}}, client)
    assert task.metadata["drive"] == 7
    origin = task.metadata["lidarprep"]
    assert origin == {"manifest": loaded.location, "fingerprint": loaded.fingerprint}
    assert lp.load_manifest(origin["manifest"]) == loaded


@pytest.mark.trial
def test_a_submission_that_is_killed_at_50_random_moments_makes_one_task(out: Path, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(PARAMS))
    command = [sys.executable, "-m", "lidarprep", "submit", str(out), "--type", "lidarannotation"]
    command += ["--params", str(tmp_path / "task.yaml")]
    moments = random.Random(14)  # no secret
    with running_sandbox() as sandbox:
        environment = os.environ | {"SCALE_API_URL": sandbox.url, "SCALE_API_KEY": "test_x"}

        def started() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

        begun = time.monotonic()
        subprocess.run([*command, "--dry-run"], env=environment, check=True, capture_output=True, timeout=120)
        whole_s = time.monotonic() - begun
        for _ in range(50):
            child = started()
            time.sleep(moments.uniform(0.5, 1.5) * whole_s)
            child.kill()
            child.wait()
        assert started().wait(timeout=120) == 0
        assert tasks(sandbox) == 1


def test_dependents_ask_for_live_with_a_live_key(
    run: Run, elsewhere: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []

    def answer(request: Any) -> Any:
        import httpx

        sent.append(request)
        return httpx.Response(200, json={"task_id": "5a99e20de50d4979ce6d291e", "status": "completed"})

    elsewhere(answer)
    monkeypatch.setenv("SCALE_API_KEY", "live_key")
    (tmp_path / "defs.yaml").write_text(yaml.safe_dump({"defs": [{"type": "lidarsegmentation", "labels": ["road"]}]}))
    for flags in (("--force",), ("--defs", tmp_path / "defs.yaml")):
        refused = run("tasks", "dependents", "5a99e20de50d4979ce6d291e", *flags)
        assert refused.code == 2
        assert "the API key is a live one" in refused.err
        assert sent == []
        assert run("tasks", "dependents", "5a99e20de50d4979ce6d291e", *flags, "--live").code == 0
        assert sent.pop().url.path.startswith("/v1/task/5a99e20de50d4979ce6d291e/dependents/")
        sent.clear()
