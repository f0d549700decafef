"""The one attachment of a Sensor Fusion Scene, and how a run of one goes on."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.storage.folder import FolderStore
from tests.prepare.runs import REGION, Told, assert_only_what_the_manifest_names, counted, files, read
from tests.scenes import write_toolkit_scene

SFS = lp.Recipe(format="sfs", region_of_interest_3d=REGION)
FRAMES = ["9", "10", "11", "12"]


@pytest.fixture
def scene(tmp_path: Path) -> lp.Scene:
    folder = write_toolkit_scene(tmp_path / "recording", frames=4, points=40, cameras=("front",))
    return counted(lp.open_scene(folder))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_it_holds_all_frames_and_images_and_is_named_by_its_content(scene: lp.Scene, out: Path) -> None:
    manifest = lp.prepare(scene, SFS, out)
    (record,) = manifest.attachments
    assert record.key == f"scene-{record.sha256[:12]}.sfs"
    assert record.frames == FRAMES
    assert manifest.images == []
    assert_only_what_the_manifest_names(manifest, out)
    found = lp.open_scene(out / record.url)
    assert [len(frame.points()) for frame in found] == [frame.points_out for frame in manifest.frames]
    assert [len(frame.images) for frame in found] == [1] * 4


def test_a_run_that_was_stopped_begins_again_and_leaves_no_half_written_file(scene: lp.Scene, out: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as stopped:
        lp.prepare(scene, SFS, out, progress=Told("11", KeyboardInterrupt()))
    assert not hasattr(stopped.value, "__notes__")  # nothing is kept
    assert all(name.startswith("kept/") for name in files(out))
    told = Told()
    manifest = lp.prepare(scene, SFS, out, progress=told)
    assert told.told == [(4, 0), *FRAMES]
    lp.prune(out, everything=True)
    assert_only_what_the_manifest_names(manifest, out)


def test_one_that_is_lost_is_made_again_the_same(scene: lp.Scene, out: Path) -> None:
    first = lp.prepare(scene, SFS, out)
    whole = files(out)
    for key in (first.attachments[0].key, next(name for name in whole if name.startswith("kept/"))):
        (out / key).unlink()
        read.clear()
        assert lp.prepare(scene, SFS, out) == first
        assert sorted(read) == sorted(FRAMES)
        assert files(out) == whole


def test_one_with_the_same_frames_is_not_made_again(scene: lp.Scene, out: Path) -> None:
    first = lp.prepare(scene, SFS, out)
    told = Told()
    recipe = SFS.model_copy(update={"labeling_sample_rate": 3})
    manifest = lp.prepare(scene, recipe, out, overwrite=True, progress=told)
    assert manifest.attachments == first.attachments
    assert manifest.notes == first.notes
    assert [frame.labelled for frame in manifest.frames] == [True, False, False, True]
    assert told.told == []


@pytest.mark.parametrize("kind", ["fsync", "write", "rename"])
def test_a_disk_that_fails_is_one_clear_error(
    scene: lp.Scene, out: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    real = getattr(os, kind)
    for first in range(1, 12, 2):
        calls = 0

        def failing(*arguments: Any, first: int = first, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls >= first:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(os, kind, failing)
            with contextlib.suppress(lp.StorageError):
                lp.prepare(scene, SFS, out, workers=1)
        manifest = lp.prepare(scene, SFS, out, workers=1)
        lp.prune(out, everything=True)
        assert_only_what_the_manifest_names(manifest, out)
        (out / "manifest.json").unlink()
        lp.prune(out, everything=True)
        assert not files(out)


def test_it_is_stored_after_all_else_and_before_the_manifest(
    scene: lp.Scene, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def noted(name: str) -> None:
        method = getattr(FolderStore, name)

        def call(store: FolderStore, key: Any, *rest: Any, **options: Any) -> Any:
            order.append(str(key).partition("/")[0].partition("-")[0].removesuffix(".json"))
            return method(store, key, *rest, **options)

        monkeypatch.setattr(FolderStore, name, call)

    for name in ("put", "put_file", "replace"):
        noted(name)
    lp.prepare(scene, SFS, out)
    assert order == ["kept"] * 4 + ["scene", "manifest"]


def test_kept_points_are_stored_while_it_is_written_and_not_held_for_all_frames(scene: lp.Scene, out: Path) -> None:
    stored: list[str] = []

    class Slow(Told):
        def advance(self, frame: Any, stored_bytes: int) -> None:
            end = time.monotonic() + 30
            while len(list(out.glob("kept/[!.]*"))) <= len(stored):
                assert time.monotonic() < end
                time.sleep(0.005)
            stored.append(frame.id)

    lp.prepare(scene, SFS, out, progress=Slow())
    assert stored == FRAMES
