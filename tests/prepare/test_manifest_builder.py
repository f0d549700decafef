"""What a manifest says of bad frames: one stops a run, or is left out and listed, whatever is bad about it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scale_json_binary

import lidarprep as lp
from lidarprep.cli.prepare import show_manifest
from tests.prepare.runs import Told, assert_only_what_the_manifest_names, counted, cut, files, read
from tests.scenes import write_json, write_toolkit_scene

SKIP: dict[str, Any] = {"skip_bad_frames": True}
FORMATS = ["json", "protobuf", "sfs"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Frames 9 to 14."""
    return write_toolkit_scene(tmp_path / "recording", frames=6, points=50, cameras=("front",))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def ids(manifest: lp.Manifest) -> list[str]:
    return [frame.id for frame in manifest.frames]


def skipped(manifest: lp.Manifest) -> list[tuple[str, int]]:
    return [(record.id, record.index) for record in manifest.skipped]


def lidar_frames(out: Path, manifest: lp.Manifest) -> list[int]:
    """How many points the frames of a Sensor Fusion Scene have, by Scale's own reader."""
    document = scale_json_binary.read_file(str(out / manifest.attachments[0].url))
    (lidar,) = (one for one in document["sensors"] if one["type"] == "lidar")
    return [len(frame["points"]["positions"]) for frame in lidar["frames"]]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("bad", [9, 12, 14])
def test_a_frame_that_cannot_be_read_is_left_out_and_listed(folder: Path, out: Path, format: Any, bad: int) -> None:
    """The first, the last, and one that is read for the scale of the intensities."""
    file = folder / f"pointcloud/{bad}.ply"
    cut(file)
    scene = lp.open_scene(folder)
    with pytest.raises(lp.FormatError, match=rf"{bad}\.ply"):
        lp.prepare(scene, lp.Recipe(format=format), out)
    assert not files(out)

    manifest = lp.prepare(scene, lp.Recipe(format=format, **SKIP), out)
    rest = [str(n) for n in range(9, 15) if n != bad]
    assert ids(manifest) == rest
    assert skipped(manifest) == [(str(bad), bad - 9)]
    assert str(file) in manifest.skipped[0].error
    assert [frame_id for record in manifest.attachments for frame_id in record.frames] == rest
    note = f"1 of 6 frames is bad and left out; the first is frame {bad}: "
    assert any(one.startswith(note) for one in manifest.notes)
    assert any(one.startswith("intensity 255 is taken as 1") for one in manifest.notes)
    assert_only_what_the_manifest_names(manifest, out)
    assert format != "sfs" or lidar_frames(out, manifest) == [50] * 5

    # It is not read again as long as its file stays as it is.
    read.clear()
    assert lp.prepare(counted(scene), lp.Recipe(format=format, **SKIP), out) == manifest
    assert read == []


def test_without_bad_frames_the_frames_are_the_same(folder: Path, tmp_path: Path) -> None:
    scene = lp.open_scene(folder)
    one = lp.prepare(scene, lp.Recipe(**SKIP), tmp_path / "one")
    other = lp.prepare(scene, lp.Recipe(), tmp_path / "other")
    assert one.skipped == []
    assert (one.frames, one.attachments, one.notes) == (other.frames, other.attachments, other.notes)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("how", ["no pose", "image not there", "dimensions"])
def test_a_frame_is_left_out_whole_whatever_is_bad_about_it(folder: Path, out: Path, format: Any, how: str) -> None:
    scene = lp.open_scene(folder)
    changes: dict[str, dict[str, Any]] = {
        "no pose": {"world_from_ego": None},
        "image not there": {"images": (replace(scene[2].images[0], path=folder / "gone.jpg"),)},
        "dimensions": {"images": (replace(scene[2].images[0], path=None),)},
    }
    frames = [replace(one, **changes.get(how, {})) if one.id == "11" else one for one in scene]
    scene = replace(scene, frames=tuple(frames))
    if how != "dimensions" or format != "sfs":  # which wants an image's file for another reason, and ends
        manifest = lp.prepare(scene, lp.Recipe(format=format, **SKIP), out)
        assert skipped(manifest) == [("11", 2)]
        said = {"no pose": "frame 11 has no pose", "dimensions": "has no file"}.get(how, ".jpg")
        assert said in manifest.skipped[0].error
        assert_only_what_the_manifest_names(manifest, out)
        assert format != "sfs" or lidar_frames(out, manifest) == [50] * 5


