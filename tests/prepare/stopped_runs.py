"""Runs that are stopped in this process, at stores that fail, of scenes that note what is read of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lidarprep.pipeline import destination as destinations
from lidarprep.storage.journal import journal_of

import lidarprep as lp
from lidarprep.storage import LocalFolder
from tests.storage.memory import Faulty, MemoryStore

FRAMES = ["9", "10", "11", "12"]
# Ids of the frames whose points were read.
read: list[str] = []


def read_counted(frame_id: str, read_points: Callable[[], lp.PointCloud]) -> lp.PointCloud:
    read.append(frame_id)
    return read_points()


def counted(scene: lp.Scene) -> lp.Scene:
    """The scene; its frames note in `read` that they are read, by a reader that can still be told by its files."""
    frames = (replace(one, read_points=partial(read_counted, one.id, one.read_points)) for one in scene)
    return replace(scene, frames=tuple(frames))


class Killed(BaseException):
    """As if the process had gone: nothing that follows reaches the store."""


class Place:
    """A destination, local or in memory, whose store can be made to fail."""

    def __init__(self, kind: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.memory = MemoryStore()
        self.kind = kind
        self.calls: list[str] = []
        self.fail: Callable[[int], None] = lambda call: None
        monkeypatch.setattr(destinations, "open_store", self.open)

    def bare(self) -> Any:
        return self.memory if self.kind == "memory" else LocalFolder(self.path)

    def open(self, out: str, **options: Any) -> Any:
        self.memory.presign_hours = options["presign_hours"]
        return Faulty(self.bare(), lambda call: self.fail(call), self.calls)

    def files(self) -> dict[str, bytes]:
        if self.kind == "memory":
            return dict(self.memory.objects)
        return {str(path.relative_to(self.path)): path.read_bytes() for path in self.path.rglob("*") if path.is_file()}

    def clear(self) -> None:
        self.calls.clear()
        self.memory.objects.clear()
        shutil.rmtree(self.path, ignore_errors=True)

    def journaled(self) -> set[str] | None:
        """The frames that are recorded as done; None where nothing was begun."""
        found = journal_of(self.bare()).read()
        if found is None:
            return None
        records = [one for record in found.records for one in record.get("frames", [record])]
        return {record["frame"] for record in records if "frame" in record}


def fails_from(first: int, how: str) -> Callable[[int], None]:
    """A call that fails, or it and all after it; or the process is gone from there on."""

    def fail(call: int) -> None:
        if how == "killed" and call >= first:
            raise Killed
        if (how == "once" and call == first) or (how == "for good" and call >= first):
            raise lp.StorageError("the store is out of order")

    return fail


def prepare(scene: lp.Scene, place: Place, recipe: lp.Recipe | None = None, **options: Any) -> lp.Manifest:
    return lp.prepare(scene, recipe or lp.Recipe(), place.path, **({"workers": 2} | options))


def stop_at(frame_id: str, error: BaseException) -> Any:
    """Told of progress; raises once a frame is told of."""

    class Told:
        def start(self, frames: int, done: int) -> None:
            self.done = done

        def advance(self, frame: Any, stored_bytes: int) -> None:
            if frame.id == frame_id:
                raise error

        def skip(self, frame: Any) -> None:
            pass

    return Told()
