"""A path in a store, with the methods of `pathlib.Path` by which recordings are read."""

from __future__ import annotations

import errno
import io
import os
import posixpath
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import replace
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias
from urllib.request import url2pathname

from lidarprep.remote.address import RemoteStat, StoreAddress, parse_url
from lidarprep.remote.listing import Listing

if TYPE_CHECKING:
    from lidarprep.remote.options import AccessOptions
    from lidarprep.remote.ranged import RangedFile

# How a URL begins: pathlib makes s3:/bucket/key of s3://bucket/key. One letter would be a drive.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://?")


class RemotePath(PathLike[str]):
    """An object, or a folder of objects, in a store or on a web server.

    `str()` and `os.fspath` give its URL without what may be secret in it: user, password, query. Paths made from one
    another (`parent`, `/`) share what was listed: a folder is listed once, and what is read has the version that was
    seen first. It can be pickled, with what is secret and with the version that was seen; the listing stays behind.

    Methods raise FileNotFoundError where there is no such object, SourceChangedError where it is not the version any
    more that was first seen, and StorageError where the store cannot be reached or refuses.

    Args:
        url: s3://bucket/key, gs://bucket/key, az://container/key, http://… or https://…
        access: How the store is reached.

    Raises:
        RecipeError: The URL is malformed, or of another scheme.
    """

    __slots__ = ("_address", "_key", "_listing")

    _address: StoreAddress
    _key: str
    _listing: Listing

    def __init__(self, url: str, access: AccessOptions | None = None) -> None:
        self._address, self._key = parse_url(url, access)
        self._listing = Listing(self._address, self._key)

    def _at(self, key: str) -> RemotePath:
        return RemotePath._of(self._listing, key)

    def __reduce__(self) -> tuple[Any, ...]:
        return RemotePath._unpickled, (self._listing, self._key, self._listing.known(self._key))

    @classmethod
    def _unpickled(cls, listing: Listing, key: str, seen: RemoteStat | None) -> RemotePath:
        if seen is not None:
            listing.note(key, seen)
        return cls._of(listing, key)

    @classmethod
    def _of(cls, listing: Listing, key: str) -> RemotePath:
        path = cls.__new__(cls)
        path._address, path._key, path._listing = listing.address, key, listing
        return path

    # ---- names, as of pathlib.PurePosixPath ---------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The last part; "" of a bucket."""
        return self._key.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self._key).stem

    @property
    def suffix(self) -> str:
        """The name's last suffix, with its dot."""
        return PurePosixPath(self._key).suffix

    @property
    def parts(self) -> tuple[str, ...]:
        """The bucket's URL, and the names from there."""
        return (self._address.url(""), *(self._key.split("/") if self._key else ()))

    @property
    def parent(self) -> RemotePath:
        """The folder that it is in; a bucket's own is the bucket."""
        return self._at(self._key.rpartition("/")[0])

    @property
    def parents(self) -> tuple[RemotePath, ...]:
        """All folders that it is in, from the inmost to the bucket."""
        return tuple(self._at("" if str(key) == "." else str(key)) for key in PurePosixPath(self._key).parents)

    def __truediv__(self, name: str) -> RemotePath:
        return self._at(posixpath.normpath(f"/{self._key}/{name}").lstrip("/"))

    def joinpath(self, *names: str) -> RemotePath:
        """Return the path of these names in turn."""
        return self / "/".join(names) if names else self

    def with_name(self, name: str) -> RemotePath:
        """Return the path of another name in the same folder."""
        return self.parent / name

    def with_suffix(self, suffix: str) -> RemotePath:
        """Return the path with another suffix."""
        return self.parent / PurePosixPath(self.name).with_suffix(suffix).name

    def absolute(self) -> RemotePath:
        """Return the path itself: a URL is absolute."""
        return self

    def resolve(self) -> RemotePath:
        """Return the path itself: stores have no links."""
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let pydantic take a path as it is, as a field of a model."""
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(cls, serialization=core_schema.to_string_ser_schema())

    def __fspath__(self) -> str:
        return self._address.url(self._key)

    def __str__(self) -> str:
        return self._address.url(self._key)

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and (self._address, self._key) == (other._address, other._key)

    def __lt__(self, other: RemotePath) -> bool:
        return str(self) < str(other)

    def __hash__(self) -> int:
        return hash((self._address, self._key))

    # ---- what is there, as of pathlib.Path ------------------------------------------------------------------------

    def exists(self) -> bool:
        """Tell whether there is such an object or folder."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Tell whether there is such an object."""
        return self._listing.is_object(self._key)

    def is_dir(self) -> bool:
        """Tell whether there are objects below it."""
        return self._listing.is_folder(self._key)

    def stat(self) -> RemoteStat:
        """Return size, time and version of the object."""
        found = self._listing.stat(self._key)
        if found is None:
            raise self._not_found()
        return found

    def iterdir(self) -> Iterator[RemotePath]:
        """Yield what is in the folder, in no order."""
        names = self._listing.names(self._key)
        if names is None:
            if self.is_file():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self))
            raise self._not_found()
        prefix = f"{self._key}/" if self._key else ""
        for name in names:
            yield self._at(prefix + name)

    def read_bytes(self) -> bytes:
        """Fetch all of the object."""
        data = self._listing.read(self._key)
        if data is None:
            raise self._not_found()
        return data

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """Fetch all of the object as text; UTF-8 unless told otherwise."""
        text = io.TextIOWrapper(io.BytesIO(self.read_bytes()), encoding or "utf-8", errors)
        return text.read()

    def open(self, mode: str = "rb", buffering: int = -1) -> BinaryIO:
        """Open the object; it is read by ranges, as much as is asked for.

        Args:
            mode: "rb".
            buffering: 0 for the raw file, which has `pread(size, offset)` for several threads.
        """
        if mode != "rb":
            raise ValueError(f"mode {mode!r}: an object is opened to read bytes, by 'rb'")
        raw = self.open_ranged()
        return raw if buffering == 0 else io.BufferedReader(raw, 2**16 if buffering < 2 else buffering)  # type: ignore[return-value]

    def open_ranged(self) -> RangedFile:
        """Open the object as a raw file whose ranges several threads may read."""
        raw = self._listing.open(self._key)
        if raw is None:
            raise self._not_found()
        return raw

    # ---- its own ----------------------------------------------------------------------------------------------------

    @property
    def was_named(self) -> bool:
        """Whether it is what a user named, or lies below: else a look at it lists what nobody has asked for."""
        return self._listing.covers(self._key)

    def reached_by(self, access: AccessOptions | None) -> RemotePath:
        """Return the path reached that way, if it was made without a word about that."""
        if access is None or self._address.access is not None:
            return self
        return RemotePath._of(Listing(replace(self._address, access=access), self._key), self._key)

    def as_named(self) -> RemotePath:
        """Return the same path as if a user had named it: as a folder it is listed as a whole."""
        return RemotePath._of(Listing(self._address, self._key), self._key)

    def local_copy(self) -> Path:
        """Fetch the object into a temporary file of the same name, once; it is deleted with the last of these paths."""
        copy = self._listing.local_copy(self._key)
        if copy is None:
            raise self._not_found()
        return copy

    def known_size(self) -> int | None:
        """Return the size of the object; None where that takes a request."""
        known = self._listing.known(self._key)
        return None if known is None else known.st_size

    def fetch(self, pool: Executor, released: Callable[[], None]) -> bool:
        """Begin to fetch all of the object, for the next that reads it; see `read_ahead`.

        Args:
            pool: Fetches it.
            released: Called once it is read or forgotten.

        Returns:
            False if it is being fetched already.
        """
        return self._listing.fetch(self._key, pool, released)

    def forget(self) -> None:
        """Drop what was fetched and not read."""
        self._listing.forget(self._key)

    def _not_found(self) -> FileNotFoundError:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))


AnyPath: TypeAlias = Path | RemotePath


def is_url(text: str) -> bool:
    """Tell whether a text is a URL, even one that pathlib has shortened, and not a file of such a name."""
    return _URL.match(text) is not None and not os.path.exists(text)  # noqa: PTH110


def as_path(path: str | PathLike[str], access: AccessOptions | None = None) -> AnyPath:
    """Return what a user named as a path: of the disk, or of a store if it is a URL.

    Raises:
        RecipeError: It is a URL that is malformed, or of a scheme that nothing is read from.
    """
    if isinstance(path, RemotePath):
        return path.reached_by(access)
    text = os.fspath(path)
    if not is_url(text):
        return Path(path)
    if text.lower().startswith("file://"):
        return Path(url2pathname(text[len("file://") :]))
    return RemotePath(text, access)
