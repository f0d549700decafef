"""A run: what it stores, what it finds finished, what it refuses, and how it goes on after a failure."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lidarprep as lp
from lidarprep import errors
from lidarprep.prepare import ordered_map
from lidarprep.prepare.process_frame import BYTES_A_POINT
from lidarprep.storage.folder import FolderStore
from tests.prepare.runs import (
    REGION,
    Told,
    assert_only_what_the_manifest_names,
    counted,
    cut,
    files,
    finished,
    read,
)
from tests.scenes import write_json, write_toolkit_scene

FRAMES = ["9", "10", "11", "12"]
OTHER = lp.Recipe(precision=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "recording", frames=len(FRAMES), points=40, cameras=("front",))


@pytest.fixture
def scene(folder: Path) -> lp.Scene:
    return counted(lp.open_scene(folder))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.mark.parametrize("first", ["lidarprep", "lidarprep.prepare", "lidarprep.prepare.run"])
def test_the_function_is_not_hidden_by_the_package_that_it_is_named_after(first: str) -> None:
    code = f"import {first}, lidarprep as lp, lidarprep.prepare.plan; from lidarprep import prepare, verify; "
    code += "lp.verify, lp.submit; import lidarprep.verify, lidarprep.prune; "
    code += "assert [callable(one) for one in (lp.prepare, lp.verify, lp.prune, prepare, verify)] == [True] * 5"
    subprocess.run([sys.executable, "-c", code], check=True)


def every_error() -> list[lp.LidarprepError]:
    """One of each kind."""
    arguments: dict[str, Callable[[Any], lp.LidarprepError]] = {
        "FormatError": lambda kind: kind("a.ply", place="line 7", found="x", expected="y", fix="Mend it."),
        "MissingExtraError": lambda kind: kind("a ROS 1 bag", "ros"),
        "SourceChangedError": lambda kind: kind("a.ply"),
        "ManifestConflictError": lambda kind: kind("out/manifest.json"),
        "TaskEndedError": lambda kind: kind("ended", task_id="5a99", task_status="error", fix="Mend it."),
    }
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, lp.LidarprepError)]
    return [arguments.get(kind.__name__, lambda kind: kind("wrong", fix="Mend it."))(kind) for kind in kinds]


class TestWhatIsStored:
    def test_is_named_by_its_content_and_recorded(self, scene: lp.Scene, out: Path) -> None:
        manifest = lp.prepare(scene, lp.Recipe(region_of_interest_3d=REGION), out)
        assert_only_what_the_manifest_names(manifest, out)
        for key, record in manifest.objects():
            data = (out / record.url).read_bytes()
            assert (record.key, record.bytes) == (key, len(data))
            assert record.sha256 == hashlib.sha256(data).hexdigest()
            assert f"-{record.sha256[:12]}." in key
        assert [record.key.partition("-")[0] for record in manifest.attachments] == [f"frames/{n}" for n in FRAMES]
        assert [frame.kept.key.partition("-")[0] for frame in manifest.frames if frame.kept] == [
            f"kept/{n}" for n in FRAMES
        ]

    def test_says_of_each_frame_when_and_where_it_was(self, scene: lp.Scene, out: Path) -> None:
        scene = replace(scene, frames=tuple(replace(one, timestamp=10**18 + one.index) for one in scene))
        recipe = lp.Recipe(recentre=True)
        manifest = lp.prepare(scene, recipe, out)
        found = json.loads((out / "manifest.json").read_bytes())
        assert found["recipe"] == recipe.model_dump(mode="json")
        assert found["settings"]["offset"] == list(manifest.world_offset)
        for frame, recorded in zip(scene, found["frames"], strict=True):
            assert (recorded["id"], recorded["index"], recorded["timestamp"]) == (
                frame.id,
                frame.index,
                frame.timestamp,
            )
            assert frame.world_from_ego is not None
            pose = recorded["world_from_ego"]  # before the offset is taken away
            np.testing.assert_allclose(pose["translation"], frame.world_from_ego.translation)
            np.testing.assert_allclose(pose["quaternion"], frame.world_from_ego.quaternion)
            assert recorded["sources"][0]["location"] == f"pointcloud/{frame.id}.ply"

    @pytest.mark.parametrize("format", ["json", "protobuf", "sfs"])
    def test_is_the_same_for_any_number_of_workers_and_any_executor(
        self, folder: Path, tmp_path: Path, format: Any
    ) -> None:
        recipe = lp.Recipe(region_of_interest_3d=REGION, voxel=0.5, format=format)
        options: dict[str, Callable[[], contextlib.AbstractContextManager[Executor | None]]] = {
            "one": contextlib.nullcontext,
            "four": contextlib.nullcontext,
            "threads": partial(ThreadPoolExecutor, 2),
            "processes": partial(ProcessPoolExecutor, 1, mp_context=multiprocessing.get_context("spawn")),
        }
        if format != "json":  # one start of other processes is enough: tests of scene files have theirs
            del options["processes"]
        for name, opened in options.items():
            with opened() as executor:
                workers = 1 if name == "one" else 4
                scene = lp.open_scene(folder)
                lp.prepare(scene, recipe, tmp_path / name, workers=workers, executor=executor)
                assert executor is None or executor.submit(int, "7").result() == 7  # it stays open
            assert files(tmp_path / name) == files(tmp_path / "one")

    def test_has_an_executor_process_frames_side_by_side_once_the_first_tells_their_size(
        self, scene: lp.Scene, out: Path
    ) -> None:
        """Also where no frame was looked at before, since the settings are those of the manifest."""
        lp.prepare(scene, lp.Recipe(), out)
        shutil.rmtree(out / "frames")
        both = threading.Barrier(2)

        def meeting(read_points: Callable[[], lp.PointCloud]) -> lp.PointCloud:
            both.wait(timeout=20)
            return read_points()

        frames = tuple(
            replace(frame, read_points=partial(meeting, frame.read_points)) if frame.id in {"10", "11"} else frame
            for frame in scene
        )
        with ThreadPoolExecutor(2) as executor:
            lp.prepare(replace(scene, frames=frames), lp.Recipe(), out, workers=2, executor=executor)

    @pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
    def test_fails_with_the_same_error_in_another_process(self, error: lp.LidarprepError) -> None:
        same = pickle.loads(pickle.dumps(error))
        assert type(same) is type(error)
        assert (str(same), same.args, vars(same)) == (str(error), error.args, vars(error))

    def test_is_nothing_where_no_point_is_kept_and_it_is_said_why(self, scene: lp.Scene, out: Path) -> None:
        nowhere = lp.RegionOfInterest3D(position=(1e4, 0, 0), length=1, width=1)
        for format in ("json", "sfs"):
            recipe = lp.Recipe(region_of_interest_3d=nowhere, format=format)
            with pytest.raises(lp.RecipeError, match="no point of 4 frames is kept: of 160 points, 160 outside") as end:
                lp.prepare(scene, recipe, out)
            assert end.value.fix is not None
            assert "the region is 1 × 1 m around x 10000 and y 0" in end.value.fix
            assert not files(out)
        with pytest.raises(lp.RecipeError, match="160 outside the height band") as end:
            lp.prepare(scene, lp.Recipe(device_height=500), out)
        assert "above the ground, if the device is 500 m above it; the band is -1 to 8 m" in str(end.value)
        assert not files(out)

    def test_includes_frames_without_points_where_others_have_some(self, scene: lp.Scene, out: Path) -> None:
        far = replace(scene[0], world_from_ego=lp.Pose(np.eye(3), np.array([500.0, 0, 0])))
        scene = replace(scene, frames=(far, *scene.frames[1:]))
        told = Told()
        manifest = lp.prepare(scene, lp.Recipe(region_of_interest_3d=REGION), out, progress=told, workers=1)
        assert [frame.points_out > 0 for frame in manifest.frames] == [False, True, True, True]
        assert [record.frames for record in manifest.attachments] == [[name] for name in FRAMES]
        assert "1 of 4 frames keep no point, the first is 9" in [one.message for one in manifest.findings]
        assert told.told == [(4, 0), "10", "11", "12", "9"]
        assert_only_what_the_manifest_names(manifest, out)

    def test_is_not_put_where_a_link_leads_to_itself(self, scene: lp.Scene, out: Path) -> None:
        out.symlink_to(out)
        with pytest.raises(lp.StorageError, match="is a link"):
            lp.prepare(scene, lp.Recipe(), out)

    def test_is_not_put_into_the_recording_itself(self, scene: lp.Scene, folder: Path, tmp_path: Path) -> None:
        with pytest.raises(lp.RecipeError, match="is the recording itself"):
            lp.prepare(scene, lp.Recipe(), folder / "." / "poses" / "..")
        with pytest.raises(lp.RecipeError, match="workers is 0"):
            lp.prepare(scene, lp.Recipe(), tmp_path / "out", workers=0)


class TestARunThatIsComplete:
    @pytest.mark.parametrize("format", ["json", "protobuf", "sfs"])
    def test_reads_nothing_and_stores_nothing(
        self, scene: lp.Scene, out: Path, monkeypatch: pytest.MonkeyPatch, format: Any
    ) -> None:
        recipe = lp.Recipe(region_of_interest_3d=REGION, format=format)
        first = lp.prepare(scene, recipe, out)
        before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}

        def fails(*_: Any, **__: Any) -> None:
            raise AssertionError("not to be called")

        for name in ("put", "put_file", "replace", "delete", "check"):
            monkeypatch.setattr(FolderStore, name, fails)
        unread = replace(scene, frames=tuple(replace(one, read_points=fails, read_radar=fails) for one in scene))
        for overwrite in (False, True):
            told = Told()
            again = lp.prepare(unread, recipe, out, progress=told, overwrite=overwrite)
            assert (again, again.location, told.told) == (first, first.location, [])
        assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before

    def test_processes_only_the_frame_whose_object_is_lost_or_cut(self, scene: lp.Scene, out: Path) -> None:
        first = lp.prepare(scene, lp.Recipe(region_of_interest_3d=REGION), out)
        whole = files(out)
        kept = first.frames[3].kept
        assert kept is not None
        (out / first.attachments[0].key).unlink()
        (out / first.images[2].key).write_bytes(b"cut")
        (out / kept.key).unlink()
        read.clear()
        told = Told()
        assert lp.prepare(scene, lp.Recipe(region_of_interest_3d=REGION), out, progress=told) == first
        assert files(out) == whole
        assert sorted(read) == ["11", "12", "9"]
        assert told.told == [(4, 1), "9", "11", "12"]

    @pytest.mark.usefixtures("without_checks")
    def test_is_the_start_of_one_that_differs_in_what_no_frame_shows(self, scene: lp.Scene, out: Path) -> None:
        lp.prepare(scene, lp.Recipe(intensity_scale=255), out)
        read.clear()
        fewer = lp.Recipe(intensity_scale=255, frames="1:", labeling_sample_rate=2)
        manifest = lp.prepare(scene, fewer, out, overwrite=True, workers=1)
        assert [frame.labelled for frame in manifest.frames] == [True, False, True]
        assert sorted(read) == ["10", "11", "12"]  # for the checks of the recording: nothing was stored again
        lp.prune(out, everything=True)
        assert_only_what_the_manifest_names(manifest, out)

    def test_is_not_replaced_by_another_unless_asked_for(self, scene: lp.Scene, out: Path) -> None:
        old = lp.prepare(scene, lp.Recipe(), out)
        before = files(out)
        with pytest.raises(lp.RecipeError, match=r"manifest\.json is there already.*precision was null and is 3") as no:
            lp.prepare(scene, OTHER, out)
        assert no.value.fix is not None
        assert "--overwrite" in no.value.fix
        assert files(out) == before
        new = lp.prepare(scene, OTHER, out, overwrite=True)
        assert new.recipe["precision"] == 3
        assert files(out).items() > {key: before[key] for key, _ in old.objects()}.items()
        lp.prune(out, everything=True)
        assert_only_what_the_manifest_names(new, out)

    def test_is_not_taken_for_that_of_a_recording_that_has_changed(
        self, scene: lp.Scene, folder: Path, out: Path
    ) -> None:
        lp.prepare(scene, lp.Recipe(), out)
        os.utime(folder / "pointcloud/10.ply", (1, 1))
        changed = counted(lp.open_scene(folder))
        with pytest.raises(
            lp.RecipeError, match=r"files of the recording have changed: pointcloud/10.ply \(modified\)"
        ):
            lp.prepare(changed, lp.Recipe(), out)
        read.clear()
        lp.prepare(changed, lp.Recipe(), out, overwrite=True, progress=(told := Told()))
        assert told.told == [(4, 3), "10"]
        write_json(folder / "poses/10.json", {"heading": [1, 0, 0, 0], "position": [1, 2, 3]})
        with pytest.raises(lp.RecipeError, match="poses, calibration or times"):
            lp.prepare(lp.open_scene(folder), lp.Recipe(), out)

    def test_stays_whole_when_the_one_that_was_to_replace_it_fails(self, folder: Path, out: Path) -> None:
        manifest = lp.prepare(lp.open_scene(folder), lp.Recipe(), out)
        before = files(out)
        cut(folder / "pointcloud/10.ply")
        with pytest.raises(lp.FormatError):
            lp.prepare(lp.open_scene(folder), lp.Recipe(intensity_scale=255), out, overwrite=True, workers=1)
        assert files(out).items() >= before.items()
        assert lp.load_manifest(out) == manifest

    @pytest.mark.usefixtures("without_checks")
    def test_cannot_be_told_from_another_where_the_sources_are_unknown(self, scene: lp.Scene, out: Path) -> None:
        made = replace(scene, frames=tuple(replace(one, sources=()) for one in scene))
        first = lp.prepare(made, lp.Recipe(), out)
        assert first.fingerprint is None
        assert not (out / ".lidarprep").exists()
        with pytest.raises(lp.RecipeError, match="is there already"):
            lp.prepare(made, lp.Recipe(), out)
        read.clear()
        assert lp.prepare(made, lp.Recipe(), out, overwrite=True) == first
        assert sorted(read) == sorted(FRAMES)

    def test_something_else_in_its_place_is_not_replaced_unless_asked_for(self, scene: lp.Scene, out: Path) -> None:
        out.mkdir()
        (out / "manifest.json").write_text('{"name": "an app"}')
        (out / "notes.txt").write_text("mine")
        with pytest.raises(lp.RecipeError, match="something else is there already"):
            lp.prepare(scene, lp.Recipe(), out)
        lp.prepare(scene, lp.Recipe(), out, overwrite=True)
        lp.prune(out, everything=True)
        assert (out / "notes.txt").read_text() == "mine"


class TestARunThatFailed:
    def test_goes_on_by_the_same_call(self, folder: Path, out: Path, tmp_path: Path) -> None:
        expected = lp.prepare(lp.open_scene(folder), lp.Recipe(), tmp_path / "whole")
        file = folder / "pointcloud/10.ply"
        whole, stamp = file.read_bytes(), file.stat()
        cut(file)
        with pytest.raises(lp.FormatError, match=r"10\.ply[\s\S]*frames are done and kept: once that is mended"):
            lp.prepare(lp.open_scene(folder), lp.Recipe(), out, workers=1)
        done = finished(out)
        assert "9" in done
        assert lp.load_manifest(tmp_path / "whole")
        file.write_bytes(whole)
        os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        told = Told()
        manifest = lp.prepare(lp.open_scene(folder), lp.Recipe(), out, progress=told)
        assert told.told == [(4, len(done)), *(name for name in FRAMES if name not in done)]
        assert manifest.at("") == expected.at("")
        assert files(out) == files(tmp_path / "whole")

    def test_leaves_nothing_where_the_first_frame_is_bad(self, scene: lp.Scene, folder: Path, out: Path) -> None:
        cut(folder / "pointcloud/9.ply")
        with pytest.raises(lp.FormatError):
            lp.prepare(scene, lp.Recipe(), out)
        assert not out.exists()

    @pytest.mark.parametrize("link_first", [True, False])
    def test_goes_on_with_links_and_copies(
        self, scene: lp.Scene, out: Path, monkeypatch: pytest.MonkeyPatch, link_first: bool
    ) -> None:
        put = FolderStore.put

        def full(self: FolderStore, key: str, *rest: Any, **options: Any) -> None:
            if key.startswith("frames/11"):
                raise lp.StorageError("the disk is full")
            put(self, key, *rest, **options)

        linked = lp.StorageOptions(link_images=True)
        with monkeypatch.context() as patched:
            patched.setattr(FolderStore, "put", full)
            with pytest.raises(lp.StorageError, match="is full"):
                lp.prepare(scene, lp.Recipe(), out, storage=linked if link_first else None, workers=1)
        assert not (out / "manifest.json").exists()
        manifest = lp.prepare(scene, lp.Recipe(), out, storage=None if link_first else linked)
        assert_only_what_the_manifest_names(manifest, out)

    def test_passes_over_cache_entries_that_are_damaged_or_miss_an_object(self, scene: lp.Scene, out: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            lp.prepare(scene, lp.Recipe(), out, workers=1, progress=Told("12", KeyboardInterrupt()))
        assert finished(out) == set(FRAMES)
        entries = {path: path.read_bytes() for path in (out / ".lidarprep").iterdir()}
        damaged = next(path for path, data in entries.items() if b'"id":"9"' in data)
        damaged.write_bytes(entries[damaged][:-9])
        next((out / "images/front").glob("11-*")).unlink()
        told = Told()
        manifest = lp.prepare(scene, lp.Recipe(), out, progress=told)
        assert told.told == [(4, 2), "9", "11"]
        assert_only_what_the_manifest_names(manifest, out)

    @pytest.mark.parametrize("kind", ["fsync", "write", "link"])
    def test_by_a_full_disk_loses_nothing_that_is_finished(
        self, scene: lp.Scene, out: Path, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        real = getattr(os, kind)
        for first in range(1, 40, 6):
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
            done = finished(out)
            told = Told()
            manifest = lp.prepare(scene, lp.Recipe(), out, workers=1, progress=told)
            assert told.told in ([], [(4, len(done)), *(name for name in FRAMES if name not in done)])
            lp.prune(out, everything=True)
            assert_only_what_the_manifest_names(manifest, out)
            shutil.rmtree(out)

    def test_with_a_cache_that_cannot_be_deleted_is_complete(
        self, scene: lp.Scene, out: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def stuck(*_: Any) -> None:
            raise lp.StorageError("it is stuck")

        monkeypatch.setattr(FolderStore, "delete", stuck)
        manifest = lp.prepare(scene, lp.Recipe(), out)
        assert "the run is complete, but its cache entries stay: it is stuck" in caplog.text
        monkeypatch.undo()
        assert lp.prepare(scene, lp.Recipe(), out) == manifest
        lp.prune(out, everything=True)
        assert_only_what_the_manifest_names(manifest, out)


class TestWhatChangesWhileARunLasts:
    @pytest.mark.parametrize("format", ["json", "sfs"])
    @pytest.mark.parametrize("file", ["pointcloud/10.ply", "cameras/front/10.jpg"])
    def test_a_file_of_the_recording(self, scene: lp.Scene, folder: Path, out: Path, format: Any, file: str) -> None:
        """Its frame is not taken for that of the file as it was."""

        class Writes(Told):
            def start(self, frames: int, done: int) -> None:
                os.utime(folder / file, (1, 1))

        recipe = lp.Recipe(format=format, skip_bad_frames=True)
        with pytest.raises(lp.LidarprepError, match=rf"{file} has changed since the recording was opened"):
            lp.prepare(scene, recipe, out, progress=Writes(), workers=1)
        assert "10" not in finished(out)
        manifest = lp.prepare(lp.open_scene(folder), recipe, out)
        lp.prune(out, everything=True)
        assert_only_what_the_manifest_names(manifest, out)

    def test_a_bad_frame_is_read_again_where_it_must_not_be_bad_or_the_run_is_replaced(
        self, folder: Path, out: Path
    ) -> None:
        file, skip = folder / "pointcloud/10.ply", lp.Recipe(skip_bad_frames=True)
        sound, status = file.read_bytes(), file.stat()
        file.write_bytes(b"x" * len(sound))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # a disk that fails a moment leaves no trace
        with pytest.raises(KeyboardInterrupt):
            lp.prepare(lp.open_scene(folder), skip, out, progress=Told("11", KeyboardInterrupt()), workers=1)
        with pytest.raises(lp.FormatError, match=r"10\.ply"):
            lp.prepare(lp.open_scene(folder), lp.Recipe(), out)
        assert [one.id for one in lp.prepare(lp.open_scene(folder), skip, out).skipped] == ["10"]
        file.write_bytes(sound)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert not lp.prepare(lp.open_scene(folder), skip, out, overwrite=True).skipped

    def test_an_object_that_is_deleted_ends_it(self, scene: lp.Scene, out: Path) -> None:
        class Deletes(Told):
            def advance(self, frame: Any, stored_bytes: int) -> None:
                if frame.id == "12":
                    next((out / "frames").glob("9-*")).unlink()

        with pytest.raises(lp.StorageError, match=r"frames/9-.*was deleted or changed while the run lasted"):
            lp.prepare(scene, lp.Recipe(), out, progress=Deletes())
        told = Told()
        assert_only_what_the_manifest_names(lp.prepare(scene, lp.Recipe(), out, progress=told), out)
        assert told.told == [(4, 3), "9"]

    @pytest.mark.parametrize("first", [True, False])
    def test_another_run_that_has_ended_is_not_replaced(self, scene: lp.Scene, out: Path, first: bool) -> None:
        class Overtaken(Told):
            def start(self, frames: int, done: int) -> None:
                lp.prepare(scene, OTHER, out, overwrite=True)

        if not first:
            lp.prepare(scene, lp.Recipe(precision=1), out)
        with pytest.raises(lp.ManifestConflictError) as late:
            lp.prepare(scene, lp.Recipe(), out, progress=Overtaken(), overwrite=True)
        assert "4 of 4 frames are done and kept" in str(late.value)
        assert lp.load_manifest(out).recipe["precision"] == 3
        told = Told()
        manifest = lp.prepare(scene, lp.Recipe(), out, overwrite=True, progress=told)
        assert told.told == [(4, 4)]
        lp.prune(out, everything=True)
        assert_only_what_the_manifest_names(manifest, out)

    def test_an_equal_run_that_has_ended_is_the_same(self, scene: lp.Scene, out: Path) -> None:
        class Overtaken(Told):
            def start(self, frames: int, done: int) -> None:
                lp.prepare(scene, lp.Recipe(), out)

        manifest = lp.prepare(scene, lp.Recipe(), out, progress=Overtaken())
        lp.prune(out, everything=True)
        assert_only_what_the_manifest_names(manifest, out)


@pytest.mark.usefixtures("without_checks")
@pytest.mark.parametrize("most_frames", [1, 3])
def test_memory_is_bounded_whatever_the_length_of_the_scene(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_frames: int
) -> None:
    """No more frames are read and not yet stored than there is memory for, however many workers there are."""
    points = 10
    monkeypatch.setattr(
        ordered_map.MemoryBudget.__init__,
        "__kwdefaults__",
        {
            "expected": None,
            "most_bytes": most_frames * points * BYTES_A_POINT + 800,
        },
    )
    scene = lp.open_scene(write_toolkit_scene(tmp_path / "recording", frames=12, points=points, cameras=()))
    lock = threading.Lock()
    ahead: list[int] = []
    held = 0

    def counting(frame: lp.Frame) -> lp.Frame:
        def read_points() -> lp.PointCloud:
            nonlocal held
            with lock:
                held += 1
                ahead.append(held)
            time.sleep(0.002)
            return frame.read_points()

        return replace(frame, read_points=read_points)

    put = FolderStore.put

    def put_and_count(store: FolderStore, key: str, *rest: Any, **options: Any) -> None:
        nonlocal held
        with lock:
            held -= key.startswith("frames/")
        put(store, key, *rest, **options)

    monkeypatch.setattr(FolderStore, "put", put_and_count)
    scene = replace(scene, frames=tuple(map(counting, scene.frames)))
    lp.prepare(scene, lp.Recipe(intensity_scale=255), tmp_path / "out", workers=8)
    assert len(ahead) == 12
    assert max(ahead) <= most_frames + 3  # the sample frames wait with their points from the start


class TestSignedURLsOfImages:
    """are part of the attachments, and expire."""

    HOURS = 2.0

    @pytest.fixture
    def signed(self, moto: str) -> lp.StorageOptions:
        return lp.StorageOptions(endpoint_url=moto, presign_hours=self.HOURS)

    @pytest.fixture
    def place(self, bucket: Any) -> str:
        return f"s3://{bucket.name}/signed"

    @pytest.fixture
    def later(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        now = time.time
        return lambda: monkeypatch.setattr(time, "time", lambda: now() + self.HOURS * 3600 + 5)

    def test_are_renewed_without_reading_a_point_once_they_have_expired(
        self, scene: lp.Scene, place: str, signed: lp.StorageOptions, later: Callable[[], None]
    ) -> None:
        first = lp.prepare(scene, lp.Recipe(), place, storage=signed)
        assert first.images_expire_at is not None
        assert 0 < first.images_expire_at - time.time() <= self.HOURS * 3600
        read.clear()
        assert lp.prepare(scene, lp.Recipe(), place, storage=signed) == first
        later()
        again = lp.prepare(scene, lp.Recipe(), place, storage=signed)
        assert read == []
        assert again.frames == first.frames
        assert not again.images_have_expired
        assert not lp.verify(again, signed).findings

    def test_of_frames_that_a_stopped_run_has_finished_are_renewed_too(
        self, scene: lp.Scene, place: str, signed: lp.StorageOptions, later: Callable[[], None]
    ) -> None:
        with pytest.raises(KeyboardInterrupt):
            lp.prepare(scene, lp.Recipe(), place, storage=signed, progress=Told("12", KeyboardInterrupt()))
        later()
        lp.prepare(scene, lp.Recipe(), place, storage=signed)
        manifest = lp.prepare(scene, lp.Recipe(), place, storage=signed)
        assert not manifest.images_have_expired
        assert not lp.verify(manifest, signed).findings
