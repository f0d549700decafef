"""`lidarprep tasks …` and `lidarprep whoami` against the sandbox."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from lidarprep.api import ScaleClient, Task
from lidarprep.sandbox import Sandbox, running_sandbox
from tests.cli.conftest import CATEGORIZATION, Run


@pytest.fixture
def task(client: ScaleClient) -> Task:
    return client.create_task("categorization", CATEGORIZATION)


LIDAR = {
    "attachments": ["https://example.com/1.json"],
    "attachment_type": "json",
    "labels": ["car"],
    "instruction": "Label the cars.",
    "callback_url": "https://example.com/callback",
}


def test_get_shows_a_table_to_people_and_json_to_programs(run: Run, task: Task) -> None:
    shown = run("tasks", "get", task.id)
    assert (shown.code, shown.out) == (0, "")
    assert task.id in shown.err
    assert "categorization" in shown.err
    assert f"next: lidarprep tasks wait {task.id}" in shown.err
    assert "\x1b" not in shown.err
    assert json.loads(run("tasks", "get", task.id, "--json").out) == task.raw


def test_a_task_that_is_not_there_ends_with_1(run: Run, sandbox: Sandbox) -> None:
    ended = run("tasks", "get", "f" * 24)
    assert ended.code == 1
    assert ended.err.startswith("error: ")
    assert "404" in ended.err


def test_an_id_that_is_none_ends_with_2_and_nothing_is_sent(run: Run, sandbox: Sandbox) -> None:
    assert run("tasks", "cancel", "a/../b").code == 2


def test_list_gives_json_lines_newest_first_and_says_when_there_are_more(run: Run, client: ScaleClient) -> None:
    made = [client.create_task("categorization", {**CATEGORIZATION, "project": "listed"}).id for _ in range(5)]
    words = ("tasks", "list", "--project", "listed")
    ended = run(*words, "--limit", 2, "--json")
    assert [json.loads(line)["task_id"] for line in ended.out.splitlines()] == made[:2:-1]
    assert "there are more than these 2" in ended.err
    for enough in (("--limit", 5), ("--all",), ("--limit", 500)):
        ended = run(*words, *enough, "--json")
        assert [json.loads(line)["task_id"] for line in ended.out.splitlines()] == made[::-1]
        assert "more" not in ended.err
    table = run(*words)
    assert all(task_id in table.out for task_id in made)
    header = table.out.splitlines()[2]
    assert "project" in header
    assert "unique id" not in header  # no task has one, and the table has to fit a narrow terminal


def test_list_follows_pages(run: Run, client: ScaleClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lidarprep.cli.tasks.MOST_TASKS_A_PAGE", 3)
    made = {
        client.create_task("categorization", {**CATEGORIZATION, "batch": "paged", "unique_id": f"page-{n}"}).id
        for n in range(7)
    }
    for enough in (("--all",), ("--limit", 7)):
        lines = run("tasks", "list", "--batch", "paged", *enough, "--json").out.splitlines()
        assert {json.loads(line)["task_id"] for line in lines} == made
        assert len(lines) == 7


def test_every_filter_reaches_the_api(run: Run, elsewhere: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    asked: list[httpx.QueryParams] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params)
        return httpx.Response(200, json={"docs": [], "total": 0, "limit": 100, "has_more": False})

    elsewhere(answer)
    monkeypatch.setenv("SCALE_API_KEY", "test_key")
    words = (
        "--status completed --status error --type lidarannotation --project p --batch b --unique-id u1 --unique-id u2"
    )
    words += " --tag t1 --tag t2 --review-status fixed --created-after 2021-04-25 --created-before 2021-04-26"
    words += " --completed-after 2021-04-27 --completed-before 2021-04-28 --updated-after 2021-04-29T03:14:15-07:00"
    words += " --updated-before 2021-04-30 --attachment-urls --limit 7"
    assert run("tasks", "list", *words.split()).code == 0
    (query,) = asked
    assert {name: query.get_list(name) for name in query} == {
        "status": ["completed", "error"],
        "type": ["lidarannotation"],
        "project": ["p"],
        "batch": ["b"],
        "unique_id": ["u1", "u2"],
        "tags": ["t1", "t2"],
        "customer_review_status": ["fixed"],
        "start_time": ["2021-04-25"],
        "end_time": ["2021-04-26"],
        "completed_after": ["2021-04-27"],
        "completed_before": ["2021-04-28"],
        "updated_after": ["2021-04-29T03:14:15-07:00"],
        "updated_before": ["2021-04-30"],
        "include_attachment_url": ["true"],
        "limit": ["8"],
    }


def test_a_filter_that_makes_no_sense_ends_with_2(run: Run, sandbox: Sandbox) -> None:
    ended = run("tasks", "list", "--status", "done")
    assert ended.code == 2
    assert "status is 'done'; it must be one of pending" in ended.err


def between_polls(monkeypatch: pytest.MonkeyPatch, step: Callable[[float], object]) -> None:
    """Has the clients that commands make do this in place of waiting."""
    monkeypatch.setitem(cast(Any, ScaleClient.__init__).__kwdefaults__, "sleep", step)


def test_wait_ends_with_0_once_the_task_is_completed(
    run: Run, sandbox: Sandbox, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    between_polls(monkeypatch, lambda _: sandbox.complete(task.id, {"category": "red"}))
    ended = run("tasks", "wait", task.id, "--timeout", 60, "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["response"] == {"category": "red"}


@pytest.mark.parametrize("way", ["fail", "cancel"])
def test_wait_ends_with_1_for_a_task_that_came_to_nothing(
    run: Run, sandbox: Sandbox, client: ScaleClient, task: Task, way: str
) -> None:
    if way == "fail":
        sandbox.fail(task.id, "the image is not an \x1b[31mimage")
    else:
        client.cancel_task(task.id)
    ended = run("tasks", "wait", task.id)
    assert ended.code == 1
    assert ("canceled" if way == "cancel" else "the image is not an") in ended.err
    assert "\x1b" not in ended.err
    assert "next:" not in ended.err


def test_wait_ends_with_1_when_the_time_is_over(run: Run, task: Task) -> None:
    ended = run("tasks", "wait", task.id, "--timeout", 0)
    assert (ended.code, ended.out) == (1, "")
    assert "still pending after 0 s" in ended.err


def test_wait_shows_a_line_of_progress_at_a_terminal(
    run: Run, sandbox: Sandbox, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes stderr for a terminal
    monkeypatch.setenv("TERM", "xterm")
    between_polls(monkeypatch, lambda _: (time.sleep(0.2), sandbox.complete(task.id)))
    ended = run("tasks", "wait", task.id)
    assert ended.code == 0
    assert f"task {task.id}: pending, 0 min 00 s" in ended.err


def test_cancel_frees_the_unique_id_where_asked_to(run: Run, client: ScaleClient) -> None:
    kept = client.create_task("categorization", {**CATEGORIZATION, "unique_id": "kept"})
    freed = client.create_task("categorization", {**CATEGORIZATION, "unique_id": "freed"})
    assert json.loads(run("tasks", "cancel", kept.id, "--json").out)["status"] == "canceled"
    assert json.loads(run("tasks", "cancel", freed.id, "--clear-unique-id", "--json").out)["status"] == "canceled"
    assert client.get_task(kept.id).unique_id == "kept"
    assert client.get_task(freed.id).unique_id is None


def test_a_completed_task_is_not_cancelled(run: Run, sandbox: Sandbox, task: Task) -> None:
    sandbox.complete(task.id)
    ended = run("tasks", "cancel", task.id)
    assert ended.code == 1
    assert "400" in ended.err


def test_tags_are_added_taken_away_and_replaced(run: Run, client: ScaleClient, task: Task) -> None:
    for words, left in (
        (("tag", task.id, "a", "b"), ("a", "b")),
        (("tag", task.id, "b", "c"), ("a", "b", "c")),
        (("untag", task.id, "a", "c"), ("b",)),
        (("tag", task.id, "--replace", "x"), ("x",)),
        (("tag", task.id, "--replace"), ()),
    ):
        assert run("tasks", *words).code == 0
        assert client.get_task(task.id).tags == left
    assert run("tasks", "tag", task.id).code == 2
    assert run("tasks", "tag", task.id, *"abcdef").code == 2


def test_metadata_is_replaced_or_merged(run: Run, client: ScaleClient, task: Task, tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text("run: 7\nplace: {city: Ulm}\n")
    for words, there in (
        (("night=true", "scene=s 1"), {"night": True, "scene": "s 1"}),
        (("rain=false", "--merge"), {"night": True, "scene": "s 1", "rain": False}),
        (("--file", tmp_path / "metadata.yaml", "run=8"), {"run": 8, "place": {"city": "Ulm"}}),
        ((), {"run": 8, "place": {"city": "Ulm"}}),
    ):
        shown = run("tasks", "metadata", task.id, *words, "--json")
        assert json.loads(shown.out)["metadata"] == there == client.get_task(task.id).metadata
    assert run("tasks", "metadata", task.id, "no equals sign").code == 2


def test_the_unique_id_is_set_shown_and_cleared(run: Run, client: ScaleClient, task: Task) -> None:
    assert run("tasks", "unique-id", task.id, "scene 12").code == 0
    assert "scene 12" in run("tasks", "unique-id", task.id).err
    other = client.create_task("categorization", CATEGORIZATION)
    taken = run("tasks", "unique-id", other.id, "scene 12")
    assert taken.code == 1
    assert task.id in taken.err
    assert run("tasks", "unique-id", task.id, "--clear").code == 0
    assert client.get_task(task.id).unique_id is None
    assert run("tasks", "unique-id", task.id, "new", "--clear").code == 2


def test_dependents_are_defined_and_forced(run: Run, sandbox: Sandbox, client: ScaleClient, tmp_path: Path) -> None:
    task = client.create_task("lidarannotation", LIDAR)
    definition = {
        "type": "lidarsegmentation",
        "labels": ["car"],
        "instruction": "Colour the cars.",
        "callback_url": "https://example.com/callback",
    }
    (tmp_path / "defs.json").write_text(json.dumps({"defs": [definition], "require_audit": False}))
    ended = run("tasks", "dependents", task.id, "--defs", tmp_path / "defs.json", "--require-audit", "--json")
    assert ended.code == 0, ended.err
    assert sandbox.store.get(task.id)["dependents"]["require_audit"] is True
    assert run("tasks", "dependents", task.id, "--force").code == 1  # not completed yet
    sandbox.complete(task.id)
    assert run("tasks", "dependents", task.id, "--force").code == 0
    made = [one for one in client.iter_tasks(type="lidarsegmentation") if one.params.get("lidar_task") == task.id]
    assert len(made) == 1


@pytest.mark.parametrize("words", [(), ("--force", "--require-audit"), ("--defs", "nowhere.yaml"), ("--defs", "odd")])
def test_dependents_asked_for_in_a_way_that_makes_no_sense_end_with_2(
    run: Run, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd").write_text("definitions: []")
    ended = run("tasks", "dependents", "f" * 24, *words)
    assert ended.code == 2
    assert ended.err.startswith("error: ")


def test_next_names_the_address_that_was_given(run: Run, sandbox: Sandbox, task: Task) -> None:
    ended = run("tasks", "get", task.id, "--api-url", sandbox.url)
    assert f"next: lidarprep tasks wait {task.id} --api-url {sandbox.url}" in ended.err


def test_without_a_key_it_says_where_to_get_one(run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCALE_API_KEY")
    ended = run("tasks", "list")
    assert ended.code == 2
    assert "no API key is set" in ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--created-after", "yesterday"), "--created-after is 'yesterday'; it must be a time"),
        (("--completed-before", "soon"), "--completed-before is 'soon'; it must be a time"),
        (("--review-status", "good"), "--review-status is 'good'; it must be one of accepted, "),
        (("--tag", ""), "--tag is ''; it must be a text that is not empty"),
    ],
)
def test_a_filter_that_makes_no_sense_is_named_as_it_was_typed(
    run: Run, sandbox: Sandbox, words: tuple[str, ...], said: str
) -> None:
    ended = run("tasks", "list", *words)
    assert ended.code == 2
    assert ended.err.startswith(f"error: {said}")


def test_an_api_that_is_not_there_is_said_to_be_asked_again_and_soon_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    program = (
        "from lidarprep.api import ScaleClient; from lidarprep.cli import main\n"
        "ScaleClient.__init__.__kwdefaults__['sleep'] = lambda seconds: None\n"
        f"main(['tasks', 'list', '--api-url', 'http://127.0.0.1:{port}/v1'])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "SCALE_API_KEY": "test_x"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert re.findall(r"Connection refused; trying again in \d\.\d s \((\d) of 3\)", ended.stderr) == ["1", "2", "3"]
    assert "error: GET /v1/tasks: no answer from 127.0.0.1" in ended.stderr


# ---- whoami --------------------------------------------------------------------------------------------------------


def test_it_says_which_key_it_is_and_that_the_api_takes_it(run: Run, sandbox: Sandbox) -> None:
    shown = run("whoami")
    assert (shown.code, shown.out) == (0, "")
    assert sandbox.url in shown.err
    found = json.loads(run("whoami", "--json").out)
    assert found["key_mode"] == "test"
    assert (found["answers"], found["costs_money"], found["problem"]) == (True, False, None)
    assert found["total_tasks"] == sandbox.store.page(limit=1).total


@pytest.mark.parametrize(
    ("key", "mode", "costs"), [("live_abcdef", "live", True), ("test_abcdef", "test", False), ("abcdef", None, False)]
)
def test_the_prefix_tells_live_from_test_and_no_part_of_the_key_is_shown(
    run: Run, elsewhere: Any, monkeypatch: pytest.MonkeyPatch, key: str, mode: str | None, costs: bool
) -> None:
    elsewhere(lambda request: httpx.Response(200, json={"docs": [], "total": 12, "limit": 1, "has_more": False}))
    monkeypatch.setenv("SCALE_API_KEY", key)
    ended = run("whoami", "--json")
    found = json.loads(ended.out)
    assert (found["key_mode"], found["costs_money"], found["total_tasks"]) == (mode, costs, 12)
    assert "abc" not in ended.out + ended.err
    assert "***" not in ended.out + ended.err


def test_a_key_that_is_refused_ends_with_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALE_API_KEY", "test_wrong")
    with running_sandbox(api_keys=["test_right"]) as sandbox:
        ended = run("whoami", "--api-url", sandbox.url, "--json")
    assert ended.code == 1
    assert json.loads(ended.out)["answers"] is False
    assert "401" in json.loads(ended.out)["problem"]
    assert "error: " in ended.err
    assert "wrong" not in ended.out + ended.err.replace("a wrong one", "")


def test_no_answer_ends_with_1_and_without_a_long_wait(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALE_API_KEY", "test_key")
    ended = run("whoami", "--api-url", "http://127.0.0.1:9/v1")  # port 9: nothing listens there
    assert ended.code == 1
    assert "no answer from 127.0.0.1:9" in ended.err


def test_no_key_is_said_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCALE_API_KEY", raising=False)
    ended = run("whoami")
    assert ended.code == 2
    assert "no API key is set" in ended.err
