"""Places that cannot be stored at, or no longer: one clear error each, and nothing half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.trials.children import (
    RUN_FOLDER,
    Runner,
    assert_nothing_looks_finished,
    assert_one_clear_error,
    files_in,
    journaled_frames,
)
from tests.trials.conftest import FRAMES, OUT, Bucket
from tests.trials.proxy import Fault, Plan, Proxy, Request, always, from_request

pytestmark = pytest.mark.trial


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A disk of its own in memory; only who may mount one can try this."""
    folder.mkdir()
    if sys.platform != "linux":
        pytest.skip("a small disk is mounted on Linux only")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no disk may be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_too_small_is_refused_before_any_work(runner: Runner, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=32k") as disk:
        ended = runner.run(disk / "out")
        assert_one_clear_error(ended)
        assert not (disk / "out").exists() or not list((disk / "out").iterdir())


@pytest.mark.parametrize("event", [8, 60, 150])
def test_a_disk_that_fills_up_ends_the_run_and_it_goes_on_when_there_is_room(
    runner: Runner, reference: dict[str, str], tmp_path: Path, event: int
) -> None:
    with small_disk(tmp_path / "disk", "size=8m") as disk:
        out, filler = disk / "out", disk / "filler"
        ended = runner.run(out, hooks={"FILL_AT": event, "FILL": filler})
        assert filler.exists(), "the disk was never filled: the trial tried nothing"
        assert_one_clear_error(ended)
        assert "No space left" in ended.stderr or "MB are to be stored there" in ended.stderr
        assert_nothing_looks_finished(out)
        filler.unlink()
        again = runner.run(out)
        assert again.code == 0, again.stderr
        assert files_in(out) == reference


def is_whole_or_absent(out: Path, reference: dict[str, str]) -> bool:
    """Whether all that stands outside of the run's own folder is what it is to be."""
    seen = {key: digest for key, digest in files_in(out).items() if not key.startswith(RUN_FOLDER)}
    return seen.items() <= reference.items()


# An event, the number of those alike from which on the disk is full, and how many frames are done by then at least.
WORST = [
    pytest.param("write OUT/.lidarprep-run/lock", 1, 0, id="lock"),
    pytest.param("write OUT/.lidarprep-run/journal.jsonl", 1, 0, id="journal"),
    pytest.param("fsync OUT/.lidarprep-run/journal.jsonl", 4, 2, id="record in the journal"),
    pytest.param("os.mkdir OUT/.lidarprep-run/staged/images/left", 1, 0, id="folder"),
    pytest.param("staged/frame-13.json\n", 1, 1, id="frame"),
    pytest.param("staged/images/left/14.jpg\n", 1, 1, id="picture"),
    pytest.param("staged/manifest.json\n", 1, FRAMES, id="manifest"),
    pytest.param("fsync OUT/.lidarprep-run/journal.jsonl", FRAMES + 2, FRAMES, id="record of the commit"),
    pytest.param("-> OUT/images/", 7, FRAMES, id="name in the middle of the commit"),
    pytest.param("os.mkdir OUT/images", 1, FRAMES, id="folder of the commit"),
    pytest.param("-> OUT/manifest.json\n", 1, FRAMES, id="name of the manifest"),
    pytest.param("fsync OUT/images/front\n", 1, FRAMES, id="sync of the commit"),
]


@pytest.mark.parametrize(("event", "number", "done"), WORST if "LIDARPREP_TRIALS" in os.environ else WORST[::2])
def test_a_disk_that_is_full_at_the_worst_moment_is_one_clear_error_and_the_run_goes_on(
    runner: Runner, reference: dict[str, str], out: Path, event: str, number: int, done: int
) -> None:
    ended = runner.run(out, hooks={"REFUSE": event, "REFUSE_AT": number})
    assert_one_clear_error(ended)
    assert "No space left" in ended.stderr
    assert not (out / "manifest.json").exists()
    if done < FRAMES:
        assert_nothing_looks_finished(out)
    assert is_whole_or_absent(out, reference)
    kept = journaled_frames(out)
    assert len(kept) >= done
    again = runner.run(out)
    assert again.code == 0, again.stderr
    assert not kept & again.points_read(), "a finished frame was read again"
    assert files_in(out) == reference


def test_a_disk_that_is_full_when_a_run_stands_already_takes_nothing_from_it(
    runner: Runner, reference: dict[str, str], out: Path
) -> None:
    """What is left then is only tidied up: that may fail."""
    for event in ("os.remove OUT/.lidarprep-run/journal.jsonl", "os.rmdir OUT/.lidarprep-run/staged"):
        ended = runner.run(out, "--overwrite", hooks={"REFUSE": event, "REFUSE_AT": 1})
        assert ended.code == 0, ended.stderr
        assert is_whole_or_absent(out, reference)
        again = runner.run(out)
        assert again.code == 0, again.stderr
        assert not again.points_read()
        assert files_in(out) == reference


def test_a_limit_on_the_size_of_files_that_cuts_a_record_of_the_journal_is_one_clear_error(
    runner: Runner, tmp_path: Path
) -> None:
    """The system writes what it still takes of the record, so that it is cut in the middle."""
    small = ("--voxel", "60")  # frames of a few points: no other file that comes before is as large as the journal
    assert runner.run(tmp_path / "whole", *small).code == 0
    out = tmp_path / "out"
    ended = runner.run(out, *small, limit="ulimit -f 8")  # blocks of 512 or 1,024 bytes
    assert_one_clear_error(ended)
    assert "journal.jsonl cannot be written: File too large" in ended.stderr
    assert_nothing_looks_finished(out)
    assert not (out / RUN_FOLDER / "journal.jsonl").read_bytes().endswith(b"\n"), "no record was cut"
    kept = journaled_frames(out)
    assert kept
    again = runner.run(out, *small)
    assert again.code == 0, again.stderr
    assert not kept & again.points_read()
    assert files_in(out) == files_in(tmp_path / "whole")


def test_a_limit_on_the_size_of_files_is_one_clear_error(runner: Runner, reference: dict[str, str], out: Path) -> None:
    ended = runner.run(out, limit="ulimit -f 16")  # blocks of 512 or 1,024 bytes; a frame has more than 16 kB
    assert_one_clear_error(ended)
    assert "File too large" in ended.stderr
    assert_nothing_looks_finished(out)
    assert runner.run(out).code == 0
    assert files_in(out) == reference


def test_a_read_only_folder_is_one_clear_error(runner: Runner, tmp_path: Path) -> None:
    if os.getuid():
        folder = tmp_path / "kept"
        folder.mkdir(mode=0o555)
        ended = runner.run(folder / "out")
        assert not list(folder.iterdir())
    else:  # whom modes don't stop
        with small_disk(tmp_path / "disk", "size=8m,ro") as disk:
            ended = runner.run(disk / "out")
            assert not list(disk.iterdir())
    assert_one_clear_error(ended)
    assert not ended.points_read(), "points were read for a place that cannot be stored at"


def only_puts(fault: Fault) -> Plan:
    """A bucket that may be seen and listed, but not written."""
    return lambda request: fault if request.changes else None


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        pytest.param(always(Fault.FORBIDDEN), "may not", id="nothing is allowed"),
        pytest.param(only_puts(Fault.FORBIDDEN), "may not", id="writing is not allowed"),
        pytest.param(always(Fault.EXPIRED), "run out", id="the credentials have expired"),
        pytest.param(always(Fault.CLOCK), "clock", id="this machine's clock is wrong"),
    ],
)
def test_a_bucket_that_refuses_is_one_clear_error_before_any_work(
    runner: Runner, proxy: Proxy, bucket: Bucket, plan: Plan, said: str
) -> None:
    proxy.reset(plan)
    ended = runner.run(OUT, "--endpoint-url", proxy.url)
    assert_one_clear_error(ended)
    assert said in ended.stderr
    assert not ended.points_read(), "points were read for a bucket that refuses"
    assert not bucket.objects()


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        pytest.param(always(Fault.EXPIRED), "run out", id="the credentials expire"),
        pytest.param(only_puts(Fault.FORBIDDEN), "may not", id="the permission to write is taken away"),
    ],
)
def test_what_was_allowed_and_no_longer_is_ends_a_run_and_it_goes_on_when_it_is_allowed_again(
    runner: Runner, s3_reference: dict[str, bytes], proxy: Proxy, bucket: Bucket, plan: Plan, said: str
) -> None:
    proxy.reset(from_request(40, plan))
    ended = runner.run(OUT, "--endpoint-url", proxy.url)
    assert_one_clear_error(ended)
    assert said in ended.stderr
    assert "manifest.json" not in bucket.objects()
    proxy.reset()
    again = runner.run(OUT, "--endpoint-url", proxy.url)
    assert again.code == 0, again.stderr
    assert bucket.objects() == s3_reference


@pytest.mark.parametrize("seconds", [86_400, -86_400])
def test_a_clock_that_jumps_within_a_run_changes_nothing(
    runner: Runner, reference: dict[str, str], out: Path, seconds: int
) -> None:
    ended = runner.run(out, hooks={"CLOCK_AT": 60, "CLOCK_BY": seconds})
    assert ended.code == 0, ended.stderr
    assert files_in(out) == reference


@pytest.mark.parametrize("seconds", [86_400, -86_400])
def test_a_clock_that_was_wrong_when_a_run_was_killed_does_not_keep_its_lock(
    runner: Runner, s3_reference: dict[str, bytes], proxy: Proxy, bucket: Bucket, seconds: int
) -> None:
    killed: list[int] = []

    def after(request: Request) -> None:
        if request.number == 40:
            killed.append(child.process.pid)
            child.kill()

    proxy.after = after
    child = runner.start(OUT, "--endpoint-url", proxy.url, hooks={"CLOCK_BY": seconds})
    child.end()
    assert killed
    proxy.reset()
    again = runner.run(OUT, "--endpoint-url", proxy.url)
    assert again.code == 0, again.stderr
    assert bucket.objects() == s3_reference
