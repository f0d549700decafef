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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.ros._bag import Messages, Place, opened
from lidarprep.datasets.ros._storage import Wire
from lidarprep.errors import FormatError
from lidarprep.remote import AnyPath
from lidarprep.scene.finding import Finding, Severity, Subject

# Enough of a message for its header, and for what follows it in images.
PREFIX_BYTES = 400


class Cursor:
    """Reader of the values of one message, one after the other; path and place are for errors.

    Raises:
        FormatError: The message ends too early, from every method.
    """

    def __init__(self, path: AnyPath, place: str, data: bytes | bytearray | memoryview, wire: Wire) -> None:
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

    path: AnyPath
    place: Place
    wire: Wire
    kind: str
    name: str

    def read(self) -> Cursor:
        """Read the message."""
        return Cursor(self.path, self.name, opened(self.path).read(self.place), self.wire)


# A header this far from where the others of its topic are, against the time of recording, has no time: half a day.
_ANOTHER_CLOCK_NS = 12 * 3600 * 10**9

# A clock that begins at 0 comes to the next stamp within so many usual steps, or so many nanoseconds of two stamps.
_STEPS_FROM_ZERO, _NS_FROM_ZERO = 10, 10 * 10**9


def usable_stamps(
    stamps: NDArray[np.int64], recorded: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the times of a topic's messages, and which of them (K,) were estimated since the header has none.

    A header has no time if it is 0, but for a simulation's clock that begins at 0; or if it is half a day from where
    the others are, such as one that counts from the sensor's start. Its time is estimated from the time of recording,
    less the delay of the messages around it. Where no header has a time, those of recording are taken.

    Args:
        stamps: (K,) nanoseconds, by the headers, in the order of recording.
        recorded: (K,) nanoseconds: when the messages were recorded.
    """
    unset = stamps == 0
    begins = int(np.argmin(unset)) if len(unset) else 0  # how many zeros come first
    if begins and not unset[begins:].any() and _begins_at_zero(stamps[begins - 1 :]):
        unset[:] = False
    if unset.all():
        return recorded, unset
    delays = recorded - stamps
    unset |= np.abs(delays - np.median(delays[~unset])) > _ANOTHER_CLOCK_NS
    if not unset.any():
        return stamps, unset
    base = int(delays[~unset][0])  # a float64 of a time since the epoch would be rounded to 256 ns
    known = (delays[~unset] - base).astype(np.float64)
    around = np.interp(np.flatnonzero(unset), np.flatnonzero(~unset), known)
    times = stamps.copy()
    times[unset] = recorded[unset] - base - np.rint(around).astype(np.int64)
    return times, unset


def usual_delay(times: NDArray[np.int64], recorded: NDArray[np.int64], unset: NDArray[np.bool_]) -> float | None:
    """Return the usual time from the header's (K,) to the recording's, nanoseconds; None where no header has one."""
    return None if unset.all() else float(np.median((recorded - times)[~unset]))


def _begins_at_zero(stamps: NDArray[np.int64]) -> bool:
    """Return whether the first of the stamps, a 0, is the begin of their clock."""
    steps = np.diff(stamps)
    longest = _STEPS_FROM_ZERO * float(np.median(steps[1:])) if len(steps) > 1 else _NS_FROM_ZERO
    return bool(len(steps)) and 0 < steps[0] <= longest


def unset_stamps(topic: str, what: str, unset: int, count: int) -> list[Finding]:
    """Return the finding of `usable_stamps`, on so many of the topic's headers; none if all have a time."""
    if not unset:
        return []
    if unset == count:
        message = f"{topic}: no header of its {count} {what} has a time; the times of recording are taken instead"
        cure = "let the driver stamp its messages; until then they are late by their transport"
    else:
        message = (
            f"{topic}: {unset} of {count} {what} have a header without a time (0, or half a day from the others); "
            "their times are estimated from when they were recorded"
        )
        cure = "nothing, unless such messages matter: all others keep the times of their headers"
    severity: Severity = "warning" if unset == count else "note"
    return [Finding("stamps-unset", message, cure, severity, Subject("topic", topic), unset, 0)]


@dataclass(frozen=True)
class Series:
    """The messages of a topic, with the times and frames of reference that their headers name."""

    path: AnyPath
    messages: Messages
    timestamps: NDArray[np.int64]  # (K,) nanoseconds since the Unix epoch
    frame_ids: tuple[str, ...]
    first: bytes  # of the first message, up to PREFIX_BYTES
    findings: tuple[Finding, ...]
    delay_ns: float | None  # from the times of the headers to those of the recording, mostly; None where none has one

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


def read_headers(path: AnyPath, messages: Messages, prefixes: Sequence[bytes]) -> Series:
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
    times, unset = usable_stamps(stamps, messages.times)
    findings = unset_stamps(messages.topic.name, "messages", int(unset.sum()), len(unset))
    delay = usual_delay(times, messages.times, unset)
    return Series(path, messages, times, tuple(frame_ids), prefixes[0], tuple(findings), delay)
