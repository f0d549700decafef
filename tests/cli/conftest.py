"""Runs a command as a person or a program would, within the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import pytest

from lidarprep.api import ScaleClient
from lidarprep.cli import main
from lidarprep.sandbox import Sandbox, running_sandbox

CATEGORIZATION = {
    "instruction": "Is this object red or blue?",
    "attachment_type": "text",
    "attachment": "tomato",
    "categories": ["red", "blue"],
    "callback_url": "https://example.com/callback",
}


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


class Run(Protocol):
    def __call__(self, *words: object) -> Ended: ...


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: object) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox that the environment points to, with a test key."""
    monkeypatch.setenv("SCALE_API_URL", shared_sandbox.url)
    monkeypatch.setenv("SCALE_API_KEY", "test_key_0f_n0b0dy")
    return shared_sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[ScaleClient]:
    """What is there, seen past the command line."""
    with ScaleClient() as client:
        yield client


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[httpx.Request], httpx.Response]], None]:
    """Has an API that is not on this machine answer, at https://api.example.com/v1."""

    def answer_by(answer: Callable[[httpx.Request], httpx.Response]) -> None:
        made = httpx.Client.__init__

        def init(self: httpx.Client, **settings: Any) -> None:
            made(self, **{**settings, "transport": httpx.MockTransport(answer)})

        monkeypatch.setattr(httpx.Client, "__init__", init)
        monkeypatch.setenv("SCALE_API_URL", "https://api.example.com/v1")

    return answer_by
