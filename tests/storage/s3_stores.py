"""Stores in a bucket as the options of a run make them, and what a bucket holds by boto's own client."""

from __future__ import annotations

from typing import Any

from lidarprep.storage.s3.prefix import S3Prefix

import lidarprep as lp
from lidarprep.storage import open_store
from tests.storage.conftest import BUCKET

JSON = "application/json"


def opened(moto: str, prefix: str = "run", **options: Any) -> S3Prefix:
    """A store as the options of a run make it."""
    given = lp.StorageOptions(endpoint_url=moto, **options)
    store = open_store(f"s3://{BUCKET}/{prefix}", **given.model_dump())
    assert isinstance(store, S3Prefix)
    return store


def head(bucket: Any, key: str) -> dict[str, Any]:
    answer: dict[str, Any] = bucket.meta.client.head_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED")
    return answer


def counted(store: S3Prefix) -> list[str]:
    """The names of the operations that the store asks for from now on."""
    asked: list[str] = []
    store.bucket.client.meta.events.register("before-call.s3", lambda model, **_: asked.append(model.name))
    return asked
