"""`lidarprep callbacks …` used wrongly; tests/callbacks has the server at work."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lidarprep.callbacks import Callback, open_callback_store
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--path", "callback"), "--path is 'callback'; expected the path of a URL"),
        (("--path", "/{x}"), "--path is '/{x}'"),
        (("--exec", "echo 'a"), '--exec is "echo \'a": No closing quotation'),
        (("--exec", " "), "--exec names no command"),
        (("--exec", "./nowhere"), "--exec: there is no command './nowhere'"),
        (("--max-body", "inf"), "--max-body"),
        (("--exec-timeout", "inf"), "--exec-timeout"),
    ],
)
def test_serve_refuses_what_makes_no_sense(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.setenv("SCALE_CALLBACK_AUTH", "key")
    ended = run("callbacks", "serve", "--store", tmp_path / "a.db", *words)
    assert ended.code == 2
    assert message in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", [None, "", "  "])
def test_serve_does_not_run_without_an_auth_key(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    monkeypatch.delenv("SCALE_CALLBACK_AUTH", raising=False)
    if key is not None:
        monkeypatch.setenv("SCALE_CALLBACK_AUTH", key)
    ended = run("callbacks", "serve", "--store", tmp_path / "a.db")
    assert ended.code == 2
    assert "no callback auth key is set" in ended.err
    assert "Set SCALE_CALLBACK_AUTH" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_list_shows_what_came_and_what_was_handled(run: Run, tmp_path: Path) -> None:
    bodies = [{"task_id": "a", "response": {"n": n}, "task": {"type": "categorization"}} for n in range(2)]
    with open_callback_store(tmp_path / "callbacks.db") as store:
        for second, body in enumerate(bodies):
            moment = datetime(2026, 3, 1, 12, 0, second, tzinfo=UTC)
            store.add(Callback.from_body(json.dumps(body).encode(), moment))
        store.mark_handled("a", 1)
    table = run("callbacks", "list", "--store", tmp_path / "callbacks.db")
    assert (table.code, table.err) == (0, "")
    assert "2026-03-01 12:00:01" in table.out
    assert table.out.count("yes") == 1
    lines = run("callbacks", "list", "--store", tmp_path / "callbacks.db", "--json").out.splitlines()
    assert [json.loads(line) for line in lines] == bodies


def test_list_shows_nothing_that_steers_the_terminal_and_any_text_that_json_can_hold(run: Run, tmp_path: Path) -> None:
    body = b'{"task_id": "a", "task": {"type": "\\u001b[31mred", "status": "a\\nb"}, "half": "\\ud83d"}'
    with open_callback_store(tmp_path / "callbacks.db") as store:
        store.add(Callback.from_body(body, datetime.now(UTC)))
    table = run("callbacks", "list", "--store", tmp_path / "callbacks.db")
    assert "\x1b" not in table.out
    assert "a b" in table.out
    assert json.loads(run("callbacks", "list", "--store", tmp_path / "callbacks.db", "--json").out) == json.loads(body)


def test_list_makes_no_store(run: Run, tmp_path: Path) -> None:
    ended = run("callbacks", "list", "--store", tmp_path / "nowhere.db")
    assert ended.code == 1
    assert "there is no store of callbacks" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["serve", "list"])
def test_a_folder_is_not_a_store(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    monkeypatch.setenv("SCALE_CALLBACK_AUTH", "key")
    ended = run("callbacks", verb, "--store", tmp_path)
    assert ended.code == 1
    assert f"{tmp_path} is a folder; callbacks are kept in an SQLite file" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_handle_runs_a_command_for_what_is_not_handled_yet(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "callbacks.db"
    with open_callback_store(place) as store:
        for task_id in ("a", "b", "c"):
            store.add(Callback.from_body(json.dumps({"task_id": task_id}).encode(), datetime.now(UTC)))
    script = tmp_path / "take-in"
    script.write_text(f'#!/bin/sh\ntest "$TASK_ID" != b && cat > {tmp_path}/"$TASK_ID".json\n')
    script.chmod(0o755)
    ended = run("callbacks", "handle", "--store", place, "--exec", script, "b", "c")
    assert (ended.code, "task b, result 1" in ended.err) == (1, True)
    assert "1 callbacks handled, 1 failed" in ended.err
    assert json.loads((tmp_path / "c.json").read_text()) == {"task_id": "c"}
    assert not (tmp_path / "a.json").exists()
    assert run("callbacks", "handle", "--store", place, "--exec", "true").code == 0
    assert "0 callbacks handled" in run("callbacks", "handle", "--store", place, "--exec", "false").err
    assert run("callbacks", "handle", "--store", tmp_path / "none.db", "--exec", "true").code == 1


def test_a_listed_callback_is_json_whatever_numbers_it_holds(run: Run, tmp_path: Path) -> None:
    with open_callback_store(tmp_path / "a.db") as store:
        store.add(Callback.from_body(b'{"task_id": "a", "response": {"x": [1e999, NaN]}}', datetime.now(UTC)))
    ended = run("callbacks", "list", "--store", tmp_path / "a.db", "--json")
    assert json.loads(ended.out, parse_constant=lambda name: pytest.fail(name))["response"] == {"x": [None, None]}
