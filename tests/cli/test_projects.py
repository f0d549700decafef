"""`lidarprep projects`, `batches`, `files`, and `tasks create` and `audit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from lidarprep.api import ScaleClient
from lidarprep.sandbox import Sandbox
from tests.cli.conftest import Run


def test_a_project_and_its_batch_from_the_command_line(run: Run, sandbox: Sandbox) -> None:
    made = run("projects", "create", "street", "--type", "lidarannotation", "--param", 'labels=["car"]', "--json")
    assert json.loads(made.out)["param_history"][-1]["labels"] == ["car"]
    assert run("projects", "set", "street", "--param", "instruction=Label.").code == 0
    shown = run("projects", "get", "street")
    assert "Label." in shown.err
    assert "car" in shown.err
    assert "street" in run("projects", "list").out
    assert run("batches", "create", "monday", "--project", "street", "--metadata", "drive=7").code == 0
    assert "staging" in run("batches", "get", "monday").err
    task = ("--param", "lidar_task=607385eadfd77d0029a84084", "--param", "project=street", "--param", "batch=monday")
    task += ("--param", 'labels=["road"]')
    assert run("tasks", "create", "imageannotation", *task).code == 0
    assert json.loads(run("batches", "status", "monday", "--json").out)["pending"] == 1
    assert json.loads(run("batches", "finalize", "monday", "--json").out)["status"] == "in_progress"
    assert [json.loads(line)["name"] for line in run("batches", "list", "--json").out.splitlines()] == ["monday"]
    assert run("batches", "get", "tuesday").code == 1


def test_files_are_uploaded_and_imported(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    for name in ("1.json", "2.json"):
        (tmp_path / name).write_text("{}")
    ended = run("files", "upload", tmp_path / "1.json", tmp_path / "2.json", "--json")
    assert [json.loads(line)["display_name"] for line in ended.out.splitlines()] == ["1.json", "2.json"]
    assert ended.err.count("scaledata://") == 2
    assert run("files", "upload", tmp_path / "1.json", tmp_path / "2.json", "--reference-id", "a").code == 2


def test_tasks_create_makes_one_task_of_its_parameters(run: Run, sandbox: Sandbox) -> None:
    words = ("tasks", "create", "imageannotation", "--param", "attachment=https://example.com/1.jpg")
    words += ("--param", "project=2024")
    first, again = run(*words, "--json"), run(*words, "--json")
    task = json.loads(first.out)
    assert task["unique_id"].startswith("auto-")
    assert task["project"] == "2024"
    assert json.loads(again.out)["task_id"] == task["task_id"]
    assert "submitted before" in again.err
    assert run("tasks", "cancel", task["task_id"]).code == 0
    assert "--resubmit" in run(*words).err
    assert json.loads(run(*words, "--resubmit", "--json").out)["task_id"] != task["task_id"]


def test_tasks_create_is_checked_by_its_type_and_can_be_tried(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALE_API_URL", "http://127.0.0.1:9/v1")
    monkeypatch.delenv("SCALE_API_KEY", raising=False)
    words = ("tasks", "create", "lidarlinking", "--param", "lidar_task=607385eadfd77d0029a84084")
    words += ("--param", "annotation_type=annotation", "--dry-run")
    refused = run(*words)
    assert refused.code == 2
    assert "instruction is missing" in refused.err
    tried = run(*words, "--param", "instruction=Link.")
    assert json.loads(tried.out)["url"] == "http://127.0.0.1:9/v1/task/lidarlinking"


def test_a_completed_task_is_audited(run: Run, sandbox: Sandbox, client: ScaleClient) -> None:
    task = client.create_task("imageannotation", {"attachment": "https://example.com/2.jpg"})
    assert run("sandbox", "complete", task.id, "--api-url", sandbox.url).code == 0
    assert run("tasks", "audit", task.id).code == 2  # it is not said which
    assert run("tasks", "audit", task.id, "--reject", "--comments", "Loose.").code == 0
    assert client.get_task(task.id).audits[0]["comments"] == "Loose."


@pytest.mark.parametrize(
    "words",
    [
        ("tasks", "create", "imageannotation", "--param", "attachment=https://example.com/1.jpg"),
        ("tasks", "audit", "5a99e20de50d4979ce6d291e", "--accept"),
        ("batches", "finalize", "monday"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_what_orders_work_asks_for_live(
    run: Run, elsewhere: Any, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"docs": []})
        sent.append(request)
        return httpx.Response(200, json={"task_id": "5a99e20de50d4979ce6d291e", "name": "monday"})

    elsewhere(answer)
    monkeypatch.setenv("SCALE_API_KEY", "live_key")
    refused = run(*words)
    assert refused.code == 2
    assert "the API key is a live one" in refused.err
    assert sent == []
    assert run(*words, "--live").code == 0
    assert len(sent) == 1
