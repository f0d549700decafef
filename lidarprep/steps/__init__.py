"""What preparation does to a frame, one module a step.

A step is a callable that takes a frame and a report and gives the frame that follows; it counts in the report what it
dropped and notes what it changed on its own. `pipeline.py` puts the steps of a recipe in a row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lidarprep.scene import Frame


@dataclass
class StepReport:
    """What the steps did to one frame.

    Args:
        points_in: How many points the recording has.
        dropped: How many points were dropped, by reason.
        kept: (K,) int64 rows of the recording's points that are kept, increasing; None while all are.
        notes: What a user should know: a sentence for each kind of finding, so that one which many frames share can
            be told once.
    """

    points_in: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    kept: NDArray[np.int64] | None = None
    notes: dict[str, str] = field(default_factory=dict)

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Record that a step has kept these rows, increasing, of the points that it was given."""
        self.kept = rows if self.kept is None else self.kept[rows]


class Step(Protocol):
    """One step of preparation."""

    def __call__(self, frame: Frame, report: StepReport) -> Frame:
        """The frame that follows from `frame`; what is dropped or noted goes into `report`."""
        ...
