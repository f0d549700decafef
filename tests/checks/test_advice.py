"""Following the advice of a finding settles it: each option that a finding names is applied as it is spelt."""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.cli import main
from tests.checks import faults as f

PACKAGE = Path(__file__).parents[2] / "lidarprep"


@dataclass(frozen=True)
class Advice:
    """A finding with an option.

    Args:
        plant: Plants the fault into a sound recording.
        words: Words that `prepare` or `inspect` has to find it with.
        filled: What is written in place of the option's placeholders.
        by_prepare: Whether the option is one of preparing.
    """

    plant: Callable[[Path], object]
    words: tuple[str, ...] = ()
    filled: tuple[tuple[str, str], ...] = ()
    by_prepare: bool = False


def _lose_poses(folder: Path, *numbers: int) -> None:
    for number in numbers:
        (folder / f"poses/{number}.json").unlink()


def _lose_all_poses(folder: Path) -> None:
    rows = []
    for number in range(4):
        rotation, (x, y, z) = f.pose_of(folder / f"poses/{number}.json")
        qx, qy, qz, qw = rotation.as_quat()
        rows.append(f"{f.timestamp(folder, str(number)) / 1e9:.6f} {x} {y} {z} {qx} {qy} {qz} {qw}\n")
    (folder.parent / "poses.tum").write_text("".join(rows))
    _lose_poses(folder, *range(4))


def _in_world(folder: Path) -> None:
    f.move_device(folder, f.FAR)
    f.points_to_world(folder)


def _no_points(folder: Path) -> None:
    header = "ply\nformat binary_little_endian 1.0\nelement vertex 0\n"
    (folder / "pointcloud/2.ply").write_text(
        header + "".join(f"property float {name}\n" for name in "xyzi") + "end_header\n"
    )


def _microseconds(folder: Path) -> None:
    for row in range(4):
        f.set_timestamp(folder, f"{row}", f.timestamp(folder, f"{row}") // 1000)


def _invert_poses(folder: Path) -> None:
    f.move_device(folder, np.array([30.0, -20.0, 0.0]))
    for path in (folder / "poses").glob("*.json"):
        rotation, position = f.pose_of(path)
        f.save_pose(path, rotation.inv(), -rotation.inv().apply(position))


ADVICE = {
    "device-height": Advice(lambda _: None, words=("--device-height", "9"), by_prepare=True),
    "device-jumps": Advice(lambda folder: f.move_device(folder, np.array([0.0, 120.0, 0.0]), {"2"})),
    "empty-frames": Advice(_no_points, filled=(("A:B:S", "0:2:1"),), by_prepare=True),
    "extrinsics-inverted": Advice(lambda folder: f.invert_extrinsics(folder, "left_camera")),
    "far-coordinates": Advice(lambda folder: f.move_device(folder, np.array([4.5e6, 0, 0])), by_prepare=True),
    "frame-rate": Advice(_microseconds, words=("--time-unit", "ns")),
    "frames-doubled": Advice(lambda folder: f.set_timestamp(folder, "2", f.timestamp(folder, "1"))),
    "frames-out-of-order": Advice(lambda folder: f.swap_timestamps(folder, "1", "2")),
    "intensity-zero": Advice(lambda folder: f.scale_intensity(folder, 0.0), by_prepare=True),
    "points-in-ego": Advice(lambda folder: f.move_device(folder, f.FAR), words=("--points-frame", "world")),
    "points-in-world": Advice(_in_world),
    "poses-misread": Advice(_invert_poses),
    "poses-missing": Advice(_lose_all_poses, filled=(("FILE", "poses.tum"),)),
    "poses-missing, some": Advice(lambda folder: _lose_poses(folder, 1), words=("--frames", ":3"), by_prepare=True),
    "region-off-path": Advice(lambda _: None, words=("--roi", "25,0,30,30"), by_prepare=True),
}

# Tested where their recordings are: test_alignment.py, test_times.py; those of inspect alone, by prepare's own tests.
ELSEWHERE = {
    "camera-misaligned",
    "cameras-swapped",
    "sweeps-not-compensated",
    "point-time-unit",
    "bad-frame",
    "intensity-scale",
}


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    captured = capsys.readouterr()
    assert not ended.value.code, captured.err
    found: list[dict[str, Any]] = json.loads(captured.out)["findings"]
    return found


@pytest.mark.parametrize("name", ADVICE)
def test_the_option_of_a_finding_settles_it(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    advice, code = ADVICE[name], name.partition(",")[0]
    advice.plant(sound)
    monkeypatch.chdir(sound.parent)
    skip = ("--skip-bad-frames",) if code == "poses-missing" else ()

    def find(out: str, *words: str) -> list[dict[str, Any]]:
        if not advice.by_prepare:
            return _run(capsys, "inspect", str(sound), *words)
        everything = ("--accept", "device-height", *skip)
        return _run(capsys, "prepare", str(sound), "--out", str(tmp_path / out), *everything, *words)

    # Prepare ends at a frame without a pose, and inspect names it.
    by_inspect = skip and advice.by_prepare
    found = _run(capsys, "inspect", str(sound)) if by_inspect else find("before", *advice.words)
    (option,) = [one["option"] for one in found if one["code"] == code]
    flag = option["flag"]
    for placeholder, value in advice.filled:
        assert placeholder in flag
        flag = flag.replace(placeholder, value)
    assert option["of"] == ("Recipe" if advice.by_prepare or code == "device-jumps" else "open_scene")
    after = find("after", *(advice.words if advice.by_prepare else ()), *shlex.split(flag))
    assert [one["code"] for one in after if one["severity"] != "note" and one["code"] != "images-missing"] == []


def test_every_finding_with_an_option_is_tried() -> None:
    with_option = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if "Finding(" in text else ():
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding":
                code = node.args[0]
                if any(keyword.arg == "option" for keyword in node.keywords) and isinstance(code, ast.Constant):
                    with_option.add(code.value)
    assert with_option - {name.partition(",")[0] for name in ADVICE} == ELSEWHERE


def test_frames_without_a_pose_that_are_left_out_are_no_warning(sound: Path, tmp_path: Path) -> None:
    _lose_poses(sound, 1)
    scene = lp.open_scene(sound)
    (finding,) = [one for one in scene.check() if one.code == "poses-missing"]
    assert finding.option is not None
    assert finding.option.flag == "--skip-bad-frames"
    made = lp.prepare(scene, lp.Recipe(skip_bad_frames=True, strict=True), tmp_path / "out")
    assert [one.id for one in made.skipped] == ["1"]
    assert [one.code for one in made.findings if one.severity != "note"] == []
