"""A store in a bucket of Google Cloud Storage, or in a container of Azure Blob Storage."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote

from lidarprep.errors import ManifestConflictError, RecipeError, StorageError
from lidarprep.remote.address import parse_url
from lidarprep.remote.bucket import Bucket
from lidarprep.remote.faults import NO_BUCKET_CODES, code_of, status_of
from lidarprep.remote.stores import require_obstore
from lidarprep.storage.files import temporary_file_of_the_system
from lidarprep.storage.options import ACCESS_OPTIONS, StorageOptions
from lidarprep.storage.store import CACHE_PREFIX, FetchUrl, ObjectInfo, in_threads

Value = TypeVar("Value")

# A file is sent in parts of so many bytes, of which so many are in memory at once.
_PART = 8 * 2**20
_PARTS_AT_ONCE = 4

# Requests for many small objects that are under way at once.
_SIDE_BY_SIDE = 16

# What the check before a run is tried for: somebody waits for it.
_CHECK_S = 20.0

# The ETag that Google gives what was not put in parts, and is not encrypted by a key of the customer.
_MD5 = re.compile(r'"([0-9a-f]{32})"')

# Options that the clouds have no equivalent of, or that obstore cannot set.
_UNHEEDED = {
    "gs": (*ACCESS_OPTIONS, "acl", "sse", "kms_key", "tags"),
    "az": (*ACCESS_OPTIONS, "acl", "sse", "kms_key"),
}
# obstore signs a path as it is escaped, and Azure wants it unescaped: only what needs no escapes can be signed for.
_SIGNED_RIGHTLY = re.compile(r"[A-Za-z0-9._~/=+@,-]*")

_TIERS = {"HOT": "Hot", "COOL": "Cool", "COLD": "Cold"}


class CloudStore:
    """A store in a bucket or a container, under a prefix.

    Args:
        destination: gs://bucket/prefix or az://container/prefix.
        options: What objects are stored with. How the cloud is reached, the environment says.

    Raises:
        RecipeError: The destination is malformed, or the options ask for what only S3 can do.
        StorageError: There are no credentials.
        MissingExtraError: obstore is not installed.
    """

    def __init__(self, destination: str, options: StorageOptions) -> None:
        self._address, self.prefix = parse_url(destination, options)
        self.options = options
        _require_heeded(self._address.scheme, destination, options)
        if options.presign_hours and self._address.scheme == "az" and not _SIGNED_RIGHTLY.fullmatch(self.prefix):
            raise RecipeError(
                f"URLs below {destination} cannot be signed",
                fix="Give a prefix of a-z, A-Z, 0-9 and . _ ~ / = + @ , - only.",
            )
        require_obstore("destinations of gs:// and az://")
        self._bucket = Bucket(self._address)
        self._is_checked = False

    def __repr__(self) -> str:
        return f"CloudStore({self.location('')})"

    def check(self) -> None:
        """Check that the bucket is there, may be listed, and takes an object with the options that objects have."""
        if self._is_checked:
            return
        key = f"{CACHE_PREFIX}check"
        data = b"lidarprep checks whether it may store here.\n"
        self._ask("", "be listed", lambda bucket: bucket.list_with_delimiter(self._full(key)), at_most_s=_CHECK_S)
        headers = self._attributes("frames/check", "text/plain")
        self._put(key, data, headers, at_most_s=_CHECK_S)
        self._delete(key, at_most_s=_CHECK_S)
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
        """Put the bytes as one object; what Google says of their MD5 is compared."""
        answer = self._put(key, data, self._attributes(key, content_type, encoding))
        stored = _MD5.fullmatch(answer["e_tag"] or "")
        # That of an object with a key of the customer's own is no MD5, whatever it looks like.
        if stored and stored[1] != hashlib.md5(data, usedforsecurity=False).hexdigest() and self.get(key) != data:
            raise StorageError(f"{self.location(key)} was damaged on its way", fix="Run the same command again.")

    def temporary_file(self) -> AbstractContextManager[BinaryIO]:
        """Open a file in the system's folder for temporary ones."""
        return temporary_file_of_the_system()

    def put_file(self, key: str, file: BinaryIO, content_type: str, *, sha256: str) -> None:
        """Send the file in parts, and compare its size."""
        file.flush()
        path, full = Path(file.name), self._full(key)
        attributes = self._attributes(key, content_type)

        def upload(bucket: Any) -> int:
            bucket.put(
                full,
                path,
                attributes=attributes,
                tags=self._tags(),
                chunk_size=_PART,
                max_concurrency=_PARTS_AT_ONCE,
            )
            size: int = bucket.head(full)["size"]
            return size

        stored, size = self._ask(key, "be stored", upload, is_long=True), path.stat().st_size
        if stored != size:
            raise StorageError(
                f"{self.location(key)} has {stored:,} bytes in place of {size:,}", fix="Run the same command again."
            )

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Fetch the object, or a part of it."""
        found = self._fetch(key, start, stop)
        return None if found is None else found[0]

    def sizes(self, prefix: str) -> dict[str, ObjectInfo]:
        """List the objects below a folder, or those of a folder that begin alike."""
        folder, _, beginning = prefix.rpartition("/")
        full = self._full(folder).rstrip("/")
        own = len(self._full(""))
        if prefix and not beginning:
            found = ((key[own:], stat) for key, stat in self._bucket.list_all(full))
        else:
            _, objects = self._bucket.list_folder(full)
            keys = ((f"{folder}/{name}".lstrip("/"), stat) for name, stat in objects.items())
            found = ((key, stat) for key, stat in keys if stat is not None and key.startswith(prefix))
        return {key: ObjectInfo(stat.st_size, stat.st_mtime_ns / 1e9) for key, stat in found}

    def delete(self, keys: Collection[str]) -> None:
        """Delete the objects one by one, side by side."""
        for _ in in_threads(self._delete, keys, _SIDE_BY_SIDE):
            pass

    def delete_unfinished(self, before: float) -> None:
        """Do nothing: obstore cannot list uploads in parts.

        Azure drops the parts of an upload that is not completed after a week, Google by a rule of the bucket
        (AbortIncompleteMultipartUpload).
        """

    def read_current(self, key: str) -> tuple[bytes, str] | None:
        """Fetch the object; its version is its generation, or its ETag in Azure."""
        return self._fetch(key)

    def replace(self, key: str, data: bytes, *, if_version: str | None) -> None:
        """Put the object on the condition that there is none, or that it has this generation or ETag."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        of_version = "version" if self._address.scheme == "gs" else "e_tag"
        mode = "create" if if_version is None else {of_version: if_version}
        full, attributes = self._full(key), self._attributes(key, "application/json", is_mutable=True)

        def put(bucket: Any) -> bool:
            try:
                bucket.put(full, data, mode=mode, attributes=attributes, tags=self._tags(), use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return False
            return True

        if not self._ask(key, "be stored", put):
            # The answer to an earlier attempt may have been lost.
            current = self.read_current(key)
            if current is None or current[0] != data:
                raise ManifestConflictError(self.location(key))

    def url(self, key: str) -> str:
        """Return the URL that Scale reads the object by: gs://…, or of Azure https://ACCOUNT.blob.core.windows.net/…"""
        base = self.options.url_base
        if base is None and self._address.scheme == "gs":
            return self.location(key)
        return f"{base.rstrip('/')}/{quote(key)}" if base else f"{self._web}/{quote(self._full(key))}"

    def location(self, key: str) -> str:
        """Return the object's own URL, gs://… or az://…"""
        return f"{self._address.scheme}://{self._address.name}/{self._full(key)}"

    def fetch_url(self, key: str) -> FetchUrl:
        """Return the URL for Scale; a signed one is a secret: it is never recorded."""
        hours = self.options.presign_hours
        if hours is None:
            return FetchUrl(self.url(key), None)
        import obstore

        lasts = timedelta(hours=hours)
        expires_at = int(time.time() + lasts.total_seconds())
        url = self._ask(key, "be signed for", lambda bucket: obstore.sign(bucket, "GET", self._full(key), lasts))
        return FetchUrl(url, expires_at)

    def close(self) -> None:
        """Try nothing again from now on."""
        self._bucket.close()

    @property
    def _web(self) -> str:
        return f"{self._bucket.endpoint}/{self._address.name}"

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _ask(
        self,
        key: str,
        what: str,
        request: Callable[[Any], Value],
        *,
        at_most_s: float | None = None,
        is_long: bool = False,
    ) -> Value:
        return self._bucket.ask(self._full(key).rstrip("/"), what, request, at_most_s=at_most_s, is_long=is_long)

    def _fetch(self, key: str, start: int = 0, stop: int | None = None) -> tuple[bytes, str] | None:
        """Return an object's bytes and its version; none that begin after its end."""
        options: dict[str, Any] = {}
        if stop is not None:
            options["range"] = (start, stop)
        elif start:
            options["range"] = {"offset": start}

        def fetch(bucket: Any) -> tuple[bytes, str] | None:
            try:
                answer = bucket.get(self._full(key), options=options)
            except FileNotFoundError as error:
                if code_of(error) in NO_BUCKET_CODES:
                    raise
                return None
            except Exception as error:
                if status_of(error) == 416 or "Wanted range starting at" in str(error):
                    return b"", ""
                raise
            meta = answer.meta
            version = meta["version"] if self._address.scheme == "gs" else meta["e_tag"]
            return bytes(answer.bytes()), version or ""

        return self._ask(key, "be fetched", fetch)

    def _put(self, key: str, data: bytes, attributes: dict[str, str], *, at_most_s: float | None = None) -> Any:
        return self._ask(
            key,
            "be stored",
            lambda bucket: bucket.put(
                self._full(key), data, attributes=attributes, tags=self._tags(), use_multipart=False
            ),
            at_most_s=at_most_s,
        )

    def _delete(self, key: str, *, at_most_s: float | None = None) -> None:
        def delete(bucket: Any) -> None:
            with contextlib.suppress(FileNotFoundError):
                bucket.delete(self._full(key))

        self._ask(key, "be deleted", delete, at_most_s=at_most_s)

    def _tags(self) -> dict[str, str] | None:
        return dict(self.options.tags) or None

    def _attributes(
        self, key: str, content_type: str, encoding: str | None = None, *, is_mutable: bool = False
    ) -> dict[str, str]:
        """Return what an object is put with, by obstore's names.

        Cache entries are seen by nobody else: they are of the bucket's own storage class.
        """
        options, passing = self.options, key.startswith(CACHE_PREFIX)
        tier = options.storage_class
        headers = {
            "Content-Type": content_type,
            "Content-Encoding": encoding,
            "Cache-Control": None if passing or is_mutable else options.cache_control,
            "Storage-Class": None if passing or tier is None else _TIERS.get(tier, tier),
        }
        return {name: value for name, value in headers.items() if value is not None}


def _require_heeded(scheme: str, destination: str, options: StorageOptions) -> None:
    """Refuse options that the cloud cannot heed.

    Raises:
        RecipeError: One of them is given.
    """
    fields = type(options).model_fields
    unheeded = [name for name in _UNHEEDED[scheme] if getattr(options, name) != fields[name].default]
    if unheeded:
        raise RecipeError(
            f"{', '.join(unheeded)}: that is for s3://bucket/prefix, and {destination} is not on S3",
            fix="Leave that out: account and credentials are those of the cloud's own tools, from the environment.",
        )
    if scheme == "az" and options.storage_class is not None and options.storage_class not in _TIERS:
        raise RecipeError(
            f"{options.storage_class!r} is no storage_class of Azure that can be read at once",
            fix=f"Give one of {', '.join(_TIERS)}.",
        )
