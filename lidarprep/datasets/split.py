"""A long recording cut into parts of one length, each of which becomes a scene of its own."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from lidarprep.errors import SceneError
from lidarprep.scene import Scene
from lidarprep.scene.span import Span, SpanUnit, iso_time, read_seconds
from lidarprep.storage.keys import KeyMaker

# Parts are named by the milliseconds that they start at, so none starts within the same.
_MILLISECOND = 10**6

# What a file's name ends with, but not the number of "drive.7".
_SUFFIX = re.compile(r"(?<=.)\.[A-Za-z][A-Za-z0-9]{1,4}$")


@dataclass(frozen=True)
class Part:
    """A part of a recording.

    Args:
        name: RECORDING-START, as `span_name` writes a start: letters, digits, ".", "_" and "-".
        span: Where it lies: `Scene.part(span)` gives its frames, and so does `open_scene(path, span=span)`.
        frames: How many frames it has.
    """

    name: str
    span: Span
    frames: int


def split(scene: Scene, length: str | int, overlap: str | int = 0, *, name: str | None = None) -> tuple[Part, ...]:
    """Cut a recording into parts of one length, beginning at its first frame.

    Without overlap every frame is in exactly one part. With overlap a part starts so much before the end of the one
    before it. A part that has no frame of its own, as in a pause of the recording, is left out. The last part, and
    those beside pauses, may be short: all are kept.

    Args:
        scene: The recording, or a part of it.
        length: Seconds, "30s"; or how many frames, 200 or "200".
        overlap: How much two parts share, in the unit of the length; 0 for nothing.
        name: What the parts' names begin with; the recording's own name by default. A part's name says where it
            starts: by the time, or by the number of its first frame where frames have no times of their own. So it
            does not depend on the other parts.

    Raises:
        SceneError: Length or overlap make no sense; the recording has no frames, or is cut by seconds and a frame has
            no timestamp.
    """
    unit, size, shared = read_lengths(length, overlap)
    step = size - shared
    if not scene.frames:
        raise SceneError(f"{scene.source} has no frames that could be split")
    places = _times(scene, length) if unit == "seconds" else [frame.index for frame in scene]
    origin = min(places)
    # By the part that each frame is first in, and not part by part: a pause may last for years of a wrong clock.
    numbers = sorted({max(0, (place - origin - shared) // step) for place in places})
    starts = [origin + number * step for number in numbers]
    stem = key_name(recording_name(scene.source) if name is None else name)
    spans = [Span("time" if unit == "seconds" else "frames", start, start + size) for start in starts]
    named = _named_by_time(scene, starts) if unit == "frames" else [span_name(span) for span in spans]
    counts = _counts(places, spans)
    return tuple(
        Part(f"{stem}-{label}", span, frames) for label, span, frames in zip(named, spans, counts, strict=True)
    )


def read_lengths(length: str | int, overlap: str | int = 0) -> tuple[SpanUnit, int, int]:
    """Read the length of parts and what they share.

    Returns:
        "seconds" or "frames"; and both lengths, in nanoseconds or as numbers of frames.

    Raises:
        SceneError: They make no sense.
    """
    unit, size = _read_length(length, "length")
    _, shared = (unit, 0) if overlap in (0, "0") else _read_length(overlap, "overlap", unit)
    if size - shared < (_MILLISECOND if unit == "seconds" else 1):
        raise SceneError(f"parts of {length} that share {overlap} make no progress", fix="Give less --overlap.")
    return unit, size, shared


def recording_name(location: str) -> str:
    """Return the name of a recording: the last part of its path or URL, without a file's suffix."""
    return _SUFFIX.sub("", PurePath(location.rstrip("/")).name) or "recording"


def key_name(name: str) -> str:
    """Return a name with "_" in place of what keys and ids cannot hold."""
    return KeyMaker().stem(name)


def span_name(span: Span) -> str:
    """Name a span by where it starts.

    Returns:
        20260301T101500.000Z, 000012.500s or 000200; to-END of a span that lasts from the recording's beginning.
    """
    if span.start is None:
        return f"to-{_place_name(span.unit, span.end or 0)}"
    return _place_name(span.unit, span.start)


def _place_name(unit: SpanUnit, place: int) -> str:
    if unit == "frames":
        return f"{place:06d}"
    seconds, fraction = divmod(place, 10**9)
    milliseconds = f"{fraction // _MILLISECOND:03d}"
    if unit == "seconds":
        return f"{seconds:06d}.{milliseconds}s"
    return f"{re.sub('[:-]', '', iso_time(seconds * 10**9)).rstrip('Z')}.{milliseconds}Z"


def _read_length(value: str | int, what: str, unit: SpanUnit | None = None) -> tuple[SpanUnit, int]:
    """Read a length: nanoseconds, or a number of frames; of that unit, if one is given."""
    text = str(value).strip()
    found: tuple[SpanUnit, int] | None = None
    if (nanoseconds := read_seconds(text)) is not None:
        found = "seconds", nanoseconds
    elif re.fullmatch(r"\d{1,9}", text):
        found = "frames", int(text)
    if found is None or not found[1]:
        raise SceneError(
            f"the {what} is {value!r}", fix="Give seconds, such as 30s, or a number of frames, such as 200."
        )
    if unit not in (None, found[0]):
        other = "seconds, such as 5s" if unit == "seconds" else "a number of frames, such as 20"
        raise SceneError(f"the {what} is {value!r}, and the length is of the other kind", fix=f"Give {other}.")
    return found


def _times(scene: Scene, length: str | int) -> list[int]:
    times = [frame.timestamp for frame in scene if frame.timestamp is not None]
    if len(times) < len(scene):
        raise SceneError(
            f"{len(scene) - len(times)} of the {len(scene)} frames of {scene.source} have no timestamp, so it cannot "
            f"be split into parts of {length}",
            fix="Split it by a number of frames, such as 200.",
        )
    return times


def _named_by_time(scene: Scene, starts: Iterable[int]) -> list[str]:
    """Name parts by the times of their first frames, if each frame has a millisecond of its own; else by numbers."""
    times = {frame.index: frame.timestamp for frame in scene if frame.timestamp is not None}
    has_times = len({time // _MILLISECOND for time in times.values()}) == len(scene)
    # A scene may be a part that lacks the very frame.
    return [
        _place_name("time", times[start]) if has_times and start in times else _place_name("frames", start)
        for start in starts
    ]


def _counts(places: list[int], spans: list[Span]) -> list[int]:
    """Return how many of the places each span holds."""
    ordered = sorted(places)
    return [bisect_left(ordered, span.end or 0) - bisect_left(ordered, span.start or 0) for span in spans]
