"""`lidarprep whoami`: what the key is and whether it is taken; nothing of the key itself."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from lidarprep.sandbox import Sandbox, running_sandbox
from tests.cli.conftest import Run


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
