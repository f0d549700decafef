"""A network and a store that fail requests: a run ends complete, or with one clear error and goes on later."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.scenes import write_toolkit_scene
from tests.trials.children import Bucket, Runner, assert_one_clear_error
from tests.trials.proxy import TRANSIENT, Fault, Plan, Proxy, always, from_request, healthy, seeded

# How long a request that fails is tried again, and the run may take in all.
GIVE_UP = ("--give-up-after", "0.02")
MOST_SECONDS = 20


@pytest.fixture
def through(runner: Runner, proxy: Proxy) -> Runner:
    """Starts runs whose requests go through the proxy."""
    return replace(runner, options=(*runner.options, "--endpoint-url", proxy.url))


def complete_with(seeds: range, through: Runner, proxy: Proxy, bucket: Bucket, *options: str) -> set[Fault]:
    """Run through 30 % of faults with each seed; return the faults that were met."""
    met: set[Fault] = set()
    for seed in seeds:
        bucket.reset()
        proxy.reset(seeded(seed, 0.3))
        ended = through.prepared(bucket.place(), *options)
        assert "Traceback" not in ended.stderr
        assert bucket.place().manifest() is not None
        assert not bucket.uploads_under_way()
        bucket.place().assert_only_what_the_manifest_names()
        met |= set(proxy.done)
    return met


def test_a_run_ends_complete_though_three_requests_in_ten_fail(through: Runner, proxy: Proxy, bucket: Bucket) -> None:
    assert len(complete_with(range(1), through, proxy, bucket)) > 4


@pytest.mark.trial
@pytest.mark.parametrize("format", ["json", "sfs"])
def test_ten_runs_end_complete_though_three_requests_in_ten_fail(
    through: Runner, proxy: Proxy, bucket: Bucket, tmp_path: Path, format: str
) -> None:
    if format == "sfs":  # large enough to be sent in parts
        recording = write_toolkit_scene(tmp_path / "recording", frames=4, points=400_000)
        through = Runner(recording, tmp_path, ("--endpoint-url", proxy.url))
    met = complete_with(range(10), through, proxy, bucket, "--format", format)
    assert len(met) > (len(TRANSIENT) - 2 if format == "json" else 7)  # of which some are of objects that are read
    assert format == "json" or sum("partNumber=" in request.target for request in proxy.requests) > 2


@pytest.mark.trial
@pytest.mark.parametrize("fault", [Fault.CORRUPT_REQUEST, Fault.RESET_AFTER, Fault.CUT_RESPONSE])
def test_half_of_the_requests_fail_in_one_way(through: Runner, proxy: Proxy, bucket: Bucket, fault: Fault) -> None:
    proxy.reset(seeded(1, 0.5, [fault]))
    through.prepared(bucket.place())
    assert proxy.done[fault] > 5
    assert fault is not Fault.CORRUPT_REQUEST or sum(proxy.refused.values()) == proxy.done[fault]
    assert bucket.place().manifest() is not None


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(always(Fault.RESET_BEFORE), id="from the start", marks=pytest.mark.trial),
        pytest.param(from_request(14, always(Fault.SLOW_DOWN)), id="after a while"),
    ],
)
def test_a_store_that_is_gone_ends_the_run_in_time_and_it_goes_on_later(
    through: Runner, proxy: Proxy, bucket: Bucket, broken: Plan
) -> None:
    proxy.reset(broken)
    ended = through.start(bucket.place(), *GIVE_UP).end(within=2 * MOST_SECONDS)
    assert_one_clear_error(ended)
    assert re.search(r"\(tried for [\d.]+ seconds\)", ended.stderr)
    assert ended.seconds < MOST_SECONDS
    assert bucket.place().manifest() is None
    finished = bucket.place().finished()
    proxy.reset(healthy)
    again = through.prepared(bucket.place())
    assert not finished & set(again.frames())
    assert bucket.place().manifest() is not None
