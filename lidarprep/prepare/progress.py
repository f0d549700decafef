"""Who is told how a run goes on."""

from __future__ import annotations

from typing import Protocol

from lidarprep.storage.manifest import FrameRecord, SkippedRecord


class Progress(Protocol):
    """Told how a run goes on, by the thread that runs it; of nothing where nothing is to be done."""

    def start(self, frames: int, done: int) -> None:
        """So many frames are to be stored, of which some were found done."""

    def advance(self, frame: FrameRecord, stored_bytes: int) -> None:
        """One more frame is stored, in so many bytes, or written to the scene that is to hold all of them."""

    def skip(self, frame: SkippedRecord) -> None:
        """One frame is left out, since it is bad. Only told where the recipe skips bad frames."""


class NoProgress:
    """Tells nobody."""

    def start(self, frames: int, done: int) -> None:
        """Do nothing."""

    def advance(self, frame: FrameRecord, stored_bytes: int) -> None:
        """Do nothing."""

    def skip(self, frame: SkippedRecord) -> None:
        """Do nothing."""
