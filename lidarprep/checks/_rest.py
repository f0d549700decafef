"""Poses that do not move: does the device move, by its points?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lidarprep.checks._samples import SceneSamples
from lidarprep.checks._surroundings import NO_MOTION, apart, search, surroundings
from lidarprep.checks._verdict import OTHER_MOTION_M, SURE_SHARE, Verdict, clearly_better
from lidarprep.scene import Finding, Frame, Subject

# Frames so far from the first are looked at. If two coincide to this share, the device is at rest between them. A fast
# device leaves the first surroundings soon; a slow one needs many frames to move so far that it tells.
REST_GAPS, REST_SHARE = (3, 1, 5, 10, 20), 0.65


def judge_rest(samples: SceneSamples, posed: Sequence[Frame]) -> Verdict:
    """Judge poses that do not move: does the device?"""
    for row in dict.fromkeys(min(gap, len(posed) - 1) for gap in REST_GAPS):
        first, second = samples.sample(posed[0]), samples.sample(posed[row])
        if first is None or second is None:
            continue
        one, other = surroundings(first), surroundings(second)
        if not (one.enough and other.enough):
            continue
        found = search(one, other, NO_MOTION)
        if found.share_at_start >= REST_SHARE:
            continue
        far = float(np.linalg.norm(found.motion[:, 3]))
        if apart(found.motion, NO_MOTION) < OTHER_MOTION_M or not clearly_better(found.share, found.share_at_start):
            continue
        turn = np.degrees(np.arctan2(found.motion[1, 0], found.motion[0, 0]))
        moves = f"{far:.1f} m" + (f" and {abs(turn):.0f}°" if abs(turn) >= 3 else "")
        sure = found.share >= SURE_SHARE
        return Verdict(
            "wrong",
            [
                Finding(
                    "poses-at-rest",
                    f"the poses do not move, but the device does: by its points, about {moves} from frame "
                    f"{posed[0].id} to {posed[row].id}; so moved, {found.share:.0%} of the occupied voxels coincide, "
                    f"as given {found.share_at_start:.0%}",
                    "give the poses that the recording was made with (identity poses are a placeholder), or "
                    "--points-frame world if the points are in the world already",
                    severity="error" if sure else "warning",
                    subject=Subject("frame", posed[row].id),
                    found="at rest",
                    expected=f"about {moves}",
                )
            ],
        )
    return Verdict("unknown")
