"""What the checks find stands in the manifest, or ends the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.cli import main
from tests.checks import faults as f


def warnings(manifest: lp.Manifest) -> list[str]:
    return [f"{one.message}; {one.advice}" for one in manifest.findings if one.severity == "warning"]


def test_a_sound_recording_is_prepared_strictly_without_a_warning(sound: Path, tmp_path: Path) -> None:
    manifest = lp.prepare(lp.open_scene(sound), lp.Recipe(strict=True), tmp_path / "out")
    assert warnings(manifest) == []


def test_what_is_odd_is_noted_in_the_manifest(sound: Path, tmp_path: Path) -> None:
    f.invert_extrinsics(sound, "left_camera")
    f.swap_timestamps(sound, "1", "2")
    manifest = lp.prepare(lp.open_scene(sound), lp.Recipe(), tmp_path / "out")
    inverted, order = warnings(lp.Manifest.load(tmp_path / "out"))
    assert warnings(manifest) == [inverted, order]
    assert "left_camera look inverted" in inverted
    assert "--invert-extrinsics left_camera" in inverted
    assert "--frame-order time" in order


def test_a_strict_run_ends_before_anything_is_stored(sound: Path, tmp_path: Path) -> None:
    f.invert_extrinsics(sound, "left_camera")
    f.swap_timestamps(sound, "1", "2")
    with pytest.raises(lp.SceneError, match="2 warnings are errors") as ended:
        lp.prepare(lp.open_scene(sound), lp.Recipe(strict=True), tmp_path / "out")
    assert "extrinsics-inverted" in str(ended.value)
    assert "--frame-order time" in str(ended.value)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    scene = lp.open_scene(sound, frame_order="time", invert_extrinsics=["left_camera"])
    assert warnings(lp.prepare(scene, lp.Recipe(strict=True), tmp_path / "out")) == []


def test_intensities_that_are_left_out_may_be_zero(sound: Path, tmp_path: Path) -> None:
    f.scale_intensity(sound, 0.0)
    scene = lp.open_scene(sound)
    assert "--drop-intensity" in warnings(lp.prepare(scene, lp.Recipe(), tmp_path / "a"))[0]
    assert warnings(lp.prepare(scene, lp.Recipe(drop_intensity=True, strict=True), tmp_path / "b")) == []


def test_the_highest_speed_is_the_recipes(sound: Path, tmp_path: Path) -> None:
    f.move_device(sound, np.array([0.0, 120.0, 0.0]), {"2"})
    scene = lp.open_scene(sound)
    assert "faster than 80 m/s" in warnings(lp.prepare(scene, lp.Recipe(), tmp_path / "a"))[0]
    assert warnings(lp.prepare(scene, lp.Recipe(max_speed=1300), tmp_path / "b")) == []


def test_the_offset_is_told_once_and_as_it_is_taken(sound: Path, tmp_path: Path) -> None:
    f.move_device(sound, np.array([4_500_000.0, 0.0, 0.0]))
    manifest = lp.prepare(lp.open_scene(sound), lp.Recipe(), tmp_path / "out")
    (told,) = [text for text in (*manifest.notes, *warnings(manifest)) if "float32" in text or "metres are" in text]
    assert [told] == warnings(manifest)
    assert f"{manifest.world_offset}" in told


def test_an_offset_that_is_asked_for_or_refused_is_no_warning(sound: Path, tmp_path: Path) -> None:
    f.move_device(sound, np.array([4_500_000.0, 0.0, 0.0]))
    scene = lp.open_scene(sound)
    taken = lp.prepare(scene, lp.Recipe(recentre=True, strict=True), tmp_path / "taken")
    assert taken.world_offset[0] == pytest.approx(4_500_000, abs=200)
    left = lp.prepare(scene, lp.Recipe(recentre=False, strict=True), tmp_path / "left")
    assert left.world_offset == (0.0, 0.0, 0.0)
    assert any("float32 rounds to 0.5 m" in note for note in left.notes)


def test_the_command_shows_warnings_as_such_and_ends_with_2_if_strict(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    f.invert_extrinsics(sound, "front_camera")
    for words, code in (([], 0), (["--strict"], 2)):
        with pytest.raises(SystemExit) as ended:
            main(["prepare", str(sound), "--out", str(tmp_path / f"out{code}"), *words])
        shown = capsys.readouterr().err
        assert int(ended.value.code or 0) == code
        assert ("warning: the extrinsics of camera front_camera" in shown) == (code == 0)
        assert "--invert-extrinsics front_camera" in shown
