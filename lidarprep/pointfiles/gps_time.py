"""GPS time to Unix time: the leap seconds, which GPS does not count and Unix time skips over, in one table.

GPS time counts every second since 1980-01-06T00:00:00Z. Unix time gives each day 86,400 seconds, so a leap second has
the number of the second after it. The table is that of the IERS, Bulletin C; no leap second was announced since the
last. A new one would be one more line.
"""

from __future__ import annotations

import calendar

import numpy as np
from numpy.typing import NDArray

# 1980-01-06, on Unix's count.
GPS_EPOCH_UNIX_S = 315_964_800

# The LAS specification takes this from GPS seconds, for the sake of precision: "Adjusted Standard GPS Time".
ADJUSTED_BY_S = 1_000_000_000

# The days that began with one more second between GPS time and UTC: 1 from the first, 2 from the second …
_LEAP_DAYS = (
    *((1981, 7), (1982, 7), (1983, 7), (1985, 7), (1988, 1), (1990, 1), (1991, 1), (1992, 7), (1993, 7)),
    *((1994, 7), (1996, 1), (1997, 7), (1999, 1), (2006, 1), (2009, 1), (2012, 7), (2015, 7), (2017, 1)),
)

# When these days began: in GPS seconds, and in Unix seconds.
_LEAPS_UNIX_S = np.array([calendar.timegm((year, month, 1, 0, 0, 0)) for year, month in _LEAP_DAYS])
LEAPS_GPS_S = _LEAPS_UNIX_S - GPS_EPOCH_UNIX_S + np.arange(1, len(_LEAP_DAYS) + 1)

# Beyond this many seconds, nanoseconds do not fit into an int64.
_LARGEST_S = 9_000_000_000


def unix_nanoseconds(adjusted_gps_s: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Adjusted standard GPS time (N,), seconds, as nanoseconds since the Unix epoch, each rounded to the nearest.

    Whole seconds and their fractions are converted apart, so nothing is lost beside what the float64 lacks already
    (60 ns in our time).

    Returns:
        (N,) int64; None where a number is not finite or beyond int64, so that this can be no time.
    """
    if not np.isfinite(adjusted_gps_s).all() or (np.abs(adjusted_gps_s) > _LARGEST_S - ADJUSTED_BY_S).any():
        return None
    whole = np.floor(adjusted_gps_s)
    fraction_ns = np.rint((adjusted_gps_s - whole) * 1e9).astype(np.int64)
    gps_s = whole.astype(np.int64) + ADJUSTED_BY_S
    seconds: NDArray[np.int64] = gps_s + GPS_EPOCH_UNIX_S - _leap_seconds(gps_s, LEAPS_GPS_S)
    return seconds * 1_000_000_000 + fraction_ns


def adjusted_gps_seconds(unix_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Nanoseconds since the Unix epoch (N,) as adjusted standard GPS time, seconds, rounded to float64."""
    unix_s, fraction_ns = np.divmod(unix_ns, 1_000_000_000)
    seconds = unix_s - GPS_EPOCH_UNIX_S + _leap_seconds(unix_s, _LEAPS_UNIX_S) - ADJUSTED_BY_S
    return np.asarray(seconds + fraction_ns / 1e9, dtype=np.float64)


def _leap_seconds(seconds: NDArray[np.int64], leaps: NDArray[np.int64]) -> NDArray[np.int64] | int:
    """How many leap seconds there were by each time: one number if it is the same for all, as it nearly always is."""
    if seconds.size == 0:
        return 0
    first, last = np.searchsorted(leaps, [seconds.min(), seconds.max()], side="right")
    if first == last:
        return int(first)
    return np.searchsorted(leaps, seconds, side="right").astype(np.int64)
