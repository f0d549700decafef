"""Wrong poses of generated drives are named by the cloud with the reading that mends them; sound ones are not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.plant.drives import drive
from benchmarks.plant.poses import EXPECTED, KINDS, plant
from lidarprep.checks import CheckOptions, check_scene
from lidarprep.scene import Finding, Scene

QUICK = CheckOptions(level="quick")


@pytest.fixture(scope="module")
def ahead() -> Scene:
    return drive(np.random.default_rng(77))


def graver_than_notes(scene: Scene) -> list[Finding]:
    return [finding for finding in check_scene(scene, QUICK) if finding.severity != "note"]


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_poses_are_named_with_what_settles_them(ahead: Scene, kind: str) -> None:
    code, value = EXPECTED[kind]
    (finding,) = graver_than_notes(plant(ahead, kind, np.random.default_rng(5)))
    assert finding.code == code
    assert value is None or (finding.option is not None and finding.option.flag.split()[-1] == value)


def test_sound_poses_anywhere_in_the_world_are_not_named(ahead: Scene) -> None:
    assert graver_than_notes(plant(ahead, "sound", np.random.default_rng(5))) == []


@pytest.mark.parametrize(("speed", "seconds"), [(4.0, 0.05), (6.0, 0.1), (25.0, 0.1)])
def test_placeholder_poses_are_named_at_any_speed(speed: float, seconds: float) -> None:
    # A slow device of many frames a second needs more than three of them to be told from one at rest.
    scene = drive(np.random.default_rng(78), speed=speed, seconds=seconds, frames=14)
    (finding,) = graver_than_notes(plant(scene, "at rest", np.random.default_rng(5)))
    assert finding.code == "poses-at-rest"


@pytest.mark.parametrize("frames", [2, 14])
def test_a_device_at_rest_is_sound(frames: int) -> None:
    assert graver_than_notes(drive(np.random.default_rng(79), "at rest", frames=frames)) == []
