"""What a user should know of a scene that is written: each kind of finding once."""

from __future__ import annotations

from collections.abc import Mapping

# By kind, the first one's sentence and how many there were.
Findings = Mapping[str, tuple[str, int]]


class Notes:
    """Findings by kind.

    Args:
        found: What was found before.
    """

    def __init__(self, found: Findings | None = None) -> None:
        self._found = dict(found or {})

    def say(self, kind: str, sentence: str) -> None:
        """Notes a finding."""
        first, times = self._found.get(kind, (sentence, 0))
        self._found[kind] = first, times + 1

    def once(self, kind: str, sentence: str) -> None:
        """Notes a finding that is not counted."""
        self._found.setdefault(kind, (sentence, 1))

    def __contains__(self, kind: str) -> bool:
        return kind in self._found

    def sentences(self) -> tuple[str, ...]:
        """A sentence for each kind, in the order in which they were met first."""
        return tuple(first if times == 1 else f"{first} ({times} times)" for first, times in self._found.values())

    @property
    def found(self) -> Findings:
        """The findings as they are now."""
        return dict(self._found)
