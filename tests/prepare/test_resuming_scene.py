"""A run that makes one scene of all frames goes on after the frames that its file holds, as they were written."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lidarprep.pipeline.whole_scene import WholeScene
from lidarprep.storage.journal import FileJournal
from lidarprep.storage.object_lock import LOCK_KEY

import lidarprep as lp
from lidarprep.attachments.sensor_fusion_scene import writer as writers
from lidarprep.storage.store import RUN_FOLDER
from tests.prepare.stopped_runs import Killed, Place, counted, fails_from, prepare, read, stop_at
from tests.scenes import write_toolkit_scene

FRAMES = ["9", "10", "11", "12", "13", "14"]
SFS = lp.Recipe(format="sfs", intensity_scale=255)
SPOOL = f"{RUN_FOLDER}/staged/scene.sfs"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "recording", frames=len(FRAMES), points=40, cameras=("front",))


@pytest.fixture
def scene(folder: Path) -> Iterator[lp.Scene]:
    read.clear()
    yield counted(lp.open_scene(folder))
    read.clear()


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place("local", tmp_path / "out", monkeypatch)


def stopped_at(frame_id: str, scene: lp.Scene, place: Place, **options: Any) -> set[str]:
    """Stops a run once a frame is told of; gives the frames that are recorded."""
    with pytest.raises(KeyboardInterrupt):
        prepare(scene, place, SFS, workers=1, progress=stop_at(frame_id, KeyboardInterrupt()), **options)
    done = place.journaled()
    assert done is not None
    return done


def bytes_of(scene: lp.Scene, place: Place) -> dict[str, bytes]:
    """What a run leaves that was never stopped."""
    prepare(scene, place, SFS)
    files = place.files()
    assert set(files) == {"scene.sfs", "manifest.json"}
    place.clear()
    read.clear()
    return files


@pytest.mark.parametrize("how", ["once", "for good", "killed"])
@pytest.mark.parametrize("kind", ["local", "memory"])
def test_whatever_call_fails_the_same_run_again_ends_with_the_same_bytes(
    scene: lp.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, how: str
) -> None:
    """The k-th call to the store fails, for every k there is."""
    place = Place(kind, tmp_path / "out", monkeypatch)
    prepare(scene, place, SFS, workers=1)
    expected, calls = place.files(), len(place.calls)
    resumed = 0
    for first in range(1, calls + 1):
        place.clear()
        place.fail = fails_from(first, how)
        with contextlib.suppress(lp.StorageError, Killed):
            prepare(scene, place, SFS, workers=1)
        place.fail = lambda call: None
        place.memory.objects.pop(LOCK_KEY, None)  # of a process that is taken for dead
        done = place.journaled()
        read.clear()
        prepare(scene, place, SFS, workers=1)
        assert place.files() == expected, first
        assert not done or not done & set(read), first
        resumed += bool(done)
    assert resumed > 1


@pytest.mark.parametrize("stopped", FRAMES)
def test_a_run_that_is_stopped_at_a_frame_goes_on_after_it(scene: lp.Scene, local: Place, stopped: str) -> None:
    expected = bytes_of(scene, local)
    with pytest.raises(KeyboardInterrupt) as failure:
        prepare(scene, local, SFS, workers=1, progress=stop_at(stopped, KeyboardInterrupt()))
    done = local.journaled() or set()
    assert done == set(FRAMES[: FRAMES.index(stopped) + 1])
    (note,) = failure.value.__notes__
    assert note == f"{len(done)} of 6 frames are done and kept: run the same command again to go on."
    assert [path.name for path in local.path.iterdir()] == [RUN_FOLDER]
    read.clear()
    told = stop_at("none", RuntimeError())
    prepare(scene, local, SFS, progress=told)
    assert told.done == len(done)
    assert sorted(read) == sorted(set(FRAMES) - done)
    assert local.files() == expected


def test_a_run_that_is_stopped_at_every_frame_reads_each_once(scene: lp.Scene, local: Place) -> None:
    expected = bytes_of(scene, local)
    for frame_id in FRAMES:
        before = local.journaled() or set()
        stopped_at(frame_id, scene, local)
        assert (local.journaled() or set()) >= before | {frame_id}
    # A worker may have read the next frame when it was stopped, which then was not done.
    prepare(scene, local, SFS)
    assert local.files() == expected


def damaged(data: bytes, where: str, at: int) -> bytes:
    """A spool that is shorter than it was, or has a bit turned, or something behind it."""
    if where == "cut":
        return data[:at]
    if where == "behind":
        return data + bytes(at)
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


@pytest.mark.parametrize("where", ["cut", "turned", "behind"])
def test_a_file_that_is_not_as_it_was_written_is_gone_on_with_after_its_sound_frames(
    scene: lp.Scene, local: Place, tmp_path: Path, where: str
) -> None:
    expected = bytes_of(scene, local)
    done = stopped_at("12", scene, local)
    shutil.copytree(local.path, tmp_path / "kept")
    data = (local.path / SPOOL).read_bytes()
    first = data.rindex(b"\0" * 4096) + 4096  # behind the room for the header
    counts = set()
    for at in [*range(first, len(data), 1303), len(data) - 1]:
        local.clear()
        shutil.copytree(tmp_path / "kept", local.path)
        (local.path / SPOOL).write_bytes(damaged(data, where, at))
        read.clear()
        prepare(scene, local, SFS)
        assert local.files() == expected, at
        assert set(FRAMES) - done <= set(read)
        # What is done again is all that follows the damage, and nothing before it.
        assert sorted(read) == sorted(FRAMES[-len(read) :])
        counts.add(len(read))
    assert counts == ({2} if where == "behind" else {3, 4, 5, 6})


@pytest.mark.parametrize("left", ["nothing", "a folder", "a link"])
def test_a_file_that_is_gone_is_written_anew_and_what_is_no_file_is_refused(
    scene: lp.Scene, local: Place, tmp_path: Path, left: str
) -> None:
    expected = bytes_of(scene, local)
    stopped_at("12", scene, local)
    spool = local.path / SPOOL
    spool.unlink()
    (tmp_path / "mine").write_bytes(b"mine")
    if left == "a folder":
        spool.mkdir()
    elif left == "a link":
        spool.symlink_to(tmp_path / "mine")
    if left != "nothing":
        with pytest.raises(lp.StorageError, match=r"scene\.sfs cannot be written"):
            prepare(scene, local, SFS)
        assert (tmp_path / "mine").read_bytes() == b"mine"
        spool.rmdir() if left == "a folder" else spool.unlink()
    read.clear()
    prepare(scene, local, SFS)
    assert sorted(read) == sorted(FRAMES)
    assert local.files() == expected


def test_records_that_are_older_than_what_was_written_again_are_not_believed(
    scene: lp.Scene, folder: Path, local: Place
) -> None:
    """A frame that was left out is mended: all that came after it moves, and what is recorded of that does not hold."""
    skipping = SFS.model_copy(update={"skip_bad_frames": True})
    file = folder / "pointcloud/10.ply"
    whole = file.read_bytes()
    stamp = file.stat()
    file.write_bytes(whole[:-7])
    with pytest.raises(KeyboardInterrupt):
        prepare(scene, local, skipping, workers=1, progress=stop_at("13", KeyboardInterrupt()))
    assert local.journaled() == set(FRAMES[:5])
    file.write_bytes(whole)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    read.clear()
    with pytest.raises(KeyboardInterrupt):
        prepare(scene, local, skipping, workers=1, progress=stop_at("11", KeyboardInterrupt()))
    assert "9" not in read
    read.clear()
    manifest = prepare(scene, local, skipping)
    assert not {"9", "10", "11"} & set(read)
    assert {"12", "13", "14"} <= set(read)
    assert not manifest.skipped
    after = local.files()
    local.clear()
    prepare(scene, local, skipping)
    assert local.files() == after


def test_bad_frames_may_be_left_out_once_one_was_met(scene: lp.Scene, folder: Path, local: Place) -> None:
    file = folder / "cameras/front/11.jpg"
    file.write_bytes(b"no picture")
    with pytest.raises(lp.FormatError, match=r"2 of 6 frames are done and kept") as failure:
        prepare(scene, local, SFS, workers=1)
    assert "11.jpg" in str(failure.value)
    read.clear()
    skipping = SFS.model_copy(update={"skip_bad_frames": True})
    manifest = prepare(scene, local, skipping)
    assert not {"9", "10"} & set(read)
    assert [record.id for record in manifest.skipped] == ["11"]
    after = local.files()
    local.clear()
    prepare(scene, local, skipping)
    assert local.files() == after


def test_a_scene_that_is_stored_already_is_not_made_again(
    scene: lp.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On S3, too, where a run that is stopped before that begins anew."""
    for kind in ("local", "memory"):
        place = Place(kind, tmp_path / kind, monkeypatch)
        expected = bytes_of(scene, place)
        with monkeypatch.context() as patched:
            patched.setattr(type(place.bare()), "put", _killed_at_the_manifest(type(place.bare()).put))
            with pytest.raises(Killed):
                prepare(scene, place, SFS)
        place.memory.objects.pop(LOCK_KEY, None)
        assert place.journaled() == set(FRAMES)
        read.clear()
        with monkeypatch.context() as patched:
            patched.setattr(WholeScene, "open", None)
            prepare(scene, place, SFS)
        assert read == []
        assert place.files() == expected


