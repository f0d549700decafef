"""What stops a run, or fails beside it: it ends soon, keeps what is done, and says so truly."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.storage.folder import FolderStore
from tests.prepare.runs import Told, assert_only_what_the_manifest_names, counted, files, finished
from tests.scenes import write_toolkit_scene

FRAMES = ["9", "10", "11", "12"]
PATIENCE_S = 20

# The frame whose points are read in its turn: those of the others are read before, for the settings.
IN_ITS_TURN = 1


@pytest.fixture
def scene(tmp_path: Path) -> lp.Scene:
    return counted(lp.open_scene(write_toolkit_scene(tmp_path / "recording", frames=4, points=40, cameras=("front",))))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def with_reader(scene: lp.Scene, reader: Callable[[], lp.PointCloud]) -> lp.Scene:
    frames = list(scene)
    frames[IN_ITS_TURN] = replace(frames[IN_ITS_TURN], read_points=reader)
    return replace(scene, frames=tuple(frames))


def said_of(stop: BaseException) -> str:
    return "\n".join([str(stop), *getattr(stop, "__notes__", ())])


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(143), ValueError("a bug"), lp.SceneError("mine"), lp.StorageError("gone")]
)
def test_what_is_done_is_kept_and_it_is_said_how_to_go_on(
    scene: lp.Scene, out: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(FolderStore, "close", lambda store: closed.append(True))
    with pytest.raises(type(error)) as stop:
        lp.prepare(scene, lp.Recipe(), out, workers=1, progress=Told("10", error))
    assert stop.value is error
    assert closed
    done = finished(out)
    assert done >= {"9", "10"}
    kept, _, how = said_of(stop.value).partition(" of 4 frames are done and kept: ")
    assert how.endswith("run the same command again to go on.")
    assert 2 <= int(kept.split()[-1]) <= len(done)
    assert not (out / "manifest.json").exists()
    wait_for_threads()
    done, told = finished(out), Told()
    manifest = lp.prepare(scene, lp.Recipe(), out, progress=told)
    assert told.told == [(4, len(done)), *(name for name in FRAMES if name not in done)]
    assert_only_what_the_manifest_names(manifest, out)


def wait_for_threads() -> None:
    """Wait until no thread of a run is at work: a stop has not waited for them."""
    for thread in threading.enumerate():
        if thread.name.startswith("lidarprep_"):
            thread.join(PATIENCE_S)


def test_a_stop_waits_for_no_frame_that_is_under_way(scene: lp.Scene, out: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hangs() -> lp.PointCloud:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return scene[IN_ITS_TURN].points()

    class Stops(Told):
        def advance(self, frame: Any, stored_bytes: int) -> None:
            assert begun.wait(PATIENCE_S)
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        lp.prepare(with_reader(scene, hangs), lp.Recipe(), out, workers=2, progress=Stops())
    assert time.monotonic() - start < PATIENCE_S / 2
    go_on.set()
    wait_for_threads()


def test_after_an_error_nothing_is_stored_any_more(scene: lp.Scene, out: Path) -> None:
    begun, failed = threading.Event(), threading.Event()

    def slow() -> lp.PointCloud:
        begun.set()
        failed.wait(0.2)
        return scene[IN_ITS_TURN].points()

    class Fails(Told):
        def advance(self, frame: Any, stored_bytes: int) -> None:
            assert begun.wait(PATIENCE_S)
            raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        lp.prepare(with_reader(scene, slow), lp.Recipe(), out, workers=2, progress=Fails())
    after = files(out)
    failed.set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lidarprep_")]
    assert files(out) == after


def test_a_frame_that_is_done_early_is_kept_while_an_earlier_one_is_under_way(scene: lp.Scene, out: Path) -> None:
    """Results come in time order; they are kept as they are done."""

    def late() -> lp.PointCloud:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and "11" not in finished(out):
            time.sleep(0.005)
        assert "11" in finished(out)
        return scene[IN_ITS_TURN].points()

    manifest = lp.prepare(with_reader(scene, late), lp.Recipe(), out, workers=2)
    assert [frame.id for frame in manifest.frames] == FRAMES


def test_objects_are_put_side_by_side(scene: lp.Scene, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one worker: each frame's image waits until those of all frames are on their way."""
    together = threading.Barrier(len(FRAMES))
    put = FolderStore.put

    def put_together(store: FolderStore, key: str, *rest: Any, **options: Any) -> None:
        if key.startswith("images/"):
            together.wait(PATIENCE_S)
        put(store, key, *rest, **options)

    monkeypatch.setattr(FolderStore, "put", put_together)
    assert len(lp.prepare(scene, lp.Recipe(), out, workers=1).frames) == len(FRAMES)


class TestAnExecutor:
    """of the caller's"""

    @pytest.fixture
    def processes(self) -> Iterator[ProcessPoolExecutor]:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield pool

    def test_begins_nothing_more_when_its_run_is_stopped(
        self, tmp_path: Path, out: Path, processes: ProcessPoolExecutor
    ) -> None:
        scene = lp.open_scene(write_toolkit_scene(tmp_path / "long", frames=12, points=40, cameras=()))
        slow = with_reader(scene, partial(_time_passes, scene[IN_ITS_TURN].read_points))
        with pytest.raises(KeyboardInterrupt) as stopped:
            lp.prepare(slow, lp.Recipe(), out, executor=processes, progress=Told("9", KeyboardInterrupt()))
        assert processes.submit(int, "7").result() == 7
        assert said_of(stopped.value).endswith("1 of 12 frames are done and kept: run the same command again to go on.")
        assert len(finished(out)) < 12  # what was under way, and what the pool had fetched from its queue
        assert_only_what_the_manifest_names(lp.prepare(scene, lp.Recipe(), out), out)

    def test_that_takes_no_more_ends_the_run_which_can_go_on(self, scene: lp.Scene, out: Path) -> None:
        class Closing(ThreadPoolExecutor):
            taken = 0

            def submit(self, *arguments: Any) -> Future[Any]:  # type: ignore[override]
                self.taken += 1
                if self.taken > 2:
                    raise RuntimeError("cannot schedule new futures after shutdown")
                return super().submit(*arguments)

        with Closing(1) as pool, pytest.raises(RuntimeError, match="cannot schedule"):
            lp.prepare(scene, lp.Recipe(), out, executor=pool, workers=1)
        assert_only_what_the_manifest_names(lp.prepare(scene, lp.Recipe(), out), out)

    @pytest.mark.usefixtures("without_checks")
    def test_whose_processes_are_killed_ends_the_run_which_can_go_on(
        self, scene: lp.Scene, out: Path, processes: ProcessPoolExecutor
    ) -> None:
        deadly = with_reader(scene, partial(_dies, os.getpid()))
        with pytest.raises(BrokenProcessPool):
            lp.prepare(deadly, lp.Recipe(), out, executor=processes)
        assert not (out / "manifest.json").exists()
        assert_only_what_the_manifest_names(lp.prepare(scene, lp.Recipe(), out), out)


def _time_passes(read_points: Callable[[], lp.PointCloud]) -> lp.PointCloud:
    time.sleep(0.3)
    return read_points()


def _dies(parent: int) -> lp.PointCloud:
    assert os.getpid() != parent
    os._exit(9)
