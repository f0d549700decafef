"""Addresses of objects: which store a URL is of, and the key there; and what a store says of an object."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from lidarprep.errors import RecipeError

if TYPE_CHECKING:
    from lidarprep.remote.options import AccessOptions

_SCHEMES = ("s3", "gs", "az", "http", "https")

# The same object has two URLs in Azure; see
# https://learn.microsoft.com/en-us/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata.
_AZURE_HOST = re.compile(r"([a-z0-9]{3,24})\.blob\.core\.windows\.net")

_EXAMPLES = "Write s3://bucket/key, gs://bucket/key, az://container/key or https://host/path."


@dataclass(frozen=True)
class RemoteStat:
    """What a store says of an object, by the names of `os.stat_result`.

    Args:
        st_size: Bytes.
        st_mtime_ns: When it was stored, nanoseconds since the Unix epoch.
        version: What tells this content from any other: its ETag without quotes, or the time where there is none; ""
            where the store says neither.
        if_match: The ETag as a request sends it; None where there is none that a condition may be put on.
    """

    st_size: int
    st_mtime_ns: int
    version: str
    if_match: str | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, size: int, mtime_ns: int, e_tag: str | None) -> RemoteStat:
        """Return what is said by the header or the listing that an ETag is from."""
        if not e_tag:
            return cls(size, mtime_ns, str(mtime_ns) if mtime_ns else "")
        value = e_tag.removeprefix("W/").strip('"')
        return cls(size, mtime_ns, value, None if e_tag.startswith("W/") else f'"{value}"')

    def is_same(self, other: RemoteStat) -> bool:
        """Tell whether another answer is about the same content."""
        return (self.st_size, self.version) == (other.st_size, other.version)


@dataclass(frozen=True)
class StoreAddress:
    """A bucket, a container or a web server, and how it is reached.

    Args:
        scheme: "s3", "gs", "az", "http" or "https".
        name: Bucket, container, or host and port.
        account: The storage account of an Azure URL; "" for that of the environment.
        user: User and password of a web server's URL, as they are written there.
        query: Query of the URL: a signature. On a web server it is of one object, `only_key`.
        only_key: The key of the only object, where the URL has a query or an escaped slash: no other has such a URL.
        only_path: Path of its URL, as it was written.
        access: How it is reached.
    """

    scheme: str
    name: str
    account: str = ""
    user: str = field(default="", repr=False)
    query: str = field(default="", repr=False)
    only_key: str = ""
    only_path: str = field(default="", repr=False)
    access: AccessOptions | None = None

    def url(self, key: str) -> str:
        """Return the URL of an object, without what is secret."""
        if self.account:
            return f"https://{self.account}.blob.core.windows.net/{self.name}/{quote(key)}"
        if self.only_key and key == self.only_key:
            return f"{self.scheme}://{self.name}{self.only_path}"
        # Keys of S3 and GCS are written as they are; web servers take quoted ones.
        return f"{self.scheme}://{self.name}/{quote(key) if self.is_web else key}"

    @property
    def is_web(self) -> bool:
        """Whether it is a web server, and not a bucket."""
        return self.scheme in ("http", "https")


def parse_url(url: str, access: AccessOptions | None) -> tuple[StoreAddress, str]:
    """Return the store and the key of a URL.

    Raises:
        RecipeError: It is malformed, or of another scheme. The message holds no query and no password.
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator:
        shown = url.partition("?")[0]
        raise RecipeError(
            f"{shown!r} is not a URL: one slash is missing", fix=f"{_EXAMPLES} pathlib.Path takes a slash: use a str."
        )
    if scheme not in _SCHEMES:
        raise RecipeError(f"{scheme}:// is not a place that lidarprep can read from", fix=_EXAMPLES)
    if scheme not in ("http", "https"):
        bucket, _, key = rest.partition("/")
        if not bucket or "?" in bucket or "@" in bucket:
            raise RecipeError(f"'{scheme}://{bucket.partition('?')[0]}' names no bucket", fix=_EXAMPLES)
        return StoreAddress(scheme, bucket, access=access), _key(key)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise RecipeError(f"a URL of {scheme}:// names no host", fix=_EXAMPLES)
    azure = _AZURE_HOST.fullmatch(host)
    key = _key(unquote(parts.path))
    if azure is not None and key:
        container, _, key = key.partition("/")
        return StoreAddress("az", container, account=azure[1], query=parts.query, access=access), key
    user, _, at = parts.netloc.rpartition("@")
    # An escaped slash is none between two folders.
    only = {"only_key": key, "only_path": parts.path} if parts.query or "%2f" in parts.path.lower() else {}
    return StoreAddress(scheme, at, user=user, query=parts.query, access=access, **only), key


def _key(text: str) -> str:
    return posixpath.normpath(f"/{text}").lstrip("/")
