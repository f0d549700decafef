"""Conversions between a scene's conventions and ours: time, poses and cameras.

A scene counts whole microseconds from `time_offset`; ours are nanoseconds since the Unix epoch. It writes quaternions
scalar LAST (qx, qy, qz, qw), ours are (w, x, y, z). It lists distortion parameters in an order that depends on the
camera model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import orjson

from lidarprep.errors import EncodingError
from lidarprep.scene import CameraImage, Frame, Pose
from lidarprep.scene.camera import MODEL_COEFFICIENTS

NS_PER_US = 1_000
LARGEST_UINT32 = 2**32 - 1

# Limits of the official validator for each list of timestamps.
LATEST_START_US = 100_000_000
SHORTEST_MEAN_STEP_US = 10_000

# Interval between frames whose recording has no times.
ASSUMED_STEP_US = 100_000

# Points and images further than this from their frame's time are not on its clock: a sweep takes about 0.1 s.
SAME_CLOCK_NS = 60_000_000_000

# ---- time ----


@dataclass(frozen=True)
class FrameTime:
    """The time of a frame in the scene's microseconds: of the device's pose, and of its earliest point.

    The points' own timestamps count from `points_from_us`; None if the scene cannot hold them.
    """

    device_us: int
    start_us: int
    points_from_us: int | None


@dataclass(frozen=True)
class SceneClock:
    """The clock of a scene: `time_offset`, microseconds since the Unix epoch, and whether the recording has times."""

    offset_us: int
    recorded: bool

    @classmethod
    def starting_with(cls, frame: Frame, points_ns: tuple[int, int] | None) -> SceneClock:
        """Return the clock of a scene with this first frame; its earliest point or image is at 0.

        `points_ns` are its points' first and last timestamp, or None.

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
        """Return the time of a frame that so many frames come before; `points_ns` as for `starting_with`.

        Raises:
            EncodingError: It has no timestamp although the first has, or vice versa.
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
        """Return the time of a frame's image in the scene's microseconds, and whether it is its own timestamp.

        An image without one, or with one of another clock, gets its frame's time.
        """
        if frame.timestamp is None or timestamp is None or not _near(frame.timestamp, timestamp):
            return time.device_us, False
        return timestamp // NS_PER_US - self.offset_us, True


def _near(frame_ns: int, *times_ns: int) -> bool:
    """Return whether times are on the clock of their frame."""
    return all(abs(time - frame_ns) <= SAME_CLOCK_NS for time in times_ns)


def require_valid_times(times_us: Sequence[int], what: str) -> None:
    """Check timestamps against the rules of the official validator; `what` is the subject of the sentence in errors.

    Raises:
        EncodingError: They break a rule.
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
            fix="If the times have another unit, say it with --time-unit; else prepare every other frame, or fewer.",
        )


# ---- poses ----


def pose_values(pose: Pose) -> list[float]:
    """Return a pose as a scene writes it: [x, y, z, qx, qy, qz, qw]."""
    w, x, y, z = pose.quaternion.tolist()
    return [*pose.translation.tolist(), x, y, z, w]


def path_of(times_us: Sequence[int], values: Sequence[list[float]]) -> orjson.Fragment:
    """Return poses as a scene writes them; as text, since several sensors share the device's."""
    return orjson.Fragment(orjson.dumps({"timestamps": list(times_us), "values": list(values)}))


# ---- cameras ----


def describe_intrinsics(image: CameraImage, size: tuple[int, int]) -> dict[str, Any]:
    """Return an image's intrinsics as a scene writes them; `size` is its width and height in pixels.

    A scene holds neither skew nor `scale_factor`: an image shrunk since its calibration gets the intrinsics of the
    small image.
    """
    intrinsics, shrunk = image.camera.intrinsics, image.scale_factor
    distortion = None
    if intrinsics.model != "brown_conrady" or intrinsics.distortion.nonzero():
        names = MODEL_COEFFICIENTS[intrinsics.model]
        distortion = {
            "model": intrinsics.model,
            "params": [float(getattr(intrinsics.distortion, name)) for name in names],
        }
    described: dict[str, Any] = {key: float(getattr(intrinsics, key) / shrunk) for key in ("fx", "fy", "cx", "cy")}
    return described | {"width": size[0], "height": size[1], "distortion": distortion}
