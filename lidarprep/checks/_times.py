"""Times: their order and unit, the rate of the frames, the span of a sweep, and clocks that differ between streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidarprep.checks._samples import Sample
from lidarprep.scene import Finding, Scene, Severity, Subject
from lidarprep.scene.finding import Option, opening_option
from lidarprep.scene.points import NANOSECONDS, UNIT_NAMES, TimeUnit
from lidarprep.scene.trajectory import named_offset

Times = NDArray[np.int64]

# No lidar makes more frames a second. Frames that come less often, and ever so regularly, are doubted.
HIGHEST_RATE_HZ, SELDOM_S, REGULAR = 200.0, 50.0, 0.2

# Seconds between frames, by which another unit is recognised.
USUAL_STEP_S = (4e-3, 4.0)

# A sweep whose points' times span this share of the time between frames, or less, or this many times it, has another
# unit. Sweeps of keyframes take a tenth of it, accumulated ones ten times.
LEAST_SPAN, MOST_SPAN = 1 / 300, 30.0
WHOLE_SWEEP, SOME_SWEEP = (0.5, 1.2), (0.02, 1.2)

# Times from here on count from an epoch: three years.
EPOCH_NS = 10**17

# Streams this far apart have different clocks; and how near to one another two differences of clocks are.
ANOTHER_CLOCK_NS, NEAR_NS = 1_000_000_000, 1_200_000_000

# An image's constant distance from its sweep, as a share of the time between frames, and how far it may vary.
HALF_A_FRAME, CONSTANT = 0.5, 0.15

# So many frames tell a rate or a delay.
FEWEST = 3


def odd_times(scene: Scene, samples: Sequence[Sample]) -> list[Finding]:
    """Find times that are out of order, in another unit, or of another clock.

    Args:
        scene: The recording.
        samples: A few of its frames with some of their points.
    """
    step = frame_step(scene)
    rate = _odd_rate(scene, step)
    findings = [*rate, *out_of_order(scene, unit_is_odd=bool(rate)), *_other_clock_of_poses(scene)]
    if step is None or rate:
        return findings
    return [*findings, *_odd_sweeps(samples, step), *_other_clock_of_points(samples), *_late_cameras(scene, step)]


def frame_step(scene: Scene) -> float | None:
    """Return the usual time between frames in nanoseconds, without doubled ones and gaps; None if no two have times."""
    steps = np.diff(np.unique(_frame_times(scene)))
    return float(np.median(steps)) if steps.size else None


def _frame_times(scene: Scene) -> Times:
    return np.array([frame.timestamp for frame in scene if frame.timestamp is not None], dtype=np.int64)


# ---- frames --------------------------------------------------------------------------------------------------------


def _odd_rate(scene: Scene, step: float | None) -> list[Finding]:
    """Find frames that come more often than a lidar turns, or so seldom and regularly that the unit is in doubt."""
    if step is None:
        return []
    seconds = step / 1e9
    times = np.unique(_frame_times(scene))
    fast = seconds < 1 / HIGHEST_RATE_HZ
    # `step` is in nanoseconds as they were read: a larger unit makes it longer, a smaller one shorter.
    factors: dict[TimeUnit, float] = {"us": 1e3, "ms": 1e6, "s": 1e9} if fast else {"ms": 1e-3, "us": 1e-6, "ns": 1e-9}
    fitting = [unit for unit, factor in factors.items() if USUAL_STEP_S[0] <= seconds * factor < USUAL_STEP_S[1]]
    steps = np.diff(times)
    irregular = len(steps) < FEWEST or float(np.abs(steps - step).max()) > REGULAR * step
    if not fast and (seconds < SELDOM_S or irregular or not fitting):
        return []
    rate = f"{1 / seconds:,.0f} times a second" if fast else f"every {seconds:,.0f} s"
    read_as = "nanoseconds" if fast else "a unit that is too large"
    meant = f": their times look like {UNIT_NAMES[fitting[0]]}, and were read as {read_as}" if fitting else ""
    option = _frames_unit(fitting[0]) if fitting else None
    return [
        Finding(
            "frame-rate",
            f"frames come {rate}{meant}; the first is at {date_of(int(times[0]))}",
            "or write their times in the unit that the layout states; where frames do come like this, leave it",
            "warning" if fast else "note",  # a fixed scanner may measure every hour
            option=option,
            found=float(f"{1 / seconds:.4g}"),
            expected=f"up to {HIGHEST_RATE_HZ:g} Hz" if fast else "more often",
        )
    ]


def _frames_unit(unit: TimeUnit) -> Option:
    return opening_option("--time-unit", unit, "time_unit", repr(unit))


def out_of_order(scene: Scene, *, unit_is_odd: bool = False) -> list[Finding]:
    """Find frames that are earlier than the one before them, and timestamps that two frames share.

    Args:
        scene: The recording.
        unit_is_odd: Whether the times seem to have another unit: then that comes first, and nothing is left out.
    """
    frames = [frame for frame in scene if frame.timestamp is not None]
    times = np.array([frame.timestamp for frame in frames], dtype=np.int64)
    steps = np.diff(times)
    in_time_order = opening_option("--frame-order", "time", "frame_order", "'time'")
    unit_first = "first give the times their unit (frame-rate)"
    findings = []
    back = np.flatnonzero(steps < 0)
    if back.size:
        row = int(back[0])
        findings.append(
            Finding(
                "frames-out-of-order",
                f"{back.size} of {len(frames)} frames are earlier than the one before them: the first is "
                f"{frames[row + 1].id}, {-steps[row] / 1e6:.3f} ms before {frames[row].id}",
                unit_first if unit_is_odd else "",
                subject=Subject("frame", frames[row + 1].id),
                option=None if unit_is_odd else in_time_order,
            )
        )
    _, first, counts = np.unique(times, return_index=True, return_counts=True)
    doubled = np.flatnonzero(counts > 1)
    if doubled.size:
        row = int(first[doubled].min())
        other = int(np.flatnonzero(times == times[row])[1])
        lost = int((counts[doubled] - 1).sum())
        rounded = _rounded_to(times)
        cure = "it keeps the first of them"
        if rounded:
            cure = (
                f"give times finer than {rounded}: --frame-order time would keep {len(frames) - lost} of the "
                f"{len(frames)} frames"
            )
        findings.append(
            Finding(
                "frames-doubled",
                f"{lost} of {len(frames)} frames have the timestamp of an earlier one: "
                f"{frames[other].id} has that of {frames[row].id}, {times[row]} ns"
                + (f"; all times are whole {rounded}, so they were rounded" if rounded else ""),
                unit_first if unit_is_odd else cure,
                subject=Subject("frame", frames[other].id),
                option=None if unit_is_odd or rounded else in_time_order,
            )
        )
    return findings


def _rounded_to(times: Times) -> str | None:
    """Return "seconds" or "milliseconds" if so many times are rounded to it that frames share them; else None."""
    # A single doubled frame of a device at 1 Hz is doubled, not rounded.
    if len(np.unique(times)) > 0.8 * len(times):
        return None
    between = float(times.max() - times.min()) / (len(times) - 1)
    # Rounding gives frames one time only if they are nearer to one another than what it rounds to.
    units = (("seconds", 10**9), ("milliseconds", 10**6))
    return next((name for name, unit in units if between < unit and not (times % unit).any()), None)


def date_of(timestamp: int) -> str:
    """Write nanoseconds since the Unix epoch as a date, 2026-11-30T12:00:00.500Z, where they may count from there."""
    if abs(timestamp) < EPOCH_NS:
        return f"{timestamp / 1e9:g} s, no date of today"
    return f"{np.datetime64(timestamp, 'ns').astype('datetime64[ms]')}Z"


# ---- sweeps --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sweep:
    """How long a sweep's points were measured, and by what their times were read."""

    frame: str
    lowest: int  # nanoseconds
    span: float  # nanoseconds, without the outermost hundredths
    guessed: TimeUnit | None