@pytest.mark.parametrize("format", FORMATS)
def test_a_run_of_bad_frames_alone_fails_and_leaves_nothing(folder: Path, tmp_path: Path, format: Any) -> None:
    for file in (folder / "pointcloud").iterdir():
        cut(file)
    for recipe in (lp.Recipe(format=format, **SKIP), lp.Recipe(format=format, intensity_scale=255, **SKIP)):
        with pytest.raises(lp.SceneError, match=r"all 6 frames are bad.*pointcloud/(9|12)\.ply"):
            lp.prepare(lp.open_scene(folder), recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_whose_frames_turn_out_bad_as_they_are_stored_says_so(folder: Path, out: Path) -> None:
    scene = lp.open_scene(folder)
    for file in (folder / "cameras/front").glob("*.jpg"):
        file.unlink()
    with pytest.raises(lp.SceneError, match=r"all 6 frames are bad; the first, frame 9: .*the image cannot be read"):
        lp.prepare(scene, lp.Recipe(**SKIP), out)
    assert not (out / "manifest.json").exists()


def test_what_is_wrong_with_the_recipe_or_the_format_is_no_bad_frame(folder: Path, out: Path) -> None:
    scene = lp.open_scene(folder)
    with pytest.raises(lp.RecipeError, match="outside 0 to 100"):
        lp.prepare(scene, lp.Recipe(intensity_scale=100, **SKIP), out)
    write_json(
        folder / "cameras/front/intrinsics.json",
        {"fx": 1.0, "fy": 1.0, "cx": 0.0, "cy": 0.0, "camera_model": "cylindrical"},
    )
    with pytest.raises(lp.EncodingError, match="cylindrical"):
        lp.prepare(lp.open_scene(folder), lp.Recipe(format="protobuf", **SKIP), out)
    assert not (out / "manifest.json").exists()


class TestLabelledFrames:
    """are counted by Scale over the attachments, so over the frames that are left."""

    @pytest.fixture
    def long(self, tmp_path: Path) -> lp.Scene:
        """Frames 9 to 18, of which 10 and 15 are bad."""
        folder = write_toolkit_scene(tmp_path / "long", frames=10, points=20, cameras=())
        for bad in (10, 15):
            cut(folder / f"pointcloud/{bad}.ply")
        return lp.open_scene(folder)

    def labelled(self, manifest: lp.Manifest) -> list[str]:
        return [frame.id for frame in manifest.frames if frame.labelled]

    @pytest.mark.parametrize("format", ["json", "sfs"])
    def test_at_a_rate(self, long: lp.Scene, out: Path, format: Any) -> None:
        manifest = lp.prepare(long, lp.Recipe(labeling_sample_rate=3, format=format, **SKIP), out)
        assert ids(manifest) == ["9", "11", "12", "13", "14", "16", "17", "18"]
        # Of all ten it would have been 9, 12, 15, 18. Of eight, counted from 1: 1, 4, 7 and 8.
        assert self.labelled(manifest) == ["9", "13", "17", "18"]
        note = "left out but to be labelled was frame 15; the frames that get labelled are counted over"
        assert any(one.startswith(note) for one in manifest.notes)

    def test_where_no_others_are_prepared(self, long: lp.Scene, out: Path) -> None:
        manifest = lp.prepare(long, lp.Recipe(labeling_sample_rate=3, only_labelled=True, **SKIP), out)
        assert ids(manifest) == self.labelled(manifest) == ["9", "12", "18"]
        assert "left out but to be labelled was frame 15; no others take their place" in manifest.notes

    def test_all_where_there_is_no_rate(self, long: lp.Scene, out: Path) -> None:
        manifest = lp.prepare(long, lp.Recipe(**SKIP), out)
        assert self.labelled(manifest) == ids(manifest)
        assert not any("labelled" in note for note in manifest.notes)

    def test_of_a_selection(self, folder: Path, out: Path) -> None:
        manifest = lp.prepare(lp.open_scene(folder), lp.Recipe(frames="1:", labeling_sample_rate=3), out)
        assert [frame.index for frame in manifest.frames] == [1, 2, 3, 4, 5]
        assert [frame.labelled for frame in manifest.frames] == [True, False, False, True, True]


@pytest.mark.parametrize("format", ["json", "sfs"])
def test_progress_is_told_of_each_frame_in_time_order(folder: Path, out: Path, format: Any) -> None:
    cut(folder / "pointcloud/11.ply")
    told = Told()
    lp.prepare(lp.open_scene(folder), lp.Recipe(format=format, intensity_scale=255, **SKIP), out, progress=told)
    assert told.told == [(6, 0), "9", "10", "without 11", "12", "13", "14"]


@pytest.mark.parametrize("format", FORMATS)
def test_the_table_shows_where_frames_are_missing(
    folder: Path, out: Path, format: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for bad in (10, 11):
        cut(folder / f"pointcloud/{bad}.ply")
    show_manifest(lp.prepare(lp.open_scene(folder), lp.Recipe(format=format, **SKIP), out))
    shown = capsys.readouterr().err
    rows = [line.strip("│ ").split() for line in shown.splitlines() if line.startswith("│")]
    assert [row[0] for row in rows] == ["9", "10", "11", "12", "13", "14"]
    assert ["left" in row for row in rows] == [False, True, True, False, False, False]
    assert "2 bad frames left out; the manifest says why" in shown


def test_a_frame_that_has_become_bad_or_sound_is_all_that_is_done_again(folder: Path, out: Path) -> None:
    lp.prepare(lp.open_scene(folder), lp.Recipe(**SKIP), out)
    whole = (folder / "pointcloud/11.ply").read_bytes()
    for change, said in ((lambda path: cut(path), "without 11"), (lambda path: path.write_bytes(whole), "11")):
        change(folder / "pointcloud/11.ply")
        told = Told()
        manifest = lp.prepare(lp.open_scene(folder), lp.Recipe(**SKIP), out, overwrite=True, progress=told)
        assert told.told == [(6, 5), said]
        assert len(manifest.frames) == (5 if "without" in said else 6)
        lp.prune(out, everything=True)
        assert_only_what_the_manifest_names(manifest, out)


def test_notes_that_many_frames_share_are_said_once(folder: Path, out: Path) -> None:
    scene = lp.open_scene(folder)
    linked = [replace(one.images[0], path=None, url=f"https://images.example.com/{one.id}.jpg") for one in scene]
    frames = [replace(one, images=(image,)) for one, image in zip(scene, linked, strict=True)]
    manifest = lp.prepare(replace(scene, frames=tuple(frames)), lp.Recipe(), out)
    (note,) = [one for one in manifest.notes if "URL" in one]
    assert note == "frame 9: of 1 image only the URL is known; it is kept as it is (6 frames)"
    assert json.loads((out / "manifest.json").read_bytes())["frames"][3]["notes"] == {
        "images by URL": "frame 12: of 1 image only the URL is known; it is kept as it is"
    }
