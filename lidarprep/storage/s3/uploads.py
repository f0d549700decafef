"""Uploads in parts that nobody finishes: their parts cost money, and no listing of objects shows them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError

from lidarprep.errors import StorageError
from lidarprep.storage.s3.bucket import Bucket, code_of
from lidarprep.storage.s3.retries import TIDY_S

log = logging.getLogger(__name__)

# Up to so many keys are asked for one by one; for more, what begins as all of them do is listed.
_FEW = 4


class Uploads:
    """The uploads in parts to a store's keys. Only who holds the destination's lock may use them.

    Args:
        bucket: Where they go.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._tried: set[str] = set()

    @contextmanager
    def to(self, key: str) -> Iterator[None]:
        """Within the `with` statement an object is sent in parts. At its end no upload to the key is left.

        The answer to the request that begins an upload may be lost. It is sent again, and begins another: of the first
        nobody knows the id.
        """
        self._tried.add(key)
        try:
            yield
        finally:
            self.abort([key])

    def abort_tried(self) -> None:
        """Looks once more for uploads to what was sent in parts: a store may show one late."""
        if self._tried:
            self.abort(self._tried)

    def abort(self, keys: Collection[str]) -> None:
        """Aborts all uploads to the keys, as far as that can be done: it is tidiness."""
        bucket = self._bucket
        try:
            with bucket.patience.at_most(TIDY_S), bucket.reported("abort uploads in parts"):
                self._bucket.each(self._abort, list(self._to(keys)))
        except StorageError as error:
            log.info("uploads in parts may be left: %s", error.message)

    def _to(self, keys: Collection[str]) -> Iterator[tuple[str, str]]:
        """Full key and id of each."""
        full_keys = {self._bucket.full_key(key) for key in keys}
        for prefix in sorted(full_keys) if len(full_keys) <= _FEW else [self._bucket.full_key("")]:
            for full_key, upload_id in self._listed(prefix):
                if full_key in full_keys:
                    yield full_key, upload_id

    def _listed(self, prefix: str) -> Iterator[tuple[str, str]]:
        bucket, marker = self._bucket, dict[str, str]()
        while True:
            page = bucket.ask(bucket.client.list_multipart_uploads, Prefix=prefix, **marker)
            for upload in page.get("Uploads", ()):
                yield upload["Key"], upload["UploadId"]
            if not page.get("IsTruncated"):
                return
            marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def _abort(self, upload: tuple[str, str]) -> None:
        full_key, upload_id = upload
        try:
            self._bucket.ask(self._bucket.client.abort_multipart_upload, Key=full_key, UploadId=upload_id)
        except ClientError as error:
            if code_of(error) != "NoSuchUpload":  # gone already
                raise
