"""How a bucket is reached and what its objects are stored with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from lidarprep.storage.store import MANIFEST_KEY, RUN_FOLDER

# Names of the options that say how objects are stored. A local folder cannot heed them.
OF_OBJECTS = ("gzip", "cache_control", "sse", "kms_key", "acl", "storage_class", "tags", "requester_pays")

_PUBLIC = ("public-read", "authenticated-read")


@dataclass(frozen=True)
class S3Options:
    """How a bucket is reached and what its objects are stored with; `recipe.StorageOptions` says what may be asked for.

    Args:
        endpoint_url: Address of an S3-compatible store; AWS where it is None.
        profile: Profile of the AWS tools' configuration; credentials are found as those tools find them.
        region: AWS region.
        role_arn: Role to assume with those credentials.
        path_style: Whether the bucket stands in the URL's path, not in its host's name.
        checksums: What the store verifies what it is sent by; "when_required" for stores that know Content-MD5 only.
        give_up_after: Minutes that one request is tried for.
        gzip: Whether attachments of JSON are stored compressed, with the header that says so.
        cache_control: Cache-Control header of attachments and pictures.
        sse: Server-side encryption.
        kms_key: Key of it, for "aws:kms"; the account's own where it is None.
        acl: Canned ACL.
        storage_class: Storage class of attachments and pictures.
        tags: Tags as (key, value).
        requester_pays: Whether the one who asks pays for requests, as the bucket may demand.
    """

    endpoint_url: str | None = None
    profile: str | None = None
    region: str | None = None
    role_arn: str | None = None
    path_style: bool = False
    checksums: Literal["sha256", "crc32", "when_required"] = "sha256"
    give_up_after: float = 10.0
    gzip: bool = False
    cache_control: str | None = None
    sse: Literal["AES256", "aws:kms"] | None = None
    kms_key: str | None = None
    acl: str | None = None
    storage_class: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    requester_pays: bool = False

    @property
    def payer(self) -> dict[str, Any]:
        """What every request needs where the requester pays."""
        return {"RequestPayer": "requester"} if self.requester_pays else {}

    @property
    def algorithm(self) -> str | None:
        """The checksum that the store is to compute, by boto's name; None where it may know none."""
        return {"sha256": "SHA256", "crc32": "CRC32"}.get(self.checksums)

    def compresses(self, key: str, content_type: str) -> bool:
        """Whether what is stored under the key is compressed: attachments of JSON, nothing that is only ours."""
        return self.gzip and content_type == "application/json" and not _is_ours(key)

    def headers(self, key: str, content_type: str) -> dict[str, Any]:
        """What an object is put with, by boto's names.

        What is below RUN_FOLDER, a run's journal and lock and what it keeps aside, is seen by nobody else and is gone
        at its end: it is encrypted and tagged like all else, which a bucket may demand, but never public and of the
        bucket's own class.
        """
        return self.describing(key, content_type) | self.keeping(key)

    def describing(self, key: str, content_type: str) -> dict[str, Any]:
        """The part of the headers that says what is in an object."""
        headers: dict[str, Any] = {"ContentType": content_type}
        if self.cache_control is not None and not _is_ours(key):
            headers["CacheControl"] = self.cache_control
        if self.compresses(key, content_type):
            headers["ContentEncoding"] = "gzip"
        return headers

    def keeping(self, key: str) -> dict[str, Any]:
        """The part of the headers that says how an object is kept, and for whom."""
        headers: dict[str, Any] = {}
        if self.sse is not None:
            headers["ServerSideEncryption"] = self.sse
        if self.kms_key is not None:
            headers["SSEKMSKeyId"] = self.kms_key
        if self.tags:
            headers["Tagging"] = urlencode(self.tags)
        passing = key.startswith(f"{RUN_FOLDER}/")
        if self.acl is not None and not (passing and self.acl in _PUBLIC):
            headers["ACL"] = self.acl
        if self.storage_class is not None and not passing:
            headers["StorageClass"] = self.storage_class
        return headers


def _is_ours(key: str) -> bool:
    return key == MANIFEST_KEY or key.startswith(f"{RUN_FOLDER}/")
