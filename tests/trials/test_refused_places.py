"""Places that cannot be stored at, or no longer: one clear error each, and nothing half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trials.child import Ended
from tests.trials.children import Bucket, Place, Runner, assert_one_clear_error
from tests.trials.proxy import Fault, Plan, Proxy, always, from_request
from tests.trials.test_killed import some

# Minutes on two cores: `scripts/test --all` runs them.
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


def goes_on(runner: Runner, place: Place, ended: Ended, *, is_late: bool = False) -> None:
    """Check that a run failed with one clear error, and that the same command goes on with what is finished.

    A run that failed late may have put its manifest in place, and not have been able to sync its name.
    """
    assert_one_clear_error(ended)
    assert place.manifest() is None or is_late
    finished = place.finished()
    again = runner.prepared(place)
    assert not finished & set(again.frames())
    assert place.manifest() is not None


@pytest.mark.parametrize("event", [4, 30])
def test_a_disk_that_fills_up_ends_the_run_and_it_goes_on_when_there_is_room(
    runner: Runner, tmp_path: Path, event: int
) -> None:
    with small_disk(tmp_path / "disk", "size=4m") as disk:
        place, filler = Place(str(disk / "out")), disk / "filler"
        ended = runner.run(place, fill=(event, filler))
        assert filler.exists(), "the disk was never filled: the trial tried nothing"
        assert "No space left" in ended.stderr or "still to be stored there" in ended.stderr
        filler.unlink()
        goes_on(runner, place, ended)


def full_from(runner: Runner, tmp_path: Path, how_many: int | None) -> None:
    """Let the disk be full from some changes of the file system on, each in a run of its own; None for every change."""
    undisturbed = runner.prepared(tmp_path / "undisturbed")
    # Once the manifest is there only cache entries are deleted.
    before = next(row for row, line in enumerate(undisturbed.log) if line.startswith("event os.link"))
    events = sum(line.startswith("event") for line in undisturbed.log[: before + 1])
    for number in range(1, events + 1) if how_many is None else some(range(1, events + 1), how_many):
        place = Place(str(tmp_path / f"out-{number}"))
        ended = runner.run(place, refuse_from=number)
        is_late = number > events - 10  # in another order, there are a few events less before the manifest
        if ended.code == 0:
            assert is_late
            assert place.manifest() is not None
            continue
        assert "No space left" in ended.stderr
        goes_on(runner, place, ended, is_late=is_late)


def test_a_disk_that_is_full_at_some_moment_is_one_clear_error_and_the_run_goes_on(
    runner: Runner, tmp_path: Path
) -> None:
    full_from(runner, tmp_path, 4)


@pytest.mark.trial
@pytest.mark.parametrize("format", ["json", "sfs"])
def test_a_disk_that_is_full_at_any_moment_is_one_clear_error_and_the_run_goes_on(
    runner: Runner, tmp_path: Path, format: str
) -> None:
    full_from(replace(runner, options=(*runner.options, "--format", format)), tmp_path, None)


def test_a_disk_that_is_full_once_the_manifest_is_there_takes_nothing_from_the_run(
    runner: Runner, tmp_path: Path
) -> None:
    undisturbed = runner.prepared(tmp_path / "undisturbed")
    linked = next(row for row, line in enumerate(undisturbed.log) if line.startswith("event os.link"))
    events = sum(line.startswith("event") for line in undisturbed.log[:linked])
    # Link, unlink, sync; then the cache entries go. Threads that try to share blocks at once make a few events more or
    # less before that.
    for number in range(events - 6, events + 16):
        out = tmp_path / f"out-{number}"
        ended = runner.run(out, refuse_from=number)
        if ended.code == 0 and "the run is complete" in ended.stderr:
            assert Place(str(out)).manifest() is not None
            assert not runner.prepared(out).frames()
            return
    pytest.fail(f"no run was complete with its entries left: {ended.stderr}")


def test_a_limit_on_the_size_of_files_is_one_clear_error(runner: Runner, out: Path) -> None:
    ended = runner.run(out, most_file_bytes=4096)  # a frame has more
    assert "File too large" in ended.stderr
    goes_on(runner, Place(str(out)), ended)


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
    assert not ended.frames()


def only_changes(fault: Fault) -> Plan:
    """A bucket that may be seen and listed, but not written."""
    return lambda request: fault if request.changes else None


REFUSALS = {
    "nothing is allowed": (always(Fault.FORBIDDEN), "may not"),
    "writing is not allowed": (only_changes(Fault.FORBIDDEN), "may not"),
    "the credentials have expired": (always(Fault.EXPIRED), "run out"),
    "this machine's clock is wrong": (always(Fault.CLOCK), "clock"),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_a_bucket_that_refuses_is_one_clear_error_before_any_work(
    runner: Runner, proxy: Proxy, bucket: Bucket, why: str
) -> None:
    plan, said = REFUSALS[why]
    proxy.reset(plan)
    ended = runner.run(bucket.place().out, "--endpoint-url", proxy.url)
    assert_one_clear_error(ended)
    assert said in ended.stderr
    assert not ended.frames()
    assert not bucket.objects("")


@pytest.mark.parametrize(
    ("plan", "said"), [(always(Fault.EXPIRED), "run out"), (only_changes(Fault.FORBIDDEN), "may not")]
)
def test_what_was_allowed_and_no_longer_is_ends_a_run_and_it_goes_on_when_it_is_allowed_again(
    runner: Runner, proxy: Proxy, bucket: Bucket, plan: Plan, said: str
) -> None:
    runner = replace(runner, options=(*runner.options, "--endpoint-url", proxy.url))
    proxy.reset(from_request(14, plan))
    ended = runner.run(bucket.place())
    assert said in ended.stderr
    proxy.reset()
    goes_on(runner, bucket.place(), ended)
