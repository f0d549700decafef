"""A store in a bucket, under a prefix."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from lidarprep.errors import RecipeError, StorageError
from lidarprep.storage.s3.bucket import Bucket
from lidarprep.storage.s3.conditions import Conditions
from lidarprep.storage.s3.copying import Copying
from lidarprep.storage.s3.expiry import expiry_of_credentials
from lidarprep.storage.s3.fetching import Fetching
from lidarprep.storage.s3.options import S3Options
from lidarprep.storage.s3.retries import TIDY_S
from lidarprep.storage.s3.sending import Sending
from lidarprep.storage.s3.staging import Staging
from lidarprep.storage.s3.uploads import Uploads
from lidarprep.storage.store import (
    PROBE_KEY,
    RUN_FOLDER,
    STAGED,
    StoredObject,
    Tagged,
    describe,
    describe_file,
    is_of_the_disk,
    under_base,
)

log = logging.getLogger(__name__)

# What the probe before a run is tried for: somebody waits for it.
_PROBE_S = 20.0


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

    keeps_spools = False

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
        self.bucket = Bucket(parts.netloc, parts.path.strip("/"), options or S3Options())
        self.url_base = url_base
        self.presign_hours = presign_hours
        self._uploads = Uploads(self.bucket)
        self._copying = Copying(self.bucket, self._uploads)
        self._sending = Sending(self.bucket, self._copying, self._uploads)
        self._fetching = Fetching(self.bucket)
        self._staging: Staging | None = None
        self._conditions = Conditions(self.bucket, self._sending)

    def __repr__(self) -> str:
        return f"S3Prefix({self.location('').rstrip('/')})"

    @property
    def stages(self) -> bool:
        """Whether what this store is given is kept aside."""
        return self._staging is not None

    def check(self, needed_bytes: int | None = None) -> None:
        """Sees that the bucket is there, and may be listed.

        Raises:
            StorageError: It is not.
        """
        # Not by head_bucket: its answers have no body that could say what is wrong.
        bucket = self.bucket
        with bucket.patience.at_most(_PROBE_S), bucket.reported("be reached"):
            bucket.ask(bucket.client.list_objects_v2, Prefix=bucket.full_key(""), MaxKeys=1)

    def probe(self) -> None:
        """Puts, gets and deletes a small object, with the options that attachments are stored with.

        So a permission that is lacking, a wrong key or an ACL that is forbidden show before any work is done. The
        object's name is always the same: `sweep` removes what a run that was killed in the middle has left.
        """
        data = b"lidarprep looks whether it may store here.\n"
        with self.bucket.patience.at_most(_PROBE_S):
            try:
                with self.bucket.reported("take a probe"):
                    self._sending.send_probe(PROBE_KEY, data)
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

    def put(self, key: str, data: bytes, content_type: str) -> StoredObject:
        """Puts the bytes as one object, large ones in parts; with checksums that the store verifies."""
        stored = describe(key, self.url(key), data)
        with self.bucket.reported(f"take {key}"):
            self._sending.send(stored, data, content_type, self._target(key))
        return stored

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
        with self.bucket.reported(f"take {key}"):
            self._sending.send_file(stored, Path(file.name), content_type, self._target(key))
        return stored

    def get(self, key: str) -> bytes:
        """The bytes under `key`, as they were before they were compressed."""
        with self.bucket.reported(f"give {key}"):
            return self._fetching.get(key)

    def measure(self, key: str) -> StoredObject | None:
        """Size and SHA-256 of the object's content, fetched in pieces; None if there is none."""
        with self.bucket.reported(f"give {key}"):
            found = self._fetching.measure(self._target(key))
        return None if found is None else StoredObject(key, self.url(key), *found)

    def sizes(self, keys: Collection[str]) -> dict[str, int]:
        """The sizes of the objects' content, as before it was compressed; of what is kept aside, where it is."""
        targets = {self._target(key): key for key in keys}
        with self.bucket.reported("be listed"):
            return {targets[target]: size for target, size in self._fetching.sizes(targets.keys()).items()}

    def existing(self, keys: Collection[str]) -> set[str]:
        """Which of the keys have an object under them."""
        with self.bucket.reported("be listed"):
            return self._fetching.existing(keys)

    def list(self, prefix: str = "") -> Iterator[str]:
        """The keys under the prefix that begin with `prefix`."""
        with self.bucket.reported("be listed"):
            for key, _ in self.bucket.listed(prefix):
                if prefix.startswith(RUN_FOLDER) or not key.startswith(f"{RUN_FOLDER}/"):
                    yield key

    def discard(self, keys: Collection[str]) -> None:
        """Deletes the objects; S3 passes over what is not there."""
        with self.bucket.reported("delete what was stored"):
            self.bucket.delete(keys)
        self._sending.forget(keys)

    def get_tagged(self, key: str) -> Tagged | None:
        """The bytes under `key` and their ETag; None if there are none."""
        with self.bucket.reported(f"give {key}"):
            return self._conditions.get_tagged(key)

    def put_if(self, key: str, data: bytes, tag: str | None) -> str | None:
        """Puts the bytes in place of exactly what has the ETag, or of nothing; gives theirs, None if that failed."""
        with self.bucket.reported(f"take {key}"):
            return self._conditions.put_if(key, data, tag, "application/json")

    def discard_if(self, key: str, tag: str) -> None:
        """Deletes the object if it has the ETag."""
        with self.bucket.reported(f"delete {key}"):
            self._conditions.delete_if(key, tag)

    def guard(self, check: Callable[[], None] | None) -> None:
        """Calls `check` before each request that changes anything but the lock."""
        self.bucket.guard = check

    def sweep(self, keys: Collection[str] = ()) -> None:
        """Removes the probe of a run that was killed, and aborts the uploads in parts that it has left."""
        if next(self.list(PROBE_KEY), None) is not None:
            self.discard([PROBE_KEY])
        if keys:
            self._uploads.abort({*keys, *(STAGED + key for key in keys)})

    def staged(self, aside: bool = False) -> S3Prefix:
        """This store, by the same connection: itself, or one that keeps all aside.

        S3 cannot rename, and a copy of each object takes time. So where nothing stands that must last, each stands at
        once, and is deleted when the run is taken back; the manifest, which comes last, says that all are there.
        """
        staged = copy(self)
        if aside:
            staged._staging = Staging(self.bucket, self._copying)
        return staged

    def in_the_way(self, keys: Sequence[str]) -> set[str]:
        """What stands; where objects stand at once, only a manifest can be another's."""
        return self.existing(keys[-1:] if self._staging is None else keys)

    def commit(self, keys: Sequence[str]) -> None:
        """Copies what is kept aside to its place; what stands already is passed over."""
        if self._staging is not None and keys:
            with self.bucket.reported("put what was stored in its place"):
                self._staging.commit(keys)
            self._sending.forget(keys)

    def roll_back(self, keys: Collection[str]) -> None:
        """Deletes all that is kept aside, or the objects where they stand; and what is left of uploads in parts."""
        if self._staging is None:
            self.discard(keys)
        else:
            with self.bucket.reported("delete what was stored"):
                self._staging.remove()
        self._uploads.abort_tried()

    def stop(self) -> None:
        """From now on no request is tried again; those that are under way fail."""
        self.bucket.stop()

    def hurried(self) -> AbstractContextManager[None]:
        """Within the `with` statement a request that fails is tried for a few seconds."""
        return self.bucket.patience.at_most(TIDY_S)

    def url(self, key: str) -> str:
        """`key` under the prefix of `url_base`, or as s3://bucket/prefix/key."""
        return under_base(self.url_base, key) if self.url_base else self.location(key)

    def location(self, key: str) -> str:
        """The object's own URL, s3://…"""
        return self.bucket.location(key)

    def fetch_url(self, key: str) -> str:
        """The URL for Scale: signed where that was asked for. A signed one is a secret: it is never recorded."""
        if self.presign_hours is None:
            return self.url(key)
        bucket = self.bucket
        with bucket.reported(f"sign a URL for {key}"):
            url: str = bucket.client.generate_presigned_url(
                "get_object",
                Params={"Bucket": bucket.name, "Key": bucket.full_key(key), **bucket.options.payer},
                ExpiresIn=round(self.presign_hours * 3600),
            )
        return url

    def fetch_urls_expire_at(self) -> int | None:
        """After the hours that were asked for, or with the credentials that sign, if these run out before."""
        if self.presign_hours is None:
            return None
        with self.bucket.reported("sign URLs"):
            credentials_expire_at = expiry_of_credentials(self.bucket.client)
        expire_at = time.time() + self.presign_hours * 3600
        return int(expire_at if credentials_expire_at is None else min(expire_at, credentials_expire_at))

    def _target(self, key: str) -> str:
        """What `key` is put under: itself, or where it is kept aside."""
        return key if self._staging is None else STAGED + key
