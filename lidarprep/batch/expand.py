"""Patterns of recordings, on the disk and in stores: * ? and [ ] in any part of a path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from lidarprep.errors import RecipeError
from lidarprep.remote import AnyPath, as_path, is_url
from lidarprep.remote.options import AccessOptions

_MAGIC = re.compile(r"[*?[]")
# In a web server's URL a question mark begins the query, and brackets may be part of one.
_MAGIC_OF_HTTP = re.compile(r"[*]")


def is_pattern(recording: str) -> bool:
    """Tell whether a text is a pattern, and not a path or URL."""
    if recording.startswith(("http://", "https://")):
        return _MAGIC_OF_HTTP.search(recording.partition("?")[0]) is not None
    return _MAGIC.search(recording) is not None and (is_url(recording) or not as_path(recording).exists())


def matches(pattern: str, access: AccessOptions) -> list[AnyPath]:
    """Return what a pattern matches, sorted by name; names that begin with a dot only if the pattern does.

    Raises:
        RecipeError: It matches nothing, or has **.
        StorageError: The store cannot be listed.
    """
    if "**" in pattern.split("/"):
        raise RecipeError(f"{pattern}: ** is not known", fix="Write a * for each folder: drives/*/*.mcap")
    base, parts = _divided(pattern)
    found = list(_below(as_path(base, access), parts))
    if not found:
        raise RecipeError(f"{pattern} matches no recording", fix="Check the pattern, in quotes; * stays in one folder.")
    return found


def fits(pattern: str, recording: str, access: AccessOptions) -> bool:
    """Tell whether a recording is one that a pattern matches, by their texts alone: it may be gone.

    Args:
        pattern: The pattern.
        recording: Path or URL as `matches` returns it.
        access: How the store is reached.
    """
    base, parts = _divided(pattern)
    before = str(as_path(base, access)).rstrip("/")
    expected = [*(before.split("/") if before not in ("", ".") or base == "/" else []), *filter(None, parts)]
    found = recording.rstrip("/").split("/")
    return len(found) == len(expected) and all(
        fnmatchcase(one, part) if _MAGIC.search(part) and row >= len(expected) - len(parts) else one == part
        for row, (one, part) in enumerate(zip(found, expected, strict=True))
    )


def first_wildcard(pattern: str) -> int:
    """Return the number of the part of a pattern, between slashes, that has its first wildcard."""
    return next(row for row, part in enumerate(pattern.split("/")) if _MAGIC.search(part))


def _divided(pattern: str) -> tuple[str, list[str]]:
    """Return the folder that all matches are in, and the parts from the first wildcard on."""
    parts, first = pattern.split("/"), first_wildcard(pattern)
    return "/".join(parts[:first]) or ("/" if pattern.startswith("/") else "."), parts[first:]


def _below(folder: AnyPath, parts: list[str]) -> Iterator[AnyPath]:
    part, *rest = parts
    if not part:  # of "drives/*/"
        found = [folder] if folder.is_dir() else []
    elif _MAGIC.search(part) is None:
        found = [inner] if (inner := folder / part).exists() else []
    elif folder.is_dir():
        visible = (one for one in folder.iterdir() if not one.name.startswith(".") or part.startswith("."))
        found = sorted((one for one in visible if fnmatchcase(one.name, part)), key=lambda one: one.name)
    else:
        found = []
    for one in found:
        yield from _below(one, rest) if rest else (one,)
