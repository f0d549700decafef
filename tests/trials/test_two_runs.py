"""Two runs to one destination at once: one refuses, and neither harms the other."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from tests.trials.children import RUN_FOLDER, Child, Runner, assert_one_clear_error, files_in
from tests.trials.conftest import OUT, Bucket
from tests.trials.proxy import Proxy, Request

pytestmark = [
    pytest.mark.trial,
    # The proxy's ends of the connections of runs that were killed are closed when they are collected.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

# Seconds after which a lock in a bucket is taken over that is not renewed, and a few more.
LOCK_SECONDS = 70

# Requests that a run may be sending at once: two frames, and a part of the journal.
SENDING = 3


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_a_second_run_to_a_folder_refuses_while_the_first_is_at_work(
    runner: Runner, reference: dict[str, str], out: Path, options: tuple[str, ...]
) -> None:
    first = runner.start(out, hooks={"STOP_AT": 60})
    first.wait_until_stopped()
    second = runner.run(out, *options)
    assert_one_clear_error(second)
    assert str(first.process.pid) in second.stderr
    assert not second.points_read()
    first.go_on()
    ended = first.end()
    assert ended.code == 0, ended.stderr
    assert files_in(out) == reference


def test_runs_that_start_together_leave_one_sound_result(
    runner: Runner, reference: dict[str, str], out: Path, many: bool
) -> None:
    children = [runner.start(out) for _ in range(8 if many else 3)]
    ended = [child.end() for child in children]
    for one in ended:
        if one.code:
            assert_one_clear_error(one)
    assert 0 in [one.code for one in ended]
    assert files_in(out) == reference


def test_a_second_run_to_a_bucket_refuses_while_the_first_is_at_work(
    runner: Runner, s3_reference: dict[str, bytes], proxy: Proxy, bucket: Bucket
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def before(request: Request) -> None:
        if request.number == 40:
            reached.set()
            assert go_on.wait(60)

    proxy.before = before
    first = runner.start(OUT, "--endpoint-url", proxy.url)
    try:
        assert reached.wait(60)
        second = runner.run(OUT, "--endpoint-url", bucket.server)
    finally:
        go_on.set()
    assert_one_clear_error(second)
    assert str(first.process.pid) in second.stderr
    assert not second.points_read()
    ended = first.end()
    assert ended.code == 0, ended.stderr
    assert bucket.objects() == s3_reference


def test_runs_to_a_bucket_that_start_together_leave_one_sound_result(
    runner: Runner, s3_reference: dict[str, bytes], bucket: Bucket, many: bool
) -> None:
    children = [runner.start(OUT, "--endpoint-url", bucket.server) for _ in range(8 if many else 2)]
    ended = [child.end() for child in children]
    for one in ended:
        if one.code:
            assert_one_clear_error(one)
    assert 0 in [one.code for one in ended]
    assert bucket.objects() == s3_reference


def test_a_run_that_is_late_to_take_over_a_dead_ones_place_refuses(
    runner: Runner, s3_reference: dict[str, bytes], proxy: Proxy, bucket: Bucket
) -> None:
    """It has seen that the lock is a dead run's, and is held up before it can take it; meanwhile another does."""
    dead: list[Child] = []

    def kill(request: Request) -> None:
        if "/images/" in request.key and request.method == "PUT":
            dead[0].kill()

    proxy.before = kill
    dead.append(runner.start(OUT, "--endpoint-url", proxy.url))
    assert dead[0].end().code == -9
    assert f"{RUN_FOLDER}/lock" in bucket.objects()

    late_has_come, other_is_at_work, late_has_ended = (threading.Event() for _ in range(3))

    def before(request: Request) -> None:
        if request.method != "PUT":
            return
        if request.key.endswith("/lock") and not late_has_come.is_set():
            late_has_come.set()
            assert other_is_at_work.wait(60)
        elif "/frame-" in request.key and not other_is_at_work.is_set():
            other_is_at_work.set()
            assert late_has_ended.wait(60)

    proxy.before = before
    late = runner.start(OUT, "--endpoint-url", proxy.url)
    assert late_has_come.wait(60)
    other = runner.start(OUT, "--endpoint-url", proxy.url)
    refused = late.end()
    late_has_ended.set()
    assert_one_clear_error(refused)
    assert str(other.process.pid) in refused.stderr
    assert not refused.points_read()
    ended = other.end()
    assert ended.code == 0, ended.stderr
    assert bucket.objects() == s3_reference


def test_a_run_that_slept_past_its_lock_stores_nothing_more(
    runner: Runner, s3_reference: dict[str, bytes], proxy: Proxy, bucket: Bucket, many: bool
) -> None:
    """As on a laptop that was closed: another machine has taken the destination over with another recipe, and finished.

    When it wakes, nothing comes from it any more but what it was sending when it fell asleep.
    """
    if not many:
        pytest.skip(f"takes {LOCK_SECONDS} s, until a lock has run out; LIDARPREP_TRIALS=full runs it")
    sleeper: list[Child] = []

    def before(request: Request) -> None:
        if request.number == 40:
            sleeper[0].process.send_signal(signal.SIGSTOP)

    proxy.before = before
    sleeper.append(runner.start(OUT, "--endpoint-url", proxy.url))
    sleeper[0].wait_until_stopped()
    time.sleep(LOCK_SECONDS)
    other = runner.run(OUT, "--endpoint-url", bucket.server, "--precision", "2", "--overwrite")
    assert other.code == 0, other.stderr
    expected = bucket.objects()
    assert expected.keys() == s3_reference.keys()
    assert expected != s3_reference
    asleep = len(proxy.requests)
    sleeper[0].go_on()
    ended = sleeper[0].end()
    assert_one_clear_error(ended)
    late = [one for one in proxy.requests[asleep:] if one.method not in ("GET", "HEAD")]
    late = [one for one in late if not one.key.endswith("/lock")]
    # A thread each that stores, or keeps the journal, may have sent the head of a request and not yet its body; of a
    # real store the connection would be gone by now.
    assert len(late) <= SENDING
    objects = bucket.objects()
    changed = {key for key in expected.keys() | objects.keys() if objects.get(key) != expected.get(key)}
    assert all(any(one.key.endswith(key) for one in late) for key in changed), changed
