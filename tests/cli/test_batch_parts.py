"""`--span`, `--split`, `--overlap` and `--select` on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.scenes import write_toolkit_scene


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    return write_toolkit_scene(tmp_path / "drive", frames=6, cameras=(), points=50)


@pytest.mark.parametrize("command", ["inspect", "prepare", "report", "picture", "export", "run"])
def test_each_command_that_opens_a_recording_takes_a_span(run: Any, command: str) -> None:
    assert "--span" in run(command, "--help").out


def test_inspect_and_prepare_see_the_frames_of_the_span(run: Any, drive: Path, tmp_path: Path) -> None:
    found = json.loads(run("inspect", drive, "--span", "2..4", "--json").out)
    assert [frame["id"] for frame in found["frames"]] == ["11", "12"]
    assert "2..4 of the recording: 2 of its 6 frames, numbers 2 to 3" in found["notes"]
    ended = run("prepare", drive, "--span", "2..4", "--frames", "1:", "--out", tmp_path / "out", "--json")
    assert [frame["index"] for frame in json.loads(ended.out)["frames"]] == [3]
    wrong = run("inspect", drive, "--span", "4..2")
    assert (wrong.code, wrong.out) == (2, "")
    assert "the span 4..2 does not end after it starts" in wrong.err


def test_a_plan_is_made_once_and_prepared_as_it_was_printed(run: Any, drive: Path, tmp_path: Path) -> None:
    words = ("batch", drive, "--split", "4", "--overlap", "2", "--out", tmp_path / "out/{name}", "--checks", "quick")
    plan = run(*words, "--dry-run", "--json")
    assert [scene["name"] for scene in json.loads(plan.out)["scenes"]] == ["drive-000000", "drive-000002"]
    assert not (tmp_path / "out").exists()
    (tmp_path / "plan.json").write_text(plan.out)
    ended = run("batch", tmp_path / "plan.json", "--json")
    assert ended.code == 0
    assert [(scene["name"], scene["frames"]) for scene in json.loads(ended.out)["scenes"]] == [
        ("drive-000000", 4),
        ("drive-000002", 4),
    ]
    again = run(*words, "--json")
    assert json.loads(again.out)["scenes"] == json.loads(ended.out)["scenes"]


def test_a_list_without_recordings_names_them_itself(run: Any, drive: Path, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(f"recording,start,end,tag\n{drive},1,3,rain\n")
    ended = run("batch", "--select", tmp_path / "events.csv", "--out", tmp_path / "out/{name}", "--json")
    assert [(scene["name"], scene["frames"]) for scene in json.loads(ended.out)["scenes"]] == [("drive-000001-rain", 2)]
    (tmp_path / "events.csv").write_text("recording,start,end\ndrive,3,1\n")
    ended = run("batch", drive, "--select", tmp_path / "events.csv", "--out", tmp_path / "out/{name}")
    assert ended.code == 2
    assert "events.csv, line 2: the span 3..1 does not end after it starts" in ended.err
    ended = run("batch", "--out", tmp_path / "out/{name}")
    assert ended.code == 2
    assert "the batch has no scenes" in ended.err
