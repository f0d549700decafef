"""Keys: safe, distinct stems made of the names that recordings use, and content-named objects."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

# Longest part of a stem that is made of a name; number, digest and suffix come on top.
_LONGEST_PART = 160
_LONGEST_SUFFIX = 32

_DIGEST_DIGITS = 12

# The keys of content-named objects: nothing else is ever deleted from a destination.
_NAME = r"[A-Za-z0-9._-]+"
_CONTENT_KEY = re.compile(
    rf"frames/{_NAME}-[0-9a-f]{{12}}\.(json|json\.gz|pb)"
    rf"|kept/{_NAME}-[0-9a-f]{{12}}\.bits\.gz"
    rf"|images/{_NAME}/{_NAME}-[0-9a-f]{{12}}(\.{_NAME})?"
    r"|scene-[0-9a-f]{12}\.sfs"
)


@lru_cache(4096)  # a camera's name comes with every frame
def _part(name: str) -> str:
    """Return a name as part of a stem; what is cut off is told apart by a checksum."""
    part = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip(".") or "_"
    if len(part) <= _LONGEST_PART:
        return part
    return f"{part[: _LONGEST_PART - 17]}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:16]}"


class KeyMaker:
    """Makes safe, distinct stems of the names that a recording uses."""

    def __init__(self) -> None:
        self._stems: dict[tuple[str, ...], str] = {}
        self._numbers: dict[str, int] = {}  # the last number of each stem, in lower case

    def stem(self, *names: str) -> str:
        """Join names by "/", and replace what is not a letter, digit, `.`, `_` or `-` in them.

        Names that differ in case only, or become the same, get a number: some file systems could not tell them apart.
        Very long ones are cut: no file system takes more than 255 bytes, S3 no more than 1,024 in all.
        """
        if names not in self._stems:
            candidate = stem = "/".join(_part(name) for name in names)
            while candidate.lower() in self._numbers:
                self._numbers[stem.lower()] += 1
                candidate = f"{stem}-{self._numbers[stem.lower()]}"
            self._numbers[candidate.lower()] = 1
            self._stems[names] = candidate
        return self._stems[names]


@lru_cache(64)
def _suffix(suffix: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", suffix)[:_LONGEST_SUFFIX]


def content_key(stem: str, sha256: str, suffix: str) -> str:
    """Return the key of an object: stem, 12 hex digits of its content's SHA-256, suffix."""
    return f"{stem}-{sha256[:_DIGEST_DIGITS]}{_suffix(suffix)}"


def stem_of(key: str) -> str:
    """Return the stem of a content-named key."""
    return re.sub(r"(.*)-[0-9a-f]{12}(\.[A-Za-z0-9._-]*)?$", r"\1", key)


def is_content_key(key: str) -> bool:
    """Tell whether a key is one that `content_key` makes for a run."""
    return is_key(key) and _CONTENT_KEY.fullmatch(key) is not None


def is_key(text: str) -> bool:
    """Tell whether a text is a key that stays inside the destination."""
    return re.fullmatch(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*", text) is not None and not {".", ".."} & set(
        text.split("/")
    )
