"""What a user should know of a scene that is written: each kind of finding once."""

from __future__ import annotations


class Notes:
    """Findings by kind, with the first one's sentence and how many there were."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, int]] = {}

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

    def copy(self) -> Notes:
        """The same findings, for a frame that may yet be refused."""
        notes = Notes()
        notes._found = dict(self._found)
        return notes
