"""A run that is stopped, wherever that is, is taken up by the same call, and ends with the same bytes."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lidarprep.pipeline import destination as destinations
from lidarprep.storage.journal import FileJournal, journal_of
from lidarprep.storage.object_lock import LOCK_KEY

import lidarprep as lp
from lidarprep.storage import LocalFolder
from lidarprep.storage.store import RUN_FOLDER
from tests.prepare.stopped_runs import FRAMES, Killed, Place, counted, fails_from, prepare, read, stop_at
from tests.scenes import write_json, write_toolkit_scene
from tests.storage.memory import Faulty


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


@pytest.mark.parametrize("how", ["once", "for good", "killed"])
def test_whatever_call_fails_the_same_run_again_ends_with_the_same_bytes(
    scene: lp.Scene, place: Place, how: str
) -> None:
    """The k-th call to the store fails, for every k there is."""
    prepare(scene, place, workers=1)
    expected, calls = place.files(), len(place.calls)
    assert set(expected) == {"manifest.json"} | {f"frame-{n}.json" for n in FRAMES} | {
        f"images/front/{n}.jpg" for n in FRAMES
    }
    resumed = 0
    for first in range(1, calls + 1):
        place.clear()
        place.fail = fails_from(first, how)
        with contextlib.suppress(lp.StorageError, Killed):
            prepare(scene, place, workers=1)
        place.fail = lambda call: None
        place.memory.objects.pop(LOCK_KEY, None)  # of a process that is taken for dead
        done = place.journaled()
        read.clear()
        prepare(scene, place, workers=1)
        assert place.files() == expected, first
        assert not done or not done & set(read), first
        if done is not None and "manifest.json" not in place.calls:
            assert len(read) == len(set(read)), first
        resumed += bool(done)
    assert resumed > 4


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(scene: lp.Scene, place: Place, stop: Any) -> None:
    with pytest.raises(stop) as stopped:
        prepare(scene, place, workers=1, progress=stop_at("10", stop()))
    done = place.journaled()
    assert done is not None
    assert done >= {"9", "10"}
    (note,) = stopped.value.__notes__
    assert note == f"{len(done)} of 4 frames are done and kept: run the same command again to go on."
    assert "manifest.json" not in place.files()
    read.clear()
    told = stop_at("none", RuntimeError())
    prepare(scene, place, progress=told)
    assert told.done == len(done)
    assert sorted(read) == sorted(set(FRAMES) - done)
    assert not [name for name in place.files() if name.startswith(RUN_FOLDER)]


def test_a_local_folder_shows_nothing_of_a_run_that_is_not_finished(
    scene: lp.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place("local", tmp_path / "out", monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        prepare(scene, place, progress=stop_at("10", KeyboardInterrupt()))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [RUN_FOLDER]


def test_a_run_that_is_done_already_reads_nothing_and_stores_nothing(scene: lp.Scene, place: Place) -> None:
    first = prepare(scene, place)
    before = place.files()
    place.calls.clear()
    read.clear()
    again = prepare(scene, place, progress=stop_at("9", RuntimeError()))
    assert again == first
    assert again.location == first.location
    assert read == []
    assert place.files() == before
    assert len(place.calls) <= 3  # however many frames there are
    assert set(place.calls) <= {"list", "get", "sizes"}


def test_with_overwrite_all_is_done_again(scene: lp.Scene, place: Place) -> None:
    prepare(scene, place)
    before = place.files()
    read.clear()
    prepare(scene, place, overwrite=True)
    assert sorted(read) == sorted(FRAMES)
    assert place.files() == before


def test_a_replacing_run_that_was_stopped_is_taken_up_and_leaves_nothing_of_the_replaced(
    scene: lp.Scene, place: Place
) -> None:
    other = lp.Recipe(format="protobuf", frames=":3")
    prepare(scene, place, other)
    expected = place.files()
    place.clear()
    prepare(scene, place)
    with pytest.raises(KeyboardInterrupt):
        prepare(scene, place, other, overwrite=True, workers=1, progress=stop_at("10", KeyboardInterrupt()))
    done = place.journaled() or set()
    read.clear()
    prepare(scene, place, other, overwrite=True)
    assert not done & set(read)
    assert place.files() == expected


def test_another_recipe_is_refused_by_the_names_of_what_differs(scene: lp.Scene, place: Place) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare(scene, place, progress=stop_at("10", KeyboardInterrupt()))
    before = place.files()
    with pytest.raises(lp.RecipeError, match=r"unfinished run[\s\S]*precision was null and is 2[\s\S]*--overwrite"):
        prepare(scene, place, lp.Recipe(precision=2))
    assert place.files() == before
    manifest = prepare(scene, place, lp.Recipe(precision=2), overwrite=True)
    assert manifest.recipe["precision"] == 2
    with pytest.raises(lp.RecipeError, match=r"manifest.json is there already[\s\S]*precision was 2 and is 3"):
        prepare(scene, place, lp.Recipe(precision=3))


def test_an_unfinished_run_of_another_recipe_is_replaced_without_a_trace(scene: lp.Scene, place: Place) -> None:
    prepare(scene, place, lp.Recipe(frames=":1"))
    expected = place.files()
    place.clear()
    with pytest.raises(KeyboardInterrupt):
        prepare(scene, place, lp.Recipe(format="protobuf"), progress=stop_at("11", KeyboardInterrupt()))
    prepare(scene, place, lp.Recipe(frames=":1"), overwrite=True)
    assert place.files() == expected


@pytest.mark.parametrize("changed", ["pointcloud/9.ply", "cameras/front/10.jpg", "radar_points/9.txt"])
def test_a_frame_whose_files_have_changed_since_it_was_done_is_refused_by_its_name(
    scene: lp.Scene, folder: Path, place: Place, changed: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare(scene, place, workers=1, progress=stop_at("10", KeyboardInterrupt()))
    os.utime(folder / changed, (1, 1))
    frame_id = Path(changed).stem
    with pytest.raises(lp.RecipeError, match=rf"files of frame {frame_id} have changed[\s\S]*--overwrite"):
        prepare(scene, place)
    assert prepare(scene, place, overwrite=True).frames


def test_a_recording_that_has_changed_since_it_was_prepared_is_noticed(
    scene: lp.Scene, folder: Path, place: Place
) -> None:
    prepare(scene, place)
    write_json(folder / "poses/10.json", {"heading": [1, 0, 0, 0], "position": [1, 2, 3]})
    with pytest.raises(lp.RecipeError, match=r"is there already.*recording"):
        prepare(counted(lp.open_scene(folder)), place)


def test_a_damaged_frame_that_is_mended_is_all_that_is_left_to_do(
    scene: lp.Scene, folder: Path, place: Path | Place
) -> None:
    assert isinstance(place, Place)
    file = folder / "pointcloud/10.ply"
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    recipe = lp.Recipe(intensity_scale=255)
    with pytest.raises(lp.FormatError, match=r"10\.ply[\s\S]*run the same command again") as failure:
        prepare(scene, place, recipe, workers=1)
    assert "frames are done and kept" in str(failure.value)
    done = place.journaled() or set()
    assert "9" in done
    file.write_bytes(whole)
    read.clear()
    resumed = prepare(scene, place, recipe)
    assert sorted(read) == sorted(set(FRAMES) - done)
    place.clear()
    assert prepare(scene, place, recipe) == resumed


def test_bad_frames_may_be_left_out_once_one_was_met(scene: lp.Scene, folder: Path, place: Place) -> None:
    file = folder / "pointcloud/10.ply"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(lp.FormatError):
        prepare(scene, place, lp.Recipe(), workers=1)
    done = place.journaled() or set()
    assert done
    read.clear()
    skipping = lp.Recipe(skip_bad_frames=True)
    manifest = prepare(scene, place, skipping)
    assert not done & set(read)
    assert [record.id for record in manifest.skipped] == ["10"]
    after = place.files()
    place.clear()
    prepare(scene, place, skipping)
    assert place.files() == after


def test_a_frame_that_is_gone_from_where_it_was_kept_is_done_again(
    scene: lp.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place("local", tmp_path / "out", monkeypatch)
    prepare(scene, place)
    expected = place.files()
    place.clear()
    with pytest.raises(KeyboardInterrupt):
        prepare(scene, place, workers=1, progress=stop_at("10", KeyboardInterrupt()))
    (tmp_path / f"out/{RUN_FOLDER}/staged/frame-9.json").unlink()
    (tmp_path / f"out/{RUN_FOLDER}/staged/frame-10.json").write_bytes(b"cut")
    read.clear()
    prepare(scene, place)
    assert {"9", "10"} <= set(read)
    assert place.files() == expected


def test_a_scene_that_cannot_be_told_by_its_files_begins_anew(scene: lp.Scene, place: Place) -> None:
    def unnamed(frame: lp.Frame) -> lp.Frame:
        return replace(frame, read_points=lambda: frame.read_points())

    made = replace(scene, frames=tuple(map(unnamed, scene)))
    with pytest.raises(KeyboardInterrupt) as stopped:
        prepare(made, place, progress=stop_at("10", KeyboardInterrupt()))
    assert not hasattr(stopped.value, "__notes__")
    assert place.files() == {}
    assert prepare(made, place).fingerprint is None
    with pytest.raises(lp.RecipeError, match="is there already"):
        prepare(made, place)


def test_a_recipe_that_does_not_fit_leaves_nothing(scene: lp.Scene, place: Place) -> None:
    nowhere = lp.RegionOfInterest3D(position=(1e4, 0, 0), length=1, width=1)
    with pytest.raises(lp.RecipeError, match="no point of 4 frames is kept"):
        prepare(scene, place, lp.Recipe(region_of_interest_3d=nowhere))
    assert place.files() == {}
    assert not place.path.exists()


def read_late(journal: Path, read_points: Callable[[], lp.PointCloud]) -> lp.PointCloud:
    """The points, once the journal names frame 11."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = FileJournal(journal).read()
        if found is not None and "11" in {record.get("frame") for record in found.records}:
            return read_points()
        time.sleep(0.01)
    raise AssertionError("frame 11 was not recorded")


