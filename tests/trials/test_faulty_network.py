"""A network and a store that fail requests: a run ends complete, or with one clear error and goes on later."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.scenes import write_toolkit_scene
from tests.trials.children import Runner, assert_one_clear_error
from tests.trials.conftest import OUT, Bucket
from tests.trials.proxy import TRANSIENT, Fault, Plan, Proxy, always, from_request, healthy, seeded

pytestmark = pytest.mark.trial


# How long a request that fails is tried again; what comes after it, such as giving the lock back, has its own share.
PATIENCE = ("--give-up-after", "0.02")
MOST_SECONDS = 30


def assert_verified(bucket: Bucket, reference: dict[str, bytes]) -> None:
    """Every object has the size and the SHA-256 that the manifest says, and all are those of a run without faults."""
    objects = bucket.objects()
    manifest = json.loads(objects["manifest.json"])
    for record in manifest["attachments"] + manifest["images"]:
        data = objects[record["url"].removeprefix(f"{OUT}/")]
        assert len(data) == record["bytes"]
        assert hashlib.sha256(data).hexdigest() == record["sha256"]
    assert objects == reference
    assert not bucket.uploads_under_way()


def test_a_run_ends_complete_though_three_requests_in_ten_fail(
    runner: Runner, s3_reference: dict[str, bytes], proxy: Proxy, bucket: Bucket, many: bool
) -> None:
    met: set[Fault] = set()
    for seed in range(10 if many else 1):
        bucket.make_anew()
        proxy.reset(seeded(seed, 0.3))
        ended = runner.run(OUT, "--endpoint-url", proxy.url)
        assert ended.code == 0, (seed, ended.stderr)
        assert "Traceback" not in ended.stderr
        assert_verified(bucket, s3_reference)
        met |= set(proxy.done)
    assert len(met) > (len(TRANSIENT) - 2 if many else 4), met


def test_a_scene_that_is_sent_in_parts_ends_complete_though_three_requests_in_ten_fail(
    runner: Runner, tmp_path: Path, proxy: Proxy, bucket: Bucket, many: bool
) -> None:
    large = Runner(write_toolkit_scene(tmp_path / "recording", frames=4, points=400_000), tmp_path)
    assert large.run(tmp_path / "local", "--format", "sfs").code == 0
    expected = (tmp_path / "local/scene.sfs").read_bytes()
    for seed in range(5 if many else 1):
        bucket.make_anew()
        proxy.reset(seeded(seed, 0.3))
        ended = large.run(OUT, "--format", "sfs", "--endpoint-url", proxy.url)
        assert ended.code == 0, (seed, ended.stderr)
        assert sum("partNumber=" in request.target for request in proxy.requests) > 2, "it was not sent in parts"
        objects = bucket.objects()
        assert set(objects) == {"manifest.json", "scene.sfs"}
        assert objects["scene.sfs"] == expected
        assert not bucket.uploads_under_way()


@pytest.mark.parametrize("fault", [Fault.CORRUPT_REQUEST, Fault.RESET_AFTER, Fault.CUT_RESPONSE])
def test_half_of_the_requests_fail_in_one_way(
    runner: Runner, s3_reference: dict[str, bytes], proxy: Proxy, bucket: Bucket, fault: Fault
) -> None:
    proxy.reset(seeded(1, 0.5, [fault]))
    ended = runner.run(OUT, "--endpoint-url", proxy.url)
    assert ended.code == 0, ended.stderr
    assert proxy.done[fault] > 5
    assert fault is not Fault.CORRUPT_REQUEST or sum(proxy.refused.values()) == proxy.done[fault]
    assert_verified(bucket, s3_reference)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(always(Fault.RESET_BEFORE), id="from the start"),
        pytest.param(from_request(40, always(Fault.SLOW_DOWN)), id="after a while"),
    ],
)
def test_a_store_that_is_gone_ends_the_run_in_time_and_it_goes_on_later(
    runner: Runner, s3_reference: dict[str, bytes], proxy: Proxy, bucket: Bucket, broken: Plan
) -> None:
    proxy.reset(broken)
    ended = runner.start(OUT, "--endpoint-url", proxy.url, *PATIENCE).end(within=2 * MOST_SECONDS)
    assert_one_clear_error(ended)
    assert ended.seconds < MOST_SECONDS
    assert "manifest.json" not in bucket.objects()
    proxy.reset(healthy)
    again = runner.run(OUT, "--endpoint-url", proxy.url)
    assert again.code == 0, again.stderr
    assert_verified(bucket, s3_reference)