def _sweeps(samples: Sequence[Sample]) -> list[_Sweep]:
    found = []
    for sample in samples:
        times = sample.points.timestamp
        if times is None or len(times) < 10:
            continue
        low, high = np.quantile((times - times.min()).astype(np.float64), (0.01, 0.99))
        span = float(high - low) / 0.98
        if span > 0:
            found.append(_Sweep(sample.frame.id, int(times.min()), span, sample.points.guessed_unit))
    return found


def _odd_sweeps(samples: Sequence[Sample], step: float) -> list[Finding]:
    """Find points' times whose span does not fit the time between frames: another unit, or shares of a sweep."""
    sweeps = _sweeps(samples)
    if not sweeps:
        return []
    shares = [sweep.span / step for sweep in sweeps]
    share, sweep = float(np.median(shares)), sweeps[0]
    between = f"frames are {step / 1e6:g} ms apart"
    spans = f"the points' times span {_duration(share * step)} in a sweep"
    if all(LEAST_SPAN < one < MOST_SPAN for one in shares):
        seconds = [one.span / 1e9 for one in sweeps]
        if sweep.guessed == "s" and step < 6e8 and all(0.95 < one < 1.02 for one in seconds):
            return [
                Finding(
                    "point-time-unit",
                    f"{spans}, and {between}: they look like shares of a sweep from 0 to 1, and were read as seconds",
                    "multiply them by the duration of a sweep before; until then --deskew moves points by far too much",
                    found=float(f"{share * step / 1e9:.3g}"),
                    expected=float(f"{step / 1e9:.3g}"),
                )
            ]
        return []
    known = sweep.guessed or "ns"
    candidates: list[tuple[TimeUnit, float]] = [
        (unit, share * factor / NANOSECONDS[known]) for unit, factor in NANOSECONDS.items() if unit != known
    ]
    likely = [unit for unit, one in candidates if WHOLE_SWEEP[0] <= one <= WHOLE_SWEEP[1]]
    possible = [unit for unit, one in candidates if SOME_SWEEP[0] <= one <= SOME_SWEEP[1]]
    if not possible and share < 1:
        return []  # a camera-like lidar measures all at once
    severity: Severity = "warning" if likely or share > 1 else "note"
    unit = next(iter([*likely, *possible]), None)
    meant = f": they look like {UNIT_NAMES[unit]}, and were read as {UNIT_NAMES[known]}" if unit else ""
    option = opening_option("--time-unit", f"points={unit}", "time_unit", f"'points={unit}'") if unit else None
    return [
        Finding(
            "point-time-unit",
            f"{spans}, and {between}{meant}",
            "or write them in the unit that their field states" if sweep.guessed else "mend the unit of their field",
            severity,
            found=float(f"{share * step / 1e9:.3g}"),
            expected=float(f"{step / 1e9:.3g}"),
            option=option if sweep.guessed else None,
        )
    ]


