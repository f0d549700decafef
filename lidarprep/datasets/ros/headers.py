"""The fronts of messages: their headers' times and frames; and what reads the rest when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.ros.bag import Messages, Place, opened
from lidarprep.datasets.ros.cursor import Cursor, Wire

# Enough of a message for its header, and what stands behind it in pictures.
FRONT_BYTES = 400


@dataclass(frozen=True)
class Series:
    """The messages of a topic, with the times and frames of reference that their headers name.

    Args:
        messages: The messages.
        timestamps: (K,) int64 nanoseconds since the Unix epoch.
        frame_ids: Of each.
        fronts: The first bytes of each, up to FRONT_BYTES.
        notes: What was odd.
    """

    messages: Messages
    timestamps: NDArray[np.int64]
    frame_ids: tuple[str, ...]
    fronts: Sequence[bytes]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The topic's name."""
        return self.messages.topic.name

    def __len__(self) -> int:
        return len(self.messages)


def read_headers(path: Path, messages: Messages, fronts: Sequence[bytes]) -> Series:
    """The headers of messages, from the first bytes of each.

    Raises:
        FormatError: A message is cut within its header.
    """
    name = messages.topic.name
    wire = messages.wire
    names: dict[bytes, str] = {}
    stamps = np.empty(len(fronts), dtype=np.int64)
    frame_ids = []
    for row, front in enumerate(fronts):
        cursor = Cursor(path, place_of(messages, row), front, wire)
        if wire == "ros1":
            cursor.number("I")  # seq
        stamps[row] = cursor.stamp()
        raw = bytes(cursor.blob())
        frame_id = names.get(raw)
        if frame_id is None:
            frame_id = names[raw] = raw.rstrip(b"\0").decode("utf-8", "replace").lstrip("/")
        frame_ids.append(frame_id)
    notes: tuple[str, ...] = ()
    unset = int((stamps == 0).sum())
    if unset:
        stamps = messages.times
        notes = (f"{name}: {unset} of {len(stamps)} headers have no time; the times of recording are taken instead",)
    return Series(messages, stamps, tuple(frame_ids), fronts, notes)


def place_of(messages: Messages, row: int) -> str:
    """Which message that is, for errors."""
    return f"topic {messages.topic.name}, message {row} at {int(messages.times[row])} ns"


@dataclass(frozen=True)
class MessageSource:
    """A message of a bag, to be read when it is asked for; may be sent to another process.

    Args:
        path: The bag.
        place: Where the message is in it.
        wire: How it is serialised.
        kind: Its type.
        name: Which message it is, for errors.
    """

    path: Path
    place: Place
    wire: Wire
    kind: str
    name: str

    def read(self) -> bytes | memoryview:
        """The serialised message."""
        return opened(self.path).read(self.place)


def message_source(path: Path, series: Series, row: int) -> MessageSource:
    """The message of that row."""
    messages = series.messages
    return MessageSource(path, messages.place(row), messages.wire, messages.topic.kind, place_of(messages, row))
