"""Callbacks as the reference shows them, and a store to keep them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lidarprep.callbacks import CallbackStore, open_callback_store

AUTH_KEY = "live_callback_auth_53cr3t"

TASK_ID = "576c41bf13e36b0600b02b34"


def posted(task_id: str = TASK_ID, category: str = "red", **more: Any) -> bytes:
    """The reference's example of a callback."""
    task = {
        "task_id": task_id,
        "completed_at": "2016-06-23T21:54:44.904Z",
        "response": {"category": category},
        "created_at": "2016-06-23T20:08:31.573Z",
        "callback_url": "http://www.example.com/callback",
        "type": "categorization",
        "status": "completed",
        "instruction": "Is this object red or blue?",
        "urgency": "day",
        "params": {"attachment_type": "text", "attachment": "tomato", "categories": ["red", "blue"]},
        "metadata": {},
    }
    return json.dumps({"task": task, "response": {"category": category}, "task_id": task_id, **more}).encode()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A file that does not exist yet."""
    return tmp_path / "callbacks.db"


@pytest.fixture
def store(place: Path) -> Iterator[CallbackStore]:
    with open_callback_store(place) as store:
        yield store


@pytest.fixture
def reopened(place: Path, store: CallbackStore) -> Iterator[Callable[[], CallbackStore]]:
    """Opens the same file once more, as another process would."""
    opened: list[CallbackStore] = []

    def open_again() -> CallbackStore:
        opened.append(open_callback_store(place))
        return opened[-1]

    yield open_again
    for one in opened:
        one.close()
