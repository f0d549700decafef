"""Serialised messages: their values from front to back, and the headers of all messages of a topic.

ROS 1 packs values without gaps, little-endian. CDR, as ROS 2 writes it (OMG Data Distribution Service
Interoperability Wire Protocol, chapter 10), begins with four bytes, of which the second says the byte order. Each
number is then at a multiple of its size, counted from behind those four bytes, and a string's length counts its
closing zero.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.ros._bag import Messages, Place, opened
from lidarprep.datasets.ros._storage import Wire
from lidarprep.errors import FormatError

# Enough of a message for its header, and for what follows it in images.
PREFIX_BYTES = 400


class Cursor:
    """Reader of the values of one message, one after the other; path and place are for errors.

    Raises:
        FormatError: The message ends too early, from every method.
    """

    def __init__(self, path: Path, place: str, data: bytes | bytearray | memoryview, wire: Wire) -> None:
        self.path = path
        self.place = place
        self.data = memoryview(data)
        self.wire = wire
        self.at = 0
        self.order = "<"
        if wire == "cdr":
            head = self.bytes(4)
            self.order = "<" if head[1] & 1 else ">"

    def error(self, found: str, expected: str | None = None, fix: str | None = None) -> FormatError:
        """Return the error for what does not fit in this message."""
        return FormatError(self.path, place=self.place, found=found, expected=expected, fix=fix)

    def aligned(self, size: int) -> int:
        """Move on to where a number of that many bytes may begin, and return that place."""
        if self.wire == "cdr":
            self.at += -(self.at - 4) % size
        return self.at

    def number(self, code: str) -> Any:
        """Read one number, by its letter in the struct module."""
        size = struct.calcsize(f"={code}")
        start = self.aligned(size)
        (value,) = struct.unpack(self.order + code, self.bytes(size, start))
        return value

    def numbers(self, code: str, count: int) -> list[Any]:
        """Read that many numbers, one after the other."""
        return [self.number(code) for _ in range(count)]

    def bytes(self, count: int, start: int | None = None) -> memoryview:
        """Return the next bytes, not copied."""
        start = self.at if start is None else start
        if start + count > len(self.data):
            raise self.error(
                f"{len(self.data)} bytes, which end within a value",
                f"at least {start + count}",
                "The message was cut when it was recorded or copied.",
            )
        self.at = start + count
        return self.data[start : self.at]

    def blob(self) -> memoryview:
        """Return a sequence of single bytes, not copied."""
        return self.bytes(self.number("I"))

    def text(self) -> str:
        """Read a string."""
        raw = bytes(self.blob())
        return (raw[:-1] if self.wire == "cdr" and raw.endswith(b"\0") else raw).decode("utf-8", "replace")

    def floats(self, count: int | None = None) -> NDArray[np.float64]:
        """Read numbers of 8 bytes each: as many as given, or a sequence that begins with its length."""
        if count is None:
            count = int(self.number("I"))
        start = self.aligned(8) if count else self.at
        return np.frombuffer(self.bytes(8 * count, start), dtype=f"{self.order}f8").astype(np.float64)

    def stamp(self) -> int:
        """Read a time: nanoseconds."""
        seconds = self.number("i" if self.wire == "cdr" else "I")
        return int(seconds) * 10**9 + int(self.number("I"))

    def header(self) -> tuple[int, memoryview]:
        """Read a std_msgs/Header: nanoseconds since the Unix epoch, and the raw name of the frame of reference."""
        if self.wire == "ros1":
            self.number("I")  # seq
        return self.stamp(), self.blob()


def frame_name(raw: memoryview) -> str:
    """Return the name of a frame of reference, without a leading slash."""
    return bytes(raw).rstrip(b"\0").decode("utf-8", "replace").lstrip("/")


@dataclass(frozen=True)
class MessageSource:
    """A message of a bag, to be read on demand; may be sent to another process. Its name is for errors."""

    path: Path
    place: Place
    wire: Wire
    kind: str
    name: str

    def read(self) -> Cursor:
        """Read the message."""
        return Cursor(self.path, self.name, opened(self.path).read(self.place), self.wire)


@dataclass(frozen=True)
class Series:
    """The messages of a topic, with the times and frames of reference that their headers name."""

    path: Path
    messages: Messages
    timestamps: NDArray[np.int64]  # (K,) nanoseconds since the Unix epoch
    frame_ids: tuple[str, ...]
    first: bytes  # of the first message, up to PREFIX_BYTES
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The topic's name."""
        return self.messages.topic.name

    def __len__(self) -> int:
        return len(self.messages)

    def first_cursor(self) -> Cursor:
        """Return a cursor over the first bytes of the first message."""
        return Cursor(self.path, self.messages.name(0), self.first, self.messages.wire)

    def source(self, row: int) -> MessageSource:
        """Return the message of that row."""
        messages = self.messages
        return MessageSource(self.path, messages.place(row), messages.wire, messages.topic.kind, messages.name(row))


def read_headers(path: Path, messages: Messages, prefixes: Sequence[bytes]) -> Series:
    """Read the headers of messages, from the first bytes of each."""
    wire = messages.wire
    names: dict[bytes, str] = {}
    stamps = np.empty(len(prefixes), dtype=np.int64)
    frame_ids = []
    for row, prefix in enumerate(prefixes):
        stamps[row], raw = Cursor(path, messages.name(row), prefix, wire).header()
        key = bytes(raw)
        if key not in names:
            names[key] = frame_name(raw)
        frame_ids.append(names[key])
    notes: tuple[str, ...] = ()
    unset = int((stamps == 0).sum())
    if unset:
        stamps = messages.times
        topic = messages.topic.name
        notes = (f"{topic}: {unset} of {len(stamps)} headers have no time; the times of recording are taken instead",)
    return Series(path, messages, stamps, tuple(frame_ids), prefixes[0], notes)
