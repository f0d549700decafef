"""Parts of a large file, by offset and by several threads at once: on the disk, or of an object in a store.

A store takes as long for a few bytes as for a megabyte. So ranges that are known ahead are fetched side by side, and
neighbouring ones together.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import repeat
from typing import BinaryIO, NamedTuple
from weakref import finalize

from lidarprep.remote.path import AnyPath, RemotePath
from lidarprep.remote.ranged import RangedFile
from lidarprep.remote.threads import reading_threads

# Requests side by side, and the bytes that they may ask for.
_REQUESTS = 16
_BYTES_AHEAD = 64 << 20

# Ranges are fetched together where so few bytes lie between them, up to so many together.
_GAP = 2 << 10
_TOGETHER = 1 << 20

# Reads bytes of the file: from an offset, so many; fewer where the file ends.
View = Callable[[int, int], bytes]


class Range(NamedTuple):
    """Bytes of a file."""

    start: int
    size: int

    @property
    def stop(self) -> int:
        """Where they end."""
        return self.start + self.size


class Ranges(ABC):
    """A file that is read by ranges.

    Args:
        size: Its bytes.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    @abstractmethod
    def read(self, start: int, count: int) -> bytes:
        """Read bytes, fewer where the file ends."""

    @abstractmethod
    def views(self, ranges: Sequence[Range]) -> Iterator[View]:
        """Yield for each range what reads it fast; it reads the rest of the file, too."""


def open_ranges(path: AnyPath) -> Ranges:
    """Open a file of the disk, which is closed with its last reference, or an object of a store."""
    if isinstance(path, RemotePath):
        return _Object(path.open_ranged())
    return _File(os.open(path, os.O_RDONLY))


def ranges_of(stream: BinaryIO) -> Ranges:
    """Return the ranges of a file that `path.open("rb")` has opened; of an object they are read while it is open."""
    raw = getattr(stream, "raw", stream)
    return _Object(raw) if isinstance(raw, RangedFile) else _File(os.dup(stream.fileno()))


class _File(Ranges):
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        finalize(self, os.close, self._descriptor)
        super().__init__(os.fstat(self._descriptor).st_size)

    def read(self, start: int, count: int) -> bytes:
        data = os.pread(self._descriptor, count, start)
        while len(data) < count:  # one read returns 2 GiB at most
            more = os.pread(self._descriptor, count - len(data), start + len(data))
            if not more:
                break
            data += more
        return data

    def views(self, ranges: Sequence[Range]) -> Iterator[View]:
        return repeat(self.read, len(ranges))


class _Object(Ranges):
    def __init__(self, file: RangedFile) -> None:
        self._file = file
        super().__init__(self._file.size)

    def read(self, start: int, count: int) -> bytes:
        return self._file.pread(count, start)

    def views(self, ranges: Sequence[Range]) -> Iterator[View]:
        with reading_threads(_REQUESTS, "ranges") as pool:
            waiting: deque[tuple[Range, int, Future[bytes]]] = deque()
            ahead = 0
            for together, ranges_in_it in _together(ranges):
                waiting.append((together, ranges_in_it, pool.submit(self._file.fetch, together.size, together.start)))
                ahead += together.size
                while len(waiting) > 2 * _REQUESTS or ahead > _BYTES_AHEAD:
                    ahead -= waiting[0][0].size
                    yield from self._views_of(*waiting.popleft())
            while waiting:
                yield from self._views_of(*waiting.popleft())

    def _views_of(self, together: Range, ranges_in_it: int, fetched: Future[bytes]) -> Iterator[View]:
        return repeat(partial(_view, self, together.start, fetched.result()), ranges_in_it)


def _view(of: Ranges, begin: int, held: bytes, start: int, count: int) -> bytes:
    at = start - begin
    if at >= 0 and (at + count <= len(held) or begin + len(held) >= of.size):
        return held[at : at + count]
    return of.read(start, count)


def _together(ranges: Iterable[Range]) -> Iterator[tuple[Range, int]]:
    """Yield ranges that are fetched at once, each with how many it covers: neighbours in the order given."""
    current: Range | None = None
    covered = 0
    for one in ranges:
        if current is not None:
            stop = max(current.stop, one.stop)
            if current.start <= one.start <= current.stop + _GAP and stop - current.start <= _TOGETHER:
                current, covered = Range(current.start, stop - current.start), covered + 1
                continue
            yield current, covered
        current, covered = one, 1
    if current is not None:
        yield current, covered
