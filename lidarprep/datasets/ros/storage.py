"""What the three kinds of file have in common: topics, the times and places of their messages, and their bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.ros.chunks import ChunkedFile, Window
from lidarprep.datasets.ros.cursor import Wire

# Read together with a message's record head: most small messages are complete with it.
_PROBE = 512


class Topic(NamedTuple):
    """A topic: its type as ROS 2 writes it, and how its messages are serialised (None: in a way not read here)."""

    name: str
    kind: str
    messages: int
    wire: Wire | None

    def joined(self, other: Topic) -> Topic:
        """The topic with further messages; one whose types differ is listed, and not read."""
        count = self.messages + other.messages
        if (other.kind, other.wire) == (self.kind, self.wire):
            return self._replace(messages=count)
        kinds = dict.fromkeys((*self.kind.split(" and "), other.kind))
        return Topic(self.name, " and ".join(kinds), count, None)


class Front(NamedTuple):
    """The first `limit` bytes (None: all) of the message at a place."""

    chunk: int
    offset: int
    limit: int | None


@dataclass(frozen=True)
class Rows:
    """Messages of one topic in one file: (K,) int64 columns.

    Args:
        times: When they were recorded, nanoseconds since the Unix epoch.
        chunks: The chunk, or whatever the file calls the larger place.
        offsets: The place in it.
    """

    times: NDArray[np.int64]
    chunks: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def joined(cls, times: Sequence[Any], chunks: Sequence[Any], offsets: Sequence[Any]) -> Rows:
        """From the parts of each column."""
        return cls(*(_joined(parts) for parts in (times, chunks, offsets)))


def _joined(parts: Sequence[Any]) -> NDArray[np.int64]:
    return np.concatenate([np.asarray(part).astype(np.int64) for part in parts] or [np.zeros(0, dtype=np.int64)])


class Storage(ABC):
    """One file of a bag. Messages may be read by several threads at once."""

    path: Path
    topics: dict[str, Topic]

    @abstractmethod
    def rows(self, topic: str) -> Rows:
        """Times and places of a topic's messages, in the order of the file."""

    @abstractmethod
    def read(self, chunk: int, offset: int) -> bytes | memoryview:
        """The message at that place."""

    @abstractmethod
    def fronts(self, places: Sequence[Front]) -> Iterator[bytes]:
        """The first bytes of messages, in the order given: that of the file is the quickest."""


class ChunkedStorage(Storage):
    """A file in whose chunks messages lie."""

    file: ChunkedFile

    @abstractmethod
    def window(self, chunk: int, *, in_order: bool) -> Window:
        """The chunk of that number."""

    @abstractmethod
    def message_at(self, probe: bytes | memoryview, place: int) -> tuple[int, int | None]:
        """Where a record's data begins, from the record's front, and how long it is; None: the message is behind it."""

    def read(self, chunk: int, offset: int) -> bytes | memoryview:
        """The message at that place."""
        return self._message(self.window(chunk, in_order=False), offset, None)

    def fronts(self, places: Sequence[Front]) -> Iterator[bytes]:
        """The first bytes of messages, in the order given: that of the file is the quickest."""
        current, window = None, None
        for chunk, offset, limit in places:
            if window is None or chunk != current:
                current, window = chunk, self.window(chunk, in_order=True)
            yield bytes(self._message(window, offset, limit))

    def _message(self, window: Window, offset: int, limit: int | None) -> bytes | memoryview:
        probe = window.at_most(offset, _PROBE)
        head, length = self.message_at(probe, offset)
        while length is None:
            offset += head
            probe = window.at_most(offset, _PROBE)
            head, length = self.message_at(probe, offset)
        wanted = length if limit is None else min(limit, length)
        if head + wanted <= len(probe):
            return probe[head : head + wanted]
        data = window.at_most(offset + head, wanted)
        if len(data) < wanted:
            raise self.file.cut(offset, f"a message of {length} bytes that ends after {len(data)}")
        return data
