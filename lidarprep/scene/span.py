"""A span: the part of a recording that is meant, by time or by the numbers of its frames.

It is written START..END, and lasts from START until just before END. Either end may be left out. An end is

- a time: `2026-03-01T10:15:00Z` (ISO 8601 with Z or an offset from UTC), or nanoseconds since the Unix epoch;
- seconds from the recording's first frame: `12.5s`;
- the number of a frame in the recording, from 0: `200`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal, Protocol

from lidarprep.errors import SceneError

SpanUnit = Literal["time", "seconds", "frames"]

_ELAPSED = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?s")
_NUMBER = re.compile(r"\d{1,19}")
_ISO = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)[T ](\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?", re.IGNORECASE
)

# Whole numbers from the first on are nanoseconds since the epoch (of 1973), up to the second numbers of frames.
_EARLIEST_NS, _MOST_FRAMES = 10**17, 10**9
_LATEST_NS = 2**63 - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AN_END = "2026-03-01T10:15:00Z, nanoseconds since 1970, 12.5s from the first frame, or a frame's number"


class _InTime(Protocol):
    """What a span can tell whether it holds: a frame."""

    @property
    def index(self) -> int: ...
    @property
    def timestamp(self) -> int | None: ...


@dataclass(frozen=True)
class Span:
    """A part of a recording: what lies at or after its start and before its end. `str` writes it as it is read.

    Args:
        unit: "time": nanoseconds since the Unix epoch; "seconds": nanoseconds since the recording's first frame;
            "frames": numbers of frames in the recording, from 0.
        start: Where it starts; None: at the recording's beginning.
        end: Where it ends, itself not a part of it; None: at the recording's end.

    Raises:
        SceneError: It has neither end, or does not end after it starts.
    """

    unit: SpanUnit
    start: int | None = None
    end: int | None = None

    def __post_init__(self) -> None:
        if self.start is None and self.end is None:
            raise SceneError("a span has a start, an end or both", fix=f"An end is {_AN_END}.")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise SceneError(f"the span {self} does not end after it starts")

    @classmethod
    def parse(cls, text: str) -> Span:
        """Read START..END.

        Raises:
            SceneError: It is no span.
        """
        start, dots, end = text.partition("..")
        if not dots:
            raise SceneError(f"{text!r} is no span", fix="Write START..END, such as 12.5s..42.5s or 200..400.")
        return cls.of(start, end)

    @classmethod
    def of(cls, start: str, end: str) -> Span:
        """Read a span of its two ends; an empty text leaves an end out.

        Raises:
            SceneError: An end cannot be read, or they are of different kinds.
        """
        ends = [None if not text.strip() else _read(text.strip()) for text in (start, end)]
        units = {one[0] for one in ends if one is not None}
        if len(units) > 1:
            raise SceneError(
                f"the span {start.strip()}..{end.strip()} has ends of different kinds",
                fix="Give both as times, both as seconds, or both as numbers of frames.",
            )
        first, last = (None if one is None else one[1] for one in ends)
        return cls(units.pop() if units else "frames", first, last)

    def __str__(self) -> str:
        return f"{self.write(self.start)}..{self.write(self.end)}"

    def write(self, end: int | None) -> str:
        """Write one end of the span; "" for one that is left out."""
        if end is None:
            return ""
        if self.unit == "time":
            return iso_time(end)
        return f"{_decimal(end)}s" if self.unit == "seconds" else str(end)

    def rows(self, frames: Iterable[_InTime], first: int | None) -> list[int]:
        """Return the rows of the frames that it holds; a frame without a timestamp is in no span of time.

        Args:
            frames: The frames, in any order.
            first: The time of the recording's first frame, nanoseconds; None where no frame has a time.
        """
        origin = (first or 0) if self.unit == "seconds" else 0
        start = None if self.start is None else self.start + origin
        end = None if self.end is None else self.end + origin
        places = (frame.index if self.unit == "frames" else frame.timestamp for frame in frames)
        return [
            row
            for row, place in enumerate(places)
            if place is not None and (start is None or start <= place) and (end is None or place < end)
        ]


def iso_time(timestamp: int) -> str:
    """Write nanoseconds since the Unix epoch exactly: 2026-03-01T10:15:00.25Z."""
    seconds, fraction = divmod(timestamp, 10**9)
    moment = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    decimals = f"{fraction:09d}".rstrip("0")
    return f"{moment}.{decimals}Z" if decimals else f"{moment}Z"


def read_seconds(text: str) -> int | None:
    """Read "12.5s" as nanoseconds; None if it is not of that form."""
    match = _ELAPSED.fullmatch(text)
    return None if match is None else int(Decimal(match[1]) * 10**9)


def _decimal(nanoseconds: int) -> str:
    seconds, fraction = divmod(nanoseconds, 10**9)
    return f"{seconds}.{fraction:09d}".rstrip("0").rstrip(".")


def _read(text: str) -> tuple[SpanUnit, int]:
    """Read one end of a span."""
    if (elapsed := read_seconds(text)) is not None:
        return "seconds", elapsed
    if _NUMBER.fullmatch(text):
        number = int(text)
        if number < _MOST_FRAMES:
            return "frames", number
        if _EARLIEST_NS <= number <= _LATEST_NS:
            return "time", number
    elif match := _ISO.fullmatch(text):
        year, month, day, hour, minute, second, fraction, zone = match.groups(default="")
        if not zone:
            raise SceneError(f"{text!r} does not say in which time zone it is", fix="Add Z for UTC, or +01:00.")
        try:
            moment = datetime.fromisoformat(f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}{zone.upper()}")
        except ValueError:  # no such day or hour
            pass
        else:
            since = moment - _EPOCH
            return "time", (since.days * 86_400 + since.seconds) * 10**9 + int(fraction.ljust(9, "0"))
    raise SceneError(f"{text!r} is no end of a span", fix=f"An end is {_AN_END}.")
