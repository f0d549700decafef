"""Whether the device moves within its sweeps, as far as the points' own times tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lidarprep.checks.samples import Sample
from lidarprep.scene import Scene

# A sweep takes no longer than this; times further apart are no times within one.
LONGEST_SWEEP_NS = 1_000_000_000

# A motion that is larger than the noise of most lidars is worth a word.
WORTH_A_WORD_M = 0.05


def motion_within_sweeps(scene: Scene, samples: Sequence[Sample]) -> str | None:
    """How far the device moves while a sweep is taken, in a sentence; None where it stands, or where nothing tells.

    Recordings seldom say whether their points are compensated for it, so this is a hint and no finding.
    """
    path = scene.device_path()
    if scene.motion_compensated or scene.points_frame != "ego" or path is None or len(path) < 2:
        return None
    furthest, at = 0.0, ""
    for sample in samples:
        times, frame = sample.points.timestamp, sample.frame
        if times is None or not len(times) or frame.timestamp is None:
            continue
        span = int(times.max()) - int(times.min())
        if not 0 < span <= LONGEST_SWEEP_NS:
            continue
        row = int(np.clip(np.searchsorted(path.timestamps, frame.timestamp), 1, len(path) - 1))
        step = float(np.linalg.norm(path.translations[row] - path.translations[row - 1]))
        moved = step * span / int(path.timestamps[row] - path.timestamps[row - 1])
        if moved > furthest:
            furthest, at = moved, f"frame {frame.id} takes {span / 1e6:.0f} ms"
    if furthest < WORTH_A_WORD_M:
        return None
    return (
        f"points have times of their own: {at}, in which the device moves {furthest:.2f} m; unless the points are "
        "compensated for it already, --deskew does it (deskew=True in a recipe)"
    )
