"""A bad frame stops a run, or is left out and listed, whatever is bad about it."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scale_json_binary

import lidarprep as lp
from lidarprep.cli.prepare import show_manifest
from lidarprep.storage.manifest import FrameRecord, SkippedRecord
from tests.scenes import read_ply, write_toolkit_scene

SKIP: dict[str, Any] = {"skip_bad_frames": True}
FORMATS = ["json", "protobuf", "sfs"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Frames 9 to 14."""
    return write_toolkit_scene(tmp_path / "recording", frames=6, points=200)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def ids(manifest: lp.Manifest) -> list[str]:
    return [frame.id for frame in manifest.frames]


def skipped(manifest: lp.Manifest) -> list[tuple[str, int]]:
    return [(record.id, record.index) for record in manifest.skipped]


def stored(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("bad", [9, 12, 14])
def test_a_frame_that_cannot_be_read_is_left_out_and_listed(
    folder: Path, tmp_path: Path, format: Any, bad: int
) -> None:
    """The first, the last, and one that is looked at for the scale of the intensities."""
    file = folder / f"pointcloud/{bad}.ply"
    cut(file)
    scene = lp.open_scene(folder)
    with pytest.raises(lp.FormatError, match=rf"{bad}\.ply"):
        lp.prepare(scene, lp.Recipe(format=format), tmp_path / "out")
    assert not (tmp_path / "out").exists()

    manifest = lp.prepare(scene, lp.Recipe(format=format, **SKIP), tmp_path / "out")
    rest = [str(n) for n in range(9, 15) if n != bad]
    assert ids(manifest) == rest
    assert skipped(manifest) == [(str(bad), bad - 9)]
    assert str(file) in manifest.skipped[0].error
    assert [frame_id for record in manifest.attachments for frame_id in record.frames] == rest
    assert any(
        note.startswith(f"1 of 6 frames is bad and left out; the first is frame {bad}: ") for note in manifest.notes
    )
    assert any(note.startswith("intensity 255 is taken as 1") for note in manifest.notes)
    assert lp.load_manifest(tmp_path / "out").model_dump() == manifest.model_dump()
    names = {record.url for record in (*manifest.attachments, *manifest.images)}
    assert stored(tmp_path / "out") == names | {"manifest.json"}
    if format == "sfs":
        document = scale_json_binary.read_file(str(tmp_path / "out/scene.sfs"))
        (lidar,) = (one for one in document["sensors"] if one["type"] == "lidar")
        assert len(lidar["frames"]) == 5


def test_without_bad_frames_nothing_is_listed_and_the_attachments_are_the_same(folder: Path, tmp_path: Path) -> None:
    scene = lp.open_scene(folder)
    one = lp.prepare(scene, lp.Recipe(**SKIP), tmp_path / "one")
    other = lp.prepare(scene, lp.Recipe(), tmp_path / "other")
    assert one.skipped == []
    assert one.attachments == other.attachments
    assert one.notes == other.notes


@pytest.mark.parametrize("format", FORMATS)
def test_a_frame_without_a_pose_is_bad_too(folder: Path, tmp_path: Path, format: Any) -> None:
    scene = lp.open_scene(folder)
    lost = replace(scene, frames=tuple(replace(f, world_from_ego=None) if f.id == "10" else f for f in scene))
    manifest = lp.prepare(lost, lp.Recipe(format=format, **SKIP), tmp_path / "out")
    assert skipped(manifest) == [("10", 1)]
    assert "frame 10 has no pose" in manifest.skipped[0].error


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("how", ["no picture", "not there"])
def test_a_frame_with_a_picture_that_is_none_is_left_out_whole(
    folder: Path, tmp_path: Path, format: Any, how: str
) -> None:
    """Its other picture is sound, and must not be stored either."""
    scene = lp.open_scene(folder)
    picture = folder / "cameras/left/11.jpg"
    picture.unlink()
    if how == "no picture":
        picture.write_bytes(b"root:x:0:0")
    with pytest.raises(lp.FormatError, match=r"left/11\.jpg"):
        lp.prepare(scene, lp.Recipe(format=format), tmp_path / "out")
    manifest = lp.prepare(scene, lp.Recipe(format=format, **SKIP), tmp_path / "out")
    assert skipped(manifest) == [("11", 2)]
    assert "images/front/11.jpg" not in stored(tmp_path / "out")
    if format == "sfs":
        document = scale_json_binary.read_file(str(tmp_path / "out/scene.sfs"))
        cameras = [one for one in document["sensors"] if one["type"] == "camera"]
        assert [len(camera["images"]) for camera in cameras] == [5, 5]
        (lidar,) = (one for one in document["sensors"] if one["type"] == "lidar")
        assert [len(sweep["points"]["positions"]) for sweep in lidar["frames"]] == [200] * 5


@pytest.mark.parametrize("format", FORMATS)
def test_a_run_of_bad_frames_alone_fails_and_leaves_nothing(folder: Path, tmp_path: Path, format: Any) -> None:
    for file in (folder / "pointcloud").iterdir():
        cut(file)
    scene = lp.open_scene(folder)
    for recipe in (lp.Recipe(format=format, **SKIP), lp.Recipe(format=format, intensity_scale=255, **SKIP)):
        with pytest.raises(lp.SceneError, match=r"all 6 frames are bad.*pointcloud/(9|12)\.ply"):
            lp.prepare(scene, recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_wrong_with_the_recipe_or_the_format_is_no_bad_frame(folder: Path, tmp_path: Path) -> None:
    scene = lp.open_scene(folder)
    with pytest.raises(lp.RecipeError, match="outside 0 to 100"):
        lp.prepare(scene, lp.Recipe(intensity_scale=100, **SKIP), tmp_path / "out")
    camera = scene[0].images[0].camera
    odd = replace(camera, intrinsics=replace(camera.intrinsics, model="cylindrical"))
    frame = replace(scene[0], images=(replace(scene[0].images[0], camera=odd),))
    with pytest.raises(lp.EncodingError, match="cylindrical"):
        lp.prepare(
            replace(scene, frames=(frame, *scene.frames[1:])), lp.Recipe(format="protobuf", **SKIP), tmp_path / "out"
        )
    assert {path.name for path in (tmp_path / "out").glob("*")} <= {".lidarprep-run"}  # what is done is kept


class TestLabelledFrames:
    """are counted by Scale over the attachments, so over the frames that are left."""

    @pytest.fixture
    def long(self, tmp_path: Path) -> Path:
        """Frames 9 to 18, of which 10 and 15 are bad."""
        folder = write_toolkit_scene(tmp_path / "long", frames=10, points=20, cameras=())
        for bad in (10, 15):
            cut(folder / f"pointcloud/{bad}.ply")
        return folder

    def labelled(self, manifest: lp.Manifest) -> list[str]:
        return [frame.id for frame in manifest.frames if frame.labelled]

    @pytest.mark.parametrize("format", ["json", "sfs"])
    def test_at_a_rate(self, long: Path, tmp_path: Path, format: Any) -> None:
        recipe = lp.Recipe(labeling_sample_rate=3, format=format, **SKIP)
        manifest = lp.prepare(lp.open_scene(long), recipe, tmp_path / "out")
        assert ids(manifest) == ["9", "11", "12", "13", "14", "16", "17", "18"]
        # Of all ten it would have been 9, 12, 15, 18. Of eight, counted from 1: 1, 4, 7 and 8.
        assert self.labelled(manifest) == ["9", "13", "17", "18"]
        assert any(
            note.startswith("left out but to be labelled was frame 15; the frames that get labelled are counted over")
            for note in manifest.notes
        )

    def test_where_no_others_are_prepared(self, long: Path, tmp_path: Path) -> None:
        recipe = lp.Recipe(labeling_sample_rate=3, only_labelled=True, **SKIP)
        manifest = lp.prepare(lp.open_scene(long), recipe, tmp_path / "out")
        assert ids(manifest) == self.labelled(manifest) == ["9", "12", "18"]
        assert "left out but to be labelled was frame 15; no others take their place" in manifest.notes

    def test_all_where_there_is_no_rate(self, long: Path, tmp_path: Path) -> None:
        manifest = lp.prepare(lp.open_scene(long), lp.Recipe(**SKIP), tmp_path / "out")
        assert self.labelled(manifest) == ids(manifest)
        assert not any("labelled" in note for note in manifest.notes)


def test_progress_is_told_of_each_frame_in_time_order(folder: Path, tmp_path: Path) -> None:
    cut(folder / "pointcloud/11.ply")
    told: list[str] = []

    class Told:
        def start(self, frames: int, done: int) -> None:
            told.append(f"{frames} frames")

        def advance(self, frame: FrameRecord, stored_bytes: int) -> None:
            told.append(frame.id)

        def skip(self, frame: SkippedRecord) -> None:
            told.append(f"without {frame.id}")

    for format in ("json", "sfs"):
        told.clear()
        recipe = lp.Recipe(format=format, intensity_scale=255, **SKIP)
        lp.prepare(lp.open_scene(folder), recipe, tmp_path / format, progress=Told())
        assert told == ["6 frames", "9", "10", "without 11", "12", "13", "14"]


@pytest.mark.parametrize("format", FORMATS)
def test_the_table_shows_where_frames_are_missing(
    folder: Path, tmp_path: Path, format: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for bad in (10, 11):
        cut(folder / f"pointcloud/{bad}.ply")
    show_manifest(lp.prepare(lp.open_scene(folder), lp.Recipe(format=format, **SKIP), tmp_path / "out"))
    shown = capsys.readouterr().err
    rows = [line.strip("│ ").split() for line in shown.splitlines() if line.startswith("│")]
    assert [row[0] for row in rows] == ["9", "10", "11", "12", "13", "14"]
    assert ["left" in row for row in rows] == [False, True, True, False, False, False]
    assert "2 bad frames left out; the manifest says why" in shown


def test_what_an_earlier_run_stored_for_a_frame_that_is_now_bad_goes_away(folder: Path, tmp_path: Path) -> None:
    scene = lp.open_scene(folder)
    lp.prepare(scene, lp.Recipe(), tmp_path / "out")
    cut(folder / "pointcloud/11.ply")
    manifest = lp.prepare(scene, lp.Recipe(**SKIP), tmp_path / "out", overwrite=True)
    assert skipped(manifest) == [("11", 2)]
    names = {record.url for record in (*manifest.attachments, *manifest.images)}
    assert stored(tmp_path / "out") == names | {"manifest.json"}


def test_a_pool_of_processes_says_of_bad_frames_the_same(folder: Path, tmp_path: Path) -> None:
    cut(folder / "pointcloud/11.ply")
    recipe = lp.Recipe(intensity_scale=255, **SKIP)
    here = lp.prepare(lp.open_scene(folder), recipe, tmp_path / "here")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = lp.prepare(lp.open_scene(folder), recipe, tmp_path / "there", executor=pool)
    assert there.to_json() == here.to_json()


def test_a_bad_frame_is_read_for_a_look_no_more_than_once(folder: Path, tmp_path: Path) -> None:
    """The frames of the look are 9, 12 and 14; for 12, 11 stands in, the nearest that can be read."""
    read: list[str] = []

    def counting(frame: lp.Frame) -> lp.Frame:
        def read_points() -> lp.PointCloud:
            read.append(frame.id)
            if frame.id in ("9", "10", "12"):
                raise lp.FormatError(f"{frame.id}.ply", found="bad")
            return frame.read_points()

        return replace(frame, read_points=read_points)

    scene = lp.open_scene(folder)
    counted = replace(scene, frames=tuple(map(counting, scene.frames)))
    manifest = lp.prepare(counted, lp.Recipe(**SKIP), tmp_path / "out", workers=1)
    assert ids(manifest) == ["11", "13", "14"]
    assert {frame_id: read.count(frame_id) for frame_id in set(read)} == {
        **dict.fromkeys(("9", "10", "12"), 2),
        **dict.fromkeys(("11", "13", "14"), 1),
    }
    xyz, _ = read_ply(folder / "pointcloud/11.ply")
    assert manifest.frames[0].points_in == len(np.unique(xyz, axis=0))
