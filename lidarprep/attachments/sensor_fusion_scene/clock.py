"""The time of a scene: whole microseconds that count from `time_offset`. Ours are nanoseconds since the Unix epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lidarprep.errors import EncodingError
from lidarprep.scene import Frame

NS_PER_US = 1_000
LARGEST_UINT32 = 2**32 - 1

# What the official validator asks of each list of timestamps.
LATEST_START_US = 100_000_000
SHORTEST_MEAN_STEP_US = 10_000

# How far apart frames are put whose recording does not say when they were taken.
ASSUMED_STEP_US = 100_000

# Points and pictures further than this from their frame's time are not on its clock: a sweep takes about 0.1 s.
SAME_CLOCK_NS = 60_000_000_000


@dataclass(frozen=True)
class FrameTime:
    """When a frame was, in the scene's microseconds.

    Args:
        device_us: When the device was at its pose.
        start_us: When the frame begins: at its earliest point, or with the device.
        points_from_us: What the points' own timestamps, in microseconds, are counted from; None where they have none
            that the scene can hold.
    """

    device_us: int
    start_us: int
    points_from_us: int | None


@dataclass(frozen=True)
class SceneClock:
    """What a scene's microseconds count from.

    Args:
        offset_us: `time_offset`: microseconds since the Unix epoch.
        recorded: Whether the recording says when its frames were taken; if not, they are put 100 ms apart.
    """

    offset_us: int
    recorded: bool

    @classmethod
    def starting_with(cls, frame: Frame, points_ns: tuple[int, int] | None) -> SceneClock:
        """The clock of a scene whose first frame this is; it counts from the first thing seen, so nothing is negative.

        Args:
            frame: The scene's first frame.
            points_ns: Its points' first and last timestamp, or None.

        Raises:
            EncodingError: The frame was taken before 1970.
        """
        if frame.timestamp is None:
            starts_at = 0 if points_ns is None or not _near(points_ns[0], *points_ns) else points_ns[0]
            return cls(max(0, starts_at // NS_PER_US), recorded=False)
        seen = [frame.timestamp]
        if points_ns is not None and _near(frame.timestamp, *points_ns):
            seen.append(points_ns[0])
        taken = [image.timestamp for image in frame.images if image.timestamp is not None]
        seen.extend(time for time in taken if _near(frame.timestamp, time))
        offset_us = min(seen) // NS_PER_US
        if offset_us < 0:
            raise EncodingError(f"frame {frame.id} begins {-min(seen)} ns before 1970, where no scene's time may begin")
        return cls(offset_us, recorded=True)

    def time_of(self, frame: Frame, number: int, points_ns: tuple[int, int] | None) -> FrameTime:
        """When a frame was.

        Args:
            frame: The frame.
            number: How many frames came before.
            points_ns: Its points' first and last timestamp, or None.

        Raises:
            EncodingError: It has no timestamp although the first has, or the other way about.
        """
        if (frame.timestamp is not None) != self.recorded:
            has, first = ("no", "one") if frame.timestamp is None else ("a", "none")
            raise EncodingError(f"frame {frame.id} has {has} timestamp, while the scene's first frame has {first}")
        if frame.timestamp is None:
            return self._assumed_time(number, points_ns)
        device_us = frame.timestamp // NS_PER_US - self.offset_us
        if points_ns is None or not _near(frame.timestamp, *points_ns):
            return FrameTime(device_us, device_us, None)
        first_us, last_us = (time // NS_PER_US - self.offset_us for time in points_ns)
        start_us = min(device_us, first_us)
        return FrameTime(device_us, start_us, self.offset_us if last_us <= LARGEST_UINT32 else None)

    def _assumed_time(self, number: int, points_ns: tuple[int, int] | None) -> FrameTime:
        time_us = number * ASSUMED_STEP_US
        if points_ns is None or not _near(points_ns[0], *points_ns):
            return FrameTime(time_us, time_us, None)
        # The points keep their distance from their frame's first.
        first_us, last_us = (time // NS_PER_US for time in points_ns)
        fits = last_us - first_us + time_us <= LARGEST_UINT32
        return FrameTime(time_us, time_us, first_us - time_us if fits else None)

    def image_time(self, timestamp: int | None, frame: Frame, time: FrameTime) -> tuple[int, bool]:
        """When a picture of a frame was taken, in the scene's microseconds, and whether that is its own timestamp.

        A picture without one, or with one of another clock, was taken with its frame.
        """
        if frame.timestamp is None or timestamp is None or not _near(frame.timestamp, timestamp):
            return time.device_us, False
        return timestamp // NS_PER_US - self.offset_us, True


def _near(frame_ns: int, *times_ns: int) -> bool:
    """Whether times are on the clock of their frame."""
    return all(abs(time - frame_ns) <= SAME_CLOCK_NS for time in times_ns)


def require_valid_times(times_us: Sequence[int], what: str) -> None:
    """Sees that a list of timestamps obeys every rule of the official validator.

    Args:
        times_us: Microseconds from the scene's offset.
        what: Whose timestamps they are, as the subject of a sentence.

    Raises:
        EncodingError: It does not.
    """
    if times_us[0] < 0:
        raise EncodingError(f"{what} begin {-times_us[0]} µs before the scene's first frame")
    if times_us[0] > LATEST_START_US:
        raise EncodingError(
            f"{what} begin {times_us[0] / 1e6:.1f} s after the scene; a Sensor Fusion Scene allows 100 s",
            fix="Prepare the part of the recording in which it was switched on.",
        )
    for before, after in pairwise(times_us):
        if after <= before:
            raise EncodingError(
                f"{what} are not strictly increasing in whole microseconds: {after} µs follows {before} µs"
            )
    if len(times_us) > 1 and (times_us[-1] - times_us[0]) < SHORTEST_MEAN_STEP_US * (len(times_us) - 1):
        rate = 1e6 * (len(times_us) - 1) / (times_us[-1] - times_us[0])
        raise EncodingError(
            f"{what} come {rate:.0f} times a second; a Sensor Fusion Scene allows 100 on average",
            fix="Prepare every other frame, or fewer.",
        )
