"""The operations of a store: immutable objects under content-named keys, and the few that are replaced as a whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MANIFEST_KEY = "manifest.json"

# Keys below it are the results of finished frames of a run that has not written its manifest yet.
CACHE_PREFIX = ".lidarprep/"

# Folders of content-named objects; a Sensor Fusion Scene is beside the manifest.
OBJECT_FOLDERS = ("frames", "images", "kept")


@dataclass(frozen=True)
class ObjectInfo:
    """What a listing says of an object.

    Args:
        bytes: Size, as stored.
        modified: When it was stored, seconds since the Unix epoch by the store's own clock.
    """

    bytes: int
    modified: float


@dataclass(frozen=True)
class FetchUrl:
    """A URL that Scale is given; a signed one is a secret, and not part of its text.

    Args:
        url: The URL.
        expires_at: When it expires, seconds since the Unix epoch; None for never.
    """

    url: str = field(repr=False)
    expires_at: int | None


class Store(Protocol):
    """A place for attachments. All methods may be called from several threads at once.

    An object is whole or not there, and durable once a mutable one is replaced. A method raises a StorageError if the
    store cannot be reached, refuses, or fails beyond its retry budget.
    """

    def check(self) -> int | None:
        """Check that the store can be read and written, before any work is done.

        Returns:
            The free space in bytes; None if it is unknown or unlimited.
        """

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
        """Store bytes under a key; what is there already is replaced.

        Args:
            key: Parts separated by "/".
            data: The bytes.
            content_type: Media type.
            sha256: SHA-256 of `data`, 64 hex digits.
            encoding: Content-Encoding of `data`.
            source: A file with the same bytes, whose blocks the store may share in place of writing them.
        """

    def temporary_file(self) -> AbstractContextManager[BinaryIO]:
        """Open a file (mode "w+b") for what is too large for memory, where `put_file` finds it handy.

        It is gone at the end of the `with` statement.
        """

    def put_file(self, key: str, file: BinaryIO, content_type: str, *, sha256: str) -> None:
        """Store all of a file from `temporary_file`; nothing may be written to it afterwards."""

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes | None:
        """Return the stored bytes from `start` to `stop`, fewer at the end; None if there is no such object."""

    def sizes(self, prefix: str) -> dict[str, ObjectInfo]:
        """List the objects whose keys begin with a prefix."""

    def delete(self, keys: Collection[str]) -> None:
        """Delete objects; one that is not there is passed over."""

    def delete_unfinished(self, before: float) -> None:
        """Delete what killed runs left half-written before a time: temporary files, uploads in parts."""

    def read_current(self, key: str) -> tuple[bytes, str] | None:
        """Return what is stored under the key of a mutable object, and its version; None if there is nothing.

        Mutable are the manifest of a scene (`MANIFEST_KEY`) and the ledger of a batch.
        """

    def replace(self, key: str, data: bytes, *, if_version: str | None) -> None:
        """Replace a mutable object if it still has the version that was read; None if there must be nothing yet.

        A store without conditional writes replaces it in any case.

        Raises:
            ManifestConflictError: It has been replaced since it was read.
        """

    def url(self, key: str) -> str:
        """Return the URL of an object as manifests record it; never a signed one."""

    def location(self, key: str) -> str:
        """Return the URL under which this machine finds an object: file://, s3://, gs:// or az://."""

    def fetch_url(self, key: str) -> FetchUrl:
        """Return the URL that Scale is given for an object; signed if the options ask for that."""

    def close(self) -> None:
        """Give up what is under way: a request that fails from now on is not tried again."""


def in_threads(
    function: Callable[[Item], Result], items: Collection[Item], threads: int
) -> Generator[Result, None, None]:
    """Yield the result of each item in their order, so many at once.

    After an error no more are begun, and those under way are waited for; after a stop they are not.
    """
    pool = ThreadPoolExecutor(max(1, min(threads, len(items))), thread_name_prefix="lidarprep")
    try:
        yield from pool.map(function, items)
    except Exception:
        pool.shutdown(cancel_futures=True)
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
