"""A store in a bucket, under a prefix."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, urlencode

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from lidarprep.errors import ManifestConflictError, RecipeError, StorageError
from lidarprep.remote.boto_faults import code_of, is_missing, reported, retry_budget
from lidarprep.storage._s3_session import shared_session
from lidarprep.storage.files import temporary_file_of_the_system
from lidarprep.storage.keys import is_content_key
from lidarprep.storage.options import StorageOptions
from lidarprep.storage.store import CACHE_PREFIX, FetchUrl, ObjectInfo, in_threads

Value = TypeVar("Value")

# From this size on an object is sent in parts side by side, of which one that fails is sent again alone.
_IN_PARTS_FROM = 16 * 2**20
_PART = 8 * 2**20

# Requests for many small objects that are under way at once.
_SIDE_BY_SIDE = 16

# What the check before a run is tried for: somebody waits for it.
_CHECK_S = 20.0

_PUBLIC = ("public-read", "authenticated-read")


class S3Store:
    """A store in a bucket, under a prefix.

    Args:
        destination: bucket or bucket/prefix, without s3://.
        options: How the bucket is reached, and what objects are stored with.

    Raises:
        RecipeError: The destination is malformed.
        StorageError: The profile does not exist, or the endpoint is not a URL.
    """

    def __init__(self, destination: str, options: StorageOptions) -> None:
        self.bucket, _, prefix = destination.partition("/")
        if not self.bucket or "?" in self.bucket:
            raise RecipeError(f"'s3://{destination}' is not an S3 destination", fix="Write it s3://bucket/prefix.")
        self.prefix = prefix.strip("/")
        self.options = options
        self._payer = {"RequestPayer": "requester"} if options.requester_pays else {}
        self._algorithm = {"sha256": "SHA256", "crc32": "CRC32"}.get(options.checksums)
        with reported(f"s3://{self.bucket}", "be reached"):
            try:
                self._session = shared_session(options)
                endpoint = self._session.client.meta.endpoint_url
            except ValueError as error:  # what boto calls an endpoint that is not a URL
                raise StorageError(
                    f"s3://{self.bucket} cannot be reached: {error}", fix="Check --endpoint-url."
                ) from error
        self._budget = retry_budget(options.give_up_after, endpoint)
        self._is_checked = False
        self._transfer = TransferConfig(multipart_threshold=_IN_PARTS_FROM, multipart_chunksize=_PART)

    def __repr__(self) -> str:
        return f"S3Store(s3://{self.bucket}/{self.prefix})"

    def check(self) -> None:
        """Check that the bucket is there, may be listed, and takes an object with the options that objects have."""
        if self._is_checked:
            return
        # Not by head_bucket: its answers have no body that could say what is wrong.
        self._ask("list_objects_v2", "", "be listed", at_most_s=_CHECK_S, Prefix=self._full(""), MaxKeys=1)
        key, data = f"{CACHE_PREFIX}check", b"lidarprep checks whether it may store here.\n"
        self._put(key, data, self._headers("frames/check", "text/plain"), at_most_s=_CHECK_S)
        self._ask("delete_object", key, "be deleted", at_most_s=_CHECK_S, Key=self._full(key))
        self._is_checked = True

    def put(
        self,
        key: str,
        data: bytes,
        content_type: str,
        *,
        sha256: str,
        encoding: str | None = None,
        source: Path | None = None,
    ) -> None:
        """Put the bytes as one object, large ones in parts; with checksums that the store verifies."""
        headers = self._headers(key, content_type) | ({"ContentEncoding": encoding} if encoding else {})
        if len(data) >= _IN_PARTS_FROM:
            self._upload(key, lambda: io.BytesIO(data), headers)
        else:
            self._put(key, data, headers, sha256=sha256)

    def temporary_file(self) -> contextlib.AbstractContextManager[BinaryIO]:
        """Open a file in the system's folder for temporary ones."""
        return temporary_file_of_the_system()

    def put_file(self, key: str, file: BinaryIO, content_type: str, *, sha256: str) -> None:
        """Send the file in parts, of which each is read from the disk when its turn comes."""
        file.flush()
        # By its name: the parts of an open file would be kept in memory.
        self._upload(key, lambda: file.name, self._headers(key, content_type))

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Fetch the object, or a part of it."""
        wanted = {} if start == 0 and stop is None else {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}

        def fetch() -> bytes:
            answer = self._client.get_object(Bucket=self.bucket, Key=self._full(key), **wanted, **self._payer)
            body: bytes = answer["Body"].read()
            # A store that knows no ranges gives all of it.
            whole = wanted and "ContentRange" not in answer
            return body[start:stop] if whole else body

        try:
            with self._reported(key, "be fetched"):
                return self._budget.call(fetch)
        except StorageError as error:
            cause = error.__cause__
            if isinstance(cause, ClientError):
                if is_missing(cause):
                    return None
                if code_of(cause) in ("InvalidRange", "416"):
                    return b""
            raise

    def sizes(self, prefix: str) -> dict[str, ObjectInfo]:
        """List the objects, a thousand a request."""
        found: dict[str, ObjectInfo] = {}
        own, token = len(self._full("")), dict[str, Any]()
        while True:
            page = self._ask("list_objects_v2", "", "be listed", Prefix=self._full(prefix), **token)
            for item in page.get("Contents", ()):
                found[item["Key"][own:]] = ObjectInfo(item["Size"], item["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return found
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, keys: Collection[str]) -> None:
        """Delete the objects one by one, side by side: some stores don't know how to delete many by one request."""
        for _ in in_threads(self._delete, keys, _SIDE_BY_SIDE):
            pass

    def delete_unfinished(self, before: float) -> None:
        """Abort uploads in parts that began before a time: they cost money, and no listing of objects shows them."""
        marker: dict[str, Any] = {}
        while True:
            page = self._ask("list_multipart_uploads", "", "be listed", Prefix=self._full(""), **marker)
            for upload in page.get("Uploads", ()):
                key, upload_id = upload["Key"], upload["UploadId"]
                is_ours = is_content_key(key[len(self._full("")) :])
                if is_ours and upload["Initiated"].timestamp() < before:
                    self._ask("abort_multipart_upload", "", "abort an upload in parts", Key=key, UploadId=upload_id)
            if not page.get("IsTruncated"):
                return
            marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def read_current(self, key: str) -> tuple[bytes, str] | None:
        """Fetch the object; its version is its ETag."""

        def fetch() -> tuple[bytes, str] | None:
            try:
                answer = self._client.get_object(Bucket=self.bucket, Key=self._full(key), **self._payer)
            except ClientError as error:
                if is_missing(error):
                    return None
                raise
            return answer["Body"].read(), answer["ETag"]

        with self._reported(key, "be fetched"):
            return self._budget.call(fetch)

    def replace(self, key: str, data: bytes, *, if_version: str | None) -> None:
        """Put the object on a condition (If-None-Match, If-Match); without one where the store knows none.

        AWS has conditional writes since 2024
        (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html).
        """
        condition = {"IfNoneMatch": "*"} if if_version is None else {"IfMatch": if_version}
        headers = self._headers(key, "application/json", is_mutable=True)
        try:
            self._put(key, data, headers | condition)
        except StorageError as error:
            code = code_of(error.__cause__) if error.__cause__ is not None else ""
            if code in ("NotImplemented", "501"):
                self._put(key, data, headers)
            elif code in ("PreconditionFailed", "412") or (code in ("NoSuchKey", "404") and if_version is not None):
                # The answer to an earlier attempt may have been lost.
                current = self.read_current(key)
                if current is None or current[0] != data:
                    raise ManifestConflictError(self.location(key)) from error
            else:
                raise

    def url(self, key: str) -> str:
        """Return the key under the prefix of `url_base`, or as s3://bucket/prefix/key."""
        base = self.options.url_base
        return f"{base.rstrip('/')}/{quote(key)}" if base else self.location(key)

    def location(self, key: str) -> str:
        """Return the object's own URL, s3://…"""
        return f"s3://{self.bucket}/{self._full(key)}"

    def fetch_url(self, key: str) -> FetchUrl:
        """Return the URL for Scale; a signed one is a secret: it is never recorded."""
        hours = self.options.presign_hours
        if hours is None:
            return FetchUrl(self.url(key), None)
        with self._reported(key, "be signed for"):
            params = {"Bucket": self.bucket, "Key": self._full(key), **self._payer}
            seconds = round(hours * 3600)
            url = self._client.generate_presigned_url("get_object", Params=params, ExpiresIn=seconds)
            credentials_expire_at = self._session.aws.expires_at()
        expires_at = time.time() + seconds
        return FetchUrl(url, int(min(expires_at, credentials_expire_at or expires_at)))

    def close(self) -> None:
        """Try nothing again from now on."""
        self._budget.close()

    @property
    def _client(self) -> Any:
        return self._session.client

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _reported(self, key: str, what: str) -> contextlib.AbstractContextManager[None]:
        place = self.location(key) if key else f"s3://{self.bucket}/{self.prefix}".rstrip("/")
        return reported(place, what)

    def _ask(self, operation: str, key: str, what: str, *, at_most_s: float | None = None, **arguments: Any) -> Any:
        """Make one request on the bucket; an error names the key, or the prefix for ""."""
        with self._reported(key, what):
            return self._budget.call(
                lambda: getattr(self._client, operation)(Bucket=self.bucket, **arguments, **self._payer),
                at_most_s=at_most_s,
            )

    def _delete(self, key: str) -> None:
        self._ask("delete_object", key, "be deleted", Key=self._full(key))

    def _put(
        self,
        key: str,
        data: bytes,
        headers: dict[str, Any],
        *,
        sha256: str | None = None,
        at_most_s: float | None = None,
    ) -> None:
        checksum = self._checksum(data, sha256)
        self._ask(
            "put_object", key, "be stored", at_most_s=at_most_s, Key=self._full(key), Body=data, **headers, **checksum
        )

    def _upload(self, key: str, body: Callable[[], Any], headers: dict[str, Any]) -> None:
        extra = headers | self._payer | ({"ChecksumAlgorithm": self._algorithm} if self._algorithm else {})

        def upload() -> None:
            source, full = body(), self._full(key)
            if isinstance(source, str):
                self._client.upload_file(source, self.bucket, full, ExtraArgs=extra, Config=self._transfer)
            else:
                self._client.upload_fileobj(source, self.bucket, full, ExtraArgs=extra, Config=self._transfer)

        with self._reported(key, "be stored"):
            self._budget.call(upload, is_long=True)

    def _checksum(self, data: bytes, sha256: str | None) -> dict[str, Any]:
        """Return the arguments by which the store sees that all bytes have come, as they were sent."""
        match self.options.checksums:
            case "sha256":
                digest = bytes.fromhex(sha256) if sha256 else hashlib.sha256(data).digest()
                return {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": base64.b64encode(digest).decode()}
            case "crc32":
                return {"ChecksumAlgorithm": "CRC32"}
        md5 = hashlib.md5(data, usedforsecurity=False)
        return {"ContentMD5": base64.b64encode(md5.digest()).decode()}

    def _headers(self, key: str, content_type: str, *, is_mutable: bool = False) -> dict[str, Any]:
        """Return what an object is put with, by boto's names.

        Cache entries are seen by nobody else: they are encrypted and tagged like all else, which a bucket may demand,
        but never public, and of the bucket's own storage class.
        """
        options, passing = self.options, key.startswith(CACHE_PREFIX)
        public = passing and options.acl in _PUBLIC
        headers = {
            "ContentType": content_type,
            "CacheControl": None if passing or is_mutable else options.cache_control,
            "ServerSideEncryption": options.sse,
            "SSEKMSKeyId": options.kms_key,
            "Tagging": urlencode(options.tags) if options.tags else None,
            "ACL": None if public else options.acl,
            "StorageClass": None if passing else options.storage_class,
        }
        return {name: value for name, value in headers.items() if value is not None}
