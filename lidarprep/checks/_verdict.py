"""What the cloud says of the poses, and from which figures on it says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lidarprep.scene import Finding

# The share that a reading must reach at least, and by what it must be above that of the poses as given: as their
# multiple, and as a difference.
LEAST_SHARE, TIMES_GIVEN, ABOVE_GIVEN = 0.12, 1.4, 0.06

# With these figures, from two pairs on, there is no doubt.
SURE_SHARE, SURE_TIMES_GIVEN, SURE_PAIRS = 0.25, 1.8, 2

# A motion that a search finds is another than the poses' if it is so far from it.
OTHER_MOTION_M = 0.8


@dataclass(frozen=True)
class Verdict:
    """What the cloud says of the poses.

    Args:
        poses: "fit" as they are given, or "wrong"; "unknown" where the cloud does not tell.
        findings: What is wrong.
        points_frame_is_wrong: Whether that is the points' frame of reference.
    """

    poses: Literal["fit", "wrong", "unknown"]
    findings: list[Finding] = field(default_factory=list)
    points_frame_is_wrong: bool = False


def clearly_better(share: float, given: float) -> bool:
    return share >= max(LEAST_SHARE, TIMES_GIVEN * given, given + ABOVE_GIVEN)


@dataclass(frozen=True)
class Better:
    """Shares of a reading and of the poses as given, and of how many pairs they are the mean."""

    share: float
    given: float
    pairs: int

    @property
    def severity(self) -> Literal["error", "warning"]:
        sure = self.share >= max(SURE_SHARE, SURE_TIMES_GIVEN * self.given) and self.pairs >= SURE_PAIRS
        return "error" if sure else "warning"

    @property
    def figures(self) -> str:
        pairs = "1 pair" if self.pairs == 1 else f"{self.pairs} pairs"
        return f"{self.share:.0%} of the occupied voxels of {pairs} of frames coincide, as given {self.given:.0%}"
