"""Time as point files write it, to nanoseconds: the one place where its unit is decided.

A field whose name says its unit (`timestamp_ns`, `t_us`) has that unit. For any other the numbers decide, since no
point format says it. Today is 1.8e9 seconds after the Unix epoch, so for times since then the size leaves no doubt:

| largest number    | floats       | integers                                                  |
|-------------------|--------------|-----------------------------------------------------------|
| below 1e11        | seconds      | nanoseconds: offsets within a sweep, as Ouster writes `t` |
| below 1e12        | milliseconds | nanoseconds, likewise                                     |
| below 1e14        | milliseconds | milliseconds                                              |
| below 1e17        | microseconds | microseconds                                              |
| from there        | nanoseconds  | nanoseconds                                               |
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

TimeUnit = Literal["s", "ms", "us", "ns"]

NANOSECONDS: dict[TimeUnit, int] = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def to_nanoseconds(values: NDArray[Any], unit: TimeUnit | None = None) -> NDArray[np.int64] | None:
    """Times (N,) as int64 nanoseconds, each rounded to the nearest.

    Args:
        values: (N,) integers or floats.
        unit: Their unit; None: by the rule above.

    Returns:
        (N,) int64; None where a number is not finite or beyond int64, so that this can be no time.
    """
    if values.size == 0:
        return np.zeros(0, dtype=np.int64)
    whole = values.dtype.kind != "f"
    if not whole:
        values = values.astype(np.float64)
        if not np.isfinite(values).all():
            return None
    largest = max(abs(values.min().item()), abs(values.max().item()))
    factor = NANOSECONDS[unit or likely_unit(largest, whole=whole)]
    # A float needs room for what the rounding of its fraction may add.
    if largest * factor >= 2**63 - (0 if whole else 2 * factor):
        return None
    nanoseconds: NDArray[np.int64]
    if whole:
        nanoseconds = values.astype(np.int64) * factor
        return nanoseconds
    # A float64 of seconds since the epoch is exact to 238 ns; multiplied in one go it would lose another bit.
    seconds = np.floor(values)
    fraction = np.rint((values - seconds) * factor)
    nanoseconds = seconds.astype(np.int64) * factor + fraction.astype(np.int64)
    return nanoseconds


def likely_unit(largest: float, *, whole: bool) -> TimeUnit:
    """The unit of times whose largest number this is, by the rule above; `whole`: they are integers."""
    if whole and largest < 1e12:
        return "ns"
    if largest < 1e11:
        return "s"
    if largest < 1e14:
        return "ms"
    return "us" if largest < 1e17 else "ns"
