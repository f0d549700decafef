"""Steps of preparation, one module each.

A step is a callable that takes a frame and a report and returns the next frame. It counts in the report the points that
it dropped, and notes guesses and assumptions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lidarprep.scene import Frame


@dataclass
class StepReport:
    """Effects of the steps on one frame.

    Args:
        points_in: How many points the recording has.
        dropped: How many points were dropped, by reason.
        kept: (K,) int64 rows of the recording's points that are kept, increasing; None while all are.
        stand_ins: (N,) uint32 for each of the recording's points the number, from 1, of the kept point that is it or
            stands for it; 0 for none. None unless a step keeps points that stand for others.
        notes: Notes for the user, a sentence by kind, so that one which many frames share can be told once.
    """

    points_in: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    kept: NDArray[np.int64] | None = None
    stand_ins: NDArray[np.uint32] | None = None
    notes: dict[str, str] = field(default_factory=dict)

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Record that a step has kept these rows, increasing, of the points that it was given."""
        self.kept = rows if self.kept is None else self.kept[rows]

    def keep_for_others(self, rows: NDArray[np.int64], stand_ins: NDArray[np.uint32]) -> None:
        """Record that a step, the last one that drops points, has kept rows that stand for those that it dropped.

        Args:
            rows: As of `keep`.
            stand_ins: (M,) uint32 for each point that the step was given the number, from 1, of the kept one.
        """
        self.stand_ins = stand_ins
        if self.kept is not None:
            self.stand_ins = np.zeros(self.points_in, dtype=np.uint32)
            self.stand_ins[self.kept] = stand_ins
        self.keep(rows)


class Step(Protocol):
    """One step of preparation."""

    def __call__(self, frame: Frame, report: StepReport) -> Frame:
        """Return the next frame; count dropped points and add notes in `report`."""
        ...
