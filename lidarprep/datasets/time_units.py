"""The unit of a recording's times, judged from the numbers; and times that cannot be any.

A format states a unit, and people write another. The usual step between frames or poses tells: frames come every 5 ms
to every 1000 s, and poses every 0.5 ms or more. Where the stated unit does not give that, or a time after 2096,

1. the size of times since the Unix epoch tells the unit: 1.7e9 are seconds, 1.7e12 milliseconds, 1.7e15 microseconds,
   1.7e18 nanoseconds;
2. for times that count from elsewhere it is the one that gives a step from 4 ms to 4 s. There never is more than one.

Else the stated unit stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lidarprep.datasets.filenames import FrameKey
from lidarprep.datasets.options import OpenOptions
from lidarprep.datasets.poses import decimal_nanoseconds
from lidarprep.errors import SceneError
from lidarprep.pointfiles.timestamps import EARLIEST_EPOCH_NS
from lidarprep.scene import Finding, Severity, Subject
from lidarprep.scene.points import NANOSECONDS, UNIT_NAMES, TimeUnit

# Seconds since the Unix epoch from 2001 to 2096; no recording lasts longer than a hundredth of that.
_EPOCH_S = (1e9, 4e9)
_LONGEST_SHARE = 0.01

# Seconds between frames, and the least between poses; and the steps that another unit than the stated one must give.
_FRAME_STEP_S, _LEAST_POSE_STEP_S = (5e-3, 1e3), 5e-4
_USUAL_STEP_S = (4e-3, 4.0)

# A time this far from the others, and so many times their span, is none: half a day.
_ANOTHER_CLOCK_NS, _SPANS = 12 * 3600 * 10**9, 100


# What to do where the user's unit makes no times.
OTHER_UNIT = "Give another --time-unit, or leave it out."


def judged_unit(numbers: Sequence[float], stated: TimeUnit, *, dense: bool = False) -> tuple[TimeUnit, str | None]:
    """Return the unit of times, and why it is not the stated one; None where it is.

    Args:
        numbers: (N,) times in the unit in question, in the order of frames or poses.
        stated: The unit that the format states.
        dense: Whether they are times of poses, which may come more often than frames.
    """
    values = np.asarray(numbers, dtype=np.float64)
    values = values[np.isfinite(values)]
    fractional = stated == "ns" and bool((values != np.floor(values)).any())
    if len(values) < 2 and not fractional:
        return stated, None
    steps = np.abs(np.diff(values))
    step = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
    least, most = (_LEAST_POSE_STEP_S if dense else _FRAME_STEP_S[0]), _FRAME_STEP_S[1]
    seconds = {unit: step * factor / 1e9 for unit, factor in NANOSECONDS.items()}
    by_size = _unit_by_size(values)
    too_late = float(np.median(values)) * NANOSECONDS[stated] / 1e9 >= _EPOCH_S[1]
    if not (fractional or too_late) and (by_size == stated or least <= seconds[stated] <= most):
        return stated, None
    if by_size is not None and seconds[by_size] <= most:
        return by_size, f"numbers such as {_shown(float(values[0]))} count them since 1970"
    fitting = [unit for unit, value in seconds.items() if _USUAL_STEP_S[0] <= value < _USUAL_STEP_S[1]]
    if not fitting:
        return ("s", "they have decimals") if fractional else (stated, None)
    return fitting[0], f"as {UNIT_NAMES[stated]} they would be {seconds[stated]:.3g} s apart"


def _unit_by_size(values: NDArray[np.float64]) -> TimeUnit | None:
    usual = float(np.median(values))  # a few wrong ones don't count
    spread = float(np.median(np.abs(values - usual)))
    for unit, factor in NANOSECONDS.items():
        seconds = usual * factor / 1e9
        if _EPOCH_S[0] <= seconds < _EPOCH_S[1] and spread <= _LONGEST_SHARE * usual:
            return unit
    return None


def _shown(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() else f"{value}"


@dataclass(frozen=True)
class Times:
    """Times in nanoseconds, and what was judged about them.

    Args:
        timestamps: (N,) nanoseconds; estimated where there was no time.
        estimated: The rows that had no usable time.
        notes: The unit, where it is not the stated one.
        findings: The estimated ones.
    """

    timestamps: list[int]
    estimated: tuple[int, ...]
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]


def times_of(
    texts: Sequence[str], stated: TimeUnit, what: str, *, unit: TimeUnit | None = None, dense: bool = False
) -> Times | None:
    """Convert times to nanoseconds, in the unit that the user gives, or else the one that is judged.

    A time that is not finite, of before 1973 among times since the epoch, or half a day from all others is none: the
    row is estimated from those around it.

    Args:
        texts: (N,) decimal numbers, as the recording has them.
        stated: The unit that the format states.
        what: What they are, for people: "timestamps in poses/".
        unit: The unit that the user gives.
        dense: Whether they are of poses, which may come more often than frames.

    Returns:
        None where fewer than half of them can be times.
    """
    numbers = [float(text) if is_decimal(text) else float("nan") for text in texts]
    judged, why = (unit, None) if unit is not None else judged_unit(numbers, stated, dense=dense)
    notes = () if why is None else (f"{what} are taken as {UNIT_NAMES[judged]}: {why} (--time-unit {stated})",)
    found = [decimal_nanoseconds(text, NANOSECONDS[judged]) for text in texts]
    known = [row for row, time in enumerate(found) if time is not None]
    times = np.array([found[row] for row in known], dtype=np.int64)
    sound = _sound(times)
    if 2 * int(sound.sum()) < len(texts) or not sound.any():
        return None
    rows, times = np.array(known)[sound], times[sound]
    estimated = sorted({*range(len(texts))} - {*rows.tolist()})
    if not estimated:
        return Times(times.tolist(), (), notes, ())
    step = int(np.median(np.diff(times))) if len(times) > 1 else 0
    filled = [_between(row, rows, times, step) for row in range(len(texts))]
    message = (
        f"{len(estimated)} of {len(texts)} {what} are no times (not finite, 0, or half a day from the others): the "
        f"first is {texts[estimated[0]]!r}, in row {estimated[0]}"
    )
    severity: Severity = "warning"
    cure = "mend them; their times are estimated from those around them, and all others stay as they are"
    finding = Finding("stamps-unset", message, cure, severity, Subject(), len(estimated), 0)
    return Times(filled, tuple(estimated), notes, (finding,))


@dataclass(frozen=True)
class FrameTimes:
    """The times of frames in nanoseconds, of those that have one, by their keys; and what was judged about them."""

    timestamps: Mapping[FrameKey, int]
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def frame_times(numbers: Mapping[FrameKey, float | None], what: str, options: OpenOptions) -> FrameTimes:
    """Convert the times of frames to nanoseconds, which is the unit that is stated for them.

    Args:
        numbers: By the frames' keys, in the order of the frames; None where a frame has no time.
        what: What they are, for people: "timestamps in poses/".
        options: For the unit that the user gives.

    Raises:
        SceneError: Fewer than half of them can be times.
    """
    keys = [key for key, number in numbers.items() if number is not None]
    if not keys:
        return FrameTimes({})
    found = times_of([repr(numbers[key]) for key in keys], "ns", what, unit=options.frames_unit)
    if found is None:
        if options.frames_unit is not None:
            raise SceneError(f"most {what} are no times in {UNIT_NAMES[options.frames_unit]}", fix=OTHER_UNIT)
        raise SceneError(f"most {what} are no times", fix="Give nanoseconds since the Unix epoch, or leave them out.")
    return FrameTimes(dict(zip(keys, found.timestamps, strict=True)), found.notes, found.findings)


def is_decimal(text: str) -> bool:
    """Return whether a text is a number, finite or not."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _sound(times: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of (N,) nanoseconds can be times of one recording.

    All that are not far from most of them; and others of several frames, such as a second day's, if they are of the
    same clock: since the epoch, or not.
    """
    if len(times) < 3:
        return np.ones(len(times), dtype=bool)
    usual = float(np.median(times))
    away = np.abs(times.astype(np.float64) - usual)
    near = away <= max(_ANOTHER_CLOCK_NS, _SPANS * float(np.median(away)))
    ordered = np.sort(times).astype(np.float64)
    gaps = np.concatenate(([np.inf], np.diff(ordered), [np.inf]))
    alone = np.minimum(gaps[:-1], gaps[1:])[np.searchsorted(ordered, times.astype(np.float64))] > _ANOTHER_CLOCK_NS
    clocks = (EARLIEST_EPOCH_NS, _EPOCH_S[1] * 1e9)
    same_clock = np.digitize(times, clocks) == np.digitize(usual, clocks)
    return np.asarray(near | (same_clock & ~alone))


def _between(row: int, rows: NDArray[np.int64], times: NDArray[np.int64], step: int) -> int:
    """Return the time of a row by those of the rows that have one, in whole numbers."""
    after = int(np.searchsorted(rows, row))
    if after < len(rows) and rows[after] == row:
        return int(times[after])
    if after == 0:
        return int(times[0]) - (int(rows[0]) - row) * step
    if after == len(rows):
        return int(times[-1]) + (row - int(rows[-1])) * step
    first, last = int(rows[after - 1]), int(rows[after])
    begin, end = int(times[after - 1]), int(times[after])
    return begin + (end - begin) * (row - first) // (last - first)