def test_a_frame_that_is_done_early_is_recorded_while_an_earlier_one_is_under_way(
    scene: lp.Scene, tmp_path: Path
) -> None:
    """Results come in time order; they are recorded as they are done."""
    late = partial(read_late, tmp_path / "out" / RUN_FOLDER / "journal.jsonl", scene[1].read_points)
    frames = (scene[0], replace(scene[1], read_points=late), *scene.frames[2:])
    manifest = lp.prepare(replace(scene, frames=frames), lp.Recipe(), tmp_path / "out", workers=2)
    assert [frame.id for frame in manifest.frames] == FRAMES


def test_a_commit_that_is_killed_in_the_middle_is_finished_by_the_next_run(
    scene: lp.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at each of its renames, over another run's files."""
    out = tmp_path / "out"

    def files() -> dict[str, bytes]:
        return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}

    lp.prepare(scene, lp.Recipe(precision=3), out)
    expected = files()
    rename, renamed = Path.replace, 0
    for last in range(1, len(expected) + 1):
        shutil.rmtree(out)
        lp.prepare(scene, lp.Recipe(format="protobuf"), out)

        def replace_some(path: Path, target: Path, last: int = last) -> Path:
            nonlocal renamed
            if "staged" in path.parts and "staged" not in Path(target).parts:
                renamed += 1
                if renamed == last:
                    raise Killed
            return rename(path, target)

        renamed = 0
        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", replace_some)
            with pytest.raises(Killed):
                lp.prepare(scene, lp.Recipe(precision=3), out, overwrite=True)
        assert not (out / "manifest.json").exists()
        read.clear()
        lp.prepare(scene, lp.Recipe(precision=3), out)
        assert read == []
        assert files() == expected


