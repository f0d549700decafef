"""Time as point files write it, to nanoseconds since the Unix epoch: its unit, and GPS time.

A field whose name has a unit (`timestamp_ns`, `t_us`) has that unit. For any other the numbers decide, since no
point format states it. Today is 1.8e9 seconds after the Unix epoch, so for times since then the size leaves no doubt:

| median of sizes   | floats       | integers                                                  |
|-------------------|--------------|-----------------------------------------------------------|
| below 1e11        | seconds      | nanoseconds: offsets within a sweep, as Ouster writes `t` |
| below 1e12        | milliseconds | nanoseconds, likewise                                     |
| below 1e14        | milliseconds | milliseconds                                              |
| below 1e17        | microseconds | microseconds                                              |
| from there        | nanoseconds  | nanoseconds                                               |

GPS time counts every second since 1980-01-06T00:00:00Z. Unix time gives each day 86,400 seconds, so a leap second has
the number of the second after it. The table of leap seconds is that of the IERS, Bulletin C, complete up to 2026.
"""

from __future__ import annotations

import calendar
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lidarprep.errors import SceneError
from lidarprep.scene import PointCloud
from lidarprep.scene.points import NANOSECONDS, TimeUnit, rows_with_time

# Times from here on count from an epoch, and not from the start of a sweep or of a device: three years.
EARLIEST_EPOCH_NS = 10**17

# What a point without a time of its own has: a note.
FILLED_TIMES = "some points have no time (not a number, out of range or 0): they take the time of the point before them"

# Times that are looked at to find their usual size.
_SAMPLE = 10_000

# 1980-01-06, on Unix's count.
GPS_EPOCH_UNIX_S = 315_964_800

# The LAS specification subtracts this from GPS seconds for precision: "Adjusted Standard GPS Time".
ADJUSTED_BY_S = 1_000_000_000

# The days that began with one more second between GPS time and UTC: 1 from the first, 2 from the second …
_LEAP_DAYS = (
    *((1981, 7), (1982, 7), (1983, 7), (1985, 7), (1988, 1), (1990, 1), (1991, 1), (1992, 7), (1993, 7)),
    *((1994, 7), (1996, 1), (1997, 7), (1999, 1), (2006, 1), (2009, 1), (2012, 7), (2015, 7), (2017, 1)),
)

# When these days began: in GPS seconds, and in Unix seconds.
_LEAPS_UNIX_S = np.array([calendar.timegm((year, month, 1, 0, 0, 0)) for year, month in _LEAP_DAYS])
LEAPS_GPS_S = _LEAPS_UNIX_S - GPS_EPOCH_UNIX_S + np.arange(1, len(_LEAP_DAYS) + 1)


def to_nanoseconds(values: NDArray[Any], unit: TimeUnit | None = None) -> tuple[NDArray[np.int64], int] | None:
    """Convert times (N,) to int64 nanoseconds, each rounded to the nearest.

    A number is no time if it is not finite or beyond int64, or if it is 0 among times that count from an epoch: such a
    point takes the time of the one before it, or of the first that has one. The others never depend on it.

    Args:
        values: (N,) integers or floats.
        unit: Their unit; None: by the rule above, of their median.

    Returns:
        (N,) int64, and how many of the points had no time; None where none has.
    """
    if values.size == 0:
        return np.zeros(0, dtype=np.int64), 0
    with np.errstate(invalid="ignore"):  # of signalling NaN
        return _converted(values, unit)


