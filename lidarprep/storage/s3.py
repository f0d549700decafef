"""S3, and stores that speak its language, as store."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import logging
import re
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from threading import Lock
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.exceptions import ClientError

from lidarprep.errors import RecipeError, StorageError
from lidarprep.storage.s3_client import open_client
from lidarprep.storage.s3_errors import reported
from lidarprep.storage.s3_options import S3Options, digest
from lidarprep.storage.s3_retries import DamagedError, Patience
from lidarprep.storage.store import (
    PROBE_KEY,
    RUN_FOLDER,
    StoredObject,
    describe,
    describe_file,
    is_of_the_disk,
    under_base,
)

Value = TypeVar("Value")
Item = TypeVar("Item")

log = logging.getLogger(__name__)

# From this size on an object is sent in parts side by side, of which one that fails is sent again alone.
_IN_PARTS_FROM = 16 * 2**20
_PART = 8 * 2**20

# Requests for many small objects that are under way at once.
_SIDE_BY_SIDE = 16

# Up to so many keys are asked for one by one; for more the prefix is listed, a thousand keys a request.
_FEW = 4

# What the probe before a run is tried for: somebody waits for it.
_PROBE_S = 20.0

# What tidying up is tried for: somebody waits for the end, and the next run does what was not done.
_TIDY_S = 5.0

_PIECE = 2**20

# Metadata that says how many bytes there are once they are decompressed.
_CONTENT_LENGTH = "lidarprep-bytes"

# The names that attachments and pictures get, by which an upload in parts that was never finished is known as ours.
_OURS = re.compile(rf"(frame-[^/]+|images/.+|scene\.sfs|{re.escape(RUN_FOLDER)}/.+)")


class S3Prefix:
    """A store in a bucket, under a prefix.

    Each object carries the SHA-256 of its content and a digest of what it was put with as metadata, so that what is
    there already is told from what only looks like it, and damage is noticed when it is fetched.

    Args:
        destination: s3://bucket or s3://bucket/prefix.
        options: How the bucket is reached, and what objects are stored with.
        url_base: Prefix of the URLs that are handed out, in place of s3://.
        presign_hours: Hours that the URLs which Scale fetches are signed for; None for unsigned ones.

    Raises:
        RecipeError: The destination is malformed.
        StorageError: The profile does not exist.
    """

    stages = False

    def __init__(
        self,
        destination: str,
        options: S3Options | None = None,
        *,
        url_base: str | None = None,
        presign_hours: float | None = None,
    ) -> None:
        try:
            parts = urlsplit(destination, allow_fragments=False)
        except ValueError as error:
            raise RecipeError(f"{destination!r} is not an S3 destination: {error}") from None
        if parts.scheme != "s3" or not parts.netloc or parts.query:
            raise RecipeError(f"{destination!r} is not an S3 destination", fix="Write it s3://bucket/prefix.")
        self.bucket = parts.netloc
        self.prefix = parts.path.strip("/")
        self.options = options or S3Options()
        self.url_base = url_base
        self.presign_hours = presign_hours
        self._patience = Patience(self.options.give_up_after)
        with self._reported("be reached"):
            self._client: Any = open_client(self.options)
        self._patience.watch(self._client)
        self._listing = Lock()
        self._found: dict[str, int] | None = None

    def __repr__(self) -> str:
        return f"S3Prefix(s3://{self.bucket}/{self.prefix})"

    def check(self, needed_bytes: int | None = None) -> None:
        """Sees that the bucket is there, and may be listed.

        Raises:
            StorageError: It is not.
        """
        # Not by head_bucket: its answers have no body that could say what is wrong.
        with self._patience.at_most(_PROBE_S), self._reported("be reached"):
            self._ask(self._client.list_objects_v2, Prefix=self._name(""), MaxKeys=1)

    def probe(self) -> None:
        """Puts, gets and deletes a small object, with the options that attachments are stored with.

        So a permission that is lacking, a wrong key or an ACL that is forbidden show before any work is done. The
        object's name is always the same: `sweep` removes what a run that was killed in the middle has left.
        """
        data = b"lidarprep looks whether it may store here.\n"
        sha256 = hashlib.sha256(data).hexdigest()
        headers = self._headers("probe", "text/plain", sha256) | self._checksum(sha256, data)
        with self._patience.at_most(_PROBE_S):
            try:
                with self._reported("take a probe"):
                    self._ask(self._client.put_object, Key=self._name(PROBE_KEY), Body=data, **headers)
                if self.get(PROBE_KEY) != data:
                    raise StorageError(f"{self.location(PROBE_KEY)} is not what was stored there a moment ago")
            except StorageError as failure:
                try:
                    with self.hurried():
                        self.discard([PROBE_KEY])  # it may be there all the same
                except StorageError as left:
                    log.info("the probe may be left: %s", left.message)
                raise failure
            self.discard([PROBE_KEY])

    # ---- putting ---------------------------------------------------------------------------------------------------

    def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        """Puts the bytes as one object, large ones in parts; with checksums that the store verifies."""
        stored = describe(key, self.url(key), data)
        headers = self._headers(key, content_type, stored.sha256)
        sha256 = stored.sha256
        if "ContentEncoding" in headers:
            headers["Metadata"][_CONTENT_LENGTH] = str(len(data))
            data = gzip.compress(data, mtime=0)  # no time: the same bytes each time
            sha256 = hashlib.sha256(data).hexdigest()
        self._send(key, headers, len(data), sha256, lambda: io.BytesIO(data))
        return stored

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Puts the bytes on the condition that nothing is there.

        A store that knows no conditions is asked first, and again after: the last who puts wins, and others see that.
        """
        headers = self.options.headers(key, "application/json") | self._checksum(hashlib.sha256(data).hexdigest(), data)
        with self._reported(f"take {key}"):
            try:
                self._ask(self._client.put_object, Key=self._name(key), Body=data, IfNoneMatch="*", **headers)
                return True
            except ClientError as error:
                code = _code(error)
                if code not in ("PreconditionFailed", "412", "NotImplemented", "501"):
                    raise
            if code in ("NotImplemented", "501") and self._head(key) is None:
                self._ask(self._client.put_object, Key=self._name(key), Body=data, **headers)
            # The answer to a put that succeeded may have been lost, and its repetition been refused.
            try:
                return self._fetch(key) == data
            except ClientError as error:
                if _code(error) == "NoSuchKey":  # gone meanwhile
                    return False
                raise

    @contextmanager
    def spool(self, key: str) -> Iterator[BinaryIO]:
        """A file in the system's folder for temporary ones."""
        try:
            with tempfile.NamedTemporaryFile(prefix="lidarprep-") as file:
                yield file  # type: ignore[misc]  # a file but for its class
        except OSError as error:
            if not is_of_the_disk(error):
                raise
            raise StorageError(
                f"{tempfile.gettempdir()} cannot take {key} before it is sent: {error.strerror or error}",
                fix="Make room there, or name another folder by the environment variable TMPDIR.",
            ) from error

    def put_file(self, key: str, file: BinaryIO, content_type: str) -> StoredObject:
        """Sends the file, a large one in parts of which each is read from the disk when its turn comes."""
        file.flush()
        stored = describe_file(key, self.url(key), file)
        self._send(key, self._headers(key, content_type, stored.sha256), stored.bytes, stored.sha256, lambda: file.name)
        return stored

    def _send(
        self, key: str, headers: dict[str, Any], size: int, sha256: str, source: Callable[[], io.BytesIO | str]
    ) -> None:
        """Puts one object unless the same is there already.

        Args:
            key: Its key.
            headers: What it is put with.
            size: Bytes that are sent.
            sha256: SHA-256 of these, which differs from the content's where it is compressed.
            source: Gives the bytes, or the name of a file, for each attempt.
        """
        again = False

        def once() -> None:
            nonlocal again
            if (again or self._was_there(key, size)) and self._stands(key, headers, size, sha256):
                return
            again = True  # an attempt that seems to have failed may have succeeded all the same
            body = source()
            if size >= _IN_PARTS_FROM:
                self._send_in_parts(key, headers, body)
                return
            data = body.getvalue() if isinstance(body, io.BytesIO) else _read(body)
            self._client.put_object(
                Bucket=self.bucket,
                Key=self._name(key),
                Body=data,
                **headers,
                **self._checksum(sha256, data),
                **self.options.payer,
            )

        with self._reported(f"take {key}"):
            self._patience.call(once)

    def _send_in_parts(self, key: str, headers: dict[str, Any], body: io.BytesIO | str) -> None:
        # A file goes by its name: parts of an open one would be kept in memory.
        config = TransferConfig(
            multipart_threshold=_IN_PARTS_FROM, multipart_chunksize=_PART, preferred_transfer_client="classic"
        )
        algorithm = {"sha256": "SHA256", "crc32": "CRC32"}.get(self.options.checksums)
        arguments = headers | self.options.payer | ({"ChecksumAlgorithm": algorithm} if algorithm else {})
        with create_transfer_manager(self._client, config) as manager:
            manager.upload(body, self.bucket, self._name(key), arguments).result()

    def _headers(self, key: str, content_type: str, sha256: str) -> dict[str, Any]:
        headers = self.options.headers(key, content_type)
        return headers | {"Metadata": {"lidarprep-sha256": sha256, "lidarprep-options": digest(headers)}}

    def _checksum(self, sha256: str, data: bytes) -> dict[str, Any]:
        """By what the store sees that all of one request's bytes have come, as they were sent."""
        match self.options.checksums:
            case "sha256":
                checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
                return {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": checksum}
            case "crc32":
                return {"ChecksumAlgorithm": "CRC32"}
        md5 = hashlib.md5(data, usedforsecurity=False)
        return {"ContentMD5": base64.b64encode(md5.digest()).decode()}

    def _was_there(self, key: str, size: int) -> bool:
        """Whether an object of this size stood under the key when this store was first put into."""
        if key.startswith(f"{RUN_FOLDER}/"):
            return False
        with self._listing:
            if self._found is None:
                self._found = {item["Key"]: item["Size"] for item in self._listed("")}
        return self._found.get(self._name(key)) == size

    def _stands(self, key: str, headers: dict[str, Any], size: int, sha256: str) -> bool:
        """Whether the very same is stored: by size, checksum and what it was put with, never by its ETag alone."""
        head = self._head(key)
        if head is None or head["ContentLength"] != size or head.get("Metadata") != headers["Metadata"]:
            return False
        checksum = head.get("ChecksumSHA256")
        # What came in parts has a checksum of its parts' checksums; the store has verified each when it came.
        in_parts = "-" in head.get("ETag", "") or head.get("ChecksumType") == "COMPOSITE"
        return checksum is None or in_parts or base64.b64decode(checksum).hex() == sha256

    # ---- getting ---------------------------------------------------------------------------------------------------

    def get(self, key: str) -> bytes:
        """The bytes under `key`, as they were before they were compressed."""
        with self._reported(f"give {key}"):
            return self._fetch(key)

    def measure(self, key: str) -> StoredObject | None:
        """Size and SHA-256 of the object's content, fetched in pieces; None if there is none."""

        def once() -> StoredObject:
            whole, size = hashlib.sha256(), 0
            for piece in self._pieces(key):
                whole.update(piece)
                size += len(piece)
            return StoredObject(key, self.url(key), size, whole.hexdigest())

        with self._reported(f"give {key}"):
            try:
                return self._patience.call(once)
            except ClientError as error:
                if _code(error) in ("NoSuchKey", "404"):
                    return None
                raise

    def _fetch(self, key: str) -> bytes:
        def once() -> bytes:
            metadata: dict[str, str] = {}
            data = b"".join(self._pieces(key, metadata))
            expected = metadata.get("lidarprep-sha256")
            if expected is not None and hashlib.sha256(data).hexdigest() != expected:
                raise DamagedError(f"its SHA-256 is not {expected}, which it was stored with")
            return data

        return self._patience.call(once)

    def _pieces(self, key: str, metadata: dict[str, str] | None = None) -> Iterator[bytes]:
        answer = self._client.get_object(Bucket=self.bucket, Key=self._name(key), **self.options.payer)
        if metadata is not None:
            metadata.update(answer.get("Metadata", {}))
        pieces = answer["Body"].iter_chunks(_PIECE)
        return _decompressed(pieces, key) if answer.get("ContentEncoding") == "gzip" else iter(pieces)

    def _head(self, key: str) -> dict[str, Any] | None:
        mode = {} if self.options.checksums == "when_required" else {"ChecksumMode": "ENABLED"}
        try:
            head: dict[str, Any] = self._ask(self._client.head_object, Key=self._name(key), **mode)
        except ClientError as error:
            if _code(error) in ("404", "NoSuchKey", "NotFound"):
                return None
            raise
        return head

    def sizes(self, keys: Collection[str]) -> dict[str, int]:
        """The sizes of the objects' content, as before it was compressed."""
        with self._reported("be listed"):
            # A listing does not say what was compressed.
            if len(keys) <= _FEW or self.options.gzip:
                heads = dict(zip(keys, _each(self._head, keys), strict=True))
                return {key: _content_length(head) for key, head in heads.items() if head is not None}
            names = {self._name(key): key for key in keys}
            return {names[item["Key"]]: item["Size"] for item in self._listed("") if item["Key"] in names}

    def existing(self, keys: Collection[str]) -> set[str]:
        """Which of the keys have an object under them."""
        return set(self.sizes(keys))

    def list(self, prefix: str = "") -> Iterator[str]:
        """The keys under the prefix that begin with `prefix`."""
        with self._reported("be listed"):
            for item in self._listed(prefix):
                key = item["Key"].removeprefix(self._name(""))
                if prefix.startswith(RUN_FOLDER) or not key.startswith(f"{RUN_FOLDER}/"):
                    yield key

    def _listed(self, prefix: str) -> Iterator[dict[str, Any]]:
        """The objects whose keys begin with `prefix`, as a listing describes them."""
        token: dict[str, str] = {}
        while True:
            page = self._ask(self._client.list_objects_v2, Prefix=self._name(prefix), **token)
            yield from page.get("Contents", ())
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    # ---- taking away -----------------------------------------------------------------------------------------------

    def discard(self, keys: Collection[str]) -> None:
        """Deletes the objects; S3 passes over what is not there."""
        # One by one, side by side: some stores don't know how to delete many by one request.
        with self._reported("delete what was stored"):
            _each(lambda key: self._ask(self._client.delete_object, Key=self._name(key)), keys)
        with self._listing:
            for key in keys:
                (self._found or {}).pop(self._name(key), None)

    def sweep(self) -> None:
        """Removes the probe of a run that was killed, and aborts the uploads in parts that it has left.

        The parts of these cost money, and no listing of objects shows them.
        """
        if next(self.list(PROBE_KEY), None) is not None:
            self.discard([PROBE_KEY])
        try:
            _each(self._abort, list(self._unfinished()))
        except ClientError as error:
            # That is tidiness: who may not see such uploads, or a store that has none, can do without.
            log.warning("uploads that an earlier run has not finished are left: %s", error)

    def _unfinished(self) -> Iterator[tuple[str, str]]:
        marker: dict[str, str] = {}
        while True:
            page = self._ask(self._client.list_multipart_uploads, Prefix=self._name(""), **marker)
            for upload in page.get("Uploads", ()):
                if _OURS.fullmatch(upload["Key"].removeprefix(self._name(""))):
                    yield upload["Key"], upload["UploadId"]
            if not page.get("IsTruncated"):
                return
            marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def _abort(self, upload: tuple[str, str]) -> None:
        name, upload_id = upload
        try:
            self._ask(self._client.abort_multipart_upload, Key=name, UploadId=upload_id)
        except ClientError as error:
            if _code(error) != "NoSuchUpload":  # gone already
                raise

    def staged(self) -> S3Prefix:
        """This store itself: S3 cannot rename, so objects stand at once, and are deleted when a run is taken back."""
        return self

    def commit(self, keys: Collection[str]) -> None:
        """Does nothing: the objects stand already."""

    def roll_back(self, keys: Collection[str]) -> None:
        """Deletes the objects."""
        self.discard(keys)

    def stop(self) -> None:
        """From now on no request is tried again."""
        self._patience.end()

    def hurried(self) -> AbstractContextManager[None]:
        """Within the `with` statement a request that fails is tried for a few seconds."""
        return self._patience.at_most(_TIDY_S)

    # ---- naming ----------------------------------------------------------------------------------------------------

    def url(self, key: str) -> str:
        """`key` under the prefix of `url_base`, or as s3://bucket/prefix/key."""
        return under_base(self.url_base, key) if self.url_base else self.location(key)

    def location(self, key: str) -> str:
        """The object's own URL, s3://…"""
        return f"s3://{self.bucket}/{self._name(key)}"

    def fetch_url(self, key: str) -> str:
        """The URL for Scale: signed where that was asked for. A signed one is a secret: it is never recorded."""
        if self.presign_hours is None:
            return self.url(key)
        with self._reported(f"sign a URL for {key}"):
            url: str = self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self.bucket, "Key": self._name(key), **self.options.payer},
                ExpiresIn=round(self.presign_hours * 3600),
            )
        return url

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _ask(self, operation: Callable[..., Value], **arguments: Any) -> Value:
        """One request on the bucket, tried as long as there is patience."""
        return self._patience.call(lambda: operation(Bucket=self.bucket, **arguments, **self.options.payer))

    def _reported(self, what: str) -> AbstractContextManager[None]:
        return reported(f"s3://{self.bucket}", what, self._patience.seconds)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123  # a name as tempfile gives it
        return file.read()


def _decompressed(pieces: Iterable[bytes], key: str) -> Iterator[bytes]:
    inflate = zlib.decompressobj(wbits=31)
    try:
        for piece in pieces:
            yield inflate.decompress(piece)
        yield inflate.flush()
    except zlib.error as error:
        raise DamagedError(f"{key} says that it is compressed, and is not: {error}") from None
    if not inflate.eof:
        raise DamagedError(f"the end of {key}, which is compressed, is missing")


def _content_length(head: dict[str, Any]) -> int:
    length: str | int = head.get("Metadata", {}).get(_CONTENT_LENGTH, head["ContentLength"])
    return int(length)


def _each(function: Callable[[Item], Value], items: Collection[Item]) -> list[Value]:
    """The function's value for each item, asked for side by side.

    Raises:
        Exception: The first that the function has raised.
    """
    if len(items) <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(_SIDE_BY_SIDE, len(items))) as pool:
        # Each with as much patience as who asks for it: that is a context's.
        return list(pool.map(lambda one: one[0].run(function, one[1]), [(copy_context(), item) for item in items]))
