"""Frames in time: whether each is later than the one before it."""

from __future__ import annotations

import numpy as np

from lidarprep.checks.finding import Finding, opening_option
from lidarprep.scene import Scene


def out_of_order(scene: Scene) -> list[Finding]:
    """Frames that are earlier than the one before them, and timestamps that two frames have."""
    frames = [frame for frame in scene if frame.timestamp is not None]
    times = np.array([frame.timestamp for frame in frames], dtype=np.int64)
    steps = np.diff(times)
    settle = opening_option("--frame-order", "time", "frame_order", "'time'")
    findings = []
    back = np.flatnonzero(steps < 0)
    if back.size:
        row = int(back[0])
        findings.append(
            Finding(
                "frames-out-of-order",
                f"{back.size} of {len(frames)} frames are earlier than the one before them: the first is "
                f"{frames[row + 1].id}, {-steps[row] / 1e6:.3f} ms before {frames[row].id}",
                settle,
            )
        )
    _, first, counts = np.unique(times, return_index=True, return_counts=True)
    doubled = np.flatnonzero(counts > 1)
    if doubled.size:
        row = int(first[doubled].min())
        other = int(np.flatnonzero(times == times[row])[1])
        findings.append(
            Finding(
                "frames-doubled",
                f"{int((counts[doubled] - 1).sum())} of {len(frames)} frames have the timestamp of an earlier one: "
                f"{frames[other].id} has that of {frames[row].id}, {times[row]} ns",
                f"{settle}, which keeps the first of them",
            )
        )
    return findings
