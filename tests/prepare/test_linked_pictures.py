"""Pictures that are hard links to the recording's: the same run, but for the room that they take."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from lidarprep.verification import verify

import lidarprep as lp
from lidarprep.storage import LocalFolder
from tests.scenes import write_toolkit_scene

LINKED = lp.StorageOptions(link_images=True)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "scene", frames=4, points=40)


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("attachments", ["json", "sfs"])
def test_a_run_with_links_stores_the_same_bytes_and_the_same_manifest(
    recording: Path, tmp_path: Path, attachments: str
) -> None:
    recipe = lp.Recipe(format=attachments)
    lp.prepare(lp.open_scene(recording), recipe, tmp_path / "copied")
    manifest = lp.prepare(lp.open_scene(recording), recipe, tmp_path / "linked", storage=LINKED)
    assert files(tmp_path / "linked") == files(tmp_path / "copied")
    for image in manifest.images:
        stored = tmp_path / "linked" / image.url
        assert stored.samefile(recording / "cameras" / image.camera / stored.name)
    assert not verify(manifest).findings
    # Asked for otherwise, it is still the same run: nothing is to be done.
    assert lp.prepare(lp.open_scene(recording), recipe, tmp_path / "linked") == manifest


def test_a_run_with_links_that_was_stopped_goes_on_with_copies_and_the_other_way_round(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lp.prepare(lp.open_scene(recording), lp.Recipe(), tmp_path / "whole")
    put = LocalFolder.put

    def full(self: LocalFolder, key: str, data: bytes, content_type: str) -> object:
        if key == "frame-11.json":
            raise lp.StorageError("the disk is full")
        return put(self, key, data, content_type)

    for out, first, second in (("a", LINKED, None), ("b", None, LINKED)):
        with monkeypatch.context() as patched:
            patched.setattr(LocalFolder, "put", full)
            with pytest.raises(lp.StorageError, match="is full"):
                lp.prepare(lp.open_scene(recording), lp.Recipe(), tmp_path / out, storage=first, workers=1)
        lp.prepare(lp.open_scene(recording), lp.Recipe(), tmp_path / out, storage=second)
        assert files(tmp_path / out) == files(tmp_path / "whole")


def test_the_recording_is_as_it_was_after_a_run_with_links_is_replaced(recording: Path, tmp_path: Path) -> None:
    before = files(recording)
    lp.prepare(lp.open_scene(recording), lp.Recipe(), tmp_path / "out", storage=LINKED)
    for storage in (LINKED, None):
        recipe = lp.Recipe(precision=3 if storage else 2)
        lp.prepare(lp.open_scene(recording), recipe, tmp_path / "out", storage=storage, overwrite=True)
    assert files(recording) == before
    assert {path.stat().st_nlink for path in (tmp_path / "out").rglob("*.jpg")} == {1}


def test_links_are_refused_for_a_bucket(recording: Path) -> None:
    with pytest.raises(lp.RecipeError, match=r"link_images \(--link-images\) is for a local folder") as refused:
        lp.prepare(lp.open_scene(recording), lp.Recipe(), "s3://bucket/scene", storage=LINKED)
    assert refused.value.fix == "Leave that out."


def test_a_picture_that_is_found_bad_only_when_it_is_stored_leaves_its_frame_out(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = recording / "cameras/left/10.jpg"
    put_copy = LocalFolder.put_copy

    def damaged(self: LocalFolder, key: str, source: object, content_type: str) -> object:
        if key == "images/left/10.jpg":
            raise OSError(5, "Input/output error")
        return put_copy(self, key, source, content_type)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalFolder, "put_copy", damaged)
    with pytest.raises(lp.FormatError, match="the picture cannot be read"):
        lp.prepare(lp.open_scene(recording), lp.Recipe(), tmp_path / "refused")
    manifest = lp.prepare(lp.open_scene(recording), lp.Recipe(skip_bad_frames=True), tmp_path / "out")
    assert [skipped.id for skipped in manifest.skipped] == ["10"]
    assert str(bad) in manifest.skipped[0].error
    assert not list((tmp_path / "out").rglob("10.jpg"))