def _killed_at_the_manifest(put: Callable[..., Any]) -> Callable[..., Any]:
    def putting(store: Any, key: str, *rest: Any) -> Any:
        if key == "manifest.json":
            raise Killed
        return put(store, key, *rest)

    return putting


def test_on_s3_a_stopped_run_says_nothing_of_frames_that_are_kept_and_leaves_none(
    scene: lp.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place("memory", tmp_path / "out", monkeypatch)
    with pytest.raises(KeyboardInterrupt) as stopped:
        prepare(scene, place, SFS, progress=stop_at("12", KeyboardInterrupt()))
    assert not hasattr(stopped.value, "__notes__")
    assert place.files() == {}


def test_a_recipe_that_does_not_fit_leaves_nothing(scene: lp.Scene, local: Place) -> None:
    nowhere = lp.RegionOfInterest3D(position=(1e4, 0, 0), length=1, width=1)
    with pytest.raises(lp.RecipeError, match="no point of 6 frames is kept"):
        prepare(scene, local, SFS.model_copy(update={"region_of_interest_3d": nowhere}))
    assert not local.path.exists()


def test_a_replacing_run_that_was_stopped_is_taken_up_and_leaves_nothing_of_the_replaced(
    scene: lp.Scene, local: Place
) -> None:
    expected = bytes_of(scene, local)
    prepare(scene, local, lp.Recipe())
    before = local.files()
    done = stopped_at("11", scene, local, overwrite=True)
    assert {name: data for name, data in local.files().items() if not name.startswith(RUN_FOLDER)} == before
    read.clear()
    prepare(scene, local, SFS, overwrite=True)
    assert not done & set(read)
    assert local.files() == expected


def test_with_overwrite_an_unfinished_scene_of_another_recipe_is_begun_anew(scene: lp.Scene, local: Place) -> None:
    expected = bytes_of(scene, local)
    other = SFS.model_copy(update={"frames": ":5", "voxel": 1.0})
    with pytest.raises(KeyboardInterrupt):
        prepare(scene, local, other, workers=1, progress=stop_at("12", KeyboardInterrupt()))
    with pytest.raises(lp.RecipeError, match="unfinished run of another recipe"):
        prepare(scene, local, SFS)
    prepare(scene, local, SFS, overwrite=True)
    assert local.files() == expected


def test_a_header_that_needs_more_room_than_was_left_ends_with_the_same_bytes_wherever_that_is_stopped(
    scene: lp.Scene, local: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocks are moved then, the last first: what is not moved yet is still what was written."""
    monkeypatch.setattr(writers, "HEADER_ROOM_A_FRAME", 100)
    monkeypatch.setattr(writers, "COPY_BYTES", 1000)
    expected = bytes_of(scene, local)
    real, done_again = writers.write_all, set()

    for last in range(1, 40, 5):
        moved = 0

        def write_some(out: Any, data: Any, last: int = last) -> int:
            nonlocal moved
            moved += 1
            if moved == last:
                raise Killed
            return real(out, data)

        local.clear()
        with monkeypatch.context() as patched, contextlib.suppress(Killed):
            patched.setattr(writers, "write_all", write_some)
            prepare(scene, local, SFS)
        read.clear()
        prepare(scene, local, SFS)
        assert local.files() == expected
        done_again.add(len(read))
    assert {0, 3} <= done_again  # all but what was moved already is still there


@pytest.mark.parametrize("kind", ["fsync", "ftruncate", "write"])
def test_a_disk_that_fails_loses_nothing_that_was_recorded(
    scene: lp.Scene, local: Place, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    expected = bytes_of(scene, local)
    real = getattr(os, kind)
    for first in range(1, 40, 4):
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
                prepare(scene, local, SFS, workers=1)
        done = local.journaled() or set()
        read.clear()
        prepare(scene, local, SFS, workers=1)
        assert local.files() == expected
        assert not done & set(read)
        local.clear()


def test_every_frame_is_on_the_disk_before_it_is_recorded(
    scene: lp.Scene, local: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the file held at its last sync is all that a power cut may leave: the frames recorded by then are in it."""
    held: list[bytes] = [b""]
    fsync, append = os.fsync, FileJournal.append
    checked = 0

    def noted(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        fsync(handle)
        if path.name == "scene.sfs":
            held.append(path.read_bytes())

    def recorded(journal: FileJournal, record: Any) -> None:
        nonlocal checked
        for frame in record.get("frames", ()):
            part = frame["part"]
            assert len(held[-1]) >= part["start"] + part["size"]
            checked += 1
        append(journal, record)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(FileJournal, "append", recorded)
    prepare(scene, local, SFS)
    assert checked == len(FRAMES)


def test_a_scene_that_cannot_be_told_by_its_files_begins_anew(scene: lp.Scene, local: Place) -> None:
    # Frames that hold their points, in place of what says where these are read from.
    unnamed = replace(scene, frames=tuple(frame.with_data(frame.points(), frame.radar()) for frame in scene))
    with pytest.raises(KeyboardInterrupt) as stopped:
        prepare(unnamed, local, SFS, progress=stop_at("12", KeyboardInterrupt()))
    assert not hasattr(stopped.value, "__notes__")
    assert local.files() == {}


def test_a_journal_that_is_cut_anywhere_is_gone_on_with(scene: lp.Scene, local: Place, tmp_path: Path) -> None:
    expected = bytes_of(scene, local)
    stopped_at("13", scene, local)
    shutil.copytree(local.path, tmp_path / "kept")
    journal = local.path / RUN_FOLDER / "journal.jsonl"
    size = journal.stat().st_size
    for cut in [*range(0, size, 2111), size - 1]:
        local.clear()
        shutil.copytree(tmp_path / "kept", local.path)
        os.truncate(journal, cut)
        done = local.journaled() or set()
        read.clear()
        prepare(scene, local, SFS)
        assert not done & set(read)
        assert local.files() == expected