def _duration(nanoseconds: float) -> str:
    return f"{nanoseconds / 1e9:.3g} s" if nanoseconds >= 1e9 else f"{nanoseconds / 1e6:.3g} ms"


# ---- clocks --------------------------------------------------------------------------------------------------------


def _other_clock_of_points(samples: Sequence[Sample]) -> list[Finding]:
    """Find points whose times, since an epoch, are not those of their frames."""
    offsets = []
    for sample in samples:
        times, timestamp = sample.points.timestamp, sample.frame.timestamp
        if times is None or not len(times) or timestamp is None:
            continue
        middle = float(np.median(times - times.min())) + int(times.min())
        if min(abs(middle), abs(timestamp)) >= EPOCH_NS:
            offsets.append(middle - timestamp)
    if not offsets or min(map(abs, offsets)) < ANOTHER_CLOCK_NS:
        return []
    offset = float(np.median(offsets))
    return [
        Finding(
            "clock-offset",
            f"the points' times are {abs(offset) / 1e9:.3f} s {'after' if offset > 0 else 'before'} their frames'"
            f"{named_offset(offset)}",
            "give both one clock; until then --deskew cannot place the points",
            found=float(f"{offset / 1e9:.4f}"),
            expected=0.0,
        )
    ]


def _other_clock_of_poses(scene: Scene) -> list[Finding]:
    """Find poses over a time that begins and ends as much before the frames, or after them."""
    frames = _frame_times(scene)
    if scene.trajectory is None or len(frames) < FEWEST:
        return []
    poses = scene.trajectory.timestamps
    begin, end = int(poses[0]) - int(frames.min()), int(poses[-1]) - int(frames.max())
    offset = (begin + end) / 2
    later = "after" if offset > 0 else "before"
    if begin * end <= 0 or min(abs(begin), abs(end)) < ANOTHER_CLOCK_NS or abs(begin - end) > NEAR_NS:
        return []
    clause = named_offset(offset)
    if not clause:
        return []
    return [
        Finding(
            "clock-offset",
            f"the poses begin and end {abs(offset) / 1e9:.2f} s {later} the frames{clause}",
            "give both one clock: else frames get the poses of another time, or none",
            found=float(f"{offset / 1e9:.3f}"),
            expected=0.0,
        )
    ]


def _late_cameras(scene: Scene, step: float) -> list[Finding]:
    """Find cameras whose images are always the same time away from their sweeps, half a frame or more."""
    findings = []
    for camera in scene.cameras:
        offsets = np.array(
            [
                image.timestamp - frame.timestamp
                for frame in scene
                for image in frame.images
                if image.camera.name == camera.name and image.timestamp is not None and frame.timestamp is not None
            ],
            dtype=np.float64,
        )
        if len(offsets) < FEWEST:
            continue
        delay = float(np.median(offsets))
        varies = float(np.median(np.abs(offsets - delay)))
        if abs(delay) < (HALF_A_FRAME - 0.01) * step or varies > CONSTANT * step:
            continue
        later = "after" if delay > 0 else "before"
        findings.append(
            Finding(
                "camera-delay",
                f"the images of camera {camera.name} are {abs(delay) / 1e6:.1f} ms {later} their sweeps, always: "
                f"{abs(delay) / step:.2g} of the {step / 1e6:g} ms between frames",
                "see whether its clock is late, or its images are numbered from another frame on; a camera that is "
                "triggered so is sound",
                "warning" if abs(delay) >= 0.95 * step else "note",
                Subject("camera", camera.name),
                found=float(f"{delay / 1e6:.3f}"),
                expected=f"less than {HALF_A_FRAME * step / 1e6:g} ms",
            )
        )
    return findings
