"""`lidarprep batch` and its sub-verbs, as somebody types them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lidarprep as lp
from lidarprep.batch import Ledger, SceneRecord
from lidarprep.cli import main
from lidarprep.sandbox import running_sandbox
from tests.batch.fleet import assert_ledger_equals_manifests, ledger_lines, write_drives


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two drives and a folder that is none, in the current folder."""
    write_drives(tmp_path / "drives", 2)
    (tmp_path / "drives/empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str]) -> Any:
    """Type a command; returns its exit code, stdout and stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


def test_recordings_are_prepared_each_at_its_destination(fleet: Path, typed: Any) -> None:
    code, out, err = typed("batch", "drives/*", "--out", "out/{name}", "--checks", "quick", "--json")
    assert code == 2  # bad input only
    told = json.loads(out)
    assert told["totals"]["states"] == {"failed": 1, "done": 2}
    assert {one["name"] for one in told["scenes"]} == {"drive-0", "drive-1", "empty"}
    assert "error: empty: drives/empty is no recording" in err
    assert "\x1b" not in err
    assert_ledger_equals_manifests(fleet / "out")


def test_a_failure_from_outside_has_its_own_exit_code(fleet: Path, typed: Any) -> None:
    (fleet / "out").mkdir()
    (fleet / "out/drive-1").write_text("a file in the way")
    code, _, err = typed("batch", "drives/*", "--out", "out/{name}", "--checks", "quick")
    assert code == 1
    assert "error: drive-1:" in err


def test_flags_and_a_recipe_file_come_before_the_defaults_of_a_batch_file(fleet: Path, typed: Any) -> None:
    (fleet / "batch.yaml").write_text(
        "scenes: [drives/drive-*]\nrecipe: {precision: 1, checks: quick}\nout: 'out/{name}'\n"
    )
    (fleet / "recipe.yaml").write_text("precision: 2\nchecks: quick\n")
    for flags, precision in (([], 1), (["--recipe", "recipe.yaml"], 2), (["--precision", "3"], 3)):
        code, _, _ = typed("batch", "batch.yaml", "--out", f"out-{precision}/{{name}}", *flags)
        assert code == 0
        manifest = json.loads((fleet / f"out-{precision}/drive-0/manifest.json").read_text())
        assert manifest["recipe"]["precision"] == precision


def test_a_plan_is_shown_and_can_be_kept_as_a_file(fleet: Path, typed: Any) -> None:
    code, out, _ = typed("batch", "drives/d*", "--out", "out/{name}", "--dry-run", "--json", "--checks", "quick")
    assert code == 0
    assert not (fleet / "out").exists()
    (fleet / "plan.json").write_text(out)
    code, _, err = typed("batch", "plan.json", "--shard", "1/2", "--dry-run")
    assert code == 0
    assert "drives/drive-1" in err
    assert "drives/drive-0" not in err
    assert typed("batch", "plan.json", "--shard", "1/2")[0] == 0
    assert {name: line["state"] for name, line in ledger_lines(fleet / "out").items()} == {
        "drive-0": "waiting",
        "drive-1": "done",
    }
    assert json.loads((fleet / "out/drive-1/manifest.json").read_text())["recipe"]["checks"] == "quick"


def test_retry_tries_what_failed_alone(fleet: Path, typed: Any) -> None:
    words = ("drives/*", "--out", "out/{name}", "--checks", "quick")
    typed("batch", *words, "--shard", "0/2")  # drive-0 and empty
    (fleet / "drives/empty").rmdir()
    write_drives(fleet / "more", 1)[0].rename(fleet / "drives/empty")
    code, _, _ = typed("batch", "retry", *words)
    assert code == 0
    states = {name: line["state"] for name, line in ledger_lines(fleet / "out").items()}
    assert states == {"drive-0": "done", "drive-1": "waiting", "empty": "done"}


@pytest.mark.parametrize("target", ["out", "out/{name}", "batch.yaml"])
def test_status_shows_how_the_batch_stands(fleet: Path, typed: Any, target: str) -> None:
    (fleet / "batch.yaml").write_text("scenes: [drives/*]\nrecipe: {checks: quick}\nout: 'out/{name}'\n")
    typed("batch", "batch.yaml", "--shard", "0/2")
    code, out, err = typed("batch", "status", target)
    assert (code, out) == (0, "")
    assert "3: 1 waiting, 1 failed, 1 done" in err
    assert "time left" in err
    assert "error: empty: drives/empty is no recording" in err
    code, out, _ = typed("batch", "status", target, "--state", "done", "--state", "waiting", "--json")
    told = json.loads(out)
    assert {one["name"]: one["state"] for one in told["scenes"]} == {"drive-0": "done", "drive-1": "waiting"}
    assert told["totals"]["scenes"] == 3


def test_status_of_ten_thousand_scenes_shows_the_first(tmp_path: Path, typed: Any) -> None:
    ledger = Ledger(str(tmp_path))
    one = SceneRecord("", "drives/x", "done", 1, frames=300, points=9_000_000, when=1e9)
    for row in range(10_000):
        ledger.add(replace(one, name=f"drive-{row:05}"))
    ledger.flush()
    code, _, err = typed("batch", "status", str(tmp_path), "--state", "done")
    assert code == 0
    assert "10,000: 10,000 done" in err
    assert "drive-00099" in err
    assert "drive-00100" not in err
    assert "9,900 more; --json has all" in err


def test_tasks_are_submitted_once_and_the_ledger_names_them(
    fleet: Path, typed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALE_API_KEY", "test_key_of_nobody")
    task = [
        "--type",
        "lidarsegmentation",
        "--param",
        "callback_url=https://example.com/cb",
        "--param",
        'labels=["car"]',
        "--param",
        "project=fleet",
    ]
    with running_sandbox() as sandbox:
        words = ["drives/d*", "--out", "out/{name}", "--checks", "quick", "--submit", *task]
        words += ["--url-base", "https://example.com/{name}", "--api-url", sandbox.url]
        assert typed("batch", *words)[0] == 0
        first = ledger_lines(fleet / "out")
        assert typed("batch", *words)[0] == 0
        with lp.ScaleClient(api_url=sandbox.url) as client:
            tasks = client.list_tasks().tasks
    assert ledger_lines(fleet / "out") == first
    assert {line["task"] for line in first.values()} == {task.id for task in tasks}
    assert [line["state"] for line in first.values()] == ["submitted"] * 2
    assert len(tasks) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["drives/*"], "the batch has no destination"),
        (["batch.yaml", "drives/*", "--out", "out/{name}"], "batch.yaml is a batch file; it comes alone"),
        (["none.yaml", "--out", "out/{name}"], "none.yaml: the batch cannot be read"),
        (["drives/*", "--out", "out/{name}", "--param", "project=x"], "and no --type"),
        (["drives/*", "--out", "out/{name}", "--submit"], "no task to submit"),
        (["status", "nowhere"], "nowhere: there is no batch"),
        (["status", "drives", "--state", "ready"], "'ready' is no state"),
        (["status", "drives", "--out", "out/{name}"], "--out is given, too"),
    ],
)
def test_what_makes_no_sense_is_refused(fleet: Path, typed: Any, words: list[str], message: str) -> None:
    code, out, err = typed("batch", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert not (fleet / "out").exists()
