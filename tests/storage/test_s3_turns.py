"""Requests that wait in boto's adaptive limiter: they can be told to stop, and nobody keeps the turn."""

from __future__ import annotations

from threading import Event, Thread
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ConnectionError
from lidarprep.storage.s3.turns import Turns

from lidarprep.storage.s3.retries import Patience


class Stopped(BaseException):
    """As Ctrl-C is: no Exception."""


@pytest.fixture
def patience() -> Patience:
    return Patience(1.0)


@pytest.fixture
def turns(patience: Patience, monkeypatch: pytest.MonkeyPatch) -> Turns:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client = botocore.session.Session().create_client("s3", region_name="us-east-1")
    return Turns(client, patience)


def test_a_turn_is_given_back_whatever_ends_it(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise Stopped

    monkeypatch.setattr(turns._limiter, "on_sending_request", stop)
    for _ in range(2):  # the second would wait for ever
        with pytest.raises(Stopped):
            turns._in_turn(None)


def test_who_waits_for_a_turn_gives_up_once_the_store_is_stopped(
    turns: Turns, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go_on = Event(), Event()

    def wait(*_: Any, **__: Any) -> None:
        inside.set()
        go_on.wait(10)

    monkeypatch.setattr(turns._limiter, "on_sending_request", wait)
    first = Thread(target=turns._in_turn, args=(None,))
    first.start()
    assert inside.wait(10)
    patience.end()
    with pytest.raises(ConnectionError, match="stopped"):
        turns._in_turn(None)
    go_on.set()
    first.join()


def test_botos_limiter_is_asked_once_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    client = botocore.session.Session().create_client("s3", region_name="us-east-1")
    other = Turns(client, Patience(1.0))
    monkeypatch.setattr(other._limiter, "_token_bucket", type("Bucket", (), {"acquire": lambda _: asked.append(1)})())
    monkeypatch.setattr(other._limiter, "_enabled", True)
    client.meta.events.emit("before-send.s3.PutObject", request=None)
    assert asked == [1]
