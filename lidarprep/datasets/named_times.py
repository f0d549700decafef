"""Times that stand in the names of files: 1700000000123456789.pcd, lidar_1700000000.123456.ply.

| in the name                         | read as                                    |
|-------------------------------------|--------------------------------------------|
| 19 digits                           | nanoseconds                                |
| 16 digits                           | microseconds                               |
| 13 digits                           | milliseconds                               |
| 10 digits, a dot, 1 to 9 digits     | seconds                                    |
| 10 digits, _ or -, 9 digits         | seconds and nanoseconds, as ROS writes both |

All count from the Unix epoch. They are read as text, so that none is rounded. Digits in a row that
begin with 0 are a number that was padded, and no time: as one it would lie before 2001.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# What may stand before a time is a name that ends in _ or -, and is the same for all files.
_TIME = re.compile(
    r"(?P<name>.*[_-]|)(?:(?P<whole>[1-9](?:[0-9]{18}|[0-9]{15}|[0-9]{12}))|(?P<seconds>[0-9]{10})(?P<dot>[._-])(?P<rest>[0-9]{1,9}))"
)
_DIGITS_TO_NS = {19: 1, 16: 10**3, 13: 10**6}
_LARGEST_NS = 2**63 - 1


def times_in_names(stems: Sequence[str]) -> list[int] | None:
    """Nanoseconds since the Unix epoch, one a name; None where the names are not all times of one kind.

    Args:
        stems: Names of files without their suffixes.
    """
    times: list[int] = []
    kinds = set()
    for stem in stems:
        found = _time_in(stem)
        if found is None:
            return None
        time, kind = found
        times.append(time)
        kinds.add(kind)
    return times if len(kinds) == 1 else None


def _time_in(stem: str) -> tuple[int, tuple[str, str]] | None:
    """The time of one name, and how it is written: with which name before it, and in which row of the table."""
    match = _TIME.fullmatch(stem)
    if match is None:
        return None
    if match["whole"] is not None:
        digits = len(match["whole"])
        time, kind = int(match["whole"]) * _DIGITS_TO_NS[digits], str(digits)
    else:
        if match["dot"] != "." and len(match["rest"]) != 9:
            return None
        time, kind = int(match["seconds"]) * 10**9 + int(match["rest"].ljust(9, "0")), match["dot"]
    return (time, (match["name"], kind)) if time <= _LARGEST_NS else None
