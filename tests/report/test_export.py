"""Exports of what recordings lack, of what is bad in them, and the command."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lidarprep as lp
from lidarprep import cli
from lidarprep.errors import FormatError, MissingExtraError, RecipeError, SceneError, StorageError
from lidarprep.report.moments import plain_names
from lidarprep.report.views import Fate, SceneView
from lidarprep.scene.frame import held
from tests.report.exports import nanoseconds, read_mcap, xyz
from tests.scenes import write_toolkit_scene


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toolkit_scene(tmp_path_factory.mktemp("export") / "recording", frames=4)


@pytest.fixture
def scene(folder: Path) -> lp.Scene:
    return lp.open_scene(folder)


def without(items: Iterable[Any], **changes: Any) -> tuple[Any, ...]:
    return tuple(replace(item, **changes) for item in items)


def test_a_scene_without_times_runs_at_ten_frames_a_second(scene: lp.Scene, tmp_path: Path) -> None:
    result = lp.export(replace(scene, frames=without(scene, timestamp=None)), tmp_path / "a.mcap")
    times = [
        (log_time, nanoseconds(cloud.timestamp)) for log_time, cloud in read_mcap(tmp_path / "a.mcap").topics["/points"]
    ]
    assert times == [(row * 100_000_000,) * 2 for row in range(4)]
    assert [note for note in result.notes if "times are missing or run backwards" in note]


def test_times_that_run_backwards_do_not_shuffle_the_frames(scene: lp.Scene, tmp_path: Path) -> None:
    frames = tuple(replace(frame, timestamp=10**18 - row) for row, frame in enumerate(scene))
    result = lp.export(replace(scene, frames=frames), tmp_path / "a.mcap")
    mcap = read_mcap(tmp_path / "a.mcap")
    assert mcap.log_times == sorted(mcap.log_times)
    for frame, rows in zip(scene, mcap.clouds("/points"), strict=True):
        assert frame.world_from_ego is not None
        np.testing.assert_allclose(xyz(rows), frame.world_from_ego.apply(frame.points().positions), atol=1e-4)
    assert [note for note in result.notes if "run backwards" in note]


def test_a_scene_without_poses_is_drawn_around_the_device(scene: lp.Scene, tmp_path: Path) -> None:
    images = [without(frame.images, world_from_camera=None) for frame in scene]
    frames = tuple(
        replace(frame, world_from_ego=None, images=of_frame) for frame, of_frame in zip(scene, images, strict=True)
    )
    result = lp.export(replace(scene, frames=frames), tmp_path / "a.mcap")
    mcap = read_mcap(tmp_path / "a.mcap")
    np.testing.assert_array_equal(xyz(mcap.clouds("/points")[1]), scene[1].points().positions)
    parents = {(one.child_frame_id, one.parent_frame_id) for _, sent in mcap.topics["/tf"] for one in sent.transforms}
    assert parents == {("ego", "world"), ("camera/front", "ego"), ("camera/left", "ego")}
    assert "4 of 4 frames have no pose: their points are drawn around the origin" in result.notes
    assert "/path" not in mcap.topics


def test_a_scene_of_points_alone_has_points_alone(scene: lp.Scene, tmp_path: Path) -> None:
    bare = without(scene, world_from_ego=None, images=(), read_radar=None, timestamp=None)
    lp.export(replace(scene, frames=bare, cameras=(), points_frame="world"), tmp_path / "a.mcap")
    assert set(read_mcap(tmp_path / "a.mcap").topics) == {"/points", "/points/dropped"}


def test_bad_frames_are_left_out_and_named(scene: lp.Scene, tmp_path: Path) -> None:
    def fail() -> lp.PointCloud:
        raise FormatError("somewhere.ply", found="nothing")

    frames = list(scene)
    frames[2] = replace(frames[2], read_points=fail)
    result = lp.export(replace(scene, frames=tuple(frames)), tmp_path / "a.mcap")
    assert result.frames == len(read_mcap(tmp_path / "a.mcap").topics["/points"]) == 3
    assert f"bad frames are left out: {frames[2].id} (somewhere.ply: nothing)" in result.notes
    with pytest.raises(SceneError, match="all 4 frames are bad"):
        lp.export(replace(scene, frames=without(scene, read_points=fail)), tmp_path / "b.mcap")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mcap"]


def png(**settings: Any) -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 6), (200, 10, 30)).save(file, **settings)
    return file.getvalue()


def test_images_go_as_they_are_or_are_named(scene: lp.Scene, tmp_path: Path) -> None:
    contents = [png(format="PNG"), png(format="BMP"), png(format="JPEG")[:-90], b""]
    front = [
        replace(frame.images[0], path=None, content=partial(held, data))
        for frame, data in zip(scene, contents, strict=True)
    ]
    left = [replace(frame.images[1], path=None, url="https://somewhere/1.jpg") for frame in scene]
    frames = tuple(
        replace(frame, images=pair) for frame, pair in zip(scene, zip(front, left, strict=True), strict=True)
    )
    result = lp.export(replace(scene, frames=frames), tmp_path / "a.mcap")
    sent = [message for _, message in read_mcap(tmp_path / "a.mcap").topics["/cameras/front/image"]]
    assert [message.format for message in sent] == ["png", "png"]
    assert sent[0].data == contents[0]
    assert Image.open(BytesIO(sent[1].data)).getpixel((0, 0)) == (200, 10, 30)
    assert set(result.notes[:-1]) == {
        "times are missing or run backwards: frames are shown 0.1 s apart, from 1970 on",
        "camera front: 1 image is BMP, which viewers do not show, and encoded again as PNG",
        "camera left: 4 images are known by a URL only, and left out",
    }
    assert result.notes[-1].startswith(
        f"camera front: images that cannot be decoded are left out: frame {scene[2].id} is cut off "
    )
    assert result.notes[-1].endswith(f", frame {scene[3].id} is empty")
    assert result.images == 2


def test_points_that_are_not_finite_are_left_out_and_counted(scene: lp.Scene, tmp_path: Path) -> None:
    points = scene[0].points()
    positions = points.positions.astype(np.float64)
    positions[3] = np.nan
    positions[4, 1] = np.inf
    positions[5] = 1e60  # beyond float32
    bad = replace(scene, frames=(scene[0].with_data(replace(points, positions=positions)),))
    result = lp.export(bad, tmp_path / "a.mcap", recipe=lp.Recipe(recentre=False))
    mcap = read_mcap(tmp_path / "a.mcap")
    rows = np.concatenate((*mcap.clouds("/points"), *mcap.clouds("/points/dropped")))
    assert len(rows) == result.points == len(points) - 3
    assert np.isfinite(xyz(rows)).all()
    assert "3 points that are not finite are left out" in result.notes


def test_only_what_is_kept(scene: lp.Scene, tmp_path: Path) -> None:
    recipe = lp.Recipe(region_of_interest_3d=lp.RegionOfInterest3D((18, 5, 0), 30, 30), frames="1:3")
    lp.export(scene, tmp_path / "a.mcap", recipe=recipe, kept_only=True)
    mcap = read_mcap(tmp_path / "a.mcap")
    assert "/points/dropped" not in mcap.topics
    view = SceneView.of(scene, recipe)
    for frame, rows in zip(view.frames, mcap.clouds("/points"), strict=True):
        seen = view.look(frame)
        np.testing.assert_array_equal(xyz(rows), seen.positions[seen.fate == Fate.KEPT].astype(np.float32))


HOSTILE = ["a/b c", "a_b_c", "A/B/C", "", "/", "\udcff", "..", "front\ncamera", "Kamera ü", "x" * 300]


def test_hostile_names_become_topics_of_their_own(scene: lp.Scene, tmp_path: Path) -> None:
    cameras = tuple(replace(scene.cameras[0], name=name, index=row) for row, name in enumerate(HOSTILE))
    image = scene[0].images[0]
    frame = replace(scene[0], id="\udcff/..", images=tuple(replace(image, camera=camera) for camera in cameras))
    lp.export(replace(scene, frames=(frame,), cameras=cameras), tmp_path / "a.mcap")
    topics = read_mcap(tmp_path / "a.mcap").topics
    images = [topic for topic in topics if topic.endswith("/image")]
    assert len(images) == len(HOSTILE)
    assert all(topic.isprintable() and topic.count("/") == 3 and " " not in topic for topic in images)
    assert list(plain_names(HOSTILE).values())[:5] == ["a_b_c", "a_b_c_2", "A_B_C_3", "camera", "camera_2"]


def test_what_was_stored_is_exported_as_the_recording_is(
    scene: lp.Scene, folder: Path, tmp_path: Path, without_checks: None
) -> None:
    recipe = lp.Recipe(region_of_interest_3d=lp.RegionOfInterest3D((18, 5, 0), 30, 30), intensity_scale=255.0)
    manifest = lp.prepare(scene, recipe, tmp_path / "out")
    lp.export(manifest, tmp_path / "stored.mcap")
    lp.export(lp.open_scene(tmp_path / "out"), tmp_path / "opened.mcap")
    lp.export(scene, tmp_path / "recorded.mcap", recipe=recipe, kept_only=True)
    stored, opened, recorded = (read_mcap(tmp_path / f"{name}.mcap") for name in ("stored", "opened", "recorded"))
    for one, other, third in zip(
        stored.clouds("/points"), recorded.clouds("/points"), opened.clouds("/points"), strict=True
    ):
        np.testing.assert_allclose(xyz(one), xyz(other), atol=1e-4)
        np.testing.assert_array_equal(one, third)
    assert "/region" in stored.topics
    assert len(stored.topics["/cameras/front/image"]) == 4


# ---- labels --------------------------------------------------------------------------------------------------------


def annotated(frames: int) -> list[dict[str, Any]]:
    def box(number: int) -> dict[str, Any]:
        place = {"x": 1.0 * number, "y": 2.0, "z": 0.5}
        size = {"x": 2.0, "y": 4.0, "z": 1.5}
        return {"uuid": f"id-{number}", "label": "car", "position": place, "dimensions": size, "yaw": 0.1}

    return [{"cuboids": [box(number)]} for number in range(frames)]


def test_labels_of_the_scene_or_of_the_chosen_frames(scene: lp.Scene, tmp_path: Path) -> None:
    view = SceneView.of(scene, lp.Recipe(frames="1:3"))
    file = tmp_path / "labels.json"
    for frames, expected in ((4, [1.0, 2.0]), (2, [0.0, 1.0])):
        file.write_text(json.dumps(annotated(frames)))
        lp.export(view, tmp_path / "a.mcap", labels=view.read_labels(file), overwrite=True)
        updates = [update for _, update in read_mcap(tmp_path / "a.mcap").topics["/labels"]]
        assert [update.entities[0].cubes[0].pose.position.x for update in updates] == expected
    file.write_text(json.dumps(annotated(3)))
    with pytest.raises(RecipeError, match=r"labels of 3 frames, and .* has 4, of which 2 are chosen or labelled"):
        view.read_labels(file)
    file.write_text("[{")
    with pytest.raises(FormatError, match=r"labels.json.*no JSON"):
        view.read_labels(file)
    with pytest.raises(RecipeError, match="neither a file nor a folder"):
        view.read_labels(tmp_path / "missing.json")


# ---- files and the command -----------------------------------------------------------------------------------------


def test_nothing_is_replaced_unless_it_is_said(scene: lp.Scene, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.mcap"
    target.write_bytes(b"mine")
    with pytest.raises(RecipeError, match="is there already"):
        lp.export(scene, target)
    assert target.read_bytes() == b"mine"
    lp.export(scene, target, overwrite=True)
    assert len(read_mcap(target).topics["/points"]) == 4
    of_bag = replace(scene, source=str(target), path=target)
    with pytest.raises(RecipeError, match="is part of the recording itself"):
        lp.export(of_bag, target, overwrite=True)
    with pytest.raises(StorageError, match="cannot be written"):
        lp.export(scene, tmp_path / "no" / "folder" / "a.mcap")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mcap"]


def test_a_failure_leaves_no_file(scene: lp.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lp.export(scene, tmp_path / "a.mcap", progress=stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("suffix", "extra", "library"), [("mcap", "foxglove", "mcap"), ("rrd", "rerun", "rerun")])
def test_the_missing_extra_is_named(
    scene: lp.Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, extra: str, library: str
) -> None:
    module = f"lidarprep.report.{extra}"
    monkeypatch.delitem(sys.modules, module, raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    usual = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == library:
            raise ImportError(name)
        return usual(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=rf"lidarprep\[{extra}\]"):
        lp.export(scene, tmp_path / f"a.{suffix}")
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_it_wrote(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "export",
        str(folder),
        "--to",
        str(tmp_path / "a.mcap"),
        "--frames",
        "1:3",
        "--roi",
        "18,5,30,30",
        "--json",
    ]
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert not ended.value.code
    told = capsys.readouterr()
    result = json.loads(told.out)
    assert (result["frames"], result["images"], result["points"]) == (2, 4, 1000)
    assert result["bytes"] == (tmp_path / "a.mcap").stat().st_size
    assert f"{tmp_path / 'a.mcap'}: 2 frames, 1,000 points, 4 images" in told.err
    assert read_mcap(tmp_path / "a.mcap").metadata["source"] == str(folder)


def test_the_command_refuses_other_suffixes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.pcd", "a"):
        with pytest.raises(SystemExit) as ended:
            cli.main(["export", str(folder), "--to", str(tmp_path / name)])
        assert ended.value.code == 2
        assert "Known are .mcap (Foxglove, Lichtblick, Rerun) and .rrd (Rerun)." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_importing_lidarprep_imports_no_viewers_libraries() -> None:
    program = "import sys, lidarprep; lidarprep.export; print(*sys.modules)"
    imported = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"mcap", "foxglove_schemas_protobuf", "rerun"} & {name.partition(".")[0] for name in imported}
