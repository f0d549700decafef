"""Names of scenes, made of their recordings' paths: the shortest that tell them apart, safe as keys."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from lidarprep.errors import RecipeError
from lidarprep.storage.keys import KeyMaker

# A suffix is a dot and letters; 2026.03 is a date.
_SUFFIX = re.compile(r"(?<=.)\.[A-Za-z][A-Za-z0-9]{0,7}")


def shortest_names(recordings: Sequence[str]) -> list[str]:
    """Name recordings by the last parts of their paths, with more parts only where names would clash.

    Args:
        recordings: Paths or URLs, without what is secret in a URL.

    Raises:
        RecipeError: A recording is listed twice.
    """
    candidates = [list(dict.fromkeys(_candidates(recording))) for recording in recordings]
    levels = [0] * len(recordings)
    while True:
        names = [those[level] for those, level in zip(candidates, levels, strict=True)]
        counts = Counter(name.lower() for name in names)
        clashing = [row for row, name in enumerate(names) if counts[name.lower()] > 1]
        if not clashing:
            return names
        longer = [row for row in clashing if levels[row] + 1 < len(candidates[row])]
        if not longer:
            raise RecipeError(
                f"{recordings[clashing[0]]} is listed twice, or under another spelling of its name",
                fix="List each recording once, or give each scene a name.",
            )
        for row in longer:
            levels[row] += 1


def require_name(name: str) -> str:
    """Check that a name is safe as part of keys and ids.

    Raises:
        RecipeError: It is not.
    """
    safe = safe_name(name)
    if name != safe:
        raise RecipeError(
            f"the name {name!r} has characters that keys of objects should not have",
            fix=f"Use letters, digits and . _ - only: {safe}",
        )
    return name


def safe_name(text: str) -> str:
    """Return a text as a name that is safe as part of keys and ids."""
    return KeyMaker().stem(text.strip("._-") or "_")


def _candidates(recording: str) -> Iterator[str]:
    """Yield names from the shortest: the last part without its suffix, the last part, the last two parts, …"""
    scheme, separator, rest = recording.partition("://")
    text = rest if separator else os.path.abspath(recording)  # noqa: PTH100  # of a text that may be a pattern's match
    parts = [part for part in text.split("/") if part] or [scheme]
    stem = re.sub(rf"({_SUFFIX.pattern}){{1,2}}$", "", parts[-1]) or parts[-1]
    yield safe_name(stem)
    yield safe_name(parts[-1])
    for count in range(2, len(parts) + 1):
        yield safe_name("-".join([*parts[-count:-1], stem]))
    yield safe_name("-".join(parts))
