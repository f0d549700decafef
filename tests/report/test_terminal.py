"""The small map at the end of `inspect`: blocks in colours where a person watches, nothing elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lidarprep as lp
from lidarprep.checks import SceneSamples
from lidarprep.report.terminal import terminal_map
from tests.cli.conftest import Run, run
from tests.report.scenes import frame_of, scene_of

__all__ = ["run"]


def test_the_map_shows_where_points_are_within_eighty_letters() -> None:
    # Two walls along y, 60 m apart, and a device in the middle.
    rng = np.random.default_rng(0)
    walls = np.column_stack((np.repeat((-30.0, 30.0), 500), rng.uniform(-15, 15, 1000), rng.uniform(0, 4, 1000)))
    frame = frame_of(walls, world_from_ego=lp.Pose.identity())
    text = terminal_map(SceneSamples(scene_of([frame])), None, 200)
    *lines, legend = text.plain.splitlines()
    assert len(lines) == 20
    assert {len(line) for line in lines} == {80}
    columns = sorted({column for line in lines for column, letter in enumerate(line) if letter != " "})
    left, middle, right = columns[0], 39.5, columns[-1]
    assert right - left > 60
    assert abs((left + right) / 2 - middle) <= 1
    assert all(column < left + 3 or column > right - 3 or abs(column - middle) < 2 for column in columns)
    assert "m across" in legend
    assert "white: path" in legend


def test_a_recording_without_points_has_no_map() -> None:
    assert not terminal_map(SceneSamples(scene_of([frame_of(np.full((4, 3), np.nan))])))


@pytest.mark.parametrize(("environment", "drawn"), [({"FORCE_COLOR": "1"}, True), ({}, False)])
def test_inspect_draws_it_for_those_who_watch_only(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], drawn: bool
) -> None:
    lp.write_sample(tmp_path / "sample", frames=2, columns=256, image_width=160)
    for name in ("CI", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ended = run("inspect", tmp_path / "sample", "--checks", "quick")
    assert ended.code == 0
    assert ("▀" in ended.out) is drawn
    if drawn:
        monkeypatch.setenv("CI", "true")
        assert "▀" not in run("inspect", tmp_path / "sample", "--checks", "quick").out
