"""A run to S3 that is killed at any request, started again, ends with the objects of one that never was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trials.children import RUN_FOLDER, Child, Runner, frames_named
from tests.trials.conftest import OUT, Bucket
from tests.trials.proxy import Fault, Plan, Proxy, Request, healthy

pytestmark = [
    pytest.mark.trial,
    # The proxy's ends of the connections of runs that were killed are closed when they are collected.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def journaled_frames(objects: dict[str, bytes]) -> set[str]:
    return {
        frame
        for key, data in objects.items()
        if key.startswith(f"{RUN_FOLDER}/journal/")
        for line in data.splitlines()
        for frame in frames_named(line)
    }


def frame_of(key: str) -> str:
    """Id of the frame that an object is for, by its key: …/frame-9.json, …/images/front/9.jpg."""
    return Path(key).stem.removeprefix("frame-")


def stored_frames(proxy: Proxy) -> set[str]:
    """Ids of the frames for which something was put."""
    puts = [request.key for request in proxy.requests if request.method == "PUT" and RUN_FOLDER not in request.key]
    return {frame_of(key) for key in puts if not key.endswith("manifest.json")}


def kill_at(number: int, child: Callable[[], Child]) -> Plan:
    """Kills the child when its request arrives, which the server never sees."""

    def plan(request: Request) -> Fault | None:
        if request.number >= number:
            child().kill()
            return Fault.RESET_BEFORE
        return None

    return plan


def kill_after(number: int, child: Callable[[], Child]) -> Callable[[Request], None]:
    """Kills the child when the server has done what a request asks, before it can know."""

    def after(request: Request) -> None:
        if request.number == number:
            child().kill()
            child().process.wait()

    return after


def kill_one(runner: Runner, proxy: Proxy, number: int, moment: str, *options: str) -> None:
    """A run that is killed when its request of that number arrives, or when the server has done what that asks."""
    proxy.reset()
    started: list[Child] = []
    if moment == "before":
        proxy.plan = kill_at(number, lambda: started[0])
    else:
        proxy.after = kill_after(number, lambda: started[0])
    started.append(runner.start(OUT, "--endpoint-url", proxy.url, *options))
    assert started[0].end().code in (-9, 0)
    proxy.reset()


def test_killed_at_requests_all_over_a_run_it_ends_with_the_same_objects(
    runner: Runner, s3_reference: dict[str, bytes], proxy: Proxy, bucket: Bucket, kills: int | None
) -> None:
    assert runner.run(OUT, "--endpoint-url", proxy.url).code == 0
    assert bucket.objects() == s3_reference
    requests, count, resumed = len(proxy.requests), kills or 4, 0
    wrong = []
    for step in range(count):
        number, moment = round((step + 1) * (requests - 1) / (count + 1)), ("after", "before")[step % 2]
        bucket.make_anew()
        kill_one(runner, proxy, number, moment)
        finished = journaled_frames(bucket.objects())
        resumed += bool(finished)
        again = runner.run(OUT, "--endpoint-url", proxy.url)
        objects = bucket.objects()
        changed = {key for key in objects.keys() & s3_reference.keys() if objects[key] != s3_reference[key]}
        seen = {
            f"ended with {again.code}: {again.stderr}": again.code != 0,
            "a finished frame was stored again": finished & stored_frames(proxy),
            "a finished frame was read again": finished & again.points_read(),
            f"other keys: {sorted(objects.keys() ^ s3_reference.keys())}": objects.keys() != s3_reference.keys(),
            f"other bytes: {sorted(changed)}": changed,
            "an upload in parts was left": bucket.uploads_under_way(),
        }
        wrong += [f"killed {moment} request {number}: {what}" for what, is_so in seen.items() if is_so]
    assert not wrong, "\n".join(wrong)
    assert resumed, "no kill came after a frame was finished: the trial tried nothing"


def results(objects: dict[str, bytes]) -> dict[str, bytes]:
    return {key: data for key, data in objects.items() if not key.startswith(f"{RUN_FOLDER}/")}


def is_committing(objects: dict[str, bytes]) -> bool:
    """Whether the journal says that all is stored."""
    return any(b'"committing":' in data for key, data in objects.items() if key.startswith(f"{RUN_FOLDER}/journal/"))


def test_killed_at_requests_all_over_a_run_that_replaces_another_either_of_the_two_is_whole(
    runner: Runner, s3_reference: dict[str, bytes], proxy: Proxy, bucket: Bucket, kills: int | None
) -> None:
    """Until all is stored the old one stands, whole; from then on the same command ends with the new one."""
    new = ("--precision", "2", "--overwrite")
    bucket.make_anew()
    assert runner.run(OUT, "--endpoint-url", bucket.server).code == 0
    proxy.reset()
    assert runner.run(OUT, "--endpoint-url", proxy.url, *new).code == 0
    replaced, requests = bucket.objects(), len(proxy.requests)
    assert replaced != s3_reference
    assert replaced.keys() == s3_reference.keys()
    count, before_that, after_that, wrong = kills or 5, 0, 0, []
    for step in range(count):
        number, moment = round((step + 1) * (requests - 1) / (count + 1)), ("after", "before")[step % 2]
        bucket.make_anew()
        assert runner.run(OUT, "--endpoint-url", bucket.server).code == 0
        old = bucket.objects()
        kill_one(runner, proxy, number, moment, *new)
        objects = bucket.objects()
        begun = is_committing(objects) or json.loads(objects["manifest.json"])["recipe"]["precision"] == 2
        before_that, after_that = before_that + (not begun), after_that + begun
        again = runner.run(OUT, "--endpoint-url", proxy.url, *new)
        ended = bucket.objects()
        seen = {
            "the old result is not whole": not begun and results(objects) != old,
            f"ended with {again.code}: {again.stderr}": again.code != 0,
            f"not the new result, but {sorted(ended.keys() ^ replaced.keys())}": ended != replaced,
        }
        wrong += [f"killed {moment} request {number}: {what}" for what, is_so in seen.items() if is_so]
    assert not wrong, "\n".join(wrong)
    assert before_that
    assert after_that


def test_a_probe_that_a_kill_has_left_is_gone_when_the_next_run_ends(
    runner: Runner, s3_reference: dict[str, bytes], proxy: Proxy, bucket: Bucket
) -> None:
    probe = f"{RUN_FOLDER}/probe"
    assert runner.run(OUT, "--endpoint-url", proxy.url).code == 0
    puts = [one.number for one in proxy.requests if one.method == "PUT" and one.key.endswith(probe)]
    bucket.make_anew()
    kill_one(runner, proxy, puts[0], "after")
    assert probe in bucket.objects()
    again = runner.run(OUT, "--endpoint-url", proxy.url)
    assert again.code == 0, again.stderr
    assert bucket.objects() == s3_reference


def test_a_manifest_stands_only_when_all_that_it_names_does(runner: Runner, proxy: Proxy, bucket: Bucket) -> None:
    seen = []

    def before(request: Request) -> None:
        if request.method == "PUT" and request.key.endswith("/manifest.json"):
            named = json.loads(request.body)
            seen.append({record["url"] for record in named["attachments"] + named["images"]})
            assert {f"{OUT}/{key}" for key in bucket.objects()} >= seen[0]

    proxy.before = before
    assert runner.run(OUT, "--endpoint-url", proxy.url).code == 0
    assert len(seen) == 1
    assert proxy.plan is healthy
