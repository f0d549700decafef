"""What each sensor delivered over time, for the page's strip of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidarprep.report.page.figures import FrameFigures
from lidarprep.report.page.plots import Series
from lidarprep.scene import Frame

# A step of so many usual ones is a gap.
_GAP = 1.6


@dataclass(frozen=True)
class SensorTimes:
    """A sensor's row of the strip, and of the table beside it.

    Args:
        series: What is drawn.
        rate: How many a second, by the median step; None of fewer than two.
        delay_ms: Median milliseconds after the frame; None where it has no times of its own.
        delays_ms: The least and the greatest of them.
        longest_gap: Seconds of the longest step.
    """

    series: Series
    rate: float | None
    delay_ms: float | None = None
    delays_ms: tuple[float, float] | None = None
    longest_gap: float | None = None


def sensor_times(frames: Sequence[Frame], figures: Sequence[FrameFigures]) -> tuple[list[SensorTimes], float]:
    """Return the sensors of frames that have times, and the seconds from the first to the last; none without times."""
    stamped = [
        (frame, one, frame.timestamp) for frame, one in zip(frames, figures, strict=True) if frame.timestamp is not None
    ]
    if not stamped:
        return [], 0.0
    start = min(time for _, _, time in stamped)

    def since(time: int) -> float:
        return (time - start) / 1e9

    duration = max(since(time) for _, _, time in stamped)
    bad = [since(time) for _, one, time in stamped if one.error is not None]
    sensors = [_sensor("lidar", [since(time) for _, one, time in stamped if one.error is None], bad, is_lidar=True)]
    cameras = dict.fromkeys(image.camera.name for frame in frames for image in frame.images)
    for camera in cameras:
        times, missing, delays = [], [], []
        for frame, _, time in stamped:
            image = next((image for image in frame.images if image.camera.name == camera), None)
            if image is None:
                missing.append(since(time))
                continue
            times.append(since(time if image.timestamp is None else image.timestamp))
            if image.timestamp is not None:
                delays.append((image.timestamp - time) / 1e6)
        sensors.append(_sensor(camera, times, missing, delays))
    if any(frame.read_radar is not None for frame in frames):
        with_radar = [since(time) for frame, one, time in stamped if frame.read_radar is not None]
        without = [since(time) for frame, _, time in stamped if frame.read_radar is None]
        sensors.append(_sensor("radar", with_radar, without))
    return sensors, duration


def _sensor(
    name: str,
    times: Sequence[float],
    missing: Sequence[float],
    delays: Sequence[float] = (),
    *,
    is_lidar: bool = False,
) -> SensorTimes:
    ordered: NDArray[np.float64] = np.unique(np.array(times, dtype=np.float64))
    steps = np.diff(ordered)
    rate, gaps, longest = None, [], None
    if len(steps):
        usual = float(np.median(steps))
        rate, longest = 1.0 / usual, float(steps.max())
        gaps = [(float(ordered[row]), float(ordered[row + 1])) for row in np.flatnonzero(steps > _GAP * usual)]
    notes = []
    delay = float(np.median(delays)) if len(delays) else None
    if delay is not None:
        notes.append(f"{delay:+.0f} ms".replace("-", "−"))
    if missing:
        notes.append(f"{len(missing)} {'bad' if is_lidar else 'missing'}")
    if gaps:
        notes.append(f"{len(gaps)} gap{'s' if len(gaps) > 1 else ''}")
    series = Series(name, ordered, np.array(missing, dtype=np.float64), gaps, ", ".join(notes), is_lidar)
    span = (min(delays), max(delays)) if len(delays) else None
    return SensorTimes(series, rate, delay, span, longest)
