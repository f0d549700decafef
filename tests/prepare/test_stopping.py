"""What stops a run, or fails beside it: it ends soon, keeps what is done, says so truly, and stores nothing after."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
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
from lidarprep.pipeline import preparation
from lidarprep.pipeline.destination import Destination, RunStoppedError
from lidarprep.pipeline.frame_work import FramePreparer
from lidarprep.pipeline.plan import planned
from lidarprep.pipeline.settling import Settling
from lidarprep.pipeline.storing import FrameStorer

import lidarprep as lp
from lidarprep.attachments import get_format
from lidarprep.storage import StoredObject, lock, object_journal
from lidarprep.storage.store import RUN_FOLDER
from tests.prepare.stopped_runs import FRAMES, Place, counted, prepare, read, stop_at
from tests.scenes import write_toolkit_scene

PATIENCE_S = 20

# The frame whose points are read in its turn: those of the others were read before, for a look.
NOT_LOOKED_AT = 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "recording", frames=4, points=40, cameras=("front",))


@pytest.fixture
def scene(folder: Path) -> Iterator[lp.Scene]:
    read.clear()
    yield counted(lp.open_scene(folder))
    read.clear()


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(request.param, tmp_path / "out", monkeypatch)


@pytest.fixture
def in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place("memory", tmp_path / "out", monkeypatch)


def attachments(place: Place) -> set[str]:
    return {name for name in place.files() if name.startswith(("frame-", "images/"))}


def failure_of(run: Callable[[], object]) -> lp.StorageError | None:
    try:
        run()
    except lp.StorageError as failure:
        return failure
    return None


class TestPuts:
    def test_of_one_frame_go_side_by_side_and_the_next_are_prepared_meanwhile(
        self, scene: lp.Scene, in_memory: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With one worker: each put waits until all of them have begun."""
        together = threading.Barrier(2 * len(FRAMES))
        put = in_memory.memory.put

        def put_together(key: str, data: bytes, content_type: str) -> StoredObject:
            if key.startswith(("frame-", "images/")):
                together.wait(PATIENCE_S)
            return put(key, data, content_type)

        monkeypatch.setattr(in_memory.memory, "put", put_together)
        assert len(prepare(scene, in_memory, workers=1).frames) == len(FRAMES)

    def test_where_an_executor_does_a_frame_go_side_by_side(
        self, scene: lp.Scene, in_memory: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        together = threading.Barrier(2)
        put = in_memory.memory.put

        def put_together(key: str, data: bytes, content_type: str) -> StoredObject:
            if key.startswith(("frame-", "images/")):
                together.wait(PATIENCE_S)
            return put(key, data, content_type)

        monkeypatch.setattr(in_memory.memory, "put", put_together)
        with ThreadPoolExecutor(1) as pool:
            assert len(prepare(scene, in_memory, executor=pool).frames) == len(FRAMES)


class TestARunThatHasEnded:
    def test_says_so_to_its_frames_and_not_to_those_of_the_next(self, tmp_path: Path) -> None:
        first, second = (Destination(str(tmp_path / "out"), lp.StorageOptions()) for _ in range(2))
        first.forget()
        with pytest.raises(RunStoppedError):
            first.go_on()
        second.go_on()
        assert first.run.is_over
        second.forget()

    def test_says_so_to_other_processes(self, tmp_path: Path) -> None:
        destination = Destination(str(tmp_path / "out"), lp.StorageOptions()).shown()
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            pool.submit(destination.go_on).result()
            destination.stop()
            with pytest.raises(RunStoppedError):
                pool.submit(destination.go_on).result()
        assert not Path(str(destination.run.file)).exists()

    def test_is_taken_to_go_on_where_nobody_can_see_it(self, tmp_path: Path) -> None:
        """As on the machines of a cluster, which share no folder for temporary files."""
        shown = Destination(str(tmp_path / "out"), lp.StorageOptions()).shown()
        shown.stop()
        elsewhere = replace(shown, run=replace(shown.run, machine="another"))
        elsewhere.go_on()

    def test_stores_nothing_of_a_frame_that_is_still_worked_on(self, scene: lp.Scene, in_memory: Place) -> None:
        """As one in a caller's executor, after a second Ctrl-C has left its run."""
        reached, go_on = threading.Event(), threading.Event()

        def late() -> lp.PointCloud:
            reached.set()
            assert go_on.wait(PATIENCE_S)
            return scene[0].points()

        job = planned(scene, lp.Recipe())[0]
        job = replace(job, frame=replace(job.frame, read_points=late))
        settling = Settling(scene, lp.Recipe(intensity_scale=255))
        destination = Destination(str(in_memory.path), lp.StorageOptions())
        preparer = FramePreparer(settling.steps(scene.frames), lp.Recipe(), destination)
        with ThreadPoolExecutor(1) as pool:
            frame = pool.submit(FrameStorer(preparer, get_format("json")), job)
            assert reached.wait(PATIENCE_S)
            destination.forget()
            prepare(scene, in_memory)  # the next run to the same place
            after = in_memory.files()
            in_memory.calls.clear()
            go_on.set()
            with pytest.raises(RunStoppedError):
                frame.result()
        assert in_memory.files() == after
        assert "put" not in in_memory.calls


def time_passes(read_points: Callable[[], lp.PointCloud]) -> lp.PointCloud:
    time.sleep(0.3)
    return read_points()


def dies(parent: int, read_points: Callable[[], lp.PointCloud]) -> lp.PointCloud:
    if os.getpid() != parent:
        os._exit(9)
    return read_points()


def test_a_pool_of_processes_ends_soon_when_its_run_is_stopped(folder: Path, tmp_path: Path) -> None:
    """What is queued is not begun, and what is under way is not stored."""
    scene = lp.open_scene(folder)
    slow = list(scene)
    slow[NOT_LOOKED_AT] = replace(scene[1], read_points=partial(time_passes, scene[1].read_points))
    recipe = lp.Recipe(intensity_scale=255)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(KeyboardInterrupt) as stopped:
            lp.prepare(
                replace(scene, frames=tuple(slow)),
                recipe,
                tmp_path / "out",
                executor=pool,
                progress=stop_at("9", KeyboardInterrupt()),
            )
        assert pool.submit(int, "7").result() == 7
    (note,) = stopped.value.__notes__
    assert note.startswith("1 of 4 frames are done and kept")
    staged = {path.name for path in (tmp_path / "out" / RUN_FOLDER).rglob("frame-*")}
    assert staged == {"frame-9.json"}
    assert not list(Path(tempfile.gettempdir()).glob("lidarprep-run-*"))


class TestWhatIsSaidToBeKept:
    def test_is_what_is_recorded_for_certain(
        self, scene: lp.Scene, in_memory: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The journal of a store of objects is put a moment later, and that may fail."""
        put = in_memory.memory.put
        records = 0

        def put_few(key: str, data: bytes, content_type: str) -> StoredObject:
            nonlocal records
            if key.startswith(f"{RUN_FOLDER}/journal/"):
                records += 1
                if records > 1:
                    raise lp.StorageError("the bucket is gone")
            return put(key, data, content_type)

        monkeypatch.setattr(object_journal, "_PACE_S", 0.0)
        monkeypatch.setattr(in_memory.memory, "put", put_few)
        with pytest.raises((KeyboardInterrupt, lp.StorageError)) as stopped:
            prepare(scene, in_memory, workers=1, progress=stop_at("12", KeyboardInterrupt()))
        monkeypatch.undo()
        said = "\n".join([str(stopped.value), *getattr(stopped.value, "__notes__", ())])
        kept = in_memory.journaled() or set()
        assert len(kept) < len(FRAMES)
        assert f"{len(kept)} of 4 frames are done and kept" in said


class TestALockThatWasTakenOver:
    """is noticed before the next record, and before the manifest."""

    class Lost:
        """A lock that is lost once it was asked so often."""

        def __init__(self, checks: int) -> None:
            self.checks = checks
            self.asked = threading.Event()

        def check(self) -> None:
            self.checks -= 1
            self.asked.set()
            if self.checks < 0:
                raise lp.StorageError("another run has taken the place over")

    def losing(self, checks: int, monkeypatch: pytest.MonkeyPatch) -> Lost:
        lost = self.Lost(checks)

        @contextlib.contextmanager
        def locked(store: Any) -> Iterator[Any]:
            with lock.locked(store):
                yield lost

        monkeypatch.setattr(preparation, "locked", locked)
        return lost

    @pytest.mark.parametrize(("attachments_format", "fewest"), [("json", len(FRAMES) + 1), ("sfs", 2)])
    def test_no_record_and_no_manifest_comes_after(
        self, scene: lp.Scene, place: Place, monkeypatch: pytest.MonkeyPatch, attachments_format: Any, fewest: int
    ) -> None:
        recipe = lp.Recipe(format=attachments_format)
        for checks in range(40):
            place.clear()
            lost = self.losing(checks, monkeypatch)
            failure = failure_of(lambda: prepare(scene, place, recipe, workers=1))
            if failure is None:
                break
            assert "has taken the place over" in failure.message
            assert lost.checks < 0
            assert "manifest.json" not in place.files()
            assert attachments_format == "sfs" or len(place.journaled() or ()) <= checks
            # Nothing of it is taken back: that would be another's by now.
            assert checks or "could not be deleted: another run has taken" in str(failure)
        assert lost.checks >= 0
        assert fewest <= checks < 40

    def test_frames_that_are_under_way_are_not_stored(
        self, scene: lp.Scene, in_memory: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lost = self.losing(0, monkeypatch)

        def late(read_points: Callable[[], lp.PointCloud]) -> lp.PointCloud:
            assert lost.asked.wait(PATIENCE_S)
            time.sleep(0.2)  # until that is known
            return read_points()

        frames = list(scene)
        frames[NOT_LOOKED_AT] = replace(scene[1], read_points=partial(late, scene[1].read_points))
        with pytest.raises(lp.StorageError, match="has taken the place over"):
            prepare(replace(scene, frames=tuple(frames)), in_memory, workers=4)
        assert "images/front/10.jpg" not in in_memory.files()
        assert "frame-10.json" not in in_memory.files()


class TestACallersOwn:
    @pytest.mark.parametrize("error", [ValueError("a bug"), lp.SceneError("mine")])
    def test_exception_of_a_progress_ends_the_run_which_can_go_on(
        self, scene: lp.Scene, place: Place, error: Exception
    ) -> None:
        with pytest.raises(type(error)) as failure:
            prepare(scene, place, progress=stop_at("10", error))
        assert failure.value is error
        done = place.journaled()
        assert done
        said = "\n".join([str(error), *getattr(error, "__notes__", ())])
        assert f"{len(done)} of 4 frames are done and kept" in said
        read.clear()
        assert len(prepare(scene, place).frames) == len(FRAMES)
        assert not done & set(read)

    def test_executor_that_takes_no_more_ends_the_run_which_can_go_on(self, scene: lp.Scene, place: Place) -> None:
        class Closing(ThreadPoolExecutor):
            taken = 0

            def submit(self, *arguments: Any) -> Future[Any]:  # type: ignore[override]
                self.taken += 1
                if self.taken > 2:
                    raise RuntimeError("cannot schedule new futures after shutdown")
                return super().submit(*arguments)

        with Closing(1) as pool, pytest.raises(RuntimeError, match="cannot schedule"):
            prepare(scene, place, executor=pool, workers=1)
        assert prepare(scene, place).frames

    def test_processes_that_are_killed_end_the_run_which_can_go_on(self, folder: Path, tmp_path: Path) -> None:
        scene = lp.open_scene(folder)
        deadly = list(scene)
        deadly[NOT_LOOKED_AT] = replace(scene[1], read_points=partial(dies, os.getpid(), scene[1].read_points))
        recipe = lp.Recipe(intensity_scale=255, frames=":")
        with (
            ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
            pytest.raises(BrokenProcessPool),
        ):
            lp.prepare(replace(scene, frames=tuple(deadly)), recipe, tmp_path / "out", executor=pool)
        assert not (tmp_path / "out/manifest.json").exists()