def _converted(values: NDArray[Any], unit: TimeUnit | None) -> tuple[NDArray[np.int64], int] | None:
    whole = values.dtype.kind != "f"
    if not whole:
        values = values.astype(np.float64)
    size = _typical_size(values)
    factor = NANOSECONDS[unit or likely_unit(size, whole=whole)]
    if whole:
        limit = (2**63 - 1) // factor
        good = (values >= -limit) & (values <= limit)
    else:
        # A float needs room for what the rounding of its fraction may add.
        good = np.abs(values) < (2**63 - 2 * factor) / factor
    if size * factor >= EARLIEST_EPOCH_NS:
        good &= values != 0
    bad = values.size - int(np.count_nonzero(good))
    if bad == values.size:
        return None
    if bad:
        values = values[rows_with_time(good)]
    nanoseconds: NDArray[np.int64]
    if whole:
        nanoseconds = values.astype(np.int64) * factor
        return nanoseconds, bad
    # A float64 of seconds since the epoch is exact to 238 ns; multiplied in one go it would lose another bit.
    seconds = np.floor(values)
    fraction = np.rint((values - seconds) * factor)
    nanoseconds = seconds.astype(np.int64) * factor + fraction.astype(np.int64)
    return nanoseconds, bad


def _typical_size(values: NDArray[Any]) -> float:
    """Return the lower median of the magnitudes of a sample, without zeros and what is not finite; 0 without others."""
    for sample in (values[:: max(1, values.size // _SAMPLE)], values):
        magnitudes = np.abs(sample.astype(np.float64))
        magnitudes = magnitudes[np.isfinite(magnitudes) & (magnitudes > 0)]
        if magnitudes.size:
            middle = (magnitudes.size - 1) // 2
            return float(np.partition(magnitudes, middle)[middle])
    return 0.0


def likely_unit(size: float, *, whole: bool) -> TimeUnit:
    """Return the unit of times of this size, by the rule above; `whole`: they are integers."""
    if whole and size < 1e12:
        return "ns"
    if size < 1e11:
        return "s"
    if size < 1e14:
        return "ms"
    return "us" if size < 1e17 else "ns"


def guessed_unit(values: NDArray[Any]) -> TimeUnit:
    """Return the unit that `to_nanoseconds` takes times (N,) to have without one."""
    return likely_unit(_typical_size(values), whole=values.dtype.kind != "f")


def in_unit(cloud: PointCloud, unit: TimeUnit | None) -> PointCloud:
    """Return the cloud with its times (N,) in nanoseconds as of that unit, where the one they were read in was a guess.

    Where it was none, they stay, and a note says so.

    Args:
        cloud: Its times are as they were read: nothing was added to them.
        unit: The unit that the file's numbers have; None: the guess stays.

    Raises:
        SceneError: In that unit the times are beyond int64 nanoseconds.
    """
    guessed = cloud.guessed_unit
    if unit is None:
        return cloud
    if guessed is None or cloud.timestamp is None:
        why = (
            "the points have no times"
            if cloud.timestamp is None
            else "the recording states the unit of its points' times"
        )
        return replace(cloud, notes=(*cloud.notes, f"--time-unit points={unit} is without use: {why}"))
    whole, rest = np.divmod(cloud.timestamp, NANOSECONDS[guessed])
    factor = NANOSECONDS[unit]
    if len(whole) and max(abs(int(whole.min())), abs(int(whole.max()))) + 1 >= 2**63 // factor:
        raise SceneError(
            f"the points' times reach to {int(whole.max())} {unit}, which no time does",
            fix=f"Give another unit than --time-unit points={unit}.",
        )
    # The rest is below a second, so its product fits int64.
    return replace(cloud, timestamp=whole * factor + rest * factor // NANOSECONDS[guessed], guessed_unit=None)


def adjusted_gps_seconds(unix_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Convert nanoseconds since the Unix epoch (N,) to adjusted standard GPS time, seconds, rounded to float64."""
    unix_s, fraction_ns = np.divmod(unix_ns, 1_000_000_000)
    seconds = unix_s - GPS_EPOCH_UNIX_S + np.searchsorted(_LEAPS_UNIX_S, unix_s, side="right") - ADJUSTED_BY_S
    return np.asarray(seconds + fraction_ns / 1e9, dtype=np.float64)
