"""A file object over an object in a store, read by ranges."""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lidarprep.errors import SourceChangedError, StorageError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from lidarprep.remote.address import RemoteStat
    from lidarprep.remote.store import RemoteStore

# What is fetched at once, at least; what is fetched at once where a file is read from one end to the other; and what is
# kept of one file, bytes.
BLOCK = 2**17
_MOST_AHEAD = 2**22
_KEPT = 2**24


class RangedFile(io.RawIOBase):
    """An object, read by ranges in blocks; the blocks that were used last are kept.

    `pread` may be called by several threads at once; the methods of a file object have one position.

    Args:
        store: Where it is.
        key: Its key.
        stat: Its size, and the version that all that is read must be of.
    """

    def __init__(self, store: RemoteStore, key: str, stat: RemoteStat) -> None:
        super().__init__()
        self._store = store
        self._key = key
        self._stat = stat
        self._at = 0
        self._next = 0  # where the last read has ended
        self._ahead = 0  # what is fetched beyond what is asked for, since reads follow one another
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return self._stat.st_size

    def pread(self, size: int, offset: int) -> bytes:
        """Return the bytes from an offset, fewer at the end; as `os.pread` of a file."""
        return self._read(offset, size, 0)

    def fetch(self, size: int, offset: int) -> bytes:
        """Return the bytes from an offset by a request for just them, fewer at the end; they are not kept."""
        stop = min(offset + size, self.size)
        return self._fetch(offset, stop) if offset < stop else b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, which may be beyond the end."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"a position before the beginning: {base + offset}")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read as much as there is room for."""
        view = memoryview(buffer).cast("B")
        if self._at == self._next and self._at:
            self._ahead = min(max(BLOCK, 2 * self._ahead), _MOST_AHEAD)
        elif self._at != self._next:
            self._ahead = 0
        data = self._read(self._at, len(view), self._ahead)
        view[: len(data)] = data
        self._at += len(data)
        self._next = self._at
        return len(data)

    def readall(self) -> bytes:
        """Read from the position to the end, by one request unless it is there already."""
        data = self._read(self._at, max(0, self.size - self._at), 0)
        self._at = self._next = max(self._at, self.size)
        return data

    def _read(self, start: int, size: int, ahead: int) -> bytes:
        stop = min(start + size, self.size)
        if start >= stop:
            return b""
        first, last = start // BLOCK, (stop - 1) // BLOCK
        with self._lock:
            held = {number: self._blocks[number] for number in range(first, last + 1) if number in self._blocks}
            for number in held:
                self._blocks.move_to_end(number)
        missing = [number for number in range(first, last + 1) if number not in held]
        if not missing:
            return _joined(held, first, last, start, stop)
        # One request from the first block that is missing to the last: a second one takes longer than a few blocks.
        fetched_from = missing[0] * BLOCK
        fetched_to = min((missing[-1] + 1) * BLOCK + ahead, self.size)
        data = self._fetch(fetched_from, fetched_to)
        self._keep(missing[0], data)
        if fetched_from <= start and stop <= fetched_to:
            return data[start - fetched_from : stop - fetched_from]
        for at in range(0, len(data), BLOCK):
            held[missing[0] + at // BLOCK] = data[at : at + BLOCK]
        return _joined(held, first, last, start, stop)

    def _fetch(self, start: int, stop: int) -> bytes:
        got = self._store.get(self._key, self._stat, start, stop)
        if got is None:
            raise SourceChangedError(self._store.address.url(self._key))
        return got[0]

    def _keep(self, number: int, data: bytes) -> None:
        """Keep the last of the blocks, as many as are kept."""
        skipped = max(0, -(-len(data) // BLOCK) - _KEPT // BLOCK)
        with self._lock:
            for at in range(skipped * BLOCK, len(data), BLOCK):
                self._blocks[number + at // BLOCK] = data[at : at + BLOCK]
            while len(self._blocks) * BLOCK > _KEPT:
                self._blocks.popitem(last=False)


def _joined(blocks: dict[int, bytes], first: int, last: int, start: int, stop: int) -> bytes:
    data = b"".join(blocks[number] for number in range(first, last + 1))
    return data[start - first * BLOCK : stop - first * BLOCK]


@contextmanager
def copying() -> Iterator[None]:
    """Make a StorageError of a full or failing disk while an object is copied to a temporary file."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"a temporary file cannot be written ({error.strerror or error})",
            fix="Make room there, or name another folder by the environment variable TMPDIR.",
        ) from error


class CopiedFile(RangedFile):
    """An object of a server that gives whole objects only: a temporary copy of it, which is gone when it is closed."""

    def __init__(self, store: RemoteStore, key: str, stat: RemoteStat) -> None:
        super().__init__(store, key, stat)
        with copying():
            self._copy = tempfile.TemporaryFile(prefix="lidarprep-")  # noqa: SIM115  # `close` closes it
            store.get_file(key, stat, self._copy)
            self._copy.flush()

    def close(self) -> None:
        """Delete the copy."""
        self._copy.close()
        super().close()

    def _read(self, start: int, size: int, ahead: int) -> bytes:
        return os.pread(self._copy.fileno(), size, start)

    def _fetch(self, start: int, stop: int) -> bytes:
        return os.pread(self._copy.fileno(), stop - start, start)


class FetchedFile(RangedFile):
    """An object that was fetched as a whole."""

    def __init__(self, store: RemoteStore, key: str, stat: RemoteStat, data: bytes) -> None:
        super().__init__(store, key, stat)
        self._data = data

    def _read(self, start: int, size: int, ahead: int) -> bytes:
        return self._data[start : start + size]

    def _fetch(self, start: int, stop: int) -> bytes:
        return self._data[start:stop]
