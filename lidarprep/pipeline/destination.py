"""Where a run stores."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from lidarprep.recipe import StorageOptions
from lidarprep.storage import Store, open_store


class RunStoppedError(Exception):
    """The run that a frame belongs to is being stopped; never seen by a caller of `prepare`."""


@dataclass(frozen=True)
class Destination:
    """Where a run stores, as data that another process could open too.

    Args:
        out: A folder, or s3://bucket/prefix.
        options: How it is reached.
    """

    out: str
    options: StorageOptions

    def open(self) -> Store:
        """The store, for what stands there."""
        return open_store(self.out, **self.options.model_dump())

    def open_staged(self) -> Store:
        """The store, for what this run adds; one connection a process."""
        with _lock:
            if self._key not in _staged_stores:
                _staged_stores[self._key] = self.open().staged()
            return _staged_stores[self._key]

    def forget(self) -> None:
        """Lets go of the connection of a run that has ended."""
        with _lock:
            _staged_stores.pop(self._key, None)
            _stopped.discard(self._key)

    def stop(self) -> None:
        """Lets the frames that threads of this process work on come to an early end; no request is tried again."""
        _stopped.add(self._key)
        with _lock:
            staged = _staged_stores.get(self._key)
        if staged is not None:
            staged.stop()

    def go_on(self) -> None:
        """Raises a RunStoppedError once the run is being stopped."""
        if self._key in _stopped:
            raise RunStoppedError

    @property
    def _key(self) -> str:
        return f"{self.out}\n{self.options.model_dump_json()}"


_staged_stores: dict[str, Store] = {}
_stopped: set[str] = set()
_lock = Lock()
