"""A run that makes one scene of all frames, killed at any point, goes on after the frames that are on the disk."""

from __future__ import annotations

import json
import random
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from lidarprep.verification import verify

import lidarprep as lp
from tests.trials.children import (
    RUN_FOLDER,
    Runner,
    assert_nothing_looks_finished,
    files_in,
    frames_named,
    journaled_frames,
)
from tests.trials.conftest import FRAMES
from tests.trials.test_killed import points_over_a_run

pytestmark = pytest.mark.trial
SPOOL = f"{RUN_FOLDER}/staged/scene.sfs"


@pytest.fixture(scope="module")
def sfs(runner: Runner) -> Runner:
    """Starts runs that make one scene of the ten frames."""
    runner = replace(runner, options=(*runner.options, "--format", "sfs", "--workers", "1"))
    assert runner.run(runner.scratch / "warm-sfs").code == 0
    return runner


@pytest.fixture(scope="module")
def midway(sfs: Runner) -> int:
    """The number of an event that comes when about half of the frames are recorded."""
    ended = sfs.run(sfs.scratch / "midway-sfs")
    events = recorded = 0
    for line in ended.log:
        event, _, path = line.partition(" ")
        events += event not in ("open", "journal")
        if event == "journal":
            recorded += len(frames_named(path.encode()))
            if recorded >= FRAMES // 2:
                break
    return events + 1


@pytest.fixture(scope="module")
def whole(sfs: Runner) -> dict[str, str]:
    """SHA-256 of every file of a run that was never stopped."""
    files = files_in(sfs.scratch / "warm-sfs")
    assert set(files) == {"scene.sfs", "manifest.json"}
    return files


def finish_and_compare(sfs: Runner, out: Path, whole: dict[str, str]) -> set[str]:
    """Starts a run that was killed again: the same bytes, and nothing finished is read again; gives what was finished.

    What is done is written to the file that it was in, which becomes the scene.
    """
    finished = journaled_frames(out)
    spool = out / SPOOL
    inode = spool.stat().st_ino if spool.exists() else None
    again = sfs.run(out)
    assert again.code == 0, again.stderr
    assert files_in(out) == whole
    assert not finished & again.points_read(), "a finished frame was read again"
    assert not finished or inode in (None, (out / "scene.sfs").stat().st_ino)
    return finished


def test_killed_at_points_all_over_a_run_it_ends_with_the_same_bytes(
    sfs: Runner, whole: dict[str, str], tmp_path: Path, kills: int | None
) -> None:
    resumed = 0
    for point in points_over_a_run(sfs, tmp_path / "counted", kills or 6):
        out = tmp_path / f"out-{point}"
        killed = sfs.run(out, hooks={"KILL_AT": point})
        assert killed.code in (-9, 0), killed.stderr
        resumed += bool(finish_and_compare(sfs, out, whole))
    assert resumed > 1, "no kill came after a frame was finished: the trial tried nothing"


def test_killed_at_random_moments_again_and_again_one_run_still_ends(
    sfs: Runner, whole: dict[str, str], tmp_path: Path, kills: int | None
) -> None:
    draw = random.Random(6)
    start = time.monotonic()
    assert sfs.run(tmp_path / "timed").code == 0
    taken = time.monotonic() - start
    out, killed, number = tmp_path / "out-0", 0, 0
    while killed < (kills or 3):
        before = journaled_frames(out)
        child = sfs.start(out)
        time.sleep(draw.uniform(0.3, 1.1) * taken)
        child.kill()
        ended = child.end()
        killed += ended.code == -9
        assert not before & ended.points_read()
        if ended.code != -9 or draw.random() < 0.3:
            finish_and_compare(sfs, out, whole)
            number += 1
            out = tmp_path / f"out-{number}"
    finish_and_compare(sfs, out, whole)


def test_killed_once_a_few_frames_are_recorded_at_every_start_what_is_finished_is_not_read_again(
    sfs: Runner, whole: dict[str, str], out: Path, many: bool
) -> None:
    few = 1 if many else 4
    for _ in range(FRAMES + 2):
        finished = journaled_frames(out)
        child = sfs.start(out)
        while child.process.poll() is None and len(journaled_frames(out)) < len(finished) + few:
            time.sleep(0.0005)
        child.kill()
        ended = child.end()
        assert not finished & ended.points_read()
        if ended.code == 0 or (out / "manifest.json").exists():
            break
        assert finished < journaled_frames(out)
        if (out / RUN_FOLDER / "staged").exists():
            assert_nothing_looks_finished(out)
    finish_and_compare(sfs, out, whole)


@pytest.mark.parametrize("damage", ["shortened", "altered"])
def test_a_file_that_somebody_has_changed_is_noticed_and_ends_with_the_same_bytes(
    sfs: Runner, whole: dict[str, str], out: Path, midway: int, damage: str
) -> None:
    # Frames are recorded by a thread of its own, on a busy machine some events later.
    for point in range(midway, midway + 40, 4):
        shutil.rmtree(out, ignore_errors=True)
        assert sfs.run(out, hooks={"KILL_AT": point}).code == -9
        if journaled_frames(out):
            break
    finished = journaled_frames(out)
    assert finished
    data, journal = (out / SPOOL).read_bytes(), (out / RUN_FOLDER / "journal.jsonl").read_bytes()
    part = json.loads(journal.splitlines()[-1].partition(b" ")[2])["frames"][-1]["part"]
    at = part["start"] + part["size"] - 1000
    (out / SPOOL).write_bytes(data[:at] if damage == "shortened" else data[:at] + b"?" + data[at + 1 :])
    again = sfs.run(out)
    assert again.code == 0, again.stderr
    assert files_in(out) == whole
    assert again.points_read() & finished == {max(finished, key=int)}


def test_a_killed_run_is_replaced_where_that_is_asked(
    sfs: Runner, whole: dict[str, str], out: Path, midway: int
) -> None:
    killed = sfs.run(out, "--voxel", "1", hooks={"KILL_AT": midway})
    assert killed.code == -9, killed.stderr
    refused = sfs.run(out)
    assert refused.code == 2
    assert "unfinished run of another recipe" in refused.stderr
    again = sfs.run(out, "--overwrite")
    assert again.code == 0, again.stderr
    assert files_in(out) == whole


def test_a_scene_that_was_killed_on_its_way_is_verified_in_the_end(sfs: Runner, out: Path, midway: int) -> None:
    assert sfs.run(out, hooks={"KILL_AT": midway}).code == -9
    assert sfs.run(out).code == 0
    manifest = lp.load_manifest(out)
    assert len(manifest.frames) == FRAMES
    assert not verify(manifest).findings
    found = lp.open_scene(out / "scene.sfs")
    assert len(found) == FRAMES
    assert [len(frame.points()) for frame in found] == [frame.points_out for frame in manifest.frames]


def test_what_is_recorded_was_synced_before(sfs: Runner, out: Path) -> None:
    """Each record of frames follows a sync of their file, and the folder's, in which its name is."""
    ended = sfs.run(out)
    assert ended.code == 0, ended.stderr
    synced = {"spool": False, "folder": False}
    recorded = 0
    for line in ended.log:
        event, _, path = line.partition(" ")
        if event == "fsync" and path == str(out / SPOOL):
            synced["spool"] = True
        elif event == "fsync" and path == str((out / SPOOL).parent):
            synced["folder"] = True
        elif event == "journal" and '"part":{' in path:
            assert all(synced.values()), synced
            synced["spool"] = False
            recorded += path.count('"part":{')
    assert recorded == FRAMES
