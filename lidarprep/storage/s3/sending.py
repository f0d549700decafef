"""Sending objects: small ones by one request, large ones in parts; with checksums that the store verifies."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
from collections.abc import Callable, Collection
from pathlib import Path
from threading import Lock
from typing import Any

from lidarprep.storage.s3.bucket import Bucket, family_of
from lidarprep.storage.s3.copying import Copying
from lidarprep.storage.s3.metadata import CONTENT_LENGTH, OPTIONS, SHA256, digest, whole_checksums
from lidarprep.storage.s3.uploads import Uploads
from lidarprep.storage.store import RUN_FOLDER, StoredObject

# From this size on an object is sent in parts side by side, of which one that fails is sent again alone.
_IN_PARTS_FROM = 16 * 2**20
_PART = 8 * 2**20

# zlib's own: 9 takes twice as long and gives 3 % less.
_GZIP_LEVEL = 6


class Sending:
    """What a store does to put what it is given.

    Args:
        bucket: Where that goes.
        copying: How it has the store copy what it has.
        uploads: The uploads in parts to it.
    """

    def __init__(self, bucket: Bucket, copying: Copying, uploads: Uploads) -> None:
        self._bucket = bucket
        self._copying = copying
        self._uploads = uploads
        self._listing = Lock()
        self._found: dict[str, dict[str, int]] = {}  # sizes by key, by the family of the keys

    def send(self, stored: StoredObject, data: bytes, content_type: str, at: str) -> None:
        """Puts bytes as one object unless the same is there already; compressed, where the options say so.

        Args:
            stored: What it is.
            data: The bytes.
            content_type: What is in them.
            at: What they are put under: the object's key, or where it is kept aside.
        """
        headers = self._headers(stored.key, content_type, stored.sha256)
        sha256 = stored.sha256
        if "ContentEncoding" in headers:
            headers["Metadata"][CONTENT_LENGTH] = str(len(data))
            data = gzip.compress(data, _GZIP_LEVEL, mtime=0)  # no time: the same bytes each time
            sha256 = hashlib.sha256(data).hexdigest()
        self._unless_it_stands(stored.key, at, headers, len(data), sha256, lambda: data)

    def send_file(self, stored: StoredObject, path: Path, content_type: str, at: str) -> None:
        """The same for a file; of a large one each part is read from the disk when its turn comes."""
        headers = self._headers(stored.key, content_type, stored.sha256)
        in_parts = stored.bytes >= _IN_PARTS_FROM
        source: Callable[[], bytes | Path] = (lambda: path) if in_parts else path.read_bytes
        self._unless_it_stands(stored.key, at, headers, stored.bytes, stored.sha256, source)

    def send_probe(self, key: str, data: bytes) -> None:
        """Puts the bytes with the options that attachments are stored with, whatever the key."""
        sha256 = hashlib.sha256(data).hexdigest()
        headers = self._headers("probe", "text/plain", sha256) | self.checksum(sha256, data)
        self._bucket.ask(self._bucket.client.put_object, Key=self._bucket.full_key(key), Body=data, **headers)

    def forget(self, keys: Collection[str]) -> None:
        """What stood under the keys does so no more."""
        with self._listing:
            for key in keys:
                self._found.get(family_of(key), {}).pop(key, None)

    def checksum(self, sha256: str, data: bytes) -> dict[str, Any]:
        """By what the store sees that all of one request's bytes have come, as they were sent."""
        match self._bucket.options.checksums:
            case "sha256":
                checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
                return {"ChecksumAlgorithm": self._bucket.options.algorithm, "ChecksumSHA256": checksum}
            case "crc32":
                return {"ChecksumAlgorithm": self._bucket.options.algorithm}
        md5 = hashlib.md5(data, usedforsecurity=False)
        return {"ContentMD5": base64.b64encode(md5.digest()).decode()}

    def _headers(self, key: str, content_type: str, sha256: str) -> dict[str, Any]:
        """What an object is put with."""
        headers = self._bucket.options.headers(key, content_type)
        return headers | {"Metadata": {SHA256: sha256, OPTIONS: digest(headers)}}

    def _unless_it_stands(
        self, key: str, at: str, headers: dict[str, Any], size: int, sha256: str, source: Callable[[], bytes | Path]
    ) -> None:
        """Puts one object unless the same is there already; what is to be kept aside is a copy then.

        Args:
            key: Its key.
            at: What it is put under: the same, or where it is kept aside.
            headers: What it is put with, under its key.
            size: Bytes that are sent.
            sha256: SHA-256 of these, which differs from the content's where it is compressed.
            source: Gives the bytes for each attempt, or the file that has them; that goes in parts.
        """
        bucket = self._bucket
        put_with = headers
        if at != key:
            kept_with_key, kept_aside = bucket.options.keeping(key), bucket.options.keeping(at)
            put_with = {name: value for name, value in headers.items() if name not in kept_with_key} | kept_aside
        again = False

        def once() -> None:
            nonlocal again
            if again and self._stands(at, headers, size, sha256):
                return  # an attempt that seemed to have failed has succeeded all the same
            if not again and self._was_there(key, size) and self._stands(key, headers, size, sha256):
                if at != key:
                    self._copying.copy(key, at)
                return
            again = True
            body = source()
            if isinstance(body, Path) or size >= _IN_PARTS_FROM:
                self._send_in_parts(at, put_with, body)
                return
            arguments = put_with | self.checksum(sha256, body) | bucket.options.payer
            bucket.client.put_object(Bucket=bucket.name, Key=bucket.full_key(at), Body=body, **arguments)

        bucket.patience.call(once)

    def _send_in_parts(self, key: str, headers: dict[str, Any], body: bytes | Path) -> None:
        from s3transfer.manager import TransferConfig, TransferManager  # most runs have no need of it

        config = TransferConfig(multipart_threshold=_IN_PARTS_FROM, multipart_chunksize=_PART)
        bucket = self._bucket
        algorithm = bucket.options.algorithm
        arguments = headers | bucket.options.payer | ({"ChecksumAlgorithm": algorithm} if algorithm else {})
        # A file goes by its name: parts of an open one would be kept in memory.
        source = str(body) if isinstance(body, Path) else io.BytesIO(body)
        with self._uploads.to(key), TransferManager(bucket.client, config) as manager, bucket.stopping():
            manager.upload(source, bucket.name, bucket.full_key(key), arguments).result()

    def _was_there(self, key: str, size: int) -> bool:
        """Whether an object of this size stood under the key when the first of its kind was put."""
        if key.startswith(f"{RUN_FOLDER}/"):
            return False
        family = family_of(key)
        with self._listing:
            if family not in self._found:
                self._found[family] = dict(self._bucket.listed(family))
            return self._found[family].get(key) == size

    def _stands(self, key: str, headers: dict[str, Any], size: int, sha256: str) -> bool:
        """Whether the very same is stored: by size, checksum and what it was put with, never by its ETag alone."""
        head = self._bucket.head(key)
        if head is None or head["ContentLength"] != size or head.get("Metadata") != headers["Metadata"]:
            return False
        # Of what came in parts there is none: the store has verified each part when it came.
        return whole_checksums(head).get("ChecksumSHA256", sha256) == sha256
