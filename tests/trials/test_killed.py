"""A run to a local folder that is killed at any point, started again, ends with the bytes of one that never was."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.trials.children import (
    RUN_FOLDER,
    Ended,
    Runner,
    assert_nothing_looks_finished,
    files_in,
    frames_named,
    journaled_frames,
    staged_in,
)
from tests.trials.conftest import FRAMES

pytestmark = pytest.mark.trial


def points_over_a_run(runner: Runner, out: Path, count: int) -> list[int]:
    """Numbers of events, spread over all that a run does to its destination; the first and the last among them."""
    whole = runner.run(out)
    assert whole.code == 0, whole.stderr
    events = len(whole.events())
    return sorted({1 + round(step * (events - 1) / (count - 1)) for step in range(count)})


def frame_of(key: str) -> str:
    """Id of the frame that a key is for: frame-9.json, images/front/9.jpg."""
    return Path(key).stem.removeprefix("frame-")


def finish_and_compare(runner: Runner, out: Path, reference: dict[str, str]) -> Ended:
    """Starts a run that was killed again: the same bytes, and nothing finished is read, or written, again."""
    finished, staged = journaled_frames(out), staged_in(out)
    again = runner.run(out)
    assert again.code == 0, again.stderr
    assert files_in(out) == reference
    assert not finished & again.points_read(), "a finished frame was read again"
    final = {path.relative_to(out).as_posix(): path.stat() for path in out.rglob("*") if path.is_file()}
    for key, (inode, modified) in staged.items():
        if frame_of(key) in finished:
            assert (final[key].st_ino, final[key].st_mtime_ns) == (inode, modified), f"{key} was written again"
    return again


def test_killed_at_points_all_over_a_run_it_ends_with_the_same_bytes(
    runner: Runner, reference: dict[str, str], tmp_path: Path, kills: int | None
) -> None:
    resumed = 0
    for point in points_over_a_run(runner, tmp_path / "counted", kills or 5):
        out = tmp_path / f"out-{point}"
        killed = runner.run(out, hooks={"KILL_AT": point})
        assert killed.code in (-9, 0), killed.stderr
        resumed += bool(journaled_frames(out))
        finish_and_compare(runner, out, reference)
    assert resumed > 1, "no kill came after a frame was finished: the trial tried nothing"


def test_killed_at_random_moments_again_and_again_one_run_still_ends(
    runner: Runner, reference: dict[str, str], tmp_path: Path, kills: int | None
) -> None:
    draw = random.Random(6)
    start = time.monotonic()
    assert runner.run(tmp_path / "timed").code == 0
    whole = time.monotonic() - start
    out, killed, number = tmp_path / "out-0", 0, 0
    while killed < (kills or 3):
        child = runner.start(out)
        time.sleep(draw.uniform(0.3, 1.1) * whole)
        child.kill()
        ended = child.end()
        killed += ended.code == -9
        if ended.code != -9 or draw.random() < 0.3:
            finish_and_compare(runner, out, reference)
            number += 1
            out = tmp_path / f"out-{number}"
    finish_and_compare(runner, out, reference)


def test_killed_at_every_start_by_one_event_more_each_frame_is_read_once(
    runner: Runner, reference: dict[str, str], out: Path, many: bool
) -> None:
    """Each start gets a little further than the one before: nothing that it finds finished is done again."""
    step = 15 if many else 60
    for _ in range(40):
        finished = journaled_frames(out)
        ended = runner.run(out, hooks={"KILL_AT": step})
        assert not finished & ended.points_read()
        assert finished <= journaled_frames(out) or ended.code == 0 or (out / "manifest.json").exists()
        if ended.code == 0:
            break
        assert ended.code == -9, ended.stderr
    assert runner.run(out).code == 0
    assert files_in(out) == reference


def test_nothing_of_a_killed_run_looks_finished(runner: Runner, out: Path) -> None:
    ended = runner.run(out, hooks={"KILL_AT": 60})
    assert ended.code == -9, ended.stderr
    assert staged_in(out)
    assert_nothing_looks_finished(out)


def test_a_run_that_was_to_replace_another_and_is_killed_leaves_the_old_or_becomes_the_new(
    runner: Runner, reference: dict[str, str], tmp_path: Path, kills: int | None
) -> None:
    """Until the new one is moved to its place, which the same command ends if that was begun, the old one stands."""
    options = ("--overwrite", "--precision", "1")
    assert runner.run(tmp_path / "new", *options).code == 0
    expected = files_in(tmp_path / "new")
    assert runner.run(tmp_path / "counted").code == 0
    whole = runner.run(tmp_path / "counted", *options)
    assert whole.code == 0, whole.stderr
    events, count = len(whole.events()), kills or 5
    stood = begun = 0
    for step in range(count):
        out = tmp_path / f"out-{step}"
        assert runner.run(out).code == 0
        ended = runner.run(out, *options, hooks={"KILL_AT": 1 + round(step * (events - 1) / (count - 1))})
        assert ended.code in (-9, 0), ended.stderr
        visible = {name: digest for name, digest in files_in(out).items() if not name.startswith(RUN_FOLDER)}
        stands = visible == reference
        stood += stands
        begun += not stands
        # A manifest that stands is of all that it names: the old one, or the new one.
        assert stands or "manifest.json" not in visible or visible["manifest.json"] == expected["manifest.json"]
        again = runner.run(out, *options)
        assert again.code == 0, again.stderr
        assert files_in(out) == expected
    assert stood
    assert begun


def test_every_byte_is_on_the_disk_before_the_journal_and_the_manifest_speak_of_it(runner: Runner, out: Path) -> None:
    """What a power cut leaves is what was synced: the order of syncs and renames decides whether a journal lies."""
    ended = runner.run(out)
    assert ended.code == 0, ended.stderr
    synced: set[str] = set()
    not_durable: dict[str, str] = {}
    journaled = set()
    for line in ended.log:
        event, _, path = line.partition(" ")
        if event == "journal":
            for frame in frames_named(path.encode()):
                journaled.add(frame)
                assert not [name for name in not_durable if frame_of(name) == frame], (frame, not_durable)
        elif event == "fsync":
            synced.add(path)
            not_durable = {name: folder for name, folder in not_durable.items() if folder != path}
        elif event == "os.rename":
            source, _, target = path.partition(" -> ")
            assert source in synced, f"{source} was renamed before it was synced"
            assert target != str(out / "manifest.json") or not not_durable, not_durable
            not_durable.pop(source, None)
            not_durable[target] = str(Path(target).parent)
            synced.add(target)
    assert len(journaled) == FRAMES
    assert not not_durable
