"""Workers that are killed, one that is cut off, a scheduler that is restarted: every scene is done, and none twice."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.batch.cluster_fleet import Fleet, disturb, running_fleet
from tests.batch.fleet import write_drives
from tests.batch.machines import can_isolate

# Scenes whose workers died too often are tried again, as a user would.
TRIES = 3


def prepare_all(fleet: Fleet, draw: random.Random, *, kills: int, cuts: int, scenes: int) -> None:
    """Run the command, and disturb it; then let it try again what failed."""
    command = fleet.start(str(fleet.batch_file))
    disturb(fleet, command, draw, kills=kills, cuts=cuts, of=scenes)
    for _ in range(TRIES):
        _, err = command.communicate(timeout=1800)
        assert "Traceback" not in err, err[-4000:]
        if command.returncode == 0:
            return
        assert "workers died that had it" in err, err[-4000:]
        command = fleet.start("retry", str(fleet.batch_file))
    raise AssertionError(err[-4000:])


def check(fleet: Fleet, scenes: int) -> None:
    """Check by boto3 and SQLite that each scene is done once, has one task, and that the ledger says so."""
    stored = fleet.stored()
    ledger = {line["name"]: line for line in stored["ledger"]}
    tasks = fleet.task_ids()
    assert len(ledger) == len(stored["ledger"]) == len(stored["manifests"]) == scenes
    assert len(tasks) == scenes, "a scene has two tasks, or none"
    assert sorted(line["task"] for line in ledger.values()) == sorted(tasks)
    for name, manifest in stored["manifests"].items():
        line = ledger[name]
        assert line["state"] == "submitted"
        assert line["frames"] == len(manifest["frames"]) == 2
        assert line["points"] == sum(frame["points_out"] for frame in manifest["frames"])
        assert manifest["fingerprint"].startswith(line["fingerprint"])
        frames = {key for key in stored["keys"] if key.startswith(f"run/{name}/frames/")}
        assert len(frames) == 2, "a frame is stored under two names"


@pytest.mark.trial
def test_a_cluster_prepares_each_scene_once_whatever_dies(tmp_path: Path) -> None:
    recordings = write_drives(tmp_path / "drives", 8)
    with running_fleet(tmp_path, recordings, workers=2, isolated=can_isolate()) as fleet:
        prepare_all(fleet, random.Random(1), kills=2, cuts=0, scenes=8)
        check(fleet, 8)


@pytest.mark.trial
@pytest.mark.parametrize("seed", [int(os.environ.get("TRIAL_SEED", "1"))])
def test_200_scenes_are_each_done_once_with_50_kills_a_cut_and_a_restart(tmp_path: Path, seed: int) -> None:
    recordings = write_drives(tmp_path / "drives", 200)
    with running_fleet(tmp_path, recordings, workers=4, isolated=can_isolate()) as fleet:
        prepare_all(fleet, random.Random(seed), kills=50, cuts=1, scenes=200)
        check(fleet, 200)
        assert sum(worker.kills for worker in fleet.workers) == 50