def test_a_staged_file_that_is_gone_is_not_taken_for_the_one_that_it_replaces(scene: lp.Scene, tmp_path: Path) -> None:
    out = tmp_path / "out"
    lp.prepare(scene, lp.Recipe(format="json"), out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    class Takes:
        def start(self, frames: int, done: int) -> None:
            pass

        def advance(self, frame: Any, stored_bytes: int) -> None:
            if frame.id == "12":
                (out / RUN_FOLDER / "staged/frame-9.json").unlink()

        def skip(self, frame: Any) -> None:
            pass

    other = lp.Recipe(precision=1)
    with pytest.raises(lp.StorageError, match=r"somebody has changed frame-9\.json[\s\S]*run the same command again"):
        lp.prepare(scene, other, out, overwrite=True, progress=Takes())
    assert {path: path.read_bytes() for path in before} == before
    expected = lp.prepare(scene, other, tmp_path / "anew")
    read.clear()
    assert lp.prepare(scene, other, out, overwrite=True).model_dump() == expected.model_dump()
    assert read == ["9"]
    assert (out / "frame-9.json").read_bytes() == (tmp_path / "anew/frame-9.json").read_bytes()


def test_a_commit_that_was_killed_is_not_finished_with_a_file_of_the_replaced_run(
    scene: lp.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, other = tmp_path / "out", lp.Recipe(precision=1)
    lp.prepare(scene, lp.Recipe(), out)

    def killed(store: LocalFolder, keys: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(LocalFolder, "commit", killed)
        with pytest.raises(Killed):
            lp.prepare(scene, other, out, overwrite=True)
    (out / RUN_FOLDER / "staged/frame-9.json").unlink()
    expected = lp.prepare(scene, other, tmp_path / "anew")
    read.clear()
    assert lp.prepare(scene, other, out, overwrite=True).model_dump() == expected.model_dump()
    assert read == ["9"]
    assert (out / "frame-9.json").read_bytes() == (tmp_path / "anew/frame-9.json").read_bytes()


def test_a_run_whose_journal_cannot_be_deleted_is_complete_and_the_next_one_deletes_it(
    scene: lp.Scene, place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = prepare(scene, place)
    files = place.files()
    place.clear()
    stuck = lp.StorageError("the journal is stuck")
    kind = type(journal_of(place.bare()))
    begun = False
    begin, remove = kind.begin, kind.remove

    def begin_and_note(journal: Any, header: Any) -> None:
        nonlocal begun
        begin(journal, header)
        begun = True

    def remove_never(journal: Any) -> None:
        if begun:
            raise stuck
        remove(journal)

    with monkeypatch.context() as patched:
        patched.setattr(kind, "begin", begin_and_note)
        patched.setattr(kind, "remove", remove_never)
        assert prepare(scene, place) == expected
    assert "the run is complete" in caplog.text
    assert "the journal is stuck" in caplog.text
    assert place.journaled() is not None
    read.clear()
    assert prepare(scene, place) == expected
    assert read == []
    assert place.files() == files


@pytest.mark.parametrize("stop", [KeyboardInterrupt, lp.StorageError])
def test_a_run_that_ends_early_tries_nothing_again_at_either_of_its_stores(
    scene: lp.Scene, place: Place, monkeypatch: pytest.MonkeyPatch, stop: Any
) -> None:
    made: list[Any] = []

    class Stoppable(Faulty):
        def __init__(self, store: Any, *rest: Any) -> None:
            super().__init__(store, *rest)
            self.stopped = False
            made.append(self)

        def stop(self) -> None:
            self.stopped = True

        def staged(self, aside: bool = False) -> Stoppable:
            return Stoppable(self._store.staged(aside), lambda call: None)

    monkeypatch.setattr(destinations, "open_store", lambda out, **_: Stoppable(place.bare(), lambda call: None))
    with pytest.raises(stop):
        prepare(scene, place, progress=stop_at("10", stop("")))
    assert len(made) >= 2
    used = [store for store in made if store.calls]
    assert len(used) == 2
    assert all(store.stopped for store in used)


@pytest.mark.parametrize("kind", ["fsync", "ftruncate", "write"])
def test_a_disk_that_fails_under_the_journal_or_a_frame_loses_nothing_that_was_recorded(
    scene: lp.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    out = tmp_path / "out"
    expected = lp.prepare(scene, lp.Recipe(), tmp_path / "sound", workers=1)
    real = getattr(os, kind)
    for first in range(1, 60, 3):
        calls = 0

        def failing(*arguments: Any, first: int = first) -> Any:
            nonlocal calls
            calls += 1
            if calls >= first:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(os, kind, failing)
            with contextlib.suppress(lp.StorageError):
                lp.prepare(scene, lp.Recipe(), out, workers=1)
        journaled = FileJournal(out / RUN_FOLDER / "journal.jsonl").read()
        done = set() if journaled is None else {record.get("frame") for record in journaled.records}
        read.clear()
        assert lp.prepare(scene, lp.Recipe(), out, workers=1).model_dump() == expected.model_dump()
        assert not done & set(read)
        shutil.rmtree(out)


class TestTwoRunsAtOnce:
    """do not mix: the second refuses at once, naming the first."""

    def test_in_two_threads(self, scene: lp.Scene, place: Place) -> None:
        begun, refused = threading.Event(), threading.Event()

        class Told:
            def start(self, frames: int, done: int) -> None:
                begun.set()
                assert refused.wait(20)

            def advance(self, frame: Any, stored_bytes: int) -> None:
                pass

        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(prepare, scene, place, progress=Told())
            assert begun.wait(20)
            for options in ({}, {"overwrite": True}):
                with pytest.raises(lp.StorageError, match=rf"another run is storing at .*: process {os.getpid()} on "):
                    prepare(scene, place, lp.Recipe(precision=1), **options)
            refused.set()
            manifest = first.result()
        assert manifest.recipe["precision"] is None
        assert not [name for name in place.files() if name.startswith(RUN_FOLDER)]

    def test_in_two_processes_of_which_one_is_killed(self, folder: Path, tmp_path: Path) -> None:
        """A lock that a dead process held is free, and what it had done is taken up."""
        out = tmp_path / "out"
        script = f"""
import os, sys, time
import lidarprep as lp
class Told:
    def start(self, frames, done): pass
    def advance(self, frame, stored_bytes):
        if frame.id == "10":
            print("here", flush=True)
            time.sleep(60)
    def skip(self, frame): pass
lp.prepare(lp.open_scene({str(folder)!r}), lp.Recipe(), {str(out)!r}, workers=1, progress=Told())
"""
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "here\n"
            scene = lp.open_scene(folder)
            with pytest.raises(lp.StorageError, match=f"process {child.pid} on "):
                lp.prepare(scene, lp.Recipe(), out)
        finally:
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()
        told = stop_at("none", RuntimeError())
        manifest = lp.prepare(scene, lp.Recipe(), out, progress=told)
        assert told.done >= 2
        assert manifest.model_dump() == lp.prepare(scene, lp.Recipe(), tmp_path / "whole").model_dump()


def test_a_run_goes_on_from_a_journal_that_is_cut(
    scene: lp.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place("local", tmp_path / "out", monkeypatch)
    prepare(scene, place)
    expected = place.files()
    place.clear()
    with pytest.raises(KeyboardInterrupt):
        prepare(scene, place, workers=1, progress=stop_at("11", KeyboardInterrupt()))
    path = tmp_path / "out" / RUN_FOLDER / "journal.jsonl"
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / "out", kept)
    size = path.stat().st_size
    for cut in [*range(0, size, 97), size - 1]:
        place.clear()
        shutil.copytree(kept, tmp_path / "out")
        os.truncate(path, cut)
        done = place.journaled() or set()
        read.clear()
        prepare(scene, place)
        assert not done & set(read)
        assert place.files() == expected


def test_the_journal_holds_no_secret_and_is_plain_json(
    scene: lp.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place("local", tmp_path / "out", monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        prepare(scene, place, progress=stop_at("10", KeyboardInterrupt()))
    for line in (tmp_path / "out" / RUN_FOLDER / "journal.jsonl").read_text().splitlines():
        assert isinstance(json.loads(line.partition(" ")[2]), dict)


def test_leftovers_of_older_versions_go_when_their_run_is_replaced(scene: lp.Scene, tmp_path: Path) -> None:
    """They staged under a name of their own in each run, and had no journal."""
    out = tmp_path / "out"
    lp.prepare(scene, lp.Recipe(), out)
    names = {str(path.relative_to(out)) for path in out.rglob("*")}
    (out / ".lidarprep-0123456789ab/images").mkdir(parents=True)
    (out / ".lidarprep-0123456789ab/frame-9.json").write_text("{}")
    (out / ".writing-abc").write_text("")
    (out / "images/front/.writing-abc").write_text("")
    (out / ".lidarprep-mine").mkdir()
    lp.prepare(scene, lp.Recipe(), out, overwrite=True)
    assert {str(path.relative_to(out)) for path in out.rglob("*")} == names | {".lidarprep-mine"}


class TestSignedURLsOfPictures:
    """stand in the attachments, and run out."""

    HOURS = 2.0

    @pytest.fixture
    def signed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
        return Place("memory", tmp_path / "out", monkeypatch)

    def prepare(self, scene: lp.Scene, place: Place, **options: Any) -> lp.Manifest:
        return prepare(scene, place, storage=lp.StorageOptions(presign_hours=self.HOURS), **options)

    def test_the_manifest_says_when(self, scene: lp.Scene, signed: Place) -> None:
        before = int(time.time())
        manifest = self.prepare(scene, signed)
        assert manifest.images_expire_at is not None
        assert before <= manifest.images_expire_at - self.HOURS * 3600 <= time.time()
        assert prepare(scene, signed, overwrite=True).images_expire_at is None

    def test_frames_whose_urls_have_run_out_are_not_done_again_but_signed_anew(
        self, scene: lp.Scene, signed: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(KeyboardInterrupt):
            self.prepare(scene, signed, workers=1, progress=stop_at("10", KeyboardInterrupt()))
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + self.HOURS * 3600 + 5)
        read.clear()
        manifest = self.prepare(scene, signed)
        assert "12" in read
        assert not {"9", "10"} & set(read)
        assert not manifest.images_have_expired

    def test_a_run_that_is_done_is_signed_anew_once_they_have_run_out(
        self, scene: lp.Scene, signed: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manifest = self.prepare(scene, signed)
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + self.HOURS * 3600 + 5)
        read.clear()
        again = self.prepare(scene, signed)
        assert read == []
        assert again.frames == manifest.frames
        assert again.images_expire_at == int(now + 2 * self.HOURS * 3600 + 5)
