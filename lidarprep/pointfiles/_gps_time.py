"""GPS times of LAS files: what they count from, by their header and their values, and their conversion.

A header says that they are seconds of a week, or adjusted standard times: GPS seconds less 1e9. Writers get that wrong
both ways, and before version 1.2 there was nothing to say it with. So the median of the first times is judged, too:

| header   | median, seconds       | taken as                                                            |
|----------|-----------------------|---------------------------------------------------------------------|
| week     | within two weeks of 0 | seconds of a week that the file does not name; counts may run on    |
| adjusted | below 1e9             | adjusted standard time, up to 2043                                  |
| offset   | any                   | GPS seconds less the header's offset (version 1.5)                  |
| week     | other, below 1e9      | adjusted standard time, against the header                          |
| any      | 1e9 to 1.6e9          | GPS seconds, of 2011 to 2030, from which nothing was taken off; but |
|          |                       | Unix seconds where the file was written before that time            |
| any      | from 1.6e9            | Unix seconds, since 2020                                            |

What goes against the header is noted, and so is adjusted time within the week of 2011 that looks like seconds of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lidarprep.kernels.las_records import unpack_times
from lidarprep.pointfiles.timestamps import ADJUSTED_BY_S, FILLED_TIMES, GPS_EPOCH_UNIX_S, LEAPS_GPS_S

WEEK_S = 604_800

# Larger times would not fit into an int64 as nanoseconds, once the epoch is added.
LARGEST_TIME_S = 7e9

# From here on, times cannot be adjusted ones, or cannot be GPS seconds: both would be from the future.
_NOT_ADJUSTED_S, _NOT_GPS_S = 1e9, 1.6e9

_LIKE_A_WEEK = (
    "GPS times are adjusted standard ones by the header, and so of 14 to 21 September 2011; if the recording is of "
    "another time, they are seconds of a week, and the header is wrong"
)

_NO_LEAPS = np.zeros(0, dtype=np.int64)


@dataclass
class GpsTimes:
    """The times of one file, converted block by block, in order.

    Args:
        declared_less_s: GPS seconds that its times are less by, as its header says; None for seconds of a week.
        written_by_s: When the file was written at the latest, Unix seconds; None where its header does not say.
    """

    declared_less_s: int | None
    written_by_s: int | None = None
    notes: dict[str, None] = field(default_factory=dict)
    odd: bool = False  # whether numbers were met that are no times, other than 0
    _base_s: int = 0  # what is added for Unix seconds, but for leap seconds
    _leaps: NDArray[np.int64] = field(default_factory=lambda: _NO_LEAPS)
    _zeros: bool = False  # whether 0 is a time
    _last: int | None = None  # nanoseconds of the point before; at first of the first point that has a time

    @property
    def known(self) -> bool:
        """Whether a time was found, and so what they count from is known; convert none before."""
        return self._last is not None

    def look_at(self, seconds: NDArray[np.float64]) -> None:
        """Judge the next of the file's times, (N,) seconds, if none was found before."""
        if self.known:
            return
        with np.errstate(invalid="ignore"):
            times = seconds[(np.abs(seconds) <= LARGEST_TIME_S) & (seconds != 0)]
            self.odd |= not times.size and bool(seconds.any())
        if not times.size:
            return
        middle = (times.size - 1) // 2
        self._judge(float(np.partition(times, middle)[middle]))
        first = np.ascontiguousarray(times[:1])
        self._last = 0
        self.convert(first.view(np.uint8), 8, 0, np.empty(1, np.int64))

    def convert(self, records: NDArray[np.uint8], size: int, time_at: int, timestamp: NDArray[np.int64]) -> None:
        """Fill int64 nanoseconds from float64 seconds in the next records of `size` bytes."""
        self._last, without = unpack_times(
            records, size, time_at, self._base_s, self._leaps, LARGEST_TIME_S, self._zeros, self._last, timestamp
        )
        if without:
            self.notes[FILLED_TIMES] = None

    def _judge(self, median: float) -> None:
        less_s = self.declared_less_s
        week = less_s is None
        if week and abs(median) <= 2 * WEEK_S:
            self._zeros = True
            return
        if less_s is None or less_s == ADJUSTED_BY_S:
            from_future = self.written_by_s is not None and median + GPS_EPOCH_UNIX_S > self.written_by_s >= median
            if median >= _NOT_GPS_S or (median >= _NOT_ADJUSTED_S and from_future):
                self._contradict(week, median, "seconds since the Unix epoch")
                return
            less_s = 0 if median >= _NOT_ADJUSTED_S else ADJUSTED_BY_S
            taken_as = "adjusted standard GPS times" if less_s else "GPS seconds since 1980"
            if week or not less_s:
                self._contradict(week, median + less_s + GPS_EPOCH_UNIX_S, taken_as)
            elif 0 < median < WEEK_S:
                self.notes[_LIKE_A_WEEK] = None
        self._base_s, self._leaps = GPS_EPOCH_UNIX_S + less_s, LEAPS_GPS_S - less_s

    def _contradict(self, week: bool, unix_s: float, taken_as: str) -> None:
        """Note that times are not what the header says."""
        day = np.datetime64(int(unix_s), "s").astype("datetime64[D]")
        said, why = "adjusted standard ones", "would be from after 2043"
        if week:
            said, why = "seconds of a week", f"lie beyond its {WEEK_S:,} seconds"
        self.notes[f"GPS times are {said} by the header, but {why}: they are taken as {taken_as}, of {day}"] = None
