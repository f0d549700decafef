"""How keys are made of the names that recordings use."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

# Longest part of a key that is made of a name; suffix and number come on top.
_LONGEST_PART = 160
_LONGEST_SUFFIX = 32


@lru_cache(4096)  # a camera's name comes with every frame
def _part(name: str) -> str:
    """A name as part of a key; what is cut off is told apart by a checksum."""
    part = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip(".") or "_"
    if len(part) <= _LONGEST_PART:
        return part
    return f"{part[: _LONGEST_PART - 17]}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:16]}"


@lru_cache(64)
def _suffix(suffix: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", suffix)[:_LONGEST_SUFFIX]


class KeyMaker:
    """Makes safe, distinct keys of the names that a recording uses."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[str, ...]] = {}

    def key(self, *names: str, suffix: str) -> str:
        """`names` joined by "/", with what is not a letter, digit, `.`, `_` or `-` in them replaced, and `suffix`.

        Names that differ in case only, or become the same, get a number: some file systems could not tell them apart.
        Very long ones are cut: no file system takes more than 255 bytes, S3 no more than 1,024 in all.
        """
        stem = "/".join(_part(name) for name in names)
        suffix = _suffix(suffix)
        number = 1
        candidate = f"{stem}{suffix}"
        while self._taken.setdefault(candidate.lower(), names) != names:
            number += 1
            candidate = f"{stem}-{number}{suffix}"
        return candidate


def is_key(text: str) -> bool:
    """Whether it is such a key as KeyMaker makes: one that stays inside the destination."""
    return re.fullmatch(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*", text) is not None and not {".", ".."} & set(
        text.split("/")
    )
