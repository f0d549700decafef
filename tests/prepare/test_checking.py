"""The checks beside a run's frames: errors end it unless they are accepted, and the manifest has what was found."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.prepare import checking
from lidarprep.scene import Subject
from tests.scenes import write_toolkit_scene

ODD = lp.Finding("poses-missing", "this is odd", "mend it", subject=Subject("frame", "9"), found=3, expected=1.5)
WRONG = replace(ODD, code="poses-misread", message="this is wrong", severity="error")
BESIDE = replace(ODD, code="repeated-points", message="by the way", severity="note")


@pytest.fixture
def scene(tmp_path: Path) -> lp.Scene:
    return lp.open_scene(write_toolkit_scene(tmp_path / "recording", frames=4, points=50, cameras=()))


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the checks find what a test says."""

    def find(*findings: lp.Finding) -> None:
        monkeypatch.setattr(checking, "check_scene", lambda *_, **__: list(findings))

    return find


def test_what_is_found_stands_in_the_manifest_as_data(scene: lp.Scene, tmp_path: Path, finds: Any) -> None:
    finds(ODD, BESIDE)
    made = lp.prepare(scene, lp.Recipe(), tmp_path / "out")
    assert made.findings == [ODD, BESIDE]
    assert lp.Manifest.load(tmp_path / "out").findings == [ODD, BESIDE]
    assert made.accepted == []


def test_an_error_ends_the_run_without_a_manifest_and_accepting_it_goes_on(
    scene: lp.Scene, tmp_path: Path, finds: Any
) -> None:
    finds(WRONG, ODD)
    with pytest.raises(lp.FindingsError, match="1 finding would ruin a task") as ended:
        lp.prepare(scene, lp.Recipe(), tmp_path / "out")
    assert ended.value.codes == ("poses-misread",)
    assert ended.value.exit_code == 2
    assert not (tmp_path / "out/manifest.json").exists()
    with pytest.raises(lp.FindingsError):
        lp.prepare(scene, lp.Recipe(accept=("poses-missing",)), tmp_path / "out")
    made = lp.prepare(scene, lp.Recipe(accept=("poses-misread",)), tmp_path / "out")
    assert made.accepted == ["poses-misread"]
    assert made.findings == [WRONG, ODD]


