"""A path in a store, with the methods of `pathlib.Path` by which recordings are read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

if TYPE_CHECKING:
    from lidarprep.remote.options import AccessOptions

# How a URL begins: pathlib makes s3:/bucket/key of s3://bucket/key. One letter would be a drive.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://?")


@dataclass(frozen=True)
class RemoteStat:
    """What a store says of an object, by the names of `os.stat_result`.

    Args:
        st_size: Bytes.
        st_mtime_ns: When it was stored, nanoseconds since the Unix epoch.
        version: Its ETag, or its generation; "" where the server gives neither.
    """

    st_size: int
    st_mtime_ns: int
    version: str


class RemotePath(PathLike[str]):
    """An object, or a folder of objects, in a store or on a web server.

    `str()` and `os.fspath` give its URL without what may be secret in it: user, password, query. Paths made from one
    another (`parent`, `/`) share what was listed: a folder is listed once, and what is read has the version that the
    listing saw. It can be pickled; the listing stays behind.

    Methods raise FileNotFoundError where there is no such object, SourceChangedError where it is not the version any
    more that was first seen, and StorageError where the store cannot be reached or refuses.
    """

    def __init__(self, url: str, access: AccessOptions | None = None) -> None: ...

    # As of pathlib.PurePosixPath.
    name: str
    stem: str
    suffix: str
    parts: tuple[str, ...]

    @property
    def parent(self) -> RemotePath: ...  # type: ignore[empty-body]
    @property
    def parents(self) -> tuple[RemotePath, ...]: ...  # type: ignore[empty-body]
    def __truediv__(self, name: str) -> RemotePath: ...  # type: ignore[empty-body]
    def joinpath(self, *names: str) -> RemotePath: ...  # type: ignore[empty-body]
    def with_name(self, name: str) -> RemotePath: ...  # type: ignore[empty-body]
    def with_suffix(self, suffix: str) -> RemotePath: ...  # type: ignore[empty-body]
    def absolute(self) -> RemotePath: ...  # type: ignore[empty-body]
    def resolve(self) -> RemotePath: ...  # type: ignore[empty-body]
    def __fspath__(self) -> str: ...  # type: ignore[empty-body]

    # As of pathlib.Path.
    def exists(self) -> bool: ...  # type: ignore[empty-body]
    def is_file(self) -> bool: ...  # type: ignore[empty-body]
    def is_dir(self) -> bool: ...  # type: ignore[empty-body]
    def stat(self) -> RemoteStat: ...  # type: ignore[empty-body]
    def iterdir(self) -> Iterator[RemotePath]: ...  # type: ignore[empty-body]
    def read_bytes(self) -> bytes: ...  # type: ignore[empty-body]
    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str: ...  # type: ignore[empty-body]
    def open(self, mode: str = "rb", buffering: int = -1) -> BinaryIO: ...  # type: ignore[empty-body]

    # Its own.
    def local_copy(self) -> Path: ...  # type: ignore[empty-body]


AnyPath: TypeAlias = Path | RemotePath


def is_url(text: str) -> bool:
    """Tell whether a text is a URL, even one that pathlib has shortened, and not a file of such a name."""
    return _URL.match(text) is not None and not os.path.exists(text)  # noqa: PTH110


def as_path(path: str | PathLike[str], access: AccessOptions | None = None) -> AnyPath:
    """Return what a user named as a path: of the disk, or of a store if it is a URL."""
    if isinstance(path, RemotePath):
        return path
    text = os.fspath(path)
    return RemotePath(text, access) if is_url(text) else Path(path)
