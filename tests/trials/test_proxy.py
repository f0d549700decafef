"""The proxy does to requests what it says: what the other trials rest on, seen by boto3 alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.trials.children import BUCKET, Bucket
from tests.trials.proxy import TRANSIENT, Fault, Proxy, Request, always, healthy, seeded

DATA = bytes(range(256)) * 50


@pytest.fixture
def once(proxy: Proxy, bucket: Bucket) -> Iterator[Any]:
    """A client that tries once."""
    config = Config(retries={"total_max_attempts": 1}, read_timeout=5)
    client = boto3.client("s3", endpoint_url=proxy.url, config=config)
    yield client
    client.close()


def test_a_healthy_proxy_passes_everything_on(once: Any, bucket: Bucket) -> None:
    once.put_object(Bucket=BUCKET, Key="a/b", Body=DATA)
    assert once.get_object(Bucket=BUCKET, Key="a/b")["Body"].read() == DATA
    assert once.head_object(Bucket=BUCKET, Key="a/b")["ContentLength"] == len(DATA)
    assert [item["Key"] for item in once.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["a/b"]


@pytest.mark.parametrize(
    ("fault", "stored"),
    [
        (Fault.ERROR_500, False),
        (Fault.ERROR_500_AFTER, True),
        (Fault.SLOW_DOWN, False),
        (Fault.RESET_BEFORE, False),
        (Fault.RESET_WITHIN, False),
        (Fault.RESET_AFTER, True),
        (Fault.CUT_REQUEST, False),
        (Fault.CORRUPT_REQUEST, False),
        (Fault.FORBIDDEN, False),
        (Fault.EXPIRED, False),
        (Fault.CLOCK, False),
    ],
)
def test_a_put_that_fails_is_done_or_not_as_the_fault_says(
    proxy: Proxy, once: Any, bucket: Bucket, fault: Fault, stored: bool
) -> None:
    proxy.plan = always(fault)
    with pytest.raises((ClientError, BotoCoreError)):
        once.put_object(Bucket=BUCKET, Key="a", Body=DATA)
    assert proxy.done == {fault: 1}
    assert bool(bucket.client.list_objects_v2(Bucket=BUCKET)["KeyCount"]) is stored


@pytest.mark.parametrize("fault", [Fault.CUT_RESPONSE, Fault.CORRUPT_RESPONSE])
def test_an_object_that_is_damaged_on_its_way_is_noticed_by_who_looks(
    proxy: Proxy, once: Any, bucket: Bucket, fault: Fault
) -> None:
    once.put_object(Bucket=BUCKET, Key="a", Body=DATA, ChecksumAlgorithm="CRC32")
    proxy.plan = always(fault)
    with pytest.raises(BotoCoreError):
        once.get_object(Bucket=BUCKET, Key="a")["Body"].read()
    assert proxy.done[fault] == 1


def test_a_damaged_body_without_a_checksum_goes_through(proxy: Proxy, bucket: Bucket) -> None:
    """Otherwise a client that sends none could not be told from one that does."""
    config = Config(request_checksum_calculation="when_required")
    careless = boto3.client("s3", endpoint_url=proxy.url, config=config)
    proxy.plan = always(Fault.CORRUPT_REQUEST)
    careless.put_object(Bucket=BUCKET, Key="a", Body=DATA)
    careless.close()
    assert bucket.client.get_object(Bucket=BUCKET, Key="a")["Body"].read() != DATA


def test_an_answer_that_trickles_is_whole(proxy: Proxy, once: Any, bucket: Bucket) -> None:
    once.put_object(Bucket=BUCKET, Key="a", Body=DATA)
    proxy.plan = always(Fault.TRICKLE)
    assert once.get_object(Bucket=BUCKET, Key="a")["Body"].read() == DATA
    assert proxy.done == {Fault.TRICKLE: 1}


def test_faults_are_drawn_alike_from_the_same_seed_and_as_often_as_asked() -> None:
    requests = [Request(number, "PUT", "/a", {}) for number in range(2000)]
    drawn = [seeded(3, 0.3)(request) for request in requests]
    assert drawn == [seeded(3, 0.3)(request) for request in requests]
    assert drawn != [seeded(4, 0.3)(request) for request in requests]
    assert 500 < sum(fault is not None for fault in drawn) < 700
    assert set(drawn) == {None, *TRANSIENT}
    assert healthy(requests[0]) is None
