"""A run that has ended, and of which something is gone: the same call makes that again, and nothing else."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from lidarprep.pipeline import NoProgress
from lidarprep.pipeline.mending import Mending
from lidarprep.storage.object_lock import LOCK_KEY

import lidarprep as lp
from lidarprep.cli import main
from lidarprep.storage import LocalFolder
from tests.prepare.stopped_runs import Killed, Place, counted, fails_from, prepare, read
from tests.scenes import write_toolkit_scene
from tests.storage.conftest import BUCKET, bucket, moto

__all__ = ["bucket", "moto"]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "recording", frames=4, cameras=("front",))


@pytest.fixture
def scene(recording: Path) -> lp.Scene:
    return counted(lp.open_scene(recording))


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(request.param, tmp_path / "out", monkeypatch)


def lose(place: Place, *keys: str) -> None:
    place.bare().discard(keys)


def put(place: Place, key: str, data: bytes) -> None:
    place.bare().put(key, data, "application/json")


def test_what_is_gone_or_cut_is_made_again_and_nothing_else(scene: lp.Scene, place: Place) -> None:
    first = prepare(scene, place, lp.Recipe(intensity_scale=255))
    whole = place.files()
    lose(place, "frame-10.json")
    put(place, "images/front/12.jpg", b"\xff\xd8\xff, cut")
    read.clear()
    again = prepare(scene, place, lp.Recipe(intensity_scale=255))
    assert again == first
    assert place.files() == whole
    assert set(read) == {"10", "12"}


@pytest.mark.parametrize("frame_format", ["protobuf", "sfs"])
def test_so_it_is_with_the_other_formats(scene: lp.Scene, place: Place, frame_format: Any) -> None:
    recipe = lp.Recipe(format=frame_format)
    prepare(scene, place, recipe)
    whole = place.files()
    lose(place, next(name for name in whole if name.endswith((".pb", ".sfs"))))
    prepare(scene, place, recipe)
    assert place.files() == whole


def test_with_everything_there_the_objects_are_looked_at_and_not_read(scene: lp.Scene, place: Place) -> None:
    prepare(scene, place)
    place.calls.clear()
    prepare(scene, place)
    assert sorted(set(place.calls)) == ["get", "list", "sizes"]
    assert place.calls.count("get") == 1  # the manifest


def test_progress_is_told_of_what_is_made_again(scene: lp.Scene, place: Place) -> None:
    prepare(scene, place)
    lose(place, "frame-11.json")
    told: list[Any] = []

    class Told(NoProgress):
        def start(self, frames: int, done: int) -> None:
            told.append((frames, done))

        def advance(self, frame: Any, stored_bytes: int) -> None:
            told.append(frame.id)

    prepare(scene, place, progress=Told())
    assert told == [(4, 3), "11"]


def test_what_would_not_be_what_it_was_is_not_stored(scene: lp.Scene, place: Place) -> None:
    prepare(scene, place)
    manifest = json.loads(place.bare().get("manifest.json"))
    manifest["attachments"][1]["sha256"] = "0" * 64
    put(place, "manifest.json", json.dumps(manifest).encode())
    lose(place, "frame-10.json", "frame-11.json")
    with pytest.raises(lp.StorageError, match=r"frame-10\.json is gone[\s\S]*--overwrite"):
        prepare(scene, place)
    assert "frame-10.json" not in place.files()
    assert "frame-11.json" in place.files()
    assert not [name for name in place.files() if ".lidarprep-run" in name]


def test_an_attachment_with_signed_urls_is_not_made_again_but_a_picture_is(
    scene: lp.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place("memory", tmp_path / "out", monkeypatch)
    signed = {"storage": lp.StorageOptions(presign_hours=2)}
    first = prepare(scene, place, **signed)
    whole = place.files()
    lose(place, "images/front/11.jpg")
    assert prepare(scene, place, **signed) == first
    assert place.files() == whole
    lose(place, "frame-9.json", "images/front/11.jpg")
    with pytest.raises(
        lp.StorageError, match=r"frame-9\.json is gone or damaged; it held signed URLs[\s\S]*--overwrite"
    ):
        prepare(scene, place, **signed)


def test_one_that_is_killed_leaves_nothing_that_the_next_does_not_use_or_remove(
    scene: lp.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place("local", tmp_path / "out", monkeypatch)
    prepare(scene, place)
    whole = place.files()
    lose(place, "frame-9.json", "frame-12.json")
    with monkeypatch.context() as patched:
        patched.setattr(Mending, "_let_stand", killed_if_ready)
        with pytest.raises(Killed):
            prepare(scene, place)
    left = set(place.files()) - set(whole)
    assert {".lidarprep-run/staged/frame-9.json", ".lidarprep-run/staged/frame-12.json"} <= left
    assert all(name.startswith(".lidarprep-run/") for name in left)
    read.clear()
    prepare(scene, place)
    assert read == []
    assert place.files() == whole


def killed_if_ready(self: Mending, staged: Any, keys: Any) -> None:
    if keys:
        raise Killed


def test_one_that_is_stopped_keeps_what_is_made(
    scene: lp.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place("local", tmp_path / "out", monkeypatch)
    prepare(scene, place)
    whole = place.files()
    lose(place, "frame-9.json", "frame-12.json")

    class Stopping(NoProgress):
        def advance(self, frame: Any, stored_bytes: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(scene, place, workers=1, progress=Stopping())
    assert "frame-9.json" in place.files()
    prepare(scene, place)
    assert place.files() == whole


def test_a_disk_without_room_is_said_before_anything_is_made(
    scene: lp.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place("local", tmp_path / "out", monkeypatch)
    prepare(scene, place)
    lose(place, "frame-9.json")

    def check(self: LocalFolder, needed_bytes: int | None = None) -> None:
        if needed_bytes:
            raise lp.StorageError("no room")

    monkeypatch.setattr(LocalFolder, "check", check)
    read.clear()
    with pytest.raises(lp.StorageError, match="no room"):
        prepare(scene, place)
    assert read == []


@pytest.mark.parametrize("flags", [[], ["--presign", "2", "--gzip"]], ids=["plain", "compressed"])
def test_the_command_does_only_what_is_missing_in_s3_too(
    recording: Path, bucket: Any, moto: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["prepare", str(recording), "--out", f"s3://{BUCKET}/run", "--endpoint-url", moto, "--json", *flags]
    told = []
    for _ in range(2):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert not end.value.code
        told.append(json.loads(capsys.readouterr().out))
        bucket.Object("run/images/front/10.jpg").delete()
    assert told[0] == told[1]
    with pytest.raises(SystemExit):
        main(words)
    capsys.readouterr()
    assert bucket.Object("run/images/front/10.jpg").content_length == told[0]["images"][1]["bytes"]


@pytest.mark.parametrize("how", ["once", "killed"])
def test_whatever_call_fails_the_same_run_again_ends_with_the_same_bytes(
    scene: lp.Scene, place: Place, how: str
) -> None:
    """The k-th call to the store fails, for every k there is."""
    prepare(scene, place)
    expected = place.files()
    lost = ["frame-10.json", "frame-11.json", "images/front/12.jpg"]
    lose(place, *lost)
    place.calls.clear()
    prepare(scene, place, workers=1)
    calls = len(place.calls)
    assert calls > 10
    for first in range(1, calls + 1):
        lose(place, *lost)
        place.calls.clear()
        place.fail = fails_from(first, how)
        with contextlib.suppress(lp.LidarprepError, Killed):
            prepare(scene, place, workers=1)
        place.fail = lambda call: None
        place.memory.objects.pop(LOCK_KEY, None)  # of a process that is taken for dead
        assert place.files()["manifest.json"] == expected["manifest.json"]
        prepare(scene, place, workers=1)
        assert place.files() == expected, first
