"""Fetching objects, as they were before they were compressed; what was damaged is noticed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from botocore.exceptions import ClientError

from lidarprep.storage.s3.bucket import Bucket, is_missing
from lidarprep.storage.s3.download import Download
from lidarprep.storage.s3.metadata import CONTENT_LENGTH
from lidarprep.storage.s3.retries import DamagedError

# Up to so many keys are asked for one by one; for more the prefix is listed, a thousand keys a request.
_FEW = 4


class Fetching:
    """What a store does to give what it has.

    Args:
        bucket: Where that is.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def get(self, key: str) -> bytes:
        """The bytes under `key`.

        Raises:
            ClientError: There are none.
            DamagedError: They are not those that were stored.
        """
        pieces: list[bytes] = []
        download = Download(self._bucket, key, pieces.append, pieces.clear)

        def once() -> None:
            download.go_on()
            if not download.is_as_stored:
                download.begin_anew()
                raise DamagedError("its SHA-256 is not the one that it was stored with")

        self._bucket.patience.call(once)
        return b"".join(pieces)

    def measure(self, key: str) -> tuple[int, str] | None:
        """Size and SHA-256 of the bytes under `key`, which are fetched in pieces; None if there are none."""
        download = Download(self._bucket, key)

        def once() -> None:
            download.go_on()
            if download.was_cut and not download.is_as_stored:
                # No checksum was there of what came in several answers: one that is whole says whose fault it is.
                download.begin_anew()
                raise DamagedError("its SHA-256 is not the one that it was stored with")

        try:
            self._bucket.patience.call(once)
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        return download.size, download.sha256

    def sizes(self, keys: Collection[str]) -> dict[str, int]:
        """How many bytes are under those of the keys that have an object."""
        # A listing does not say what was compressed.
        if len(keys) <= _FEW or self._bucket.options.gzip:
            heads = dict(zip(keys, self._bucket.each(self._bucket.head, keys), strict=True))
            return {key: _content_length(head) for key, head in heads.items() if head is not None}
        found = self._bucket.listed_like(keys)
        return {key: found[key] for key in keys if key in found}

    def existing(self, keys: Collection[str]) -> set[str]:
        """Which of the keys have an object."""
        if len(keys) <= _FEW:
            return set(self.sizes(keys))
        return set(keys) & self._bucket.listed_like(keys).keys()


def _content_length(head: dict[str, Any]) -> int:
    length: str | int = head.get("Metadata", {}).get(CONTENT_LENGTH, head["ContentLength"])
    return int(length)