def test_a_strict_run_is_refused_for_a_warning_and_stores_nothing(scene: lp.Scene, tmp_path: Path, finds: Any) -> None:
    finds(ODD)
    with pytest.raises(lp.FindingsError, match="1 warning is an error, as --strict asks"):
        lp.prepare(scene, lp.Recipe(strict=True), tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    finds(BESIDE)
    assert lp.prepare(scene, lp.Recipe(strict=True), tmp_path / "out").findings == [BESIDE]


def test_a_run_with_nothing_to_do_does_not_check_again(scene: lp.Scene, tmp_path: Path, finds: Any) -> None:
    finds(ODD)
    lp.prepare(scene, lp.Recipe(), tmp_path / "out")
    finds(WRONG)
    assert lp.prepare(scene, lp.Recipe(), tmp_path / "out").findings == [ODD]


def test_an_error_that_is_found_early_ends_the_run_before_its_last_frame(
    scene: lp.Scene, tmp_path: Path, finds: Any
) -> None:
    finds(WRONG)
    stored: list[str] = []

    class Told:
        def start(self, frames: int, done: int) -> None: ...

        def advance(self, frame: Any, stored_bytes: int) -> None:
            stored.append(frame.id)

        def skip(self, frame: Any) -> None: ...

    many = replace(scene, frames=tuple(replace(scene[k % 4], id=f"{k}", index=k) for k in range(400)))
    with pytest.raises(lp.FindingsError):
        lp.prepare(many, lp.Recipe(), tmp_path / "out", workers=1, progress=Told())
    assert len(stored) < 400


def write_empty_frame(folder: Path) -> Path:
    empty = "ply\nformat binary_little_endian 1.0\nelement vertex 0\n" + "".join(
        f"property float {name}\n" for name in "xyz"
    )
    (folder / "pointcloud/10.ply").write_text(f"{empty}end_header\n")
    return folder


def test_a_code_that_is_none_is_refused_before_anything_is_done(scene: lp.Scene, tmp_path: Path, finds: Any) -> None:
    finds(WRONG)
    with pytest.raises(lp.RecipeError, match="there is no finding 'poses-mistread'\nDid you mean poses-misread"):
        lp.prepare(scene, lp.Recipe(accept=("poses-mistread",)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # A layout that is installed beside ours may have codes of its own.
    own = replace(scene, findings=(replace(ODD, code="odd-of-a-plugin"),))
    assert lp.prepare(own, lp.Recipe(accept=("odd-of-a-plugin", "poses-misread")), tmp_path / "out").findings


def test_what_ends_a_run_late_says_how_to_go_on_and_survives_another_process(
    scene: lp.Scene, tmp_path: Path, finds: Any
) -> None:
    finds(WRONG, ODD)
    with pytest.raises(lp.FindingsError) as ended:
        lp.prepare(scene, lp.Recipe(strict=True), tmp_path / "out")
    fix = str(ended.value.fix)
    assert "--accept poses-misread --accept poses-missing" in fix
    assert "run the same command again" not in fix
    copy = pickle.loads(pickle.dumps(ended.value))
    assert (type(copy), copy.codes, str(copy)) == (lp.FindingsError, ended.value.codes, str(ended.value))


def test_the_gravest_come_first_whoever_finds_them(tmp_path: Path, finds: Any) -> None:
    folder = write_toolkit_scene(tmp_path / "recording", frames=4, points=50, cameras=())
    finds(WRONG, BESIDE)
    recipe = lp.Recipe(accept=("poses-misread",))
    made = lp.prepare(lp.open_scene(write_empty_frame(folder)), recipe, tmp_path / "out")
    assert [one.code for one in made.findings] == ["poses-misread", "empty-frames", "repeated-points"]


def test_a_lost_object_that_is_made_again_changes_no_finding(tmp_path: Path, finds: Any) -> None:
    folder = write_toolkit_scene(tmp_path / "recording", frames=4, points=50, cameras=())
    scene = lp.open_scene(write_empty_frame(folder))
    finds(ODD, BESIDE)
    made = lp.prepare(scene, lp.Recipe(), tmp_path / "out")
    (tmp_path / "out" / made.attachments[0].key).unlink()
    finds(WRONG)  # would be found if they were made again
    again = lp.prepare(scene, lp.Recipe(), tmp_path / "out")
    assert again.findings == made.findings
    assert [one.code for one in again.findings] == ["empty-frames", "poses-missing", "repeated-points"]


def test_only_the_frames_that_are_prepared_are_judged(tmp_path: Path) -> None:
    folder = write_toolkit_scene(tmp_path / "recording", frames=4, points=50, cameras=("front",))
    scene = lp.open_scene(folder)
    others = replace(ODD, code="frames-unrelated", subject=Subject())
    scene = replace(scene, frames=(*scene.frames[:3], replace(scene[3], images=())), findings=(others,))
    assert {"frames-unrelated", "images-missing"} <= {one.code for one in scene.check()}
    made = lp.prepare(scene, lp.Recipe(frames="1:3"), tmp_path / "two")
    assert [one.code for one in made.findings if one.severity != "note"] == ["frames-unrelated"]
    made = lp.prepare(scene, lp.Recipe(frames="1:2", strict=True), tmp_path / "one")
    assert [one.code for one in made.findings if one.severity != "note"] == []


def test_frames_without_points_are_a_warning_of_inspect_and_prepare_alike(tmp_path: Path) -> None:
    folder = write_toolkit_scene(tmp_path / "recording", frames=3, points=50, cameras=())
    scene = lp.open_scene(write_empty_frame(folder))
    assert "empty-frames" in [one.code for one in lp.inspect_scene(scene).findings]
    assert "empty-frames" in [one.code for one in lp.prepare(scene, lp.Recipe(), tmp_path / "out").findings]
    with pytest.raises(lp.FindingsError) as ended:
        lp.prepare(scene, lp.Recipe(strict=True), tmp_path / "strict")
    assert "empty-frames" in ended.value.codes
