"""Names of scenes, made of the path or pattern that lists their recordings alone; safe as keys."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from lidarprep.batch.expand import first_wildcard
from lidarprep.errors import RecipeError
from lidarprep.storage.keys import KeyMaker

# A suffix is a dot and letters; 2026.03 is a date.
_SUFFIX = re.compile(r"(?<=.)\.[A-Za-z][A-Za-z0-9]{0,7}")


def name_of(recording: str) -> str:
    """Name a recording that is listed by its path or URL: the last part, without its suffix.

    A name is made of nothing but this text. Names that other recordings of the list changed would be new scenes.
    """
    scheme, separator, rest = recording.partition("://")
    text = rest if separator else os.path.abspath(recording)  # noqa: PTH100  # of "." and "..", too
    return _joined([part for part in text.split("/") if part][-1:] or [scheme])


def name_of_match(pattern: str, recording: str) -> str:
    """Name a recording that a pattern matches: all parts from the pattern's first wildcard on, without the suffix.

    drives/*/*.mcap names drives/mon/drive_1.mcap mon-drive_1, whatever else it matches.
    """
    count = sum(part != "" for part in pattern.split("/")[first_wildcard(pattern) :])
    return _joined(recording.rstrip("/").split("/")[-count:])


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


def _joined(parts: Sequence[str]) -> str:
    stem = re.sub(rf"({_SUFFIX.pattern}){{1,2}}$", "", parts[-1]) or parts[-1]
    return safe_name("-".join([*parts[:-1], stem]))
