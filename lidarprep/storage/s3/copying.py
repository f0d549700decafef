"""Copying objects within the bucket, by the store itself: no byte of them comes here.

A copy has the content type, the cache control, the encoding and the metadata of what it is a copy of. ACL, encryption,
storage class, tags and checksum are not copied, or need not be what is asked for under another key: they are given
again (https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html).
"""

from __future__ import annotations

from typing import Any

from lidarprep.errors import StorageError
from lidarprep.storage.s3.bucket import Bucket
from lidarprep.storage.s3.metadata import SHA256, whole_checksums
from lidarprep.storage.s3.retries import DamagedError
from lidarprep.storage.s3.uploads import Uploads

# From this size on an object is copied in parts side by side: one request copies no more than 5 GB, and slowly.
_IN_PARTS_FROM = 256 * 2**20
_PART = 64 * 2**20

_COPIED = ("ContentType", "CacheControl", "ContentEncoding", "Metadata")


class Copying:
    """What a store does to copy objects.

    Args:
        bucket: Where they are.
        uploads: The uploads in parts to it.
    """

    def __init__(self, bucket: Bucket, uploads: Uploads) -> None:
        self._bucket = bucket
        self._uploads = uploads

    def copy(self, source: str, target: str) -> None:
        """Copies what is under one key to another, and sees that it is the same there.

        Raises:
            ClientError: That failed.
            DamagedError: It is not the same.
            StorageError: Nothing is there to be copied.
        """

        def once() -> None:
            found = self._bucket.head(source)
            if found is None:
                raise StorageError(f"{self._bucket.location(source)} is gone", fix="Run the same command again.")
            self._copy(source, target, found)
            copied = self._bucket.head(target)
            if copied is None or not _is_same(found, copied):
                raise DamagedError(f"the copy of {source} is not the same")

        self._bucket.patience.call(once)

    def _copy(self, source: str, target: str, found: dict[str, Any]) -> None:
        bucket = self._bucket
        arguments = bucket.options.keeping(target) | bucket.options.payer | {"MetadataDirective": "REPLACE"}
        arguments |= {name: found[name] for name in _COPIED if name in found}
        if "Tagging" in arguments:
            arguments["TaggingDirective"] = "REPLACE"
        if bucket.options.algorithm is not None:
            arguments["ChecksumAlgorithm"] = bucket.options.algorithm
        origin = {"Bucket": bucket.name, "Key": bucket.full_key(source)}
        if found["ContentLength"] < _IN_PARTS_FROM:
            bucket.client.copy_object(
                Bucket=bucket.name,
                Key=bucket.full_key(target),
                CopySource=origin,
                CopySourceIfMatch=found["ETag"],
                **arguments,
            )
            return
        from s3transfer.manager import TransferConfig, TransferManager  # most runs have no need of it

        config = TransferConfig(multipart_threshold=_IN_PARTS_FROM, multipart_chunksize=_PART)
        with self._uploads.to(target), TransferManager(bucket.client, config) as manager, bucket.stopping():
            manager.copy(origin, bucket.name, bucket.full_key(target), arguments).result()


def _is_same(found: dict[str, Any], copied: dict[str, Any]) -> bool:
    """Whether two objects are, by what the store says of them: size, what they carry, and checksums."""
    if any(found.get(name) != copied.get(name) for name in ("ContentLength", *_COPIED)):
        return False
    expected = whole_checksums(found)
    if "ContentEncoding" not in found and SHA256 in found["Metadata"]:
        expected["ChecksumSHA256"] = found["Metadata"][SHA256]  # also of what came in parts
    actual = whole_checksums(copied)
    return all(actual[name] == expected[name] for name in expected.keys() & actual.keys())
