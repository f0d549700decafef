"""Each fault, planted into a sound recording, is named with its figure and what settles it; and nothing else is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lidarprep.cli import main
from lidarprep.datasets import open_scene
from lidarprep.inspect import inspect_scene
from tests.checks import faults as f

# Where the device starts, so near the origin that both lie amid the points.
NEAR = np.array([9.0, 2.0, 0.0])


@dataclass(frozen=True)
class Fault:
    """A mistake: how it is planted, and what has to be said of it."""

    plant: Callable[[Path], None]
    code: str
    figure: str
    option: str
    words: tuple[str, ...] = ()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def _far(by: float) -> Any:
    return lambda folder: f.move_device(folder, np.array([by, 0.0, 0.0]))


def _in_world(folder: Path, start: NDArray[np.float64] = f.FAR) -> None:
    f.move_device(folder, start)
    f.points_to_world(folder)


def _no_points(folder: Path) -> None:
    header = "ply\nformat binary_little_endian 1.0\nelement vertex 0\n"
    properties = "".join(f"property float {name}\n" for name in "xyzi")
    (folder / "pointcloud/2.ply").write_text(f"{header}{properties}end_header\n")


def _jump_without_times(folder: Path) -> None:
    f.forget_timestamps(folder)
    f.move_device(folder, np.array([0.0, 120.0, 0.0]), {"3"})


FAULTS = {
    "extrinsics not unit": Fault(
        lambda folder: f.stretch_quaternion(folder / "cameras/left_camera/extrinsics.json", 4e-4),
        "rotation-not-unit",
        r"extrinsics of camera left_camera.* 0\.0004",
        "beyond 0.001 it would be refused",
    ),
    "pose not unit": Fault(
        lambda folder: f.stretch_quaternion(folder / "poses/2.json", -7e-4),
        "rotation-not-unit",
        r"pose of frame 2:.* 0\.0007",
        "beyond 0.001 it would be refused",
    ),
    **{
        f"{camera} inverted": Fault(
            lambda folder, camera=camera: f.invert_extrinsics(folder, camera),  # type: ignore[misc]
            "extrinsics-inverted",
            rf"camera {camera} look inverted: as given, its image is \d+° from upright and [\d.]+% .*; "
            r"inverted, .* [1-4]° from upright and [\d.]+%",
            f"--invert-extrinsics {camera}",
        )
        for camera in ("front_camera", "left_camera", "right_camera")
    },
    "camera in the axes of a body": Fault(
        lambda folder: f.body_axes(folder, "front_camera"),
        "extrinsics-body-axes",
        r"camera front_camera looks 8\d° upwards.* \d+ of \d+ points",
        "z forward, x right, y down",
    ),
    "extrinsics in millimetres": Fault(
        lambda folder: f.millimetres(folder, "front_camera"),
        "extrinsics-see-little",
        r"camera front_camera sees too little: \d+ of \d+ points.* 96 × 60 pixels",
        "metres",
    ),
    "frames out of order": Fault(
        lambda folder: f.swap_timestamps(folder, "1", "2"),
        "frames-out-of-order",
        r"1 of 4 frames .* the first is 2, 100\.000 ms before 1",
        "--frame-order time",
    ),
    "a frame doubled": Fault(
        lambda folder: f.set_timestamp(folder, "2", f.timestamp(folder, "1")),
        "frames-doubled",
        r"1 of 4 frames .*: 2 has that of 1, 1700000000100000000 ns",
        "--frame-order time",
    ),
    "the device jumps": Fault(
        lambda folder: f.move_device(folder, np.array([0.0, 120.0, 0.0]), {"2"}),
        "device-jumps",
        r"moves 1\d\d\.\d m in 0\.1 s, 1\d\d\d m/s, from frame \d to \d; 2 of 3 steps are faster than 80 m/s",
        "--max-speed 1",
    ),
    "the device jumps, without times": Fault(
        _jump_without_times,
        "device-jumps",
        r"moves 1\d\d\.\d m from frame 2 to 3, where half of the steps are at most 0\.\d\d m; 1 of 3",
        "timestamps",
    ),
    "points in the world": Fault(
        _in_world,
        "points-in-world",
        r"in world: so read, [3-9]\d% of the occupied voxels of \d pairs of frames coincide, as given \d%",
        "--points-frame world",
    ),
    "points said to be in the world": Fault(
        lambda folder: f.move_device(folder, f.FAR),
        "points-in-ego",
        r"in ego: so read, [3-9]\d% of the occupied voxels of \d pairs of frames coincide, as given 0%",
        "--points-frame ego",
        words=("--points-frame", "world"),
    ),
    "points in the world, near its origin": Fault(
        lambda folder: _in_world(folder, NEAR),
        "points-in-world",
        r"in world: so read, [3-9]\d% of the occupied voxels of \d pairs of frames coincide, as given \d%",
        "--points-frame world",
    ),
    "points said to be in the world, near its origin": Fault(
        lambda folder: f.move_device(folder, NEAR),
        "points-in-ego",
        r"in frame 0 they leave a hole at the origin, and none at the device's place, \(9\.\d, 0\.\d\)",
        "--points-frame ego",
        words=("--points-frame", "world"),
    ),
    "intensity all zero": Fault(
        lambda folder: f.scale_intensity(folder, 0.0),
        "intensity-zero",
        r"every intensity is 0, in 3 frames",
        "--drop-intensity",
    ),
    "intensity of no known scale": Fault(
        lambda folder: f.scale_intensity(folder, 0.3),
        "intensity-scale",
        r"intensities reach from 0 to \d+",
        "--intensity-scale S",
    ),
    "coordinates far out": Fault(
        _far(4_500_000.0),
        "far-coordinates",
        r"beyond 100000.*\(4500000\.0, [-\d.]+, [-\d.]+\)",
        "world_offset",
    ),
    "a frame without points": Fault(_no_points, "empty-frames", r"1 of 4 frames .* is 2", "--frames A:B:S"),
    "a frame that cannot be read": Fault(
        lambda folder: _truncate(folder / "pointcloud/3.ply"),
        "bad-frame",
        r"frame 3 cannot be read: .*3\.ply",
        "--skip-bad-frames",
    ),
    "an image missing": Fault(
        lambda folder: (folder / "cameras/left_camera/1.jpg").unlink(),
        "images-missing",
        r"camera left_camera has images for 3 of 4 frames",
        "--camera NAME",
    ),
}


def inspect(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """How `lidarprep inspect` ended, and what stands on stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        main(["inspect", *(str(word) for word in words)])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def _advice(finding: dict[str, Any]) -> str:
    """What to do, as the command line shows it."""
    flag = finding["option"]["flag"] if finding["option"] else ""
    return "; ".join(part for part in (flag, finding["cure"]) if part)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named_with_its_figure_and_what_settles_it(
    sound: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    fault = FAULTS[name]
    fault.plant(sound)
    code, out, _ = inspect(capsys, sound, *fault.words, "--json")
    findings = [finding for finding in json.loads(out)["findings"] if finding["severity"] != "note"]
    assert code == 0
    assert [finding["code"] for finding in findings] == [fault.code]
    assert re.search(fault.figure, findings[0]["message"]), findings[0]["message"]
    assert fault.option in f"{findings[0]['option']} {findings[0]['cure']}"

    code, out, err = inspect(capsys, sound, *fault.words, "--strict")
    assert code == 2
    lines = out.splitlines()
    severity = findings[0]["severity"]
    told = f"{severity}: {findings[0]['message']} [{fault.code}]"
    shown = next(row for row, line in enumerate(lines) if line == told)
    assert lines[shown + 1] == f"  {_advice(findings[0])}"
    assert err.splitlines()[-1].startswith("error: 1 finding" if severity == "error" else "error: 1 warning")


def test_without_the_camera_that_misses_an_image_nothing_is_found(
    sound: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Options that a finding spells out are followed in test_advice.py."""
    FAULTS["an image missing"].plant(sound)
    others = ("--camera", "front_camera", "--camera", "right_camera")
    code, out, _ = inspect(capsys, sound, *others, "--json", "--strict")
    assert (code, [one for one in json.loads(out)["findings"] if one["severity"] != "note"]) == (0, [])


@pytest.mark.parametrize("seed", [1, 2])
def test_sound_recordings_are_not_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int) -> None:
    code, out, _ = inspect(capsys, f.write_sound(tmp_path / "recording", seed=seed), "--strict")
    assert code == 0
    assert "warning" not in out


def test_the_real_recording_is_not_warned_of(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = inspect(capsys, recording, "--strict")
    assert code == 0
    assert "warning" not in out


def test_a_sound_recording_far_from_the_origin_is_taken_as_it_is(sound: Path) -> None:
    f.move_device(sound, f.FAR)
    assert inspect_scene(open_scene(sound)).findings == []
    f.points_to_world(sound)
    assert inspect_scene(open_scene(sound, points_frame="world")).findings == []


def test_a_frame_that_cannot_be_read_does_not_hide_the_others(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (0, 2):
        _truncate(sound / f"pointcloud/{number}.ply")
    f.invert_extrinsics(sound, "front_camera")
    code, out, _ = inspect(capsys, sound)
    assert code == 0
    assert out.count("unreadable") == 2
    assert out.count("warning: ") == 3
    found = inspect_scene(open_scene(sound))
    assert [frame.error is None for frame in found.frames] == [False, True, False, True]
    assert [frame.points > 0 for frame in found.frames] == [False, True, False, True]


def test_a_frame_after_another_in_no_time_is_no_division_by_zero(sound: Path) -> None:
    f.set_timestamp(sound, "2", f.timestamp(sound, "1"))
    f.move_device(sound, np.array([0.0, 120.0, 0.0]), {"2"})
    found = [one for one in inspect_scene(open_scene(sound)).findings if one.severity != "note"]
    assert [one.code for one in found] == ["frames-doubled"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--checks", "fast"), "the level of the checks is 'fast'; it must be full or quick"),
        (("--strict", "--accept", "device-jump"), "Did you mean device-jumps?"),
    ],
)
def test_a_level_and_a_code_that_are_none_are_refused(
    sound: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    code, out, err = inspect(capsys, sound, *words)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize("speed", ["0", "-1", "nan"])
def test_a_speed_that_makes_no_sense_is_refused(sound: Path, capsys: pytest.CaptureFixture[str], speed: str) -> None:
    code, _, err = inspect(capsys, sound, "--max-speed", speed)
    assert code == 2
    assert "max_speed" in err
