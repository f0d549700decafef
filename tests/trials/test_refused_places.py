"""Places that cannot be stored at, or no longer: one clear error each, and nothing half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.trials.children import Runner, assert_nothing_looks_finished, assert_one_clear_error, files_in
from tests.trials.conftest import OUT, Bucket
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
        assert "No space left" in ended.stderr
        assert_nothing_looks_finished(out)
        filler.unlink()
        again = runner.run(out)
        assert again.code == 0, again.stderr
        assert files_in(out) == reference


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


def test_credentials_that_expire_within_a_run_end_it_and_it_goes_on_with_new_ones(
    runner: Runner, s3_reference: dict[str, bytes], proxy: Proxy, bucket: Bucket
) -> None:
    proxy.reset(from_request(40, always(Fault.EXPIRED)))
    ended = runner.run(OUT, "--endpoint-url", proxy.url)
    assert_one_clear_error(ended)
    assert "run out" in ended.stderr
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
