"""Reads the serialised bytes of one message from front to back: ROS 1's own form, or CDR as ROS 2 writes it.

ROS 1 packs values without gaps, little-endian. CDR (OMG Data Distribution Service Interoperability Wire Protocol,
chapter 10) begins with four bytes, of which the second says the byte order; each number then stands at a multiple of
its size, counted from behind those four bytes, and a string's length counts its closing zero.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import FormatError

Wire = Literal["ros1", "cdr"]

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Header:
    """A std_msgs/Header: nanoseconds since the Unix epoch, and the frame of reference without a leading slash."""

    stamp: int
    frame_id: str


class Cursor:
    """Reads values one after the other.

    Args:
        path: The bag, for errors.
        place: Which message it is, for errors.
        data: The serialised message.
        wire: How it is serialised.

    Raises:
        FormatError: The message ends too early, from every method.
    """

    def __init__(self, path: Path, place: str, data: Bytes, wire: Wire) -> None:
        self.path = path
        self.place = place
        self.data = memoryview(data)
        self.wire = wire
        self.at = 0
        self.order = "<"
        if wire == "cdr":
            head = self.bytes(4)
            self.order = "<" if head[1] & 1 else ">"

    def aligned(self, size: int) -> int:
        """Moves on to where a number of that many bytes may stand, and gives that place."""
        if self.wire == "cdr":
            self.at += -(self.at - 4) % size
        return self.at

    def number(self, code: str) -> Any:
        """One number, by its letter in the struct module."""
        size = struct.calcsize(f"={code}")
        start = self.aligned(size)
        (value,) = struct.unpack(self.order + code, self.bytes(size, start))
        return value

    def bytes(self, count: int, start: int | None = None) -> memoryview:
        """The next bytes, not copied."""
        start = self.at if start is None else start
        if start + count > len(self.data):
            raise FormatError(
                self.path,
                place=self.place,
                found=f"{len(self.data)} bytes, which end within a value",
                expected=f"at least {start + count}",
                fix="The message was cut when it was recorded or copied.",
            )
        self.at = start + count
        return self.data[start : self.at]

    def blob(self) -> memoryview:
        """A sequence of single bytes, not copied."""
        return self.bytes(self.number("I"))

    def text(self) -> str:
        """A string."""
        raw = bytes(self.blob())
        return (raw[:-1] if self.wire == "cdr" and raw.endswith(b"\0") else raw).decode("utf-8", "replace")

    def floats(self, count: int | None = None) -> NDArray[np.float64]:
        """Numbers of 8 bytes each: as many as said, or else a sequence that begins with its length."""
        if count is None:
            count = int(self.number("I"))
        start = self.aligned(8) if count else self.at
        return np.frombuffer(self.bytes(8 * count, start), dtype=f"{self.order}f8").astype(np.float64)

    def stamp(self) -> int:
        """A time: nanoseconds."""
        seconds = self.number("i" if self.wire == "cdr" else "I")
        return int(seconds) * 10**9 + int(self.number("I"))

    def header(self) -> Header:
        """A std_msgs/Header."""
        if self.wire == "ros1":
            self.number("I")  # seq
        return Header(self.stamp(), self.text().lstrip("/"))
