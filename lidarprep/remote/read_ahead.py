"""Fetches objects before they are read: those of the next frames while the frames before them are worked on.

Each object is fetched whole, kept with its path, and given to the first that reads it or opens it. What is large is
left to be read by ranges.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from lidarprep.remote.path import AnyPath, RemotePath
from lidarprep.remote.threads import pool_of_readers

# What may be fetched and not be read yet, bytes.
MOST_BYTES = 2**26

# An object that is larger is read by ranges.
_LARGEST = 2**26

# What an object is taken to have, if nothing has said its size: who fetches many ahead knows that they are small.
_UNKNOWN = 2**16

# Requests at once: they wait for the network most of the time.
_THREADS = 16


class ReadAhead:
    """Fetches the objects of frames in their order, within a budget of bytes.

    An object that is read before it was begun to be fetched is fetched by who reads it: nothing waits for the budget.
    Errors are raised where the object is read.

    Args:
        frames: The objects that each frame alone reads, by its name; files of the disk are passed over.
        most_bytes: What may be fetched and not be read yet.
        given_up: Set where nobody waits for the frames any more: then no request is tried again.
    """

    def __init__(
        self,
        frames: Mapping[str, Sequence[AnyPath]],
        most_bytes: int = MOST_BYTES,
        given_up: threading.Event | None = None,
    ) -> None:
        self._frames = {
            name: list(dict.fromkeys(path for path in paths if isinstance(path, RemotePath)))
            for name, paths in frames.items()
        }
        self._waiting = deque(path for paths in self._frames.values() for path in paths)
        self._most_bytes = most_bytes
        self._held = 0
        self._lock = threading.Lock()
        self._given_up = given_up or threading.Event()
        self._pool = pool_of_readers(_THREADS, "lidarprep-fetch", self._given_up) if self._waiting else None
        self._fill()

    def finish(self, name: str) -> None:
        """Forget the objects of a frame that was worked on: what it did not read is never read."""
        for path in self._frames.pop(name, ()):
            path.forget()

    def close(self) -> None:
        """Fetch nothing more, try no request again, and forget what was not read."""
        self._given_up.set()
        with self._lock:
            self._waiting.clear()
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
        for name in list(self._frames):
            self.finish(name)

    def _fill(self) -> None:
        """Begin to fetch as many objects as there is room for."""
        with self._lock:
            while self._waiting and self._pool is not None:
                path = self._waiting[0]
                size = path.known_size() or _UNKNOWN
                if size > min(_LARGEST, self._most_bytes):
                    self._waiting.popleft()
                    continue
                if self._held + size > self._most_bytes:
                    return
                self._waiting.popleft()
                self._held += size
                if not path.fetch(self._pool, partial(self._release, size)):
                    self._held -= size

    def _release(self, size: int) -> None:
        with self._lock:
            self._held -= size
        self._fill()


@contextmanager
def prefetch(paths: Iterable[AnyPath], most_bytes: int = MOST_BYTES) -> Iterator[None]:
    """Fetch objects side by side that are read one after another inside the `with` statement; files are left alone.

    For readers that open many small files, such as the poses of a toolkit folder: one request after another would take
    minutes.
    """
    ahead = ReadAhead({"": list(paths)}, most_bytes)
    try:
        yield
    finally:
        ahead.close()
